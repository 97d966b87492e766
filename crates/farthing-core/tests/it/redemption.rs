//! When a payee redeems: `farthing_core::redemption`.

use farthing_core::exposure::CreditTerms;
use farthing_core::gas::{CoinPrice, GasModel, Percentage, Prices, Row};
use farthing_core::redemption::{
    Cause, Circumstances, Holding, Obstacle, Plan, RedemptionTerms, exit_margin, gas_price_that_redeems, plan,
};
use farthing_core::{AccountId, Amount, B256, ChannelId, Timestamp};
use proptest::prelude::*;

const DAY: u64 = 86_400;
const CENT: u128 = 10_000;
const GWEI: u128 = 1_000_000_000;

/// A coin of $3,000, in millionths of a dollar.
fn circumstances(gas_price: u128) -> Circumstances {
    Circumstances {
        terms: RedemptionTerms::default(),
        credit: CreditTerms {
            limit: Amount::new(200 * CENT),
            first: None,
            strangers_per_day: Amount::new(2_000 * CENT),
        },
        exit_delay: DAY,
        prices: Prices {
            gas_price: Amount::new(gas_price),
            coin: CoinPrice::new(Amount::new(3_000_000_000)),
            ..Prices::default()
        },
        now: Timestamp::from_unix_seconds(100 * DAY),
    }
}

/// A channel of an account of its own that has $10, was redeemed from for $100 and sold something a minute ago.
fn holding(number: u8, cents: u128) -> Holding {
    Holding {
        channel_id: ChannelId(B256::repeat_byte(number)),
        account_id: AccountId(B256::repeat_byte(number)),
        claim: Amount::new(cents * CENT),
        redeemed: Amount::new(10_000 * CENT),
        reserved: Amount::ZERO,
        close_at: None,
        balance: Amount::new(1_000 * CENT),
        is_withdrawing: false,
        since: Timestamp::from_unix_seconds(100 * DAY - 60),
        is_long: false,
    }
}

fn leaving(number: u8, cents: u128, in_seconds: u64) -> Holding {
    let close_at = Timestamp::from_unix_seconds(100 * DAY + in_seconds);
    Holding { reserved: Amount::new(10_000 * CENT), close_at: Some(close_at), ..holding(number, cents) }
}

fn only(plan: &Plan) -> (Cause, Option<Obstacle>) {
    let choices: Vec<_> = plan.choices().collect();
    assert_eq!(choices.len(), 1, "{plan:?}");
    (choices[0].cause, choices[0].obstacle)
}

/// At 0.01 gwei the transaction around the rows costs 0.124 cents, and a row 0.048: 1 % of 18 cents pays for both.
#[test]
fn what_nothing_presses_is_redeemed_when_gas_is_a_small_share_of_it() {
    let circumstances = circumstances(GWEI / 100);
    let waits = plan(vec![holding(1, 17)], &circumstances);
    assert_eq!(only(&waits), (Cause::Unhurried, Some(Obstacle::Company)));
    assert!(waits.at_best.share() > Some(Percentage::whole(1)), "{waits:?}");
    let goes = plan(vec![holding(1, 19)], &circumstances);
    assert_eq!(only(&goes), (Cause::Unhurried, None));
    assert!(goes.now.share() <= Some(Percentage::whole(1)), "{goes:?}");
    // Together they pay for the one transaction.
    let together = plan(vec![holding(1, 10), holding(2, 10), holding(3, 10)], &circumstances);
    assert_eq!((together.redeem.len(), together.wait.len()), (3, 0), "{together:?}");
}

#[test]
fn a_row_that_costs_too_much_of_itself_stays_when_others_go() {
    let plan = plan(vec![holding(1, 190), holding(2, 4)], &circumstances(GWEI / 100));
    assert_eq!(plan.redeem.iter().map(|choice| choice.pays).collect::<Vec<_>>(), [Amount::new(190 * CENT)]);
    assert!(matches!(plan.wait[0].obstacle, Some(Obstacle::CheaperGas { .. })), "{plan:?}");
}

