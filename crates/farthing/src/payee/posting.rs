//! What a batch of entries does to a ledger: the same for every store, and free of any.
//!
//! A store looks up what a batch [`Needs`], hands it over as [`Rows`], and writes the [`Changes`]. Each entry sees those
//! before it, and a row that several entries touch is changed once.

use super::store::{Entry, Lease, Outcome, PendingCharge, Record, Redemption, RedemptionState, Relayed, StoreError};
use farthing_core::exposure::AccountPosition;
use farthing_core::ledger::{
    self, Acceptance, ChannelBooks, Charge, Credit, CreditRefusal, Crediting, FinalRedemption, Purchase,
};
use farthing_core::{AccountId, Amount, B256, ChannelId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What names a charge: the channel, and the cumulative amount of its voucher.
pub type ChargeId = (ChannelId, Amount);

/// What must be looked up before a batch can be decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The books of all channels of these accounts.
    pub accounts: BTreeSet<AccountId>,
    /// The books of these channels.
    pub channels: BTreeSet<ChannelId>,
    /// These charges.
    pub charges: BTreeSet<ChargeId>,
    /// What was given back for these charges.
    pub credits: BTreeSet<ChargeId>,
    /// What accounts without history were served for on these days.
    pub strangers: BTreeSet<u64>,
    /// What became of the redemptions in these transactions.
    pub redemptions: BTreeSet<B256>,
    /// What was relayed in these transactions.
    pub relayed: BTreeSet<B256>,
    /// What relaying cost on these days.
    pub relay_spent: BTreeSet<u64>,
    /// The lease, which nobody else may change before this batch is written.
    pub lease: bool,
}

impl Needs {
    /// What a batch needs.
    #[must_use]
    pub fn of(batch: &[Entry]) -> Self {
        let mut needs = Self::default();
        for entry in batch {
            match entry {
                Entry::Charge(pending) => {
                    let voucher = pending.voucher.voucher();
                    needs.accounts.insert(pending.voucher.account_id());
                    needs.charges.insert((voucher.channel_id, voucher.cumulative_amount));
                    needs.strangers.insert(pending.request.at.day());
                }
                Entry::Credit { channel_id, cumulative_amount, .. } => {
                    needs.channels.insert(*channel_id);
                    needs.charges.insert((*channel_id, *cumulative_amount));
                    needs.credits.insert((*channel_id, *cumulative_amount));
                }
                Entry::Redeemed { channel_id, .. } => {
                    needs.channels.insert(*channel_id);
                }
                Entry::Redemption { redemption, fence } => {
                    needs.redemptions.insert(redemption.hash);
                    needs.lease |= fence.is_some();
                }
                Entry::Relayed(relayed) => {
                    needs.relayed.insert(relayed.hash);
                    needs.relay_spent.insert(relayed.at.day());
                }
                Entry::Lease { .. } => needs.lease = true,
            }
        }
        needs
    }
}

/// What was looked up. What is not here is not in the store.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The channels of each account.
    pub accounts: BTreeMap<AccountId, Vec<ChannelId>>,
    /// Books, of those channels and of those that were named.
    pub books: BTreeMap<ChannelId, ChannelBooks>,
    /// Charges.
    pub charges: BTreeMap<ChargeId, Arc<Charge>>,
    /// Credits, by the charge that they give back.
    pub credits: BTreeMap<ChargeId, Credit>,
    /// Sums by day.
    pub strangers: BTreeMap<u64, Amount>,
    /// By transaction.
    pub redemptions: BTreeMap<B256, RedemptionState>,
    /// By transaction.
    pub relayed: BTreeMap<B256, Relayed>,
    /// Sums by day, in wei.
    pub relay_spent: BTreeMap<u64, Amount>,
    /// The lease, if anybody has ever had it.
    pub lease: Option<Lease>,
}

