//! The payee's side: what is accepted, that it is durable, and that the last voucher is what gets redeemed.

use farthing::core::ledger::{ChargeRequest, RequestId};
use farthing::core::wire::credential::{ChannelTerms, VoucherPayload};
use farthing::core::wire::{Credential, ProblemType};
use farthing::core::{Address, Amount, B256, Channel, Deployment, SignedVoucher, Token, VoucherSignature};
use farthing::escrow::EscrowError;
use farthing::escrow::{EXIT_DELAY_DEFAULT, deploy};
use farthing::local_chain::LocalChain;
use farthing::payee::earnings::{Period, earnings};
use farthing::payee::views::{BoxFuture, FundsSource, Reading};
use farthing::payee::{
    AcceptError, EmbeddedStore, LedgerIdentity, Payee, PresentedVoucher, Quote, Redeemer, Sale, StoreError, Watcher,
};
use farthing_testkit::Fixture;
use std::sync::Arc;
use tempfile::TempDir;

const REALM: &str = "localhost";
pub(crate) const DIME: u128 = 100_000;

pub(crate) fn quote(path: &str, price: u128) -> Quote {
    Quote::new(path, Amount::new(price))
}

pub(crate) fn credential(payee: &Payee, quote: &Quote, channel: &Channel, signed: SignedVoucher) -> Credential {
    Credential {
        challenge: payee.challenge(REALM, quote, None).unwrap(),
        source: None,
        payload: VoucherPayload {
            action: VoucherPayload::ACTION.to_owned(),
            channel_id: signed.voucher.channel_id,
            cumulative_amount: signed.voucher.cumulative_amount,
            signature: signed.signature,
            amount: Some(quote.price),
            terms: Some(ChannelTerms::from(channel)),
        },
    }
}

pub(crate) async fn send(payee: &Payee, quote: &Quote, credential: &Credential) -> Result<Sale, AcceptError> {
    payee.accept(REALM, credential, RequestId::new("GET", &quote.item), quote).await
}

async fn refused(payee: &Payee, quote: &Quote, credential: &Credential) -> ProblemType {
    let before = earnings(payee.store().as_ref(), Period::default()).await.unwrap();
    let problem = send(payee, quote, credential).await.expect_err("refused").problem();
    assert_eq!(earnings(payee.store().as_ref(), Period::default()).await.unwrap(), before, "a refusal changes nothing");
    problem.problem_type().unwrap()
}

/// A chain with $5 in the payer's account, and a payee that watches it.
pub(crate) async fn shop() -> (Fixture, TempDir, Payee, Watcher) {
    let fixture = Fixture::start().await;
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.deposit(&fixture.account(), Amount::new(5_000_000)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let payee = fixture.start_payee(folder.path()).await;
    let mut watcher = Watcher::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    watcher.step().await.unwrap();
    (fixture, folder, payee, watcher)
}

pub(crate) async fn buy(
    fixture: &Fixture,
    payee: &Payee,
    channel: &Channel,
    path: &str,
    cumulative: u128,
) -> Result<Sale, AcceptError> {
    let signed = fixture.voucher(channel, cumulative, &Fixture::payer());
    let quote = quote(path, DIME);
    send(payee, &quote, &credential(payee, &quote, channel, signed)).await
}

#[tokio::test]
async fn five_items_are_paid_by_one_transaction_with_the_last_voucher() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(0);
    for count in 1..=5 {
        let sale = buy(&fixture, &payee, &channel, &format!("/{count}"), count * DIME).await.unwrap();
        assert!(!sale.again);
        sale.receipt.verify(payee.domain(), Fixture::payee().address()).unwrap();
        assert_eq!(sale.receipt.receipt.spent, Amount::new(count * DIME));
    }
    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    let redeemed = redeemer.redeem().await.unwrap().done;
    assert_eq!(redeemed.len(), 1);
    assert_eq!((redeemed[0].vouchers, redeemed[0].paid), (1, Amount::new(5 * DIME)));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(5 * DIME));
    assert!(redeemer.redeem().await.unwrap().done.is_empty(), "nothing is sent twice");

    // Only a final event marks anything redeemed.
    watcher.step().await.unwrap();
    assert_eq!(earnings(payee.store().as_ref(), Period::default()).await.unwrap().redeemed, Amount::ZERO);
    fixture.finalize().await;
    watcher.step().await.unwrap();
    let total = earnings(payee.store().as_ref(), Period::default()).await.unwrap();
    assert_eq!((total.redeemed, total.outstanding, total.items_sold), (Amount::new(5 * DIME), Amount::ZERO, 5));
}

