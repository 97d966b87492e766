//! What a listener's purse pays, and what it does when a site counts otherwise.

use crate::world::{Person, World, amount, run};
use farthing::core::{Address, Amount};
use farthing::local_chain::{deploy_demo_dollar, mint_demo_dollars};
use std::path::{Path, PathBuf};
use std::process::Command;

const CREDIT: &str = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";

/// A second token, of which a person has a hundred.
async fn other_token(world: &World, person: &Person) -> Address {
    let (token, _) = deploy_demo_dollar(&world.chain).await.expect("deploys");
    mint_demo_dollars(&world.chain, token.address, person.address, Amount::new(100_000_000)).await.expect("mints");
    token.address
}

/// The records of what was bought are lost, and the key is not: what it has bought comes again, without a payment.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_has_bought_comes_again_without_its_records() {
    let world = World::with_escrow(None).await;
    let (listener, creator, stranger) =
        (world.person("listener").await, world.person("creator").await, world.person("stranger").await);
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&world.creators_folder("records", CREDIT), &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("a.wav");
    let recall = ["--json", "get", &url, "--recall", "-o", file.to_str().expect("UTF-8")];
    run(&mut listener.command(&recall)).failed(9);
    listener.json(&["get", &url, "-o", world.folder.path().join("first.wav").to_str().expect("UTF-8")]);

    listener.lose_records();
    let got = run(&mut listener.command(&recall)).json();
    assert_eq!((amount(&got["price"]), amount(&got["paid"])), (500_000, 0));
    assert_eq!(got["receipt"]["item"], "/songs/nocturne");
    assert_eq!(std::fs::read(&file).expect("reads"), crate::world::song_bytes("nocturne"));
    std::fs::remove_file(&file).expect("removes");
    assert!(run(&mut stranger.command(&recall)).failed(9).contains("has not bought"));
    assert_eq!(shop.stop(), 0);
}

