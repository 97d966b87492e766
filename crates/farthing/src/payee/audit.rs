//! Verifies a ledger from its entries alone: every signature, every sum, every reference.
//!
//! A store's file is not to be trusted with money, and neither is what wrote it: what the books say has to follow from
//! the entries, and the entries from what payers signed.

use super::posting::ChargeId;
use super::store::{LedgerIdentity, PayeeStore, Record, RecordKind, Redemption, Relayed, StoreError};
use farthing_core::ledger::{ChannelBooks, Charge, Credit, FinalRedemption, Purchase};
use farthing_core::voucher::{Domain, SignatureError};
use farthing_core::{AccountId, Amount, B256, ChannelId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a ledger holds, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Audit {
    /// How many records of each kind there are.
    pub counts: Counts,
    /// What is wrong. Nothing, if the ledger is as it should be.
    pub problems: Vec<AuditProblem>,
}

/// How many records of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is named as its record")]
pub struct Counts {
    pub channels: u64,
    pub charges: u64,
    pub credits: u64,
    pub final_redemptions: u64,
    pub redemptions: u64,
    pub relayed: u64,
    pub strangers: u64,
}

impl Counts {
    /// Counts one record more.
    pub fn add(&mut self, kind: RecordKind) {
        let count = match kind {
            RecordKind::Channel => &mut self.channels,
            RecordKind::Charge => &mut self.charges,
            RecordKind::Credit => &mut self.credits,
            RecordKind::FinalRedemption => &mut self.final_redemptions,
            RecordKind::Redemption => &mut self.redemptions,
            RecordKind::Relayed => &mut self.relayed,
            RecordKind::Strangers => &mut self.strangers,
        };
        *count += 1;
    }

    /// How many records there are.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.channels
            + self.charges
            + self.credits
            + self.final_redemptions
            + self.redemptions
            + self.relayed
            + self.strangers
    }
}

/// One of the figures in a channel's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is named as its field")]
pub enum Counter {
    Accepted,
    Spent,
    Credited,
    Redeemed,
}

impl std::fmt::Display for Counter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Accepted => "accepted",
            Self::Spent => "spent",
            Self::Credited => "credited",
            Self::Redeemed => "redeemed",
        })
    }
}