/// On a chain whose last final block is older than the escrow, nothing is final, and credit is given all the same.
#[tokio::test]
async fn the_first_sale_does_not_wait_until_the_escrow_is_final() {
    let anvil = LocalChain::anvil_in(&Fixture::root());
    let local = LocalChain::start(&anvil, None).await.unwrap();
    let chain = local.connect(Fixture::payer()).await.unwrap();
    let deployment = deploy(&chain, EXIT_DELAY_DEFAULT).await.unwrap().deployment;
    let token = Token { address: Address::ZERO, symbol: "ETH".to_owned(), decimals: 18, dollar: false };
    let fixture = Fixture { local, deployment, token };
    let escrow = fixture.escrow(Fixture::payer()).await;
    escrow.deposit(&fixture.account(), Amount::new(5_000_000)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let payee = fixture.start_payee(folder.path()).await;
    Watcher::new(payee.clone(), fixture.escrow(Fixture::payee()).await).step().await.unwrap();
    buy(&fixture, &payee, &fixture.channel(0), "/song", DIME).await.unwrap();
}

#[tokio::test]
async fn several_channels_are_redeemed_in_one_batch() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    for salt in 0..4 {
        buy(&fixture, &payee, &fixture.channel(salt), "/song", DIME).await.unwrap();
    }
    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    let redeemed = redeemer.redeem().await.unwrap().done;
    assert_eq!((redeemed.len(), redeemed[0].vouchers, redeemed[0].paid), (1, 4, Amount::new(4 * DIME)));
}

#[tokio::test]
async fn each_wrong_voucher_gets_its_problem_and_changes_nothing() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let channel = fixture.channel(0);
    buy(&fixture, &payee, &channel, "/first", DIME).await.unwrap();
    let item = quote("/second", DIME);
    let good = fixture.voucher(&channel, 2 * DIME, &Fixture::payer());
    let of = |signed| credential(&payee, &item, &channel, signed);

    // Stale: at or below what was accepted, and used.
    let stale = of(fixture.voucher(&channel, DIME, &Fixture::payer()));
    assert_eq!(refused(&payee, &item, &stale).await, ProblemType::DeltaTooSmall);
    // Underpaying: more than before, less than the price.
    let short = of(fixture.voucher(&channel, 2 * DIME - 1, &Fixture::payer()));
    assert_eq!(refused(&payee, &item, &short).await, ProblemType::DeltaTooSmall);
    // Forged, at a high, an equal and a zero amount (failure 12).
    for cumulative in [2 * DIME, DIME, 0] {
        let forged = of(fixture.voucher(&channel, cumulative, &Fixture::payee()));
        assert_eq!(refused(&payee, &item, &forged).await, ProblemType::SignerMismatch);
    }
    // Another chain, another escrow: another digest.
    for deployment in [
        Deployment { chain_id: 1, ..fixture.deployment },
        Deployment { escrow: Fixture::payee().address(), ..fixture.deployment },
    ] {
        let elsewhere = Fixture { deployment, token: fixture.token.clone(), local: Fixture::start().await.local };
        let signed = elsewhere.voucher(&channel, 2 * DIME, &Fixture::payer());
        assert_eq!(refused(&payee, &item, &of(signed)).await, ProblemType::VerificationFailed);
        let mut signed = signed;
        signed.voucher.channel_id = channel.id(&fixture.deployment);
        assert_eq!(refused(&payee, &item, &of(signed)).await, ProblemType::SignerMismatch);
    }
    // Another channel: terms that are not the id's, an id without terms, another payee.
    let other = fixture.channel(9);
    let wrong_terms = credential(&payee, &item, &other, good);
    assert_eq!(refused(&payee, &item, &wrong_terms).await, ProblemType::VerificationFailed);
    let mut unknown = credential(&payee, &item, &other, fixture.voucher(&other, DIME, &Fixture::payer()));
    unknown.payload.terms = None;
    assert_eq!(refused(&payee, &item, &unknown).await, ProblemType::ChannelNotFound);
    let foreign = Channel { payee: Fixture::payer().address(), ..channel };
    let foreign = credential(&payee, &item, &foreign, fixture.voucher(&foreign, DIME, &Fixture::payer()));
    assert_eq!(refused(&payee, &item, &foreign).await, ProblemType::VerificationFailed);
    // Agreed to less than it costs; another realm; another action.
    let mut cheap = of(good);
    cheap.payload.amount = Some(Amount::new(1));
    assert_eq!(refused(&payee, &item, &cheap).await, ProblemType::PaymentInsufficient);
    let mut realm = of(good);
    realm.challenge.realm = "elsewhere".to_owned();
    assert_eq!(refused(&payee, &item, &realm).await, ProblemType::InvalidChallenge);
    let mut action = of(good);
    action.payload.action = "close".to_owned();
    assert_eq!(refused(&payee, &item, &action).await, ProblemType::MethodUnsupported);
    // And the good one is good.
    assert!(send(&payee, &item, &of(good)).await.is_ok());
}

