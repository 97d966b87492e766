//! A listener and a creator, two processes and a chain.

use crate::world::{Person, World, amount, song_bytes};
use serde_json::Value;
use std::path::Path;

const TIP: &str = "[tip]\npath = \"/tip\"\nminimum = \"$0.01\"\nthanks = \"Thank you.\"\n";
const CREDIT: &str = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";

fn get(listener: &Person, url: &str, file: &Path) -> Value {
    listener.json(&["get", url, "-o", file.to_str().expect("UTF-8")])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_voucher_is_lost_when_the_gateway_is_killed() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", &format!("{TIP}{CREDIT}"));
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&folder, &[]);
    assert_eq!((&shop.ready["items"], &shop.ready["payee"]), (&2.into(), &format!("{:#x}", creator.address).into()));
    let at = shop.address().to_owned();

    // Who may open the socket may redeem and close: its owner only.
    let mode = |name: &str| {
        let metadata = std::fs::metadata(folder.join(".farthing").join(name)).expect("is there");
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
    };
    assert_eq!((mode(""), mode("admin.sock"), mode("ledger.redb")), (0o700, 0o600, 0o600));
    assert_eq!((mode("ledger.journal-0"), mode("ledger.journal-1")), (0o600, 0o600));

    let song = world.folder.path().join("nocturne.wav");
    let url = format!("{}/songs/nocturne", shop.url);
    let got = get(&listener, &url, &song);
    assert_eq!((amount(&got["price"]), amount(&got["paid"])), (500_000, 500_000));
    assert_eq!((&got["bytes"], &got["mediaType"]), (&20_000.into(), &"audio/wav".into()));
    assert_eq!(got["receipt"]["item"], "/songs/nocturne");
    assert_eq!(std::fs::read(&song).expect("reads"), song_bytes("nocturne"));
    assert!(!song.with_extension("wav.part").exists());

    let tip = listener.json(&["tip", &shop.url, "0.25", "--message", "bravo"]);
    assert_eq!((amount(&tip["amount"]), &tip["thanks"]), (250_000, &"Thank you.".into()));
    assert_eq!(tip["receipt"]["item"], "/tip");

    shop.kill();
    let shop = creator.serve(&folder, &["--listen", &at]);
    // What was bought comes again and costs nothing.
    let again = get(&listener, &url, &world.folder.path().join("again.wav"));
    assert_eq!((amount(&again["price"]), amount(&again["paid"])), (500_000, 0));
    let got = get(&listener, &format!("{}/songs/minuet", shop.url), &world.folder.path().join("minuet.wav"));
    assert_eq!(amount(&got["paid"]), 500_000);

    let folder_name = folder.to_str().expect("UTF-8");
    let earned = creator.json(&["earnings", folder_name]);
    assert_eq!((amount(&earned["earned"]), &earned["itemsSold"]), (1_250_000, &3.into()));
    let channels = listener.json(&["balance"])["channels"].clone();
    assert_eq!((amount(&channels[0]["promised"]), amount(&channels[0]["redeemed"])), (1_250_000, 0));

    let redeemed = creator.json(&["redeem", folder_name]);
    assert_eq!((amount(&redeemed["paid"]), &redeemed["vouchers"]), (1_250_000, &1.into()));
    assert_eq!(redeemed["transactions"].as_array().map(Vec::len), Some(1), "only the last voucher");
    assert_eq!(amount(&creator.json(&["balance"])["wallet"]["token"]), 101_250_000);
    assert_eq!(amount(&listener.json(&["balance"])["account"]["balance"]), 3_750_000);
    assert_eq!(creator.json(&["redeem", folder_name])["transactions"], serde_json::json!([]), "nothing is due twice");
    assert_eq!(shop.stop(), 0, "SIGTERM is a graceful end");

    // The same ledger, with no gateway on it.
    assert_eq!(amount(&creator.json(&["earnings", folder_name])["earned"]), 1_250_000);
    assert_eq!(amount(&creator.json(&["redeem", folder_name])["paid"]), 0);
    assert!(creator.run(&["earnings", folder_name]).text().contains("earned      $1.25"));

    let history = listener.json(&["history"])["purchases"].clone();
    let states: Vec<_> = history.as_array().expect("a list").iter().map(|entry| entry["state"].clone()).collect();
    assert_eq!(states, ["bought", "bought", "bought"]);
    let text = listener.run(&["history"]);
    assert!(text.text().lines().all(|line| line.chars().count() <= 80), "{}", text.stdout);
    assert!(listener.run(&["balance"]).text().lines().all(|line| line.chars().count() <= 80));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_made_when_it_is_allowed_and_comes_back_after_the_delay() {
    let world = World::with_escrow(Some(1)).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("paper", "[reservation]\namount = \"$1\"\n");
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&folder, &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("a.wav");
    let file_name = file.to_str().expect("UTF-8");

    let ran = listener.run(&["--json", "get", &url, "-o", file_name]);
    assert!(ran.failed(12).contains("$1.00"), "{ran:?}");
    let ran = listener.run(&["--json", "get", &url, "-o", file_name, "--reserve", "0.99"]);
    ran.failed(12);
    assert!(!file.exists() && amount(&listener.json(&["balance"])["account"]["balance"]) == 5_000_000);

    let got = listener.json(&["get", &url, "-o", file_name, "--reserve", "1"]);
    assert_eq!((amount(&got["paid"]), got["transactions"].as_array().map(Vec::len)), (500_000, Some(1)));
    let balance = listener.json(&["balance"]);
    let channel = &balance["channels"][0];
    assert_eq!((amount(&balance["account"]["balance"]), amount(&channel["reserved"])), (4_000_000, 1_000_000));

    let more = listener.json(&["reserve", &shop.url, "0.25"]);
    assert_eq!((amount(&more["reserved"]), &more["channelId"]), (1_250_000, &channel["channelId"]));

    // The payer leaves; the gateway redeems by itself before the reservation can.
    let id = channel["channelId"].as_str().expect("an id");
    let requested = listener.json(&["request-close", id]);
    assert!(requested["closeAt"].is_string(), "{requested}");
    assert!(listener.run(&["finalize-close", id]).failed(10).contains("can be finalized from"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while amount(&listener.json(&["balance"])["channels"][0]["redeemed"]) == 0 {
        assert!(std::time::Instant::now() < deadline, "the gateway did not redeem");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let channel = listener.json(&["balance"])["channels"][0].clone();
    assert_eq!((amount(&channel["redeemed"]), amount(&channel["reserved"])), (500_000, 750_000));
    world.local.pass_time(&world.chain, 86_401).await.expect("a day passes");
    let finalized = listener.json(&["finalize-close", &shop.url]);
    assert_eq!(amount(&finalized["refunded"]), 750_000);
    let balance = listener.json(&["balance"]);
    assert_eq!(amount(&balance["wallet"]["token"]), 95_750_000);
    assert_eq!(amount(&creator.json(&["balance"])["wallet"]["token"]), 100_500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payee_gives_a_reservation_back_at_once() {
    let world = World::with_escrow(Some(1)).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("paper", "[reservation]\namount = \"$1\"\n");
    let folder_name = folder.to_str().expect("UTF-8");
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&folder, &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let file = world.folder.path().join("a.wav");
    listener.json(&["get", &url, "-o", file.to_str().expect("UTF-8"), "--reserve", "1"]);
    let earned = creator.json(&["earnings", folder_name]);
    let id = earned["channels"][0]["channelId"].as_str().expect("an id").to_owned();
    let closed = creator.json(&["close", &id, folder_name]);
    assert_eq!((amount(&closed["paid"]), amount(&closed["refunded"])), (500_000, 500_000));
    assert_eq!(amount(&listener.json(&["balance"])["wallet"]["token"]), 95_500_000);
    let ran = creator.run(&["--json", "close", &id, folder_name]);
    assert!(ran.failed(10).contains("nothing is reserved"), "{ran:?}");
    assert_eq!(shop.stop(), 0);
    let ran = creator.run(&["--json", "close", &id, folder_name]);
    assert!(ran.failed(10).contains("nothing is reserved"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_whole_and_never_overwritten() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", "");
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&folder, &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let here = world.folder.path().join("downloads");
    std::fs::create_dir(&here).expect("a folder");

    // What a killed process left is taken over.
    std::fs::write(here.join("nocturne.part"), "rest").expect("writes");
    for expected in ["nocturne.wav", "nocturne-2.wav"] {
        let ran = crate::world::run(listener.command(&["--json", "get", &url]).current_dir(&here)).json();
        assert_eq!(ran["file"], expected);
        assert_eq!(std::fs::read(here.join(expected)).expect("reads"), song_bytes("nocturne"));
    }
    std::fs::write(here.join("mine.wav"), "mine").expect("writes");
    let mine = here.join("mine.wav");
    let other = format!("{}/songs/minuet", shop.url);
    let ran = listener.run(&["--json", "get", &other, "-o", mine.to_str().expect("UTF-8")]);
    assert!(ran.failed(2).contains("exists already"), "{ran:?}");
    assert_eq!(std::fs::read(&mine).expect("reads"), b"mine");
    assert_eq!(amount(&listener.json(&["balance"])["channels"][0]["promised"]), 500_000, "nothing was paid for it");

    let output = listener.command(&["get", &url, "-o", "-"]).output().expect("runs");
    assert_eq!(output.stdout, song_bytes("nocturne"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("paid nothing now"));
    assert!(listener.run(&["--json", "get", &url, "-o", "-"]).failed(2).contains("--json"));

    // The data folder is not for sale.
    let catalog = folder.join("catalog.toml");
    let text = std::fs::read_to_string(&catalog).expect("reads");
    std::fs::write(&catalog, text.replace("minuet.wav", "data/minuet.wav")).expect("writes");
    std::fs::create_dir(folder.join("data")).expect("a folder");
    std::fs::write(folder.join("data/minuet.wav"), "x").expect("writes");
    let data = folder.join("data");
    let ran =
        creator.run(&["--json", "serve", folder.to_str().expect("UTF-8"), "--data", data.to_str().expect("UTF-8")]);
    assert!(ran.failed(2).contains("data folder"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_coin_pays_within_a_budget_that_was_set_by_hand() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let ether = |person: &Person, arguments: &[&str]| {
        let mut command = person.command(&[&["--json", "--token", "eth"], arguments].concat());
        crate::world::run(command.env_remove("FARTHING_DOLLAR"))
    };
    let folder = world.folder.path().join("ether");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("a.txt"), "text").expect("writes");
    let catalog = "name = \"E\"\n[[item]]\npath = \"/a\"\nfile = \"a.txt\"\ntitle = \"a\"\nprice = \"0.001 ETH\"\n\
                   [credit]\nlimit = \"0.01 ETH\"\nstrangers_per_day = \"0.1 ETH\"\n";
    std::fs::write(folder.join("catalog.toml"), catalog).expect("writes");
    let shop = creator.serve(&folder, &["--token", "eth", "--dollar=false"]);
    ether(&listener, &["deposit", "0.01"]).json();
    let url = format!("{}/a", shop.url);
    let file = world.folder.path().join("a.txt");
    let file = file.to_str().expect("UTF-8");

    let ran = ether(&listener, &["get", &url, "-o", file]);
    assert!(ran.failed(8).contains("no limits are set for ETH"), "{ran:?}");
    let set = ["budget", "--item", "0.001", "--site", "0.001", "--day", "0.002", "--reservation", "0"];
    let budgets = ether(&listener, &set).json()["budgets"].clone();
    assert_eq!(amount(&budgets[0]["day"]), 2_000_000_000_000_000);
    let got = ether(&listener, &["get", &url, "-o", file]).json();
    assert_eq!(amount(&got["paid"]), 1_000_000_000_000_000);
    let ran = ether(&listener, &["get", &url, "-o", &format!("{file}.2"), "--again", "--yes"]);
    assert!(ran.failed(8).contains("a day"), "{ran:?}");

    let redeemed = ether(&creator, &["redeem", folder.to_str().expect("UTF-8")]).json();
    assert_eq!(amount(&redeemed["paid"]), 1_000_000_000_000_000);
    assert_eq!(amount(&ether(&listener, &["balance"]).json()["account"]["balance"]), 9_000_000_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_buy_at_once_are_each_charged_once() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", &format!("{TIP}{CREDIT}"));
    listener.json(&["deposit", "5"]);
    let shop = creator.serve(&folder, &[]);
    let song = |name: &str| {
        let file = world.folder.path().join(name);
        listener.command(&["get", &format!("{}/songs/{name}", shop.url), "-o", file.to_str().expect("UTF-8")])
    };
    let mut commands = [song("nocturne"), song("minuet"), listener.command(&["tip", &shop.url, "0.25"])];
    let mut processes: Vec<_> = commands.iter_mut().map(|command| command.spawn().expect("runs")).collect();
    assert!(processes.iter_mut().all(|process| process.wait().expect("waits").success()));
    for name in ["nocturne", "minuet"] {
        assert_eq!(std::fs::read(world.folder.path().join(name)).expect("reads"), song_bytes(name));
    }
    let earned = creator.json(&["earnings", folder.to_str().expect("UTF-8")]);
    assert_eq!((&earned["itemsSold"], amount(&earned["earned"])), (&3.into(), 1_250_000));
    assert_eq!(earned["channels"].as_array().map(Vec::len), Some(1), "one channel for one payee");
    assert_eq!(amount(&earned["channels"][0]["accepted"]), 1_250_000);
}
