//! Refusals and silence: what is tried again, what is not, and what a refusal leaves behind.

use super::peer::{Peer, Reply, Shop, cents, dripping};
use super::{Home, plenty, refused_with};
use farthing::core::wire::listing::LISTING_PATH;
use farthing::core::wire::{Problem, ProblemType};
use farthing::core::{Address, B256, ChannelId, Deployment};
use farthing::payer::{HttpOptions, PayerError, PromiseState, Trust};
use std::time::Duration;

// 25
#[tokio::test]
async fn a_channel_that_the_payee_forgot_is_shown_once_more_and_then_left() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    let mut forgets = 1;
    peer.twist(move |shop, seen| {
        seen.credential.as_ref()?;
        forgets -= 1;
        let gone = Problem::new(ProblemType::ChannelNotFound, "who are you?");
        (forgets >= 0).then(|| shop.asks(seen.path(), cents(50), &gone))
    });
    payer.fetch(&peer.url("/a")).await.expect("the second time it knows the channel");
    let vouchers = peer.vouchers();
    assert_eq!((vouchers.len(), &vouchers[0]), (2, &vouchers[1]));

    peer.twist(|_, seen| {
        seen.credential.as_ref()?;
        let gone = Problem::new(ProblemType::ChannelNotFound, "who are you?");
        Some(Reply::status(410).with_body(serde_json::to_vec(&gone).expect("writes")))
    });
    let error = payer.fetch(&peer.url("/b")).await.expect_err("it never knows the channel");
    assert_eq!(refused_with(&error), Some(ProblemType::ChannelNotFound));
    assert_eq!(peer.vouchers().len(), 4, "once more, and then no more");
}

#[tokio::test]
async fn a_challenge_that_always_expires_is_replaced_once() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        Some(shop.asks(seen.path(), cents(50), &Problem::new(ProblemType::PaymentExpired, "too late")))
    });
    let error = home.payer().await.fetch(&peer.url("/a")).await.expect_err("always too late");
    assert_eq!(refused_with(&error), Some(ProblemType::PaymentExpired));
    let vouchers = peer.vouchers();
    assert_eq!((vouchers.len(), &vouchers[0]), (2, &vouchers[1]), "the very same voucher");
}

// 23
#[tokio::test]
async fn a_refused_payment_changes_nothing_but_what_the_payee_holds() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        Some(shop.asks(seen.path(), cents(50), &Problem::new(ProblemType::InsufficientBalance, "deposit first")))
    });
    for _ in 0..3 {
        let error = payer.fetch(&peer.url("/a")).await.expect_err("refused");
        assert_eq!(refused_with(&error), Some(ProblemType::InsufficientBalance));
        assert!(error.to_string().contains("deposit first (402)"), "{error}");
    }
    peer.untwist();
    let bought = payer.fetch(&peer.url("/a")).await.expect("buys");
    assert_eq!(bought.paid_now, cents(50));
    assert_eq!(peer.redeemable(), cents(50), "the fourth voucher is the first one");
    let store = home.store().await;
    let spending = store.spending().await.expect("reads");
    assert_eq!(spending[0].amount, cents(50), "and counts once");
    assert_eq!(store.channels().await.expect("reads")[0].promised, cents(50));
}

#[tokio::test]
async fn silence_leaves_the_promise_and_a_retry_sends_the_very_same_voucher() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let impatient = HttpOptions { read_timeout: Duration::from_millis(200), ..HttpOptions::default() };
    let payer = home.payer_with(|options| options.http = impatient).await;
    // Charged, and the answer is lost.
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let _ = shop.answer(seen);
        Some(Reply::Never)
    });
    let error = payer.fetch(&peer.url("/a")).await.expect_err("no answer");
    assert!(matches!(error, PayerError::OutcomeUnknown { .. }), "{error}");
    assert_eq!(payer.unfinished().await.expect("reads").len(), 1);
    peer.untwist();
    // Others go on meanwhile.
    payer.fetch(&peer.url("/b")).await.expect("buys");
    let bought = payer.fetch(&peer.url("/a")).await.expect("fetches");
    assert_eq!(bought.paid_now, cents(50));
    assert!(bought.receipt.is_some());
    assert_eq!(peer.sales().len(), 2);
    assert_eq!(peer.redeemable(), cents(100));
    assert!(payer.unfinished().await.expect("reads").is_empty());
    // Control: who forgets the promise pays twice.
    let options = farthing::payer::FetchOptions { buy_again: true, ..Default::default() };
    payer.fetch_with(&peer.url("/a"), &options).await.expect("buys");
    assert_eq!(peer.sales().len(), 3);
}

