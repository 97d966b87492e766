//! The ledger's rules, as properties over random histories, with a reference model beside it.

use farthing_core::exposure::{AccountPosition, ChannelFunds, ChannelView, CreditTerms, Sight};
use farthing_core::ledger::{
    Acceptance, ChannelBooks, Charge, ChargeRequest, Credit, Crediting, Purchase, Refusal, RequestId, accept, credit,
    is_last_resort, is_redeemable,
};
use farthing_core::quote::{Quote, TooLittle};
use farthing_core::voucher::Domain;
use farthing_core::wire::challenge::{MethodDetails, SessionRequest};
use farthing_core::{
    Address, Amount, B256, Channel, Deployment, Timestamp, VerifiedVoucher, Voucher, VoucherSignature,
};
use k256::ecdsa::SigningKey;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ENOUGH: Amount = Amount::new(1 << 100);

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

pub(crate) fn address_of(key: &SigningKey) -> Address {
    let point = key.verifying_key().to_sec1_point(false);
    Address::from_slice(&alloy_primitives::keccak256(&point.as_bytes()[1..])[12..])
}

fn domain() -> Domain {
    Domain::new(Deployment { chain_id: 31337, escrow: Address::repeat_byte(0x33) })
}

fn channel() -> Channel {
    Channel {
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        token: Address::ZERO,
        salt: B256::ZERO,
        authorized_signer: address_of(&key()),
    }
}

fn voucher(cumulative: u128) -> VerifiedVoucher {
    let channel_id = channel().id(domain().deployment());
    let voucher = Voucher { channel_id, cumulative_amount: Amount::new(cumulative) };
    let digest = voucher.digest(&domain());
    let (signature, recovery) = key().sign_prehash_recoverable(digest.as_slice());
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + recovery.to_byte());
    let signature = VoucherSignature::from_bytes(&bytes).unwrap();
    voucher.with_signature(signature).verify(&domain(), &channel()).unwrap()
}

fn request(price: u128, path: &str) -> ChargeRequest {
    ChargeRequest {
        price: Amount::new(price),
        item: path.to_owned(),
        request: RequestId::new("GET", path),
        reservation_required: false,
        at: Timestamp::from_unix_seconds(1_800_000_000),
    }
}

fn generous() -> AccountPosition {
    AccountPosition {
        balance: ENOUGH,
        channel: ChannelView::default(),
        other_exposure: Amount::ZERO,
        redeemed: Amount::ZERO,
        strangers_today: Amount::ZERO,
        sight: Sight::Clear,
        credit: CreditTerms { limit: ENOUGH, first: Some(ENOUGH), strangers_per_day: ENOUGH },
    }
}

fn reserved(amount: u128) -> ChannelFunds {
    ChannelFunds { reserved: Amount::new(amount), ..ChannelFunds::default() }
}

/// One channel's ledger in memory, driven by the rules under test.
struct Ledger {
    books: ChannelBooks,
    charges: BTreeMap<Amount, Charge>,
}

impl Ledger {
    fn new() -> Self {
        Self { books: ChannelBooks::new(channel()), charges: BTreeMap::new() }
    }

    fn accept(
        &mut self,
        cumulative: u128,
        request: &ChargeRequest,
        position: &AccountPosition,
    ) -> Result<bool, Refusal> {
        let existing = self.charges.get(&Amount::new(cumulative));
        match accept(&voucher(cumulative), request, &self.books, existing, position)? {
            Acceptance::Again { .. } => Ok(false),
            Acceptance::Charged { books, charge, .. } => {
                self.books = books;
                self.charges.insert(charge.cumulative_amount, charge);
                Ok(true)
            }
        }
    }

