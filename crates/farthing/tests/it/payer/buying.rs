//! Buying from shops that play by the rules.

use super::peer::{Peer, Reply, Shop, cents, deployment, token};
use super::{Home, at, payer_at, plenty, text};
use farthing::PrivateKeySigner;
use farthing::core::wire::listing::LISTING_PATH;
use farthing::core::{Account, Amount, Timestamp};
use farthing::payer::{BudgetError, ByteRange, FetchOptions, Payer, PayerError, PromiseState, StoreError};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test]
async fn buys_once_and_fetches_again_for_nothing() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("/song", cents(50))).await);
    let payer = home.payer().await;
    let first = payer.fetch(&peer.url("/song")).await.expect("buys");
    assert_eq!((first.status, first.price, first.paid_now), (200, cents(50), cents(50)));
    assert_eq!(first.media_type.as_deref(), Some("text/plain"));
    let receipt = first.receipt.clone().expect("a receipt");
    assert_eq!(receipt.receipt.price, cents(50));
    assert_eq!(text(first).await, "this is /song");

    let range = Some(ByteRange { first: 5, last: None });
    let again = payer.fetch_with(&peer.url("/song#x"), &FetchOptions { range, ..FetchOptions::default() }).await;
    let again = again.expect("fetches");
    assert_eq!((again.price, again.paid_now), (cents(50), Amount::ZERO));
    assert_eq!(again.receipt, Some(receipt));
    assert_eq!(peer.requests().last().expect("a request").headers["range"], "bytes=5-");
    assert_eq!(peer.sales().len(), 1);
    assert_eq!(peer.redeemable(), cents(50));

    let options = FetchOptions { buy_again: true, ..FetchOptions::default() };
    let anew = payer.fetch_with(&peer.url("/song"), &options).await.expect("buys");
    assert_eq!(anew.paid_now, cents(50));
    assert_eq!(peer.redeemable(), cents(100));
    let history = home.store().await.history().await.expect("reads");
    assert_eq!(history.iter().filter(|promise| promise.receipt().is_some()).count(), 2);
}

#[tokio::test]
async fn what_is_free_is_fetched_without_a_voucher() {
    let peer = Peer::honest(Shop::new().selling("/free", Amount::ZERO)).await;
    let free = Home::new().payer().await.fetch(&peer.url("/free")).await.expect("fetches");
    assert_eq!((free.price, free.paid_now, free.token.clone()), (Amount::ZERO, Amount::ZERO, None));
    assert_eq!(text(free).await, "free");
    assert!(peer.vouchers().is_empty());
}

#[tokio::test]
async fn after_the_first_challenge_an_item_takes_one_round_trip() {
    let shop = Shop::new().selling("/a", cents(10)).selling("/b", cents(20)).selling("/c", cents(30));
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    home.payer().await.fetch(&peer.url("/a")).await.expect("buys");
    assert_eq!(peer.requests().len(), 2);
    // Another process knows it too: it is in the store.
    let payer = home.payer().await;
    let bought = payer.fetch(&peer.url("/b")).await.expect("buys");
    assert_eq!((bought.paid_now, peer.requests().len()), (cents(20), 3));
    payer.fetch(&peer.url("/c")).await.expect("buys");
    payer.fetch(&peer.url("/a")).await.expect("fetches");
    assert_eq!(peer.requests().len(), 5);
    let listings = peer.lock().seen.iter().filter(|seen| seen.path() == LISTING_PATH).count();
    assert_eq!(listings, 1);
    // What is not listed is asked for.
    payer.fetch(&peer.url("/unlisted")).await.expect("buys");
    assert_eq!(peer.requests().len(), 7);
    assert_eq!(peer.redeemable(), cents(110));
}

#[tokio::test]
async fn a_price_above_the_listed_one_is_asked_about_once() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("/a", cents(10)).selling("/b", cents(20))).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    peer.lock().shop.prices.insert("/b".to_owned(), cents(30));
    let bought = payer.fetch(&peer.url("/b")).await.expect("buys within the limits");
    assert_eq!(bought.paid_now, cents(30));
    assert_eq!(peer.redeemable(), cents(40), "the voucher for the listed price is not on top of it");
}

