//! Kills, copies and several processes at once: rules 14, 21 and 22.

use super::child::Process;
use super::peer::{Peer, Reply, Shop, cents, deployment, token};
use super::{Home, payer_at, plenty, refused_with};
use farthing::core::wire::ProblemType;
use farthing::core::{Amount, B256, ChannelId};
use farthing::payer::{PayerStore, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Vouchers that were sent for more than one item.
fn shared(peer: &Peer) -> Vec<(ChannelId, Amount)> {
    let mut items: BTreeMap<(ChannelId, Amount), BTreeSet<String>> = BTreeMap::new();
    for (channel, amount, path) in peer.vouchers() {
        items.entry((channel, amount)).or_default().insert(path);
    }
    items.into_iter().filter(|(_, paths)| paths.len() > 1).map(|(voucher, _)| voucher).collect()
}

fn urls(peer: &Peer, kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| peer.url(&format!("/{kind}/{number}"))).collect()
}

async fn hear_all(processes: Vec<Process>) -> Vec<String> {
    let heard = processes.into_iter().map(|mut process| tokio::task::spawn_blocking(move || process.hear(usize::MAX)));
    let mut said = Vec::new();
    for process in heard.collect::<Vec<_>>() {
        said.extend(process.await.expect("ends"));
    }
    said
}

fn epoch_of(store: &Path) -> PathBuf {
    store.with_extension("store.epoch")
}

/// Copies a store and the file beside it, as a backup of the directory does.
fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("copies");
    std::fs::copy(epoch_of(from), epoch_of(to)).expect("copies");
}

/// Makes a copy as a snapshot of the whole disk would: not even the files' births differ.
fn make_indistinguishable(store: &Path) {
    let epoch = epoch_of(store);
    let mut witness: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&epoch).expect("reads")).expect("is JSON");
    witness["born"] = serde_json::Value::Null;
    std::fs::write(&epoch, witness.to_string()).expect("writes");
}

// 14
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_sign_one_amount_for_two_items() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer().await.fetch(&peer.url("/first")).await.expect("buys");
    let process = |kind: &str| Process::fetching(&home.path(), &home.signer, &urls(&peer, kind, 12), false);
    let said = hear_all(vec![process("one"), process("two"), process("three")]).await;
    assert_eq!(said.iter().filter(|line| line.starts_with("bought")).count(), 36, "{said:?}");
    assert_eq!(shared(&peer), []);
    let amounts: BTreeSet<_> = peer.sales().into_iter().map(|sale| (sale.0, sale.1)).collect();
    assert_eq!(amounts.len(), 37, "one channel, and each amount once");
    assert_eq!(peer.redeemable(), cents(37 * 50));
}

// 14
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_fetch_the_same_pay_once() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer().await.fetch(&peer.url("/first")).await.expect("buys");
    let process = || Process::fetching(&home.path(), &home.signer, &urls(&peer, "same", 12), false);
    let said = hear_all(vec![process(), process(), process()]).await;
    assert_eq!(said.iter().filter(|line| line.starts_with("bought")).count(), 36, "{said:?}");
    sold_each_item_once(&peer);
    assert_eq!(peer.sales().len(), 13);
}

// 14: the control. Two stores that can't know of each other do share amounts, so the check above can fail.
#[tokio::test(flavor = "multi_thread")]
async fn two_copies_that_can_not_be_told_apart_do_share_an_amount_until_renewed() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer().await.fetch(&peer.url("/first")).await.expect("buys");
    let twin = home.directory.path().join("twin.store");
    copy(&home.path(), &twin);
    make_indistinguishable(&twin);
    home.payer().await.fetch(&peer.url("/here")).await.expect("buys");
    let payer = payer_at(twin.clone(), home.signer.clone(), plenty).await;
    let error = payer.fetch(&peer.url("/there")).await.expect_err("the voucher has paid for /here");
    assert_eq!(refused_with(&error), Some(ProblemType::DeltaTooSmall), "{error}");
    assert_eq!(shared(&peer).len(), 1);
    assert_eq!(peer.redeemable(), cents(100), "it costs nothing");
    payer.store().renew_channels().await.expect("renews");
    payer.fetch(&peer.url("/there")).await.expect("buys");
    assert_eq!(peer.sales().len(), 3);
}

