//! The journal's rules: how a promise is made, kept, and given up. Each function is one step of one transaction.
//!
//! Per channel, `promised` is where the next voucher starts and `highest_signed` is the most that the payee can redeem.
//! They differ only by refused promises that were *released*: taken off the top, because nothing above them is
//! promised. Their amounts are signed again, by later purchases, before anything higher is; so a payee that refuses
//! everything it is sent holds one item's worth, and not one more for each refusal. Until then they count towards the
//! budget of the day and site that made them. Hence, for every channel:
//!
//! > Σ `counted` over its promises ≥ `highest_signed`
//!
//! and every day's budget bounds what was promised on that day.

use super::epoch::Lineage;
use super::records::{
    BY_DAY, BY_REQUEST, BY_VOUCHER, HELD, JOURNAL, PaidChannel, Promise, PromiseId, PromiseState, Spending, decode,
};
use super::{StoreError, failed, tables};
use crate::payer::budget::{BudgetError, Counted, Spend};
use crate::payer::policy::Limits;
use farthing_core::wire::{Problem, SignedReceipt};
use farthing_core::{Account, Address, Amount, Channel, ChannelId, Deployment, Timestamp, Token};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use std::collections::BTreeMap;

/// What is to be bought, and within which limits.
#[derive(Clone, Debug)]
pub(in crate::payer) struct Intent {
    pub(in crate::payer) deployment: Deployment,
    pub(in crate::payer) account: Account,
    pub(in crate::payer) payee: Address,
    pub(in crate::payer) token: Token,
    pub(in crate::payer) limits: Limits,
    pub(in crate::payer) price: Amount,
    /// What the owner agreed to pay for this item, if it was asked.
    pub(in crate::payer) approved: Option<Amount>,
    /// The payee that the owner allows this origin to change to.
    pub(in crate::payer) accept_payee: Option<Address>,
    /// The reservation that the payee insists on.
    pub(in crate::payer) reservation: Option<Amount>,
    pub(in crate::payer) method: String,
    pub(in crate::payer) url: String,
    pub(in crate::payer) body: Option<String>,
    /// Tells this request from others; see [`earlier`].
    pub(in crate::payer) request: String,
    /// Promise it even if the same request was promised before: it is bought again, or a gift.
    pub(in crate::payer) anew: bool,
    pub(in crate::payer) origin: String,
    pub(in crate::payer) item: String,
    pub(in crate::payer) at: Timestamp,
}

/// What must be reserved before a payee serves more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payer) struct Shortfall {
    /// How much to reserve now.
    pub(in crate::payer) amount: Amount,
    /// What is then redeemed and reserved in total.
    pub(in crate::payer) required: Amount,
    /// What is then locked beyond what the payee is owed.
    pub(in crate::payer) locked: Amount,
}

/// Why nothing was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::payer) enum Denied {
    NoDeposit,
    PayeeChanged { pinned: Address },
    Budget(Box<BudgetError>),
    NeedsReservation { channel: Box<Channel>, shortfall: Shortfall },
    TooLarge { cumulative_amount: Amount },
}

