//! What a listener's purse pays.

use crate::world::{Person, World, amount, run};
use farthing::core::{Address, Amount};
use farthing::local_chain::{deploy_demo_dollar, mint_demo_dollars};
use std::process::Command;

const CREDIT: &str = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";

/// A second token, of which a person has a hundred.
async fn other_token(world: &World, person: &Person) -> Address {
    let (token, _) = deploy_demo_dollar(&world.chain).await.expect("deploys");
    mint_demo_dollars(&world.chain, token.address, person.address, Amount::new(100_000_000)).await.expect("mints");
    token.address
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
