//! The ledger and the chain side by side, to the base unit: what was charged, given back, due and redeemed, and what
//! the escrow's events say was paid.

use super::payments::{self, Blocks, KnownTerms, Payment};
use super::store::{Entry, LedgerIdentity, PayeeStore, Record, RecordKind, StoreError};
use super::{Payee, clock};
use crate::chain::ChainError;
use crate::escrow::{Escrow, EscrowError};
use alloy::eips::BlockNumberOrTag;
use farthing_core::ledger::ChannelBooks;
use farthing_core::{Address, Amount, B256, ChannelId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// The oldest that a block before the ledger's first charge may be taken for: clocks differ, and a voucher is signed
/// before it is charged.
const BEFORE_THE_LEDGER_SECONDS: u64 = 86_400;

/// Thrown when no statement can be made. That ledger and chain differ is no error: the statement says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The chain.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger is another escrow's.
    #[error("the ledger is of {ledger}, not of {escrow}")]
    OtherEscrow {
        /// The ledger's.
        ledger: Box<LedgerIdentity>,
        /// The one that was asked.
        escrow: farthing_core::Deployment,
    },
}

impl From<ChainError> for StatementError {
    fn from(error: ChainError) -> Self {
        Self::Escrow(error.into())
    }
}

/// From where on events were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Beginning {
    /// From the block that created the escrow: nothing can be earlier.
    Escrow,
    /// From a day before the first charge: the node does not know any more when the escrow was created.
    Ledger,
    /// From a block that was named.
    Named,
}

/// The ledger and the chain side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// The first block whose events were read.
    pub from_block: u64,
    /// Why from there.
    pub beginning: Beginning,
    /// The last block that can no longer be undone.
    pub final_block: u64,
    /// The newest block.
    pub head_block: u64,
    /// All channels added up.
    pub total: Figures,
    /// What of `paid` was sent by nobody of this ledger: anyone may redeem.
    pub paid_by_others: Amount,
    /// What this statement found to be finally paid and the ledger had not noted yet.
    pub noted: Amount,
    /// Per channel, the most charged first.
    pub channels: Vec<ChannelStatement>,
    /// What does not agree. Nothing, if ledger and chain do.
    #[serde(skip)]
    pub differences: Vec<Difference>,
    /// The channels that `noted` is of, with what is finally paid.
    #[serde(skip)]
    behind: Vec<(ChannelId, Amount)>,
}

/// The figures of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Sold, by the ledger.
    pub charged: Amount,
    /// Given back, by the ledger.
    pub credited: Amount,
    /// Charged and not given back.
    pub due: Amount,
    /// Finally paid, by the ledger.
    pub redeemed: Amount,
    /// Finally paid, by the chain.
    pub paid: Amount,
    /// Paid on the chain, in blocks that are not final yet.
    pub pending: Amount,
    /// What the ledger has as redeemed and the chain has not paid.
    pub missing: Amount,
    /// What the chain has paid and the ledger can't account for.
    pub unaccounted: Amount,
}

/// One channel's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatement {
    /// The channel.
    pub channel_id: ChannelId,
    /// Who pays; of a channel that only the chain knows, it may not say.
    pub payer: Option<Address>,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Something on which ledger and chain do not agree. Amounts are base units.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// The ledger has more as redeemed than was paid.
    #[error("channel {channel_id}: the ledger has {redeemed} as redeemed, and the chain has finally paid {paid}")]
    Missing {
        /// The channel.
        channel_id: ChannelId,
        /// By the ledger.
        redeemed: Amount,
        /// By the chain.
        paid: Amount,
    },
    /// The chain has paid on a channel that the ledger does not know.
    #[error("channel {channel_id}: the chain has paid {paid}, last in {transaction}, and the ledger does not know it")]
    UnknownChannel {
        /// The channel.
        channel_id: ChannelId,
        /// What was paid, final or not.
        paid: Amount,
        /// The last transaction that paid.
        transaction: B256,
    },
    /// The chain has paid a voucher that the ledger does not hold.
    #[error("channel {channel_id}: the chain has paid {paid}, and the highest voucher in the ledger is for {accepted}")]
    UnknownVoucher {
        /// The channel.
        channel_id: ChannelId,
        /// What was paid, final or not.
        paid: Amount,
        /// The highest voucher held.
        accepted: Amount,
    },
    /// The node's events are not what its state says.
    #[error("channel {channel_id}: the node's events come to {events}, and the escrow itself says {state}")]
    Events {
        /// The channel.
        channel_id: ChannelId,
        /// By the events.
        events: Amount,
        /// By the contract.
        state: Amount,
    },
}

