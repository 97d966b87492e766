//! A listener with dollars and no ether: somebody else's transactions, and every base unit where it belongs.

use crate::world::{DOLLARS, Person, World, amount};
use alloy::providers::Provider;
use farthing::core::Amount;
use farthing::local_chain::mint_demo_dollars;
use serde_json::{Value, json};
use std::path::Path;

const CATALOG: &str = "[tip]\npath = \"/tip\"\nminimum = \"$0.01\"\n\
    [credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";

/// What the listeners here start with, in base units: $20.
const HELD: u128 = 20_000_000;

async fn listener(world: &World, name: &str) -> Person {
    let listener = world.pauper(name);
    let held = Amount::new(HELD);
    mint_demo_dollars(&world.chain, world.token.address, listener.address, held).await.expect("dollars");
    listener
}

/// No ether and no transaction, ever.
async fn assert_gasless(world: &World, listener: &Person) {
    assert_eq!(world.chain.balance(listener.address).await.expect("reads"), Amount::ZERO);
    assert_eq!(world.chain.transactions_of(listener.address).await.expect("reads"), 0);
}

async fn dollars_of(world: &World, person: &Person) -> u128 {
    let held = farthing::token::balance_of(&world.chain, world.token.address, person.address).await;
    held.expect("reads").base_units()
}

async fn dollars_in_escrow(world: &World) -> u128 {
    let escrow = farthing::escrow::genuine_address(farthing::escrow::EXIT_DELAY_DEFAULT);
    let held = farthing::token::balance_of(&world.chain, world.token.address, escrow).await;
    held.expect("reads").base_units()
}

