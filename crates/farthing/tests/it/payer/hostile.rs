//! Shops that want more than one approved item's worth. Each test looks at the good vouchers that came, whether or not
//! the shop said it took them: that is what a thief redeems. Rule 13 unless another number is given.

use super::peer::{Peer, Reply, Shop, cents, deployment};
use super::{Home, plenty, refused_with, text};
use farthing::PrivateKeySigner;
use farthing::core::voucher::Domain;
use farthing::core::wire::{Problem, ProblemType, Receipt, ReceiptPath, SignedReceipt};
use farthing::core::{Amount, VoucherSignature};
use farthing::payer::{BudgetError, FetchOptions, PayerError, PromiseState, ReceiptError};

fn unpaid() -> Problem {
    Problem::new(ProblemType::PaymentRequired, "pay first")
}

#[tokio::test]
async fn endless_402_takes_one_items_worth_and_ends() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    peer.twist(|shop, seen| Some(shop.asks(seen.path(), cents(50), &unpaid())));
    for number in 0..12 {
        let error = payer.fetch(&peer.url(&format!("/{number}"))).await.expect_err("never served");
        assert_eq!(refused_with(&error), Some(ProblemType::PaymentRequired), "{error}");
    }
    assert_eq!(peer.redeemable(), cents(50));
    assert_eq!(peer.vouchers().len(), 12, "what was refused is not sent again and again");
    // Every price is a cent dearer than the one agreed to.
    let mut price = 50;
    peer.twist(move |shop, seen| {
        price += 1;
        Some(shop.asks(seen.path(), cents(price), &unpaid()))
    });
    for number in 0..5 {
        payer.fetch(&peer.url(&format!("/rising/{number}"))).await.expect_err("never served");
    }
    assert_eq!(peer.vouchers().len(), 12 + 5 * 2, "one retry, not more");
    assert!(peer.redeemable() <= cents(100), "{}", peer.redeemable());
    assert_eq!(home.store().await.spending().await.expect("reads")[0].amount, peer.redeemable());
    // Control: a shop that serves is paid for every item, so the measure does grow.
    peer.untwist();
    for number in 0..4 {
        payer.fetch(&peer.url(&format!("/honest/{number}"))).await.expect("buys");
    }
    assert_eq!(peer.redeemable(), cents(200));
}

#[tokio::test]
async fn a_price_times_a_million_is_refused_before_anything_is_signed() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("/song", cents(50_000_000))).await);
    let error = home.payer().await.fetch(&peer.url("/song")).await.expect_err("too dear");
    assert!(matches!(&error, PayerError::Budget(error) if matches!(**error, BudgetError::Item { .. })), "{error}");
    assert!(peer.vouchers().is_empty());
    // Even an owner who approves of everything has limits for a site and a day.
    let options = FetchOptions { approve_up_to: Some(Amount::MAX_ON_CHAIN), ..FetchOptions::default() };
    let error = home.payer().await.fetch_with(&peer.url("/song"), &options).await.expect_err("too dear");
    assert!(matches!(&error, PayerError::Budget(error) if matches!(**error, BudgetError::Site { .. })), "{error}");
    // Control: without limits it is signed.
    home.payer_with(plenty).await.fetch(&peer.url("/song")).await.expect("buys");
    assert_eq!(peer.redeemable(), cents(50_000_000));
}

#[tokio::test]
async fn a_price_raised_after_paying_is_judged_by_the_same_rules() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    peer.twist(|shop, seen| {
        let price = if seen.credential.is_some() { cents(150) } else { cents(50) };
        Some(shop.asks(seen.path(), price, &unpaid()))
    });
    let error = payer.fetch(&peer.url("/song")).await.expect_err("too dear");
    assert!(matches!(&error, PayerError::Budget(error) if matches!(**error, BudgetError::Item { .. })), "{error}");
    assert_eq!(peer.redeemable(), cents(50));
    let history = home.store().await.history().await.expect("reads");
    assert!(matches!(history[0].state, PromiseState::Refused { released: true, .. }));
}