#[tokio::test]
async fn an_expired_or_forgotten_challenge_is_replaced_once() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("/a", cents(10)).selling("/b", cents(20))).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    // The shop lost its secret, so that the cached challenge is nobody's.
    let secret = farthing::core::wire::ChallengeSecret::new(vec![7; 32]).expect("long enough");
    peer.lock().shop.secret = secret;
    let bought = payer.fetch(&peer.url("/b")).await.expect("buys");
    assert_eq!(bought.paid_now, cents(20));
    let vouchers = peer.vouchers();
    assert_eq!(vouchers[vouchers.len() - 2..][0], vouchers[vouchers.len() - 1], "the very same voucher, twice");
    assert_eq!(peer.sales().len(), 2);
}

// 18
#[tokio::test]
async fn parallel_requests_on_one_channel_all_succeed_and_are_charged_once_each() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (payer, url) = (payer.clone(), peer.url(&format!("/parallel/{number}")));
        tasks.spawn(async move { payer.fetch(&url).await.expect("buys").paid_now });
    }
    assert!(tasks.join_all().await.into_iter().all(|paid| paid == cents(50)));
    let sales = peer.sales();
    let amounts: BTreeSet<Amount> = sales.iter().map(|sale| sale.1).collect();
    assert_eq!(amounts, (1..=8).map(|count| cents(50 * count)).collect());
    assert_eq!(sales.len(), 8);
}

#[tokio::test]
async fn copies_of_one_request_at_once_pay_once() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer_with(plenty).await;
    payer.fetch(&peer.url("/first")).await.expect("buys");
    let run = async |path: &str, options: FetchOptions| {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (payer, url, options) = (payer.clone(), peer.url(path), options.clone());
            tasks.spawn(async move { payer.fetch_with(&url, &options).await.expect("fetches").paid_now });
        }
        Amount::saturating_sum(tasks.join_all().await)
    };
    assert_eq!(run("/same", FetchOptions::default()).await, cents(50), "only one of them has paid");
    let distinct: BTreeSet<_> = peer.vouchers().into_iter().filter(|(_, _, path)| path == "/same").collect();
    assert_eq!((distinct.len(), peer.sales().len()), (1, 2));
    // Control: each that is told to pay again does.
    assert_eq!(run("/again", FetchOptions { buy_again: true, ..FetchOptions::default() }).await, cents(400));
    assert_eq!(peer.sales().len(), 10);
}

// 21
#[tokio::test]
async fn payments_in_parallel_never_overspend() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("*", cents(100))).await);
    let payer = home.payer().await;
    let run = async |payer: &Payer, kind: &str| {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..12 {
            let (payer, url) = (payer.clone(), peer.url(&format!("/{kind}/{number}")));
            tasks.spawn(async move { payer.fetch(&url).await });
        }
        tasks.join_all().await
    };
    let outcomes = run(&payer, "limited").await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5, "$5 a site and day");
    let over =
        |error: &PayerError| matches!(error, PayerError::Budget(error) if matches!(**error, BudgetError::Site { .. }));
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(over));
    assert_eq!(peer.redeemable(), cents(500));
    // Control: the same payments without limits do go above.
    let unlimited = home.payer_with(plenty).await;
    assert_eq!(run(&unlimited, "unlimited").await.iter().filter(|outcome| outcome.is_ok()).count(), 12);
    assert_eq!(peer.redeemable(), cents(1_700));
}

static CLOCK: AtomicU64 = AtomicU64::new(0);

fn clock() -> Timestamp {
    at(CLOCK.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_new_day_has_a_new_budget() {
    let now = farthing::clock::now().unix_seconds();
    CLOCK.store(now, Ordering::SeqCst);
    let mut shop = Shop::new().selling("*", cents(100));
    shop.challenge_seconds = 200_000;
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    let payer = home.payer_with(|options| options.clock = clock).await;
    for number in 0..5 {
        payer.fetch(&peer.url(&format!("/{number}"))).await.expect("buys");
    }
    assert!(matches!(payer.fetch(&peer.url("/more")).await, Err(PayerError::Budget(_))));
    CLOCK.store(now + 86_400, Ordering::SeqCst);
    payer.fetch(&peer.url("/more")).await.expect("buys");
    let spending = home.store().await.spending().await.expect("reads");
    let amounts: Vec<_> = spending.iter().map(|entry| entry.amount).collect();
    assert_eq!(amounts, [cents(500), cents(100)]);
    assert_eq!(spending[0].origin, peer.origin);
}

#[tokio::test]
async fn a_dear_item_is_bought_when_the_owner_approves_its_price() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("/film", cents(300))).await);
    let payer = home.payer().await;
    let error = payer.fetch(&peer.url("/film")).await.expect_err("above the line");
    assert_eq!(error.to_string(), "$3.00 is above the $1.00 that an item may cost unasked");
    assert!(peer.vouchers().is_empty());
    let options = FetchOptions { approve_up_to: Some(cents(300)), ..FetchOptions::default() };
    assert_eq!(payer.fetch_with(&peer.url("/film"), &options).await.expect("buys").paid_now, cents(300));
}

