//! When a payee redeems: which channels now, which not yet, and why.
//!
//! A pure function of what the ledger holds, what the chain shows behind it, and what gas costs. The redeemer acts on
//! it; what explains, foretells or replays redemptions asks the same function.
//!
//! Every channel has a [`Cause`] that says which share of its money gas may take: little while nothing presses, all
//! of it at the last moment before a guarantee is lost. What a channel's row costs less than that is what it gives
//! towards the rest of the transaction. As soon as the channels together give enough, all that give anything are
//! redeemed.

mod terms;

pub use terms::{RedemptionTerms, TermsError, exit_margin};

use crate::exposure::{ChannelView, CreditTerms};
use crate::gas::{GasModel, Percentage, Prices, Row, product};
use crate::ledger::ChannelBooks;
use crate::{AccountId, Amount, Channel, ChannelId, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// One channel that owes something, and what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The channel.
    pub channel_id: ChannelId,
    /// The account that it is paid from beyond its reservation.
    pub account_id: AccountId,
    /// What it owes that the chain does not show as paid; or, where that was looked up, what the highest voucher that
    /// is due would pay of it.
    pub claim: Amount,
    /// Paid on the chain so far.
    pub redeemed: Amount,
    /// Reserved in it at the head.
    pub reserved: Amount,
    /// When a requested close can be finalized.
    pub close_at: Option<Timestamp>,
    /// What the account holds at the head.
    pub balance: Amount,
    /// The payer was seen to take money out of the account while it owed.
    pub is_withdrawing: bool,
    /// When the oldest item was sold that is not redeemed.
    pub since: Timestamp,
    /// Its signer is not its payer, or it has a salt.
    pub is_long: bool,
}

impl Holding {
    /// What a channel's books and the chain come to. `balance` is the account's at the head.
    #[must_use]
    pub fn new(
        channel_id: ChannelId,
        books: &ChannelBooks,
        view: &ChannelView,
        balance: Amount,
        since: Timestamp,
    ) -> Self {
        let channel: &Channel = &books.channel;
        let redeemed = view.head.redeemed.max(books.redeemed);
        Self {
            channel_id,
            account_id: channel.account().id(),
            // Redeemed at the head and not final yet: on its way, not to be sent twice.
            claim: books.due().saturating_sub(redeemed),
            redeemed,
            reserved: view.head.reserved,
            close_at: view.head.close_at,
            balance,
            is_withdrawing: false,
            since,
            is_long: channel.authorized_signer != channel.payer || !channel.salt.is_zero(),
        }
    }

    /// What of it nothing guarantees, by the head alone: what is redeemed there is not sent again for the sake of what
    /// is not final yet.
    fn exposure(&self) -> Amount {
        if self.close_at.is_some() { self.claim } else { self.claim.saturating_sub(self.reserved) }
    }

    fn row(&self, pays: Amount) -> Row {
        let is_reserved = pays <= self.reserved;
        Row { is_first: self.redeemed.is_zero() && self.reserved.is_zero(), is_reserved, is_long: self.is_long }
    }
}

/// Why a channel would be redeemed, the most pressing reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Cause {
    /// The payer asks for its reservation back.
    Leaving {
        /// By when it is redeemed, if it is worth its gas at all.
        redeem_by: Timestamp,
        /// When the close can be finalized.
        close_at: Timestamp,
    },
    /// The payer takes money out of the account that is to pay.
    Withdrawing,
    /// The account owes nearly as much as it may.
    CreditUsed {
        /// What the account owes that nothing guarantees.
        exposure: Amount,
        /// What it may owe.
        allowance: Amount,
    },
    /// A voucher has waited for long.
    Old {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing presses: it is redeemed when gas costs little of it.
    Unhurried,
}

impl Cause {
    /// Whether the payer is taking the money away: then no price of gas is too high but the money's own.
    #[must_use]
    pub const fn is_taken_away(&self) -> bool {
        matches!(self, Self::Leaving { .. } | Self::Withdrawing)
    }
}

