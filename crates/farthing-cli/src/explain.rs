//! A plan in plain words.

use crate::amounts;
use crate::output::{duration, short, short_address};
use crate::planning::{GasWallet, PlanReport, UnderWay};
use crate::sheet::Column::{Counts, Money, Words};
use crate::sheet::{Cell, Sheet};
use farthing::core::gas::{Percentage, format_gas_price};
use farthing::core::redemption::{Bill, Cause, Choice, Obstacle, RedemptionTerms};
use farthing::core::{Amount, Timestamp};
use farthing::payee::CoinPriceSource;
use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};

/// The width that lines are broken for.
const COLUMNS: usize = 80;

/// How old the last look at the chain is before it is said, in seconds.
const LOOK_AGE_SAID: u64 = 120;

/// What is done, what waits and for what, and what that rests on.
pub(crate) fn text(report: &PlanReport) -> String {
    let mut text = wrapped(&headline(report), "");
    let groups = groups(report);
    if !groups.is_empty() {
        text += &format!("\n{}\n", groups.text(&report.token));
    }
    let facts = facts(report);
    if !facts.is_empty() {
        text += "\n";
    }
    for (name, fact) in facts {
        text += &wrapped(&format!("{name:<12}{fact}"), "            ");
    }
    text
}

fn headline(report: &PlanReport) -> String {
    let (planned, token) = (&report.planned, &report.token);
    let plan = &planned.plan;
    let owing: usize = plan.choices().count();
    if owing == 0 {
        let sent = if report.under_way.is_empty() { "" } else { "; what was sent is not final yet" };
        return format!("nothing to redeem: nothing is owed that the chain does not show as paid{sent}");
    }
    if planned.held.is_zero() {
        let uncovered = token.format(planned.uncovered);
        return format!("holding nothing: {uncovered} is owed by {}, with no money behind it", channels(owing));
    }
    if !plan.redeem.is_empty() {
        let now = &plan.now;
        let (pays, count) = (token.format(now.pays), channels(now.channels));
        let cost = match (now.cost, planned.share) {
            (Some(cost), Some(part)) => format!("gas costs {}, {} of it", token.format(cost), percent(part)),
            _ => format!("gas costs {}", amounts::coin().format(now.wei)),
        };
        let waiting = holding_money(&plan.wait);
        let waits = Amount::saturating_sum(waiting.iter().map(|choice| choice.pays));
        let waits = if waiting.is_empty() {
            String::new()
        } else {
            format!("; {} from {} waits", token.format(waits), channels(waiting.len()))
        };
        return format!("would redeem {pays} from {count} now; {cost}{waits}");
    }
    let held = format!("holding {} from {}", token.format(planned.held), channels(holding_money(&plan.wait).len()));
    let latest = plan.latest.map(|latest| {
        let closes = plan.choices().filter_map(|choice| match choice.cause {
            Cause::Leaving { redeem_by, close_at } if redeem_by == latest => Some(close_at),
            _ => None,
        });
        let close_at = closes.min().unwrap_or(latest);
        let (by, closes) = (moment(latest, planned.at), moment(close_at, planned.at));
        format!("; at the latest {by}, before a close can finalize {closes}")
    });
    let cost = match planned.share {
        Some(part) => {
            format!("redeeming now costs {}, target {}", percent(part), percent(planned.terms.gas_share))
        }
        None => "what redeeming costs of it is not known".to_owned(),
    };
    format!("{held}; {cost}{}", latest.unwrap_or_default())
}

/// What has money behind it.
fn holding_money(choices: &[Choice]) -> Vec<&Choice> {
    choices.iter().filter(|choice| !choice.pays.is_zero()).collect()
}

fn channels(count: usize) -> String {
    if count == 1 { "1 channel".to_owned() } else { format!("{count} channels") }
}

/// Channels of one cause and one obstacle.
type Group = (Discriminant<Cause>, Option<Discriminant<Obstacle>>);

