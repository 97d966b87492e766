//! Why an order is not relayed, and what its payer is told.

use super::GOOD_FOR_SECONDS;
use crate::chain::ChainError;
use crate::escrow::EscrowError;
use crate::payee::StoreError;
use crate::payee::redeemer::RedeemError;
use farthing_core::voucher::SignatureError;
use farthing_core::wire::{Problem, ProblemType};
use farthing_core::{Account, Address, Amount, Timestamp, Token};

/// A UTC day.
const DAY_SECONDS: u64 = 86_400;

/// Thrown when something is not relayed. Nothing was sent then, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// For another escrow or chain, in another token, or for another payee.
    #[error("this site relays for its own escrow, token and payee only; {what} is another")]
    NotOurs {
        /// What is another one.
        what: &'static str,
    },
    /// Too little.
    #[error("{} is less than the {} from which on this site relays", token.format(*amount), token.format(*minimum))]
    Minimum {
        /// How much was asked.
        amount: Amount,
        /// The least.
        minimum: Amount,
        /// In what.
        token: Token,
    },
    /// Not signed by the payer.
    #[error("the payer's signature is not good: {0}")]
    Signature(#[from] SignatureError),
    /// Not good now, or not for long enough to be mined.
    #[error("it is good after {from} and before {until}, and now is {now}; it needs {GOOD_FOR_SECONDS} s")]
    Time {
        /// The last second in which it is not good yet.
        from: Timestamp,
        /// The first second in which it is not good any more.
        until: Timestamp,
        /// The head's time.
        now: Timestamp,
    },
    /// Nobody has paid here from this account: free withdrawals are for customers.
    #[error(
        "nothing was bought here from account {}, and this site relays withdrawals of its customers only", account.id()
    )]
    Stranger {
        /// The account.
        account: Account,
    },
    /// What would be left would not pay for what was bought here.
    #[error(
        "the account holds {} and owes {} here, so at most {} can be withdrawn",
        token.format(*balance), token.format(*owed), token.format(balance.saturating_sub(*owed))
    )]
    Owes {
        /// What the account holds.
        balance: Amount,
        /// What it owes this payee and no reservation covers.
        owed: Amount,
        /// In what.
        token: Token,
    },
    /// This payer had its share of the day.
    #[error("{count} orders of {payer} were relayed today; ask again tomorrow (UTC)")]
    TooMany {
        /// The payer.
        payer: Address,
        /// How many.
        count: u32,
    },
    /// Others are being served, or a transaction of the same key is in the way.
    #[error("another transaction has its turn; ask again in a minute")]
    Busy,
    /// The day's gas is spent.
    #[error("today's gas for relaying is used up; ask again tomorrow (UTC), or send it yourself")]
    BudgetSpent {
        /// What is spent, in wei.
        spent: Amount,
        /// What this would cost at most, in wei.
        cost: Amount,
        /// What may be spent, in wei.
        budget: Amount,
    },
    /// Gas is too dear.
    #[error("gas is too dear now; ask again later")]
    GasTooDear {
        /// The price, in wei.
        price: u128,
        /// What is paid at most.
        maximum: u128,
    },
    /// The wallet would keep too little to redeem with.
    #[error("this site can pay for no more gas now; ask again later")]
    WalletLow {
        /// What the wallet holds, in wei.
        balance: Amount,
        /// What this would cost at most, and what is kept, in wei.
        required: Amount,
    },
    /// It would run more code than an order has reason to.
    #[error("it would use {gas} gas, more than the {maximum} that this site sends for an order")]
    TooMuchGas {
        /// What it would use at most.
        gas: u64,
        /// What it may.
        maximum: u64,
    },
    /// The chain would refuse it.
    #[error("the chain would refuse it: {reason}")]
    WouldFail {
        /// Why.
        reason: String,
    },
    /// The chain does not answer, the relay's own wallet is empty, or the node refuses the transaction.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key's earlier transactions can't be looked up.
    #[error(transparent)]
    Redeemer(#[from] RedeemError),
    /// The work was stopped in the middle: the process ends.
    #[error("stopped before it was clear whether it was sent")]
    Stopped,
}

impl RelayError {
    /// After how many seconds it may be worth asking again.
    #[must_use]
    pub const fn retry_after(&self, now: Timestamp) -> Option<u64> {
        match self {
            Self::BudgetSpent { .. } | Self::TooMany { .. } => Some(DAY_SECONDS - now.unix_seconds() % DAY_SECONDS),
            Self::Busy
            | Self::GasTooDear { .. }
            | Self::WalletLow { .. }
            | Self::Escrow(_)
            | Self::Store(_)
            | Self::Redeemer(_) => Some(60),
            _ => None,
        }
    }

    /// What the client is told. What concerns the creator's wallet, chain or store stays in the log.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let kind = match self {
            Self::NotOurs { .. } | Self::Stranger { .. } | Self::Owes { .. } | Self::TooMuchGas { .. } => {
                ProblemType::RelayRefused
            }
            Self::Minimum { .. } => ProblemType::RelayMinimum,
            Self::Signature(_) | Self::Time { .. } => ProblemType::RelayInvalid,
            Self::TooMany { .. } => ProblemType::RelayTooMany,
            Self::WouldFail { .. } => ProblemType::RelayWouldFail,
            Self::Busy | Self::BudgetSpent { .. } | Self::GasTooDear { .. } | Self::WalletLow { .. } => {
                ProblemType::RelayExhausted
            }
            Self::Escrow(_) | Self::Store(_) | Self::Redeemer(_) | Self::Stopped => {
                return Problem::new(ProblemType::RelayExhausted, "it can't be sent now; ask again later");
            }
        };
        let problem = Problem::new(kind, self.to_string());
        match self {
            Self::Minimum { minimum, .. } => problem.with("minimum", minimum),
            Self::Owes { balance, owed, .. } => problem.with("balance", balance).with("owed", owed),
            _ => problem,
        }
    }
}

impl From<ChainError> for RelayError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}
