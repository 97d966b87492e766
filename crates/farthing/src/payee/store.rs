//! Where the payee's ledger is kept: one trait whose only write is an atomic batch, durable before it returns.

use super::views::AccountView;
use crate::chain::Fees;
use farthing_core::ledger::{AccountPosition, ChannelBooks, Charge, ChargeRequest, CreditTerms, Refusal, Sight};
use farthing_core::{AccountId, Address, Amount, B256, ChannelId, Deployment, Timestamp, VerifiedVoucher};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Whose ledger a store holds. A store refuses to open for another payee, escrow, chain or token: mixing two ledgers
/// would count one's vouchers as the other's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerIdentity {
    /// The escrow and its chain.
    pub deployment: Deployment,
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub token: Address,
}

impl fmt::Display for LedgerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "payee {}, token {}, {}", self.payee, self.token, self.deployment)
    }
}

/// A voucher that was verified, and all that the ledger needs to decide on it.
#[derive(Clone, Debug)]
pub struct PendingCharge {
    /// The voucher.
    pub voucher: VerifiedVoucher,
    /// What is to be charged.
    pub request: ChargeRequest,
    /// The account behind the channel.
    pub account: Arc<AccountView>,
    /// How well the chain is in view.
    pub sight: Sight,
    /// The creator's terms.
    pub credit: CreditTerms,
}

/// A redemption or close, written down before it is sent. What is relayed for a payer is one as well, without vouchers:
/// the same key sends it, and of two transactions at one place in its order one at most is ever mined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    /// The transaction's hash.
    pub hash: B256,
    /// Who signed it.
    pub sender: Address,
    /// The sender's nonce in it. Of those with the same nonce one at most is ever mined.
    pub nonce: u64,
    /// What it offers for its gas: what takes its place has to offer more.
    pub fees: Fees,
    /// The channels in it, each with the cumulative amount of its voucher.
    pub vouchers: Vec<(ChannelId, Amount)>,
    /// Whether it closes the channel as well.
    pub closes: bool,
    /// When it was signed.
    pub at: Timestamp,
    /// What became of it.
    pub state: RedemptionState,
}

impl Redemption {
    /// Whether it was relayed for a payer and redeems nothing.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.vouchers.is_empty() && !self.closes
    }
}

/// What was spent, at most, to relay something: written down before the transaction is sent, and put right when it is
/// mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// The digest that the payer signed.
    pub request: B256,
    /// The transaction that was sent last for it.
    pub hash: B256,
    /// The UTC day whose budget pays, counted from 1970-01-01.
    pub day: u64,
    /// What its gas costs, in wei; the most that it can cost until it is mined.
    pub cost: Amount,
}

/// What became of a redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedemptionState {
    /// Signed and perhaps sent; the chain has not shown it yet.
    Sent,
    /// Mined in this block. What it paid counts when it is final, not from here.
    Mined {
        /// The block's number.
        block: u64,
        /// Gas it used.
        gas_used: u64,
        /// Wei per unit of gas.
        gas_price: u128,
    },
    /// Mined and reverted, refused by the node, replaced or dropped: it paid nothing.
    Failed,
}

/// One entry of a batch.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Take a voucher and charge an item.
    Charge(Box<PendingCharge>),
    /// The chain has finally paid this much to a channel's payee.
    Redeemed {
        /// The channel.
        channel_id: ChannelId,
        /// The channel's `redeemed` at the last final block.
        redeemed: Amount,
    },
    /// A redemption is about to be sent, or something became of it.
    Redemption(Redemption),
    /// Something is about to be relayed, or its cost is known now.
    Relayed(Relayed),
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The item is charged, now or by an earlier copy of the same request.
    Charged {
        /// The channel's books.
        books: ChannelBooks,
        /// The entry.
        charge: Box<Charge>,
        /// Whether it was an earlier copy.
        again: bool,
    },
    /// The voucher was refused, and nothing has changed.
    Refused(Refusal),
    /// Written down.
    Noted,
}