/// What keeps a channel from being redeemed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "waitsFor", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Obstacle {
    /// There is no money behind it: neither reserved nor in the account.
    Money,
    /// Its own row costs more of it than its cause allows.
    CheaperGas {
        /// What the row costs.
        cost: Amount,
        /// What it may cost.
        accepted: Amount,
    },
    /// Its row is cheap enough, but all such rows together don't pay for the transaction around them yet.
    Company,
    /// Gas costs more than the creator ever pays for what does not press.
    GasPrice,
    /// Nobody has said what the chain's coin is worth, so that gas can't be weighed against it.
    CoinPrice,
}

/// What is done with one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The channel.
    pub channel_id: ChannelId,
    /// What redeeming it would pay.
    pub pays: Amount,
    /// What it owes beyond that, with no money behind it.
    pub uncovered: Amount,
    /// What presses, if anything.
    #[serde(flatten)]
    pub cause: Cause,
    /// Why it is not redeemed now; nothing if it is.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub obstacle: Option<Obstacle>,
}

/// What redeeming some channels in one transaction costs and pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// How many channels.
    pub channels: usize,
    /// What they pay.
    pub pays: Amount,
    /// The gas that it uses.
    pub gas: u64,
    /// What that and a rollup's data fee cost, in wei.
    pub wei: Amount,
    /// What that is worth in the creator's token, if the coin's price is known.
    pub cost: Option<Amount>,
}

impl Bill {
    /// What share of the money gas takes, if the coin's price is known.
    #[must_use]
    pub fn share(&self) -> Option<Percentage> {
        self.cost.map(|cost| Percentage::that(cost, self.pays))
    }

    fn of_transaction(prices: &Prices) -> Self {
        Self { gas: GasModel::TRANSACTION, wei: prices.of_transaction(), ..Self::default() }
    }

    fn add(&mut self, choice: &Weighed) {
        self.channels = self.channels.saturating_add(1);
        self.pays = self.pays.saturating_add(choice.choice.pays);
        self.gas = self.gas.saturating_add(choice.gas);
        self.wei = self.wei.saturating_add(choice.wei);
    }

    fn priced(mut self, prices: &Prices) -> Self {
        self.cost = prices.coin.map(|coin| coin.value_of(self.wei));
        self
    }
}

/// What is to be done, and what was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What is redeemed now, the most valuable first; nothing if it is not time.
    pub redeem: Vec<Choice>,
    /// What waits, and for what, the most valuable first.
    pub wait: Vec<Choice>,
    /// What is redeemed now, added up. One transaction's, though it may take several.
    pub now: Bill,
    /// What redeeming would cost now if it had to be: of the channels that make it cheapest for its value.
    pub at_best: Bill,
    /// When the first channel is redeemed at the latest, because a close can be finalized soon after; if it is worth
    /// its gas then.
    pub latest: Option<Timestamp>,
}

impl Plan {
    /// What all channels would pay together.
    #[must_use]
    pub fn held(&self) -> Amount {
        Amount::saturating_sum(self.choices().map(|choice| choice.pays))
    }

    /// What all channels owe with no money behind it.
    #[must_use]
    pub fn uncovered(&self) -> Amount {
        Amount::saturating_sum(self.choices().map(|choice| choice.uncovered))
    }

    /// All choices, those that are redeemed first.
    pub fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.redeem.iter().chain(&self.wait)
    }
}

/// The creator's terms, and what the moment is like.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The terms for redemption.
    pub terms: RedemptionTerms,
    /// The terms for credit.
    pub credit: CreditTerms,
    /// The escrow's exit delay in seconds.
    pub exit_delay: u64,
    /// What gas costs.
    pub prices: Prices,
    /// Now.
    pub now: Timestamp,
}