fn without_token(command: &mut Command) -> &mut Command {
    command.env_remove("FARTHING_TOKEN")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dollar_is_declared_of_the_named_token_only() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let other = other_token(&world, &listener).await.to_string();
    listener.json(&["deposit", "5"]);
    listener.json(&["deposit", "5", "--token", &other, "--dollar=false"]);
    let shop = creator.serve(&world.creators_folder("records", CREDIT), &["--token", &other]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("a.wav");
    let get = |more: &[&str]| {
        let arguments = [&["--json", "get", &url, "-o", file.to_str().expect("UTF-8")], more].concat();
        listener.command(&arguments)
    };

    // FARTHING_DOLLAR is set and no token is named: what was declared of each stays.
    let ran = run(without_token(&mut get(&[])));
    assert!(ran.failed(8).contains("no limits are set for"), "{ran:?}");
    let ran = run(without_token(&mut get(&["--dollar"])));
    ran.failed(8);
    assert!(!file.exists());
    // Control: of the token that is named it counts, and what is remembered of it stays.
    let got = run(&mut get(&["--token", &other, "--dollar"])).json();
    assert_eq!(amount(&got["paid"]), 500_000);
    let remembered = std::fs::read_to_string(listener.home.join("tokens.json")).expect("reads");
    assert_eq!(remembered.matches("\"dollar\": true").count(), 1, "{remembered}");
}

/// The files of a store.
fn store_of(person: &Person) -> [PathBuf; 2] {
    [person.home.join("payer.redb"), person.home.join("payer.redb.epoch")]
}

/// Copies a store, or puts the copy back.
fn copy(from: &[PathBuf; 2], to: &[PathBuf; 2]) {
    for (from, to) in from.iter().zip(to) {
        std::fs::copy(from, to).expect("copies");
    }
}

/// Takes from a store what would tell a snapshot of the whole disk from the original.
fn make_indistinguishable(epoch: &Path) {
    let text = std::fs::read(epoch).expect("reads");
    let mut witness: serde_json::Value = serde_json::from_slice(&text).expect("is JSON");
    witness["born"] = serde_json::Value::Null;
    std::fs::write(epoch, witness.to_string()).expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_counts_more_than_the_store_is_paid_again_after_a_renewal() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    listener.json(&["deposit", "5"]);
    let tip = "[tip]\npath = \"/tip\"\nminimum = \"$0.01\"\n";
    let shop = creator.serve(&world.creators_folder("records", &format!("{tip}{CREDIT}")), &[]);
    let (nocturne, minuet) = (format!("{}/songs/nocturne", shop.url), format!("{}/songs/minuet", shop.url));
    let file = |name: &str| world.folder.path().join(name).to_str().expect("UTF-8").to_owned();
    listener.json(&["tip", &shop.url, "0.05"]);

    // The whole disk is set back to before a purchase, which the store can't know.
    let store = store_of(&listener);
    let backup = [world.folder.path().join("backup"), world.folder.path().join("backup.epoch")];
    copy(&store, &backup);
    make_indistinguishable(&backup[1]);
    listener.json(&["get", &nocturne, "-o", &file("a.wav")]);
    copy(&backup, &store);
    for _ in 0..2 {
        let ran = listener.run(&["--json", "get", &minuet, "-o", &file("b.wav")]);
        assert!(ran.failed(9).contains("session/delta-too-small"), "{ran:?}");
        let hint = format!("farthing renew {}", shop.url);
        assert!(ran.stderr.contains(&hint), "{ran:?}");
    }
    let old = listener.json(&["balance"])["channels"][0]["channelId"].clone();
    let renewed = listener.json(&["renew", &shop.url]);
    assert_eq!(renewed["channels"][0]["channelId"], old, "{renewed}");
    let got = listener.json(&["get", &minuet, "-o", &file("b.wav")]);
    assert_eq!(amount(&got["paid"]), 500_000);
    let channels = listener.json(&["balance"])["channels"].clone();
    assert_eq!(channels.as_array().map(Vec::len), Some(1), "nothing is reserved in the old one: {channels}");
    assert_ne!(channels[0]["channelId"], old);

    // By its id, and all of them.
    let id = channels[0]["channelId"].as_str().expect("an id");
    assert!(listener.run(&["renew", id]).text().contains("1 channel is left"));
    assert_eq!(listener.json(&["renew", "--all"])["channels"], serde_json::json!([]), "there is none any more");
    listener.run(&["--json", "renew"]).failed(2);
    listener.run(&["--json", "renew", "https://elsewhere.example"]).failed(2);
}

/// A deposit that another device made, or that a lost store knew of, is found on the chain.
#[tokio::test(flavor = "multi_thread")]
async fn another_device_with_the_same_key_finds_the_deposit() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", "");
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&folder, &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("song.wav");
    let file_name = file.to_str().expect("UTF-8");
    std::fs::remove_file(listener.home.join("payer.redb")).expect("the store is lost");
    let budget = ["budget", "--token", &world.token.address.to_string(), "--dollar"];
    listener.json(&budget);
    let got = listener.json(&["get", &url, "-o", file_name]);
    assert_eq!(amount(&got["paid"]), 500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_down_is_not_one_that_takes_no_tips() {
    let world = World::with_escrow(None).await;
    let listener = world.person("listener").await;
    listener.json(&["deposit", "5"]);
    let said = listener.run(&["--json", "tip", "http://127.0.0.1:1", "0.25"]).failed(5);
    assert!(said.contains("can't be reached"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_url_is_not_repeated() {
    let world = World::with_escrow(None).await;
    let listener = world.person("listener").await;
    listener.json(&["deposit", "5"]);
    let said = listener.run(&["--json", "get", "http://user:hunter2@127.0.0.1/a"]);
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("hunter2"), "{said:?}");
    assert!(said.failed(2).contains("user name or password"));
}

/// A session key: a phone spends what was deposited for it, and the payer takes back what is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_spends_the_account_that_was_funded_for_it() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let phone = world.pauper("phone");
    let folder = world.creators_folder("records", "");
    let (payer, signer) = (listener.address.to_string(), phone.address.to_string());
    listener.json(&["deposit", "2", "--signer", &signer]);
    let shop = creator.serve(&folder, &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("song.wav");
    let file_name = file.to_str().expect("UTF-8");
    phone.json(&["budget", "--token", &world.token.address.to_string(), "--dollar"]);
    phone.run(&["--json", "get", &url, "-o", file_name]).failed(6);
    let got = phone.json(&["get", &url, "-o", file_name, "--payer", &payer]);
    assert_eq!(amount(&got["paid"]), 500_000);
    creator.json(&["redeem", folder.to_str().expect("UTF-8")]);
    let left = listener.json(&["withdraw", "all", "--signer", &signer]);
    assert_eq!(amount(&left["amount"]), 1_500_000);
}
