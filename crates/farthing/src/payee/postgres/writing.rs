//! What writes down a batch's changes: a statement a table, whatever the number of rows, and no row twice.

use super::super::posting::{Changes, ChargeId};
use super::super::store::{Redemption, RedemptionState};
use super::numeric::Numeric;
use super::rows::state_name;
use super::statements::Sql;
use farthing_core::ledger::Charge;
use farthing_core::{Amount, ChannelId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// A day's sum as a batch found it, and as it leaves it.
type SumChange = (u64, Option<Amount>, Amount);

/// The sums by day that a batch changes. They belong to nobody's account, so a batch does not hold them while it is
/// decided on; it finds out afterwards whether they are still what it was decided on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SumChanges {
    strangers: Vec<SumChange>,
    relay_spent: Vec<SumChange>,
}

/// The sums by day that a batch was decided on.
#[derive(Debug, Default)]
pub(super) struct SumsBefore {
    pub(super) strangers: BTreeMap<u64, Amount>,
    pub(super) relay_spent: BTreeMap<u64, Amount>,
}

impl SumChanges {
    pub(super) fn between(before: &SumsBefore, changes: &Changes) -> Self {
        let between = |before: &BTreeMap<u64, Amount>, after: &BTreeMap<u64, Amount>| {
            after.iter().map(|(day, amount)| (*day, before.get(day).copied(), *amount)).collect()
        };
        Self {
            strangers: between(&before.strangers, &changes.strangers),
            relay_spent: between(&before.relay_spent, &changes.relay_spent),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What writes them, unless another batch has changed one of them since. Then fewer rows are written than there are
    /// [sums](Self::len).
    pub(super) fn orders(&self) -> Vec<Order<'_>> {
        let mut orders = Vec::new();
        add_sums(&mut orders, Sql::AddStrangers, Sql::ChangeStrangers, &self.strangers);
        add_sums(&mut orders, Sql::AddRelaySpent, Sql::ChangeRelaySpent, &self.relay_spent);
        orders
    }

    pub(super) const fn len(&self) -> usize {
        self.strangers.len() + self.relay_spent.len()
    }
}

fn add_sums(orders: &mut Vec<Order<'_>>, add: Sql, change: Sql, sums: &[SumChange]) {
    let added: Vec<_> = sums.iter().filter(|(_, before, _)| before.is_none()).collect();
    if !added.is_empty() {
        let order = Order::new(add).with(added.iter().map(|(day, _, _)| day.cast_signed()));
        orders.push(order.with(added.iter().map(|(_, _, amount)| Numeric(*amount))));
    }
    let changed: Vec<_> = sums.iter().filter_map(|(day, before, amount)| Some((day, (*before)?, amount))).collect();
    if !changed.is_empty() {
        let order = Order::new(change).with(changed.iter().map(|(day, _, _)| day.cast_signed()));
        let order = order.with(changed.iter().map(|(_, before, _)| Numeric(*before)));
        orders.push(order.with(changed.iter().map(|(_, _, amount)| Numeric(**amount))));
    }
}

/// A statement with the columns of its rows.
pub(super) struct Order<'a> {
    pub(super) sql: Sql,
    pub(super) columns: Vec<Box<dyn ToSql + Send + Sync + 'a>>,
}

impl<'a> Order<'a> {
    fn new(sql: Sql) -> Self {
        Self { sql, columns: Vec::new() }
    }

    /// With one more column.
    fn with<T: ToSql + Send + Sync + 'a>(mut self, column: impl Iterator<Item = T>) -> Self {
        self.columns.push(Box::new(column.collect::<Vec<T>>()));
        self
    }
}

/// What writes everything else, in this order.
pub(super) fn orders(changes: &Changes) -> Vec<Order<'_>> {
    let mut orders = Vec::new();
    let accounts: BTreeSet<_> = changes.books.values().map(|books| books.channel.account().id()).collect();
    let accounts = || accounts.iter().map(|account| account.0.to_vec());
    if !changes.new_channels.is_empty() {
        // Those of restored records were not held, and may not be there yet.
        orders.push(Order::new(Sql::AddAccounts).with(accounts()));
    }
    if !changes.books.is_empty() {
        orders.push(Order::new(Sql::ChangeAccounts).with(accounts()));
        orders.push(put_channels(changes));
    }
    if !changes.charges.is_empty() {
        orders.push(add_charges(changes));
    }
    if !changes.credits.is_empty() {
        orders.push(add_credits(changes));
    }
    if !changes.final_redemptions.is_empty() {
        orders.push(add_final_redemptions(changes));
    }
    if !changes.redemptions.is_empty() {
        orders.push(put_redemptions(changes));
        orders.push(add_redemption_vouchers(changes));
    }
    if let Some(lease) = &changes.lease {
        let order = Order::new(Sql::PutLease).with(std::iter::once(lease.holder.as_slice()));
        orders.push(order.with(std::iter::once(number(lease.fence))).with(std::iter::once(unix_time(lease.until))));
    }
    if !changes.relayed.is_empty() {
        orders.push(put_relayed(changes));
        let last = || changes.relayed_by_request.iter();
        let order = Order::new(Sql::PutRelayedLast).with(last().map(|(request, _)| request.as_slice()));
        orders.push(order.with(last().map(|(_, hash)| hash.as_slice())));
    }
    orders
}