    fn redeemable(&self) -> Option<Amount> {
        self.charges.values().rev().find(|charge| is_redeemable(&self.books, charge)).map(|c| c.cumulative_amount)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loss 18: of eight parallel requests seven failed. Here any order of an honest payer's vouchers is fine.
    #[test]
    fn vouchers_of_parallel_requests_succeed_in_any_order(
        (prices, order) in proptest::collection::vec(1..1000_u128, 1..8)
            .prop_flat_map(|prices| { let count = prices.len(); (Just(prices), Just((0..count).collect::<Vec<_>>()).prop_shuffle()) })
    ) {
        let mut ledger = Ledger::new();
        // A voucher counts for its own price only if those below it may still come: each is charged its own price.
        let cumulative: Vec<u128> = prices.iter().scan(0, |sum, price| { *sum += price; Some(*sum) }).collect();
        for &index in &order {
            let item = format!("/{index}");
            prop_assert_eq!(ledger.accept(cumulative[index], &request(prices[index], &item), &generous()), Ok(true));
            prop_assert!(ledger.books.spent <= ledger.books.accepted);
        }
        let total = Amount::new(cumulative[cumulative.len() - 1]);
        prop_assert_eq!(ledger.books.spent, total);
        prop_assert_eq!(ledger.redeemable(), Some(total));
    }

    /// Failures 11, 12: whatever comes, in whatever order: totals only grow, nothing is charged twice, nothing is
    /// charged beyond what was promised, a refusal changes nothing, and no voucher above what is due is redeemed.
    #[test]
    fn totals_only_grow_and_never_pass_what_was_promised(
        history in proptest::collection::vec((0..40_u128, 0..12_u128, 0..6_usize), 1..40)
    ) {
        let mut ledger = Ledger::new();
        let mut model: BTreeMap<u128, (usize, u128)> = BTreeMap::new();
        for (cumulative, price, item) in history {
            let before = ledger.books;
            let result = ledger.accept(cumulative, &request(price, &format!("/{item}")), &generous());
            // The reference model: ids pay once, for one item, and the sum stays under the highest promise.
            let highest = model.keys().max().copied().unwrap_or(0);
            let spent: u128 = model.values().map(|(_, price)| price).sum();
            match model.get(&cumulative) {
                Some((paid, _)) if *paid == item => prop_assert_eq!(result, Ok(false)),
                Some(_) => { let already = matches!(result, Err(Refusal::AlreadyCharged { .. })); prop_assert!(already); }
                None if spent + price <= highest.max(cumulative) => {
                    prop_assert_eq!(result, Ok(true));
                    model.insert(cumulative, (item, price));
                }
                None => {
                    let underpaid = matches!(result, Err(Refusal::Underpaid { .. }));
                    prop_assert!(underpaid);
                    prop_assert_eq!(before, ledger.books);
                }
            }
            prop_assert!(ledger.books.accepted >= before.accepted && ledger.books.spent >= before.spent);
            prop_assert!(ledger.books.spent <= ledger.books.accepted);
            prop_assert!(ledger.redeemable().is_none_or(|amount| amount <= ledger.books.spent));
        }
        let spent: u128 = model.values().map(|(_, price)| price).sum();
        prop_assert_eq!(ledger.books.spent, Amount::new(spent));
    }

    /// Failures 12, 27: what is owed without guarantee never passes the balance or the credit.
    #[test]
    fn unsecured_debt_never_passes_balance_or_credit(
        prices in proptest::collection::vec(1..50_u128, 1..20),
        balance in 0..300_u128, limit in 0..300_u128, first in 0..300_u128, reservation in 0..300_u128,
        other in 0..100_u128, close_requested: bool,
    ) {
        let mut position = generous();
        position.balance = Amount::new(balance);
        position.other_exposure = Amount::new(other);
        position.credit.limit = Amount::new(limit);
        position.credit.first = Some(Amount::new(first));
        let mut funds = reserved(reservation);
        funds.close_at = close_requested.then(|| Timestamp::from_unix_seconds(1));
        position.channel = ChannelView { head: funds, confirmed: reserved(reservation) };
        let guaranteed = if close_requested { 0 } else { reservation };
        let mut ledger = Ledger::new();
        let mut cumulative = 0;
        for (index, price) in prices.into_iter().enumerate() {
            cumulative += price;
            if ledger.accept(cumulative, &request(price, &format!("/{index}")), &position) != Ok(true) {
                cumulative -= price;
            }
            let unsecured = ledger.books.spent.base_units().saturating_sub(guaranteed);
            prop_assert!(unsecured == 0 || unsecured + other <= balance.min(limit).min(first));
        }
    }
}

/// What a challenge asked for an item, before anything changed.
fn asked(item: &str, amount: u128) -> SessionRequest {
    SessionRequest {
        amount: Amount::new(amount),
        unit_type: "item".to_owned(),
        currency: Address::ZERO,
        recipient: Address::repeat_byte(2),
        suggested_deposit: None,
        method_details: MethodDetails {
            chain_id: 31337,
            escrow_contract: Address::repeat_byte(0x33),
            exit_delay: 86_400,
            item: item.to_owned(),
            symbol: "dUSD".to_owned(),
            decimals: 6,
            dollar: true,
            reservation: None,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Loss 13: a raised price is never charged in silence, and a quote is honoured.
    #[test]
    fn no_more_is_charged_than_was_agreed_to_and_no_more_than_was_quoted(
        quoted in 0..100_u128, price in 0..100_u128, agreed in proptest::option::of(0..100_u128),
        same_item: bool, or_more: bool,
    ) {
        let quote = Quote { or_more, ..Quote::new("/song", Amount::new(price)) };
        let asked = asked(if same_item { "/song" } else { "/other" }, quoted);
        let least = if same_item { quoted.min(price) } else { price };
        let agreed_to = agreed.unwrap_or(quoted);
        match quote.charged(&asked, agreed.map(Amount::new)) {
            Ok(charged) => {
                prop_assert!(charged.base_units() <= agreed_to && charged.base_units() >= least);
                prop_assert_eq!(charged.base_units(), if or_more { agreed_to } else { least });
            }
            Err(error) => {
                prop_assert_eq!(error, TooLittle { price: Amount::new(least), agreed: Amount::new(agreed_to) });
                prop_assert!(agreed_to < least);
            }
        }
    }

    /// Less is due for what was given back, once, and never less than nothing; no other counter moves.
    #[test]
    fn what_is_given_back_is_due_no_more(
        prices in proptest::collection::vec(0..50_u128, 1..12),
        credits in proptest::collection::vec((0..12_usize, proptest::option::of(0..60_u128)), 0..30),
    ) {
        let mut ledger = Ledger::new();
        let mut total = 0;
        for (index, price) in prices.iter().enumerate() {
            // A unit more than the price, so that an item for nothing has a voucher of its own.
            total += price + 1;
            prop_assert_eq!(ledger.accept(total, &request(*price, &format!("/{index}")), &generous()), Ok(true));
        }
        let mut given: BTreeMap<Amount, Credit> = BTreeMap::new();
        for (index, amount) in credits {
            let Some(charge) = ledger.charges.values().nth(index) else { continue };
            let before = ledger.books;
            let existing = given.get(&charge.cumulative_amount);
            let amount = amount.map(Amount::new);
            match credit(&before, charge, existing, amount, charge.at) {
                Ok(Crediting::Credited { books, credit }) => {
                    prop_assert!(existing.is_none() && !credit.amount.is_zero() && credit.amount <= charge.price);
                    prop_assert_eq!(credit.amount, amount.unwrap_or(charge.price));
                    prop_assert_eq!(books.due().saturating_add(credit.amount), before.due());
                    let unchanged = (before.accepted, before.spent, before.redeemed);
                    prop_assert_eq!((books.accepted, books.spent, books.redeemed), unchanged);
                    ledger.books = books;
                    given.insert(charge.cumulative_amount, credit);
                }
                Ok(Crediting::Again { credit }) => prop_assert_eq!(Some(&credit), existing),
                Err(_) => prop_assert_eq!(before, ledger.books),
            }
            prop_assert!(ledger.books.credited <= ledger.books.spent);
            prop_assert!(ledger.redeemable().is_none_or(|voucher| voucher <= ledger.books.due()));
        }
        let sum = Amount::saturating_sum(given.values().map(|credit| credit.amount));
        prop_assert_eq!(ledger.books.credited, sum);
    }
}

/// What was redeemed before it was given back counts towards later items: the payer pays for them less, not again.
#[test]
fn what_was_redeemed_and_given_back_counts_towards_later_items() {
    let mut ledger = Ledger::new();
    assert_eq!(ledger.accept(10, &request(10, "/1"), &generous()), Ok(true));
    ledger.books.note_redeemed(Amount::new(10));
    let charge = ledger.charges[&Amount::new(10)].clone();
    let Ok(Crediting::Credited { books, .. }) = credit(&ledger.books, &charge, None, None, charge.at) else {
        panic!("not given back")
    };
    ledger.books = books;
    assert_eq!((books.due(), books.outstanding(), ledger.redeemable()), (Amount::ZERO, Amount::ZERO, None));
    assert_eq!(ledger.accept(20, &request(10, "/2"), &generous()), Ok(true));
    assert_eq!((ledger.books.outstanding(), ledger.redeemable()), (Amount::ZERO, None));
    assert_eq!(ledger.accept(30, &request(10, "/3"), &generous()), Ok(true));
    assert_eq!(ledger.books.outstanding(), Amount::new(10));
    assert_eq!(ledger.redeemable(), Some(Amount::new(20)), "ten more, not twenty");
}

/// Nothing is owed any more, so the larger promise stays in the drawer.
#[test]
fn there_is_no_last_resort_once_all_is_redeemed() {
    let mut ledger = Ledger::new();
    assert_eq!(ledger.accept(50, &request(1, "/1"), &generous()), Ok(true));
    assert_eq!(ledger.accept(3, &request(2, "/2"), &generous()), Ok(true));
    ledger.books.note_redeemed(Amount::new(3));
    assert!(!ledger.charges.values().any(|charge| is_last_resort(&ledger.books, charge)));
}

/// Loss 29: who funds an account in another's name and signs for it buys nothing in that name.
#[test]
fn a_purchase_belongs_to_the_key_that_signed() {
    let mut ledger = Ledger::new();
    assert_eq!(ledger.accept(10, &request(10, "/song"), &generous()), Ok(true));
    let charge = &ledger.charges[&Amount::new(10)];
    let victim = Channel { payer: Address::repeat_byte(0x99), ..channel() };
    let bought = charge.purchase(&victim);
    assert_eq!(bought, Purchase { signer: channel().authorized_signer, request: charge.request });
    assert_ne!(bought.signer, victim.payer);
}

/// Loss 12: two hundred copies of one voucher on one item are one charge; on two hundred items they buy one.
#[test]
fn copies_of_one_voucher_buy_one_item() {
    let mut ledger = Ledger::new();
    assert_eq!(ledger.accept(10, &request(10, "/song"), &generous()), Ok(true));
    for _ in 0..199 {
        assert_eq!(ledger.accept(10, &request(10, "/song"), &generous()), Ok(false));
    }
    for index in 0..200 {
        let refused = ledger.accept(10, &request(10, &format!("/other/{index}")), &generous());
        assert!(matches!(refused, Err(Refusal::AlreadyCharged { .. })), "{refused:?}");
    }
    assert_eq!(ledger.books.spent, Amount::new(10));
}

#[test]
fn an_account_never_seen_is_trusted_with_one_item_and_more_once_it_was_redeemed_from() {
    let mut position = generous();
    position.credit = CreditTerms { limit: Amount::new(100), first: None, strangers_per_day: ENOUGH };
    let mut ledger = Ledger::new();
    assert_eq!(ledger.accept(10, &request(10, "/1"), &position), Ok(true));
    let refused = ledger.accept(20, &request(10, "/2"), &position);
    assert_eq!(refused, Err(Refusal::CreditExhausted { required: Amount::new(20), allowance: Amount::new(10) }));
    // Redeemed and final: ten more are owed by then, and twice what was redeemed may be.
    ledger.books.note_redeemed(Amount::new(10));
    position.redeemed = Amount::new(10);
    let redeemed = ChannelFunds { redeemed: Amount::new(10), ..ChannelFunds::default() };
    position.channel = ChannelView { head: redeemed, confirmed: redeemed };
    for (cumulative, expected) in [(20, true), (30, true), (40, false)] {
        let accepted = ledger.accept(cumulative, &request(10, &format!("/{cumulative}")), &position);
        assert_eq!(accepted.is_ok(), expected, "{cumulative}");
    }
}

/// Loss 12: an unconfirmed reservation is no guarantee; neither is one whose close is requested (loss 27).
#[test]
fn a_reservation_counts_when_it_is_final_and_not_once_its_close_is_requested() {
    let mut position = generous();
    position.balance = Amount::ZERO;
    let mut asked = request(10, "/song");
    asked.reservation_required = true;
    position.channel = ChannelView { head: reserved(100), confirmed: reserved(0) };
    let refused = Ledger::new().accept(10, &asked, &position);
    assert_eq!(refused, Err(Refusal::ReservationRequired { required: Amount::new(10), reserved: Amount::ZERO }));
    position.channel = ChannelView { head: reserved(100), confirmed: reserved(100) };
    assert_eq!(Ledger::new().accept(10, &asked, &position), Ok(true));
    position.channel.head.close_at = Some(Timestamp::from_unix_seconds(9));
    assert_eq!(Ledger::new().accept(10, &asked, &position), Err(Refusal::CloseRequested));
}

/// Failures 17, 28: what counts is the account, over all its channels, as it is now.
#[test]
fn a_withdrawn_account_a_spent_day_and_a_stale_view_get_no_credit() {
    let item = request(10, "/song");
    let refused = |change: &dyn Fn(&mut AccountPosition)| {
        let mut position = generous();
        change(&mut position);
        Ledger::new().accept(10, &item, &position).expect_err("refused")
    };
    assert!(matches!(refused(&|p| p.balance = Amount::new(9)), Refusal::InsufficientBalance { .. }));
    assert!(matches!(refused(&|p| p.other_exposure = ENOUGH), Refusal::InsufficientBalance { .. }));
    assert!(matches!(refused(&|p| p.sight = Sight::Stale), Refusal::StaleChain));
    assert!(matches!(refused(&|p| p.sight = Sight::Blind), Refusal::StaleChain));
    assert!(matches!(refused(&|p| p.strangers_today = ENOUGH), Refusal::StrangersExhausted { .. }));
}

/// Loss 34: more than the escrow's 104 bits could never be redeemed in full.
#[test]
fn a_promise_beyond_what_the_escrow_counts_is_refused() {
    let mut ledger = Ledger::new();
    for cumulative in [Amount::MAX_ON_CHAIN.base_units() + 1, u128::MAX] {
        let refused = ledger.accept(cumulative, &request(1, "/song"), &generous());
        assert!(matches!(refused, Err(Refusal::TooLarge { .. })), "{refused:?}");
    }
    assert_eq!(ledger.accept(Amount::MAX_ON_CHAIN.base_units(), &request(1, "/song"), &generous()), Ok(true));
}

/// Redeeming dust from an account does not lift the day's share for accounts without history.
#[test]
fn a_little_history_earns_a_little_credit() {
    let mut position = generous();
    position.credit.strangers_per_day = Amount::new(10);
    position.redeemed = Amount::new(1);
    let mut ledger = Ledger::new();
    // Two are earned, ten are the day's share.
    assert_eq!(ledger.accept(12, &request(12, "/1"), &position), Ok(true));
    position.strangers_today = Amount::new(10);
    let refused = ledger.accept(13, &request(1, "/2"), &position);
    assert_eq!(refused, Err(Refusal::StrangersExhausted { limit: Amount::new(10) }));
}

/// What history has earned is no share of the day's: a day that is used up, or was made smaller, is nothing to it.
#[test]
fn a_day_that_is_used_up_keeps_nobody_from_credit_that_is_earned() {
    let mut position = generous();
    position.credit.strangers_per_day = Amount::new(10);
    position.strangers_today = Amount::new(11);
    position.redeemed = Amount::new(5);
    assert_eq!(Ledger::new().accept(10, &request(10, "/1"), &position), Ok(true));
    let refused = Ledger::new().accept(11, &request(11, "/1"), &position);
    assert_eq!(refused, Err(Refusal::StrangersExhausted { limit: Amount::new(10) }));
}

/// A reservation counts for nothing when a close may have been requested and finalized unseen.
#[test]
fn a_payee_that_does_not_see_the_chain_relies_on_no_reservation() {
    let mut position = generous();
    position.channel = ChannelView { head: reserved(100), confirmed: reserved(100) };
    position.sight = Sight::Stale;
    assert_eq!(Ledger::new().accept(10, &request(10, "/song"), &position), Ok(true));
    position.sight = Sight::Blind;
    assert_eq!(Ledger::new().accept(10, &request(10, "/song"), &position), Err(Refusal::StaleChain));
}

/// A channel that was closed and opened again at the head is not guaranteed before that is final.
#[test]
fn a_reservation_opened_again_counts_when_it_is_final() {
    let closing = ChannelFunds { close_at: Some(Timestamp::from_unix_seconds(9)), ..reserved(100) };
    let view = ChannelView { head: reserved(100), confirmed: closing };
    assert_eq!(view.unsecured(Amount::new(10)), Amount::new(10));
}

/// A payer that skips amounts is redeemed from by the lowest voucher that makes good for what it owes.
#[test]
fn a_debt_that_no_voucher_meets_has_a_last_resort() {
    let mut ledger = Ledger::new();
    assert_eq!(ledger.accept(50, &request(10, "/1"), &generous()), Ok(true));
    assert_eq!(ledger.accept(3, &request(10, "/2"), &generous()), Ok(true));
    assert_eq!((ledger.books.spent, ledger.redeemable()), (Amount::new(20), Some(Amount::new(3))));
    let resorts: Vec<_> = ledger.charges.values().filter(|charge| is_last_resort(&ledger.books, charge)).collect();
    assert_eq!(resorts.iter().map(|charge| charge.cumulative_amount).collect::<Vec<_>>(), [Amount::new(50)]);
}
