//! Where the payee's ledger is kept: one trait whose only write is an atomic batch, durable before it returns.
//!
//! A store holds no rules. It looks up what a batch [needs](super::posting::Needs), lets
//! [`post`](super::posting::post) decide, and writes what that changed, all in one transaction.

use super::views::BoxFuture;
use crate::chain::Fees;
use farthing_core::exposure::{AccountView, CreditTerms, Sight};
use farthing_core::ledger::{
    ChannelBooks, Charge, ChargeRequest, Credit, CreditRefusal, FinalRedemption, Purchase, Refusal,
};
use farthing_core::wire::ChallengeSecret;
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
    /// When it was signed: its UTC day's budget pays.
    pub at: Timestamp,
    /// What its gas costs, in wei; the most that it can cost until it is mined.
    pub cost: Amount,
}

/// What became of a redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedemptionState {
    /// Signed and perhaps sent; the chain has not shown it yet.
    Sent,
    /// Mined in this block, which a reorg can still undo. What it paid counts when it is final, not from here.
    Mined {
        /// The block's number.
        block: u64,
        /// Gas it used.
        gas_used: u64,
        /// Wei per unit of gas.
        #[serde(with = "crate::chain::wei")]
        gas_price: u128,
    },
    /// Mined in this block, which is final. No entry changes it any more.
    Final {
        /// The block's number.
        block: u64,
        /// Gas it used.
        gas_used: u64,
        /// Wei per unit of gas.
        #[serde(with = "crate::chain::wei")]
        gas_price: u128,
    },
    /// Mined and reverted, refused by the node, replaced or dropped: it paid nothing.
    Failed,
}

impl RedemptionState {
    /// Whether the chain has not had its last word on it: it may yet be mined, or its block undone.
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        matches!(self, Self::Sent | Self::Mined { .. })
    }

    /// Whether nothing changes it any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Final { .. })
    }
}

/// Who may send for a ledger now. There is one a ledger.
///
/// The time on it only spares replicas the work of preparing what another sends: clocks differ, and a process may
/// stand still for any time between its look at the clock and what it does next. What keeps two from sending is the
/// fence. It grows whenever the lease passes to another holder, and a [redemption with a fence](Entry::Redemption) is
/// written only while that is still the lease's. Whoever is answered [`Outcome::Noted`] wrote before the lease passed
/// on, so its successor finds the redemption among the [unsettled](PayeeStore::unsettled) and sends at the same nonce,
/// where one at most is mined. Whoever is answered [`Outcome::Fenced`] has nothing on record, and must not broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who has it: drawn at random by whoever asks, so that no two are the same.
    pub holder: B256,
    /// How often it has passed to another holder, this one included: never the same for two of them.
    pub fence: u64,
    /// From when on anyone may have it.
    pub until: Timestamp,
}

impl Lease {
    /// The longest that a lease is good, in seconds. Whoever sees more than that left of one goes by another clock than
    /// its holder, and takes it: a gateway whose clock was a year ahead when it died would keep everybody out until
    /// then. To take a lease too early costs work, and the fence sees to it that it costs nothing else.
    pub const LONGEST: u64 = 600;

    /// The lease of a ledger that nobody has asked for yet. No fence is its fence.
    pub const NOBODYS: Self = Self { holder: B256::ZERO, fence: 0, until: Timestamp::from_unix_seconds(0) };
}

/// A channel whose payee has something to redeem, or to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owing {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its books, with something outstanding.
    pub books: ChannelBooks,
    /// When its lowest charge above what was redeemed was made: nothing that it owes is older.
    pub since: Timestamp,
}

