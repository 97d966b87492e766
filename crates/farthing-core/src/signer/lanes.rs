//! Eight at once, with the lanes of this processor.

use super::{SignerKey, address_of, backend};
use crate::voucher::VoucherSignature;
use alloy_primitives::{Address, B256};
use farthing_lanes::{Claim, Lanes, Signed};
use std::sync::LazyLock;

/// With fewer, one after the other is done sooner: eight lanes take as long for one signature as for eight.
const WORTH_IT: usize = 2;

/// This processor's, if it has them.
static LANES: LazyLock<Option<Lanes>> = LazyLock::new(Lanes::detect);

/// Those that so many are asked of, if it is worth it.
fn lanes_for(count: usize) -> Option<Lanes> {
    LANES.filter(|_| count >= WORTH_IT)
}

/// Which of these the lanes find good; false for all that they were not asked about.
pub(super) fn which_have_signed(claims: &[(&SignerKey, &VoucherSignature, B256)]) -> Vec<bool> {
    let Some(lanes) = lanes_for(claims.len()) else { return vec![false; claims.len()] };
    let claims = claims.iter().map(|(key, signature, digest)| Claim {
        key: key.key.coordinates(),
        digest: &digest.0,
        scalars: signature.scalars(),
    });
    lanes.are_good(&claims.collect::<Vec<_>>())
}

/// Whose these are, as far as the lanes find out.
pub(super) fn recover(claims: &[(Address, VoucherSignature, B256)]) -> Vec<Option<SignerKey>> {
    let Some(lanes) = lanes_for(claims.len()) else { return vec![None; claims.len()] };
    let signatures = claims.iter().map(|(_, signature, digest)| Signed {
        digest: &digest.0,
        scalars: signature.scalars(),
        is_odd: signature.is_odd(),
    });
    let found = lanes.recover(&signatures.collect::<Vec<_>>()).into_iter();
    found.map(|found| found.and_then(|coordinates| key_at(&coordinates))).collect()
}

/// The key with these coordinates, if they are those of a point of the curve.
fn key_at(coordinates: &[u8; 64]) -> Option<SignerKey> {
    let key = backend::Key::at(coordinates)?;
    Some(SignerKey { address: address_of(coordinates), key })
}