#[tokio::test]
async fn many_sites_together_never_hold_more_than_the_day() {
    let home = Home::new();
    let payer = home.payer().await;
    let mut held = Amount::ZERO;
    let mut peers = Vec::new();
    for _ in 0..14 {
        let refusing = |shop: &mut Shop, seen: &super::peer::Seen| Some(shop.asks(seen.path(), cents(100), &unpaid()));
        peers.push(Peer::twisted(Shop::new(), refusing).await);
    }
    for peer in &peers {
        payer.fetch(&peer.url("/")).await.expect_err("never served");
        held = held.saturating_add(peer.redeemable());
    }
    assert_eq!(held, cents(1_000), "fourteen tried for a dollar each, ten a day is the limit");
    // Control: fourteen is what they take from a payer without limits.
    let other_home = Home::new();
    let unlimited = other_home.payer_with(plenty).await;
    for peer in &peers {
        unlimited.fetch(&peer.url("/")).await.expect_err("never served");
    }
    let all = Amount::saturating_sum(peers.iter().map(Peer::redeemable));
    assert_eq!(all, cents(1_000 + 1_400));
}

#[tokio::test]
async fn a_changed_payee_is_refused_until_it_is_allowed_by_name() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    let thief = PrivateKeySigner::random();
    let honest = std::mem::replace(&mut peer.lock().shop.payee, thief.clone());
    // The cached challenge still names the honest payee; what is not listed is asked for.
    let error = payer.fetch(&peer.url("/b")).await.expect_err("another payee");
    let PayerError::PayeeChanged { pinned, offered, .. } = error else { panic!("{error}") };
    assert_eq!((pinned, offered), (honest.address(), thief.address()));
    assert_eq!(peer.redeemable(), Amount::ZERO, "nothing that the new payee could redeem");
    let other = FetchOptions { accept_payee: Some(honest.address()), ..FetchOptions::default() };
    assert!(payer.fetch_with(&peer.url("/b"), &other).await.is_err());
    let named = FetchOptions { accept_payee: Some(thief.address()), ..FetchOptions::default() };
    assert_eq!(payer.fetch_with(&peer.url("/b"), &named).await.expect("buys").paid_now, cents(50));
    payer.fetch(&peer.url("/c")).await.expect("the new payee is the site's payee now");
}

#[tokio::test]
async fn a_payee_changed_in_the_answer_to_a_voucher_gets_nothing() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    let thief = PrivateKeySigner::random().address();
    peer.twist(move |shop, seen| {
        let mut session = shop.session(seen.path(), cents(50));
        if seen.credential.is_some() {
            session.recipient = thief;
        }
        Some(Reply::status(402).with("www-authenticate", shop.challenge(&session)))
    });
    let error = payer.fetch(&peer.url("/a")).await.expect_err("another payee");
    assert!(matches!(error, PayerError::PayeeChanged { offered, .. } if offered == thief), "{error}");
    assert_eq!(peer.vouchers().len(), 1);
    assert_eq!(home.store().await.channels().await.expect("reads").len(), 1);
}