/// One entry of a batch.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Take a voucher and charge an item.
    Charge(Box<PendingCharge>),
    /// Give back a charge's price or a part of it.
    Credit {
        /// The channel.
        channel_id: ChannelId,
        /// The cumulative amount of the charge's voucher.
        cumulative_amount: Amount,
        /// How much; `None` is the whole price.
        amount: Option<Amount>,
        /// Now.
        at: Timestamp,
    },
    /// The chain has finally paid this much to a channel's payee.
    Redeemed {
        /// The channel.
        channel_id: ChannelId,
        /// The channel's `redeemed` at a final block.
        redeemed: Amount,
        /// That block.
        block: u64,
        /// Now.
        at: Timestamp,
    },
    /// A redemption is about to be sent, or something became of it.
    Redemption {
        /// What it is now.
        redemption: Redemption,
        /// The fence of the lease under which it is sent: written only while the lease has this one. `None` asks for no
        /// lease; it is for what is seen of the chain, and for whoever is alone with the ledger.
        fence: Option<u64>,
    },
    /// Something is about to be relayed, or its cost is known now.
    Relayed(Relayed),
    /// Asks for the lease, renews it or gives it back.
    Lease {
        /// Who asks.
        holder: B256,
        /// Now.
        at: Timestamp,
        /// Until when it is wanted, at most [`Lease::LONGEST`] from now. Not later than `at` gives it back, if the
        /// asker has it.
        until: Timestamp,
    },
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
    /// The credit is given, now or before.
    Credited {
        /// The channel's books.
        books: ChannelBooks,
        /// The entry.
        credit: Credit,
        /// Whether it was given before.
        again: bool,
    },
    /// The credit is not given, and nothing has changed.
    NotCredited(CreditRefusal),
    /// Written down, or there was nothing to write: a redemption that is final stays so, and whoever gives a lease back
    /// does not have it.
    Noted,
    /// The lease is the asker's from now on, or still.
    Leased(Lease),
    /// Somebody else has the lease, and nothing has changed.
    Held(Lease),
    /// The lease has passed to this holder, so nothing was written, and nothing may be broadcast.
    Fenced(Lease),
}

/// Thrown when a store can't be opened, read or written. What was to be written may not be served.
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
    /// The file is whole, and lacks batches that were acknowledged: it was cut, removed, or an older copy was put back.
    #[error("the store {path} holds {found} batches, and {acknowledged} were acknowledged")]
    Forgotten {
        /// The file.
        path: String,
        /// How many batches are in it.
        found: u64,
        /// How many there must be.
        acknowledged: u64,
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
    /// An entry belongs to a channel that is not in the ledger.
    #[error("an entry belongs to channel {channel_id}, which is not in the ledger")]
    UnknownChannel {
        /// The channel.
        channel_id: ChannelId,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// One row of a ledger, as it is read, exported and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Record {
    /// A channel's books.
    Channel {
        /// The channel.
        channel_id: ChannelId,
        /// What the other records add up to.
        books: ChannelBooks,
    },
    /// A voucher taken and an item charged.
    Charge {
        /// The channel.
        channel_id: ChannelId,
        /// The entry.
        charge: Charge,
    },
    /// A price given back.
    Credit {
        /// The channel.
        channel_id: ChannelId,
        /// The entry.
        credit: Credit,
    },
    /// What the chain has finally paid.
    FinalRedemption {
        /// The channel.
        channel_id: ChannelId,
        /// The entry.
        redemption: FinalRedemption,
    },
    /// A transaction that was signed.
    Redemption {
        /// The entry.
        redemption: Redemption,
    },
    /// Something relayed for a payer.
    Relayed {
        /// The entry.
        relayed: Relayed,
    },
    /// What accounts without history were served for in a day.
    Strangers {
        /// The UTC day, counted from 1970-01-01.
        day: u64,
        /// The sum.
        amount: Amount,
    },
}

impl Record {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Channel { .. } => RecordKind::Channel,
            Self::Charge { .. } => RecordKind::Charge,
            Self::Credit { .. } => RecordKind::Credit,
            Self::FinalRedemption { .. } => RecordKind::FinalRedemption,
            Self::Redemption { .. } => RecordKind::Redemption,
            Self::Relayed { .. } => RecordKind::Relayed,
            Self::Strangers { .. } => RecordKind::Strangers,
        }
    }
}

/// The kinds of [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named as its record")]
pub enum RecordKind {
    Channel,
    Charge,
    Credit,
    FinalRedemption,
    Redemption,
    Relayed,
    Strangers,
}

impl RecordKind {
    /// All of them, in an order in which each entry comes after those it builds on.
    pub const ALL: [Self; 7] = [
        Self::Channel,
        Self::Charge,
        Self::Credit,
        Self::FinalRedemption,
        Self::Redemption,
        Self::Relayed,
        Self::Strangers,
    ];
}

/// Is shown records one by one; an error ends the visit.
pub type Visitor<'a> = &'a mut (dyn FnMut(Record) -> Result<(), StoreError> + Send);

/// Is shown channels that owe something, one by one; an error ends the visit.
pub type OwingVisitor<'a> = &'a mut (dyn FnMut(Owing) -> Result<(), StoreError> + Send);

