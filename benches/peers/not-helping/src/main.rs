//! What does not make a payee faster.
//!
//! - `not-helping timer`: waiting before a batch is synced, so that more come together.
//! - `not-helping workers`: more threads that verify than cores.
//! - `not-helping code BUILD`: keccak and k256 as this program was built: with k256's tables, or for this processor.
//!   What they were built with is in the figure's name.

mod timer;

use alloy_primitives::keccak256;
use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use measuring::{cores, rate, say};
use secp256k1::{Message, SecretKey};
use serde_json::json;
use std::hint::black_box;

/// Signatures of each thread; nothing remembers them, so that they may begin anew.
const SIGNATURES: usize = 2_000;

fn digest(number: usize) -> [u8; 32] {
    keccak256(number.to_be_bytes()).0
}

fn workers() {
    for times in [1, 2, 4] {
        let per_second = rate(cores() * times, |thread| {
            let secret = SecretKey::from_secret_bytes(digest(thread)).expect("below the curve's order");
            let key = secret.public_key();
            let sign = |number| (digest(number), secret.sign_ecdsa(Message::from_digest(digest(number))));
            let list: Vec<_> = (0..SIGNATURES).map(sign).collect();
            move |number: usize| {
                let (digest, signature) = &list[number % SIGNATURES];
                black_box(signature).verify(Message::from_digest(*digest), &key).expect("a good signature");
            }
        });
        say("not-helping.workers", per_second, "/s", &json!({ "threadsPerCore": times }));
    }
}

fn code(build: &str) {
    let of = json!({ "build": build });
    let hashing = rate(1, |_| {
        let mut preimage = [0_u8; 96];
        move |_| {
            let hash = keccak256(preimage);
            preimage[..32].copy_from_slice(black_box(hash).as_slice());
        }
    });
    say("not-helping.keccak", hashing, "/s", &of);
    let secret = SigningKey::from_slice(&[0x42; 32]).expect("below the curve's order");
    let key = VerifyingKey::from(&secret);
    let sign =
        |number| PrehashSigner::<(Signature, RecoveryId)>::sign_prehash(&secret, &digest(number)).expect("signs");
    let signing = rate(1, |_| {
        |number: usize| {
            black_box(sign(number));
        }
    });
    say("not-helping.k256-sign", signing, "/s", &of);
    let list: Vec<_> = (0..SIGNATURES).map(|number| (digest(number), sign(number))).collect();
    let verifying = rate(1, |_| {
        |number: usize| {
            let (digest, (signature, _)) = &list[number % SIGNATURES];
            key.verify_prehash(digest, black_box(signature)).expect("a good signature");
        }
    });
    say("not-helping.k256-verify", verifying, "/s", &of);
    let recovering = rate(1, |_| {
        |number: usize| {
            let (digest, (signature, id)) = &list[number % SIGNATURES];
            black_box(VerifyingKey::recover_from_prehash(digest, signature, *id)).expect("a good signature");
        }
    });
    say("not-helping.k256-recover", recovering, "/s", &of);
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["timer"] => timer::timer(),
        ["workers"] => workers(),
        ["code", build] => code(build),
        _ => {
            eprintln!("usage: not-helping timer | workers | code BUILD");
            std::process::exit(2);
        }
    }
}
