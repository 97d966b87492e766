//! Every exit code, with its line and its hint.

use crate::world::{World, amount, farthing, run};

#[test]
fn a_folder_that_is_a_file_is_unexpected() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let home = file.path().join("home");
    let ran = run(farthing().args(["--json", "history", "--home", home.to_str().expect("UTF-8")]));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
}

#[test]
fn a_chain_that_is_down_is_named_without_its_secrets() {
    let ran = run(farthing().args(["--json", "escrow", "show", "--rpc-url", "http://127.0.0.1:1/v3/secret-key"]));
    assert!(ran.failed(4).contains("http://127.0.0.1:1"), "{ran:?}");
    assert!(ran.stderr.contains("--rpc-url"), "{ran:?}");
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("secret-key"), "{ran:?}");
    let ran = run(farthing().args(["--json", "escrow", "show"]).env("ETH_RPC_URL", "rpc.example/v3/secret-key"));
    assert!(ran.failed(2).contains("RPC"), "{ran:?}");
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("secret-key"), "{ran:?}");
    let help = run(farthing().arg("--help").env("ETH_RPC_URL", "http://127.0.0.1:1/v3/secret-key"));
    assert!(!help.text().contains("secret-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listeners_exit_codes() {
    let world = World::start(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let get = |url: &str, more: &[&str]| listener.run(&[&["--json", "get", url, "-o", "x.wav"], more].concat());

    // 4: no escrow on this chain. 6: nothing was ever deposited.
    assert!(listener.run(&["--json", "deposit", "5"]).failed(4).contains("no contract"));
    farthing::escrow::deploy(&world.chain, 86_400).await.expect("deploys");
    let credit = "[tip]\npath = \"/tip\"\nminimum = \"$0.01\"\n[credit]\nlimit = \"$0.50\"\nfirst = \"$0.50\"\n";
    let shop = creator.serve(&world.creators_folder("records", credit), &[]);
    let (nocturne, minuet) = (format!("{}/songs/nocturne", shop.url), format!("{}/songs/minuet", shop.url));
    let ran = get(&nocturne, &[]);
    assert!(ran.failed(6).contains("no deposit"), "{ran:?}");
    assert!(ran.stderr.contains("farthing deposit"), "{ran:?}");

    // 2: amounts that could mean something else.
    for text in ["", "five", "-1", "0", "1e3", "0.0000001", "5 ETH", "0.5 base"] {
        listener.run(&["--json", "deposit", text]).failed(2);
    }
    // 3: a wrong password, and no wallet.
    let wrong = world.folder.path().join("wrong");
    std::fs::write(&wrong, "guess").expect("writes");
    let wrong = wrong.to_str().expect("UTF-8");
    let ran = listener.run(&["--json", "--password-file", wrong, "deposit", "5"]);
    assert!(ran.failed(3).contains("password does not open"), "{ran:?}");
    let ran = listener.run(&["--json", "--keystore", "none.json", "wallet", "show"]);
    assert!(ran.failed(3).contains("no wallet"), "{ran:?}");

    // 6: more than the wallet holds; more than the account holds; no gas.
    assert!(listener.run(&["--json", "deposit", "101"]).failed(6).contains("$100.00"));
    let deposited = listener.json(&["deposit", "1"]);
    assert_eq!(amount(&deposited["balance"]), 1_000_000);
    assert!(listener.run(&["--json", "withdraw", "1.01"]).failed(6).contains("the account holds $1.00"));
    let poor = world.pauper("poor");
    let amount_given = farthing::core::Amount::new(1_000_000);
    farthing::local_chain::mint_demo_dollars(&world.chain, world.token.address, poor.address, amount_given)
        .await
        .expect("dollars");
    assert!(poor.run(&["--json", "deposit", "1"]).failed(6).contains("gas"));

    // 7: nothing is sold there.
    get(&format!("{}/songs/none", shop.url), &[]).failed(7);
    // 8: above what the owner allows, by hand and by budget.
    let ran = get(&nocturne, &["--max-price", "0.49"]);
    assert!(ran.failed(8).contains("$0.49"), "{ran:?}");
    listener.run(&["budget", "--item", "0.10"]).text();
    assert!(get(&nocturne, &[]).failed(8).contains("$0.10"));
    listener.run(&["budget", "--item", "1", "--day", "0.5"]).text();
    // 0: --yes approves the price; what was approved is bought.
    get(&nocturne, &["--yes"]).json();
    std::fs::remove_file("x.wav").expect("is there");
    // 8 again: the day's limit, which no approval moves.
    assert!(get(&minuet, &["--yes"]).failed(8).contains("a day"));
    listener.run(&["budget", "--day", "10"]).text();
    // 9: the creator gives no more credit.
    let ran = get(&minuet, &[]);
    assert!(ran.failed(9).contains("session/insufficient-balance"), "{ran:?}");
    // 10: the contract refuses.
    let ran = listener.run(&["--json", "request-close", &shop.url]);
    assert!(ran.failed(10).contains("nothing is reserved"), "{ran:?}");
    // 6 again: the account was emptied, and the creator says so.
    let leaver = world.person("leaver").await;
    leaver.json(&["deposit", "1"]);
    leaver.json(&["withdraw", "all"]);
    let ran = leaver.run(&["--json", "get", &minuet, "-o", "x.wav"]);
    assert!(ran.failed(6).contains("session/insufficient-balance"), "{ran:?}");
    assert!(ran.stderr.contains("farthing deposit"), "{ran:?}");
    // 3 again: whose address is in the keystore would be sent the money, but has no key.
    let keystore = std::fs::read_to_string(leaver.keystore()).expect("reads");
    let own = format!("{:x}", leaver.address);
    std::fs::write(leaver.keystore(), keystore.replace(&own, &format!("{:x}", creator.address))).expect("writes");
    let ran = leaver.run(&["--json", "deposit", "1"]);
    assert!(ran.failed(3).contains("holds the key of"), "{ran:?}");
    // 5: nobody answers.
    shop.kill();
    let ran = get("http://127.0.0.1:1/songs/nocturne", &[]);
    assert!(ran.failed(5).contains("can't be reached"), "{ran:?}");
    assert!(!std::path::Path::new("x.wav").exists() && !std::path::Path::new("x.wav.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_creators_exit_codes() {
    let world = World::with_escrow(None).await;
    let creator = world.person("creator").await;
    let folder = world.creators_folder("records", "");
    let folder_name = folder.to_str().expect("UTF-8");
    // 11: no ledger yet.
    assert!(creator.run(&["--json", "earnings", folder_name]).failed(11).contains("no ledger"));
    let shop = creator.serve(&folder, &[]);
    // 11: one gateway for a ledger.
    let ran = creator.run(&["--json", "serve", folder_name, "--listen", "127.0.0.1:0"]);
    assert!(ran.failed(11).contains("another gateway"), "{ran:?}");
    // 1: the port is taken.
    let elsewhere = world.folder.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    let ran = creator.run(&["--json", "serve", folder_name, "--data", elsewhere, "--listen", shop.address()]);
    ran.failed(1);
    // 2: a channel that nobody was served on.
    let id = format!("0x{}", "11".repeat(32));
    creator.run(&["--json", "close", &id, folder_name]).failed(2);
    shop.kill();
    // 11: another wallet's ledger.
    let other = world.person("other").await;
    let ran = other.run(&["--json", "serve", folder_name, "--listen", "127.0.0.1:0"]);
    assert!(ran.failed(11).contains("holds the ledger of"), "{ran:?}");
    // 4: another chain than the ledger's.
    let ran = creator.run(&["--json", "--rpc-url", "http://127.0.0.1:1", "redeem", folder_name]);
    ran.failed(4);
    // 11: damage.
    std::fs::write(folder.join(".farthing/ledger.redb"), "not a ledger").expect("writes");
    creator.run(&["--json", "earnings", folder_name]).failed(11);
    // 2: a catalog that is wrong, with the place.
    std::fs::write(folder.join("catalog.toml"), "name = 5\n").expect("writes");
    let ran = creator.run(&["--json", "serve", folder_name]);
    assert!(ran.failed(2).contains("catalog.toml"), "{ran:?}");
}