/// Makes a promise: checks account, payee, budget and reservation, takes the next cumulative amount, and writes all of
/// it down. One transaction, so that neither a budget nor an amount is ever given away twice.
///
/// Whoever looked for an earlier promise before did so in another transaction, and was perhaps not alone. So it is looked
/// for here once more, and returned as it is: of two that ask for one item at once, one promises and both send its
/// voucher.
pub(super) fn promise(
    transaction: &WriteTransaction,
    lineage: &Lineage,
    intent: &Intent,
) -> Result<Result<Promise, Denied>, StoreError> {
    if !intent.anew {
        let by_request = transaction.open_table(BY_REQUEST).map_err(failed)?;
        let journal = transaction.open_table(JOURNAL).map_err(failed)?;
        if let Some(promise) = last_unrefused(&by_request, &journal, &intent.request)? {
            return Ok(Ok(promise));
        }
    }
    if !tables::is_funded(transaction, &intent.deployment, &intent.account)? {
        return Ok(Err(Denied::NoDeposit));
    }
    let pinned = tables::payee(transaction, &intent.origin)?;
    if let Some(pinned) = pinned.filter(|pinned| *pinned != intent.payee && intent.accept_payee != Some(intent.payee)) {
        return Ok(Err(Denied::PayeeChanged { pinned }));
    }
    let channel = channel_for(transaction, lineage, intent)?;
    let Some(cumulative_amount) = channel.promised.checked_add(intent.price).filter(|sum| *sum <= Amount::MAX_ON_CHAIN)
    else {
        return Ok(Err(Denied::TooLarge { cumulative_amount: channel.promised.saturating_add(intent.price) }));
    };
    let replaced = replaced(transaction, &channel, intent.price)?;
    let counted = counted_today(transaction, intent, &replaced)?;
    let (origin, token, chain_id) = (&intent.origin, &intent.token, intent.deployment.chain_id);
    let spend = Spend { origin, price: intent.price, approved: intent.approved, token, chain_id };
    if let Err(error) = intent.limits.check(&spend, counted) {
        return Ok(Err(Denied::Budget(Box::new(error))));
    }
    if let Some(shortfall) = intent.reservation.and_then(|asked| shortfall(&channel, intent.price, asked)) {
        // The channel is kept, so that the reservation is made, and recorded, for the one that will be used.
        tables::save_channel(transaction, &channel)?;
        return Ok(Err(match intent.limits.check_reservation(shortfall.locked, token) {
            Ok(()) => Denied::NeedsReservation { channel: Box::new(channel.channel), shortfall },
            Err(error) => Denied::Budget(Box::new(error)),
        }));
    }
    replace(transaction, &channel, replaced)?;
    write(transaction, intent, channel, cumulative_amount).map(Ok)
}

/// This store's channel with a payee at a site: the first of its salts whose channel is not retired.
fn channel_for(transaction: &WriteTransaction, lineage: &Lineage, intent: &Intent) -> Result<PaidChannel, StoreError> {
    let Intent { deployment, account, payee, .. } = intent;
    let mut channel = Channel {
        payer: account.payer,
        payee: *payee,
        token: account.token,
        salt: lineage.salt(deployment, &intent.origin, *payee, account.token),
        authorized_signer: account.authorized_signer,
    };
    let mut known = tables::channel(transaction, channel.id(deployment))?;
    while known.as_ref().is_some_and(|known| known.retired) {
        channel.salt = lineage.next_salt(channel.salt);
        known = tables::channel(transaction, channel.id(deployment))?;
    }
    Ok(known.unwrap_or_else(|| PaidChannel {
        deployment: *deployment,
        channel,
        origin: intent.origin.clone(),
        promised: Amount::ZERO,
        highest_signed: Amount::ZERO,
        guaranteed: Amount::ZERO,
        retired: false,
        since: intent.at,
    }))
}

fn write(
    transaction: &WriteTransaction,
    intent: &Intent,
    channel: PaidChannel,
    cumulative_amount: Amount,
) -> Result<Promise, StoreError> {
    let promise = Promise {
        id: tables::next_id(transaction)?,
        deployment: intent.deployment,
        channel: channel.channel,
        cumulative_amount,
        price: intent.price,
        counted: intent.price,
        method: intent.method.clone(),
        url: intent.url.clone(),
        body: intent.body.clone(),
        origin: intent.origin.clone(),
        item: intent.item.clone(),
        at: intent.at,
        state: PromiseState::Promised,
    };
    let id = promise.id.0;
    tables::save_promise(transaction, &promise)?;
    transaction.open_table(BY_DAY).map_err(failed)?.insert((intent.at.day(), id), ()).map_err(failed)?;
    let mut by_request = transaction.open_table(BY_REQUEST).map_err(failed)?;
    by_request.insert((intent.request.as_str(), id), ()).map_err(failed)?;
    let mut by_voucher = transaction.open_table(BY_VOUCHER).map_err(failed)?;
    by_voucher.insert(voucher_key(promise.channel_id(), cumulative_amount), id).map_err(failed)?;
    tables::save_payee(transaction, &intent.origin, intent.payee)?;
    let highest_signed = channel.highest_signed.max(cumulative_amount);
    tables::save_channel(transaction, &PaidChannel { promised: cumulative_amount, highest_signed, ..channel })?;
    Ok(promise)
}

fn voucher_key(channel: ChannelId, cumulative_amount: Amount) -> ([u8; 32], u128) {
    (channel.0.into(), cumulative_amount.base_units())
}