// 14
#[tokio::test]
async fn a_restored_or_copied_store_draws_new_salts_and_leaves_the_old_channels() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer_with(plenty).await;
    payer.fetch(&peer.url("/1")).await.expect("buys");
    let salt = |store: PayerStore| async move {
        let channels = store.channels().await.expect("reads");
        let live: Vec<B256> = channels.iter().filter(|c| !c.retired).map(|c| c.channel.salt).collect();
        assert_eq!(live.len(), 1);
        live[0]
    };
    let first = salt(home.store().await).await;
    let backup = home.directory.path().join("backup.store");
    copy(&home.path(), &backup);
    for path in ["/2", "/3"] {
        payer.fetch(&peer.url(path)).await.expect("buys");
    }
    // Control: without a restored backup the salt stays.
    assert_eq!(salt(home.store().await).await, first);

    // The store alone is restored, in place.
    std::fs::copy(&backup, home.path()).expect("restores");
    home.payer_with(plenty).await.fetch(&peer.url("/4")).await.expect("buys");
    let second = salt(home.store().await).await;
    assert_ne!(second, first);
    // The whole directory is.
    copy(&backup, &home.path());
    home.payer_with(plenty).await.fetch(&peer.url("/5")).await.expect("buys");
    let third = salt(home.store().await).await;
    assert!(third != first && third != second);
    // The backup is opened as it is, on another device as it were.
    payer_at(backup.clone(), home.signer.clone(), plenty).await.fetch(&peer.url("/6")).await.expect("buys");
    assert!(![first, second, third].contains(&salt(PayerStore::open(&backup).await.expect("opens")).await));
    // Without the file beside it.
    let alone = home.directory.path().join("alone.store");
    std::fs::copy(&backup, &alone).expect("copies");
    payer_at(alone, home.signer.clone(), plenty).await.fetch(&peer.url("/7")).await.expect("buys");

    assert_eq!(shared(&peer), []);
    assert_eq!(peer.sales().len(), 7, "and every one of them was served at once");
    // What was bought before the backup is still fetched for its old voucher.
    let again = home.payer().await.fetch(&peer.url("/1")).await.expect("fetches");
    assert_eq!(again.paid_now, Amount::ZERO);
}

// 14: a promise was durable and the file beside the store was not. The retry must write the file before it signs, or a
// backup from before that promise would agree with it.
#[tokio::test]
async fn a_crash_before_the_epochs_file_is_made_good_before_the_retry_signs() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer_with(plenty).await;
    payer.fetch(&peer.url("/1")).await.expect("buys");
    let [backup, saved] = ["backup.store", "saved.epoch"].map(|name| home.directory.path().join(name));
    std::fs::copy(home.path(), &backup).expect("copies");
    std::fs::hard_link(epoch_of(&home.path()), &saved).expect("links");
    peer.twist(|_, seen| seen.credential.is_some().then(|| Reply::status(500)));
    payer.fetch(&peer.url("/2")).await.expect_err("no answer");
    // The very file of before, as if the new one had never been written.
    std::fs::rename(&saved, epoch_of(&home.path())).expect("renames");
    peer.untwist();
    payer.fetch(&peer.url("/2")).await.expect("buys");
    let channels = payer.store().channels().await.expect("reads");
    assert!(channels.len() == 1 && !channels[0].retired, "such a crash is no alarm");
    std::fs::copy(&backup, home.path()).expect("restores");
    payer.fetch(&peer.url("/3")).await.expect("buys");
    assert_eq!(shared(&peer), []);
    assert_eq!(peer.sales().len(), 3);
}