/// Makes a statement. Nothing is written; what [`Statement::notes`] returns may be.
///
/// # Errors
///
/// If the chain does not answer, is not the ledger's, or the ledger can't be read.
pub async fn statement(
    store: &dyn PayeeStore,
    identity: &LedgerIdentity,
    escrow: &Escrow,
    from_block: Option<u64>,
) -> Result<Statement, StatementError> {
    if escrow.deployment() != identity.deployment {
        return Err(StatementError::OtherEscrow { ledger: Box::new(*identity), escrow: escrow.deployment() });
    }
    // The ledger first: what it has as final is then final at the block that is looked at as well.
    let ledger = Ledger::read(store).await?;
    let chain = escrow.chain();
    let head = chain.block(BlockNumberOrTag::Latest).await?.map_or(0, |block| block.number);
    let final_block = chain.block(BlockNumberOrTag::Finalized).await?.map_or(0, |block| block.number.min(head));
    let (beginning, first) = begin(escrow, store, from_block, head).await?;
    let blocks = Blocks { first, last: head };
    let payments = payments::payments(escrow, identity, blocks).await?;
    let unknown: Vec<Payment> = payments.iter().copied().filter(|payment| !ledger.knows(payment)).collect();
    let elsewhere = payments::in_other_tokens(escrow, identity, &unknown, blocks).await?;
    let mut reconciliation = Reconciliation {
        escrow,
        final_block,
        beginning,
        statement: Statement {
            from_block: first,
            beginning,
            final_block,
            head_block: head,
            total: Figures::default(),
            paid_by_others: Amount::ZERO,
            noted: Amount::ZERO,
            channels: Vec::new(),
            differences: Vec::new(),
            behind: Vec::new(),
        },
    };
    let mut paid: BTreeMap<ChannelId, Vec<Payment>> = BTreeMap::new();
    for payment in payments.into_iter().filter(|payment| !elsewhere.contains(&payment.channel_id)) {
        paid.entry(payment.channel_id).or_default().push(payment);
    }
    for (channel_id, books) in &ledger.books {
        let payments = paid.remove(channel_id).unwrap_or_default();
        reconciliation.note_others(&payments, &ledger.transactions);
        reconciliation.known_channel(*channel_id, books, &payments).await?;
    }
    for (channel_id, payments) in paid {
        reconciliation.note_others(&payments, &ledger.transactions);
        reconciliation.unknown_channel(channel_id, &payments);
    }
    let mut statement = reconciliation.statement;
    statement.channels.sort_by_key(|row| (std::cmp::Reverse(row.figures.charged), row.channel_id));
    Ok(statement)
}

impl Payee {
    /// Makes a statement, and notes what was found to be finally paid, as the watcher does for the accounts it watches.
    ///
    /// # Errors
    ///
    /// As [`statement`], or if the ledger can't be written.
    ///
    /// # Cancel safety
    ///
    /// If dropped, a part may be noted; nothing else has changed.
    pub async fn statement(&self, escrow: &Escrow, from_block: Option<u64>) -> Result<Statement, StatementError> {
        let identity = self.0.options.identity;
        let statement = statement(self.store().as_ref(), &identity, escrow, from_block).await?;
        for entry in statement.notes() {
            self.writer().write(entry).await?;
        }
        Ok(statement)
    }
}

