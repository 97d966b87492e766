//! Receipts alone and in batches: what viem signs, what a path proves, and what it does not.

use crate::ledger::address_of;
use crate::vectors::{load, sign};
use alloy_primitives::{hex, keccak256};
use farthing_core::voucher::{Domain, SignatureError};
use farthing_core::wire::receipt_batch::{Blinding, PATH_LENGTH_MAX, PathError, batch_digest};
use farthing_core::wire::{Receipt, ReceiptPath, ReceiptTree, SignedReceipt};
use farthing_core::{Address, Amount, B256, ChannelId, Deployment, Timestamp, VoucherSignature};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptCase {
    name: String,
    chain_id: u64,
    escrow: Address,
    payee: Address,
    payee_private_key: B256,
    digest: B256,
    signature: VoucherSignature,
    receipts: Vec<SaleCase>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SaleCase {
    channel_id: ChannelId,
    cumulative_amount: Amount,
    item: String,
    price: Amount,
    timestamp: Timestamp,
    leaf: Option<B256>,
    path: Option<ReceiptPath>,
}

impl SaleCase {
    fn receipt(&self) -> Receipt {
        Receipt {
            timestamp: self.timestamp,
            item: self.item.clone(),
            price: self.price,
            ..receipt(self.channel_id, self.cumulative_amount)
        }
    }
}

fn receipt(channel_id: ChannelId, cumulative_amount: Amount) -> Receipt {
    let (method, intent, status) = Receipt::names();
    Receipt {
        method,
        intent,
        status,
        timestamp: Timestamp::from_unix_seconds(1_800_000_000),
        reference: channel_id,
        challenge_id: "qf9Vbd".to_owned(),
        channel_id,
        cumulative_amount,
        accepted_cumulative: cumulative_amount,
        spent: cumulative_amount,
        item: "/song".to_owned(),
        price: Amount::new(50_000),
    }
}

/// The receipt of a sale with this number; some differ in nothing but what blinds them.
fn sale(number: usize) -> Receipt {
    receipt(ChannelId(B256::with_last_byte(1)), Amount::new(number as u128 / 3))
}

fn blinding(number: usize) -> Blinding {
    Blinding::from_slice(&keccak256(number.to_be_bytes())[..16])
}

fn leaves(count: usize) -> Vec<B256> {
    (0..count).map(|number| sale(number).proven().leaf(blinding(number))).collect()
}

fn domain() -> Domain {
    Domain::new(Deployment { chain_id: 31_337, escrow: Address::repeat_byte(0x33) })
}

fn payee() -> (B256, Address) {
    let key = B256::repeat_byte(7);
    (key, address_of(&k256::ecdsa::SigningKey::from_slice(key.as_slice()).unwrap()))
}

/// A batch of this many, signed.
fn batch(count: usize) -> Vec<SignedReceipt> {
    let tree = ReceiptTree::new(leaves(count)).unwrap();
    let signature = sign(payee().0, batch_digest(tree.root(), &domain()));
    let with_path = |number: usize| {
        let path = tree.path(number, blinding(number));
        assert!(path.is_some());
        SignedReceipt { receipt: sale(number), signature, path, delegation: None }
    };
    (0..count).map(with_path).collect()
}

fn is_proof(signed: &SignedReceipt) -> bool {
    signed.verify(&domain(), payee().1).is_ok()
}

#[test]
fn digests_roots_and_paths_equal_those_of_viem() {
    let mut batches = 0;
    for case in load::<ReceiptCase>("receipts.json") {
        let name = &case.name;
        let domain = Domain::new(Deployment { chain_id: case.chain_id, escrow: case.escrow });
        assert_eq!(sign(case.payee_private_key, case.digest), case.signature, "{name}");
        let in_batch = case.receipts.len() > 1;
        for sale in &case.receipts {
            let (receipt, path) = (sale.receipt(), sale.path.clone());
            assert_eq!(path.is_some(), in_batch, "{name}");
            let leaf = path.as_ref().map(|path| receipt.proven().leaf(path.blinding()));
            assert_eq!(leaf, sale.leaf, "{name}");
            let signed = SignedReceipt { receipt, signature: case.signature, path, delegation: None };
            assert_eq!(signed.digest(&domain), case.digest, "{name}");
            assert_eq!(signed.verify(&domain, case.payee), Ok(()), "{name}");
            let read = SignedReceipt::from_header(&signed.to_header().unwrap());
            assert_eq!(read, Ok(signed), "{name}");
        }
        if in_batch {
            batches += 1;
            let tree = ReceiptTree::new(case.receipts.iter().filter_map(|sale| sale.leaf).collect()).unwrap();
            assert_eq!(batch_digest(tree.root(), &domain), case.digest, "{name}");
            for (index, sale) in case.receipts.iter().enumerate() {
                let path = sale.path.as_ref().unwrap();
                assert_eq!(tree.path(index, path.blinding()).as_ref(), Some(path), "{name}");
            }
        }
    }
    assert!(batches > 3, "{batches}");
}

/// Written by the release before there were batches.
const ALONE: &str = r#"{"acceptedCumulative":"1000","challengeId":"qf9Vbd","channelId":"0xd66872f2882ab30c9ba015f69aca6e84d43a7457759a0d3c02597c59b4cdbec5","cumulativeAmount":"1000","intent":"session","item":"/songs/dawn.flac","method":"farthing","price":"50000","reference":"0xd66872f2882ab30c9ba015f69aca6e84d43a7457759a0d3c02597c59b4cdbec5","signature":"0xe5a3f9d1f42681142b7480eccf56b3de5a20a18cf9563fdbeb4e128a4ad40848612b20e0ac07958c92c764762a940bd1a8e831ab734ee86a8748e0e39d868a921b","spent":"1000","status":"success","timestamp":"2025-06-15T15:06:40Z"}"#;

#[test]
fn a_receipt_alone_is_read_and_written_as_before_there_were_batches() {
    let signed: SignedReceipt = serde_json::from_str(ALONE).unwrap();
    assert_eq!(signed.path, None);
    let escrow = "0xe5c0000000000000000000000000000000000001".parse().unwrap();
    let payee = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8".parse().unwrap();
    let domain = Domain::new(Deployment { chain_id: 31_337, escrow });
    assert_eq!(signed.verify(&domain, payee), Ok(()));
    use base64::Engine;
    let written = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signed.to_header().unwrap()).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), ALONE);
}