/// Buys at ten cents from a shop whose answer is lost, and which asks for thirty ever after.
async fn lost_before_the_price_rose(home: &Home, peer: &Peer, path: &str) {
    peer.lock().shop.prices.insert(path.to_owned(), cents(10));
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let _ = shop.answer(seen);
        Some(Reply::status(502))
    });
    let error = home.payer().await.fetch(&peer.url(path)).await.expect_err("no answer");
    assert!(matches!(error, PayerError::Unanswered { .. }), "{error}");
    peer.untwist();
    peer.lock().shop.prices.insert(path.to_owned(), cents(30));
}

#[tokio::test]
async fn a_price_that_rose_after_a_lost_answer_is_not_paid() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    lost_before_the_price_rose(&home, &peer, "/a").await;
    // No challenge is remembered, so the payer learns of the new price first, and sends the old voucher all the same.
    let bought = home.payer().await.fetch(&peer.url("/a")).await.expect("it is paid for");
    assert_eq!((bought.paid_now, bought.receipt.expect("a receipt").receipt.price), (cents(10), cents(10)));
    // Now one is.
    lost_before_the_price_rose(&home, &peer, "/b").await;
    assert_eq!(home.payer().await.fetch(&peer.url("/b")).await.expect("it is paid for").paid_now, cents(10));
    let vouchers = peer.vouchers();
    assert_eq!((&vouchers[0], &vouchers[2]), (&vouchers[1], &vouchers[3]), "the very same vouchers");
    assert_eq!((vouchers.len(), peer.sales().len(), peer.redeemable()), (4, 2, cents(20)));
}

