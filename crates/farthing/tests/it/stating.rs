//! Statements: ledger and chain side by side, and what does not agree.

use crate::payee::{DIME, buy, shop};
use crate::redeeming::node_in_between;
use alloy::primitives::Address;
use farthing::PrivateKeySigner;
use farthing::chain::{Chain, Place};
use farthing::core::ledger::{Charge, RequestId};
use farthing::core::voucher::Domain;
use farthing::core::{Account, Amount, Channel, ChannelId};
use farthing::escrow::Escrow;
use farthing::local_chain::{CHAIN_ID, LocalChain, deploy_demo_dollar, mint_demo_dollars};
use farthing::payee::statement::{Beginning, Difference, Figures, Statement, statement};
use farthing::payee::store::Entry;
use farthing::payee::{EmbeddedStore, Payee, Redeemer};
use farthing_testkit::Fixture;
use serde_json::{Value, json};

const NOTHING: Amount = Amount::ZERO;

fn dimes(count: u128) -> Amount {
    Amount::new(count * DIME)
}

async fn escrow(fixture: &Fixture) -> Escrow {
    fixture.escrow(LocalChain::test_key(9)).await
}

async fn state(fixture: &Fixture, payee: &Payee) -> Statement {
    statement(payee.store().as_ref(), &fixture.identity(), &escrow(fixture).await, None).await.unwrap()
}

async fn redeemer(fixture: &Fixture, payee: &Payee) -> Redeemer {
    Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await)
}

/// Sends a voucher that is in nobody's ledger, or not in this one.
async fn redeem_as(fixture: &Fixture, sender: PrivateKeySigner, channel: &Channel, cumulative: u128) {
    let escrow = fixture.escrow(sender.clone()).await;
    let signed = fixture.voucher(channel, cumulative, &Fixture::payer());
    let charge = Charge {
        cumulative_amount: signed.voucher.cumulative_amount,
        signature: signed.signature,
        price: NOTHING,
        item: String::new(),
        request: RequestId::new("GET", "/"),
        unearned_credit: NOTHING,
        at: farthing::clock::now(),
    };
    let voucher = charge.voucher(channel, &Domain::new(fixture.deployment)).unwrap();
    let nonce = escrow.chain().next_nonce_of(sender.address()).await.unwrap();
    let transaction =
        escrow.sign_redemption(&[voucher], Place { nonce, rival: None, fee_max: u128::MAX }).await.unwrap();
    escrow.chain().broadcast(transaction).await.unwrap();
}

/// Four channels, paid in every way there is: alone, in a batch, with a close, and by a stranger.
async fn paid_in_every_way() -> (Fixture, tempfile::TempDir, Payee) {
    let (fixture, folder, payee, mut watcher) = shop().await;
    for salt in 0..4 {
        buy(&fixture, &payee, &fixture.channel(salt), "/1", DIME).await.unwrap();
    }
    let redeemer = redeemer(&fixture, &payee).await;
    let ids: Vec<ChannelId> = (0..4).map(|salt| fixture.channel(salt).id(&fixture.deployment)).collect();
    redeemer.redeem_channels(&ids[..1]).await.unwrap();
    redeemer.redeem_channels(&ids[1..3]).await.unwrap();
    redeem_as(&fixture, LocalChain::test_key(9), &fixture.channel(3), DIME).await;
    // A reservation that a close pays out of.
    let channel = fixture.channel(2);
    fixture.escrow(Fixture::payer()).await.reserve(&channel, dimes(5)).await.unwrap();
    buy(&fixture, &payee, &channel, "/2", 2 * DIME).await.unwrap();
    buy(&fixture, &payee, &channel, "/3", 3 * DIME).await.unwrap();
    payee.refund((ids[2], dimes(3)), None).await.unwrap();
    let closed = redeemer.close(ids[2]).await.unwrap();
    assert_eq!((closed.paid, closed.refunded), (dimes(1), dimes(4)));
    // Served and not redeemed.
    buy(&fixture, &payee, &fixture.channel(0), "/2", 2 * DIME).await.unwrap();
    watcher.step().await.unwrap();
    (fixture, folder, payee)
}

