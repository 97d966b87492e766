//! Payees that are not the gateway's wallet: splits, and keys that are kept offline.

use crate::world::{Person, Ran, Shop, World, amount};
use farthing::core::Address;
use serde_json::Value;
use std::path::{Path, PathBuf};

const RESERVATION: &str = "[reservation]\namount = \"$1\"\n";
const CREDIT: &str = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";

/// Three people in ascending order of their addresses.
async fn members(world: &World) -> Vec<Person> {
    let mut members = Vec::new();
    for name in ["singer", "fiddler", "drummer"] {
        members.push(world.person(name).await);
    }
    members.sort_by_key(|member| member.address);
    members
}

fn deploy(operator: &Person, members: &[Person], shares: &[u64]) -> Value {
    let members: Vec<String> =
        members.iter().zip(shares).map(|(member, shares)| format!("{}={shares}", member.address)).collect();
    let mut arguments = vec!["split", "deploy"];
    arguments.extend(members.iter().flat_map(|member| ["--member", member]));
    operator.json(&arguments)
}

fn buy(listener: &Person, shop: &Shop, song: &str, folder: &Path, more: &[&str]) -> Value {
    let (url, file) = (format!("{}/songs/{song}", shop.url), folder.join(song));
    listener.json(&[&["get", &url, "-o", file.to_str().expect("UTF-8")], more].concat())
}

fn dollars(person: &Person) -> u128 {
    amount(&person.json(&["balance"])["wallet"]["token"])
}

