//! Eight at once, with the lanes of this processor.

use super::{SignerKey, address_of, backend};
use crate::voucher::VoucherSignature;
use alloy_primitives::{Address, B256};
use farthing_lanes::{Claim, LANES as EIGHT, Lanes, Signed};
use std::sync::LazyLock;

/// With fewer, one after the other is done sooner: eight lanes take as long for one signature as for eight, and that is
/// between two and three times as long as libsecp256k1 takes for one.
const WORTH_IT: usize = 3;

/// This processor's, if it has them.
static LANES: LazyLock<Option<Lanes>> = LazyLock::new(Lanes::detect);

/// The lanes, and those of the claims that it is worth asking them about: the first ones.
fn lanes_for<T>(claims: &[T]) -> Option<(Lanes, &[T])> {
    let (eights, left) = claims.as_chunks::<EIGHT>();
    let asked = if left.len() < WORTH_IT { eights.as_flattened() } else { claims };
    LANES.filter(|_| !asked.is_empty()).map(|lanes| (lanes, asked))
}

/// Which of these the lanes find good; false for all that they were not asked about.
pub(super) fn which_have_signed(claims: &[(&SignerKey, &VoucherSignature, B256)]) -> Vec<bool> {
    let Some((lanes, asked)) = lanes_for(claims) else { return vec![false; claims.len()] };
    let asked = asked.iter().map(|(key, signature, digest)| Claim {
        key: key.key.coordinates(),
        digest: &digest.0,
        scalars: signature.scalars(),
    });
    let mut good = lanes.are_good(&asked.collect::<Vec<_>>());
    good.resize(claims.len(), false);
    good
}

/// Whose these are, as far as the lanes find out.
pub(super) fn recover(claims: &[(Address, VoucherSignature, B256)]) -> Vec<Option<SignerKey>> {
    let Some((lanes, asked)) = lanes_for(claims) else { return vec![None; claims.len()] };
    let asked = asked.iter().map(|(_, signature, digest)| Signed {
        digest: &digest.0,
        scalars: signature.scalars(),
        is_odd: signature.is_odd(),
    });
    let found = lanes.recover(&asked.collect::<Vec<_>>()).into_iter();
    let mut keys: Vec<_> = found.map(|found| found.and_then(|coordinates| key_at(&coordinates))).collect();
    keys.resize(claims.len(), None);
    keys
}

/// The key with these coordinates, if they are those of a point of the curve.
fn key_at(coordinates: &[u8; 64]) -> Option<SignerKey> {
    let key = backend::Key::at(coordinates)?;
    Some(SignerKey { address: address_of(coordinates), key })
}