fn get(listener: &Person, url: &str, file: &Path) -> Value {
    listener.json(&["get", url, "-o", file.to_str().expect("UTF-8")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_ether_deposits_buys_and_gets_the_rest_back() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (listener(&world, "listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", CATALOG);
    let shop = creator.serve(&folder, &["--relay", "--relay-minimum", "1"]);
    let terms = json!({
        "path": "/.well-known/farthing/relay", "minimumDeposit": "1000000", "minimumWithdrawal": "1000000"
    });
    assert_eq!(shop.ready["relay"], terms);

    let ran = listener.run(&["--json", "deposit", "5"]);
    assert!(ran.failed(6).contains("ETH to pay for gas") && ran.stderr.contains("--relay https://SITE"), "{ran:?}");
    let deposited = listener.json(&["deposit", "5", "--relay", &shop.url]);
    assert_eq!((amount(&deposited["amount"]), amount(&deposited["balance"])), (5_000_000, 5_000_000));
    assert_eq!((&deposited["transactions"], &deposited["relayed"]["site"]), (&json!([]), &json!(shop.url)));
    assert_eq!((dollars_of(&world, &listener).await, dollars_in_escrow(&world).await), (15_000_000, 5_000_000));

    for song in ["nocturne", "minuet"] {
        let file = world.folder.path().join(format!("{song}.wav"));
        assert_eq!(amount(&get(&listener, &format!("{}/songs/{song}", shop.url), &file)["paid"]), 500_000);
    }
    listener.json(&["tip", &shop.url, "0.25"]);

    let ran = listener.run(&["--json", "withdraw", "all"]);
    assert!(ran.failed(6).contains("ETH to pay for gas") && ran.stderr.contains("--relay https://SITE"), "{ran:?}");
    // More than the rest would leave the creator unpaid.
    let ran = listener.run(&["--json", "withdraw", "4", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("owes $1.25 here"), "{ran:?}");
    // The next order takes the refused one's nonce: only one of them can ever be carried out.
    let withdrawn = listener.json(&["withdraw", "all", "--relay", &shop.url]);
    assert_eq!((amount(&withdrawn["amount"]), amount(&withdrawn["balance"])), (3_750_000, 1_250_000));
    assert!(withdrawn["relayed"]["transaction"].is_string() && withdrawn["transactions"] == json!([]));

    assert_eq!(amount(&creator.json(&["redeem", folder.to_str().expect("UTF-8")])["paid"]), 1_250_000);
    assert_eq!(dollars_of(&world, &listener).await, HELD - 1_250_000);
    assert_eq!(dollars_of(&world, &creator).await, DOLLARS + 1_250_000);
    assert_eq!(dollars_in_escrow(&world).await, 0);
    assert_gasless(&world, &listener).await;
    assert_eq!(shop.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_ether_reserves_through_the_site_that_asks_for_it() {
    let world = World::with_escrow(Some(1)).await;
    let (listener, creator) = (listener(&world, "listener").await, world.person("creator").await);
    let folder = world.creators_folder("paper", "[reservation]\namount = \"$1\"\n");
    let shop = creator.serve(&folder, &["--relay", "--relay-minimum", "2"]);
    listener.json(&["deposit", "2", "--relay", &shop.url]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("a.wav");
    let file_name = file.to_str().expect("UTF-8");

    // The site asks for $1 and relays from $2 on.
    let ran = listener.run(&["--json", "get", &url, "-o", file_name, "--reserve", "1"]);
    assert!(ran.failed(12).contains("$2.00"), "{ran:?}");
    let got = listener.json(&["get", &url, "-o", file_name, "--reserve", "2"]);
    assert_eq!((amount(&got["paid"]), &got["transactions"]), (500_000, &json!([])));
    let channels = listener.json(&["balance"])["channels"].clone();
    assert_eq!((amount(&channels[0]["reserved"]), amount(&channels[0]["promised"])), (2_000_000, 500_000));
    assert_eq!((dollars_of(&world, &listener).await, dollars_in_escrow(&world).await), (HELD - 4_000_000, 4_000_000));
    let ran = listener.run(&["--json", "reserve", &shop.url, "1"]);
    assert!(ran.failed(6).contains("no ETH"), "{ran:?}");
    assert_gasless(&world, &listener).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_relays_only_what_its_owner_says_and_only_for_customers() {
    let world = World::with_escrow(None).await;
    let (stranger, creator) = (listener(&world, "stranger").await, world.person("creator").await);
    let folder = world.creators_folder("records", CATALOG);
    let mined = |world: &World| {
        let (chain, creator) = (world.chain.clone(), creator.address);
        async move { chain.transactions_of(creator).await.expect("reads") }
    };

    let shop = creator.serve(&folder, &[]);
    let ran = stranger.run(&["--json", "deposit", "5", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("does not relay"), "{ran:?}");
    let at = shop.address().to_owned();
    assert_eq!(shop.stop(), 0);

    let shop = creator.serve(&folder, &["--listen", &at, "--relay", "--relay-gas-budget", "0.0000001"]);
    let ran = stranger.run(&["--json", "deposit", "4.999999", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("less than the $5.00"), "{ran:?}");
    let ran = stranger.run(&["--json", "deposit", "21", "--relay", &shop.url]);
    assert!(ran.failed(6).contains("$20.00"), "{ran:?}");
    let ran = stranger.run(&["--json", "deposit", "5", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("gas for relaying is used up"), "{ran:?}");
    assert_eq!(mined(&world).await, 0, "nothing was sent");
    shop.kill();

    // The same order goes on at the same site, and is one deposit.
    let shop = creator.serve(&folder, &["--listen", &at, "--relay"]);
    let ran = stranger.run(&["--json", "deposit", "5", "--relay", &shop.url]);
    assert_eq!(amount(&ran.json()["balance"]), 5_000_000);
    assert!(ran.stderr.contains("nothing was signed twice"), "{ran:?}");
    assert_eq!(mined(&world).await, 1);
    // Nothing was bought, so the way out is not at the creator's cost.
    let ran = stranger.run(&["--json", "withdraw", "all", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("withdrawals of its customers only"), "{ran:?}");
    assert_eq!((mined(&world).await, dollars_in_escrow(&world).await), (1, 5_000_000));
    shop.kill();

    // What this deposit cost is remembered over a restart, to the wei: with just that as its budget, the day is over.
    let left = world.chain.balance(creator.address).await.expect("reads");
    let cost = Amount::new(10_u128.pow(19)).checked_sub(left).expect("it paid for gas");
    let budget = format!("{cost} base");
    let shop = creator.serve(&folder, &["--listen", &at, "--relay", "--relay-gas-budget", &budget]);
    let other = listener(&world, "other").await;
    let ran = other.run(&["--json", "deposit", "5", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("used up"), "{ran:?}");
    assert!(ran.stderr.contains("ask again later"), "{ran:?}");
    let orders = other.json(&["balance"])["orders"].clone();
    assert_eq!((&orders[0]["kind"], amount(&orders[0]["amount"])), (&json!("deposit"), 5_000_000));
    assert!(other.run(&["balance"]).text().contains("a relayed deposit of $5.00"), "shown while it can be sent");
    // Another amount would be a second order beside one that the site could still send.
    let ran = other.run(&["--json", "deposit", "6", "--relay", &shop.url]);
    assert!(ran.failed(8).contains("$5.00 that was signed for"), "{ran:?}");
    shop.kill();
    let shop = creator.serve(&folder, &["--listen", &at, "--relay", "--relay-gas-price", "1"]);
    let ran = other.run(&["--json", "deposit", "5", "--relay", &shop.url]);
    assert!(ran.failed(9).contains("gas is too dear"), "{ran:?}");
    assert_eq!((mined(&world).await, dollars_in_escrow(&world).await), (1, 5_000_000));
    assert_gasless(&world, &stranger).await;
    assert_gasless(&world, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_answers_nonsense_with_problems_and_takes_no_long_bodies() {
    let world = World::with_escrow(None).await;
    let creator = world.person("creator").await;
    let shop = creator.serve(&world.creators_folder("records", CATALOG), &["--relay"]);
    let client = reqwest::Client::new();
    let post = |body: String| client.post(format!("{}/.well-known/farthing/relay", shop.url)).body(body).send();
    for body in ["", "{}", "[]", "{\"type\":\"mint\"}", "\u{0}", "null"] {
        let answer = post(body.to_owned()).await.expect("answers");
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = serde_json::from_slice(&answer.bytes().await.expect("reads")).expect("JSON");
        assert_eq!(problem["type"], "https://paymentauth.org/problems/relay/invalid", "{problem}");
    }
    assert_eq!(post("x".repeat(4_097)).await.expect("answers").status(), 413);
    let got = client.get(format!("{}/.well-known/farthing/relay", shop.url)).send().await.expect("answers");
    assert_eq!(got.status(), 405);
    assert_eq!(world.chain.transactions_of(creator.address).await.expect("reads"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_whose_both_sides_are_killed_after_it_was_sent_is_made_once() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (listener(&world, "listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", CATALOG);
    let shop = creator.serve(&folder, &["--relay"]);
    let ask = |method: &'static str, parameters: Value| {
        let provider = world.chain.provider().clone();
        async move { provider.raw_request::<_, Value>(method.into(), parameters).await.expect("answers") }
    };
    ask("evm_setAutomine", json!([false])).await;
    let mut depositing =
        listener.command(&["--json", "deposit", "5", "--relay", &shop.url]).spawn().expect("the binary runs");
    while world.chain.next_nonce_of(creator.address).await.expect("reads") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    depositing.kill().expect("kills");
    depositing.wait().expect("waits");
    // The gateway dies as well, while its transaction waits; the next one finds it, and sends no second one.
    let at = shop.address().to_owned();
    shop.kill();
    let shop = creator.serve(&folder, &["--relay", "--listen", &at]);
    let mut again =
        listener.command(&["--json", "deposit", "5", "--relay", &shop.url]).spawn().expect("the binary runs");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(world.chain.next_nonce_of(creator.address).await.expect("reads"), 1);
    again.kill().expect("kills");
    again.wait().expect("waits");
    ask("evm_mine", json!([])).await;
    ask("evm_setAutomine", json!([true])).await;

    let ran = listener.run(&["--json", "deposit", "5", "--relay", &shop.url]);
    assert_eq!(amount(&ran.json()["balance"]), 5_000_000);
    assert!(ran.stderr.contains("nothing was signed twice"), "{ran:?}");
    assert_eq!(world.chain.transactions_of(creator.address).await.expect("reads"), 1);
    assert_eq!(dollars_of(&world, &listener).await, HELD - 5_000_000);
    // And from here on it is a deposit of its own.
    assert_eq!(amount(&listener.json(&["deposit", "5", "--relay", &shop.url])["balance"]), 10_000_000);
    assert_gasless(&world, &listener).await;
}
