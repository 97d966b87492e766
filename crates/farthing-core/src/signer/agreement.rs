//! Both implementations, the lanes, and what alloy does with the older k256, give the same answers to the same signatures.

#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test may panic")]

use super::{SignerKey, address_of, is_ambiguous, libsecp, portable};
use crate::voucher::VoucherSignature;
use alloy_primitives::{Address, B256, Signature, U256, b256, keccak256};
use farthing_lanes::{Claim, Lanes, Signed};
use k256::ecdsa::SigningKey;
use k256::elliptic_curve::PrimeField;
use k256::{ProjectivePoint, Scalar};
use std::collections::BTreeMap;

/// The order of secp256k1.
const ORDER: U256 = U256::from_be_bytes(b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0);

/// The prime of its field.
const PRIME: U256 = U256::from_be_bytes(b256!("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f").0);

/// One signature, a digest, and the key that it is checked against.
struct Case {
    signature: VoucherSignature,
    digest: B256,
    key: SigningKey,
}

impl Case {
    fn address(&self) -> Address {
        let point = self.key.verifying_key().to_sec1_point(false);
        Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
    }
}

/// A case as the lanes are asked about it.
struct Pending {
    signature: VoucherSignature,
    digest: B256,
    key: [u8; 64],
    /// Whether the key has signed.
    is_its: bool,
    /// Who has signed, if anyone.
    signer: Option<Address>,
}

/// What a whole set came to, so that no set is all of one kind.
#[derive(Default)]
struct Tally {
    known: BTreeMap<Address, (portable::Key, libsecp::Key)>,
    /// Not yet asked of the lanes: they take several, and what is in one lane must not show in another.
    pending: Vec<Pending>,
    in_lanes: usize,
    cases: usize,
    good: usize,
    foreign: usize,
    signerless: usize,
    /// Of the cases, those against another's key.
    by_others: usize,
}

/// What all agree on: who signed, if anyone.
fn recover_everywhere(signature: &VoucherSignature, digest: B256) -> Option<Address> {
    let rust = portable::recover(&digest.0, signature).map(|key| address_of(&key.coordinates()));
    let c = libsecp::recover(&digest.0, signature).map(|key| address_of(&key.coordinates()));
    assert_eq!(rust, c, "{signature} over {digest}");
    // As slow as the other two together, so it is asked now and then.
    if digest[31].is_multiple_of(8) {
        let alloy = Signature::from_raw_array(&signature.to_bytes());
        let alloy = alloy.and_then(|signature| signature.recover_address_from_prehash(&digest)).ok();
        assert_eq!(rust, alloy, "{signature} over {digest}");
    }
    rust
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cases, good, foreign, signerless, in_lanes, .. } = self;
        write!(
            formatter,
            "{cases} cases, {good} good, {foreign} by another key, {signerless} by none, {in_lanes} in lanes"
        )
    }
}

impl Tally {
    /// Asks the lanes about what has gathered, in groups of every size.
    fn ask_lanes(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let Some(lanes) = Lanes::detect() else { return };
        let mut rest = &pending[..];
        while !rest.is_empty() {
            let size = (1 + (self.in_lanes + rest.len()) % 11).min(rest.len());
            let (group, others) = rest.split_at(size);
            let claims = group.iter().map(|Pending { signature, digest, key, .. }| Claim {
                key: *key,
                digest: &digest.0,
                scalars: signature.scalars(),
            });
            let good = lanes.are_good(&claims.collect::<Vec<_>>());
            let signed = group.iter().map(|Pending { signature, digest, .. }| Signed {
                digest: &digest.0,
                scalars: signature.scalars(),
                is_odd: signature.is_odd(),
            });
            let keys = lanes.recover(&signed.collect::<Vec<_>>());
            assert_eq!((good.len(), keys.len()), (size, size));
            for ((Pending { signature, digest, is_its, signer, .. }, good), key) in group.iter().zip(good).zip(keys) {
                assert_eq!(good, *is_its, "{signature} over {digest} in lanes");
                assert_eq!(key.map(|key| address_of(&key)), *signer, "{signature} over {digest} in lanes");
                let (rust, c) =
                    (key.and_then(|key| portable::Key::at(&key)), key.and_then(|key| libsecp::Key::at(&key)));
                assert_eq!((rust.map(|key| key.coordinates()), c.map(|key| key.coordinates())), (key, key));
            }
            self.in_lanes += size;
            rest = others;
        }
    }

