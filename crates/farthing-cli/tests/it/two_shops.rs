//! One creator, one wallet, two folders: each shop has its own ledger, and each is paid in full.

use crate::world::{World, amount};

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_of_one_wallet_are_both_paid_in_full() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    listener.json(&["deposit", "5"]);
    let credit = "[credit]\nlimit = \"$2\"\nfirst = \"$2\"\nstrangers_per_day = \"$20\"\n";
    let mut paid = 0;
    let folders = [world.creators_folder("first", credit), world.creators_folder("second", credit)];
    let shops: Vec<_> = folders.iter().map(|folder| creator.serve(folder, &[])).collect();
    for song in ["nocturne", "minuet"] {
        for (number, shop) in shops.iter().enumerate() {
            let file = world.folder.path().join(format!("{song}-{number}.wav"));
            let url = format!("{}/songs/{song}", shop.url);
            listener.json(&["get", &url, "-o", file.to_str().expect("UTF-8")]);
        }
    }
    for folder in &folders {
        paid += amount(&creator.json(&["redeem", folder.to_str().expect("UTF-8")])["paid"]);
    }
    assert_eq!(paid, 2_000_000);
    assert_eq!(amount(&creator.json(&["balance"])["wallet"]["token"]), 102_000_000);
}