/// What is to be written. Rows that are not new replace the row of the same id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Channels that were not in the ledger, by account.
    pub new_channels: Vec<(AccountId, ChannelId)>,
    /// Books.
    pub books: BTreeMap<ChannelId, ChannelBooks>,
    /// New charges.
    #[serde(with = "shared")]
    pub charges: Vec<(ChannelId, Arc<Charge>)>,
    /// A charge that paid for each purchase; follows from the charges.
    #[serde(skip)]
    pub purchases: Vec<(Purchase, ChargeId)>,
    /// New credits.
    pub credits: Vec<(ChannelId, Credit)>,
    /// New final redemptions.
    pub final_redemptions: Vec<(ChannelId, FinalRedemption)>,
    /// By transaction.
    pub redemptions: BTreeMap<B256, Redemption>,
    /// By transaction.
    pub relayed: BTreeMap<B256, Relayed>,
    /// Which transaction was sent last for a payer's signature.
    pub relayed_by_request: BTreeMap<B256, B256>,
    /// Sums by day.
    pub strangers: BTreeMap<u64, Amount>,
    /// Sums by day, in wei.
    pub relay_spent: BTreeMap<u64, Amount>,
    /// The lease, if it has changed.
    #[serde(skip)]
    pub lease: Option<Lease>,
}