/// The first is recovered, the others are checked against the known key; the escrow takes one byte only.
#[tokio::test]
async fn a_voucher_whose_recovery_byte_alone_is_wrong_is_taken_and_redeemed() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let channel = fixture.channel(0);
    for count in 1..=3 {
        let mut signed = fixture.voucher(&channel, count * DIME, &Fixture::payer());
        let mut bytes = signed.signature.to_bytes();
        bytes[64] = 27 + 28 - bytes[64];
        signed.signature = VoucherSignature::from_bytes(&bytes).unwrap();
        let item = quote(&format!("/{count}"), DIME);
        send(&payee, &item, &credential(&payee, &item, &channel, signed)).await.unwrap();
    }
    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(3 * DIME));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(3 * DIME));
}

/// Without HTTP the same rules hold: once with its terms, from then on without.
#[tokio::test]
async fn a_voucher_is_taken_without_a_challenge_and_charged_once() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let channel = fixture.channel(0);
    let present = |count: u128, terms| PresentedVoucher {
        signed: fixture.voucher(&channel, count * DIME, &Fixture::payer()),
        terms,
    };
    let request = |path: &str| ChargeRequest {
        price: Amount::new(DIME),
        item: path.to_owned(),
        request: RequestId::new("GET", path),
        reservation_required: false,
        at: payee.views().seen_at(),
    };
    let unknown = payee.take(present(1, None), request("/1")).await.expect_err("nobody knows the channel");
    assert_eq!(unknown.problem().problem_type(), Some(ProblemType::ChannelNotFound));
    let terms = Some(ChannelTerms::from(&channel));
    let taken = payee.take(present(1, terms), request("/1")).await.unwrap();
    assert_eq!((taken.again, taken.books.spent, taken.charge.item.as_str()), (false, Amount::new(DIME), "/1"));
    for count in 2..=4 {
        let path = format!("/{count}");
        let taken = payee.take(present(count, None), request(&path)).await.unwrap();
        assert_eq!((taken.again, taken.books.spent), (false, Amount::new(count * DIME)));
        assert!(payee.take(present(count, None), request(&path)).await.unwrap().again);
    }
    let mut forged = present(5, None);
    forged.signed.signature = present(4, None).signed.signature;
    let refused = payee.take(forged, request("/5")).await.expect_err("another amount was signed");
    assert_eq!(refused.problem().problem_type(), Some(ProblemType::SignerMismatch));
    let other = Some(ChannelTerms { salt: B256::repeat_byte(9), ..ChannelTerms::from(&channel) });
    let refused = payee.take(present(5, other), request("/5")).await.expect_err("the terms are another channel's");
    assert_eq!(refused.problem().problem_type(), Some(ProblemType::VerificationFailed));
    assert_eq!(earnings(payee.store().as_ref(), Period::default()).await.unwrap().items_sold, 4);
}

