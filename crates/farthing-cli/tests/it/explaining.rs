//! When it redeems, in plain words: `farthing redeem --dry-run` and `farthing earnings --explain`.

use crate::world::{Person, Shop, World, amount};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Credit for several songs, and a coin so dear that no redemption of a song is worth its gas.
const DEAR: &str = "[credit]\nlimit = \"$20\"\nfirst = \"$20\"\nstrangers_per_day = \"$20\"\n\
                    [redemption]\ncoin_price = \"$1000000\"\n";

/// The same, and nobody says what a coin is worth.
const UNPRICED: &str = "[credit]\nlimit = \"$20\"\nfirst = \"$20\"\nstrangers_per_day = \"$20\"\n";

fn name(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}

/// A shop that sold a song each to two listeners.
async fn sold(catalog: &str) -> (World, Person, PathBuf, [Person; 2], Shop) {
    let world = World::with_escrow(None).await;
    let listeners = [world.person("first").await, world.person("second").await];
    let creator = world.person("creator").await;
    let folder = world.creators_folder("records", catalog);
    let shop = creator.serve(&folder, &[]);
    for listener in &listeners {
        listener.json(&["deposit", "5"]);
        let file = world.folder.path().join(format!("{}.wav", listener.address));
        let url = format!("{}/songs/nocturne", shop.url);
        listener.json(&["get", &url, "-o", file.to_str().expect("UTF-8")]);
    }
    (world, creator, folder, listeners, shop)
}