    /// All of them have been asked, where there are lanes.
    fn finish(&mut self) {
        self.ask_lanes();
        if Lanes::detect().is_some() {
            assert_eq!(self.in_lanes, self.cases - self.by_others, "{self:?}");
        } else {
            eprintln!("lanes are left out: this processor has no AVX-512 IFMA");
        }
    }
}

/// Both implementations' forms of a key, learnt as a payee learns them.
fn known_keys(key: &SigningKey) -> (portable::Key, libsecp::Key) {
    let probe = keccak256("a message");
    let good = sign(key, probe);
    let rust = portable::recover(&probe.0, &good).unwrap();
    let c = libsecp::recover(&probe.0, &good).unwrap();
    (rust, c)
}

/// Asks everybody about a signature with either recovery byte.
fn check(case: &Case, tally: &mut Tally) {
    let (signature, digest, expected) = (&case.signature, case.digest, case.address());
    let found =
        [*signature, signature.with_other_recovery_byte()].map(|signature| recover_everywhere(&signature, digest));
    let is_its = found.contains(&Some(expected));
    tally.cases += found.len();
    tally.good += found.iter().filter(|_| is_its).count();
    tally.foreign += found.iter().filter(|found| !is_its && found.is_some()).count();
    tally.signerless += found.iter().filter(|found| found.is_none()).count();
    // With the key known, both say the same as recovery does.
    let (rust, c) = *tally.known.entry(expected).or_insert_with(|| known_keys(&case.key));
    assert_eq!(rust.has_signed(&digest.0, signature), is_its, "{signature} over {digest} by k256");
    assert_eq!(c.has_signed(&digest.0, signature), is_its, "{signature} over {digest} by libsecp256k1");
    for (signature, signer) in [*signature, signature.with_other_recovery_byte()].into_iter().zip(found) {
        tally.pending.push(Pending { signature, digest, key: rust.coordinates(), is_its, signer });
    }
    if tally.pending.len() > 50 {
        tally.ask_lanes();
    }
    if digest[31] % 8 == 1 || is_ambiguous(signature.scalars()) {
        let known = SignerKey { address: expected, key: c };
        assert_eq!(known.has_signed(signature, digest), is_its);
        assert_eq!(SignerKey::expect(expected, *signature, digest).is_ok(), is_its);
    }
}

fn key(number: u64) -> SigningKey {
    SigningKey::from_slice(keccak256(number.to_be_bytes()).as_slice()).unwrap()
}

fn sign(key: &SigningKey, digest: B256) -> VoucherSignature {
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice());
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + recovery.to_byte());
    VoucherSignature::from_bytes(&bytes).unwrap()
}

fn from_scalars(r: U256, s: U256, v: u8) -> Option<VoucherSignature> {
    let mut bytes = [r.to_be_bytes::<32>(), s.to_be_bytes::<32>()].concat();
    bytes.push(v);
    VoucherSignature::from_bytes(&bytes).ok()
}

/// Flips one bit of r or s; nothing if what comes out is refused before any curve is looked at.
fn with_bit_flipped(signature: &VoucherSignature, bit: usize) -> Option<VoucherSignature> {
    let mut bytes = signature.to_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    VoucherSignature::from_bytes(&bytes).ok()
}

/// A quarter of the random set: good signatures, the same with one thing wrong three ways, and under another's key.
fn random_cases(quarter: u64) {
    let mut tally = Tally::default();
    for number in 0..3_300_u64 {
        let seed = quarter * 1_000_000 + number;
        let random = keccak256([seed.to_be_bytes(), [9; 8]].concat());
        let (key, digest) = (key(seed % 97), keccak256(random));
        let signature = sign(&key, digest);
        let bit = usize::from(random[0]) * 2 + usize::from(random[1] & 1);
        let mut other_digest = digest;
        other_digest[usize::from(random[2]) % 32] ^= 1 << (random[3] % 8);
        let with = |signature, digest| Case { signature, digest, key: key.clone() };
        check(&with(signature, digest), &mut tally);
        check(&with(signature, other_digest), &mut tally);
        let flipped = [bit, 511 - bit].map(|bit| with_bit_flipped(&signature, bit));
        for flipped in flipped.into_iter().flatten() {
            check(&with(flipped, digest), &mut tally);
        }
        let others = Case { signature, digest, key: self::key(seed % 97 + 1) }.address();
        if let Some((rust, c)) = tally.known.get(&others) {
            assert!(!rust.has_signed(&digest.0, &signature) && !c.has_signed(&digest.0, &signature));
            tally.cases += 1;
            tally.by_others += 1;
        }
    }
    tally.finish();
    assert!(tally.cases > 28_000 && tally.good == 2 * 3_300, "{tally:?}");
    assert!(tally.foreign > 10_000 && tally.signerless > 2_000, "{tally:?}");
}