/// Decides. What owes nothing any more is left out. Money that several channels of one account share is counted once.
#[must_use]
pub fn plan(holdings: Vec<Holding>, circumstances: &Circumstances) -> Plan {
    let mut weighed = weigh(holdings, circumstances);
    weighed.sort_by_key(|weighed| (Reverse(weighed.choice.pays), weighed.choice.channel_id));
    let at_best = at_best(&weighed, &circumstances.prices);
    // What is being taken away comes first, if it takes several transactions.
    weighed.sort_by_key(|weighed| !weighed.choice.cause.is_taken_away());
    let gives = |weighed: &Weighed| if weighed.choice.obstacle.is_none() { weighed.gives } else { Amount::ZERO };
    let offered = Amount::saturating_sum(weighed.iter().map(gives));
    let around = circumstances.prices.coin.map(|coin| coin.value_of(circumstances.prices.of_transaction()));
    // What can't be weighed has no obstacle only if it is being taken away.
    let is_paid_for = around.is_none_or(|cost| offered >= cost);
    let latest = weighed.iter().filter_map(Weighed::redeem_by).min();
    let (mut redeem, mut wait) = (Vec::new(), Vec::new());
    let mut now = Bill::of_transaction(&circumstances.prices);
    for weighed in weighed {
        let mut choice = weighed.choice;
        if choice.obstacle.is_none() && is_paid_for {
            now.add(&weighed);
            redeem.push(choice);
        } else {
            choice.obstacle.get_or_insert(Obstacle::Company);
            wait.push(choice);
        }
    }
    let now = if redeem.is_empty() { Bill::default() } else { now.priced(&circumstances.prices) };
    Plan { redeem, wait, now, at_best, latest }
}

/// The highest price of gas, up to the present one, at which something is redeemed; `None` if even free gas would not
/// do it. Dearer gas never redeems more, so it is found by halving.
#[must_use]
pub fn gas_price_that_redeems(holdings: &[Holding], circumstances: &Circumstances) -> Option<Amount> {
    let redeems = |gas_price: u128| {
        let prices = Prices { gas_price: Amount::new(gas_price), ..circumstances.prices };
        !plan(holdings.to_vec(), &Circumstances { prices, ..*circumstances }).redeem.is_empty()
    };
    if !redeems(0) {
        return None;
    }
    let (mut redeeming, mut waiting) = (0, circumstances.prices.gas_price.base_units());
    if redeems(waiting) {
        return Some(circumstances.prices.gas_price);
    }
    // At most 128 halvings.
    while waiting.saturating_sub(redeeming) > 1 {
        let middle = redeeming.midpoint(waiting);
        *(if redeems(middle) { &mut redeeming } else { &mut waiting }) = middle;
    }
    Some(Amount::new(redeeming))
}

/// A channel with what it costs and gives.
struct Weighed {
    choice: Choice,
    gas: u64,
    wei: Amount,
    /// What its cause allows beyond its own row, in the creator's token.
    gives: Amount,
}

impl Weighed {
    /// Of what has money behind it.
    fn redeem_by(&self) -> Option<Timestamp> {
        match self.choice.cause {
            Cause::Leaving { redeem_by, .. } if !self.choice.pays.is_zero() => Some(redeem_by),
            _ => None,
        }
    }
}

fn weigh(mut holdings: Vec<Holding>, circumstances: &Circumstances) -> Vec<Weighed> {
    holdings.retain(|holding| !holding.claim.is_zero());
    // The account's money goes to the most valuable claim first.
    holdings.sort_by_key(|holding| (Reverse(holding.claim), holding.channel_id));
    let mut accounts: BTreeMap<AccountId, AccountSum> = BTreeMap::new();
    for holding in &holdings {
        let account =
            accounts.entry(holding.account_id).or_insert(AccountSum { left: holding.balance, ..AccountSum::default() });
        account.left = account.left.min(holding.balance);
        account.exposure = account.exposure.saturating_add(holding.exposure());
        account.redeemed = account.redeemed.saturating_add(holding.redeemed);
    }
    let mut weighed = Vec::with_capacity(holdings.len());
    for holding in holdings {
        let account = accounts.entry(holding.account_id).or_default();
        let reserved = holding.claim.min(holding.reserved);
        let from_account = holding.claim.saturating_sub(reserved).min(account.left);
        account.left = account.left.saturating_sub(from_account);
        weighed.push(judge(&holding, reserved.saturating_add(from_account), account, circumstances));
    }
    weighed
}