/// Thrown when a store can't be opened, read or written. What was to be written counts as not written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {path} is in use by another process")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file is of another version of this program.
    #[error("the store {path} has schema version {found}; this program reads version {expected}")]
    Schema {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The file holds the ledger of somebody else, another escrow, chain or token.
    #[error("the store {path} holds the ledger of {found}, not of {expected}")]
    OtherLedger {
        /// The file.
        path: String,
        /// Whose it is.
        found: Box<LedgerIdentity>,
        /// Whose was asked for.
        expected: Box<LedgerIdentity>,
    },
    /// The disk, or the file's content.
    #[error("the store {path} fails: {reason}")]
    Failed {
        /// The file.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// More is waiting to be written than can be.
    #[error("{waiting} vouchers are waiting to be stored; try again")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// A payee's ledger on something durable.
///
/// The only write is [`PayeeStore::accept_batch`]: there is no get-then-put through which two writers could lose a
/// charge. Reads may run at any time and see whole batches.
pub trait PayeeStore: fmt::Debug + Send + Sync {
    /// Decides on and writes a batch, in order, each entry seeing those before it. When it returns `Ok`, everything in
    /// it is durable; when it returns an error, nothing of it counts.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    fn accept_batch(&self, batch: &[Entry]) -> Result<Vec<Outcome>, StoreError>;

    /// The books of one channel.
    ///
    /// # Errors
    ///
    /// If it can't be read; so for all that follow.
    fn books(&self, channel_id: ChannelId) -> Result<Option<ChannelBooks>, StoreError>;

    /// All channels' books.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn all_books(&self) -> Result<Vec<(ChannelId, ChannelBooks)>, StoreError>;

    /// The books of an account's channels.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn books_of(&self, account: AccountId) -> Result<Vec<(ChannelId, ChannelBooks)>, StoreError>;

    /// The charge under a voucher's id.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn charge(&self, channel_id: ChannelId, cumulative_amount: Amount) -> Result<Option<Charge>, StoreError>;

    /// All charges.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn all_charges(&self) -> Result<Vec<(ChannelId, Charge)>, StoreError>;

    /// The charge with the highest voucher that is worth redeeming: at or below what is due, above what was redeemed.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn redeemable(&self, channel_id: ChannelId) -> Result<Option<Charge>, StoreError>;

    /// The charge with the lowest voucher that makes good for all that is due, though it promises more: the last resort
    /// when a reservation is about to leave.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn last_resort(&self, channel_id: ChannelId) -> Result<Option<Charge>, StoreError>;

    /// All redemptions.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn redemptions(&self) -> Result<Vec<Redemption>, StoreError>;

    /// What was sent last for a payer's signature.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn relayed(&self, request: B256) -> Result<Option<Relayed>, StoreError>;

    /// What was relayed in a transaction.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn relayed_in(&self, hash: B256) -> Result<Option<Relayed>, StoreError>;

    /// What a UTC day's relaying has cost, in wei, with the most that it can cost for what is not mined yet.
    ///
    /// # Errors
    ///
    /// See [`PayeeStore::books`].
    fn relay_spent(&self, day: u64) -> Result<Amount, StoreError>;
}

/// What a store must look up to judge a voucher: the sums over the account's other channels, and the day's credit to
/// strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSums {
    /// Unsecured debts of the account's other channels.
    pub other_exposure: Amount,
    /// What was ever redeemed from the account's channels.
    pub redeemed: Amount,
    /// What accounts without history were served for today.
    pub strangers_today: Amount,
}

impl PendingCharge {
    /// The debt of one of the account's channels that nothing guarantees.
    #[must_use]
    pub fn exposure_of(&self, channel_id: ChannelId, books: &ChannelBooks) -> Amount {
        // A channel that has not been looked at yet counts with all that its books say.
        let unseen = books.due().saturating_sub(books.redeemed);
        self.account.channels.get(&channel_id).map_or(unseen, |(_, view)| view.unsecured(books.due()))
    }

    /// Puts together where the account stands.
    #[must_use]
    pub fn position(&self, sums: &AccountSums) -> AccountPosition {
        let channel_id = self.voucher.voucher().channel_id;
        let channel = self.account.channels.get(&channel_id).map(|(_, view)| *view).unwrap_or_default();
        AccountPosition {
            balance: self.account.balance,
            channel,
            other_exposure: sums.other_exposure,
            redeemed: sums.redeemed,
            strangers_today: sums.strangers_today,
            sight: self.sight,
            credit: self.credit,
        }
    }
}