// 14
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_the_answer_makes_the_retry_send_the_very_same_voucher() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer().await;
    peer.twist(|_, seen| seen.credential.is_some().then_some(Reply::Never));
    let mut process = Process::fetching(&home.path(), &home.signer, &[peer.url("/a")], true);
    peer.wait_for_voucher().await;
    process.kill();
    let payer = home.payer().await;
    assert_eq!(payer.unfinished().await.expect("reads").len(), 1);
    peer.untwist();
    assert_eq!(payer.fetch(&peer.url("/a")).await.expect("buys").paid_now, cents(50));
    let vouchers = peer.vouchers();
    assert_eq!((vouchers.len(), &vouchers[0]), (2, &vouchers[1]));
    assert_eq!(peer.sales().len(), 1);
    let channels = payer.store().channels().await.expect("reads");
    assert_eq!((channels.len(), channels[0].promised), (1, cents(50)));
}

/// What must be true after a kill: nothing acknowledged is lost, and what is unfinished is finished by its own voucher.
/// Returns how many promises the kill left unfinished.
async fn recover(home: &Home, acknowledged: &[String]) -> usize {
    let payer = home.payer_with(plenty).await;
    let history = payer.store().history().await.expect("the store opens at once");
    let bought: BTreeSet<&String> =
        history.iter().filter(|promise| promise.is_bought()).map(|promise| &promise.url).collect();
    for line in acknowledged {
        let url = line.strip_prefix("bought ").unwrap_or_else(|| panic!("{line}"));
        assert!(bought.contains(&url.to_owned()), "{url} was acknowledged and is lost");
    }
    let unfinished = payer.unfinished().await.expect("reads");
    for promise in &unfinished {
        payer.fetch(&promise.url).await.expect("finishes");
    }
    assert!(payer.unfinished().await.expect("reads").is_empty());
    unfinished.len()
}

/// What must be true of the shop after any number of kills.
fn sold_each_item_once(peer: &Peer) {
    assert_eq!(shared(peer), []);
    let sales = peer.sales();
    let distinct: BTreeSet<&String> = sales.iter().map(|sale| &sale.2).collect();
    assert_eq!(sales.len(), distinct.len(), "an item was paid for twice");
    assert_eq!(peer.redeemable(), cents(50 * sales.len() as u128), "one channel, without a gap");
}

// 14, 22
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_nothing_and_pay_for_nothing_twice() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer_with(plenty).await;
    let mut unfinished = 0;
    for round in 0..20_u64 {
        let urls = urls(&peer, &format!("round-{round}"), 60);
        let mut process = Process::fetching(&home.path(), &home.signer, &urls, false);
        let acknowledged = tokio::task::spawn_blocking(move || {
            let mut said = process.hear(1);
            std::thread::sleep(Duration::from_millis(round * 3));
            process.kill();
            said.extend(process.hear(usize::MAX));
            said
        });
        unfinished += recover(&home, &acknowledged.await.expect("ends")).await;
    }
    sold_each_item_once(&peer);
    assert!(unfinished > 0, "no kill came between a promise and its answer, so nothing was shown");
}

// 14, 22
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace"]
async fn kills_at_every_call_that_writes_lose_nothing_and_pay_for_nothing_twice() {
    const WRITES: &str = "fsync,fdatasync,rename,unlink,link,linkat,pwrite64,write,ftruncate,sendto,writev";
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer_with(plenty).await.fetch(&peer.url("/first")).await.expect("buys");
    let (mut unfinished, mut rounds) = (0, 0);
    for nth in 1..2_000 {
        let item = [peer.url(&format!("/call-{nth}"))];
        let process = Process::fetching_until(nth, WRITES, &home.path(), &home.signer, &item).expect("has strace");
        let acknowledged = hear_all(vec![process]).await;
        unfinished += recover(&home, &acknowledged).await;
        rounds = nth;
        if !acknowledged.is_empty() {
            break;
        }
    }
    sold_each_item_once(&peer);
    println!("{rounds} calls, {unfinished} kills between a promise and its answer");
    assert!(rounds > 20 && unfinished > 3, "{rounds} calls, {unfinished} unfinished");
}