/// Something that is wrong with a ledger. Amounts are base units.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditProblem {
    /// The terms are not those that the id commits to.
    #[error("channel {channel_id}: its terms have the id {actual}")]
    WrongId {
        /// The id that they are kept under.
        channel_id: ChannelId,
        /// Their own.
        actual: ChannelId,
    },
    /// The channel pays somebody else, or in another token.
    #[error("channel {channel_id}: it is not one to this ledger's payee in its token")]
    OtherPayee {
        /// The channel.
        channel_id: ChannelId,
    },
    /// An entry belongs to no channel of the ledger.
    #[error("channel {channel_id}: entries belong to it, and its books are missing")]
    NoBooks {
        /// The channel.
        channel_id: ChannelId,
    },
    /// The signature is not the signer's over that amount.
    #[error("channel {channel_id}, voucher {cumulative_amount}: {reason}")]
    Signature {
        /// The channel.
        channel_id: ChannelId,
        /// The voucher.
        cumulative_amount: Amount,
        /// What is wrong with it.
        reason: SignatureError,
    },
    /// The books say something else than the entries come to.
    #[error("channel {channel_id}: its books say {books} {counter}, and its entries come to {entries}")]
    Sum {
        /// The channel.
        channel_id: ChannelId,
        /// Which figure.
        counter: Counter,
        /// What the books say.
        books: Amount,
        /// What the entries come to.
        entries: Amount,
    },
    /// More was charged than the payer promised.
    #[error("channel {channel_id}: {spent} is spent, more than the {accepted} accepted")]
    Overspent {
        /// The channel.
        channel_id: ChannelId,
        /// What was charged.
        spent: Amount,
        /// What was promised.
        accepted: Amount,
    },
    /// A credit of a charge that is not there, or of more than it cost.
    #[error("channel {channel_id}, voucher {cumulative_amount}: {credited} is credited of the {price} that it paid")]
    Credit {
        /// The channel.
        channel_id: ChannelId,
        /// The charge's voucher.
        cumulative_amount: Amount,
        /// What was given back.
        credited: Amount,
        /// What the charge was; nothing if there is none.
        price: Amount,
    },
    /// A final redemption does not go on from the one before.
    #[error("channel {channel_id}: the final redemption to {redeemed} pays {paid}, and {before} was paid before it")]
    FinalRedemption {
        /// The channel.
        channel_id: ChannelId,
        /// The total that it names.
        redeemed: Amount,
        /// What it says to have paid.
        paid: Amount,
        /// The total before.
        before: Amount,
    },
    /// A transaction redeems a voucher that was never charged.
    #[error(
        "transaction {hash}: it redeems a voucher for {cumulative_amount} of channel {channel_id} that is not here"
    )]
    Redeems {
        /// The transaction.
        hash: B256,
        /// The channel.
        channel_id: ChannelId,
        /// The voucher.
        cumulative_amount: Amount,
    },
    /// The index of what is not settled is wrong: a transaction would be forgotten, or looked for again and again.
    #[error("transaction {hash}: the index of what is not settled does not say what its state says")]
    Unsettled {
        /// The transaction.
        hash: B256,
    },
    /// The index of purchases does not find what was bought: it would be charged again.
    #[error("channel {channel_id}, voucher {cumulative_amount}: what it bought is not found by its buyer's key")]
    Purchase {
        /// The channel.
        channel_id: ChannelId,
        /// The charge's voucher.
        cumulative_amount: Amount,
    },
    /// The index of accounts does not find a channel: its debts would not count.
    #[error("channel {channel_id}: it is not found by its account {account}")]
    Account {
        /// The channel.
        channel_id: ChannelId,
        /// Its account.
        account: AccountId,
    },
    /// A day's credit for accounts without history is counted too low.
    #[error("day {day}: {counted} of credit for new accounts is counted, and {given} was given")]
    Strangers {
        /// The UTC day, counted from 1970-01-01.
        day: u64,
        /// What the day's sum says.
        counted: Amount,
        /// What its charges come to.
        given: Amount,
    },
    /// What a day's relaying cost is counted wrong, in wei.
    #[error("day {day}: {counted} wei of relaying is counted, and its entries come to {spent}")]
    RelaySpent {
        /// The UTC day, counted from 1970-01-01.
        day: u64,
        /// What the day's sum says.
        counted: Amount,
        /// What the entries come to.
        spent: Amount,
    },
    /// What was relayed is not found by its transaction or by what the payer signed.
    #[error("transaction {hash}: what was relayed in it is not found by the digest {request} that its payer signed")]
    Relayed {
        /// The transaction.
        hash: B256,
        /// The digest.
        request: B256,
    },
}

/// Verifies a ledger. Charges are not kept in memory, but for who bought what.
///
/// # Errors
///
/// If it can't be read. What is wrong with what was read is no error: it is in the [`Audit`].
pub async fn audit(store: &dyn PayeeStore, identity: &LedgerIdentity) -> Result<Audit, StoreError> {
    let mut auditor = Auditor::new(identity);
    let kinds = [
        RecordKind::Channel,
        RecordKind::Credit,
        RecordKind::FinalRedemption,
        RecordKind::Charge,
        RecordKind::Redemption,
        RecordKind::Relayed,
        RecordKind::Strangers,
    ];
    store
        .visit(&kinds, &mut |record| {
            auditor.look(record);
            Ok(())
        })
        .await?;
    auditor.settle();
    auditor.check_references(store).await?;
    Ok(auditor.audit)
}

struct Auditor {
    identity: LedgerIdentity,
    domain: Domain,
    audit: Audit,
    channels: HashMap<ChannelId, ChannelSums>,
    /// Those that were not matched with their charge yet.
    credits: BTreeMap<ChargeId, Credit>,
    /// Who bought what, each once, with a charge that paid for it.
    purchases: HashMap<Purchase, ChargeId>,
    /// What transactions redeem.
    redeems: Vec<(B256, ChargeId)>,
    /// Those that are not settled.
    unsettled: BTreeSet<B256>,
    relayed: BTreeMap<B256, Relayed>,
    strangers_given: BTreeMap<u64, Amount>,
    strangers_counted: BTreeMap<u64, Amount>,
}

#[derive(Default)]
struct ChannelSums {
    books: Option<ChannelBooks>,
    accepted: Amount,
    spent: Amount,
    credited: Amount,
    finals: Vec<FinalRedemption>,
}

