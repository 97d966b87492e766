//! Why an order is not relayed, or why nobody knows yet whether it was.

use super::error::PayerError;
use super::store::StoreError;
use crate::chain::ChainError;
use crate::escrow::EscrowError;
use crate::token::SigningError;
use farthing_core::wire::Problem;
use farthing_core::{Address, Amount, B256, Timestamp, Token};

/// Thrown when something is not relayed, or nobody knows yet whether it was.
///
/// Unless it says otherwise, nothing was signed by this call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The site, the escrow or the token is none that this payer deals with, or the store failed.
    #[error(transparent)]
    Payer(#[from] PayerError),
    /// The chain or the escrow.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The token takes no signatures that can be relayed.
    #[error(transparent)]
    Token(#[from] SigningError),
    /// The site relays nothing.
    #[error("{site} does not relay: its creator has to say so with serve --relay")]
    NoRelay {
        /// The site.
        site: String,
    },
    /// The site relays for another escrow, token or payee.
    #[error("{site} relays for its own escrow, token and payee; {what} is another")]
    NotTheirs {
        /// The site.
        site: String,
        /// What is another one.
        what: &'static str,
    },
    /// Less than the site relays.
    #[error("{} is less than the {} from which on {site} relays", token.format(*amount), token.format(*minimum))]
    Minimum {
        /// The site.
        site: String,
        /// How much was to be relayed.
        amount: Amount,
        /// The least.
        minimum: Amount,
        /// In what.
        token: Box<Token>,
    },
    /// Only the wallet whose money it is can sign for it.
    #[error("{payer} has to sign for its own money; this key is {signer}")]
    NotPayer {
        /// Whose money it is.
        payer: Address,
        /// Who would sign.
        signer: Address,
    },
    /// There is not so much.
    #[error("{holder} holds {}, less than {}", token.format(*held), token.format(*amount))]
    TooLittle {
        /// The wallet or the account.
        holder: String,
        /// What it holds.
        held: Amount,
        /// What was asked for.
        amount: Amount,
        /// Of what.
        token: Box<Token>,
    },
    /// An order of its kind was signed before, for something else, and can still be carried out.
    #[error(
        "an order over {} that was signed for {site} can still be carried out until {until}", token.format(*amount)
    )]
    Open {
        /// The site that it was signed for.
        site: String,
        /// How much it moves.
        amount: Amount,
        /// Until when.
        until: Timestamp,
        /// In what.
        token: Box<Token>,
    },
    /// The site does not send it. It was signed, and could still be sent until `until`; asking again, here or at
    /// another site, sends the same order.
    #[error(
        "{site} does not relay it: {} ({status})",
        if problem.detail.is_empty() { &problem.title } else { &problem.detail }
    )]
    Refused {
        /// The site.
        site: String,
        /// The answer's status.
        status: u16,
        /// Why, in its words.
        problem: Box<Problem>,
        /// When the order is over.
        until: Timestamp,
    },
    /// The site gave no answer that says what it did. Asking again sends the same order.
    #[error("{site} was sent the order, and its answer did not come; asking again sends the same order")]
    OutcomeUnknown {
        /// The site.
        site: String,
    },
    /// The site says that it has sent it, and the chain does not show it. Asking again, here or at another site, sends
    /// the same order.
    #[error(
        "{site} says that it sent the order in transaction {transaction}; after {seconds} s the chain does not show it"
    )]
    NotSeen {
        /// The site.
        site: String,
        /// What it names.
        transaction: B256,
        /// How long was waited.
        seconds: u64,
    },
    /// Another withdrawal of this account, signed before or on another device, was carried out instead.
    #[error("another withdrawal was carried out instead: {amount} base units to {to}")]
    Superseded {
        /// How much it moved, in base units.
        amount: String,
        /// Who got it.
        to: Address,
    },
    /// Its time was over before anybody sent it. Nothing has moved, and nothing can any more.
    #[error("the order was not carried out before {until}, and can't be any more")]
    Expired {
        /// When its time was over.
        until: Timestamp,
    },
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Payer(error.into())
    }
}

impl From<ChainError> for OrderError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}