fn is_narrow(ran: &Ran) {
    assert!(ran.text().lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_sells_as_a_payee_and_its_members_take_their_parts() {
    let world = World::with_escrow(Some(1)).await;
    let (listener, operator, band) =
        (world.person("listener").await, world.person("operator").await, members(&world).await);
    let deployed = deploy(&operator, &band, &[50, 50, 50]);
    let split = deployed["split"].as_str().expect("an address").to_owned();
    assert_eq!(
        (&deployed["alreadyThere"], deployed["transactions"].as_array().map(Vec::len)),
        (&false.into(), Some(2))
    );
    assert_eq!(deployed["members"][0], serde_json::json!({ "account": band[0].address, "shares": 1 }));
    let again = deploy(&operator, &band, &[1, 1, 1]);
    assert_eq!((&again["split"], &again["alreadyThere"]), (&deployed["split"], &true.into()), "the same parts");

    let folder = world.creators_folder("band", RESERVATION);
    let folder_name = folder.to_str().expect("UTF-8");
    let shop = operator.serve(&folder, &["--payee", &split]);
    assert_eq!((&shop.ready["payee"], &shop.ready["receiptKey"]), (&deployed["split"], &deployed["receiptKey"]));
    listener.json(&["deposit", "5"]);
    let bought = buy(&listener, &shop, "nocturne", world.folder.path(), &["--reserve", "1"]);
    assert_eq!(bought["receipt"]["delegation"]["proof"], "split", "the receipt holds, and has its proof with it");
    assert_eq!(bought["receipt"]["delegation"]["receiptKey"], deployed["receiptKey"]);

    let earned = operator.json(&["earnings", folder_name]);
    assert_eq!(earned["payee"], deployed["split"]);
    let channel = earned["channels"][0]["channelId"].as_str().expect("an id");
    let closed = operator.json(&["close", channel, folder_name]);
    assert_eq!((amount(&closed["paid"]), amount(&closed["refunded"])), (500_000, 500_000), "closed by the operator");
    assert_eq!(dollars(&operator), 100_000_000, "the split is paid, not who sends");

    let shown = operator.json(&["split", "show", &split]);
    let parts = shown["tokens"][0]["parts"].as_array().expect("a list").clone();
    let due: Vec<u128> = parts.iter().map(|part| amount(&part["due"])).collect();
    assert_eq!((due, amount(&shown["tokens"][0]["due"])), (vec![166_667, 166_667, 166_666], 500_000));
    is_narrow(&operator.run(&["split", "show", &split]));

    // One takes its own part, one sends it elsewhere, anyone sends the rest.
    let first = band[0].address.to_string();
    let released = band[0].json(&["split", "release", &split, "--member", &first]);
    assert_eq!((amount(&released["released"][0]["amount"]), dollars(&band[0])), (166_667, 100_166_667));
    let elsewhere = world.pauper("elsewhere");
    let ran = listener.run(&["--json", "split", "release", &split, "--to", &elsewhere.address.to_string()]);
    assert!(ran.failed(2).contains("not a member"), "{ran:?}");
    band[1].json(&["split", "release", &split, "--to", &elsewhere.address.to_string()]);
    assert_eq!((dollars(&elsewhere), dollars(&band[1])), (166_667, 100_000_000));
    let rest = listener.json(&["split", "release", &split]);
    assert_eq!((rest["released"].as_array().map(Vec::len), dollars(&band[2])), (Some(1), 100_166_666));
    assert_eq!(listener.json(&["split", "release", &split])["transactions"], serde_json::json!([]));
    assert_eq!(listener.run(&["split", "release", &split]).text(), "nothing is due");
    assert_eq!(amount(&listener.json(&["split", "show", &split])["tokens"][0]["released"]), 500_000);
    assert_eq!(shop.stop(), 0);
}

/// Writes what a payee signs for a gateway, without any chain at hand.
fn delegation(payee: &Person, gateway: Address, file: PathBuf) -> PathBuf {
    let arguments =
        ["operator", "delegate", &gateway.to_string(), "--chain-id", "31337", "--rpc-url", "http://127.0.0.1:1"];
    std::fs::write(&file, payee.json(&arguments).to_string()).expect("writes");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_gateway_key_works_for_a_payee_whose_key_is_offline() {
    let world = World::with_escrow(Some(1)).await;
    let (listener, gateway, payee) =
        (world.person("listener").await, world.person("gateway").await, world.person("payee").await);
    let payee_address = payee.address.to_string();
    let folder = world.creators_folder("records", RESERVATION);
    let folder_name = folder.to_str().expect("UTF-8");
    let file = delegation(&payee, gateway.address, world.folder.path().join("delegation.json"));
    let file = file.to_str().expect("UTF-8");
    let shop = gateway.serve(&folder, &["--payee", &payee_address, "--delegation", file]);
    assert_eq!(shop.ready["payee"], format!("{:#x}", payee.address));
    listener.json(&["deposit", "5"]);
    let bought = buy(&listener, &shop, "nocturne", world.folder.path(), &["--reserve", "1"]);
    assert_eq!(bought["receipt"]["delegation"]["proof"], "signature");

    let earned = gateway.json(&["earnings", folder_name]);
    let channel = earned["channels"][0]["channelId"].as_str().expect("an id");
    let ran = gateway.run(&["--json", "close", channel, folder_name]);
    assert!(ran.failed(3).contains("and its operators can close"), "{ran:?}");
    assert!(ran.stderr.contains(&format!("farthing operator set {}", gateway.address)), "{ran:?}");
    assert_eq!(amount(&gateway.json(&["redeem", folder_name])["paid"]), 500_000, "anyone may redeem");
    assert_eq!((dollars(&payee), dollars(&gateway)), (100_500_000, 100_000_000));

    let key = gateway.address.to_string();
    let show = ["operator", "show", &key, "--payee", &payee_address];
    assert_eq!(listener.json(&show)["allowed"], false);
    assert_eq!(payee.json(&["operator", "set", &key])["transactions"].as_array().map(Vec::len), Some(1));
    assert_eq!(payee.json(&["operator", "set", &key])["transactions"], serde_json::json!([]), "it is already");
    assert_eq!(listener.json(&show)["allowed"], true);
    let show_all = ["operator", "show", "--payee", &payee_address];
    assert_eq!(listener.json(&show_all)["operators"], serde_json::json!([format!("{:#x}", gateway.address)]));
    let closed = gateway.json(&["close", channel, folder_name]);
    assert_eq!((amount(&closed["paid"]), amount(&closed["refunded"])), (0, 500_000));
    assert_eq!(dollars(&listener), 95_500_000, "5 deposited, of which a half came back at the close");
    payee.json(&["operator", "set", &key, "--revoke"]);
    assert_eq!(listener.json(&show)["allowed"], false);
    assert_eq!(listener.json(&show_all)["operators"], serde_json::json!([]), "taken back");
    assert!(payee.run(&["--json", "operator", "set", &payee_address]).failed(2).contains("itself"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_with_receipts_that_nobody_would_take() {
    let world = World::with_escrow(None).await;
    let (gateway, payee, stranger) =
        (world.person("gateway").await, world.person("payee").await, world.person("stranger").await);
    let folder = world.creators_folder("records", CREDIT);
    let folder_name = folder.to_str().expect("UTF-8").to_owned();
    let serve = |payee: &str, more: &[&str]| {
        let listen = ["--listen", "127.0.0.1:0", "--payee", payee];
        gateway.run(&[&["--json", "serve", &folder_name], &listen[..], more].concat())
    };
    let payee_address = payee.address.to_string();
    let ran = serve(&payee_address, &[]);
    assert!(ran.failed(8).contains("nothing says that its receipts are the payee's"), "{ran:?}");
    assert!(ran.stderr.contains("farthing --json operator delegate"), "{ran:?}");
    let of_other = delegation(&payee, stranger.address, world.folder.path().join("other.json"));
    let ran = serve(&payee_address, &["--delegation", of_other.to_str().expect("UTF-8")]);
    assert!(ran.failed(8).contains("are signed by"), "{ran:?}");
    let by_other = delegation(&stranger, gateway.address, world.folder.path().join("by-other.json"));
    let ran = serve(&payee_address, &["--delegation", by_other.to_str().expect("UTF-8")]);
    assert!(ran.failed(8).contains("is signed by"), "{ran:?}");
    let garbage = world.folder.path().join("garbage.json");
    std::fs::write(&garbage, "{}").expect("writes");
    serve(&payee_address, &["--delegation", garbage.to_str().expect("UTF-8")]).failed(2);

    // A contract that is no split, and a split that names another receipt key.
    let ran = serve(&world.token.address.to_string(), &[]);
    assert!(ran.failed(8).contains("not a genuine split"), "{ran:?}");
    let split = deploy(&stranger, &members(&world).await, &[1, 1, 1])["split"].as_str().expect("an address").to_owned();
    let ran = serve(&split, &[]);
    assert!(ran.failed(8).contains("are signed by"), "{ran:?}");
    assert!(!folder.join(".farthing/ledger.redb").exists(), "no ledger was begun for a payee that can't be served");
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_no_split_can_have_are_refused_before_anything_is_sent() {
    let world = World::with_escrow(None).await;
    let (operator, band) = (world.person("operator").await, members(&world).await);
    let before = world.chain.transactions_of(operator.address).await.expect("reads");
    let [first, second] = [&band[0], &band[1]].map(|member| member.address.to_string());
    for members in [
        vec![format!("{first}=1")],
        vec![format!("{first}=1"), format!("{first}=1")],
        vec![format!("{first}=1"), format!("{second}=0")],
        vec![format!("{first}=1"), format!("{second}=10000")],
        vec![format!("{first}"), format!("{second}=1")],
        vec![format!("{first}=half"), format!("{second}=1")],
    ] {
        let mut arguments = vec!["--json", "split", "deploy"];
        arguments.extend(members.iter().flat_map(|member| ["--member", member]));
        operator.run(&arguments).failed(2);
    }
    operator.run(&["--json", "split", "show", &first]).failed(4);
    let ran = operator.run(&["--json", "split", "show", &world.token.address.to_string()]);
    assert!(ran.failed(8).contains("not a genuine split"), "{ran:?}");
    assert_eq!(world.chain.transactions_of(operator.address).await.expect("reads"), before);
}

/// A stolen operator's key can close; the gateway says so when it was not the one that did.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_warns_of_a_close_that_it_did_not_send() {
    let world = World::with_escrow(Some(1)).await;
    let (listener, gateway, payee, thief) = (
        world.person("listener").await,
        world.person("gateway").await,
        world.person("payee").await,
        world.person("thief").await,
    );
    let folder = world.creators_folder("records", RESERVATION);
    let folder_name = folder.to_str().expect("UTF-8");
    let (key, payee_address) = (gateway.address.to_string(), payee.address.to_string());
    payee.json(&["operator", "set", &key]);
    let file = delegation(&payee, gateway.address, world.folder.path().join("delegation.json"));
    let log_path = world.folder.path().join("log");
    let log = std::fs::File::create(&log_path).expect("a log");
    let options = ["--payee", &payee_address, "--delegation", file.to_str().expect("UTF-8")];
    let shop = gateway.serve_and_log(&folder, &options, log);
    let wait_for_log = |words: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let log = std::fs::read_to_string(&log_path).expect("reads");
            if log.contains(words) {
                return log;
            }
            assert!(std::time::Instant::now() < deadline, "{words:?} is not in the log: {log}");
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    };
    listener.json(&["deposit", "5"]);
    buy(&listener, &shop, "nocturne", world.folder.path(), &["--reserve", "1"]);
    let channel =
        gateway.json(&["earnings", folder_name])["channels"][0]["channelId"].as_str().expect("an id").to_owned();
    gateway.json(&["close", &channel, folder_name]);

    // A payer that takes its reservation back in its own time is no news either.
    listener.json(&["reserve", &shop.url, "1"]);
    listener.json(&["request-close", &channel]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    world.local.pass_time(&world.chain, 86_401).await.expect("a day passes");
    assert_eq!(amount(&listener.json(&["finalize-close", &channel])["refunded"]), 1_000_000);

    // Another reservation, and a close by a key that was appointed behind the gateway's back.
    listener.json(&["reserve", &shop.url, "2"]);
    payee.json(&["operator", "set", &thief.address.to_string()]);
    let log = wait_for_log("operators have changed");
    assert!(!log.contains("not by this gateway"), "its own close is no news, nor the payer's: {log}");
    close_empty_handed(&world, &thief, &listener, &payee, &channel).await;
    let log = wait_for_log("not by this gateway");
    assert!(log.contains(&channel) && log.contains("refunded=2000000"), "{log}");
    assert_eq!(dollars(&payee), 100_500_000, "not a base unit less than before");
}

/// Closes a channel without a voucher, as only the payee and its operators can.
async fn close_empty_handed(world: &World, thief: &Person, listener: &Person, payee: &Person, channel: &str) {
    use alloy::sol_types::SolCall;
    use farthing::escrow::bindings::Escrow as abi;
    let key = farthing::PrivateKeySigner::decrypt_keystore(thief.keystore(), crate::world::PASSWORD).expect("opens");
    let chain = world.local.connect(key).await.expect("connects");
    let escrow = farthing::escrow::genuine_address(86_400);
    let filter = alloy::rpc::types::Filter::new()
        .address(escrow)
        .from_block(0)
        .topic1(channel.parse::<farthing::core::B256>().expect("an id"));
    let logs = alloy::providers::Provider::get_logs(chain.provider(), &filter).await.expect("answers");
    let reserved =
        logs.iter().find_map(|log| log.log_decode::<abi::Reserved>().ok()).expect("the first reservation").inner.data;
    let terms = abi::Channel {
        payer: listener.address,
        payee: payee.address,
        token: reserved.token,
        salt: reserved.salt,
        authorizedSigner: reserved.authorizedSigner,
    };
    let call = abi::closeCall { channel: terms, cumulativeAmount: 0, signature: Default::default() };
    let request = alloy::rpc::types::TransactionRequest::default().to(escrow).input(call.abi_encode().into());
    chain.send(request).await.expect("closes");
}

/// A gateway goes on selling when its delegation has expired, since the items are good; but its owner is told.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_says_that_its_delegation_has_expired() {
    let world = World::with_escrow(None).await;
    let (listener, gateway, payee) =
        (world.person("listener").await, world.person("gateway").await, world.person("payee").await);
    let key = farthing::PrivateKeySigner::decrypt_keystore(payee.keystore(), crate::world::PASSWORD).expect("opens");
    let deployment = farthing::core::Deployment { chain_id: 31_337, escrow: farthing::escrow::genuine_address(86_400) };
    let soon = farthing::clock::now().plus_seconds(8);
    let signed = farthing::delegation::delegate(&key, gateway.address, soon, deployment).expect("signs");
    let file = world.folder.path().join("delegation.json");
    std::fs::write(&file, serde_json::to_string(&signed).expect("writes")).expect("writes");
    let log_path = world.folder.path().join("log");
    let folder = world.creators_folder("records", CREDIT);
    let options = ["--payee", &payee.address.to_string(), "--delegation", file.to_str().expect("UTF-8")];
    let shop = gateway.serve_and_log(&folder, &options, std::fs::File::create(&log_path).expect("a log"));
    let log = || std::fs::read_to_string(&log_path).expect("reads");
    assert!(log().contains("receipts by this wallet are no good") && !log().contains("has expired"), "{}", log());
    listener.json(&["deposit", "5"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !log().contains("has expired") {
        assert!(std::time::Instant::now() < deadline, "{}", log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let file = world.folder.path().join("nocturne");
    let url = format!("{}/songs/nocturne", shop.url);
    let ran = listener.run(&["--json", "get", &url, "-o", file.to_str().expect("UTF-8")]);
    assert!(ran.json()["receipt"].is_null(), "no proof, and the item all the same");
    assert!(ran.stderr.contains("the delegation expired at"), "{ran:?}");
    drop(shop);
    let ran = gateway.run(
        &[&["--json", "serve", folder.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"], &options[..]].concat(),
    );
    assert!(ran.failed(8).contains("the delegation expired at"), "it does not start with it: {ran:?}");
}