// The payee charged and says that it did not, or it charged for what this store does not know of.
#[tokio::test]
async fn a_channel_whose_payee_counts_more_is_left_for_a_new_one() {
    let (home, peer, other) = (Home::new(), Peer::honest(Shop::new()).await, Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    payer.fetch(&other.url("/a")).await.expect("buys");
    lost_before_the_price_rose(&home, &peer, "/a").await;
    peer.twist(|shop, seen| {
        // It looks at today's price before it looks for what was charged.
        let agreed = seen.credential.as_ref()?.payload.amount?;
        let dearer = agreed < shop.price(seen.path());
        dearer.then(|| shop.asks(seen.path(), cents(30), &Problem::new(ProblemType::PaymentInsufficient, "it rose")))
    });
    peer.lock().shop.prices.insert("/b".to_owned(), cents(5));
    for path in ["/a", "/b", "/b"] {
        let error = payer.fetch(&peer.url(path)).await.expect_err("worth nothing to the payee");
        assert_eq!(refused_with(&error), Some(ProblemType::DeltaTooSmall), "{error}");
    }
    let store = home.store().await;
    let live = async |origin: &str| {
        let channels = store.channels().await.expect("reads");
        let mut live = channels.into_iter().filter(|channel| channel.origin == origin && !channel.retired);
        live.next().map(|channel| channel.channel.id(&channel.deployment))
    };
    let (old, untouched) = (live(&peer.origin).await.expect("one"), live(&other.origin).await.expect("one"));
    assert!(store.renew_channel(old).await.expect("renews"));
    assert!(!store.renew_channel(old).await.expect("renews"), "it is left already");
    assert!(store.renew_channel(ChannelId(B256::ZERO)).await.is_err(), "there is no such channel");
    assert_eq!(payer.fetch(&peer.url("/b")).await.expect("buys").paid_now, cents(5));
    assert_eq!(payer.fetch(&peer.url("/a")).await.expect("buys").paid_now, cents(30));
    payer.fetch(&other.url("/b")).await.expect("buys");
    let new = live(&peer.origin).await.expect("one");
    assert_ne!(new, old);
    assert_eq!(live(&other.origin).await, Some(untouched), "no other channel is left");
    // And once more: a channel that was left is never come back to.
    assert!(store.renew_channel(new).await.expect("renews"));
    payer.fetch(&peer.url("/c")).await.expect("buys");
    assert!(![Some(old), Some(new)].contains(&live(&peer.origin).await));
}

#[tokio::test]
async fn an_answer_that_drips_is_not_waited_for() {
    let home = Home::new();
    let origin = dripping(|realm, request| {
        let mut shop = Shop::new();
        shop.realm = realm.to_owned();
        let challenge = shop.challenge(&shop.session("/a", cents(50)));
        match (request.contains(LISTING_PATH), request.contains("authorization:")) {
            (true, _) => "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{".to_owned(),
            (_, true) => "HTTP/1.1 403 Forbidden\r\ncontent-length: 16000\r\n\r\n{".to_owned(),
            _ => format!("HTTP/1.1 402 Payment Required\r\nwww-authenticate: {challenge}\r\n\r\n"),
        }
    })
    .await;
    let brief = Duration::from_millis(300);
    let http = HttpOptions { problem_timeout: brief, listing_timeout: brief, ..HttpOptions::default() };
    let payer = home.payer_with(|options| options.http = http).await;
    let started = std::time::Instant::now();
    assert_eq!(payer.listing(&origin).await.expect("is asked"), None);
    let error = payer.fetch(&format!("{origin}/a")).await.expect_err("no item");
    // What it would have said, nobody knows: the promise stands.
    assert!(matches!(error, PayerError::Unanswered { status: 403, .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(HttpOptions::default().problem_timeout, Duration::from_secs(10));
}

#[tokio::test]
async fn a_servers_error_is_no_refusal() {
    for status in [500, 503, 429, 404, 416] {
        let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
        peer.twist(move |_, seen| seen.credential.is_some().then(|| Reply::status(status)));
        let payer = home.payer().await;
        let error = payer.fetch(&peer.url("/a")).await.expect_err("no item");
        assert!(matches!(error, PayerError::Unanswered { status: got, .. } if got == status), "{error}");
        let history = home.store().await.history().await.expect("reads");
        assert_eq!(history[0].state, PromiseState::Promised);
        peer.untwist();
        payer.fetch(&peer.url("/a")).await.expect("buys");
        assert_eq!(peer.redeemable(), cents(50));
    }
}

#[tokio::test]
async fn an_item_that_was_bought_is_never_paid_again_by_itself() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    // The shop forgot the purchase and wants more.
    peer.twist(|shop, seen| {
        Some(shop.asks(seen.path(), cents(60), &Problem::new(ProblemType::PaymentRequired, "pay")))
    });
    let error = payer.fetch(&peer.url("/a")).await.expect_err("refused");
    assert_eq!(refused_with(&error), Some(ProblemType::PaymentRequired));
    assert_eq!(peer.redeemable(), cents(50));
    let history = home.store().await.history().await.expect("reads");
    assert!(history.len() == 1 && history[0].is_bought(), "and it stays bought");
    peer.twist(|shop, seen| {
        let mut session = shop.session(seen.path(), cents(50));
        session.recipient = Address::repeat_byte(9);
        seen.credential.is_none().then(|| Reply::status(402).with("www-authenticate", shop.challenge(&session)))
    });
    let other = home.payer_with(|options| options.clock = later).await;
    assert!(matches!(other.fetch(&peer.url("/a")).await, Err(PayerError::ChannelChanged { .. })));
}

/// Late enough for every cached challenge to have expired, and early enough for a new one.
fn later() -> farthing::core::Timestamp {
    farthing::clock::now().plus_seconds(298)
}

#[tokio::test]
async fn checks_come_in_their_order_and_before_any_promise() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("/dear", cents(500))).await);
    let url = peer.url("/dear");
    let expect = async |home: &Home, expected: &str| {
        let error = home.payer().await.fetch(&url).await.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    peer.twist(|_, _| Some(Reply::status(402).with("www-authenticate", "Payment id=\"x\", method=\"evm\"")));
    expect(&home, "not by method farthing").await;
    peer.untwist();
    peer.lock().shop.challenge_seconds = 0;
    peer.lock().shop.details.escrow_contract = Address::repeat_byte(1);
    peer.lock().shop.details.exit_delay = 9_999_999;
    expect(&home, "the challenge expired at").await;
    peer.lock().shop.challenge_seconds = 300;
    expect(&home, "is not a genuine escrow").await;
    let everyone = home.payer_with(|options| options.policy.trust = Trust::new(|_, _| true)).await;
    let error = everyone.fetch(&url).await.expect_err("too long");
    assert!(error.to_string().contains("an exit delay of 9999999 s, more than the 2592000 s allowed"), "{error}");
    peer.lock().shop.details.exit_delay = 86_400;
    let by_hand = Deployment { chain_id: 31_337, escrow: Address::repeat_byte(1) };
    let payer = home.payer_with(|options| options.policy.escrows_allowed.push(by_hand)).await;
    let error = payer.fetch(&url).await.expect_err("no deposit there");
    assert!(matches!(error, PayerError::NoDeposit { deployment, .. } if deployment == by_hand), "{error}");
    peer.lock().shop.details.escrow_contract = super::peer::deployment().escrow;
    expect(&home, "$5.00 is above the $1.00").await;
    assert!(peer.vouchers().is_empty());
    assert!(home.store().await.history().await.expect("reads").is_empty());
    // Control: the same item is bought when nothing stands against it.
    home.payer_with(plenty).await.fetch(&url).await.expect("buys");
}

#[tokio::test]
async fn a_token_without_limits_is_not_spent() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home
        .payer_with(|options| {
            let coin = farthing::core::Token { dollar: false, symbol: "COIN".to_owned(), ..super::token() };
            options.policy = farthing::payer::Policy::default();
            options.policy.know(31_337, coin);
        })
        .await;
    let error = payer.fetch(&peer.url("/a")).await.expect_err("no limits");
    let expected = "no limits are set for COIN on chain 31337; set what an item, a site and a day may cost";
    assert_eq!(error.to_string(), expected);
}
