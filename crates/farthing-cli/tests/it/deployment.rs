//! One address on every chain, whoever deploys; and what the client does about any other.

use crate::world::World;
use alloy::providers::Provider;
use farthing::chain::Chain;
use farthing::core::Address;
use farthing::escrow::{Escrow, genuine_address};
use farthing::local_chain::{LocalChain, tethered};
use farthing::split::factory_address;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::process::Child;
use url::Url;

/// Another chain's id than the local one's.
const OTHER_CHAIN: u64 = 8_453;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An anvil that takes itself for another chain.
struct OtherChain {
    url: Url,
    chain: Chain,
    _process: Child,
}

impl OtherChain {
    async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let mut command = tethered(&LocalChain::anvil_in(&root()));
        command.args(["--port", &port.to_string(), "--chain-id", &OTHER_CHAIN.to_string(), "--quiet"]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("anvil starts");
        let url: Url = format!("http://127.0.0.1:{port}").parse().expect("a URL");
        for _ in 0..300 {
            if let Ok(chain) = Chain::connect_to(&url, Some(LocalChain::test_key(0)), OTHER_CHAIN).await {
                return Self { url, chain, _process: process };
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("anvil did not answer");
    }
}

/// Runs the deployment script with one of anvil's own accounts, which needs no key.
fn forge_script(url: &Url, exit_delay: Option<u64>, scratch: &Path) -> String {
    let mut command = Command::new(root().join("node_modules/.bin/forge"));
    command.args(["script", "script/Deploy.s.sol", "--rpc-url", url.as_str(), "--broadcast", "--unlocked", "--sender"]);
    command.arg(LocalChain::test_key(0).address().to_string()).current_dir(root());
    command.env("FOUNDRY_BROADCAST", scratch).env_remove("EXIT_DELAY");
    command.envs(exit_delay.map(|seconds| ("EXIT_DELAY", seconds.to_string())));
    let output = command.output().expect("forge runs; npm ci installs it");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    if output.status.success() { said } else { format!("failed: {said}") }
}

async fn chain_id_in(chain: &Chain, escrow: Address) -> u64 {
    use alloy::sol_types::SolCall;
    use farthing::escrow::bindings::Escrow::chainIdAtDeploymentCall;
    let request = alloy::rpc::types::TransactionRequest::default().to(escrow);
    let request = request.input(chainIdAtDeploymentCall {}.abi_encode().into());
    let answer = chain.call(request, Default::default()).await.expect("answers");
    chainIdAtDeploymentCall::abi_decode_returns(&answer).expect("a number").to()
}

/// The chain's id is a part of the code, but not of the code that creates it, which alone gives the address.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_addresses_on_two_chains_by_script_by_command_and_offline() {
    let (world, other) = (World::start(None).await, OtherChain::start().await);
    let scratch = world.folder.path().join("broadcast");
    let person = world.person("somebody").await;

    // A day: the command here, the script there. An hour: the other way round.
    let deployed = person.json(&["escrow", "deploy"]);
    assert_eq!(deployed["escrow"], format!("{:#x}", genuine_address(86_400)));
    let said = forge_script(&other.url, None, &scratch);
    assert!(said.contains(&format!("escrow {} deployed", genuine_address(86_400))), "{said}");
    assert!(said.contains(&format!("split factory {} deployed", factory_address())), "{said}");
    let said = forge_script(world.local.url(), Some(3_600), &scratch);
    assert!(said.contains(&format!("escrow {} deployed", genuine_address(3_600))), "{said}");
    let () = other
        .chain
        .provider()
        .raw_request("anvil_setBalance".into(), (person.address, "0xde0b6b3a7640000"))
        .await
        .expect("ether");
    let deployed = person.json(&["--rpc-url", other.url.as_str(), "escrow", "deploy", "--exit-delay", "3600"]);
    assert_eq!(deployed["escrow"], format!("{:#x}", genuine_address(3_600)));
    assert_eq!((&deployed["chainId"], &deployed["alreadyThere"]), (&OTHER_CHAIN.into(), &false.into()));

    for exit_delay in [86_400, 3_600] {
        let escrow = genuine_address(exit_delay);
        for (chain, id) in [(&world.chain, 31_337), (&other.chain, OTHER_CHAIN)] {
            let bound = Escrow::bind(chain.clone(), escrow).await.expect("is there");
            assert_eq!(bound.exit_delay().await.expect("answers"), exit_delay);
            assert_eq!(chain_id_in(chain, escrow).await, id, "each escrow knows its own chain");
        }
    }
    // The factory came with the script; a split of the same terms has the same address on both.
    let member = |byte| format!("{}=1", Address::repeat_byte(byte));
    let members = [member(1), member(2)];
    let split = ["split", "deploy", "--member", &members[0], "--member", &members[1]];
    let here = person.json(&split);
    let there = person.json(&[&["--rpc-url", other.url.as_str()], &split[..]].concat());
    assert_eq!(here["split"], there["split"]);
    assert_eq!(there["transactions"].as_array().map(Vec::len), Some(1), "the split alone");

    // A second time nothing is sent, by either.
    let sender = LocalChain::test_key(0).address();
    let before = other.chain.transactions_of(sender).await.expect("reads");
    let said = forge_script(&other.url, None, &scratch);
    assert_eq!(said.matches("already there").count(), 2, "{said}");
    assert_eq!(other.chain.transactions_of(sender).await.expect("reads"), before);
    assert_eq!(person.json(&["escrow", "deploy", "--exit-delay", "3600"])["alreadyThere"], true);
    let said = forge_script(&other.url, Some(60), &scratch);
    assert!(said.starts_with("failed") && said.contains("NotDeployed"), "{said}");
}

/// An address can be right and empty. Ether sent there would be gone.
#[tokio::test(flavor = "multi_thread")]
async fn ether_is_not_sent_to_an_escrow_that_is_not_there() {
    let world = World::start(None).await;
    let listener = world.person("listener").await;
    let before = world.chain.balance(listener.address).await.expect("reads");
    let deposit = ["--json", "deposit", "0.1", "--token", "eth", "--dollar=false"];
    let ran = listener.run(&deposit);
    assert!(ran.failed(4).contains("no contract"), "{ran:?}");
    let genuine = genuine_address(86_400);
    let ran = listener.run(&[&deposit[..], &["--escrow", &genuine.to_string()]].concat());
    assert!(ran.failed(4).contains("no contract"), "named or not: {ran:?}");
    assert_eq!(world.chain.balance(listener.address).await.expect("reads"), before);
    assert_eq!(world.chain.balance(genuine).await.expect("reads").base_units(), 0);
    assert_eq!(world.chain.transactions_of(listener.address).await.expect("reads"), 0);
    // Once it is there, the same command deposits.
    farthing::escrow::deploy(&world.chain, 86_400).await.expect("deploys");
    listener.run(&deposit).json();
    assert_eq!(world.chain.balance(genuine).await.expect("reads").base_units(), 100_000_000_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escrow_is_explained_and_a_wrong_one_has_an_exit_code() {
    let world = World::start(None).await;
    let listener = world.person("listener").await;
    let [day, week] = [86_400, 604_800].map(|exit_delay| genuine_address(exit_delay).to_string());
    let verify = |address: &str| listener.run(&["--json", "escrow", "verify", address]);
    let ran = verify(&day);
    assert!(ran.failed(4).contains("belongs at"), "{ran:?}");
    assert!(ran.stderr.contains("it would be lost"), "{ran:?}");
    assert!(verify(&week).failed(4).contains("no contract"), "of another exit delay than is asked for");
    for exit_delay in [86_400, 604_800] {
        farthing::escrow::deploy(&world.chain, exit_delay).await.expect("deploys");
    }
    let shown = verify(&day).json();
    assert_eq!(
        (&shown["genuine"], &shown["exitDelay"], &shown["chainId"]),
        (&true.into(), &86_400.into(), &31_337.into())
    );
    let ran = listener.run(&["escrow", "verify", &day]);
    assert!(ran.text().contains("comes back 1 day after you ask"), "{}", ran.stdout);
    assert!(ran.text().lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    let ran = verify(&world.token.address.to_string());
    assert!(ran.failed(8).contains("has no exit delay"), "{ran:?}");
    verify(&week).json();
    listener.run(&["budget", "--exit-delay-max", "6d"]).text();
    assert!(verify(&week).failed(8).contains("7 days is more than your 6 days"));

    // The escrow's very code at an address of somebody's choice, such as a copy with a back door would have.
    let code = world.chain.provider().get_code_at(genuine_address(86_400)).await.expect("reads");
    let copy = Address::repeat_byte(0x77);
    let () = world.chain.provider().raw_request("anvil_setCode".into(), (copy, code)).await.expect("sets");
    let ran = verify(&copy.to_string());
    assert!(ran.failed(8).contains(&format!("one with its exit delay is at {day}")), "{ran:?}");
}

/// A listener's own bound, whatever a creator prefers.
#[tokio::test(flavor = "multi_thread")]
async fn an_escrow_with_a_longer_exit_delay_than_the_listeners_is_not_paid_through() {
    let world = World::start(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let week = ["--exit-delay", "604800"];
    creator.json(&[&["escrow", "deploy"], &week[..]].concat());
    let credit = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";
    let shop = creator.serve(&world.creators_folder("records", credit), &week);
    let file = world.folder.path().join("a.wav");
    let url = format!("{}/songs/nocturne", shop.url);
    let get = || listener.run(&["--json", "get", &url, "-o", file.to_str().expect("UTF-8")]);

    let budget = listener.json(&["budget"]);
    assert_eq!(budget["exitDelayMax"], 2_592_000, "any genuine escrow, unless told otherwise");
    assert_eq!(listener.json(&["budget", "--exit-delay-max", "6d"])["exitDelayMax"], 518_400);
    let ran = listener.run(&[&["--json", "deposit", "5"], &week[..]].concat());
    assert!(ran.failed(8).contains("is 7 days, more than your 6 days"), "{ran:?}");
    assert_eq!(world.chain.transactions_of(listener.address).await.expect("reads"), 0);
    listener.run(&["budget", "--exit-delay-max", "7d"]).text();
    listener.json(&[&["deposit", "5"], &week[..]].concat());
    listener.run(&["budget", "--exit-delay-max", "36h"]).text();
    let ran = get();
    assert!(ran.failed(8).contains("604800 s, more than the 129600 s allowed"), "{ran:?}");
    assert!(ran.stderr.contains("farthing budget --exit-delay-max 604800s"), "{ran:?}");
    assert!(!file.exists());
    listener.run(&["budget", "--exit-delay-max", "604800s"]).text();
    get().json();
    listener.run(&["--json", "budget", "--exit-delay-max", "7"]).failed(2);
}

/// An escrow that is not the genuine one may do anything with what it is given, whatever it answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_escrow_that_is_not_genuine_is_paid_through_only_if_its_owner_names_it() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let code = world.chain.provider().get_code_at(genuine_address(86_400)).await.expect("reads");
    let copy = Address::repeat_byte(0x77);
    let () = world.chain.provider().raw_request("anvil_setCode".into(), (copy, code)).await.expect("sets");
    let named = ["--escrow", &copy.to_string()];
    let credit = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";
    let shop = creator.serve(&world.creators_folder("records", credit), &named);
    let file = world.folder.path().join("a.wav");
    let url = format!("{}/songs/nocturne", shop.url);
    let get = ["--json", "get", &url, "-o", file.to_str().expect("UTF-8")];
    let deposited = listener.run(&[&["--json", "deposit", "5"], &named[..]].concat());
    assert!(deposited.stderr.contains("is not a genuine escrow; it is used because you named it"), "{deposited:?}");
    let ran = listener.run(&get);
    assert!(ran.failed(8).contains("is not a genuine escrow"), "{ran:?}");
    assert!(ran.stderr.contains("--escrow"), "{ran:?}");
    assert!(!file.exists());
    listener.run(&[&get[..], &named].concat()).json();
    assert!(file.exists());
}