/// Failures 12 and 18: copies are one charge, and parallel requests all succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_copies_are_charged_once_and_parallel_items_all_succeed() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let channel = fixture.channel(0);
    let item = quote("/copied", DIME);
    let copied = credential(&payee, &item, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (payee, item, copied) = (payee.clone(), item.clone(), copied.clone());
        copies.spawn(async move { send(&payee, &item, &copied).await.unwrap().again });
    }
    let charged = copies.join_all().await.into_iter().filter(|again| !again).count();
    assert_eq!(charged, 1);

    let mut items = tokio::task::JoinSet::new();
    for count in (2..=16).rev() {
        let item = quote(&format!("/{count}"), DIME);
        let signed = fixture.voucher(&channel, count * DIME, &Fixture::payer());
        let credential = credential(&payee, &item, &channel, signed);
        let payee = payee.clone();
        items.spawn(async move { send(&payee, &item, &credential).await.map(|sale| sale.again) });
    }
    for result in items.join_all().await {
        assert!(!result.unwrap());
    }
    let total = earnings(payee.store().as_ref(), Period::default()).await.unwrap();
    assert_eq!((total.items_sold, total.earned), (16, Amount::new(16 * DIME)));
}

#[tokio::test]
async fn credit_ends_at_the_limit_and_goes_on_after_a_final_redemption() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(0);
    for count in 1..=20 {
        buy(&fixture, &payee, &channel, &format!("/{count}"), count * DIME).await.unwrap();
    }
    let beyond = buy(&fixture, &payee, &channel, "/21", 21 * DIME).await.unwrap_err().problem();
    assert_eq!(beyond.problem_type(), Some(ProblemType::InsufficientBalance));
    assert!(beyond.detail.contains("$2.10 would be owed before the creator redeems"), "{}", beyond.detail);
    Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await).redeem().await.unwrap();
    watcher.step().await.unwrap();
    assert!(buy(&fixture, &payee, &channel, "/21", 21 * DIME).await.is_err(), "a reorg may undo the redemption");
    fixture.finalize().await;
    watcher.step().await.unwrap();
    buy(&fixture, &payee, &channel, "/21", 21 * DIME).await.unwrap();
}

/// Loss 28: one account, many salts, and a credit limit for each of them.
#[tokio::test]
async fn many_channels_of_one_account_share_its_credit() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    for number in 0..20 {
        buy(&fixture, &payee, &fixture.channel(number), "/1", DIME).await.unwrap();
    }
    let beyond = buy(&fixture, &payee, &fixture.channel(20), "/1", DIME).await.unwrap_err().problem();
    assert_eq!(beyond.problem_type(), Some(ProblemType::InsufficientBalance));
    assert!(beyond.detail.contains("$2.10 would be owed before the creator redeems"), "{}", beyond.detail);
}

/// Loss 17: fifteen of fifteen requests were served after the payer had emptied the escrow.
#[tokio::test]
async fn a_withdrawal_cuts_credit_at_the_next_look() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(0);
    buy(&fixture, &payee, &channel, "/1", DIME).await.unwrap();
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.withdraw(&fixture.account(), Amount::new(5_000_000), Fixture::payer().address()).await.unwrap();
    watcher.step().await.unwrap();
    let problem = buy(&fixture, &payee, &channel, "/2", 2 * DIME).await.unwrap_err().problem();
    assert_eq!(problem.problem_type(), Some(ProblemType::InsufficientBalance));
}

