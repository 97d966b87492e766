//! The crate `mpp` (0.18.2) taking vouchers of its session method, on all cores.
//!
//! `mpp.accept` is what its server calls for a voucher that has arrived: `SessionMethod::verify_session`, which checks
//! the signature, asks the chain about the channel, and writes the channel's state. All of it is in its favour:
//!
//! - The chain answers at once, from this process, with the same bytes for every channel.
//! - The crate has no store that outlives its process and takes updates of channels: its file store refuses them. So
//!   the state stays in memory and nothing is made durable. Nor is it one of the crate's own stores in memory, of
//!   which one checks every signature under a single lock and the other turns each state into JSON and back: here each
//!   channel has a lock of its own.
//! - Credentials are parsed before the clock starts.
//!
//! `mpp.verify_voucher` is its check of the signature alone.

mod chain;
mod store;

use alloy::primitives::{Address, B256};
use measuring::{all, cores, enough, lists, rate, say};
use mpp::PrivateKeySigner;
use mpp::protocol::core::{Base64UrlJson, PaymentChallenge, PaymentCredential};
use mpp::protocol::intents::SessionRequest;
use mpp::protocol::methods::tempo::session_method::{SessionMethod, SessionMethodConfig};
use mpp::protocol::methods::tempo::voucher::{sign_voucher, verify_voucher};
use mpp::protocol::methods::tempo::{INTENT_SESSION, METHOD_NAME, SessionCredentialPayload};
use mpp::protocol::traits::SessionMethod as _;
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;

const ESCROW: Address = Address::repeat_byte(0x55);
const PAYEE: Address = Address::repeat_byte(0x22);
const TOKEN: Address = Address::repeat_byte(0x33);
const CHAIN_ID: u64 = 42_431;

/// Channels of each thread.
const CHANNELS: usize = 500;

/// More than a core does in a second, so that a list lasts.
const PER_SECOND: f64 = 7_000.0;

struct Channel {
    id: B256,
    signer: PrivateKeySigner,
}

struct Signed {
    channel: B256,
    signer: Address,
    amount: u128,
    signature: Vec<u8>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

fn channels(thread: usize) -> Vec<Channel> {
    (0..CHANNELS)
        .map(|number| {
            let number = thread * CHANNELS + number + 1;
            let mut secret = [0x11; 32];
            secret[24..].copy_from_slice(&(number as u64).to_be_bytes());
            let signer = PrivateKeySigner::from_slice(&secret).expect("below the curve's order");
            Channel { id: B256::from(alloy::primitives::U256::from(number)), signer }
        })
        .collect()
}

/// Vouchers for one thread: the channels in turn, each time a little more.
fn signed(thread: usize) -> Vec<Signed> {
    let channels = channels(thread);
    let sign = async |number: usize| {
        let Channel { id, signer } = &channels[number % CHANNELS];
        let amount = (number / CHANNELS + 1) as u128;
        let signature = sign_voucher(signer, *id, amount, ESCROW, CHAIN_ID).await.expect("signs").to_vec();
        Signed { channel: *id, signer: signer.address(), amount, signature }
    };
    let runtime = runtime();
    (0..enough(PER_SECOND)).map(|number| runtime.block_on(sign(number))).collect()
}

fn request() -> SessionRequest {
    SessionRequest {
        amount: "1".to_owned(),
        currency: TOKEN.to_string(),
        recipient: Some(PAYEE.to_string()),
        method_details: Some(json!({ "escrowContract": ESCROW.to_string(), "chainId": CHAIN_ID })),
        ..Default::default()
    }
}

fn credential(request: &SessionRequest, Signed { channel, amount, signature, .. }: &Signed) -> PaymentCredential {
    let body = Base64UrlJson::from_typed(request).expect("a request");
    let challenge = PaymentChallenge::new("id", "payee.example", METHOD_NAME, INTENT_SESSION, body);
    let payload = SessionCredentialPayload::Voucher {
        channel_id: channel.to_string(),
        descriptor: None,
        settlement_route: None,
        cumulative_amount: amount.to_string(),
        signature: alloy::hex::encode_prefixed(signature),
    };
    PaymentCredential::new(challenge.to_echo(), payload)
}

/// The check alone. Nothing is remembered, so that the lists may begin anew.
fn verify(vouchers: &[Vec<Signed>]) {
    let per_second = rate(vouchers.len(), |thread| {
        let list = &vouchers[thread];
        move |number: usize| {
            let Signed { channel, signer, amount, signature } = &list[number % list.len()];
            let good = verify_voucher(ESCROW, CHAIN_ID, *channel, *amount, black_box(signature), *signer);
            assert!(good, "a good voucher is refused");
        }
    });
    say("mpp.verify_voucher", per_second, "/s", &json!({}));
}

fn accept(vouchers: &[Vec<Signed>]) {
    let request = request();
    let every = (0..vouchers.len()).flat_map(channels);
    let store = store::PerChannel::new(every.map(|Channel { id, signer }| (id, signer.address())));
    let config = SessionMethodConfig { escrow_contract: ESCROW, chain_id: CHAIN_ID, min_voucher_delta: 0 };
    let method = SessionMethod::new(chain::answering(PAYEE, TOKEN), Arc::new(store), config);
    let forged = Signed { signature: vouchers[0][1].signature.clone(), ..vouchers[0][0] };
    let refused = runtime().block_on(method.verify_session(&credential(&request, &forged), &request));
    assert!(refused.is_err(), "another key's signature is taken");
    let credentials =
        vouchers.iter().map(|list| list.iter().map(|voucher| credential(&request, voucher)).collect()).collect();
    let per_second = all(credentials, |list: Vec<PaymentCredential>| {
        runtime().block_on(async {
            for credential in &list {
                method.verify_session(credential, &request).await.expect("a good voucher");
            }
        });
    });
    say("mpp.accept", per_second, "/s", &json!({}));
}

fn main() {
    let vouchers = lists(cores(), signed);
    verify(&vouchers);
    accept(&vouchers);
}