/// One row for what is alike: as many rows as there are reasons, however many channels.
fn groups(report: &PlanReport) -> Sheet {
    let planned = &report.planned;
    // In the order of the plan: what is redeemed first, and what presses most.
    let mut order: Vec<Group> = Vec::new();
    let mut sums: BTreeMap<usize, (usize, Amount, Choice)> = BTreeMap::new();
    for choice in planned.plan.choices() {
        let group = (discriminant(&choice.cause), choice.obstacle.as_ref().map(discriminant));
        let place = order.iter().position(|known| *known == group).unwrap_or_else(|| {
            order.push(group);
            order.len() - 1
        });
        let (count, money, first) = sums.entry(place).or_insert((0, Amount::ZERO, *choice));
        *count += 1;
        // What has nothing behind it counts with what it owes: the last column says so.
        let is_covered = !matches!(choice.obstacle, Some(Obstacle::Money));
        *money = money.saturating_add(if is_covered { choice.pays } else { choice.uncovered });
        if choice.cause < first.cause {
            *first = *choice;
        }
    }
    let rows = sums.into_values().map(|(count, money, first)| {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let why = match first.obstacle {
            Some(Obstacle::Money) => "the account is empty".to_owned(),
            _ => why(&first.cause, &planned.terms, planned.at),
        };
        vec![Cell::Count(count), Cell::Money(money), Cell::Text(why), Cell::Text(waits_for(&first, &planned.terms))]
    });
    Sheet::new(&[Counts("channels"), Money("money"), Words("why"), Words("waits for")], rows)
}

fn why(cause: &Cause, terms: &RedemptionTerms, now: Timestamp) -> String {
    match cause {
        Cause::Leaving { redeem_by, .. } => format!("the payer leaves; by {}", moment(*redeem_by, now)),
        Cause::Withdrawing => "the payer takes money out".to_owned(),
        Cause::CreditUsed { .. } => "the credit is nearly used".to_owned(),
        Cause::Old { .. } => format!("older than {}", duration(terms.voucher_age)),
        Cause::Unhurried => "nothing presses".to_owned(),
    }
}

fn waits_for(choice: &Choice, terms: &RedemptionTerms) -> String {
    match choice.obstacle {
        None => "nothing: goes now".to_owned(),
        Some(Obstacle::Money) => "money behind it".to_owned(),
        Some(Obstacle::CheaperGas { .. }) => "cheaper gas, or to owe more".to_owned(),
        Some(Obstacle::Company) => "more to share the cost with".to_owned(),
        Some(Obstacle::GasPrice) => format!("gas at {} or less", format_gas_price(terms.gas_price_max)),
        Some(Obstacle::CoinPrice) => "a price of the coin".to_owned(),
    }
}

fn facts(report: &PlanReport) -> Vec<(&'static str, String)> {
    let (planned, token) = (&report.planned, &report.token);
    let mut facts = Vec::new();
    let age = planned.at.seconds_since(report.seen_at);
    if age > LOOK_AGE_SAID {
        facts.push(("chain", format!("last seen {}; it does not answer", moment(report.seen_at, planned.at))));
    }
    let mut gas = format_gas_price(rounded(planned.prices.gas_price));
    if let Some(awaited) = planned.gas_price_awaited {
        gas += &format!(" now; something would be redeemed at {} or less", format_gas_price(rounded(awaited)));
    }
    facts.push(("gas", gas));
    facts.extend(coin(report).map(|coin| ("coin", coin)));
    let bill = if planned.plan.redeem.is_empty() { &planned.plan.at_best } else { &planned.plan.now };
    facts.push(("wallet", wallet(report.wallet.as_ref(), bill)));
    if !planned.uncovered.is_zero() && !planned.held.is_zero() {
        facts.push(("uncovered", format!("{} more is owed with no money behind it", token.format(planned.uncovered))));
    }
    if !planned.between_vouchers.is_empty() {
        let count = channels(planned.between_vouchers.len());
        facts.push(("refunded", format!("{count}: no voucher is as low as what is still due, until the next sale")));
    }
    if !planned.unseen.is_empty() {
        facts.push(("unseen", format!("{} not looked at on the chain yet", channels(planned.unseen.len()))));
    }
    if let Some(lease) = report.lease.filter(|lease| !lease.is_own) {
        facts.push(("lease", format!("another gateway redeems; until {} at least", moment(lease.until, planned.at))));
    }
    facts.extend(report.under_way.iter().map(|sent| ("under way", under_way(sent, planned.at))));
    facts
}

/// What a coin is worth and who says so; nothing for whoever is paid in it.
fn coin(report: &PlanReport) -> Option<String> {
    let planned = &report.planned;
    if report.token.address.is_zero() {
        return None;
    }
    let worth = planned.prices.coin.map(|coin| format!("worth {}", report.token.format(coin.base_units())));
    Some(match (planned.coin_price_source, worth) {
        (CoinPriceSource::Set(_), Some(worth)) => format!("{worth}, as you say"),
        (CoinPriceSource::Feed(feed), Some(worth)) => format!("{worth}, as the feed {} says", short_address(feed)),
        _ => {
            let problem = planned.coin_price_problem.clone();
            let problem = problem.unwrap_or_else(|| "nobody has said what it is worth".to_owned());
            format!(
                "{problem}; so gas can't be weighed, and only what a payer takes away is redeemed by itself: \
                 set coin_price under [redemption] in catalog.toml, or try one with --coin-price"
            )
        }
    })
}