// 22
#[tokio::test(flavor = "multi_thread")]
async fn kills_while_a_store_is_made_leave_none_or_a_whole_one() {
    let peer = Peer::honest(Shop::new()).await;
    for round in 0..10 {
        let home = Home::new();
        let mut process = Process::fetching(&home.path(), &home.signer, &[peer.url("/a")], false);
        let started = std::time::Instant::now();
        let made = || std::fs::read_dir(home.directory.path()).expect("lists").next().is_some();
        while !made() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_micros(100));
        }
        std::thread::sleep(Duration::from_micros(500 * round));
        process.kill();
        home.payer().await.fetch(&peer.url("/a")).await.expect("buys");
    }
}

// 14: the control. A store that forgets its promises pays twice, and the check above sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_a_promise_pays_twice() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    home.payer_with(plenty).await.fetch(&peer.url("/first")).await.expect("buys");
    let forgetful = home.directory.path().join("forgetful.store");
    copy(&home.path(), &forgetful);
    peer.twist(|shop, seen| {
        seen.credential.as_ref()?;
        let _ = shop.answer(seen);
        Some(Reply::Never)
    });
    let before = peer.vouchers().len();
    let mut process = Process::fetching(&home.path(), &home.signer, &[peer.url("/a")], false);
    while peer.vouchers().len() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill();
    peer.untwist();
    copy(&forgetful, &home.path());
    home.payer_with(plenty).await.fetch(&peer.url("/a")).await.expect("buys");
    assert_eq!(peer.sales().iter().filter(|sale| sale.2 == "/a").count(), 2);
}

// 22
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_with_its_process() {
    let home = Home::new();
    home.payer().await;
    let mut process = Process::holding(&home.path());
    assert_eq!(process.hear(1), ["holding"]);
    let path = home.path();
    let error = PayerStore::open_with_patience(path, Duration::from_millis(200)).await.expect_err("it is held");
    assert!(matches!(error, StoreError::Busy { waited, .. } if waited >= Duration::from_millis(200)), "{error}");
    process.kill();
    let store = PayerStore::open_with_patience(home.path(), Duration::ZERO).await.expect("opens at once");
    assert_eq!(store.accounts().await.expect("reads").len(), 1);
}

// 21
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_one_budget() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new().selling("*", cents(100))).await);
    home.payer().await;
    let process = |kind: &str| Process::fetching(&home.path(), &home.signer, &urls(&peer, kind, 4), true);
    let said = hear_all(vec![process("one"), process("two")]).await;
    assert_eq!(said.len(), 8);
    assert_eq!(said.iter().filter(|line| line.starts_with("bought")).count(), 5, "{said:?}");
    assert_eq!(peer.redeemable(), cents(500));
    let funded = home.store().await.accounts().await.expect("reads");
    assert_eq!((funded[0].deployment, funded[0].account.token), (deployment(), token().address));
}

/// A flipped bit may not change what was promised: redb looks at no checksum when it reads, so the store has the whole
/// file checked.
#[tokio::test]
async fn a_damaged_store_is_refused_or_tells_the_same_as_before() {
    let (home, peer) = (Home::new(), Peer::honest(Shop::new()).await);
    let payer = home.payer_with(plenty).await;
    for path in ["/1", "/2", "/3"] {
        payer.fetch(&peer.url(path)).await.expect("buys");
    }
    let before = home.store().await.history().await.expect("reads");
    let whole = std::fs::read(home.path()).expect("reads");
    let used: Vec<usize> = (0..whole.len()).filter(|position| whole[*position] != 0).collect();
    let damaged = home.directory.path().join("damaged.store");
    let (mut refused, mut told) = (0, 0);
    for (turn, position) in used.iter().step_by(used.len() / 200).enumerate() {
        let mut bytes = whole.clone();
        bytes[*position] ^= 1 << (turn % 8);
        std::fs::write(&damaged, bytes).expect("writes");
        let history = match PayerStore::open(&damaged).await {
            Ok(store) => store.history().await,
            Err(error) => Err(error),
        };
        match history {
            Err(_) => refused += 1,
            Ok(history) => {
                assert_eq!(history, before, "bit {} of byte {position}", turn % 8);
                told += 1;
            }
        }
    }
    assert!(refused > 5, "{refused} were refused, {told} were harmless");
}