#[test]
fn random_signatures_get_the_same_answer_from_all_first_quarter() {
    random_cases(0);
}

#[test]
fn random_signatures_get_the_same_answer_from_all_second_quarter() {
    random_cases(1);
}

#[test]
fn random_signatures_get_the_same_answer_from_all_third_quarter() {
    random_cases(2);
}

#[test]
fn random_signatures_get_the_same_answer_from_all_fourth_quarter() {
    random_cases(3);
}

/// r and s at all their bounds, over digests at theirs, with both recovery bytes.
#[test]
fn signatures_at_the_bounds_get_the_same_answer_from_all() {
    let one = U256::from(1);
    let half = ORDER >> 1;
    let small = PRIME - ORDER;
    let edges = [
        U256::ZERO,
        one,
        U256::from(2),
        small - one,
        small,
        small + one,
        U256::from(1) << 127,
        U256::from(1) << 128,
        half - one,
        half,
        half + one,
        ORDER - one,
        ORDER,
        ORDER + one,
        PRIME - one,
        PRIME,
        U256::MAX,
    ];
    let digests = edges.map(B256::from);
    let (mut tally, mut refused) = (Tally::default(), 0_usize);
    for (r, s, digest) in
        edges.iter().flat_map(|r| edges.iter().flat_map(move |s| digests.map(|digest| (*r, *s, digest))))
    {
        match from_scalars(r, s, 27) {
            Some(signature) => check(&Case { signature, digest, key: key(1) }, &mut tally),
            None => refused += 1,
        }
    }
    tally.finish();
    assert!(tally.cases > 2_000 && tally.foreign > 100 && tally.signerless > 500 && refused > 1_000, "{tally:?}");
    for v in [0, 1, 2, 26, 29, 35, 255] {
        assert_eq!(from_scalars(one, one, v), None, "v {v}");
    }
    assert_eq!(from_scalars(one, half + one, 27), None, "high s");
}

/// u₁G + u₂Q is the point at infinity, which has no x, when the digest is −r·d.
#[test]
fn a_signature_whose_point_is_at_infinity_is_nobodys() {
    let mut tally = Tally::default();
    for number in 0..200_u64 {
        let key = key(number);
        let r: B256 = keccak256(number.to_le_bytes());
        let digest = B256::from_slice(&(-(scalar(r) * *key.as_nonzero_scalar().as_ref())).to_repr());
        for s in [U256::from(1), ORDER >> 1] {
            let signature = from_scalars(U256::from_be_bytes(r.0), s, 27).unwrap();
            check(&Case { signature, digest, key: key.clone() }, &mut tally);
        }
    }
    tally.finish();
    assert_eq!((tally.cases, tally.good), (800, 0), "{tally:?}");
}

/// r⁻¹(sR − zG) is the point at infinity, which is no key, when R = kG and z = s·k; with the other R it is somebody.
#[test]
fn a_signature_whose_key_is_at_infinity_is_nobodys() {
    use k256::elliptic_curve::point::AffineCoordinates;
    let mut tally = Tally::default();
    for number in 0..200_u64 {
        let k = scalar(keccak256(number.to_be_bytes()));
        let point = (ProjectivePoint::GENERATOR * k).to_affine();
        let r = U256::from_be_slice(point.x().as_slice());
        for s in [U256::from(1), ORDER >> 1] {
            let digest = B256::from_slice(&(scalar(B256::from(s)) * k).to_repr());
            let signature = from_scalars(r, s, 27).unwrap();
            check(&Case { signature, digest, key: key(1) }, &mut tally);
        }
    }
    tally.finish();
    assert_eq!((tally.cases, tally.good, tally.foreign, tally.signerless), (800, 0, 400, 400), "{tally:?}");
}

/// An x of a point beyond the curve's order is written as a smaller r, and the escrow tries the smaller x only. Those
/// are the one kind that a check against a known key would take and the escrow would not.
#[test]
fn whether_an_r_may_stand_for_two_points_is_noticed() {
    for (r, is_one) in [
        (U256::ZERO, true),
        (PRIME - ORDER - U256::from(1), true),
        (PRIME - ORDER, true),
        (U256::from(1) << 136, false),
        (ORDER - U256::from(1), false),
    ] {
        let signature = from_scalars(r, U256::from(1), 27).unwrap();
        assert_eq!(is_ambiguous(signature.scalars()), is_one, "{r}");
    }
}

fn scalar(bytes: B256) -> Scalar {
    Option::from(Scalar::from_repr(bytes.0.into())).unwrap()
}