fn wallet(wallet: Option<&GasWallet>, bill: &Bill) -> String {
    let Some(wallet) = wallet else { return "none is here, so who would pay for gas is not known".to_owned() };
    let coin = amounts::coin();
    let (address, balance) = (short_address(wallet.address), coin.format(rounded(wallet.balance)));
    if bill.wei.is_zero() {
        return format!("{address} holds {balance}");
    }
    let cost = coin.format(rounded(bill.wei));
    if wallet.is_enough_for(bill.wei) {
        return format!("{address} holds {balance}, enough: redeeming now costs about {cost}");
    }
    format!(
        "{address} holds {balance}, too little: redeeming now costs about {cost}, and a node wants to see two and a half times that; send it some"
    )
}

fn under_way(sent: &UnderWay, now: Timestamp) -> String {
    let count = if sent.vouchers == 1 { "1 voucher".to_owned() } else { format!("{} vouchers", sent.vouchers) };
    let what = match sent.block {
        Some(block) => format!("in block {block}, not final yet"),
        None => "not mined yet".to_owned(),
    };
    let (transaction, sender) = (short(sent.transaction), short_address(sent.sender));
    format!("{transaction} with {count}, sent {} by {sender}, {what}", moment(sent.at, now))
}

/// A share for people: one decimal, or two below one per cent; rounded up, as costs are.
pub(crate) fn percent(share: Percentage) -> String {
    let unit = if share < Percentage::whole(1) { 100 } else { 1_000 };
    let rounded = share.millionths().div_ceil(unit).saturating_mul(unit);
    Percentage::from_millionths(rounded).to_string()
}

/// Of a number of wei the first four digits.
pub(crate) fn rounded(wei: Amount) -> Amount {
    let digits = wei.base_units().checked_ilog10().unwrap_or(0);
    let unit = 10_u128.saturating_pow(digits.saturating_sub(3));
    Amount::new(wei.base_units() / unit * unit)
}

/// `Thursday 14:00 UTC` within a week, else `2026-12-03 14:00 UTC`.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    const WEEK: u64 = 7 * 86_400;
    let apart = at.seconds_since(now).max(now.seconds_since(at));
    // 1970-01-01 was a Thursday.
    let weekday = usize::try_from(at.day() % 7).ok().and_then(|day| DAYS.get(day)).copied();
    let day = if at.day() == now.day() {
        "today".to_owned()
    } else {
        weekday.filter(|_| apart < WEEK).map_or_else(|| at.date(), str::to_owned)
    };
    let text = at.to_string();
    format!("{day} {} UTC", text.get(11..16).unwrap_or_default())
}

/// Breaks a text at its spaces; lines after the first begin with `indent`.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines += line.trim_end();
            lines.push('\n');
            line = indent.to_owned();
            line += word;
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_moment_is_named_by_its_day_and_by_its_date_when_that_is_far() {
        // A Sunday.
        let now = at("2026-11-22T22:48:50Z");
        for (moment_at, said) in [
            ("2026-11-22T23:00:59Z", "today 23:00 UTC"),
            ("2026-11-23T10:48:00Z", "Monday 10:48 UTC"),
            ("2026-11-28T10:48:00Z", "Saturday 10:48 UTC"),
            ("2026-11-29T22:48:50Z", "2026-11-29 22:48 UTC"),
            ("2026-11-21T00:00:00Z", "Saturday 00:00 UTC"),
            ("1970-01-01T00:00:00Z", "1970-01-01 00:00 UTC"),
        ] {
            assert_eq!(moment(at(moment_at), now), said);
        }
    }

    #[test]
    fn a_share_is_never_told_smaller_than_it_is() {
        for (share, said) in [("1%", "1%"), ("1.01%", "1.1%"), ("2.6133%", "2.7%"), ("0.0501%", "0.06%"), ("0%", "0%")]
        {
            assert_eq!(percent(share.parse().expect("a share")), said, "{share}");
        }
    }

    #[test]
    fn a_line_breaks_at_a_space_before_it_is_too_long() {
        let text = wrapped(&"word ".repeat(40), "  ");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("  word")), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
        assert_eq!(rounded(Amount::new(313_513_886)), Amount::new(313_500_000));
        assert_eq!(rounded(Amount::new(7)), Amount::new(7));
    }
}