impl Auditor {
    fn new(identity: &LedgerIdentity) -> Self {
        Self {
            identity: *identity,
            domain: Domain::new(identity.deployment),
            audit: Audit::default(),
            channels: HashMap::new(),
            credits: BTreeMap::new(),
            purchases: HashMap::new(),
            redeems: Vec::new(),
            unsettled: BTreeSet::new(),
            relayed: BTreeMap::new(),
            strangers_given: BTreeMap::new(),
            strangers_counted: BTreeMap::new(),
        }
    }

    fn problem(&mut self, problem: AuditProblem) {
        self.audit.problems.push(problem);
    }

    fn look(&mut self, record: Record) {
        self.audit.counts.add(record.kind());
        match record {
            Record::Channel { channel_id, books } => self.look_at_books(channel_id, books),
            Record::Charge { channel_id, charge } => self.look_at_charge(channel_id, &charge),
            Record::Credit { channel_id, credit } => {
                let sums = self.channels.entry(channel_id).or_default();
                sums.credited = sums.credited.saturating_add(credit.amount);
                self.credits.insert((channel_id, credit.cumulative_amount), credit);
            }
            Record::FinalRedemption { channel_id, redemption } => {
                self.channels.entry(channel_id).or_default().finals.push(redemption);
            }
            Record::Redemption { redemption } => {
                let Redemption { hash, vouchers, state, .. } = redemption;
                if state.is_unsettled() {
                    self.unsettled.insert(hash);
                }
                self.redeems.extend(vouchers.into_iter().map(|voucher| (hash, voucher)));
            }
            Record::Relayed { relayed } => {
                self.relayed.insert(relayed.hash, relayed);
            }
            Record::Strangers { day, amount } => {
                self.strangers_counted.insert(day, amount);
            }
        }
    }

    fn look_at_books(&mut self, channel_id: ChannelId, books: ChannelBooks) {
        let actual = books.channel.id(&self.identity.deployment);
        if actual != channel_id {
            self.problem(AuditProblem::WrongId { channel_id, actual });
        }
        if books.channel.payee != self.identity.payee || books.channel.token != self.identity.token {
            self.problem(AuditProblem::OtherPayee { channel_id });
        }
        if books.spent > books.accepted {
            let (spent, accepted) = (books.spent, books.accepted);
            self.problem(AuditProblem::Overspent { channel_id, spent, accepted });
        }
        self.channels.entry(channel_id).or_default().books = Some(books);
    }

    fn look_at_charge(&mut self, channel_id: ChannelId, charge: &Charge) {
        let cumulative_amount = charge.cumulative_amount;
        let sums = self.channels.entry(channel_id).or_default();
        sums.accepted = sums.accepted.max(cumulative_amount);
        sums.spent = sums.spent.saturating_add(charge.price);
        if let Some(channel) = sums.books.map(|books| books.channel) {
            if let Err(reason) = charge.voucher(&channel, &self.domain) {
                self.problem(AuditProblem::Signature { channel_id, cumulative_amount, reason });
            }
            self.purchases.insert(charge.purchase(&channel), (channel_id, cumulative_amount));
        }
        if let Some(credit) = self.credits.remove(&(channel_id, cumulative_amount))
            && credit.amount > charge.price
        {
            let (credited, price) = (credit.amount, charge.price);
            self.problem(AuditProblem::Credit { channel_id, cumulative_amount, credited, price });
        }
        if !charge.unearned_credit.is_zero() {
            let given = self.strangers_given.entry(charge.at.day()).or_default();
            *given = given.saturating_add(charge.unearned_credit);
        }
    }

    /// What only the whole ledger shows.
    fn settle(&mut self) {
        for ((channel_id, cumulative_amount), credit) in std::mem::take(&mut self.credits) {
            let (credited, price) = (credit.amount, Amount::ZERO);
            self.problem(AuditProblem::Credit { channel_id, cumulative_amount, credited, price });
        }
        let mut channels: Vec<_> = std::mem::take(&mut self.channels).into_iter().collect();
        channels.sort_by_key(|(channel_id, _)| *channel_id);
        for (channel_id, mut sums) in channels {
            let redeemed = self.follow(channel_id, &mut sums.finals);
            let Some(books) = sums.books else {
                self.problem(AuditProblem::NoBooks { channel_id });
                continue;
            };
            let figures = [
                (Counter::Accepted, books.accepted, sums.accepted),
                (Counter::Spent, books.spent, sums.spent),
                (Counter::Credited, books.credited, sums.credited),
                (Counter::Redeemed, books.redeemed, redeemed),
            ];
            for (counter, books, entries) in figures {
                if books != entries {
                    self.problem(AuditProblem::Sum { channel_id, counter, books, entries });
                }
            }
            // Kept for the indexes, which the store is asked about.
            self.channels.insert(channel_id, ChannelSums { books: Some(books), ..ChannelSums::default() });
        }
        for (day, given) in std::mem::take(&mut self.strangers_given) {
            let counted = self.strangers_counted.get(&day).copied().unwrap_or_default();
            if counted < given {
                self.problem(AuditProblem::Strangers { day, counted, given });
            }
        }
    }

