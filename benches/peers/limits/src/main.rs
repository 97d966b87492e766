//! What bounds a payee on this machine.
//!
//! `limits verify`: libsecp256k1 and nothing else. Keys and signatures are parsed before the clock starts, every
//! signature is another one, by one of a thousand keys. On one core, and on all at once.
//!
//! `limits sync`: one `fdatasync` after another, each of a few bytes or of a batch appended to a file whose space was
//! written before, so that no metadata is synced.

use measuring::{cores, folder, rate, say};
use secp256k1::{Message, PublicKey, SecretKey, ecdsa};
use serde_json::json;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

const KEYS: u32 = 1_000;

/// Signatures of each thread. They begin anew when all were checked: nothing remembers them.
const SIGNATURES: u32 = 10_000;

struct Signed {
    digest: [u8; 32],
    signature: ecdsa::Signature,
    key: PublicKey,
}

/// Bytes that differ for every number, as a digest's do.
fn digest(number: u32) -> [u8; 32] {
    let mut state = u64::from(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    std::array::from_fn(|_| {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (state >> 56) as u8
    })
}

fn signed(thread: usize) -> Vec<Signed> {
    let keys: Vec<_> = (1..=KEYS)
        .map(|number| {
            let secret = SecretKey::from_secret_bytes(digest(number)).expect("below the curve's order");
            (secret, secret.public_key())
        })
        .collect();
    let first = u32::try_from(thread).expect("few threads") * SIGNATURES;
    (first..first + SIGNATURES)
        .map(|number| {
            let (secret, key) = &keys[(number % KEYS) as usize];
            let digest = digest(KEYS + 1 + number);
            Signed { digest, signature: ecdsa::sign(Message::from_digest(digest), secret), key: *key }
        })
        .collect()
}

fn verify() {
    let [first, second] = [0, 1].map(|number| signed(0).swap_remove(number));
    let refused = first.signature.verify(Message::from_digest(second.digest), &first.key);
    assert!(refused.is_err(), "another digest's signature is taken");
    for (name, threads) in [("one", 1), ("all", cores())] {
        let per_second = rate(threads, |thread| {
            let list = signed(thread);
            move |number: usize| {
                let Signed { digest, signature, key } = &list[number % list.len()];
                let message = Message::from_digest(*digest);
                black_box(signature.verify(black_box(message), key)).expect("a good signature");
            }
        });
        say("limits.verify", per_second, "/s", &json!({ "cores": name }));
    }
}

fn sync() {
    const SPACE: usize = 32 << 20;
    for bytes in [200, 50_000] {
        let path = folder().join(format!("sync-{bytes}"));
        let file =
            OpenOptions::new().create(true).truncate(true).write(true).open(&path).expect("a folder to write in");
        file.write_all_at(&vec![0; SPACE], 0).expect("space on the disk");
        file.sync_all().expect("a disk that syncs");
        let record = vec![0xa5; bytes];
        let per_second = rate(1, |_| {
            |number: usize| {
                let place = number * bytes % (SPACE - bytes);
                file.write_all_at(&record, place as u64).expect("written");
                file.sync_data().expect("synced");
            }
        });
        std::fs::remove_file(path).expect("removed");
        say("limits.sync", per_second, "/s", &json!({ "bytes": bytes }));
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("verify") => verify(),
        Some("sync") => sync(),
        _ => {
            eprintln!("usage: limits verify | sync");
            std::process::exit(2);
        }
    }
}