/// A payee's ledger on something durable.
///
/// The only write of a running payee is [`PayeeStore::accept_batch`]: there is no get-then-put through which two writers
/// could lose a charge. Reads may run at any time and see whole batches. Every method fails if the store can't be read or
/// written.
pub trait PayeeStore: fmt::Debug + Send + Sync {
    /// Decides on and writes a batch, in order, each entry seeing those before it. When it returns `Ok`, everything in
    /// it is durable. When it returns an error, nothing of it may be served: it is not known whether the batch is there,
    /// as a whole, and its retry finds out.
    fn accept_batch<'a>(&'a self, batch: &'a [Entry]) -> BoxFuture<'a, Result<Vec<Outcome>, StoreError>>;

    /// Writes records as they are, into a ledger that [`PayeeStore::visit`] shows as empty or that only this has written
    /// to: what another store's visit has shown.
    fn restore<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The secret that this ledger's challenges are made with; drawn once, so that a restart, or another gateway on the
    /// same ledger, honours what was issued.
    fn challenge_secret(&self) -> BoxFuture<'_, Result<ChallengeSecret, StoreError>>;

    /// The books of one channel.
    fn books(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<ChannelBooks>, StoreError>>;

    /// The books of an account's channels.
    fn books_of(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<(ChannelId, ChannelBooks)>, StoreError>>;

    /// The charge under a voucher's id.
    fn charge(
        &self,
        channel_id: ChannelId,
        cumulative_amount: Amount,
    ) -> BoxFuture<'_, Result<Option<Charge>, StoreError>>;

    /// A charge that paid for a purchase, and its channel.
    fn purchase(&self, purchase: Purchase) -> BoxFuture<'_, Result<Option<(ChannelId, Charge)>, StoreError>>;

    /// The charge with the highest voucher that is worth redeeming: at or below what is due, above what was redeemed.
    fn redeemable(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>>;

    /// The charge with the lowest voucher that makes good for all that is due, though it promises more: the last resort
    /// when a reservation is about to leave.
    fn last_resort(&self, channel_id: ChannelId) -> BoxFuture<'_, Result<Option<Charge>, StoreError>>;

    /// What was sent last for a payer's signature.
    fn relayed(&self, request: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>>;

    /// What was relayed in a transaction.
    fn relayed_in(&self, hash: B256) -> BoxFuture<'_, Result<Option<Relayed>, StoreError>>;

    /// What a UTC day's relaying has cost, in wei, with the most that it can cost for what is not mined yet.
    fn relay_spent(&self, day: u64) -> BoxFuture<'_, Result<Amount, StoreError>>;

    /// What the chain has not had its last word on, in any order. As cheap as there are few of them, however many
    /// redemptions are settled.
    fn unsettled(&self) -> BoxFuture<'_, Result<Vec<Redemption>, StoreError>>;

    /// The redemption in a transaction.
    fn redemption(&self, hash: B256) -> BoxFuture<'_, Result<Option<Redemption>, StoreError>>;

    /// Shows every channel that owes something, as they are at one moment, in any order.
    fn visit_owing<'a>(&'a self, visitor: OwingVisitor<'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Shows all records of these kinds, kind by kind, as they are at one moment; what was relayed in the order of its
    /// signing, everything else in any order.
    fn visit<'a>(&'a self, kinds: &'a [RecordKind], visitor: Visitor<'a>) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl dyn PayeeStore + '_ {
    /// All channels' books.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn all_books(&self) -> Result<Vec<(ChannelId, ChannelBooks)>, StoreError> {
        self.all(RecordKind::Channel, |record| match record {
            Record::Channel { channel_id, books } => Some((channel_id, books)),
            _ => None,
        })
        .await
    }

    /// All charges.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn all_charges(&self) -> Result<Vec<(ChannelId, Charge)>, StoreError> {
        self.all(RecordKind::Charge, |record| match record {
            Record::Charge { channel_id, charge } => Some((channel_id, charge)),
            _ => None,
        })
        .await
    }

    /// All redemptions.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn redemptions(&self) -> Result<Vec<Redemption>, StoreError> {
        self.all(RecordKind::Redemption, |record| match record {
            Record::Redemption { redemption } => Some(redemption),
            _ => None,
        })
        .await
    }

    /// Every channel that owes something.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub async fn owing(&self) -> Result<Vec<Owing>, StoreError> {
        let mut all = Vec::new();
        self.visit_owing(&mut |owing| {
            all.push(owing);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    async fn all<T: Send>(
        &self,
        kind: RecordKind,
        pick: impl Fn(Record) -> Option<T> + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.visit(&[kind], &mut |record| {
            all.extend(pick(record));
            Ok(())
        })
        .await?;
        Ok(all)
    }
}