#[tokio::test]
async fn a_statement_agrees_with_the_chain_however_it_was_paid() {
    let (fixture, _folder, payee) = paid_in_every_way().await;
    let before = state(&fixture, &payee).await;
    assert_eq!(before.differences, []);
    assert_eq!(before.beginning, Beginning::Escrow);
    fixture.finalize().await;
    let found = payee.statement(&escrow(&fixture).await, None).await.unwrap();
    assert_eq!(found.differences, []);
    let total = Figures {
        charged: dimes(7),
        credited: dimes(1),
        due: dimes(6),
        redeemed: dimes(5),
        paid: dimes(5),
        pending: NOTHING,
        missing: NOTHING,
        unaccounted: NOTHING,
    };
    assert_eq!((found.total, found.paid_by_others), (total, dimes(1)));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, dimes(5), "what the payee holds");
    assert_eq!(before.total.paid.saturating_add(before.total.pending), dimes(5), "final or not, it was paid");
    let rows: Vec<_> = found.channels.iter().map(|row| (row.figures.charged, row.figures.paid)).collect();
    assert_eq!(rows[..2], [(dimes(3), dimes(2)), (dimes(2), dimes(1))], "{rows:?}");

    // What was found is noted, and once.
    assert!(!found.noted.is_zero());
    let again = state(&fixture, &payee).await;
    assert_eq!((again.noted, again.total, again.differences.as_slice()), (NOTHING, total, &[][..]));
    for (channel_id, books) in payee.store().all_books().await.unwrap() {
        let row = found.channels.iter().find(|row| row.channel_id == channel_id).unwrap();
        assert_eq!(books.redeemed, row.figures.paid);
    }
}

#[tokio::test]
async fn a_statement_finds_a_ledger_that_claims_more_than_the_chain_paid() {
    let (fixture, _folder, payee) = paid_in_every_way().await;
    fixture.finalize().await;
    payee.statement(&escrow(&fixture).await, None).await.unwrap();
    let channel_id = fixture.channel(1).id(&fixture.deployment);
    let at = farthing::clock::now();
    let claim = Entry::Redeemed { channel_id, redeemed: Amount::new(DIME + 1), block: 1, at };
    payee.store().accept_batch(&[claim]).await.unwrap();
    let found = state(&fixture, &payee).await;
    let missing = Difference::Missing { channel_id, redeemed: Amount::new(DIME + 1), paid: dimes(1) };
    assert_eq!((found.differences.as_slice(), found.total.missing), (&[missing][..], Amount::new(1)));
}

#[tokio::test]
async fn a_statement_finds_what_a_lost_ledger_knew() {
    let (fixture, _folder, _) = paid_in_every_way().await;
    fixture.finalize().await;
    let fresh = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&fresh.path().join("ledger.redb"), &fixture.identity()).unwrap();
    let found = statement(&store, &fixture.identity(), &escrow(&fixture).await, None).await.unwrap();
    assert_eq!(found.differences.len(), 4, "{:?}", found.differences);
    assert!(found.differences.iter().all(|difference| matches!(difference, Difference::UnknownChannel { .. })));
    assert_eq!((found.total.unaccounted, found.noted), (dimes(5), NOTHING));
    assert!(found.notes().is_empty());
}

/// One entry lost of a channel that the ledger knows: the chain paid a voucher that is not in it.
#[tokio::test]
async fn a_statement_finds_a_voucher_that_the_ledger_does_not_hold() {
    let (fixture, _folder, payee, _) = shop().await;
    let channel = fixture.channel(0);
    buy(&fixture, &payee, &channel, "/1", DIME).await.unwrap();
    redeem_as(&fixture, Fixture::payer(), &channel, 2 * DIME).await;
    let channel_id = channel.id(&fixture.deployment);
    let expected = [Difference::UnknownVoucher { channel_id, paid: dimes(2), accepted: dimes(1) }];
    let found = state(&fixture, &payee).await;
    assert_eq!((found.differences.as_slice(), found.total.pending), (&expected[..], dimes(2)), "before it is final");
    fixture.finalize().await;
    let found = state(&fixture, &payee).await;
    assert_eq!((found.differences.as_slice(), found.total.unaccounted), (&expected[..], dimes(1)));
}