/// Which released promises a purchase at this price takes the place of, and by how much; the oldest first.
fn replaced(
    transaction: &WriteTransaction,
    channel: &PaidChannel,
    price: Amount,
) -> Result<Vec<(Promise, Amount)>, StoreError> {
    let mut left = channel.highest_signed.saturating_sub(channel.promised).min(price);
    let key: [u8; 32] = channel.channel.id(&channel.deployment).0.into();
    let held = transaction.open_table(HELD).map_err(failed)?;
    let mut replaced = Vec::new();
    for entry in held.range((key, 0)..=(key, u64::MAX)).map_err(failed)? {
        if left.is_zero() {
            break;
        }
        let promise = tables::promise(transaction, PromiseId(entry.map_err(failed)?.0.value().1))?;
        let amount = promise.counted.min(left);
        left = left.saturating_sub(amount);
        replaced.push((promise, amount));
    }
    Ok(replaced)
}

fn replace(
    transaction: &WriteTransaction,
    channel: &PaidChannel,
    replaced: Vec<(Promise, Amount)>,
) -> Result<(), StoreError> {
    let key: [u8; 32] = channel.channel.id(&channel.deployment).0.into();
    for (promise, amount) in replaced {
        let counted = promise.counted.saturating_sub(amount);
        if counted.is_zero() {
            transaction.open_table(HELD).map_err(failed)?.remove((key, promise.id.0)).map_err(failed)?;
        }
        tables::save_promise(transaction, &Promise { counted, ..promise })?;
    }
    Ok(())
}

/// What counts towards today's budgets of this token, less what this purchase takes the place of.
fn counted_today(
    transaction: &WriteTransaction,
    intent: &Intent,
    replaced: &[(Promise, Amount)],
) -> Result<Counted, StoreError> {
    let today = intent.at.day();
    let by_day = transaction.open_table(BY_DAY).map_err(failed)?;
    let mut counted = Counted::default();
    for entry in by_day.range((today, 0)..=(today, u64::MAX)).map_err(failed)? {
        let promise = tables::promise(transaction, PromiseId(entry.map_err(failed)?.0.value().1))?;
        let same_token =
            promise.deployment.chain_id == intent.deployment.chain_id && promise.channel.token == intent.account.token;
        if !same_token {
            continue;
        }
        let free = replaced.iter().find(|(freed, _)| freed.id == promise.id).map_or(Amount::ZERO, |(_, free)| *free);
        let amount = promise.counted.saturating_sub(free);
        counted.all = counted.all.saturating_add(amount);
        if promise.origin == intent.origin {
            counted.site = counted.site.saturating_add(amount);
        }
    }
    Ok(counted)
}

/// What must be reserved so that the channel covers one more item at this price; nothing if it does. `asked` is what the
/// payee would like, if that is more.
pub(in crate::payer) fn shortfall(channel: &PaidChannel, price: Amount, asked: Amount) -> Option<Shortfall> {
    let missing = channel.promised.saturating_add(price).saturating_sub(channel.guaranteed);
    if missing.is_zero() {
        return None;
    }
    let amount = missing.max(asked);
    let required = channel.guaranteed.saturating_add(amount);
    Some(Shortfall { amount, required, locked: required.saturating_sub(channel.promised) })
}

/// The last promise for a request that was not refused.
pub(super) fn earlier(transaction: &ReadTransaction, request: &str) -> Result<Option<Promise>, StoreError> {
    let by_request = transaction.open_table(BY_REQUEST).map_err(failed)?;
    let journal = transaction.open_table(JOURNAL).map_err(failed)?;
    last_unrefused(&by_request, &journal, request)
}