fn put_channels(changes: &Changes) -> Order<'_> {
    let books = || changes.books.values();
    Order::new(Sql::PutChannels)
        .with(changes.books.keys().map(|id| id.0.as_slice()))
        .with(books().map(|books| books.channel.account().id().0.to_vec()))
        .with(books().map(|books| books.channel.payer.as_slice()))
        .with(books().map(|books| books.channel.authorized_signer.as_slice()))
        .with(books().map(|books| books.channel.salt.as_slice()))
        .with(books().map(|books| Numeric(books.accepted)))
        .with(books().map(|books| Numeric(books.spent)))
        .with(books().map(|books| Numeric(books.credited)))
        .with(books().map(|books| Numeric(books.redeemed)))
}

fn add_charges(changes: &Changes) -> Order<'_> {
    let signers: BTreeMap<ChargeId, &[u8]> =
        changes.purchases.iter().map(|(purchase, id)| (*id, purchase.signer.as_slice())).collect();
    let charges = || changes.charges.iter().map(|(_, charge)| charge.as_ref());
    // A charge without a purchase has no signer, which the table refuses.
    let signer = |(id, charge): &(ChannelId, Arc<Charge>)| signers.get(&(*id, charge.cumulative_amount)).copied();
    Order::new(Sql::AddCharges)
        .with(changes.charges.iter().map(|(id, _)| id.0.as_slice()))
        .with(charges().map(|charge| Numeric(charge.cumulative_amount)))
        .with(charges().map(|charge| charge.signature.to_bytes().to_vec()))
        .with(charges().map(|charge| Numeric(charge.price)))
        .with(charges().map(|charge| charge.item.as_str()))
        .with(changes.charges.iter().map(signer))
        .with(charges().map(|charge| charge.request.0.as_slice()))
        .with(charges().map(|charge| Numeric(charge.unearned_credit)))
        .with(charges().map(|charge| unix_time(charge.at)))
}

fn add_credits(changes: &Changes) -> Order<'_> {
    let credits = || changes.credits.iter().map(|(_, credit)| credit);
    Order::new(Sql::AddCredits)
        .with(changes.credits.iter().map(|(id, _)| id.0.as_slice()))
        .with(credits().map(|credit| Numeric(credit.cumulative_amount)))
        .with(credits().map(|credit| Numeric(credit.amount)))
        .with(credits().map(|credit| unix_time(credit.at)))
}

fn add_final_redemptions(changes: &Changes) -> Order<'_> {
    let redemptions = || changes.final_redemptions.iter().map(|(_, redemption)| redemption);
    Order::new(Sql::AddFinalRedemptions)
        .with(changes.final_redemptions.iter().map(|(id, _)| id.0.as_slice()))
        .with(redemptions().map(|redemption| Numeric(redemption.redeemed)))
        .with(redemptions().map(|redemption| Numeric(redemption.paid)))
        .with(redemptions().map(|redemption| number(redemption.block)))
        .with(redemptions().map(|redemption| unix_time(redemption.at)))
}

fn put_redemptions(changes: &Changes) -> Order<'_> {
    let redemptions = || changes.redemptions.values();
    let mined = || redemptions().map(mined);
    Order::new(Sql::PutRedemptions)
        .with(redemptions().map(|redemption| redemption.hash.as_slice()))
        .with(redemptions().map(|redemption| redemption.sender.as_slice()))
        .with(redemptions().map(|redemption| number(redemption.nonce)))
        .with(redemptions().map(|redemption| number(redemption.fees.max_fee_per_gas)))
        .with(redemptions().map(|redemption| number(redemption.fees.max_priority_fee_per_gas)))
        .with(redemptions().map(|redemption| redemption.closes))
        .with(redemptions().map(|redemption| unix_time(redemption.at)))
        .with(redemptions().map(|redemption| state_name(&redemption.state)))
        .with(mined().map(|mined| mined.map(|[block, _, _]| block)))
        .with(mined().map(|mined| mined.map(|[_, gas_used, _]| gas_used)))
        .with(mined().map(|mined| mined.map(|[_, _, gas_price]| gas_price)))
}

/// Block, gas and its price, of what was mined.
fn mined(redemption: &Redemption) -> Option<[Numeric; 3]> {
    match redemption.state {
        RedemptionState::Mined { block, gas_used, gas_price }
        | RedemptionState::Final { block, gas_used, gas_price } => {
            Some([number(block), number(gas_used), number(gas_price)])
        }
        RedemptionState::Sent | RedemptionState::Failed => None,
    }
}

fn add_redemption_vouchers(changes: &Changes) -> Order<'_> {
    let vouchers = || {
        changes.redemptions.values().flat_map(|redemption| {
            (0_i64..).zip(&redemption.vouchers).map(|(place, voucher)| (redemption.hash.as_slice(), place, voucher))
        })
    };
    Order::new(Sql::AddRedemptionVouchers)
        .with(vouchers().map(|(hash, _, _)| hash))
        .with(vouchers().map(|(_, place, _)| place))
        .with(vouchers().map(|(_, _, (channel_id, _))| channel_id.0.as_slice()))
        .with(vouchers().map(|(_, _, (_, amount))| Numeric(*amount)))
}

fn put_relayed(changes: &Changes) -> Order<'_> {
    let relayed = || changes.relayed.values();
    Order::new(Sql::PutRelayed)
        .with(relayed().map(|relayed| relayed.hash.as_slice()))
        .with(relayed().map(|relayed| relayed.request.as_slice()))
        .with(relayed().map(|relayed| unix_time(relayed.at)))
        .with(relayed().map(|relayed| Numeric(relayed.cost)))
}

/// No time is later than the year 9999.
fn unix_time(at: Timestamp) -> i64 {
    at.unix_seconds().cast_signed()
}

fn number(number: impl Into<u128>) -> Numeric {
    Numeric(Amount::new(number.into()))
}
