//! Channels whose signer's key is known: the same vouchers are good, whichever way they are checked.

use alloy_primitives::{Address, B256};
use farthing_core::ledger::{Charge, RequestId};
use farthing_core::voucher::{Domain, KnownChannel, SignatureError};
use farthing_core::{Amount, Channel, Deployment, SignedVoucher, Timestamp, Voucher, VoucherSignature};
use k256::ecdsa::SigningKey;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn domain() -> Domain {
    Domain::new(Deployment { chain_id: 31337, escrow: Address::repeat_byte(0x33) })
}

fn channel(key: &SigningKey, salt: u8) -> Channel {
    let point = key.verifying_key().to_sec1_point(false);
    let authorized_signer = Address::from_raw_public_key(&point.as_bytes()[1..]);
    let [payer, payee] = [1, 2].map(Address::repeat_byte);
    Channel { payer, payee, token: Address::ZERO, salt: B256::repeat_byte(salt), authorized_signer }
}

fn sign(key: &SigningKey, channel: &Channel, cumulative: u128, domain: &Domain) -> SignedVoucher {
    let channel_id = channel.id(domain.deployment());
    let voucher = Voucher { channel_id, cumulative_amount: Amount::new(cumulative) };
    let (signature, recovery) = key.sign_prehash_recoverable(voucher.digest(domain).as_slice());
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + recovery.to_byte());
    voucher.with_signature(VoucherSignature::from_bytes(&bytes).unwrap())
}

/// The same numbers under the other recovery byte: the escrow finds another signer, or none.
fn with_wrong_recovery_byte(signed: SignedVoucher) -> SignedVoucher {
    let mut bytes = signed.signature.to_bytes();
    bytes[64] = 27 + 28 - bytes[64];
    SignedVoucher { signature: VoucherSignature::from_bytes(&bytes).unwrap(), ..signed }
}

fn known() -> KnownChannel {
    let channel = channel(&key(7), 0);
    sign(&key(7), &channel, 5, &domain()).meet(&domain(), &channel).unwrap().1
}

#[test]
fn a_first_vouchers_wrong_recovery_byte_is_put_right() {
    let channel = channel(&key(7), 0);
    for cumulative in 1..40 {
        let good = sign(&key(7), &channel, cumulative, &domain());
        let (verified, known) = with_wrong_recovery_byte(good).meet(&domain(), &channel).unwrap();
        assert_eq!(verified.signature(), good.signature);
        assert_eq!(known, good.meet(&domain(), &channel).unwrap().1);
    }
}

#[test]
fn what_a_known_key_signed_is_redeemable_whatever_its_recovery_byte_says() {
    let known = known();
    for cumulative in 1..40 {
        let good = sign(&key(7), known.channel(), cumulative, &domain());
        for signed in [good, with_wrong_recovery_byte(good)] {
            let verified = signed.verify_known(&domain(), &known).unwrap();
            assert_eq!(verified.voucher(), good.voucher);
            let charge = Charge {
                cumulative_amount: verified.voucher().cumulative_amount,
                signature: verified.signature(),
                price: Amount::ZERO,
                item: String::new(),
                request: RequestId::new("GET", "/"),
                unearned_credit: Amount::ZERO,
                at: Timestamp::from_unix_seconds(0),
            };
            // As the redeemer reads it: with the one byte that the escrow takes.
            assert_eq!(charge.voucher(known.channel(), &domain()).unwrap().signature(), good.signature);
        }
    }
}

#[test]
fn a_known_channel_takes_nothing_that_its_key_did_not_sign_for_it() {
    let known = known();
    let own = *known.channel();
    let expected = Err(SignatureError::NotByChannelsSigner { expected: own.authorized_signer });
    let elsewhere = Domain::new(Deployment { chain_id: 1, ..*domain().deployment() });
    let good = sign(&key(7), &own, 9, &domain());
    assert!(good.verify_known(&domain(), &known).is_ok());
    let more = Voucher { cumulative_amount: Amount::new(10), ..good.voucher }.with_signature(good.signature);
    for bad in [
        more,
        sign(&key(8), &own, 9, &domain()),
        sign(&key(7), &channel(&key(7), 1), 9, &domain()),
        sign(&key(7), &own, 9, &elsewhere),
    ] {
        assert_eq!(bad.verify_known(&domain(), &known), expected, "{bad:?}");
        assert!(bad.verify(&domain(), &own).is_err(), "{bad:?}");
    }
    assert_eq!(good.verify_known(&elsewhere, &known), expected);
}

#[test]
fn ids_are_those_of_the_terms() {
    let known = known();
    assert_eq!(known.id(), known.channel().id(domain().deployment()));
    assert_eq!(known.account_id(), known.channel().account().id());
}