fn last_unrefused(
    by_request: &impl ReadableTable<(&'static str, u64), ()>,
    journal: &impl ReadableTable<u64, &'static [u8]>,
    request: &str,
) -> Result<Option<Promise>, StoreError> {
    for entry in by_request.range((request, 0)..=(request, u64::MAX)).map_err(failed)?.rev() {
        let id = entry.map_err(failed)?.0.value().1;
        let bytes = journal.get(id).map_err(failed)?;
        let bytes = bytes.ok_or_else(|| StoreError::Damaged(format!("the journal has no entry {id}")))?;
        let promise: Promise = decode(bytes.value())?;
        if !matches!(promise.state, PromiseState::Refused { .. }) {
            return Ok(Some(promise));
        }
    }
    Ok(None)
}

/// Notes that the item was delivered. Says whether that is news.
///
/// The same voucher may have been sent twice, refused once and taken once: delivery is what counts, and its amount is no
/// longer free to be signed again.
pub(super) fn mark_bought(
    transaction: &WriteTransaction,
    id: PromiseId,
    receipt: Option<Box<SignedReceipt>>,
) -> Result<bool, StoreError> {
    let mut promise = tables::promise(transaction, id)?;
    let is_news = !promise.is_bought();
    let receipt = match promise.state {
        PromiseState::Bought { receipt: earlier } => earlier.or(receipt),
        PromiseState::Promised => receipt,
        PromiseState::Refused { .. } => {
            promise.counted = promise.price;
            let key = promise.channel_id().0.into();
            transaction.open_table(HELD).map_err(failed)?.remove((key, id.0)).map_err(failed)?;
            // Whatever was signed for the same amount since, giving that up must not free this.
            let voucher = voucher_key(promise.channel_id(), promise.cumulative_amount);
            transaction.open_table(BY_VOUCHER).map_err(failed)?.insert(voucher, id.0).map_err(failed)?;
            if let Some(channel) = tables::channel(transaction, promise.channel_id())? {
                let promised = channel.promised.max(promise.cumulative_amount);
                tables::save_channel(transaction, &PaidChannel { promised, ..channel })?;
            }
            receipt
        }
    };
    promise.state = PromiseState::Bought { receipt };
    tables::save_promise(transaction, &promise)?;
    Ok(is_news)
}

/// Notes that the payee refused, and releases the amounts at the top that nobody was served for.
///
/// Below a promise that stands, a refused one stays: a smaller cumulative amount than that promise's would be worth
/// nothing to the payee.
pub(super) fn mark_refused(
    transaction: &WriteTransaction,
    id: PromiseId,
    problem: Option<Box<Problem>>,
) -> Result<(), StoreError> {
    let mut promise = tables::promise(transaction, id)?;
    if promise.state != PromiseState::Promised {
        return Ok(());
    }
    promise.state = PromiseState::Refused { problem, released: false };
    tables::save_promise(transaction, &promise)?;
    let Some(mut channel) = tables::channel(transaction, promise.channel_id())? else { return Ok(()) };
    while let Some(top) = refused_at(transaction, &channel)? {
        channel.promised = channel.promised.saturating_sub(top.price);
        release(transaction, top)?;
    }
    tables::save_channel(transaction, &channel)
}

/// The promise at the top of a channel, if it is refused and not released yet.
fn refused_at(transaction: &WriteTransaction, channel: &PaidChannel) -> Result<Option<Promise>, StoreError> {
    let key = voucher_key(channel.channel.id(&channel.deployment), channel.promised);
    let id = transaction.open_table(BY_VOUCHER).map_err(failed)?.get(key).map_err(failed)?.map(|id| id.value());
    let Some(id) = id else { return Ok(None) };
    let promise = tables::promise(transaction, PromiseId(id))?;
    Ok(matches!(promise.state, PromiseState::Refused { released: false, .. }).then_some(promise))
}

fn release(transaction: &WriteTransaction, mut promise: Promise) -> Result<(), StoreError> {
    if let PromiseState::Refused { released, .. } = &mut promise.state {
        *released = true;
    }
    if !promise.counted.is_zero() {
        let key = (promise.channel_id().0.into(), promise.id.0);
        transaction.open_table(HELD).map_err(failed)?.insert(key, ()).map_err(failed)?;
    }
    tables::save_promise(transaction, &promise)
}

/// Sums up what counts, by day, site and token.
pub(super) fn spending(history: &[Promise]) -> Vec<Spending> {
    let mut sums: BTreeMap<(u64, &str, u64, Address), Amount> = BTreeMap::new();
    for promise in history {
        let key = (promise.at.day(), promise.origin.as_str(), promise.deployment.chain_id, promise.channel.token);
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(promise.counted);
    }
    let entries = sums.into_iter().filter(|(_, amount)| !amount.is_zero());
    entries
        .map(|((day, origin, chain_id, token), amount)| Spending {
            day,
            origin: origin.to_owned(),
            chain_id,
            token,
            amount,
        })
        .collect()
}

#[cfg(test)]
mod tests;
