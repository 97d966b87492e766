//! Who takes part, and how they sign, well and badly.

use crate::call::Signature;
use alloy_primitives::{Address, B256, U256, keccak256};
use k256::ecdsa::SigningKey;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::point::AffineCoordinates;
use k256::elliptic_curve::scalar::IsHigh;
use k256::{ProjectivePoint, Scalar};
use rand::Rng;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Everybody with a key, by name.
#[derive(Debug)]
pub struct People {
    keys: HashMap<Address, Scalar>,
    nonces: Vec<Nonce>,
    /// A payer, and somebody's payee.
    pub alice: Address,
    /// A payer.
    pub bob: Address,
    /// A payee, and a payer.
    pub carol: Address,
    /// A payee.
    pub dave: Address,
    /// A payer and payee that takes neither the native coin nor the blocking dollar.
    pub hermit: Address,
    /// A session key of several payers.
    pub phone: Address,
    /// Another session key.
    pub laptop: Address,
    /// Closes channels for payees, when allowed to.
    pub oscar: Address,
    /// Has no money and no business here.
    pub mallory: Address,
}

/// Everybody.
pub static PEOPLE: LazyLock<People> = LazyLock::new(|| {
    let mut keys = HashMap::new();
    let mut person = |name: &str| {
        let key = SigningKey::from_slice(keccak256(name).as_slice()).expect("a hash is a scalar, but for one in 2^128");
        let point = key.verifying_key().to_sec1_point(false);
        let address = Address::from_raw_public_key(&point.as_bytes()[1..]);
        keys.insert(address, *key.as_nonzero_scalar().as_ref());
        address
    };
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(&mut person);
    let [hermit, phone, laptop, oscar, mallory] = ["hermit", "phone", "laptop", "oscar", "mallory"].map(&mut person);
    People {
        keys,
        nonces: (0..NONCES).map(Nonce::new).collect(),
        alice,
        bob,
        carol,
        dave,
        hermit,
        phone,
        laptop,
        oscar,
        mallory,
    }
});

/// How many nonces there are.
const NONCES: u64 = 64;

/// A secret number of ECDSA with what follows from it. To use one twice gives the key away, which would be the end of a
/// key that is worth something; these are worth nothing, and drawing no new ones makes signing forty times as fast.
#[derive(Clone, Copy, Debug)]
struct Nonce {
    inverse: Scalar,
    r: Scalar,
    is_odd: bool,
}

impl Nonce {
    fn new(number: u64) -> Self {
        let k = reduce(keccak256(number.to_be_bytes()));
        let point = (ProjectivePoint::GENERATOR * k).to_affine();
        let r = reduce(B256::from_slice(point.x().as_ref()));
        let inverse = Option::from(k.invert()).expect("no nonce is zero");
        Self { inverse, r, is_odd: point.y_is_odd().into() }
    }

    /// r, s and whether the point's y is odd, with the lower of the two s.
    fn sign(&self, key: &Scalar, digest: B256) -> ([u8; 64], u8) {
        let s = self.inverse * (reduce(digest) + self.r * key);
        let is_high = bool::from(s.is_high());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.r.to_bytes());
        bytes[32..].copy_from_slice(&if is_high { -s } else { s }.to_bytes());
        (bytes, u8::from(self.is_odd ^ is_high))
    }
}

fn reduce(bytes: B256) -> Scalar {
    <Scalar as Reduce<k256::FieldBytes>>::reduce(&bytes.0.into())
}

/// Half the order of secp256k1, rounded down: the highest `s` that EIP-2 takes.
const LOW_S_MAX: U256 =
    U256::from_be_bytes(alloy_primitives::hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"));

/// The order of secp256k1.
const ORDER: U256 =
    U256::from_be_bytes(alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));

/// How a signature is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// r, s, v.
    Full,
    /// r, vs (EIP-2098).
    Compact,
}

impl People {
    /// All of them, always in the same order.
    #[must_use]
    pub const fn all(&self) -> [Address; 9] {
        [self.alice, self.bob, self.carol, self.dave, self.hermit, self.phone, self.laptop, self.oscar, self.mallory]
    }

    /// Signs a digest as it should be, with `signer`'s key; somebody without a key has mallory sign.
    #[must_use]
    pub fn sign(&self, signer: Address, digest: B256, form: Form) -> Signature {
        let (signer, key) =
            self.keys.get(&signer).map_or((self.mallory, &self.keys[&self.mallory]), |key| (signer, key));
        let nonce = &self.nonces[usize::from(digest[0]) % self.nonces.len()];
        let (bytes, parity) = nonce.sign(key, digest);
        let mut bytes = bytes.to_vec();
        match form {
            Form::Full => bytes.push(27 + parity),
            // A low s leaves the top bit free for the parity.
            Form::Compact => bytes[32] |= parity << 7,
        }
        Signature { bytes, signed: Some((signer, digest)), is_canonical: true }
    }
}

/// Makes a good signature one that the escrow must not take.
#[must_use]
pub fn spoil(mut signature: Signature, random: &mut impl Rng) -> Signature {
    let is_full = signature.bytes.len() == 65;
    match random.random_range(0..5) {
        // The other s of the two that are valid: a good signature still, to tokens that don't mind.
        0 if is_full => {
            let s = ORDER - U256::from_be_slice(&signature.bytes[32..64]);
            signature.bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            signature.bytes[64] = 27 + 28 - signature.bytes[64];
            signature.is_canonical = false;
            return signature;
        }
        // The first s above the line, in place of the signature's own.
        1 => {
            let s = LOW_S_MAX + U256::ONE;
            signature.bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        }
        // A recovery byte that is none.
        2 if is_full => signature.bytes[64] = [0, 1, 26, 29, 255][random.random_range(0..5)],
        // The wrong parity: somebody's signature, but nobody knows whose.
        2 => signature.bytes[32] ^= 0x80,
        3 if is_full => signature.bytes[64] = 27 + 28 - signature.bytes[64],
        3 => signature.bytes[..32].fill(0),
        _ => signature.bytes[random.random_range(0..64)] ^= 1 << random.random_range(0..7),
    }
    Signature { bytes: signature.bytes, signed: None, is_canonical: false }
}