#[tokio::test]
async fn a_session_key_pays_from_the_account_that_names_it() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let owner = PrivateKeySigner::random().address();
    let payer = home.payer_with(|options| options.payer = owner).await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    let channels = home.store().await.channels().await.expect("reads");
    assert_eq!(channels[0].channel.payer, owner);
    assert_eq!(channels[0].channel.authorized_signer, home.signer.address());
    assert_eq!(peer.redeemable(), cents(50), "the shop found a good voucher by that key");
}

#[tokio::test]
async fn without_a_recorded_deposit_nothing_is_promised() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = payer_at(home.path(), home.signer.clone(), |_| {}).await;
    let error = payer.fetch(&peer.url("/a")).await.expect_err("no deposit");
    assert!(matches!(&error, PayerError::NoDeposit { deployment: named, .. } if *named == deployment()));
    assert!(error.to_string().contains("no deposit of dUSD"), "{error}");
    // One of another signer does not count.
    let other = Account { payer: home.signer.address(), authorized_signer: owner(), token: token().address };
    payer.store().record_deposit(deployment(), other, at(1)).await.expect("records");
    assert!(matches!(payer.fetch(&peer.url("/a")).await, Err(PayerError::NoDeposit { .. })));
    assert!(peer.vouchers().is_empty());
    let accounts = payer.store().accounts().await.expect("reads");
    assert_eq!((accounts.len(), accounts[0].first_seen), (1, at(1)));
}

fn owner() -> farthing::core::Address {
    farthing::core::Address::repeat_byte(0x0a)
}

#[tokio::test]
async fn of_several_challenges_the_one_that_can_be_paid_is_paid() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    peer.twist(|shop, seen| {
        let none = seen.credential.is_none() && seen.path() != LISTING_PATH;
        none.then(|| {
            let mut unknown = shop.session("/a", cents(50));
            unknown.currency = owner();
            let merged = format!(
                "Payment id=\"x\", realm=\"r\", method=\"evm\", intent=\"session\", request=\"e30\", {}, {}",
                shop.challenge(&unknown),
                shop.challenge(&shop.session("/a", cents(50)))
            );
            Reply::status(402).with("www-authenticate", "Basic realm=\"x\"").with("www-authenticate", merged)
        })
    });
    assert_eq!(home.payer().await.fetch(&peer.url("/a")).await.expect("buys").paid_now, cents(50));
}

#[tokio::test]
async fn a_tip_is_a_gift_of_its_own_each_time() {
    let mut shop = Shop::new();
    shop.tip = Some(cents(10));
    shop.prices.insert("/tip".to_owned(), cents(10));
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    let payer = home.payer().await;
    for count in 1..=2 {
        let tip = payer.tip(&peer.origin, cents(200), "more of this").await.expect("tips");
        assert_eq!((tip.paid_now, peer.redeemable()), (cents(200), cents(200 * count)));
        assert_eq!(tip.receipt.expect("a receipt").receipt.price, cents(200));
    }
    let given = peer.requests().last().cloned().expect("a request");
    assert_eq!((given.method.as_str(), given.body.as_str()), ("POST", r#"{"message":"more of this"}"#));
    let too_small = payer.tip(&peer.url("/tip"), cents(9), "").await;
    assert!(matches!(too_small, Err(PayerError::TipTooSmall { .. })));
    assert!(matches!(payer.tip(&peer.url("/song"), cents(20), "").await, Err(PayerError::NoTips { .. })));
    // Naming the amount approves it, and moves no other limit.
    assert!(matches!(payer.tip(&peer.origin, cents(101), "").await, Err(PayerError::Budget(_))));
    peer.lock().shop.tip = None;
    assert!(matches!(payer.tip(&peer.origin, cents(20), "").await, Err(PayerError::NoTips { .. })));
}

#[tokio::test]
async fn a_large_item_flows_and_is_not_held_in_memory() {
    const CHUNK: usize = 1 << 16;
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let Reply::Send { headers, status, .. } = shop.answer(seen) else { return None };
        Some(Reply::Send { headers, status, body: vec![7; 64 * CHUNK] })
    });
    let mut film = home.payer().await.fetch(&peer.url("/film")).await.expect("buys");
    let (mut length, mut largest) = (0, 0);
    while let Some(chunk) = film.body.chunk().await.expect("flows") {
        length += chunk.len();
        largest = largest.max(chunk.len());
    }
    assert_eq!(length, 64 * CHUNK);
    assert!(largest < length / 4, "{largest} bytes came at once");
}