#[tokio::test]
async fn a_voucher_never_follows_a_redirect() {
    let other = Peer::honest(Shop::new()).await;
    for status in [301, 302, 303, 307, 308] {
        let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
        let target = other.url("/stolen");
        let here = peer.url("/elsewhere");
        peer.twist(move |_, seen| match seen.path() {
            "/away" => seen.credential.as_ref().map(|_| Reply::status(status).with("location", target.clone())),
            "/around" => seen.credential.as_ref().map(|_| Reply::status(status).with("location", here.clone())),
            _ => None,
        });
        let payer = home.payer().await;
        for path in ["/away", "/around"] {
            let error = payer.fetch(&peer.url(path)).await.expect_err("redirected");
            assert!(matches!(error, PayerError::Unanswered { .. }), "{error}");
        }
        assert!(peer.requests().iter().all(|seen| seen.path() != "/elsewhere"));
    }
    assert!(other.requests().is_empty());
    // Control: a client that follows redirects does arrive there.
    let (peer, target) = (Peer::honest(Shop::new()).await, other.url("/stolen"));
    peer.twist(move |_, _| Some(Reply::status(307).with("location", target.clone())));
    let plain = reqwest::Client::builder().no_proxy().build().expect("a client");
    plain.get(peer.url("/away")).header("authorization", "Payment x").send().await.expect("follows");
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn a_site_may_send_on_within_itself_and_not_to_another() {
    let (home, peer, other) = (Home::new(), Peer::honest(Shop::new()).await, Peer::honest(Shop::new()).await);
    let (inside, outside, circle) = (peer.url("/new"), other.url("/"), peer.url("/circle"));
    peer.twist(move |_, seen| match seen.path() {
        "/old" => Some(Reply::status(301).with("location", inside.clone())),
        "/out" => Some(Reply::status(301).with("location", outside.clone())),
        "/circle" => Some(Reply::status(301).with("location", circle.clone())),
        _ => None,
    });
    let payer = home.payer().await;
    assert_eq!(text(payer.fetch(&peer.url("/old")).await.expect("buys")).await, "this is /new");
    assert_eq!(payer.fetch(&peer.url("/old")).await.expect("fetches").paid_now, Amount::ZERO);
    assert!(matches!(payer.fetch(&peer.url("/out")).await, Err(PayerError::Redirected { .. })));
    assert!(matches!(payer.fetch(&peer.url("/circle")).await, Err(PayerError::TooManyRedirects { .. })));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn claims_about_earlier_vouchers_are_ignored() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    let mut forged = false;
    peer.twist(move |shop, seen| {
        let credential = seen.credential.as_ref()?;
        if !std::mem::replace(&mut forged, true) {
            // "You promised four million already; sign from there on."
            let claim = Problem::new(ProblemType::DeltaTooSmall, "sign more")
                .with("acceptedCumulative", &cents(400_000_000))
                .with("spent", &cents(400_000_000))
                .with("price", &cents(50));
            return Some(shop.asks(seen.path(), cents(50), &claim));
        }
        let Reply::Send { status, mut headers, body } = shop.answer(seen) else { return None };
        for (name, value) in &mut headers {
            if *name == "payment-receipt" {
                let honest = SignedReceipt::from_header(value).expect("reads").receipt;
                let accepted_cumulative = cents(400_000_000);
                let lie = Receipt { accepted_cumulative, spent: accepted_cumulative, ..honest };
                *value = shop.sign_receipt(lie).to_header().expect("writes");
            }
        }
        let _ = credential;
        Some(Reply::Send { status, headers, body })
    });
    payer.fetch(&peer.url("/b")).await.expect_err("refused");
    payer.fetch(&peer.url("/b")).await.expect("buys");
    payer.fetch(&peer.url("/c")).await.expect("buys");
    assert_eq!(peer.redeemable(), cents(150), "three items");
}

#[tokio::test]
async fn a_token_that_calls_itself_a_dollar_is_still_unknown() {
    let mut shop = Shop::new();
    shop.currency = farthing::core::Address::repeat_byte(0x66);
    shop.details.decimals = 30;
    let peer = Peer::honest(shop).await;
    let error = Home::new().payer_with(plenty).await.fetch(&peer.url("/a")).await.expect_err("unknown");
    assert!(matches!(error, PayerError::UnknownToken { .. }), "{error}");
    assert!(peer.vouchers().is_empty());
}

#[tokio::test]
async fn a_listing_can_not_make_an_item_dearer_than_the_limits() {
    let shop = Shop::new().selling("/a", cents(10)).selling("/dear", cents(101));
    let (home, peer) = (Home::new(), Peer::honest(shop).await);
    let payer = home.payer().await;
    payer.fetch(&peer.url("/a")).await.expect("buys");
    assert!(matches!(payer.fetch(&peer.url("/dear")).await, Err(PayerError::Budget(_))));
    assert_eq!(peer.redeemable(), cents(10));
}

#[tokio::test]
async fn a_receipt_proves_only_what_it_says_and_by_whom() {
    let forger = PrivateKeySigner::random();
    type Forge = fn(&mut Receipt);
    let forgeries: [(&str, Forge); 5] = [
        ("is for another channel", |receipt| receipt.channel_id.0 = farthing::core::B256::repeat_byte(1)),
        ("is for another voucher", |receipt| receipt.cumulative_amount = cents(1)),
        ("is for another item", |receipt| receipt.item = "/other".to_owned()),
        ("is for another price", |receipt| receipt.price = cents(51)),
        ("is not the payee's", |_| {}),
    ];
    for (number, (expected, forge)) in forgeries.into_iter().enumerate() {
        let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
        let forger = forger.clone();
        peer.twist(move |shop, seen| {
            seen.credential.as_ref()?;
            let Reply::Send { status, headers, body } = shop.answer(seen) else { return None };
            let mut receipt = SignedReceipt::from_header(&headers[1].1).expect("reads").receipt;
            forge(&mut receipt);
            let honest_key =
                if number == 4 { std::mem::replace(&mut shop.payee, forger.clone()) } else { shop.payee.clone() };
            let forged = shop.sign_receipt(receipt).to_header().expect("writes");
            shop.payee = honest_key;
            Some(Reply::Send { status, headers: vec![("payment-receipt", forged)], body })
        });
        let bought = home.payer().await.fetch(&peer.url("/a")).await.expect("the item is here all the same");
        assert_eq!(bought.receipt, None, "{expected}");
        let error = bought.receipt_error.clone().expect("an error");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(home.store().await.history().await.expect("reads")[0].receipt(), None);
        assert_eq!(text(bought).await, "this is /a");
    }
}

#[tokio::test]
async fn a_receipt_that_was_signed_with_others_is_kept_and_proves_itself() {
    type Forge = fn(&mut SignedReceipt);
    let changes: [(Option<&str>, Forge); 4] = [
        (None, |_| {}),
        (Some("is not the payee's"), |signed| signed.path = None),
        (Some("is not the payee's"), |signed| {
            let path = signed.path.take().expect("a path");
            signed.path = ReceiptPath::new(path.blinding(), path.position() ^ 1, path.siblings().to_vec()).ok();
        }),
        (Some("is for another item"), |signed| signed.receipt.item = "/other".to_owned()),
    ];
    for (expected, change) in changes {
        let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
        peer.twist(move |shop, seen| {
            seen.credential.as_ref()?;
            let Reply::Send { status, headers, body } = shop.answer(seen) else { return None };
            let alone = SignedReceipt::from_header(&headers[1].1).expect("reads").receipt;
            let mut signed = shop.sign_with_others(alone);
            change(&mut signed);
            let field = signed.to_header().expect("writes");
            Some(Reply::Send { status, headers: vec![("payment-receipt", field)], body })
        });
        let bought = home.payer().await.fetch(&peer.url("/a")).await.expect("buys");
        let error = bought.receipt_error.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(error.contains(expected.unwrap_or_default()) && error.is_empty() == expected.is_none(), "{error}");
        let history = home.store().await.history().await.expect("reads");
        assert_eq!(history[0].receipt(), bought.receipt.as_ref());
        if expected.is_none() {
            let kept = history[0].receipt().expect("on file");
            let payee = peer.lock().shop.payee.address();
            assert_eq!((kept.path.is_some(), kept.verify(&Domain::new(deployment()), payee)), (true, Ok(())));
        }
    }
}

#[tokio::test]
async fn a_receipt_by_a_key_that_the_owner_knows_is_the_payees() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let (gateway, payee) = (PrivateKeySigner::random(), peer.lock().shop.payee.address());
    let key = gateway.address();
    peer.twist(move |shop, seen| {
        seen.credential.as_ref()?;
        let Reply::Send { status, headers, body } = shop.answer(seen) else { return None };
        let receipt = SignedReceipt::from_header(&headers[1].1).expect("reads").receipt;
        let payee = std::mem::replace(&mut shop.payee, gateway.clone());
        let signed = shop.sign_receipt(receipt).to_header().expect("writes");
        shop.payee = payee;
        Some(Reply::Send { status, headers: vec![("payment-receipt", signed)], body })
    });
    let stranger = home.payer().await.fetch(&peer.url("/a")).await.expect("buys");
    assert!(matches!(stranger.receipt_error, Some(ReceiptError::Signer { .. })));
    let payer = home.payer_with(|options| _ = options.policy.receipt_keys.insert((payee, key))).await;
    assert!(payer.fetch(&peer.url("/b")).await.expect("buys").receipt.is_some());
}