/// Charges are written down as what they are, whoever else has them.
mod shared {
    use super::{Arc, ChannelId, Charge};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        charges: &[(ChannelId, Arc<Charge>)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(charges.iter().map(|(id, charge)| (id, charge.as_ref())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(ChannelId, Arc<Charge>)>, D::Error> {
        let charges = Vec::<(ChannelId, Charge)>::deserialize(deserializer)?;
        Ok(charges.into_iter().map(|(id, charge)| (id, Arc::new(charge))).collect())
    }
}

/// Decides on a batch, in order.
#[must_use]
pub fn post(batch: &[Entry], rows: Rows) -> (Vec<Outcome>, Changes) {
    let mut posting = Posting { rows, changes: Changes::default() };
    let outcomes = batch.iter().map(|entry| posting.post(entry)).collect();
    (outcomes, posting.changes)
}

/// A batch in the making: rows as they are after the entries so far.
struct Posting {
    rows: Rows,
    changes: Changes,
}

impl Posting {
    fn post(&mut self, entry: &Entry) -> Outcome {
        match entry {
            Entry::Charge(pending) => self.charge(pending),
            Entry::Credit { channel_id, cumulative_amount, amount, at } => {
                self.credit((*channel_id, *cumulative_amount), *amount, *at)
            }
            Entry::Redeemed { channel_id, redeemed, block, at } => {
                self.redeemed(*channel_id, *redeemed, *block, *at);
                Outcome::Noted
            }
            Entry::Redemption { redemption, fence } => self.redemption(redemption, *fence),
            Entry::Relayed(relayed) => {
                self.relayed(relayed);
                Outcome::Noted
            }
            Entry::Lease { holder, at, until } => self.lease(*holder, *at, *until),
        }
    }

    fn charge(&mut self, pending: &PendingCharge) -> Outcome {
        let (voucher, channel) = (pending.voucher.voucher(), pending.voucher.channel());
        let (channel_id, account_id) = (voucher.channel_id, pending.voucher.account_id());
        let id = (channel_id, voucher.cumulative_amount);
        let known = self.rows.books.get(&channel_id).copied();
        let books = known.unwrap_or_else(|| ChannelBooks::new(*channel));
        let position = self.position(pending, account_id);
        match ledger::accept(
            &pending.voucher,
            &pending.request,
            &books,
            self.rows.charges.get(&id).map(AsRef::as_ref),
            &position,
        ) {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(Acceptance::Again { charge }) => Outcome::Charged { books, charge: Box::new(charge), again: true },
            Ok(Acceptance::Charged { books, charge }) => {
                if known.is_none() {
                    self.rows.accounts.entry(account_id).or_default().push(channel_id);
                    self.changes.new_channels.push((account_id, channel_id));
                }
                if !charge.unearned_credit.is_zero() {
                    let today = position.strangers_today.saturating_add(charge.unearned_credit);
                    self.rows.strangers.insert(charge.at.day(), today);
                    self.changes.strangers.insert(charge.at.day(), today);
                }
                self.write_books(channel_id, books);
                self.changes.purchases.push((charge.purchase(channel), id));
                let shared = Arc::new(charge.clone());
                self.rows.charges.insert(id, Arc::clone(&shared));
                self.changes.charges.push((channel_id, shared));
                Outcome::Charged { books, charge: Box::new(charge), again: false }
            }
        }
    }

    /// Adds up the account's channels. There are few of them: one a device.
    fn position(&self, pending: &PendingCharge, account_id: AccountId) -> AccountPosition {
        let channels = self.rows.accounts.get(&account_id).map(Vec::as_slice).unwrap_or_default();
        let books = channels.iter().filter_map(|id| Some((*id, self.rows.books.get(id)?)));
        let strangers_today = self.rows.strangers.get(&pending.request.at.day()).copied().unwrap_or_default();
        let channel_id = pending.voucher.voucher().channel_id;
        AccountPosition::of(channel_id, &pending.account, books, strangers_today, pending.sight, pending.credit)
    }

    fn credit(&mut self, id: ChargeId, amount: Option<Amount>, at: Timestamp) -> Outcome {
        let (channel_id, cumulative_amount) = id;
        let charged = self.rows.books.get(&channel_id).copied().zip(self.rows.charges.get(&id));
        let Some((books, charge)) = charged else {
            return Outcome::NotCredited(CreditRefusal::NoSuchCharge { cumulative_amount });
        };
        match ledger::credit(&books, charge, self.rows.credits.get(&id), amount, at) {
            Err(refusal) => Outcome::NotCredited(refusal),
            Ok(Crediting::Again { credit }) => Outcome::Credited { books, credit, again: true },
            Ok(Crediting::Credited { books, credit }) => {
                self.write_books(channel_id, books);
                self.rows.credits.insert(id, credit);
                self.changes.credits.push((channel_id, credit));
                Outcome::Credited { books, credit, again: false }
            }
        }
    }

    fn redeemed(&mut self, channel_id: ChannelId, redeemed: Amount, block: u64, at: Timestamp) {
        let Some(mut books) = self.rows.books.get(&channel_id).copied() else { return };
        let paid = books.note_redeemed(redeemed);
        if !paid.is_zero() {
            self.write_books(channel_id, books);
            let redemption = FinalRedemption { redeemed, paid, block, at };
            self.changes.final_redemptions.push((channel_id, redemption));
        }
    }

    /// Whoever waited too long under its lease is stopped here: what another holder may have sent meanwhile it does not
    /// know.
    fn redemption(&mut self, redemption: &Redemption, fence: Option<u64>) -> Outcome {
        let lease = self.rows.lease;
        if fence.is_some() && fence != lease.map(|lease| lease.fence) {
            return Outcome::Fenced(lease.unwrap_or(Lease::NOBODYS));
        }
        let known = self.rows.redemptions.get(&redemption.hash);
        if !known.is_some_and(RedemptionState::is_final) {
            self.rows.redemptions.insert(redemption.hash, redemption.state);
            self.changes.redemptions.insert(redemption.hash, redemption.clone());
        }
        Outcome::Noted
    }

    /// A holder renews its lease even after it ran out, if nobody has taken it: then nobody else has sent anything. The
    /// fence outlives a lease that was given back, for a number that came again would let its first holder write.
    fn lease(&mut self, holder: B256, at: Timestamp, until: Timestamp) -> Outcome {
        let lease = self.rows.lease;
        let own = lease.filter(|lease| lease.holder == holder);
        if until <= at {
            if let Some(own) = own {
                // From now on, whatever time the asker's clock says it is.
                self.write_lease(Lease { until: Timestamp::from_unix_seconds(0), ..own });
            }
            return Outcome::Noted;
        }
        let longest = at.plus_seconds(Lease::LONGEST);
        let until = until.min(longest);
        let next = match (own, lease) {
            (Some(own), _) => Lease { until, ..own },
            (None, Some(other)) if at < other.until && other.until <= longest => return Outcome::Held(other),
            (None, other) => {
                let last = other.unwrap_or(Lease::NOBODYS);
                // Without a number that nobody has had the lease passes to nobody.
                let Some(fence) = last.fence.checked_add(1) else { return Outcome::Held(last) };
                Lease { holder, fence, until }
            }
        };
        self.write_lease(next);
        Outcome::Leased(next)
    }

    fn write_lease(&mut self, lease: Lease) {
        self.rows.lease = Some(lease);
        self.changes.lease = Some(lease);
    }

    /// The day's sum grows by what is new, or shrinks by what it turned out not to have cost.
    fn relayed(&mut self, relayed: &Relayed) {
        let before = self.rows.relayed.insert(relayed.hash, *relayed);
        if before.is_none() {
            self.changes.relayed_by_request.insert(relayed.request, relayed.hash);
        }
        let counted = before.map_or(Amount::ZERO, |before| before.cost);
        let today = self.rows.relay_spent.get(&relayed.at.day()).copied().unwrap_or_default();
        let today = today.saturating_sub(counted).saturating_add(relayed.cost);
        self.rows.relay_spent.insert(relayed.at.day(), today);
        self.changes.relay_spent.insert(relayed.at.day(), today);
        self.changes.relayed.insert(relayed.hash, *relayed);
    }

    fn write_books(&mut self, channel_id: ChannelId, books: ChannelBooks) {
        self.rows.books.insert(channel_id, books);
        self.changes.books.insert(channel_id, books);
    }
}

/// What must be looked up before records can be restored.
#[must_use]
pub fn restore_needs(records: &[Record]) -> Needs {
    let mut needs = Needs::default();
    for record in records {
        match record {
            Record::Charge { channel_id, .. } => {
                needs.channels.insert(*channel_id);
            }
            Record::Relayed { relayed } => {
                needs.relay_spent.insert(relayed.at.day());
            }
            _ => {}
        }
    }
    needs
}

/// What restoring records writes: the entries as they are, and the rows that follow from them.
///
/// # Errors
///
/// If a charge's channel is neither among the records nor in the store.
pub fn restore(records: &[Record], mut rows: Rows) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for record in records {
        match record {
            Record::Channel { channel_id, books } => {
                changes.new_channels.push((books.channel.account().id(), *channel_id));
                changes.books.insert(*channel_id, *books);
                rows.books.insert(*channel_id, *books);
            }
            Record::Charge { channel_id, charge } => {
                let books = rows.books.get(channel_id);
                let books = books.ok_or(StoreError::UnknownChannel { channel_id: *channel_id })?;
                let purchase = charge.purchase(&books.channel);
                // With the charge, so that no batch has a charge whose books it does not have.
                changes.books.insert(*channel_id, *books);
                changes.purchases.push((purchase, (*channel_id, charge.cumulative_amount)));
                changes.charges.push((*channel_id, Arc::new(charge.clone())));
            }
            Record::Credit { channel_id, credit } => changes.credits.push((*channel_id, *credit)),
            Record::FinalRedemption { channel_id, redemption } => {
                changes.final_redemptions.push((*channel_id, *redemption));
            }
            Record::Redemption { redemption } => {
                changes.redemptions.insert(redemption.hash, redemption.clone());
            }
            Record::Relayed { relayed } => {
                let today = rows.relay_spent.entry(relayed.at.day()).or_default();
                *today = today.saturating_add(relayed.cost);
                changes.relay_spent.insert(relayed.at.day(), *today);
                changes.relayed_by_request.insert(relayed.request, relayed.hash);
                changes.relayed.insert(relayed.hash, *relayed);
            }
            Record::Strangers { day, amount } => {
                changes.strangers.insert(*day, *amount);
            }
        }
    }
    Ok(changes)
}