    /// Follows a channel's final redemptions upwards; returns what they come to.
    fn follow(&mut self, channel_id: ChannelId, finals: &mut [FinalRedemption]) -> Amount {
        finals.sort_by_key(|redemption| redemption.redeemed);
        let (mut before, mut block) = (Amount::ZERO, 0);
        for redemption in finals {
            let FinalRedemption { redeemed, paid, .. } = *redemption;
            let follows = before.checked_add(paid) == Some(redeemed) && !paid.is_zero();
            if !follows || redemption.block < block {
                self.problem(AuditProblem::FinalRedemption { channel_id, redeemed, paid, before });
            }
            (before, block) = (redeemed, redemption.block);
        }
        before
    }

    /// What the store looks up has to be what it shows.
    async fn check_references(&mut self, store: &dyn PayeeStore) -> Result<(), StoreError> {
        for (hash, (channel_id, cumulative_amount)) in std::mem::take(&mut self.redeems) {
            if store.charge(channel_id, cumulative_amount).await?.is_none() {
                self.problem(AuditProblem::Redeems { hash, channel_id, cumulative_amount });
            }
        }
        self.check_unsettled(store).await?;
        for (purchase, (channel_id, cumulative_amount)) in std::mem::take(&mut self.purchases) {
            let found = store.purchase(purchase).await?;
            if found.is_none_or(|(_, charge)| charge.request != purchase.request) {
                self.problem(AuditProblem::Purchase { channel_id, cumulative_amount });
            }
        }
        self.check_accounts(store).await?;
        self.check_relaying(store).await
    }

    /// Those that were settled or sent since they were visited are as they should be.
    async fn check_unsettled(&mut self, store: &dyn PayeeStore) -> Result<(), StoreError> {
        let mut missing = std::mem::take(&mut self.unsettled);
        for Redemption { hash, state, .. } in store.unsettled().await? {
            missing.remove(&hash);
            if !state.is_unsettled() {
                self.problem(AuditProblem::Unsettled { hash });
            }
        }
        for hash in missing {
            if store.redemption(hash).await?.is_some_and(|redemption| redemption.state.is_unsettled()) {
                self.problem(AuditProblem::Unsettled { hash });
            }
        }
        Ok(())
    }

    async fn check_accounts(&mut self, store: &dyn PayeeStore) -> Result<(), StoreError> {
        let books = self.channels.iter().filter_map(|(id, sums)| Some((*id, sums.books?)));
        let mut accounts: BTreeMap<AccountId, BTreeSet<ChannelId>> = BTreeMap::new();
        for (channel_id, books) in books {
            accounts.entry(books.channel.account().id()).or_default().insert(channel_id);
        }
        for (account, channels) in accounts {
            let found: HashSet<ChannelId> = store.books_of(account).await?.into_iter().map(|(id, _)| id).collect();
            for channel_id in channels.into_iter().filter(|id| !found.contains(id)) {
                self.problem(AuditProblem::Account { channel_id, account });
            }
        }
        Ok(())
    }

    async fn check_relaying(&mut self, store: &dyn PayeeStore) -> Result<(), StoreError> {
        let mut days: BTreeMap<u64, Amount> = BTreeMap::new();
        for (hash, relayed) in std::mem::take(&mut self.relayed) {
            let spent = days.entry(relayed.at.day()).or_default();
            *spent = spent.saturating_add(relayed.cost);
            let request = relayed.request;
            if store.relayed_in(hash).await?.is_none() || store.relayed(request).await?.is_none() {
                self.problem(AuditProblem::Relayed { hash, request });
            }
        }
        for (day, spent) in days {
            let counted = store.relay_spent(day).await?;
            if counted != spent {
                self.problem(AuditProblem::RelaySpent { day, counted, spent });
            }
        }
        Ok(())
    }
}
