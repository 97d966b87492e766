//! A gateway that sees its chain through several nodes.

use crate::world::{World, amount};
use farthing_testkit::RpcProxy;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_sells_while_one_of_its_nodes_is_dead_and_says_which() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", "");
    listener.json(&["deposit", "5"]);
    let proxy = RpcProxy::start(world.local.url()).await;
    let (alive, dead) = (proxy.websocket_url(), "http://user:hunter2@127.0.0.1:1/secret-key");
    let mut command = creator.serving(&folder, &["--required-nodes", "2"]);
    command.env("FARTHING_WATCH_RPCS", format!("{alive}, {dead}"));
    let log = world.folder.path().join("serve.log");
    let shop = crate::world::Shop::open(command, std::fs::File::create(&log).expect("creates")).expect("opens");
    let nodes = shop.ready["nodes"].as_array().expect("an array").clone();
    let troubled: Vec<bool> = nodes.iter().map(|node| node.get("trouble").is_some()).collect();
    assert_eq!(troubled, [false, false, true], "{nodes:?}");
    assert_eq!(nodes[2]["node"], json!("http://127.0.0.1:1"));

    let song = world.folder.path().join("nocturne.wav");
    let url = format!("{}/songs/nocturne", shop.url);
    let got = listener.json(&["get", &url, "-o", song.to_str().expect("UTF-8")]);
    assert_eq!(amount(&got["paid"]), 500_000);
    assert_eq!(shop.stop(), 0);
    let log = std::fs::read_to_string(&log).expect("reads");
    assert_eq!(log.matches("the node is left out").count(), 1, "{log}");
    assert!(!log.contains("hunter2") && !log.contains("secret-key"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_can_not_be_are_refused_without_repeating_them() {
    let world = World::with_escrow(None).await;
    let creator = world.person("creator").await;
    let folder = world.creators_folder("records", "");
    let folder = folder.to_str().expect("UTF-8");
    for (more, said) in [
        (["--required-nodes", "2"], "2 nodes have to answer, and 1 are named"),
        (["--watch-rpc", "ftp://secret-key"], "the URL of node 1 to watch by can't be used: it is no URL of a node"),
        (["--watch-rpc", "secret-key"], "the URL of node 1 to watch by can't be used"),
    ] {
        let ran = creator.run(&["serve", folder, more[0], more[1]]);
        let error = ran.failed(2);
        assert!(error.starts_with(said) && !ran.stderr.contains("secret-key"), "{ran:?}");
    }
}