/// The same payee sells in another token as well, with another ledger: that is no business of this one.
#[tokio::test]
async fn another_tokens_payments_are_left_out() {
    let (fixture, _folder, payee) = paid_in_every_way().await;
    let owner = fixture.connect(LocalChain::test_key(0)).await;
    let (other, _) = deploy_demo_dollar(&owner).await.unwrap();
    let payer = Fixture::payer();
    mint_demo_dollars(&owner, other.address, payer.address(), dimes(100)).await.unwrap();
    let sending = fixture.escrow(payer.clone()).await;
    let account = Account { token: other.address, ..fixture.account() };
    sending.deposit(&account, dimes(10)).await.unwrap();
    let channels = [0, 1].map(|salt| Channel { token: other.address, ..fixture.channel(salt) });
    redeem_as(&fixture, payer.clone(), &channels[0], DIME).await;
    sending.open(&channels[1], dimes(2)).await.unwrap();
    redeem_as(&fixture, payer.clone(), &channels[1], DIME).await;
    assert_eq!(state(&fixture, &payee).await.differences, []);

    // The control: by the same two ways, in the ledger's token.
    let channels = [7, 8].map(|salt| fixture.channel(salt));
    redeem_as(&fixture, payer.clone(), &channels[0], DIME).await;
    sending.open(&channels[1], dimes(2)).await.unwrap();
    redeem_as(&fixture, payer, &channels[1], DIME).await;
    assert_eq!(state(&fixture, &payee).await.differences.len(), 2);
}

async fn bind(fixture: &Fixture, answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static) -> Escrow {
    let node = node_in_between(fixture, answer).await;
    let chain = Chain::connect_to(&node, None, CHAIN_ID).await.unwrap();
    Escrow::bind(chain, fixture.deployment.escrow).await.unwrap()
}

/// A node that shows no events, or not all of them, would make a ledger look as if it claimed too much.
#[tokio::test]
async fn a_node_whose_events_are_not_what_its_state_says_is_told_apart() {
    let (fixture, _folder, payee) = paid_in_every_way().await;
    fixture.finalize().await;
    let hides = bind(&fixture, |request| (request["method"] == "eth_getLogs").then(|| json!({ "result": [] }))).await;
    let found = statement(payee.store().as_ref(), &fixture.identity(), &hides, None).await.unwrap();
    assert_eq!(found.differences.len(), 4, "{:?}", found.differences);
    assert!(found.differences.iter().all(|difference| matches!(difference, Difference::Events { .. })));
    assert_eq!(found.total.missing, NOTHING, "the escrow itself says that it was paid");
}

#[tokio::test]
async fn a_node_that_shows_little_at_a_time_or_forgot_old_states_is_enough() {
    let (fixture, _folder, payee) = paid_in_every_way().await;
    fixture.finalize().await;
    let expected = state(&fixture, &payee).await;
    let number = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default()
    };
    let stingy = bind(&fixture, move |request| {
        let range = &request["params"][0];
        let too_many =
            request["method"] == "eth_getLogs" && number(&range["toBlock"]) > number(&range["fromBlock"]) + 1;
        let refused = json!({ "error": { "code": -32_005, "message": "query exceeds two blocks" } });
        too_many.then_some(refused)
    })
    .await;
    let found = statement(payee.store().as_ref(), &fixture.identity(), &stingy, None).await.unwrap();
    assert_eq!(found, expected);

    let forgetful = bind(&fixture, |request| {
        let is_old =
            request["method"] == "eth_getCode" && request["params"][1].as_str().is_some_and(|at| at != "latest");
        is_old.then(|| json!({ "error": { "code": -32_000, "message": "missing trie node" } }))
    })
    .await;
    let found = statement(payee.store().as_ref(), &fixture.identity(), &forgetful, None).await.unwrap();
    assert_eq!(
        (found.beginning, found.total, found.differences.as_slice()),
        (Beginning::Ledger, expected.total, &[][..])
    );

    // From a block that was named everything adds up as well: what was paid before it is the escrow's own word.
    let (identity, whole) = (fixture.identity(), escrow(&fixture).await);
    let late = statement(payee.store().as_ref(), &identity, &whole, Some(found.head_block)).await.unwrap();
    assert_eq!((late.beginning, late.total, late.differences.as_slice()), (Beginning::Named, expected.total, &[][..]));
}

#[tokio::test]
async fn a_statement_is_made_with_the_ledgers_own_escrow_only() {
    let (fixture, _folder, payee, _) = shop().await;
    let mut identity = fixture.identity();
    identity.deployment.escrow = Address::repeat_byte(1);
    let refused = statement(payee.store().as_ref(), &identity, &escrow(&fixture).await, None).await;
    assert!(refused.expect_err("another escrow").to_string().contains("the ledger is of"));
}