#[tokio::test]
async fn a_reservation_serves_when_it_is_final_and_comes_back_by_the_payees_close() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(5);
    let reserved = Quote { reservation_required: Some(Amount::new(10 * DIME)), ..quote("/article", DIME) };
    let first = credential(&payee, &reserved, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    assert_eq!(refused(&payee, &reserved, &first).await, ProblemType::AmountExceedsDeposit);

    let payer = fixture.escrow(Fixture::payer()).await;
    payer.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
    watcher.step().await.unwrap();
    assert_eq!(refused(&payee, &reserved, &first).await, ProblemType::AmountExceedsDeposit);
    fixture.finalize().await;
    watcher.step().await.unwrap();
    assert!(send(&payee, &reserved, &first).await.is_ok());

    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    let closed = redeemer.close(channel.id(&fixture.deployment)).await.unwrap();
    assert_eq!((closed.paid, closed.refunded), (Amount::new(DIME), Amount::new(9 * DIME)));
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, Amount::new(DIME));
    // The refund goes to the payer, not to the account.
    assert_eq!(fixture.dollars_of(Fixture::payer().address()).await, Amount::new(95_000_000 + 9 * DIME));
}

/// Loss 27: a reservation whose close is requested counts as zero, from the head of the chain.
#[tokio::test]
async fn a_requested_close_stops_service_at_the_next_look() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(5);
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
    fixture.finalize().await;
    let reserved = Quote { reservation_required: Some(Amount::new(DIME)), ..quote("/article", DIME) };
    let first = credential(&payee, &reserved, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    send(&payee, &reserved, &first).await.unwrap();
    payer.request_close(&channel).await.unwrap();
    watcher.step().await.unwrap();
    let item = Quote { item: "/next".to_owned(), ..reserved };
    let next = credential(&payee, &item, &channel, fixture.voucher(&channel, 2 * DIME, &Fixture::payer()));
    assert_eq!(refused(&payee, &item, &next).await, ProblemType::ChannelFinalized);
}

#[tokio::test]
async fn a_restarted_ledger_has_every_voucher_and_honours_its_challenges() {
    let (fixture, folder, payee, watcher) = shop().await;
    let channel = fixture.channel(0);
    let item = quote("/1", DIME);
    let bought = credential(&payee, &item, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    send(&payee, &item, &bought).await.unwrap();

    let path = folder.path().join("ledger.redb");
    let second = EmbeddedStore::open(&path, &fixture.identity());
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
    drop((payee, watcher));
    farthing_testkit::wait_until("the ledger is released", || async {
        EmbeddedStore::open(&path, &fixture.identity()).is_ok()
    })
    .await;

    let payee = fixture.start_payee(folder.path()).await;
    assert!(send(&payee, &item, &bought).await.unwrap().again, "the same request is not charged twice");
    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    assert_eq!(redeemer.redeem().await.unwrap().done[0].paid, Amount::new(DIME));
}

#[tokio::test]
async fn a_ledger_is_never_opened_for_another_payee() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    drop(EmbeddedStore::open(&path, &fixture.identity()).unwrap());
    let other = LedgerIdentity { payee: Fixture::payer().address(), ..fixture.identity() };
    let refused = EmbeddedStore::open(&path, &other);
    assert!(matches!(refused, Err(StoreError::OtherLedger { .. })), "{refused:?}");
    std::fs::write(&path, B256::repeat_byte(7)).unwrap();
    let refused = EmbeddedStore::open(&path, &fixture.identity());
    assert!(matches!(refused, Err(StoreError::Failed { .. })), "{refused:?}");
}

/// A quote is honoured until it expires, and a dearer item is never charged silently.
#[tokio::test]
async fn a_price_that_rose_is_charged_as_quoted_or_not_at_all() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let channel = fixture.channel(0);
    let then = quote("/song", DIME);
    let quoted = credential(&payee, &then, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    let now = quote("/song", 3 * DIME);
    assert_eq!(send(&payee, &now, &quoted).await.unwrap().receipt.receipt.price, Amount::new(DIME));

    let other = quote("/other", 3 * DIME);
    let mut agreed = credential(&payee, &then, &channel, fixture.voucher(&channel, 4 * DIME, &Fixture::payer()));
    agreed.payload.amount = Some(Amount::new(DIME));
    assert_eq!(refused(&payee, &other, &agreed).await, ProblemType::PaymentInsufficient);
}