#[tokio::test]
async fn headers_and_problems_of_any_size_are_bounded() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    peer.twist(|_, _| {
        Some(Reply::status(402).with("www-authenticate", format!("Payment id=\"{}\"", "x".repeat(60_000))))
    });
    assert!(matches!(payer.fetch(&peer.url("/a")).await, Err(PayerError::Malformed(_))));
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let detail = "x\u{1b}[2J".repeat(1_000_000);
        let problem = Problem::new(ProblemType::PaymentRequired, detail);
        Some(shop.asks(seen.path(), cents(50), &problem))
    });
    let error = payer.fetch(&peer.url("/a")).await.expect_err("refused");
    assert!(matches!(&error, PayerError::Refused { .. }), "{error}");
    assert_eq!(refused_with(&error), None, "megabytes are not read to the end");
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let problem = Problem::new(ProblemType::PaymentRequired, "a\u{1b}[2Jb");
        Some(shop.asks(seen.path(), cents(50), &problem))
    });
    let error = payer.fetch(&peer.url("/a")).await.expect_err("refused");
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
    assert_eq!(peer.redeemable(), cents(50));
}

// A relayed challenge would make the voucher pay for an item of the other site.
#[tokio::test]
async fn another_sites_challenge_is_not_paid() {
    let (home, victim) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    let relayed = victim.lock().shop.asks("/dear", cents(50), &unpaid());
    let peer = Peer::twisted(Shop::new(), move |_, seen| (seen.path() == "/relayed").then(|| relayed.clone())).await;
    let error = payer.fetch(&peer.url("/relayed")).await.expect_err("another site's");
    let there = victim.origin.trim_start_matches("http://");
    assert!(matches!(&error, PayerError::WrongRealm { realm, .. } if realm == there), "{error}");
    assert!(error.to_string().contains(there), "{error}");
    assert!(peer.vouchers().is_empty() && home.store().await.history().await.expect("reads").is_empty());
    // A voucher that was promised is not sent under it either.
    peer.twist(|_, seen| seen.credential.is_some().then(|| Reply::status(500)));
    payer.fetch(&peer.url("/a")).await.expect_err("no answer");
    let relayed = {
        let mut shop = victim.lock();
        shop.shop.payee = peer.lock().shop.payee.clone();
        shop.shop.asks("/dear", cents(50), &unpaid())
    };
    peer.twist(move |_, _| Some(relayed.clone()));
    let error = payer.fetch(&peer.url("/a")).await.expect_err("another site's");
    assert!(matches!(error, PayerError::WrongRealm { .. }), "{error}");
    assert_eq!(peer.vouchers().len(), 1);
    // Control: under its own it is.
    peer.untwist();
    payer.fetch(&peer.url("/a")).await.expect("buys");
}