// 23
#[tokio::test]
async fn vouchers_travel_in_headers_only() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer().await.fetch(&peer.url("/a?b=c")).await.expect("buys");
    let paid: Vec<_> = peer.requests().into_iter().filter(|seen| seen.credential.is_some()).collect();
    assert_eq!(paid.len(), 1);
    assert_eq!((paid[0].uri.query(), paid[0].body.as_str()), (Some("b=c"), ""));
    assert!(!paid[0].headers.contains_key("referer") && !paid[0].headers.contains_key("cookie"));
}

#[tokio::test]
async fn the_store_is_private_and_of_one_version() {
    let home = Home::new();
    let store = home.store().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(home.path()), 0o600);
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o644)).expect("sets");
        home.store().await;
        assert_eq!(mode(home.path()), 0o600, "opened again");
    }
    assert!(store.history().await.expect("reads").is_empty());
    let files = std::fs::read_dir(home.directory.path()).expect("lists").count();
    assert_eq!(files, 1, "nothing is left beside it");

    let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(home.path()).expect("opens");
    let transaction = database.begin_write().expect("begins");
    transaction.open_table(table).expect("opens").insert("schema", [9_u8].as_slice()).expect("inserts");
    transaction.commit().expect("commits");
    drop(database);
    let error = farthing::payer::PayerStore::open(home.path()).await.expect_err("another version");
    assert!(matches!(error, StoreError::UnknownSchema { found: 9, .. }), "{error}");
    assert!(error.to_string().contains("has schema 9; this version reads 1"), "{error}");

    std::fs::write(home.directory.path().join("text"), "not a store").expect("writes");
    assert!(farthing::payer::PayerStore::open(home.directory.path().join("text")).await.is_err());
}

#[tokio::test]
async fn many_stores_made_at_once_are_one() {
    let home = Home::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6 {
        let path = home.path();
        tasks.spawn(async move {
            let store = farthing::payer::PayerStore::open(path).await.expect("opens");
            let account = Account { payer: owner(), authorized_signer: owner(), token: token().address };
            let deployment = farthing::core::Deployment { chain_id: number, ..deployment() };
            store.record_deposit(deployment, account, at(1)).await.expect("records");
        });
    }
    tasks.join_all().await;
    assert_eq!(home.store().await.accounts().await.expect("reads").len(), 6);
    assert_eq!(std::fs::read_dir(home.directory.path()).expect("lists").count(), 1);
}

#[tokio::test]
async fn an_unfinished_item_is_listed_and_can_be_given_up() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    peer.twist(|_, seen| seen.credential.is_some().then(|| Reply::status(404)));
    let payer = home.payer().await;
    let error = payer.fetch(&peer.url("/gone")).await.expect_err("no answer to the voucher");
    assert!(matches!(error, PayerError::Unanswered { status: 404, .. }), "{error}");
    let unfinished = payer.unfinished().await.expect("reads");
    assert_eq!(unfinished.len(), 1);
    assert_eq!((unfinished[0].price, &unfinished[0].state), (cents(50), &PromiseState::Promised));
    payer.store().give_up(unfinished[0].id).await.expect("gives up");
    peer.untwist();
    payer.fetch(&peer.url("/other")).await.expect("buys");
    assert_eq!(peer.redeemable(), cents(50), "its amount was signed again");
}
