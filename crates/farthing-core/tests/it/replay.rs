//! What terms would have come to: `farthing_core::replay`.

use farthing_core::exposure::CreditTerms;
use farthing_core::gas::{CoinPrice, Percentage, Prices};
use farthing_core::redemption::RedemptionTerms;
use farthing_core::replay::{Moment, Past, PastChannel, PastCharge, Replay, ReplayTerms, replay};
use farthing_core::{AccountId, Amount, B256, ChannelId, Timestamp};
use proptest::prelude::*;

const HOUR: u64 = 3_600;
const CENT: u128 = 10_000;
const GWEI: u128 = 1_000_000_000;

fn terms() -> ReplayTerms {
    let credit = CreditTerms {
        limit: Amount::new(10_000 * CENT),
        first: Some(Amount::new(10_000 * CENT)),
        strangers_per_day: Amount::ZERO,
    };
    ReplayTerms { terms: RedemptionTerms::default(), credit, exit_delay: 86_400 }
}

fn at(hour: u64) -> Timestamp {
    Timestamp::from_unix_seconds(100 * 86_400 + hour * HOUR)
}

/// A coin of $3,000.
fn moment(hour: u64, gas_price: u128) -> Moment {
    let coin = CoinPrice::new(Amount::new(3_000_000_000));
    Moment { at: at(hour), prices: Prices { gas_price: Amount::new(gas_price), coin, ..Prices::default() } }
}

fn charge(channel: u8, hour: u64, cents: u128) -> PastCharge {
    PastCharge { channel_id: ChannelId(B256::repeat_byte(channel)), amount: Amount::new(cents * CENT), at: at(hour) }
}

fn past(channels: u8, charges: Vec<PastCharge>) -> Past {
    let channel = |number: u8| {
        let account_id = AccountId(B256::repeat_byte(number));
        let nothing = Amount::ZERO;
        (
            ChannelId(B256::repeat_byte(number)),
            PastChannel { account_id, opening: nothing, since: at(0), redeemed: nothing, is_long: false },
        )
    };
    Past { channels: (0..channels).map(channel).collect(), charges }
}

#[test]
fn it_redeems_in_the_hour_in_which_gas_was_cheap_enough() {
    let past = past(2, vec![charge(0, 0, 100), charge(1, 1, 100), charge(0, 30, 50)]);
    let moments = [moment(0, GWEI), moment(5, GWEI / 200), moment(6, GWEI / 200), moment(40, GWEI)];
    let replayed = replay(&past, &moments, &terms());
    let times: Vec<_> = replayed.occasions.iter().map(|occasion| (occasion.at, occasion.unhurried)).collect();
    assert_eq!(times, [(at(5), 2)], "once, for both: {replayed:?}");
    assert_eq!((replayed.by_terms.paid, replayed.held), (Amount::new(200 * CENT), Amount::new(50 * CENT)));
    // 41,200 + 2 × 33,000 gas at 0.005 gwei and $3,000 a coin.
    assert_eq!((replayed.by_terms.gas, replayed.by_terms.cost), (107_200, Amount::new(1_608)));
    // At midnight of both days: one channel, then what both have sold since.
    let daily = replayed.once_a_day;
    assert_eq!((daily.redemptions, daily.channels, daily.paid), (2, 3, Amount::new(250 * CENT)));
    let each = replayed.each_at_once;
    assert_eq!((each.redemptions, each.channels, each.paid), (3, 3, Amount::new(250 * CENT)));
    assert_eq!(each.gas, 3 * 41_200 + 2 * 33_000 + 15_900, "a second redemption of a channel is cheaper");
    assert!(each.share() > Percentage::whole(1) && replayed.by_terms.share() <= Percentage::whole(1));
}

#[test]
fn what_was_owed_before_the_period_counts_and_is_as_old_as_it_was() {
    let mut past = past(1, vec![]);
    for channel in past.channels.values_mut() {
        channel.opening = Amount::new(300 * CENT);
        channel.since = Timestamp::from_unix_seconds(90 * 86_400);
        channel.redeemed = Amount::new(CENT);
    }
    let replayed = replay(&past, &[moment(0, GWEI)], &terms());
    assert_eq!((replayed.occasions[0].old, replayed.by_terms.paid), (1, Amount::new(300 * CENT)), "{replayed:?}");
    assert_eq!(replayed.by_terms.gas, 41_200 + 15_900, "it was redeemed from before");
    assert_eq!(
        replay(&past, &[], &terms()),
        Replay { owed: replayed.owed, held: replayed.owed, held_once_a_day: replayed.owed, ..Replay::default() }
    );
}

fn any_past() -> impl Strategy<Value = Past> {
    let charge = (0u8..6, 0u64..240, 0u128..300).prop_map(|(channel, hour, cents)| charge(channel, hour, cents));
    prop::collection::vec(charge, 0..60).prop_map(|charges| past(6, charges))
}

fn any_moments() -> impl Strategy<Value = Vec<(u64, u128)>> {
    prop::collection::vec((0u64..260, 0u128..2 * GWEI), 0..60)
}

proptest! {
    /// Whatever the fees were, each base unit is redeemed once or still owed, and gas takes no more than it may.
    #[test]
    fn nothing_is_redeemed_twice_and_nothing_is_lost(past in any_past(), moments in any_moments()) {
        let moments: Vec<Moment> = moments.into_iter().map(|(hour, price)| moment(hour, price)).collect();
        let replayed = replay(&past, &moments, &terms());
        let charged = Amount::saturating_sum(past.charges.iter().map(|charge| charge.amount));
        prop_assert_eq!(replayed.owed, charged);
        let paid = Amount::saturating_sum(replayed.occasions.iter().map(|occasion| occasion.tally.paid));
        prop_assert_eq!(paid, replayed.by_terms.paid);
        prop_assert_eq!(replayed.by_terms.paid.saturating_add(replayed.held), charged);
        prop_assert_eq!(replayed.once_a_day.paid.saturating_add(replayed.held_once_a_day), charged);
        if !moments.is_empty() {
            prop_assert_eq!(replayed.each_at_once.paid, charged);
        }
        for occasion in &replayed.occasions {
            prop_assert!(occasion.tally.share() <= Percentage::whole(10), "{:?}", occasion);
            prop_assert_eq!(occasion.credit_used + occasion.old + occasion.unhurried, occasion.tally.channels);
        }
    }

    /// The same redemptions at cheaper fees never cost more. The plan itself may redeem oftener then, and more.
    #[test]
    fn a_habit_never_costs_more_when_fees_are_cheaper(
        past in any_past(),
        moments in any_moments(),
        cheaper in 1u128..20,
    ) {
        let at_price = |divisor: u128| {
            let moments: Vec<Moment> = moments.iter().map(|(hour, price)| moment(*hour, price / divisor)).collect();
            replay(&past, &moments, &terms())
        };
        let (dear, cheap) = (at_price(1), at_price(cheaper));
        prop_assert!(cheap.once_a_day.cost <= dear.once_a_day.cost);
        prop_assert!(cheap.each_at_once.cost <= dear.each_at_once.cost);
        if let (Some(first), Some(sooner)) = (dear.occasions.first(), cheap.occasions.first()) {
            prop_assert!(sooner.at <= first.at, "it never begins later");
        }
    }
}
