//! Why something is not redeemed.

use crate::chain::ChainError;
use crate::escrow::EscrowError;
use crate::payee::StoreError;
use farthing_core::voucher::SignatureError;
use farthing_core::{Address, Amount, B256, ChannelId, Timestamp};

/// Thrown when vouchers can't be redeemed. What was sent is on record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The chain, or the contract's refusal.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry of the ledger is damaged.
    #[error("the voucher stored for channel {channel_id} is damaged: {reason}")]
    Damaged {
        /// The channel.
        channel_id: ChannelId,
        /// What is wrong with it.
        reason: SignatureError,
    },
    /// Nobody was ever served on this channel.
    #[error("channel {channel_id} is not in the ledger")]
    UnknownChannel {
        /// The channel.
        channel_id: ChannelId,
    },
    /// The connection sends as somebody else.
    #[error("only the payee {payee} and its operators can close a channel, not {sender}")]
    NotPayee {
        /// Who would send.
        sender: Address,
        /// Whose channel it is.
        payee: Address,
    },
    /// There is no money behind the voucher any more.
    #[error("there is no money behind it, neither reserved nor in the account; {owed} base units stay owed")]
    Uncovered {
        /// What it would pay.
        owed: Amount,
    },
    /// The escrow would not pay the voucher, although there is money behind it.
    #[error("the escrow would not pay it: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Another gateway on the same ledger is sending.
    #[error("another gateway sends for this ledger, until {until} unless it needs longer")]
    Held {
        /// When its lease runs out, if it does not renew it.
        until: Timestamp,
    },
    /// Another gateway took the lease over, because this one stood still for longer than it had it. Nothing was sent.
    #[error("another gateway has begun to send for this ledger (fence {fence}); nothing was sent here")]
    Fenced {
        /// The lease's fence now.
        fence: u64,
    },
    /// Another gateway's transaction is on its way, sent with another key.
    #[error("transaction {transaction}, sent by {sender} for the same ledger, is on its way with it")]
    UnderWay {
        /// The transaction.
        transaction: B256,
        /// Whose it is.
        sender: Address,
    },
}

impl RedeemError {
    /// Whether it says something of the node that was asked, and not of what was asked: another node may do better.
    pub(super) const fn is_the_nodes(&self) -> bool {
        matches!(
            self,
            Self::Escrow(
                EscrowError::Chain(
                    ChainError::Unreachable { .. } | ChainError::Amount(_) | ChainError::WrongChain { .. }
                ) | EscrowError::Answer(_)
                    | EscrowError::NoCode { .. }
                    | EscrowError::TooFewNodes { .. }
            )
        )
    }

    /// Whether it is what a node says of a channel, which another node may know better.
    pub(super) const fn is_a_nodes_word(&self) -> bool {
        matches!(self, Self::Uncovered { .. } | Self::Refused { .. })
    }

    /// Whether it says that a transaction is too large.
    pub(super) const fn is_too_much_gas(&self) -> bool {
        matches!(self, Self::Escrow(EscrowError::Chain(ChainError::TooMuchGas { .. })))
    }

    /// Whether it says that nothing was mined for as long as was waited.
    pub(super) const fn is_not_mined(&self) -> bool {
        matches!(self, Self::Escrow(EscrowError::Chain(ChainError::NotMined { .. })))
    }
}

impl From<ChainError> for RedeemError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}