/// A reservation guarantees what was served even if the payer signed amounts that nothing at or below the debt meets: it
/// promised $0.100001 for a dime, asks its reservation back, and the dime is still redeemed.
#[tokio::test]
async fn a_payer_that_skips_amounts_pays_all_the_same_when_it_leaves() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(5);
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
    fixture.finalize().await;
    watcher.step().await.unwrap();
    let reserved = Quote { reservation_required: Some(Amount::new(DIME)), ..quote("/article", DIME) };
    let skipping = credential(&payee, &reserved, &channel, fixture.voucher(&channel, DIME + 1, &Fixture::payer()));
    send(&payee, &reserved, &skipping).await.unwrap();

    let redeemer = Redeemer::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
    assert!(redeemer.due().await.unwrap().due.is_empty(), "while the channel goes on, no more than what is due");
    payer.request_close(&channel).await.unwrap();
    watcher.step().await.unwrap();
    let due = redeemer.due().await.unwrap().due;
    assert_eq!(due[0].amount, Amount::new(DIME + 1), "what it signed, and what it has beyond the debt counts later");
}

#[tokio::test]
async fn what_was_bought_comes_again_after_its_price_rose() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let channel = fixture.channel(0);
    let then = quote("/song", DIME);
    let voucher = fixture.voucher(&channel, DIME, &Fixture::payer());
    send(&payee, &then, &credential(&payee, &then, &channel, voucher)).await.unwrap();
    let now = quote("/song", 3 * DIME);
    let mut again = credential(&payee, &now, &channel, voucher);
    again.payload.amount = Some(Amount::new(DIME));
    assert!(send(&payee, &now, &again).await.unwrap().again);
    // A voucher that paid for nothing yet is too little.
    let mut fresh = credential(&payee, &now, &channel, fixture.voucher(&channel, 2 * DIME, &Fixture::payer()));
    fresh.payload.amount = Some(Amount::new(DIME));
    assert_eq!(refused(&payee, &now, &fresh).await, ProblemType::PaymentInsufficient);
}

/// Any key can sign for itself: strangers without money are neither remembered nor served.
#[tokio::test]
async fn accounts_without_money_are_not_remembered() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let item = quote("/song", DIME);
    for _ in 0..20 {
        let key = farthing::PrivateKeySigner::random();
        let channel = Channel { payer: key.address(), authorized_signer: key.address(), ..fixture.channel(0) };
        let stranger = credential(&payee, &item, &channel, fixture.voucher(&channel, DIME, &key));
        assert_eq!(refused(&payee, &item, &stranger).await, ProblemType::InsufficientBalance);
    }
    assert!(payee.views().accounts().is_empty());
}

/// A source whose answers are held back until they are old.
#[derive(Debug)]
struct Slow {
    escrow: farthing::escrow::Escrow,
    held: tokio::sync::Semaphore,
    read: tokio::sync::Semaphore,
}

impl FundsSource for Slow {
    fn funds_of<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        Box::pin(async move {
            let reading = FundsSource::funds_of(&self.escrow, channel).await;
            self.read.add_permits(1);
            self.held.acquire().await.unwrap().forget();
            reading
        })
    }
}

/// Loss 17: the close is requested and passed by the watcher while the first contact's answer is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_answer_at_first_contact_is_read_again() {
    let (fixture, _folder, _payee, _) = shop().await;
    let channel = fixture.channel(5);
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
    fixture.finalize().await;
    let escrow = fixture.escrow(Fixture::payee()).await;
    let (held, read) = (tokio::sync::Semaphore::new(0), tokio::sync::Semaphore::new(0));
    let slow = std::sync::Arc::new(Slow { escrow: escrow.clone(), held, read });
    let folder = tempfile::tempdir().unwrap();
    let payee = fixture.start_payee_with(folder.path(), std::sync::Arc::clone(&slow) as _).await;
    let mut watcher = Watcher::new(payee.clone(), escrow);
    watcher.step().await.unwrap();

    let reserved = Quote { reservation_required: Some(Amount::new(DIME)), ..quote("/1", DIME) };
    let first = credential(&payee, &reserved, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    let buying = tokio::spawn({
        let (payee, reserved) = (payee.clone(), reserved.clone());
        async move { send(&payee, &reserved, &first).await }
    });
    slow.read.acquire().await.unwrap().forget();
    payer.request_close(&channel).await.unwrap();
    watcher.step().await.unwrap();
    slow.held.add_permits(100);
    buying.await.unwrap().unwrap();

    watcher.step().await.unwrap();
    let item = Quote { item: "/2".to_owned(), ..reserved };
    let second = credential(&payee, &item, &channel, fixture.voucher(&channel, 2 * DIME, &Fixture::payer()));
    assert_eq!(refused(&payee, &item, &second).await, ProblemType::ChannelFinalized);
}