/// What an account's channels come to.
#[derive(Default)]
struct AccountSum {
    left: Amount,
    exposure: Amount,
    redeemed: Amount,
}

fn judge(holding: &Holding, pays: Amount, account: &AccountSum, circumstances: &Circumstances) -> Weighed {
    let (cause, accepted) = cause_of(holding, account, circumstances);
    let row = holding.row(pays);
    let (gas, wei) = (GasModel::of_row(row), circumstances.prices.of_row(row));
    let is_taken_away = cause.is_taken_away();
    let is_gas_too_dear = circumstances.prices.gas_price > circumstances.terms.gas_price_max;
    let (mut obstacle, mut gives) = (None, Amount::ZERO);
    if pays.is_zero() {
        obstacle = Some(Obstacle::Money);
    } else if is_gas_too_dear && !is_taken_away {
        obstacle = Some(Obstacle::GasPrice);
    } else if let Some(coin) = circumstances.prices.coin {
        let (cost, accepted) = (coin.value_of(wei), accepted.of(pays));
        gives = accepted.saturating_sub(cost);
        if gives.is_zero() {
            obstacle = Some(Obstacle::CheaperGas { cost, accepted });
        }
    } else if !is_taken_away {
        obstacle = Some(Obstacle::CoinPrice);
    }
    let uncovered = holding.claim.saturating_sub(pays);
    Weighed { choice: Choice { channel_id: holding.channel_id, pays, uncovered, cause, obstacle }, gas, wei, gives }
}

/// What presses most, and which share of the money gas may take for it.
fn cause_of(holding: &Holding, account: &AccountSum, circumstances: &Circumstances) -> (Cause, Percentage) {
    let Circumstances { terms, credit, now, .. } = circumstances;
    // Without a reservation there is nothing that a close takes away.
    if let Some(close_at) = holding.close_at.filter(|_| !holding.reserved.is_zero()) {
        let margin = exit_margin(circumstances.exit_delay);
        let redeem_by = Timestamp::from_unix_seconds(close_at.unix_seconds().saturating_sub(margin));
        let accepted = if *now >= redeem_by { Percentage::WHOLE } else { terms.gas_share_urgent };
        return (Cause::Leaving { redeem_by, close_at }, accepted.max(terms.gas_share));
    }
    // Whoever takes money out may take the rest with the next transaction: there is no later.
    if holding.is_withdrawing && !holding.exposure().is_zero() {
        return (Cause::Withdrawing, Percentage::WHOLE);
    }
    let urgent = terms.gas_share_urgent.max(terms.gas_share);
    // An account that was never redeemed from may owe one item, which it does.
    let allowance = credit.allowance(account.redeemed, account.exposure).min(holding.balance);
    if !holding.exposure().is_zero() && account.exposure >= terms.credit_used.of(allowance) {
        return (Cause::CreditUsed { exposure: account.exposure, allowance }, urgent);
    }
    if now.seconds_since(holding.since) >= terms.voucher_age {
        return (Cause::Old { since: holding.since }, urgent);
    }
    (Cause::Unhurried, terms.gas_share)
}

/// The bill of as many of the most valuable channels as make gas the smallest share of what is paid.
fn at_best(weighed: &[Weighed], prices: &Prices) -> Bill {
    let mut bill = Bill::of_transaction(prices);
    let mut best: Option<Bill> = None;
    for candidate in weighed.iter().filter(|weighed| !weighed.choice.pays.is_zero()) {
        bill.add(candidate);
        let share = |one: &Bill, other: &Bill| product(one.wei, other.pays);
        let is_better = |best: &Bill| share(&bill, best) <= share(best, &bill);
        if best.as_ref().is_none_or(is_better) {
            best = Some(bill);
        }
    }
    best.map(|best| best.priced(prices)).unwrap_or_default()
}
