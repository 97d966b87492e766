//! A creator's books as commands show them, with a gateway on the ledger and without one.

use crate::world::{Person, World, amount};
use farthing::core::{Amount, ChannelId};
use farthing::payee::store::{Entry, Record};
use farthing::payee::transfer::Title;
use farthing::payee::{EmbeddedStore, PayeeStore};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

const CREDIT: &str = "[credit]\nlimit = \"$20\"\nfirst = \"$20\"\nstrangers_per_day = \"$20\"\n";

fn buy(listener: &Person, shop_url: &str, song: &str, world: &World) -> Value {
    let file = world.folder.path().join(format!("{song}.{}.wav", listener.address));
    let _ = std::fs::remove_file(&file);
    let url = format!("{shop_url}/songs/{song}");
    listener.json(&["get", &url, "--again", "-o", file.to_str().expect("UTF-8")])
}

fn folder_name(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}

fn sums(rows: &Value, name: &str) -> u128 {
    rows.as_array().expect("rows").iter().map(|row| amount(&row[name])).sum()
}

/// Every table of a ledger, as JSON, as text and as CSV.
fn check_tables(creator: &Person, folder: &str, bought: &[(&str, u64)]) {
    let sold: u64 = bought.iter().map(|(_, count)| count).sum();
    let earned = u128::from(sold) * 500_000;
    for (by, column) in [("item", "earned"), ("day", "earned"), ("channel", "spent"), ("payer", "earned")] {
        let report = creator.json(&["earnings", folder, "--by", by]);
        assert_eq!((&report["by"], sums(&report["rows"], column)), (&json!(by), earned), "{report}");
        assert_eq!(sums(&report["rows"], "credited"), 200_000, "{report}");
    }
    let by_item = creator.json(&["earnings", folder, "--by", "item"]);
    for (row, (song, count)) in by_item["rows"].as_array().expect("rows").iter().zip(bought) {
        assert_eq!((&row["item"], &row["sold"]), (&json!(format!("/songs/{song}")), &json!(count)));
    }
    let charges = creator.json(&["earnings", folder, "--by", "charge"]);
    let rows = charges["rows"].as_array().expect("rows");
    assert_eq!((rows.len() as u64, sums(&charges["rows"], "price")), (sold, earned));

    for by in ["item", "day", "channel", "payer", "charge"] {
        let text = creator.run(&["earnings", folder, "--by", by]);
        assert!(text.text().lines().all(|line| line.chars().count() <= 80), "{}", text.stdout);
        let csv = creator.run(&["earnings", folder, "--by", by, "--csv"]);
        let lines: Vec<&str> = csv.stdout.split("\r\n").collect();
        let rows = creator.json(&["earnings", folder, "--by", by])["rows"].as_array().map(Vec::len).expect("rows");
        assert_eq!((csv.code, lines.len()), (0, rows + 2), "a header, the rows, and an end: {csv:?}");
        let columns = lines[0].split(',').count();
        assert!(lines[1..=rows].iter().all(|line| line.split(',').count() == columns), "{csv:?}");
        assert!(lines[0].contains("_base"), "{csv:?}");
    }
    let csv = creator.run(&["earnings", folder, "--by", "charge", "--csv"]);
    let channel = rows[0]["channelId"].as_str().expect("an id");
    assert!(csv.stdout.contains(channel) && csv.stdout.contains(",0.5,500000,"), "full ids, both amounts: {csv:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn earnings_are_shown_by_anything_and_prices_are_given_back() {
    let world = World::with_escrow(None).await;
    let (first, second) = (world.person("first").await, world.person("second").await);
    let creator = world.person("creator").await;
    let folder = world.creators_folder("records", CREDIT);
    let folder = folder_name(&folder);
    for listener in [&first, &second] {
        listener.json(&["deposit", "5"]);
    }
    let shop = creator.serve(Path::new(folder), &[]);
    for (listener, song) in [(&first, "nocturne"), (&first, "minuet"), (&second, "nocturne"), (&first, "nocturne")] {
        buy(listener, &shop.url, song, &world);
    }

    // By the receipt that the listener has, in part, over the gateway; twice is once.
    let history = first.json(&["history"]);
    let receipt = world.folder.path().join("receipt.json");
    std::fs::write(&receipt, history["purchases"][2]["receipt"].to_string()).expect("writes");
    let receipt = receipt.to_str().expect("UTF-8");
    for again in [false, true] {
        let refunded = creator.json(&["refund", "--receipt", receipt, "--amount", "0.2", folder]);
        assert_eq!((amount(&refunded["credited"]), &refunded["again"]), (200_000, &json!(again)));
        assert_eq!((&refunded["item"], amount(&refunded["due"])), (&json!("/songs/nocturne"), 1_300_000));
    }
    check_tables(&creator, folder, &[("nocturne", 3), ("minuet", 1)]);
    assert_eq!(shop.stop(), 0);
    check_tables(&creator, folder, &[("nocturne", 3), ("minuet", 1)]);

    // Days are UTC and both ends belong to the period.
    let day = creator.json(&["earnings", folder, "--by", "day"])["rows"][0]["day"].clone();
    let day = day.as_str().expect("a day");
    let today = creator.json(&["earnings", folder, "--since", day, "--until", day]);
    assert_eq!((&today["itemsSold"], today["channels"].as_array().map(Vec::len)), (&json!(4), Some(2)));
    let before = creator.json(&["earnings", folder, "--until", "2020-01-01"]);
    assert_eq!((&before["itemsSold"], amount(&before["outstanding"])), (&json!(0), 1_800_000), "{before}");
    assert_eq!(
        creator.run(&["earnings", folder, "--by", "day", "--until", "2020-01-01"]).text(),
        "nothing was sold then"
    );
    creator.run(&["--json", "earnings", folder, "--since", "2020-01-02", "--until", "2020-01-01"]).failed(2);
    for day in ["2026-02-30", "yesterday", "2026-1-1", "2026-01-01T00:00:00Z"] {
        creator.run(&["--json", "earnings", folder, "--since", day]).failed(2);
    }
    creator.run(&["earnings", folder, "--csv"]).failed(2);
    creator.run(&["--json", "earnings", folder, "--by", "item", "--csv"]).failed(2);

    // By channel and voucher, without a gateway; then less is redeemed.
    let charges = creator.json(&["earnings", folder, "--by", "charge"]);
    let second_address = format!("{:#x}", second.address);
    let charge = charges["rows"].as_array().expect("rows").iter().find(|row| row["payer"] == second_address);
    let charge = charge.expect("the second listener's");
    let channel = charge["channelId"].as_str().expect("an id");
    let text = creator.run(&["refund", channel, "0.5", folder]);
    assert!(text.text().starts_with("gave back $0.50 of the $0.50 for /songs/nocturne\n"), "{text:?}");
    assert!(text.text().lines().all(|line| line.chars().count() <= 80), "{text:?}");
    assert!(creator.run(&["--json", "refund", channel, "0.5", "--amount", "0.1", folder]).failed(2).contains("before"));
    assert!(
        creator
            .run(&["--json", "refund", channel, "500000 base", "--amount", "0.6", folder])
            .failed(2)
            .contains("$0.50")
    );
    assert!(creator.run(&["--json", "refund", channel, "0.51", folder]).failed(2).contains("$0.51"));
    for arguments in [vec!["refund"], vec!["refund", channel], vec!["refund", "--receipt", receipt, channel, "0.5"]] {
        creator.run(&[&["--json"], arguments.as_slice()].concat()).failed(2);
    }
    creator.run(&["--json", "refund", "0x12", "0.5", folder]).failed(2);
    creator.run(&["--json", "refund", "--receipt", "none.json", folder]).failed(2);
    let redeemed = creator.json(&["redeem", folder]);
    assert_eq!(
        (amount(&redeemed["paid"]), &redeemed["vouchers"]),
        (1_000_000, &json!(1)),
        "of $1.30 what a voucher covers"
    );
    assert_eq!(amount(&second.json(&["balance"])["account"]["balance"]), 5_000_000, "nothing was taken");
}

/// A file's lines with a new end: of somebody who changes a ledger and knows the format.
fn with_new_end(file: &str) -> String {
    let (body, end) = file.trim_end().rsplit_once('\n').expect("lines");
    let body = format!("{body}\n");
    let mut end: Value = serde_json::from_str(end).expect("JSON");
    end["sha256"] = json!(format!("0x{:x}", Sha256::digest(&body)));
    format!("{body}{end}\n")
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("is there").flatten();
    let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Writes a ledger whose first charge cost more than it did, beside its record.
async fn write_wrong_ledger(exported: &str, from: &Path, to: &Path) {
    let mut lines = exported.lines();
    let title: Title = serde_json::from_str(lines.next().expect("a title")).expect("reads");
    let mut records: Vec<Record> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let charge = records.iter_mut().find_map(|record| match record {
        Record::Charge { charge, .. } => Some(charge),
        _ => None,
    });
    charge.expect("a charge").price = Amount::new(1);
    std::fs::create_dir(to).expect("makes");
    std::fs::copy(from.join("gateway.json"), to.join("gateway.json")).expect("copies");
    let store = EmbeddedStore::open(&to.join("ledger.redb"), &title.identity).expect("opens");
    store.restore(&records).await.expect("restores");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_verified_copied_and_moved() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", CREDIT);
    let (folder, data) = (folder_name(&folder), folder.join(".farthing"));
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(Path::new(folder), &[]);
    for song in ["nocturne", "minuet", "nocturne"] {
        buy(&listener, &shop.url, song, &world);
    }
    let path = |name: &str| world.folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("reads");

    // While a gateway runs, it does it.
    let verified = creator.json(&["store", "verify", folder]);
    assert_eq!((&verified["problems"], &verified["records"]["charges"]), (&json!([]), &json!(3)));
    let exported = creator.json(&["store", "export", &path("one.jsonl"), folder]);
    assert_eq!(exported["records"], verified["records"]);
    let mode = std::fs::metadata(path("one.jsonl")).expect("is there").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600, "vouchers are money");
    assert!(
        creator.run(&["--json", "store", "export", &path("one.jsonl"), folder]).failed(1).contains("is there already")
    );
    let piped = creator.run(&["store", "export", "-", folder]);
    assert_eq!((piped.code, &piped.stdout), (0, &read("one.jsonl")));
    assert_eq!(shop.stop(), 0);

    // And the same without one.
    assert!(creator.run(&["store", "verify", folder]).text().starts_with("nothing is wrong: 1 channel, 3 charges"));
    creator.json(&["store", "export", &path("two.jsonl"), folder]);
    assert_eq!(read("two.jsonl"), read("one.jsonl"));
    let ledger = ["ledger.journal-0", "ledger.journal-1", "ledger.mark", "ledger.redb"];
    let names: Vec<&str> = ["admin.lock", "gateway.json"].into_iter().chain(ledger).collect();
    assert_eq!(names_in(&data), names, "nothing is left behind");

    // What is cut, changed or wrong begins no ledger.
    let elsewhere = path("elsewhere");
    let import = |file: &str| creator.run(&["--json", "store", "import", &path(file), "--data", &elsewhere]);
    let whole = read("one.jsonl");
    let cut = whole.get(..whole.len() - 100).expect("ASCII");
    let changed = whole.replacen("500000", "500001", 1);
    std::fs::write(path("cut.jsonl"), cut).expect("writes");
    std::fs::write(path("changed.jsonl"), &changed).expect("writes");
    std::fs::write(path("wrong.jsonl"), with_new_end(&changed)).expect("writes");
    assert!(import("cut.jsonl").failed(11).contains("a part is missing"));
    assert!(import("changed.jsonl").failed(11).contains("was changed after it was written"));
    let wrong = import("wrong.jsonl");
    assert!(wrong.failed(11).contains("the exported ledger is wrong: channel 0x"), "{wrong:?}");
    let problems: Value = serde_json::from_str(&wrong.stdout).expect("JSON");
    assert!(problems["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{problems}");
    import("records/catalog.toml").failed(11);
    import("none.jsonl").failed(1);
    assert_eq!(names_in(Path::new(&elsewhere)), Vec::<String>::new());
    assert!(creator.run(&["--json", "earnings", "--data", &elsewhere]).failed(11).contains("no ledger"));

    // The copy goes on where the ledger was, and nothing is taken for another's place.
    let imported = import("one.jsonl").json();
    assert_eq!(imported["records"], verified["records"]);
    assert!(import("one.jsonl").failed(11).contains("there is a ledger already"));
    assert_eq!(creator.json(&["earnings", "--data", &elsewhere]), creator.json(&["earnings", folder]));
    creator.json(&["store", "export", &path("three.jsonl"), "--data", &elsewhere]);
    assert_eq!(read("three.jsonl"), whole, "without losing an entry");
    assert_eq!(amount(&creator.json(&["redeem", "--data", &elsewhere])["paid"]), 1_500_000);
    std::fs::remove_file(Path::new(&elsewhere).join("ledger.redb")).expect("a ledger is lost");
    let lost = import("one.jsonl");
    assert!(lost.failed(11).contains("there was a ledger here"), "what it had since is not in the file: {lost:?}");

    // Over a pipe.
    let piped = path("piped");
    let mut command = creator.command(&["--json", "store", "import", "-", "--data", &piped]);
    command.stdin(std::fs::File::open(path("one.jsonl")).expect("opens"));
    assert_eq!(crate::world::run(&mut command).json()["records"], verified["records"]);

    // A ledger that somebody changed.
    let wrong = path("wrong");
    write_wrong_ledger(&whole, &data, Path::new(&wrong)).await;
    let ran = creator.run(&["--json", "store", "verify", "--data", &wrong]);
    assert!(ran.failed(11).contains("the ledger has 1 problem"), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let problem = report["problems"][0].as_str().expect("a problem");
    assert!(problem.contains("its books say 1500000 spent, and its entries come to 1000001"), "{problem}");
    let ran = creator.run(&["store", "verify", "--data", &wrong]);
    assert!(ran.code == 11 && ran.stdout.contains("1000001"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_reconciles_the_ledger_with_the_chain() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", CREDIT);
    let (folder, data) = (folder_name(&folder), folder.join(".farthing"));
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(Path::new(folder), &[]);
    for song in ["nocturne", "minuet"] {
        buy(&listener, &shop.url, song, &world);
    }
    let figures = |statement: &Value| {
        ["charged", "due", "redeemed", "paid", "pending"].map(|name| amount(&statement["total"][name]))
    };
    assert_eq!(amount(&creator.json(&["redeem", folder])["paid"]), 1_000_000);
    let statement = creator.json(&["statement", folder]);
    assert_eq!((figures(&statement), &statement["differences"]), ([1_000_000, 1_000_000, 0, 0, 1_000_000], &json!([])));
    world.local.mine(&world.chain, 3).await.expect("mines");
    let statement = creator.json(&["statement", folder]);
    assert_eq!(
        (figures(&statement), &statement["differences"]),
        ([1_000_000, 1_000_000, 1_000_000, 1_000_000, 0], &json!([]))
    );
    buy(&listener, &shop.url, "nocturne", &world);
    assert_eq!(shop.stop(), 0);

    // Without a gateway nobody watches: the statement finds what was paid, and notes it once.
    assert_eq!(amount(&creator.json(&["redeem", folder])["paid"]), 500_000);
    world.local.mine(&world.chain, 3).await.expect("mines");
    assert_eq!(amount(&creator.json(&["earnings", folder])["redeemed"]), 1_000_000);
    assert_eq!(amount(&creator.json(&["statement", folder])["noted"]), 500_000);
    assert_eq!(amount(&creator.json(&["statement", folder])["noted"]), 0);
    assert_eq!(amount(&creator.json(&["earnings", folder])["redeemed"]), 1_500_000);
    let text = creator.run(&["statement", folder]);
    assert!(text.text().contains("\npaid      $1.50\npending   $0.00\n"), "{text:?}");
    assert!(text.text().lines().all(|line| line.chars().count() <= 80), "{}", text.stdout);
    let csv = creator.run(&["statement", folder, "--csv"]);
    assert!(csv.code == 0 && csv.stdout.contains(",1.5,1500000,0,0,0,0\r\n"), "{csv:?}");
    let id = statement["channels"][0]["channelId"].as_str().expect("an id");
    assert!(csv.stdout.contains(id), "{csv:?}");
    creator.run(&["--json", "statement", folder, "--rpc-url", "http://127.0.0.1:1"]).failed(4);
    creator.run(&["--json", "statement", folder, "--csv"]).failed(2);

    // A ledger that claims a cent more than was paid.
    let record: Value =
        serde_json::from_slice(&std::fs::read(data.join("gateway.json")).expect("reads")).expect("JSON");
    let identity = serde_json::from_value(record["identity"].clone()).expect("an identity");
    let store = EmbeddedStore::open(&data.join("ledger.redb"), &identity).expect("opens");
    let channel_id = ChannelId(id.parse().expect("an id"));
    let claim = Entry::Redeemed { channel_id, redeemed: Amount::new(1_510_000), block: 1, at: farthing::clock::now() };
    store.accept_batch(&[claim]).await.expect("writes");
    drop(store);
    let ran = creator.run(&["--json", "statement", folder]);
    assert!(ran.failed(11).starts_with("ledger and chain differ in 1 place: channel 0x"), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((amount(&report["total"]["missing"]), amount(&report["total"]["paid"])), (10_000, 1_500_000));
    let difference = report["differences"][0].as_str().expect("a difference");
    assert!(difference.contains("1510000 as redeemed, and the chain has finally paid 1500000"), "{difference}");
    let ran = creator.run(&["statement", folder]);
    assert!(
        ran.code == 11 && ran.stdout.contains(difference) && ran.stderr.contains("farthing store verify"),
        "{ran:?}"
    );
    assert!(creator.run(&["statement", folder, "--csv"]).stdout.contains(",0.01,10000\r\n"));
}