/// First contact between "mined" and "final": the reservation counts once it is final, without any further event.
#[tokio::test]
async fn a_reservation_first_met_before_it_is_final_counts_later() {
    let (fixture, _folder, payee, mut watcher) = shop().await;
    let channel = fixture.channel(5);
    fixture.escrow(Fixture::payer()).await.reserve(&channel, Amount::new(10 * DIME)).await.unwrap();
    watcher.step().await.unwrap();
    let reserved = Quote { reservation_required: Some(Amount::new(DIME)), ..quote("/article", DIME) };
    let first = credential(&payee, &reserved, &channel, fixture.voucher(&channel, DIME, &Fixture::payer()));
    assert_eq!(refused(&payee, &reserved, &first).await, ProblemType::AmountExceedsDeposit);
    fixture.finalize().await;
    watcher.step().await.unwrap();
    assert!(send(&payee, &reserved, &first).await.is_ok());
}

/// Failures 15, 17: a node that stopped following the chain answers as if nothing had happened.
#[tokio::test]
async fn a_node_that_stands_still_gets_no_credit() {
    let (fixture, _folder, payee, _) = shop().await;
    let escrow = fixture.escrow(Fixture::payee()).await;
    payee.views().note_seen(farthing::core::Timestamp::from_unix_seconds(0));
    let mut watcher = Watcher::new(payee.clone(), escrow).with_head_age_max(std::time::Duration::ZERO);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    watcher.step().await.unwrap();
    let problem = buy(&fixture, &payee, &fixture.channel(0), "/1", DIME).await.unwrap_err().problem();
    assert_eq!(problem.problem_type(), Some(ProblemType::Unavailable));
}

/// Gateways share a ledger, and one that is gone leaves its payers to the others: what the chain does to a channel that
/// another gateway has sold to is seen by all.
#[tokio::test]
async fn a_gateway_watches_what_another_has_sold() {
    let (fixture, _folder, payee, _watcher) = shop().await;
    let escrow = fixture.escrow(Fixture::payee()).await;
    let source = Arc::new(escrow.clone());
    let other = fixture.start_payee_over(Arc::clone(payee.store()), source).await;
    let mut watcher = Watcher::new(other.clone(), escrow.clone());
    watcher.step().await.unwrap();

    // Sold by the first one, which is not heard of again.
    let (leaving, redeemed) = (fixture.channel(1), fixture.channel(2));
    let payer = fixture.escrow(Fixture::payer()).await;
    payer.open(&leaving, Amount::new(DIME)).await.unwrap();
    buy(&fixture, &payee, &leaving, "/song", DIME).await.unwrap();
    buy(&fixture, &payee, &redeemed, "/song", DIME).await.unwrap();
    watcher.step().await.unwrap();
    assert!(other.views().account_of(&leaving).is_none());

    payer.request_close(&leaving).await.unwrap();
    watcher.step().await.unwrap();
    let view = other.views().account_of(&leaving).unwrap();
    assert!(view.channel(leaving.id(&fixture.deployment)).unwrap().head.close_at.is_some());

    let done = Redeemer::new(other.clone(), escrow).redeem().await.unwrap().done;
    assert_eq!(done[0].vouchers, 2);
    fixture.finalize().await;
    watcher.step().await.unwrap();
    assert_eq!(earnings(other.store().as_ref(), Period::default()).await.unwrap().redeemed, Amount::new(2 * DIME));
}