impl Statement {
    /// The entries that bring the ledger up to date with what is finally paid.
    #[must_use]
    pub fn notes(&self) -> Vec<Entry> {
        let (block, at) = (self.final_block, clock::now());
        let entry = |(channel_id, redeemed): &(ChannelId, Amount)| {
            let (channel_id, redeemed) = (*channel_id, *redeemed);
            Entry::Redeemed { channel_id, redeemed, block, at }
        };
        self.behind.iter().map(entry).collect()
    }
}

/// What matters of the ledger.
struct Ledger {
    books: BTreeMap<ChannelId, ChannelBooks>,
    accounts: HashSet<B256>,
    transactions: HashSet<B256>,
}

impl Ledger {
    async fn read(store: &dyn PayeeStore) -> Result<Self, StoreError> {
        let mut ledger = Self { books: BTreeMap::new(), accounts: HashSet::new(), transactions: HashSet::new() };
        let kinds = [RecordKind::Channel, RecordKind::Redemption];
        store
            .visit(&kinds, &mut |record| {
                match record {
                    Record::Channel { channel_id, books } => {
                        ledger.accounts.insert(books.channel.account().id().0);
                        ledger.books.insert(channel_id, books);
                    }
                    Record::Redemption { redemption } => {
                        ledger.transactions.insert(redemption.hash);
                    }
                    _ => {}
                }
                Ok(())
            })
            .await?;
        Ok(ledger)
    }

    /// Whether the ledger knows that a payment is in its token.
    fn knows(&self, payment: &Payment) -> bool {
        self.books.contains_key(&payment.channel_id)
            || match payment.terms {
                KnownTerms::Payer(_) => true,
                KnownTerms::Account(account) => self.accounts.contains(&account.0),
                KnownTerms::Nothing => false,
            }
    }
}

async fn begin(
    escrow: &Escrow,
    store: &dyn PayeeStore,
    named: Option<u64>,
    head: u64,
) -> Result<(Beginning, u64), StatementError> {
    if let Some(named) = named {
        return Ok((Beginning::Named, named));
    }
    if let Some(first) = payments::first_block(escrow, head).await? {
        return Ok((Beginning::Escrow, first));
    }
    // Nodes that keep no old state keep all blocks.
    let Some(first_charge) = first_charge(store).await? else { return Ok((Beginning::Ledger, head)) };
    let before = first_charge.unix_seconds().saturating_sub(BEFORE_THE_LEDGER_SECONDS);
    let before = Timestamp::from_unix_seconds(before);
    Ok((Beginning::Ledger, payments::block_before(escrow.chain(), before, head).await?))
}

async fn first_charge(store: &dyn PayeeStore) -> Result<Option<Timestamp>, StoreError> {
    let mut first: Option<Timestamp> = None;
    store
        .visit(&[RecordKind::Charge], &mut |record| {
            if let Record::Charge { charge, .. } = record {
                first = Some(first.map_or(charge.at, |first| first.min(charge.at)));
            }
            Ok(())
        })
        .await?;
    Ok(first)
}

/// A statement in the making.
struct Reconciliation<'a> {
    escrow: &'a Escrow,
    final_block: u64,
    beginning: Beginning,
    statement: Statement,
}

