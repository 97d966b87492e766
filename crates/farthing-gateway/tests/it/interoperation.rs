//! Another program's signature, from the gateway's door to the creator's money: a voucher that `cast wallet sign` signs
//! is accepted over HTTP and redeemed on a real chain.

use crate::shop::{PRICE, SONG, dollar, request, send, song};
use axum::http::{Method, StatusCode};
use farthing::core::wire::credential::ChannelTerms;
use farthing::core::wire::{Challenge, Credential, VoucherPayload};
use farthing::core::{Amount, Channel, VoucherSignature};
use farthing::local_chain::LocalChain;
use farthing::payee::{Redeemer, Watcher};
use farthing_gateway::{AppOptions, Catalog, app};
use farthing_testkit::Fixture;
use std::io::Write;
use std::process::Command;

/// The typed data as any wallet understands it, written out by hand and not by our own code.
fn typed_data(fixture: &Fixture, channel: &Channel, cumulative_amount: Amount) -> String {
    let deployment = fixture.deployment;
    format!(
        r#"{{
          "types": {{
            "EIP712Domain": [
              {{ "name": "name", "type": "string" }}, {{ "name": "version", "type": "string" }},
              {{ "name": "chainId", "type": "uint256" }}, {{ "name": "verifyingContract", "type": "address" }}
            ],
            "Voucher": [
              {{ "name": "channelId", "type": "bytes32" }}, {{ "name": "cumulativeAmount", "type": "uint128" }}
            ]
          }},
          "primaryType": "Voucher",
          "domain": {{
            "name": "Farthing Escrow", "version": "1",
            "chainId": {}, "verifyingContract": "{}"
          }},
          "message": {{ "channelId": "{}", "cumulativeAmount": "{cumulative_amount}" }}
        }}"#,
        deployment.chain_id,
        deployment.escrow,
        channel.id(&deployment),
    )
}

/// Signs with the `cast` of the package lock. The key is anvil's well-known test key, so it may stand in an argument.
fn cast_sign(data: &str) -> VoucherSignature {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(data.as_bytes()).expect("writes");
    let anvil = LocalChain::anvil_in(&Fixture::root()).display().to_string();
    let output = Command::new(anvil.replace("anvil", "cast"))
        .args(["wallet", "sign", "--data", "--from-file"])
        .arg(file.path())
        .args(["--private-key", &Fixture::payer().to_bytes().to_string()])
        .output()
        .expect("cast runs; `npm ci` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("hex").trim().parse().expect("a signature")
}

#[tokio::test]
async fn a_voucher_signed_by_cast_buys_a_song_and_is_redeemed() {
    let fixture = Fixture::start().await;
    let escrow = fixture.escrow(Fixture::payer()).await;
    escrow.deposit(&fixture.account(), Amount::new(5_000_000)).await.expect("deposits");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("song.wav"), song()).expect("writes");
    let catalog = format!(
        "name = \"Songs\"\n[[item]]\npath = \"{SONG}\"\nfile = \"song.wav\"\ntitle = \"A song\"\nprice = \"$0.50\"\n"
    );
    std::fs::write(folder.path().join("catalog.toml"), catalog).expect("writes");
    let catalog = Catalog::load(folder.path(), &dollar()).expect("a good catalog");
    let payee = fixture.start_payee(folder.path()).await;
    Watcher::new(payee.clone(), fixture.escrow(Fixture::payee()).await).step().await.expect("sees the chain");
    let router = app(payee.clone(), catalog, AppOptions::default());

    let challenge: Challenge = send(&router, request(Method::GET, SONG, None)).await.challenge();
    let channel = fixture.channel(7);
    let payload = VoucherPayload {
        action: VoucherPayload::ACTION.to_owned(),
        channel_id: channel.id(&fixture.deployment),
        cumulative_amount: PRICE,
        signature: cast_sign(&typed_data(&fixture, &channel, PRICE)),
        amount: Some(PRICE),
        terms: Some(ChannelTerms::from(&channel)),
    };
    let credential = Credential { challenge, source: None, payload };
    let answer = send(&router, request(Method::GET, SONG, Some(&credential))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, song());

    let redeemed = Redeemer::new(payee, fixture.escrow(Fixture::payee()).await).redeem().await.expect("redeems");
    assert_eq!(redeemed.done[0].paid, PRICE);
    assert_eq!(fixture.dollars_of(Fixture::payee().address()).await, PRICE);
}
