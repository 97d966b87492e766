//! A ledger in PostgreSQL, shared by several gateways.

use crate::world::{Person, World, amount, run};
use farthing_testkit::postgres::{TestDatabase, test_database};
use std::path::{Path, PathBuf};

const CREDIT: &str = "[credit]\nlimit = \"$5\"\nfirst = \"$5\"\nstrangers_per_day = \"$20\"\n";

/// A person whose ledgers are in a database.
fn with_store(person: &Person, database: &TestDatabase) -> Person {
    let mut person = person.clone();
    person.store = Some(database.url().to_owned());
    person
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

struct Stage {
    world: World,
    listener: Person,
    creator: Person,
    folder: PathBuf,
}

impl Stage {
    async fn set() -> Self {
        let world = World::with_escrow(None).await;
        let (listener, creator) = (world.person("listener").await, world.person("creator").await);
        listener.json(&["deposit", "5"]);
        let folder = world.creators_folder("records", CREDIT);
        Self { world, listener, creator, folder }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    fn get(&self, url: &str, song: &str, file: &str) -> u128 {
        let file = self.world.folder.path().join(file);
        amount(&self.listener.json(&["get", &format!("{url}/songs/{song}"), "-o", text(&file)])["paid"])
    }
}

/// One ledger: what one gateway sold another knows, and honours the challenges and vouchers of; each has a folder of its
/// own for what is not the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_share_one_ledger() {
    let (stage, database) = (Stage::set().await, test_database().await);
    let creator = with_store(&stage.creator, &database);
    let (first_data, second_data) = (stage.data("first"), stage.data("second"));
    let first = creator.serve(&stage.folder, &["--data", text(&first_data), "--realm", "music.example"]);
    let address = first.address().to_owned();
    assert!(!format!("{:?}", first.ready).contains("password"), "{:?}", first.ready);
    assert!(first.ready["ledger"].as_str().expect("named").starts_with("postgres://"));
    drop(first);
    let first = creator.serve(&stage.folder, &["--data", text(&first_data), "--listen", &address]);
    assert_eq!(stage.get(&first.url, "nocturne", "a.wav"), 500_000);
    first.kill();

    // In the first one's place; the listener notices nothing.
    let second = creator.serve(&stage.folder, &["--data", text(&second_data), "--listen", &address]);
    assert_eq!(stage.get(&second.url, "nocturne", "b.wav"), 0, "bought before");
    assert_eq!(stage.get(&second.url, "minuet", "c.wav"), 500_000);
    let earned = creator.json(&["earnings", "--data", text(&second_data)]);
    assert_eq!((&earned["itemsSold"], amount(&earned["earned"])), (&2.into(), 1_000_000));
    // The first one's folder leads to the same ledger, with or without a gateway.
    assert_eq!(creator.json(&["earnings", "--data", text(&first_data)])["earned"], earned["earned"]);
    assert!(creator.json(&["store", "verify", "--data", text(&first_data)])["problems"].as_array().unwrap().is_empty());
    assert_eq!(amount(&creator.json(&["redeem", "--data", text(&first_data)])["paid"]), 1_000_000);
    let statement = creator.json(&["statement", "--data", text(&first_data)]);
    assert!(statement["differences"].as_array().expect("a list").is_empty(), "{statement}");
    assert_eq!(second.stop(), 0);

    // Without its database the folder says where the ledger is, and begins no other one.
    let ran = run(&mut stage.creator.command(&["earnings", "--data", text(&first_data)]));
    assert!(ran.failed(11).contains("postgres://"), "{ran:?}");
    assert!(!first_data.join("ledger.redb").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_moves_to_a_database_and_back_whole() {
    let (stage, database) = (Stage::set().await, test_database().await);
    let shop = stage.creator.serve(&stage.folder, &[]);
    let address = shop.address().to_owned();
    assert_eq!(stage.get(&shop.url, "nocturne", "a.wav"), 500_000);
    assert_eq!(shop.stop(), 0);
    let file = |name: &str| stage.data(name);
    let exported = file("one.jsonl");
    stage.creator.json(&["store", "export", text(&exported), text(&stage.folder)]);

    let creator = with_store(&stage.creator, &database);
    let data = stage.data("data");
    let moved = creator.json(&["store", "import", text(&exported), "--data", text(&data)]);
    assert_eq!(moved["records"]["charges"], 1);
    // A second time it is not empty, and stays as it is.
    let other = stage.data("other");
    run(&mut creator.command(&["store", "import", text(&exported), "--data", text(&other)])).failed(11);
    let shop = creator.serve(&stage.folder, &["--data", text(&data), "--listen", &address]);
    assert_eq!(stage.get(&shop.url, "nocturne", "b.wav"), 0, "bought before");
    assert_eq!(stage.get(&shop.url, "minuet", "c.wav"), 500_000);
    assert_eq!(shop.stop(), 0);

    let (back, again) = (file("two.jsonl"), file("three.jsonl"));
    creator.json(&["store", "export", text(&back), "--data", text(&data)]);
    stage.creator.json(&["store", "import", text(&back), "--data", text(&other)]);
    stage.creator.json(&["store", "export", text(&again), "--data", text(&other)]);
    let lines = |path: &Path| {
        let text = std::fs::read_to_string(path).expect("reads");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.retain(|line| line.contains("\"kind\""));
        lines.sort();
        lines
    };
    assert_eq!(lines(&back), lines(&again));
    assert_eq!(lines(&back).iter().filter(|line| line.contains("\"charge\"")).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_refused_where_others_can_read_it_and_never_shown() {
    let stage = Stage::set().await;
    let named = ["earnings", "--store", "postgres://me:sesame@localhost/ledger"];
    let ran = run(&mut stage.creator.command(&named));
    let error = ran.failed(2);
    assert!(error.contains("--store has a password") && !error.contains("sesame"), "{error}");
    // Nobody listens there: the URL is told, and its password is not.
    let mut command = stage.creator.serving(&stage.folder, &["--store", "postgres://me@127.0.0.1:1/ledger"]);
    let ran = run(command.env("PGPASSWORD", "sesame"));
    let error = ran.failed(11);
    assert!(error.contains("127.0.0.1:1/ledger") && !error.contains("sesame"), "{error}");
    let mut command = stage.creator.command(&["earnings"]);
    let error = run(command.env("FARTHING_STORE", "mysql://me:sesame@localhost/ledger")).failed(2).to_owned();
    assert!(error.contains("FARTHING_STORE") && !error.contains("sesame"), "{error}");
}