#[test]
fn every_receipt_of_a_batch_proves_itself_alone() {
    for count in (2..=40).chain([63, 64, 65, 1_000, 1_024]) {
        let tree = ReceiptTree::new(leaves(count)).unwrap();
        for number in 0..count {
            let path = tree.path(number, blinding(number)).unwrap();
            assert_eq!(path.root(&sale(number).proven()), tree.root(), "{number} of {count}");
            assert!(path.siblings().len() <= count.next_power_of_two().ilog2() as usize);
        }
        assert_eq!(tree.path(count, blinding(count)), None);
    }
}

#[test]
fn the_shortest_and_the_longest_path_are_followed_and_no_other() {
    let siblings = |length| vec![B256::repeat_byte(1); length];
    let path = |position, length| ReceiptPath::new(blinding(0), position, siblings(length));
    assert_eq!(path(0, 0), Err(PathError::Empty));
    assert!(path(1, 1).is_ok() && path(u16::MAX, PATH_LENGTH_MAX).is_ok());
    let length = PATH_LENGTH_MAX + 1;
    assert_eq!(path(0, length), Err(PathError::TooLong { length }));
    assert_eq!(path(2, 1), Err(PathError::Position { position: 2, length: 1 }));
    assert!(ReceiptTree::new(leaves(0)).is_none() && ReceiptTree::new(leaves(1)).is_none());
    let most = ReceiptTree::LEAVES_MAX;
    assert!(ReceiptTree::new(vec![B256::ZERO; most + 1]).is_none());
    let full = ReceiptTree::new(vec![B256::ZERO; most]).unwrap();
    assert_eq!(full.path(most - 1, blinding(0)).unwrap().siblings().len(), PATH_LENGTH_MAX);

    // The same on the wire.
    let mut json = serde_json::to_value(&batch(2)[0]).unwrap();
    assert!(serde_json::from_value::<SignedReceipt>(json.clone()).is_ok(), "the control");
    json["path"]["position"] = 2.into();
    assert!(serde_json::from_value::<SignedReceipt>(json.clone()).unwrap_err().to_string().contains("position 2"));
    json["path"]["position"] = 0.into();
    for (length, why) in [(0, "without a neighbour"), (17, "longer than 16")] {
        json["path"]["siblings"] = serde_json::to_value(siblings(length)).unwrap();
        let refused = serde_json::from_value::<SignedReceipt>(json.clone()).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn the_longest_path_leaves_room_in_the_header() {
    let path = ReceiptPath::new(blinding(0), u16::MAX, vec![B256::repeat_byte(0xff); PATH_LENGTH_MAX]).unwrap();
    let item = format!("/{}", "x".repeat(1_023));
    let signed = SignedReceipt { receipt: Receipt { item, ..sale(0) }, path: Some(path), ..batch(2).remove(0) };
    assert_eq!(SignedReceipt::from_header(&signed.to_header().unwrap()), Ok(signed));
}

/// A receipt, or something that holds one: how a file that a person names is read.
#[derive(Deserialize)]
#[serde(untagged)]
enum OnFile {
    Receipt(Box<SignedReceipt>),
    Purchase { receipt: Box<SignedReceipt> },
}

#[test]
fn a_receipt_is_read_wherever_json_holds_it() {
    for signed in batch(3) {
        let json = serde_json::json!({ "url": "http://localhost", "receipt": &signed }).to_string();
        let Ok(OnFile::Purchase { receipt }) = serde_json::from_str(&json) else { panic!("{json}") };
        assert_eq!(*receipt, signed);
        let Ok(OnFile::Receipt(receipt)) = serde_json::from_str(&serde_json::to_string(&signed).unwrap()) else {
            panic!("{json}")
        };
        assert_eq!(*receipt, signed);
    }
}

#[test]
fn a_signature_over_a_receipt_is_none_over_a_batch_nor_the_other_way_round() {
    let in_batch = batch(2).remove(0);
    assert!(is_proof(&in_batch), "the control");
    assert!(!is_proof(&SignedReceipt { path: None, ..in_batch.clone() }));
    let signature = sign(payee().0, sale(0).digest(&domain()));
    let alone = SignedReceipt { signature, path: None, ..in_batch.clone() };
    assert!(is_proof(&alone), "the control");
    assert!(!is_proof(&SignedReceipt { path: in_batch.path.clone(), ..alone }));
    // Nor is the root a receipt's digest, whatever one calls it.
    let path = in_batch.path.unwrap();
    let root = path.root(&sale(0).proven());
    let over_root =
        SignedReceipt { receipt: sale(0), signature: sign(payee().0, root), path: Some(path), delegation: None };
    assert!(!is_proof(&over_root));
    assert!(matches!(
        over_root.verify(&domain(), payee().1),
        Err(SignatureError::SignerMismatch { .. } | SignatureError::NoSigner)
    ));
}

/// The root of a tree that pairs a hash without a neighbour with itself, as Bitcoin's does: the mistake of
/// CVE-2012-2459.
fn root_with_duplicates(mut level: Vec<B256>) -> B256 {
    while level.len() > 1 {
        let pairs = level.chunks(2).map(|pair| keccak256([pair[0].0, pair[pair.len() - 1].0].concat()));
        level = pairs.collect();
    }
    level[0]
}

#[test]
fn no_two_batches_have_one_root() {
    let root = |leaves: &[B256]| ReceiptTree::new(leaves.to_vec()).unwrap().root();
    for count in 2..=33 {
        let original = leaves(count);
        let mut repeated = original.clone();
        repeated.push(original[count - 1]);
        assert_ne!(root(&original), root(&repeated), "{count} and the last once more");
        if count % 2 == 1 && count > 2 {
            let (one, other) = (root_with_duplicates(original.clone()), root_with_duplicates(repeated));
            assert_eq!(one, other, "the control: with duplicates two batches have one root");
        }
        for (first, second) in (0..count).zip(1..count) {
            let mut swapped = original.clone();
            swapped.swap(first, second);
            assert_ne!(root(&original), root(&swapped), "{first} and {second} of {count} change places");
        }
    }
}

#[test]
fn what_blinds_a_receipt_is_all_that_hides_it_from_its_neighbours() {
    // Two sales of the same, to the base unit: only the blinding tells them apart.
    assert_eq!(sale(0).proven(), sale(1).proven());
    let signed = batch(2);
    let shown = signed[1].path.as_ref().unwrap().siblings()[0];
    assert_ne!(shown, sale(0).proven().leaf(blinding(1)), "guessed with one's own");
    assert_eq!(shown, sale(0).proven().leaf(blinding(0)), "the control: known with its own");
}

type Change = fn(&mut SignedReceipt, u64);

/// Everything that a receipt proves, and every part of its path.
const CHANGES: [(&str, Change); 10] = [
    ("channel", |signed, by| signed.receipt.channel_id.0.0[by as usize % 32] ^= 1),
    ("voucher", |signed, by| signed.receipt.cumulative_amount = Amount::new(u128::from(by) << 64 | 77)),
    ("item", |signed, by| signed.receipt.item.push_str(&by.to_string())),
    ("price", |signed, by| signed.receipt.price = Amount::new(50_001 + u128::from(by))),
    ("time", |signed, by| signed.receipt.timestamp = Timestamp::from_unix_seconds(by % 1_000)),
    ("blinding", |signed, by| {
        change_path(signed, |blinding, _, _| blinding.0[by as usize % 16] ^= 1 << (by % 8));
    }),
    ("side", |signed, by| {
        change_path(signed, |_, position, siblings| *position ^= 1 << (by as usize % siblings.len()));
    }),
    ("neighbour", |signed, by| {
        change_path(signed, |_, _, siblings| {
            let place = by as usize % siblings.len();
            siblings[place].0[by as usize % 32] ^= 1 << (by % 8);
        });
    }),
    ("one more", |signed, by| change_path(signed, |_, _, siblings| siblings.push(B256::with_last_byte(by as u8)))),
    ("one less", |signed, _| {
        change_path(signed, |_, position, siblings| {
            siblings.pop();
            *position &= (1 << siblings.len()) - 1;
        });
    }),
];

fn change_path(signed: &mut SignedReceipt, change: impl FnOnce(&mut Blinding, &mut u16, &mut Vec<B256>)) {
    let path = signed.path.take().unwrap();
    let (mut blinding, mut position, mut siblings) = (path.blinding(), path.position(), path.siblings().to_vec());
    change(&mut blinding, &mut position, &mut siblings);
    // Left as it was where what comes out is no path at all.
    signed.path = Some(ReceiptPath::new(blinding, position, siblings).unwrap_or(path));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_of_a_receipt_or_its_path_it_proves_nothing(
        count in 3_usize..40, number: prop::sample::Index, by: u64,
    ) {
        let honest = batch(count).swap_remove(number.index(count));
        prop_assert!(is_proof(&honest), "the control");
        for (what, change) in CHANGES {
            let mut changed = honest.clone();
            change(&mut changed, by);
            prop_assert!(changed == honest || !is_proof(&changed), "{what}");
        }
    }

    #[test]
    fn a_path_proves_no_other_receipt_of_its_batch(count in 4_usize..40, one: prop::sample::Index, other: prop::sample::Index) {
        let signed = batch(count);
        let (one, other) = (&signed[one.index(count)], &signed[other.index(count)]);
        let with_others_path = SignedReceipt { path: other.path.clone(), ..one.clone() };
        // Sales of the same may have each other's: what they prove is the same.
        prop_assert_eq!(is_proof(&with_others_path), one.receipt == other.receipt);
    }

    #[test]
    fn any_bytes_are_a_receipt_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedReceipt::from_header(&String::from_utf8_lossy(&bytes));
        let _ = serde_json::from_slice::<ReceiptPath>(&bytes);
    }
}

#[test]
fn hashes_of_nodes_are_hashes_of_no_receipt() {
    // What keeps them apart is the length of what is hashed, so no field of a receipt may change that.
    let (left, right) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let tree = ReceiptTree::new(vec![left, right]).unwrap();
    assert_eq!(hex::encode(tree.root()), hex::encode(keccak256([left.0, right.0].concat())));
    for item in ["", "/song", &"x".repeat(5_000)] {
        let receipt = Receipt { item: item.to_owned(), ..sale(0) };
        let leaf = receipt.proven().leaf(blinding(0));
        let mut preimage = keccak256(farthing_core::wire::receipt_batch::BLINDED_RECEIPT_TYPE).to_vec();
        preimage.extend(receipt.channel_id.0);
        preimage.extend(B256::from(alloy_primitives::U256::from(receipt.cumulative_amount.base_units())));
        preimage.extend(keccak256(item));
        preimage.extend(B256::from(alloy_primitives::U256::from(receipt.price.base_units())));
        preimage.extend(B256::from(alloy_primitives::U256::from(receipt.timestamp.unix_seconds())));
        preimage.extend(blinding(0));
        preimage.extend([0; 16]);
        assert_eq!((preimage.len(), keccak256(preimage)), (224, leaf));
    }
}