#[tokio::test]
async fn a_site_may_be_known_by_any_case_of_its_name() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let port = peer.origin.rsplit(':').next().expect("a port").to_owned();
    peer.lock().shop.realm = format!("LocalHost:{port}");
    home.payer().await.fetch(&format!("http://localhost:{port}/a")).await.expect("buys");
    let error = home.payer().await.fetch(&peer.url("/b")).await.expect_err("127.0.0.1 is another name");
    assert!(matches!(error, PayerError::WrongRealm { .. }), "{error}");
}

#[tokio::test]
async fn a_price_of_nothing_is_no_price() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer().await;
    peer.twist(|shop, seen| Some(shop.asks(seen.path(), Amount::ZERO, &unpaid())));
    assert!(matches!(payer.fetch(&peer.url("/a")).await, Err(PayerError::NotAPrice { .. })));
    peer.twist(|shop, seen| {
        let mut session = shop.session(seen.path(), cents(1));
        session.unit_type = "byte".to_owned();
        Some(Reply::status(402).with("www-authenticate", shop.challenge(&session)))
    });
    assert!(matches!(payer.fetch(&peer.url("/a")).await, Err(PayerError::NotAPrice { .. })));
    assert!(peer.vouchers().is_empty());
}

#[tokio::test]
async fn a_hostile_tip_path_leads_nowhere_else() {
    let (home, other) = (Home::new(), Peer::honest(Shop::new()).await);
    let mut shop = Shop::new();
    shop.tip = Some(cents(1));
    let peer = Peer::honest(shop).await;
    let elsewhere = format!("//{}/tip", other.origin.trim_start_matches("http://"));
    peer.twist(move |shop, seen| {
        let Reply::Send { body, .. } = shop.answer(seen) else { return None };
        let text = String::from_utf8(body).ok()?.replace("\"/tip\"", &format!("\"{elsewhere}\""));
        Some(Reply::status(200).with_body(text))
    });
    let error = home.payer().await.tip(&peer.origin, cents(5), "").await.expect_err("elsewhere");
    assert!(matches!(error, PayerError::NoTips { .. }), "{error}");
    assert!(other.requests().is_empty());
}

// The pair of the checks above: what arrives is a voucher that the chain would accept.
#[tokio::test]
async fn what_is_sent_is_a_good_voucher_with_its_terms() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer().await.fetch(&peer.url("/a")).await.expect("buys");
    let credential = peer.requests().last().and_then(|seen| seen.credential.clone()).expect("a credential");
    let expected = format!("did:pkh:eip155:31337:{}", home.signer.address());
    assert_eq!(credential.source, Some(expected));
    assert_eq!(credential.payload.amount, Some(cents(50)));
    assert!(credential.payload.terms.is_some_and(|terms| !terms.salt.is_zero()));
    let signature: VoucherSignature = credential.payload.signature;
    assert!(VoucherSignature::from_bytes(&signature.to_bytes()).is_ok());
    assert_eq!(peer.vouchers().len(), 1);
}