/// At 1 gwei a row with what is around it costs about 16 cents.
#[test]
fn a_payer_that_leaves_is_redeemed_at_once_if_gas_is_cheap_and_at_the_latest_before_it_can_be_gone() {
    let now = circumstances(GWEI);
    let close_at = Timestamp::from_unix_seconds(100 * DAY + DAY);
    let redeem_by = Timestamp::from_unix_seconds(100 * DAY + DAY / 2);
    let cause = Cause::Leaving { redeem_by, close_at };
    assert_eq!(only(&plan(vec![leaving(1, 200, DAY)], &now)), (cause, None), "8 %: at once");
    let dear = plan(vec![leaving(1, 100, DAY)], &now);
    assert_eq!(only(&dear), (cause, Some(Obstacle::Company)), "16 %: there is time");
    assert_eq!(dear.latest, Some(redeem_by));
    let late = Circumstances { now: redeem_by, ..now };
    assert_eq!(only(&plan(vec![leaving(1, 100, DAY)], &late)), (cause, None), "16 %, and no time");
    assert_eq!(only(&plan(vec![leaving(1, 17, DAY)], &late)), (cause, None), "worth its gas, barely");
    assert_eq!(only(&plan(vec![leaving(1, 15, DAY)], &late)).1, Some(Obstacle::Company), "not worth its gas");
    let spike = Circumstances { prices: Prices { gas_price: Amount::new(101 * GWEI), ..late.prices }, ..late };
    assert_eq!(only(&plan(vec![leaving(1, 2_000, DAY)], &spike)), (cause, None), "no maximum for what is taken away");
    assert_eq!(only(&plan(vec![holding(1, 500)], &spike)).1, Some(Obstacle::GasPrice));
}

#[test]
fn the_margin_before_a_close_is_half_of_the_exit_delay_and_at_most_twelve_hours() {
    assert_eq!([3_600, DAY, 30 * DAY].map(exit_margin), [1_800, DAY / 2, DAY / 2]);
}

#[test]
fn whoever_takes_money_out_of_the_account_is_redeemed_for_whatever_gas_it_is_worth() {
    let withdrawing = Holding { is_withdrawing: true, ..holding(1, 25) };
    assert_eq!(only(&plan(vec![withdrawing], &circumstances(GWEI))), (Cause::Withdrawing, None));
    let guaranteed = Holding { reserved: Amount::new(25 * CENT), ..withdrawing };
    assert_eq!(only(&plan(vec![guaranteed], &circumstances(GWEI))).0, Cause::Unhurried, "it loses nothing");
    let gone = Holding { balance: Amount::ZERO, ..withdrawing };
    let plan = plan(vec![gone], &circumstances(GWEI));
    assert_eq!(only(&plan), (Cause::Withdrawing, Some(Obstacle::Money)));
    assert_eq!((plan.held(), plan.uncovered()), (Amount::ZERO, Amount::new(25 * CENT)));
}

#[test]
fn an_account_near_its_limit_and_an_old_voucher_may_cost_more() {
    let now = circumstances(GWEI / 4);
    let used = plan(vec![holding(1, 160)], &now);
    assert!(matches!(only(&used), (Cause::CreditUsed { .. }, None)), "{used:?}");
    assert_eq!(only(&plan(vec![holding(1, 150)], &now)), (Cause::Unhurried, Some(Obstacle::Company)));
    let small = Holding { balance: Amount::new(60 * CENT), ..holding(1, 50) };
    assert!(matches!(only(&plan(vec![small], &now)).0, Cause::CreditUsed { .. }), "what it holds is the limit");
    let new = Holding { redeemed: Amount::ZERO, ..holding(1, 60) };
    assert!(matches!(only(&plan(vec![new], &now)).0, Cause::CreditUsed { .. }), "one item is all it may owe");
    let since = Timestamp::from_unix_seconds(93 * DAY);
    let old = Holding { since, ..holding(1, 100) };
    assert_eq!(only(&plan(vec![old], &now)), (Cause::Old { since }, None));
}

