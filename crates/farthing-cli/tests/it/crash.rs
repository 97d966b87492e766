//! The gateway killed with SIGKILL at random moments while people buy: what was served is in the ledger.

use crate::world::{Person, Shop, World, amount};
use farthing::core::{Amount, Token};
use farthing::payee::{EmbeddedStore, LedgerIdentity, PayeeStore};
use farthing::payer::{FetchOptions, Payer, PayerOptions, PayerStore, Policy};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ROUNDS: u32 = 12;
const BUYERS: u32 = 4;
pub(crate) const CREDIT: &str = "[credit]\nlimit = \"$90\"\nfirst = \"$90\"\nstrangers_per_day = \"$90\"\n";

/// The listener's own key in the SDK, with its account's $90 to spend.
pub(crate) async fn payer(world: &World, listener: &Person) -> Payer {
    let key = farthing::PrivateKeySigner::decrypt_keystore(listener.keystore(), crate::world::PASSWORD).expect("opens");
    let store = PayerStore::open(world.folder.path().join("sdk.store")).await.expect("opens");
    let mut policy = Policy::default();
    let dollar: Token = world.token.clone();
    let limits = policy.know(world.chain.chain_id(), dollar);
    (limits.site_per_day, limits.day) = (Amount::new(90_000_000), Amount::new(90_000_000));
    let payer = Payer::new(PayerOptions::new(key, store).with_policy(policy)).expect("a payer");
    let escrow = farthing::escrow::genuine_address(farthing::escrow::EXIT_DELAY_DEFAULT);
    let deployment = farthing::core::Deployment { chain_id: world.chain.chain_id(), escrow };
    payer.record_deposit(deployment, world.token.address).await.expect("records");
    payer
}

/// Buys the same song again and again, and keeps the receipts of what was served. After a failure it does what a person
/// would: asks for the same again, which sends the same voucher.
async fn buy_until(payer: Payer, url: String, stop: Arc<AtomicBool>, served: Arc<Mutex<BTreeSet<Amount>>>) {
    let mut buy_again = true;
    while !stop.load(Ordering::SeqCst) {
        let options = FetchOptions { buy_again, ..FetchOptions::default() };
        let Ok(mut purchase) = payer.fetch_with(&url, &options).await else {
            buy_again = false;
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        buy_again = true;
        let receipt = purchase.receipt.take().expect("what is paid for comes with a receipt");
        while let Ok(Some(_)) = purchase.body.chunk().await {}
        served.lock().expect("not poisoned").insert(receipt.receipt.cumulative_amount);
    }
}

fn restart(creator: &Person, folder: &Path, shop: Shop) -> Shop {
    let at = shop.address().to_owned();
    shop.kill();
    creator.serve(folder, &["--listen", &at])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_served_is_in_the_ledger_whenever_the_gateway_is_killed() {
    let world = World::with_escrow(None).await;
    let (listener, creator) = (world.person("listener").await, world.person("creator").await);
    let folder = world.creators_folder("records", CREDIT);
    listener.json(&["deposit", "90"]);
    let mut shop = creator.serve(&folder, &[]);
    let url = format!("{}/songs/nocturne", shop.url);
    let payer = payer(&world, &listener).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let mut buyers = tokio::task::JoinSet::new();
    for _ in 0..BUYERS {
        buyers.spawn(buy_until(payer.clone(), url.clone(), Arc::clone(&stop), Arc::clone(&served)));
    }
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(60 + u64::from(round * 37 % 11) * 17)).await;
        shop = tokio::task::block_in_place(|| restart(&creator, &folder, shop));
    }
    stop.store(true, Ordering::SeqCst);
    buyers.join_all().await;
    let folder_name = folder.to_str().expect("UTF-8");
    let redeemed = amount(&creator.json(&["redeem", folder_name])["paid"]);
    let channel_id = creator.json(&["earnings", folder_name])["channels"][0]["channelId"].clone();
    assert_eq!(shop.stop(), 0);

    let identity = LedgerIdentity {
        deployment: farthing::core::Deployment {
            chain_id: world.chain.chain_id(),
            escrow: farthing::escrow::genuine_address(farthing::escrow::EXIT_DELAY_DEFAULT),
        },
        payee: creator.address,
        token: world.token.address,
    };
    let ledger = std::fs::read_dir(folder.join(".farthing"))
        .expect("the data folder")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "redb"))
        .expect("a ledger");
    let store = EmbeddedStore::open(&ledger, &identity).expect("opens");
    let channel_id = farthing::core::ChannelId(channel_id.as_str().expect("an id").parse().expect("an id"));
    let served = served.lock().expect("not poisoned").clone();
    assert!(served.len() > ROUNDS as usize, "only {} were served", served.len());
    for cumulative_amount in served.iter() {
        let charge = store.charge(channel_id, *cumulative_amount).await.expect("reads");
        assert!(charge.is_some(), "the voucher for {cumulative_amount} was served and is not in the ledger");
    }
    let spent = store.books(channel_id).await.expect("reads").expect("books").spent.base_units();
    assert!(spent >= 500_000 * served.len() as u128);
    // A voucher whose request died on its way leaves a gap: what is due is redeemed up to the nearest voucher.
    assert!(redeemed > 0 && redeemed <= spent, "{redeemed} of {spent}");
}
