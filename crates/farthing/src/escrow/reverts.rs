//! Why the escrow refused something, in words.

use super::bindings::Escrow::EscrowErrors as Errors;
use alloy::primitives::{U256, hex};
use alloy::sol_types::{SolInterface, decode_revert_reason};
use farthing_core::Timestamp;

/// What a revert of the escrow means, in words, with the values in it.
pub(crate) fn explain_revert(data: &[u8]) -> String {
    let Ok(error) = Errors::abi_decode(data) else { return explain_foreign_revert(data) };
    match error {
        Errors::InsufficientBalance(error) => {
            format!("the account holds {}, less than the {} asked for", error.balance, error.requested)
        }
        Errors::NothingToRedeem(error) if error.cumulativeAmount.is_zero() => {
            "no row of the batch would be paid".to_owned()
        }
        Errors::NothingToRedeem(error) => format!(
            "a voucher for {} pays nothing: {} is redeemed already, or there is no money behind it",
            error.cumulativeAmount, error.redeemed
        ),
        Errors::NothingReserved(_) => "nothing is reserved in this channel".to_owned(),
        Errors::CloseAlreadyRequested(error) => {
            format!("the channel's close is requested already and can be finalized from {}", time(error.closeAt))
        }
        Errors::CloseNotRequested(_) => "no close was requested for this channel".to_owned(),
        Errors::ExitDelayRunning(error) => {
            format!("the close can be finalized from {}, and now is {}", time(error.closeAt), time(error.timestamp))
        }
        Errors::NotPayer(error) => format!("only the payer {} may do this, not {}", error.payer, error.caller),
        Errors::NotPayee(error) => {
            format!("only the payee {} and its operators may do this, not {}", error.payee, error.caller)
        }
        Errors::InvalidSignature(error) => {
            format!("the signature is not one of {} over what it is for now", error.signer)
        }
        Errors::DeadlinePassed(error) => {
            format!("it was good until {}, and now is {}", time(error.deadline), time(error.timestamp))
        }
        Errors::TransferMismatch(error) => {
            format!("the token delivered {} instead of {}", error.received, error.expected)
        }
        other => format!("{other:?}"),
    }
}

/// A word that holds Unix seconds, as people read it.
fn time(seconds: U256) -> Timestamp {
    Timestamp::from_unix_seconds(u64::try_from(seconds).unwrap_or(u64::MAX))
}

/// `Error(string)` of other contracts, or the bytes.
fn explain_foreign_revert(data: &[u8]) -> String {
    if data.is_empty() {
        return "it gives no reason".to_owned();
    }
    crate::split::explain_revert(data)
        .or_else(|| decode_revert_reason(data))
        .unwrap_or_else(|| format!("revert data {}", hex::encode_prefixed(data)))
}