#[test]
fn without_a_price_of_the_coin_only_what_is_taken_away_is_redeemed() {
    let mut now = circumstances(GWEI);
    now.prices.coin = None;
    let plan = plan(vec![holding(1, 190), leaving(2, 1, DAY)], &now);
    assert_eq!(plan.redeem.iter().map(|choice| choice.channel_id).collect::<Vec<_>>(), [leaving(2, 1, DAY).channel_id]);
    assert_eq!(plan.wait[0].obstacle, Some(Obstacle::CoinPrice));
    assert_eq!((plan.now.cost, plan.now.share()), (None, None));
}

#[test]
fn what_several_channels_of_one_account_share_is_counted_once() {
    let account_id = AccountId(B256::repeat_byte(9));
    let two = [holding(1, 70), holding(2, 50)].map(|holding| Holding {
        account_id,
        balance: Amount::new(100 * CENT),
        ..holding
    });
    let plan = plan(two.to_vec(), &circumstances(1));
    let paid: Vec<_> = plan.redeem.iter().map(|choice| (choice.pays, choice.uncovered)).collect();
    assert_eq!(
        paid,
        [(70, 0), (30, 20)].map(|(pays, uncovered)| (Amount::new(pays * CENT), Amount::new(uncovered * CENT)))
    );
}

#[test]
fn what_is_taken_away_goes_first_and_then_the_most_valuable() {
    let plan = plan(vec![holding(1, 100), leaving(2, 5, DAY), holding(3, 190), leaving(4, 50, DAY)], &circumstances(1));
    let order: Vec<u8> = plan.redeem.iter().map(|choice| choice.channel_id.0[0]).collect();
    assert_eq!(order, [4, 2, 3, 1]);
}

#[test]
fn a_rollups_data_fee_counts_as_gas_does() {
    let mut now = circumstances(GWEI / 100);
    assert_eq!(plan(vec![holding(1, 100)], &now).redeem.len(), 1);
    now.prices.data_fee_per_row = Amount::new(10_000 * GWEI);
    assert!(matches!(only(&plan(vec![holding(1, 100)], &now)).1, Some(Obstacle::CheaperGas { .. })));
}

#[test]
fn a_plan_reads_back_from_json() {
    let plan = plan(vec![holding(1, 190), leaving(2, 1, DAY), holding(3, 1)], &circumstances(GWEI / 100));
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "{text}");
}

fn balance_of(account: u8) -> Amount {
    Amount::new(u128::from(account) * 10_000_000)
}

/// Each with a channel of its own.
fn any_holdings() -> impl Strategy<Value = Vec<Holding>> {
    prop::collection::vec(any_holding(), 0..40).prop_map(|mut holdings| {
        for (number, holding) in (0u8..).zip(&mut holdings) {
            holding.channel_id = ChannelId(B256::repeat_byte(number));
        }
        holdings
    })
}

prop_compose! {
    fn any_holding()(
        account in 0u8..5,
        claim in 0u128..50_000_000,
        redeemed in prop_oneof![Just(0u128), 0u128..100_000_000],
        reserved in prop_oneof![Just(0u128), 0u128..50_000_000],
        close_in in prop::option::of(0u64..2 * DAY),
        is_withdrawing: bool,
        age in 0u64..20 * DAY,
        is_long: bool,
    ) -> Holding {
        Holding {
            channel_id: ChannelId::default(),
            account_id: AccountId(B256::repeat_byte(account)),
            claim: Amount::new(claim),
            redeemed: Amount::new(redeemed),
            reserved: Amount::new(reserved),
            close_at: close_in.map(|seconds| Timestamp::from_unix_seconds(100 * DAY + seconds)),
            balance: balance_of(account),
            is_withdrawing,
            since: Timestamp::from_unix_seconds(100 * DAY - age),
            is_long,
        }
    }
}