impl Reconciliation<'_> {
    async fn known_channel(
        &mut self,
        channel_id: ChannelId,
        books: &ChannelBooks,
        payments: &[Payment],
    ) -> Result<(), EscrowError> {
        let by_events = self.final_total(payments);
        let mut paid = by_events.unwrap_or_default();
        if paid != books.redeemed {
            // The state is asked where they differ only: it says which of them is right.
            let at = BlockNumberOrTag::Number(self.final_block);
            let state = match self.escrow.funds_of(&books.channel, at).await {
                Ok(funds) => funds.channel.redeemed,
                // The escrow is younger than the last final block.
                Err(EscrowError::Chain(ChainError::Reverted { .. }) | EscrowError::NoCode { .. }) => Amount::ZERO,
                Err(error) => return Err(error),
            };
            // Before a beginning that is not the escrow's, anything may have been paid.
            if paid != state && (by_events.is_some() || self.beginning == Beginning::Escrow) {
                self.differ(Difference::Events { channel_id, events: paid, state });
            }
            paid = state;
        }
        let noted = paid.saturating_sub(books.redeemed);
        if !noted.is_zero() {
            self.statement.noted = self.statement.noted.saturating_add(noted);
            self.statement.behind.push((channel_id, paid));
        }
        let redeemed = books.redeemed.max(paid);
        if redeemed > paid {
            self.differ(Difference::Missing { channel_id, redeemed, paid });
        }
        let newest = payments.last().map_or(paid, |payment| payment.redeemed.max(paid));
        if newest > books.accepted {
            self.differ(Difference::UnknownVoucher { channel_id, paid: newest, accepted: books.accepted });
        }
        self.add(ChannelStatement {
            channel_id,
            payer: Some(books.channel.payer),
            figures: Figures {
                charged: books.spent,
                credited: books.credited,
                due: books.due(),
                redeemed,
                paid,
                pending: newest.saturating_sub(paid),
                missing: redeemed.saturating_sub(paid),
                unaccounted: newest.saturating_sub(books.accepted),
            },
        });
        Ok(())
    }

    fn unknown_channel(&mut self, channel_id: ChannelId, payments: &[Payment]) {
        let Some(last) = payments.last() else { return };
        // Closing a channel that nobody was ever served on pays nothing.
        if last.redeemed.is_zero() {
            return;
        }
        let (newest, paid) = (last.redeemed, self.final_total(payments).unwrap_or_default());
        self.differ(Difference::UnknownChannel { channel_id, paid: newest, transaction: last.transaction });
        let pending = newest.saturating_sub(paid);
        let figures = Figures { paid, pending, unaccounted: newest, ..Figures::default() };
        let payer = payments.iter().find_map(|payment| match payment.terms {
            KnownTerms::Payer(payer) => Some(payer),
            KnownTerms::Account(_) | KnownTerms::Nothing => None,
        });
        self.add(ChannelStatement { channel_id, payer, figures });
    }

    /// A channel's total at the final block, if an event says it.
    fn final_total(&self, payments: &[Payment]) -> Option<Amount> {
        payments.iter().rev().find(|payment| payment.block <= self.final_block).map(|payment| payment.redeemed)
    }

    /// What was paid by transactions of strangers. The first event of a range that begins somewhere does not say how
    /// much it paid itself.
    fn note_others(&mut self, payments: &[Payment], transactions: &HashSet<B256>) {
        let mut before = (self.beginning != Beginning::Named).then_some(Amount::ZERO);
        for payment in payments {
            let paid = before.map_or(Amount::ZERO, |before| payment.redeemed.saturating_sub(before));
            if !transactions.contains(&payment.transaction) {
                self.statement.paid_by_others = self.statement.paid_by_others.saturating_add(paid);
            }
            before = Some(payment.redeemed);
        }
    }

    fn differ(&mut self, difference: Difference) {
        self.statement.differences.push(difference);
    }

    fn add(&mut self, row: ChannelStatement) {
        let (total, figures) = (&mut self.statement.total, row.figures);
        for (sum, part) in [
            (&mut total.charged, figures.charged),
            (&mut total.credited, figures.credited),
            (&mut total.due, figures.due),
            (&mut total.redeemed, figures.redeemed),
            (&mut total.paid, figures.paid),
            (&mut total.pending, figures.pending),
            (&mut total.missing, figures.missing),
            (&mut total.unaccounted, figures.unaccounted),
        ] {
            *sum = sum.saturating_add(part);
        }
        self.statement.channels.push(row);
    }
}
