//! Contract and core meet only here: the same files are checked by Foundry, byte for byte.

use alloy_primitives::{Bytes, U256, hex};
use farthing_core::batch::pack_rows;
use farthing_core::funding::{Withdrawal, authorization_nonce};
use farthing_core::ledger::{Charge, RequestId};
use farthing_core::voucher::{Domain, SignatureError};
use farthing_core::wire::credential::ChannelTerms;
use farthing_core::{
    Account, Address, Amount, B256, Channel, ChannelId, Deployment, Member, SplitTerms, Timestamp, Voucher,
    VoucherSignature,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Vectors<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VoucherCase {
    name: String,
    chain_id: u64,
    escrow: Address,
    #[serde(flatten)]
    channel: Channel,
    signer_private_key: B256,
    account_id: B256,
    channel_id: ChannelId,
    cumulative_amount: Amount,
    digest: B256,
    signature: Bytes,
    compact_signature: Bytes,
}

impl VoucherCase {
    fn domain(&self) -> Domain {
        Domain::new(Deployment { chain_id: self.chain_id, escrow: self.escrow })
    }

    fn voucher(&self) -> Voucher {
        Voucher { channel_id: self.channel_id, cumulative_amount: self.cumulative_amount }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowsCase {
    name: String,
    chain_id: u64,
    escrow: Address,
    payee: Address,
    token: Address,
    rows: Bytes,
    vouchers: Vec<RowVoucher>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowVoucher {
    #[serde(flatten)]
    terms: ChannelTerms,
    cumulative_amount: Amount,
    signature: VoucherSignature,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithdrawalCase {
    name: String,
    chain_id: u64,
    escrow: Address,
    account: Account,
    account_id: B256,
    amount: Amount,
    to: Address,
    nonce: String,
    deadline: U256,
    payer_private_key: B256,
    digest: B256,
    signature: Bytes,
}

#[derive(Deserialize)]
struct AuthorizationCase {
    name: String,
    id: B256,
    salt: B256,
    nonce: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SplitCase {
    name: String,
    escrow: Address,
    operator: Address,
    receipt_key: Address,
    accounts: Vec<Address>,
    shares: Vec<String>,
    received: Vec<String>,
    entitlements: Vec<Vec<String>>,
}

#[expect(clippy::disallowed_methods, reason = "a test reads files, the core does not")]
pub(crate) fn load<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = format!("{}/../../test/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let vectors: Vectors<T> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!vectors.cases.is_empty(), "{file} holds no case");
    vectors.cases
}

pub(crate) fn sign(key: B256, digest: B256) -> VoucherSignature {
    let key = k256::ecdsa::SigningKey::from_slice(key.as_slice()).unwrap();
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice());
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + recovery.to_byte());
    VoucherSignature::from_bytes(&bytes).unwrap()
}

#[test]
fn ids_digests_and_signatures_equal_those_of_the_contract_and_viem() {
    for case in load::<VoucherCase>("vouchers.json") {
        let name = &case.name;
        let domain = case.domain();
        assert_eq!(case.channel.account().id().0, case.account_id, "{name}");
        assert_eq!(case.channel.id(domain.deployment()), case.channel_id, "{name}");
        let digest = case.voucher().digest(&domain);
        assert_eq!(digest, case.digest, "{name}");
        let signature = sign(case.signer_private_key, digest);
        assert_eq!(hex::encode(signature.to_bytes()), hex::encode(&case.signature), "{name}");
        assert_eq!(hex::encode(signature.to_compact()), hex::encode(&case.compact_signature), "{name}");
        assert_eq!(VoucherSignature::from_bytes(&case.compact_signature), Ok(signature), "{name}");
        assert!(case.voucher().with_signature(signature).verify(&domain, &case.channel).is_ok(), "{name}");
    }
}

/// Loss 3: a field that is in the type and not in the digest.
#[test]
fn changing_any_one_field_changes_the_digest() {
    for case in load::<VoucherCase>("vouchers.json") {
        let deployment = *case.domain().deployment();
        let other = Address::repeat_byte(0xee);
        let channels = [
            Channel { payer: other, ..case.channel },
            Channel { payee: other, ..case.channel },
            Channel { token: other, ..case.channel },
            Channel { salt: B256::repeat_byte(0xee), ..case.channel },
            Channel { authorized_signer: other, ..case.channel },
        ];
        let mut digests = vec![case.digest];
        for channel in channels {
            let voucher = Voucher { channel_id: channel.id(&deployment), ..case.voucher() };
            digests.push(voucher.digest(&case.domain()));
        }
        for deployment in
            [Deployment { chain_id: deployment.chain_id + 1, ..deployment }, Deployment { escrow: other, ..deployment }]
        {
            digests.push(case.voucher().digest(&Domain::new(deployment)));
            let channel_id = case.channel.id(&deployment);
            digests.push(Voucher { channel_id, ..case.voucher() }.digest(&case.domain()));
        }
        let amount = Amount::new(case.cumulative_amount.base_units() ^ 1);
        digests.push(Voucher { cumulative_amount: amount, ..case.voucher() }.digest(&case.domain()));
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count, "{}", case.name);
    }
}

/// Loss 10: a second encoding of one signature.
#[test]
fn one_promise_has_one_signature() {
    for case in load::<VoucherCase>("vouchers.json") {
        let bytes = case.signature.to_vec();
        let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
        let high_s =
            alloy_primitives::U256::from_be_slice(&order) - alloy_primitives::U256::from_be_slice(&bytes[32..64]);
        let mut malleated = bytes.clone();
        malleated[32..64].copy_from_slice(&high_s.to_be_bytes::<32>());
        malleated[64] = 27 + 28 - bytes[64];
        assert_eq!(VoucherSignature::from_bytes(&malleated), Err(SignatureError::HighS));
        for v in [0, 1, 26, 29, 255] {
            let mut wrong = bytes.clone();
            wrong[64] = v;
            assert_eq!(VoucherSignature::from_bytes(&wrong), Err(SignatureError::RecoveryByte(v)));
        }
        for length in [0, 1, 63, 66, 130] {
            let resized: Vec<u8> = bytes.iter().copied().cycle().take(length).collect();
            assert_eq!(VoucherSignature::from_bytes(&resized), Err(SignatureError::Malformed));
        }
        let mut zero = bytes.clone();
        zero[..64].fill(0);
        let signed = case.voucher().with_signature(VoucherSignature::from_bytes(&zero).unwrap());
        assert_eq!(signed.verify(&case.domain(), &case.channel), Err(SignatureError::NoSigner));
    }
}

#[test]
fn rows_equal_those_that_the_contract_redeems() {
    for case in load::<RowsCase>("rows.json") {
        let domain = Domain::new(Deployment { chain_id: case.chain_id, escrow: case.escrow });
        let vouchers: Vec<_> = case
            .vouchers
            .iter()
            .map(|row| {
                let charge = Charge {
                    cumulative_amount: row.cumulative_amount,
                    signature: row.signature,
                    price: Amount::ZERO,
                    item: String::new(),
                    request: RequestId::new("GET", "/"),
                    unearned_credit: Amount::ZERO,
                    at: Timestamp::from_unix_seconds(0),
                };
                charge.voucher(&row.terms.channel(case.payee, case.token), &domain).unwrap()
            })
            .collect();
        assert_eq!(hex::encode(pack_rows(&vouchers).unwrap()), hex::encode(&case.rows), "{}", case.name);
    }
}

#[test]
fn withdrawals_are_signed_as_the_contract_checks_them() {
    let mut endless = 0;
    for case in load::<WithdrawalCase>("withdrawals.json") {
        assert_eq!(case.account.id().0, case.account_id, "{}", case.name);
        let domain = Domain::new(Deployment { chain_id: case.chain_id, escrow: case.escrow });
        let seconds = u64::try_from(case.deadline).ok();
        let Some(deadline) = seconds.map(Timestamp::from_unix_seconds) else {
            // Only the contract knows deadlines beyond all calendars; a payer here never signs one.
            endless += 1;
            continue;
        };
        let (account, amount, to, nonce) = (case.account, case.amount, case.to, case.nonce.parse().unwrap());
        let digest = Withdrawal { account, amount, to, nonce, deadline }.digest(&domain);
        assert_eq!(digest, case.digest, "{}", case.name);
        assert_eq!(sign(case.payer_private_key, digest).to_bytes().as_slice(), &case.signature[..], "{}", case.name);
        let signature = VoucherSignature::from_bytes(&case.signature).unwrap();
        assert_eq!(signature.recover(digest), Ok(account.payer), "{}", case.name);
    }
    assert_eq!(endless, 1);
}

#[test]
fn an_authorizations_nonce_is_bound_to_what_it_funds() {
    for case in load::<AuthorizationCase>("authorizations.json") {
        assert_eq!(authorization_nonce(case.id, case.salt), case.nonce, "{}", case.name);
    }
}

#[test]
fn members_have_the_parts_that_the_contract_gives_them() {
    for case in load::<SplitCase>("splits.json") {
        let members = std::iter::zip(&case.accounts, &case.shares)
            .map(|(account, shares)| Member { account: *account, shares: shares.parse().unwrap() })
            .collect();
        let terms = SplitTerms::as_they_are(case.escrow, case.operator, case.receipt_key, members).unwrap();
        for (received, parts) in std::iter::zip(&case.received, &case.entitlements) {
            for (account, part) in std::iter::zip(&case.accounts, parts) {
                let due = terms.part_of(*account, Amount::new(received.parse().unwrap()));
                assert_eq!(due, Amount::new(part.parse().unwrap()), "{} of {received}", case.name);
            }
        }
    }
}
