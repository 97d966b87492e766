//! Redeems when a payer asks for its reservation back: what is not redeemed when the close is finalized has lost its
//! guarantee.

use farthing::chain::Chain;
use farthing::core::{Amount, ChannelId};
use farthing::escrow::Escrow;
use farthing::payee::redeemer::{Redemptions, Skipped};
use farthing::payee::{Payee, Redeemer, StoreError};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a failed redemption is left alone: its reason seldom passes within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Looks at the watcher's views every `interval` until dropped.
pub(super) async fn watch(payee: Payee, escrow: Escrow, redeemer: Redeemer, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    let mut not_before: Option<Instant> = None;
    loop {
        ticks.tick().await;
        if not_before.is_some_and(|moment| Instant::now() < moment) {
            continue;
        }
        let leaving = match leaving(&payee).await {
            Ok(leaving) if leaving.is_empty() => continue,
            Ok(leaving) => leaving,
            Err(error) => {
                tracing::error!(%error, "the ledger can't be read, so nothing is redeemed");
                continue;
            }
        };
        for (channel, (due, close_at)) in &leaving {
            let due = payee.token().format(*due);
            tracing::warn!(%channel, due, close_at, "a payer asks for its reservation back; redeeming before it leaves");
        }
        not_before = Some(Instant::now() + RETRY_AFTER);
        if !has_gas(escrow.chain()).await {
            tracing::error!("the wallet has no coin to pay for gas; send it some, or what is due loses its guarantee");
            continue;
        }
        // Only these: a payer that leaves with dust must not make everybody's dust be redeemed at the creator's cost.
        let channels: Vec<ChannelId> = leaving.into_keys().collect();
        match redeemer.redeem_channels(&channels).await {
            Ok(Redemptions { done, skipped }) => {
                for redeemed in done {
                    let (transaction, vouchers) = (redeemed.transaction, redeemed.vouchers);
                    let paid = payee.token().format(redeemed.paid);
                    tracing::info!(%transaction, vouchers, paid, gas = redeemed.gas_used, "redeemed");
                }
                if skipped.is_empty() {
                    // The views need a moment to show it.
                    not_before = Some(Instant::now() + interval * 3);
                }
                for Skipped { channel_id, error } in skipped {
                    tracing::error!(channel = %channel_id, %error, "not redeemed; trying again");
                }
            }
            Err(error) => tracing::error!(%error, "not redeemed; trying again"),
        }
    }
}

/// Channels whose close is requested and which owe something that the chain does not show as redeemed, with what they
/// owe and when the close can be finalized.
async fn leaving(payee: &Payee) -> Result<HashMap<ChannelId, (Amount, u64)>, StoreError> {
    let mut leaving = HashMap::new();
    for (channel_id, view) in payee.views().closing() {
        let Some(close_at) = view.head.close_at else { continue };
        let Some(books) = payee.store().books(channel_id).await? else { continue };
        let due = books.due().saturating_sub(view.head.redeemed.max(books.redeemed));
        // Without a reservation nothing is about to leave, and what the account lacks no redemption finds.
        if !due.is_zero() && !view.head.reserved.is_zero() {
            leaving.insert(channel_id, (due, close_at.unix_seconds()));
        }
    }
    Ok(leaving)
}

async fn has_gas(chain: &Chain) -> bool {
    match chain.sender() {
        Some(sender) => !chain.balance(sender).await.unwrap_or(Amount::ZERO).is_zero(),
        None => false,
    }
}