/// What is shown fits a terminal.
fn text(creator: &Person, arguments: &[&str]) -> String {
    let ran = creator.run(arguments);
    let text = ran.text().to_owned();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

/// The same on one line, however it was broken.
fn sentence(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A share as people are told it: one decimal, rounded up.
fn told(share: &Value) -> String {
    let share = share.as_str().and_then(|share| share.strip_suffix('%')).expect("a share");
    let (whole, decimals) = share.split_once('.').unwrap_or((share, "0"));
    let thousandths: u64 = format!("{whole}{decimals:0<4}").parse().expect("digits");
    let tenths = thousandths.div_ceil(1_000);
    if tenths.is_multiple_of(10) { format!("{}%", tenths / 10) } else { format!("{}.{}%", tenths / 10, tenths % 10) }
}

fn waiting(plan: &Value) -> Vec<(String, String)> {
    let text = |choice: &Value, name: &str| choice[name].as_str().expect("a text").to_owned();
    let waiting = plan["wait"].as_array().expect("choices").iter();
    waiting.map(|choice| (text(choice, "cause"), text(choice, "waitsFor"))).collect()
}

fn pair(cause: &str, waits_for: &str) -> (String, String) {
    (cause.to_owned(), waits_for.to_owned())
}

/// What is said of two songs that wait, at any price of gas.
fn check_waiting(creator: &Person, folder: &str) {
    let plan = creator.json(&["redeem", folder, "--dry-run"]);
    assert_eq!((amount(&plan["held"]), &plan["redeem"]), (1_000_000, &json!([])), "{plan}");
    assert_eq!(waiting(&plan), [pair("unhurried", "cheaperGas"), pair("unhurried", "cheaperGas")], "{plan}");
    let explained = sentence(&text(creator, &["redeem", folder, "--dry-run"]));
    let expected = format!(
        "holding $1.00 from 2 channels; redeeming now costs {}, target 1% CHANNELS MONEY WHY WAITS FOR \
         2 $1.00 nothing presses cheaper gas, or to owe more gas ",
        told(&plan["share"])
    );
    assert!(explained.starts_with(&expected), "{explained}\n{expected}");
    assert!(explained.contains("coin worth $1000000.00, as you say wallet 0x"), "{explained}");
    assert!(explained.contains("holds 10 ETH, enough: redeeming now costs about 0.000"), "{explained}");
}

/// Other terms than the catalog's are tried without touching it.
fn check_other_terms(creator: &Person, folder: &str) {
    let cheap = ["redeem", folder, "--dry-run", "--coin-price", "1"];
    let plan = creator.json(&cheap);
    assert_eq!((plan["redeem"].as_array().map(Vec::len), &plan["wait"]), (Some(2), &json!([])), "{plan}");
    assert_eq!(amount(&plan["now"]["pays"]), 1_000_000);
    let explained = sentence(&text(creator, &cheap));
    assert!(explained.starts_with("would redeem $1.00 from 2 channels now; gas costs $0.0000"), "{explained}");
    assert!(explained.contains("2 $1.00 nothing presses nothing: goes now"), "{explained}");
    let strict = creator.run(&[&cheap[..], &["--gas-share", "20%"]].concat());
    assert!(strict.failed(2).contains("gas_share_urgent is 10%, less than the 20% of gas_share"), "{strict:?}");
    let nothing_to_try = creator.run(&["redeem", folder, "--gas-share", "2%"]);
    assert_eq!(nothing_to_try.code, 2, "without --dry-run it would redeem everything: {nothing_to_try:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_waits_what_for_and_what_would_go() {
    let (_world, creator, folder, _listeners, shop) = sold(DEAR).await;
    let folder = name(&folder);
    check_waiting(&creator, folder);
    check_other_terms(&creator, folder);
    assert_eq!(shop.stop(), 0);
    check_waiting(&creator, folder);
    check_other_terms(&creator, folder);
    assert_eq!(creator.json(&["earnings", folder])["redeemed"], "0", "nothing was sent");
    let mut without_password = creator.command(&["redeem", folder, "--dry-run"]);
    let ran = crate::world::run(without_password.env_remove("ETH_PASSWORD"));
    assert!(sentence(ran.text()).starts_with("holding $1.00 from 2 channels"), "no key is needed: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_leaves_is_told_with_the_last_moment() {
    let (_world, creator, folder, listeners, shop) = sold(DEAR).await;
    let folder = name(&folder);
    listeners[0].json(&["reserve", &shop.url, "1"]);
    listeners[0].json(&["request-close", &shop.url]);
    listeners[1].json(&["withdraw", "all"]);
    assert_eq!(shop.stop(), 0);
    let plan = creator.json(&["redeem", folder, "--dry-run"]);
    assert_eq!(waiting(&plan), [pair("leaving", "cheaperGas"), pair("creditUsed", "money")], "{plan}");
    let explained = sentence(&text(&creator, &["earnings", folder, "--explain"]));
    let (_, explained) = explained.split_once("holding").expect("the earnings come first");
    assert!(explained.starts_with(" $0.50 from 1 channel; redeeming now costs "), "{explained}");
    assert!(explained.contains(", target 1%; at the latest "), "{explained}");
    assert!(explained.contains(" UTC, before a close can finalize "), "{explained}");
    assert!(explained.contains("1 $0.50 the payer leaves; by "), "{explained}");
    assert!(explained.contains("1 $0.50 the account is empty money behind it"), "{explained}");
    assert!(explained.contains("uncovered $0.50 more is owed with no money behind it"), "{explained}");
    let both = creator.json(&["earnings", folder, "--explain"]);
    assert_eq!((amount(&both["outstanding"]), amount(&both["redemption"]["held"])), (1_000_000, 500_000), "{both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_price_an_item_or_a_chain_it_says_so() {
    let (world, creator, folder, _listeners, shop) = sold(UNPRICED).await;
    let folder = name(&folder);
    let explained = sentence(&text(&creator, &["redeem", folder, "--dry-run"]));
    assert!(
        explained.starts_with("holding $1.00 from 2 channels; what redeeming costs of it is not known"),
        "{explained}"
    );
    assert!(explained.contains("set coin_price under [redemption] in catalog.toml"), "{explained}");
    assert_eq!(shop.stop(), 0);
    creator.json(&["redeem", folder]);
    let explained = sentence(&text(&creator, &["redeem", folder, "--dry-run"]));
    let nothing =
        "nothing to redeem: nothing is owed that the chain does not show as paid; what was sent is not final yet";
    assert!(explained.starts_with(nothing), "{explained}");
    assert!(explained.contains("with 2 vouchers, sent today"), "{explained}");

    world.local.stop().await;
    let ran = creator.run(&["redeem", folder, "--dry-run"]);
    assert!(ran.failed(4).contains("does not answer"), "{ran:?}");
    let earned = creator.run(&["earnings", folder, "--explain"]);
    assert!(earned.text().contains("earned      $1.00") && earned.text().contains("no plan can be made"), "{earned:?}");
    let earned = creator.json(&["earnings", folder, "--explain"]);
    assert!(earned["redemption"].is_null() && earned["problem"].is_string(), "{earned}");
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_says_when_it_would_have_redeemed_and_at_what_cost() {
    let (world, creator, folder, _listeners, shop) = sold(DEAR).await;
    let folder = name(&folder);
    let fees = world.folder.path().join("fees.csv");
    let now = unix_now();
    // A day ago gas was dear, and nothing was sold yet; now it is next to nothing.
    let text_of = format!("time,gas_price\n{},10000000000\n{now},1000\n", now - 86_400);
    std::fs::write(&fees, text_of).expect("writes");
    let fees = name(&fees);
    let simulate = ["redeem", folder, "--simulate", "3", "--fee-history", fees, "--coin-price", "3000"];
    let by_the_gateway = creator.json(&simulate);
    assert_eq!((amount(&by_the_gateway["owed"]), amount(&by_the_gateway["byTerms"]["paid"])), (1_000_000, 1_000_000));
    let occasion = &by_the_gateway["occasions"][0];
    assert_eq!((&occasion["channels"], &occasion["unhurried"]), (&json!(2), &json!(2)), "{by_the_gateway}");
    assert_eq!(by_the_gateway["onceADay"]["redemptions"], 1);
    assert_eq!(by_the_gateway["eachAtOnce"]["redemptions"], 2, "{by_the_gateway}");
    assert_eq!(creator.json(&["earnings", folder])["redeemed"], "0", "nothing was sent");
    assert_eq!(shop.stop(), 0);
    let without = creator.json(&simulate);
    assert_eq!(without["occasions"], by_the_gateway["occasions"]);

    let shown = text(&creator, &simulate);
    assert!(sentence(&shown).contains("$1.00 was owed; fees of 2 moments"), "{shown}");
    assert!(sentence(&shown).contains("by these terms 1 $1.00 $0.000001 0.01% $0.00"), "{shown}");
    assert!(sentence(&shown).contains("2 gas was cheap"), "{shown}");
    assert!(shown.contains("every claim counts as covered"), "{shown}");

    // The three mistakes: no file, one of another time, one with a wrong field.
    assert_eq!(creator.run(&["redeem", folder, "--simulate", "3"]).code, 2);
    std::fs::write(fees, "time,gas_price\n2020-01-01T00:00:00Z,1\n").expect("writes");
    assert!(creator.run(&simulate).failed(2).contains("has no moment between"));
    std::fs::write(fees, format!("time,gas_price\n{now},0.5 gwei\n")).expect("writes");
    assert!(creator.run(&simulate).failed(2).contains("line 2, column gas_price"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_of_a_chain_are_written_as_a_simulation_reads_them() {
    let (world, creator, folder, _listeners, _shop) = sold(DEAR).await;
    let written = creator.run(&["fee-history", "--days", "2"]);
    assert!(written.stderr.contains("note: the chain, or what this node keeps of it, goes back to"), "{written:?}");
    let fees = world.folder.path().join("fees.csv");
    std::fs::write(&fees, format!("{}\n", written.text())).expect("writes");
    let lines: Vec<&str> = written.text().lines().collect();
    assert_eq!((lines[0], lines.len() > 2 && lines.len() <= 49), ("time,gas_price", true), "{written:?}");
    let simulate = ["redeem", name(&folder), "--simulate", "2", "--fee-history", name(&fees)];
    let simulated = creator.json(&simulate);
    assert_eq!((&simulated["moments"], &simulated["occasions"]), (&json!(lines.len() - 1), &json!([])), "{simulated}");
    let listed = creator.json(&["fee-history", "--days", "2"]);
    assert_eq!(listed["moments"].as_array().map(Vec::len), Some(lines.len() - 1), "{listed}");
    let often = creator.run(&["fee-history", "--days", "30", "--every", "1m"]);
    assert!(often.failed(2).contains("43200 samples in 30 days; there can be 1 to 2000"), "{often:?}");
}