proptest! {
    /// Nothing is redeemed at a loss, whatever presses, and nothing is lost from the plan or counted twice.
    #[test]
    fn a_plan_never_pays_more_for_gas_than_it_brings(
        holdings in any_holdings(),
        gas_price in 0u128..200 * GWEI,
    ) {
        let circumstances = circumstances(gas_price);
        let claimed = Amount::saturating_sum(holdings.iter().map(|holding| holding.claim));
        let plan = plan(holdings.clone(), &circumstances);
        prop_assert_eq!(plan.held().saturating_add(plan.uncovered()), claimed);
        prop_assert_eq!(Amount::saturating_sum(plan.redeem.iter().map(|choice| choice.pays)), plan.now.pays);
        if !plan.redeem.is_empty() {
            prop_assert!(plan.now.cost.unwrap() <= plan.now.pays, "{:?}", plan.now);
        }
        let coin = circumstances.prices.coin.unwrap();
        let cheapest = Row { is_first: false, is_reserved: true, is_long: false };
        for choice in &plan.redeem {
            prop_assert!(choice.obstacle.is_none());
            prop_assert!(choice.pays > coin.value_of(circumstances.prices.of_row(cheapest)));
        }
        for account in 0..5u8 {
            let account_id = AccountId(B256::repeat_byte(account));
            let channels: Vec<&Holding> = holdings.iter().filter(|holding| holding.account_id == account_id).collect();
            let is_its = |id: ChannelId| channels.iter().any(|holding| holding.channel_id == id);
            let pays = plan.choices().filter(|choice| is_its(choice.channel_id)).map(|choice| choice.pays);
            let reserved = Amount::saturating_sum(channels.iter().map(|holding| holding.reserved));
            prop_assert!(Amount::saturating_sum(pays) <= reserved.saturating_add(balance_of(account)));
        }
    }

    /// The price that is told is one that redeems, and one wei more does not.
    #[test]
    fn the_gas_price_that_is_waited_for_is_the_highest_that_redeems(
        holdings in any_holdings(),
        gas_price in 0u128..200 * GWEI,
    ) {
        let now = circumstances(gas_price);
        let redeems = |gas_price: u128| !plan(holdings.clone(), &circumstances(gas_price)).redeem.is_empty();
        match gas_price_that_redeems(&holdings, &now).map(Amount::base_units) {
            Some(found) => {
                prop_assert!(found <= gas_price && redeems(found));
                prop_assert!(found == gas_price || !redeems(found + 1));
            }
            None => prop_assert!(!redeems(0)),
        }
    }

    /// Dearer gas never makes anything be redeemed that cheaper gas would not.
    #[test]
    fn dearer_gas_redeems_no_more(
        holdings in any_holdings(),
        gas_price in 0u128..150 * GWEI,
        more in 0u128..50 * GWEI,
    ) {
        let cheap = plan(holdings.clone(), &circumstances(gas_price));
        let dear = plan(holdings, &circumstances(gas_price + more));
        prop_assert!(dear.redeem.len() <= cheap.redeem.len());
        prop_assert!(dear.now.pays <= cheap.now.pays);
    }
}

#[test]
fn the_model_of_gas_stays_near_what_the_receipts_say() {
    // docs/gas.md: ten rows and a hundred of each kind, in an ERC-20.
    let batch = |rows: u64, row: Row| GasModel::TRANSACTION + rows * GasModel::of_row(row);
    let row = |is_first, is_reserved| Row { is_first, is_reserved, is_long: false };
    for (rows, row, measured) in [
        (10, row(false, true), 147_840),
        (100, row(false, true), 1_107_600),
        (10, row(false, false), 200_060),
        (100, row(false, false), 1_629_800),
        (10, row(true, false), 371_060),
        (100, row(true, false), 3_339_800),
    ] {
        let model = batch(rows, row);
        assert!(model.abs_diff(measured) * 50 <= measured, "{rows} rows of {row:?}: {model}, measured {measured}");
    }
}
