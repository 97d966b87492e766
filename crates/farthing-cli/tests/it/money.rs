//! Deposits, withdrawals and the escrow itself, to the base unit.

use crate::world::{DOLLARS, World, amount, farthing, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_escrow_is_deployed_once_and_recognised() {
    let world = World::start(None).await;
    let creator = world.person("creator").await;
    let shown = creator.json(&["escrow", "show"]);
    assert_eq!((&shown["hasCode"], &shown["genuine"]), (&false.into(), &false.into()));

    let first = creator.json(&["escrow", "deploy"]);
    assert_eq!((&first["alreadyThere"], &first["exitDelay"]), (&false.into(), &86_400.into()));
    assert_eq!(first["escrow"], format!("{:#x}", farthing::escrow::genuine_address(86_400)));
    assert_eq!(first["transactions"].as_array().map(Vec::len), Some(1));
    assert!(first["transactions"][0]["gasUsed"].as_u64().is_some_and(|gas| gas > 100_000));

    let second = creator.json(&["escrow", "deploy"]);
    assert_eq!((&second["alreadyThere"], &second["escrow"]), (&true.into(), &first["escrow"]));
    assert_eq!(second["transactions"], serde_json::json!([]));
    assert!(creator.run(&["escrow", "deploy"]).text().starts_with("already there"));
    // Whoever finds it there needs no wallet.
    let mut stranger = farthing();
    stranger.args(["escrow", "deploy", "--home", "/nonexistent", "--rpc-url", world.local.url().as_str()]);
    assert_eq!(run(&mut stranger).code, 0);

    let escrow = first["escrow"].as_str().expect("an address");
    assert_eq!(creator.json(&["escrow", "verify", escrow])["genuine"], true);
    let token = world.token.address.to_string();
    assert!(creator.run(&["--json", "escrow", "verify", &token]).failed(8).contains("not a genuine escrow"));
    let nobody = creator.address.to_string();
    assert!(creator.run(&["--json", "escrow", "verify", &nobody]).failed(4).contains("no contract"));
    let other = creator.json(&["escrow", "deploy", "--exit-delay", "3600"]);
    assert_ne!(other["escrow"], first["escrow"]);
    assert!(creator.run(&["escrow", "deploy", "--exit-delay", "60"]).failed(2).contains("outside"));
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_and_withdrawals_add_up_to_the_base_unit() {
    let world = World::with_escrow(None).await;
    let listener = world.person("listener").await;
    let deposited = listener.json(&["deposit", "5"]);
    assert_eq!((amount(&deposited["amount"]), amount(&deposited["balance"])), (5_000_000, 5_000_000));
    assert_eq!(deposited["transactions"].as_array().map(Vec::len), Some(1), "with its permit");
    assert_eq!(deposited["account"]["payer"], format!("{:#x}", listener.address));
    assert_eq!(deposited["account"]["authorizedSigner"], format!("{:#x}", listener.address));

    // What a person may write, and base units that say so.
    for (text, sum) in [("$1.25", 6_250_000), ("0.75 dusd", 7_000_000), ("1 base", 7_000_001)] {
        assert_eq!(amount(&listener.json(&["deposit", text])["balance"]), sum, "{text}");
    }
    assert_eq!(amount(&listener.json(&["deposit", "2", "dUSD"])["balance"]), 9_000_001, "two words");

    let balance = listener.json(&["balance"]);
    assert_eq!(amount(&balance["wallet"]["token"]), DOLLARS - 9_000_001);
    assert_eq!(amount(&balance["account"]["balance"]), 9_000_001);
    assert_eq!((&balance["channels"], &balance["token"]["dollar"]), (&serde_json::json!([]), &true.into()));
    assert!(amount(&balance["wallet"]["native"]) < 10_u128.pow(19), "gas was paid");

    let withdrawn = listener.json(&["withdraw", "4 base"]);
    assert_eq!((amount(&withdrawn["amount"]), amount(&withdrawn["balance"])), (4, 8_999_997));
    let elsewhere = world.pauper("elsewhere");
    let withdrawn = listener.json(&["withdraw", "--to", &elsewhere.address.to_string()]);
    assert_eq!((amount(&withdrawn["amount"]), amount(&withdrawn["balance"])), (8_999_997, 0));
    assert_eq!(amount(&elsewhere.json(&["balance"])["wallet"]["token"]), 8_999_997);
    assert_eq!(amount(&listener.json(&["balance"])["wallet"]["token"]), DOLLARS - 9_000_001 + 4);

    let text = listener.run(&["balance"]);
    assert!(text.text().contains("account $0.00"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_coin_is_used_only_if_it_is_named() {
    let world = World::with_escrow(None).await;
    let listener = world.person("listener").await;
    let mut bare = listener.command(&["--json", "deposit", "5"]);
    bare.env_remove("FARTHING_TOKEN").env_remove("FARTHING_DOLLAR");
    assert!(run(&mut bare).failed(2).contains("no token is named"));
    let mut ether = listener.command(&["--json", "--token", "eth", "deposit", "0.5"]);
    let deposited = run(ether.env_remove("FARTHING_DOLLAR")).json();
    assert_eq!(amount(&deposited["balance"]), 500_000_000_000_000_000);
    assert_eq!(deposited["transactions"].as_array().map(Vec::len), Some(1), "no approval");
    let ran = listener.run(&["--token", "eth", "deposit", "1"]);
    assert!(ran.failed(2).contains("not worth a dollar"), "{ran:?}");

    // The one that was named is remembered; with a second one there is a choice again.
    let mut bare = listener.command(&["--json", "balance"]);
    bare.env_remove("FARTHING_TOKEN").env_remove("FARTHING_DOLLAR");
    assert_eq!(run(&mut bare).json()["token"]["symbol"], "ETH");
    listener.json(&["deposit", "1"]);
    assert!(run(&mut bare).failed(2).contains("several"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_signers_account_is_the_payers_to_withdraw() {
    let world = World::with_escrow(None).await;
    let (listener, phone) = (world.person("listener").await, world.pauper("phone"));
    let signer = phone.address.to_string();
    let deposited = listener.json(&["deposit", "3", "--signer", &signer]);
    assert_eq!(deposited["account"]["authorizedSigner"], format!("{:#x}", phone.address));
    assert_eq!(amount(&listener.json(&["balance"])["account"]["balance"]), 0);
    assert_eq!(amount(&listener.json(&["balance", "--signer", &signer])["account"]["balance"]), 3_000_000);
    assert_eq!(amount(&listener.json(&["withdraw", "all", "--signer", &signer])["amount"]), 3_000_000);
}
