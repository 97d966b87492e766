//! Eight at once, with the lanes of this processor.

use super::KnownKey;
use crate::voucher::VoucherSignature;
use alloy_primitives::B256;
use farthing_lanes::{Claim, KeyTable, Lanes};
use std::sync::{LazyLock, OnceLock};

/// With fewer, one after the other is done sooner: eight lanes take as long for one signature as for eight.
const WORTH_IT: usize = 2;

/// This processor's, if it has them.
static LANES: LazyLock<Option<Lanes>> = LazyLock::new(Lanes::detect);

/// A key's table. It is made when the key is asked for a second time: making it takes as long as two signatures do, and
/// it is three times as large as all else that is known of a channel, so whoever comes once gets none.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    came_before: OnceLock<()>,
    table: OnceLock<Option<Box<KeyTable>>>,
}

impl Table {
    fn of(known: &KnownKey) -> Option<&KeyTable> {
        let Self { came_before, table } = &known.table;
        if came_before.set(()).is_ok() {
            return None;
        }
        table.get_or_init(|| KeyTable::of(&known.key.key.coordinates()).map(Box::new)).as_deref()
    }
}

/// Which of these the lanes find good; false for all that they were not asked about.
pub(super) fn which_have_signed(claims: &[(&KnownKey, &VoucherSignature, B256)]) -> Vec<bool> {
    let mut found = vec![false; claims.len()];
    let Some(lanes) = LANES.filter(|_| claims.len() >= WORTH_IT) else { return found };
    let ready = claims.iter().enumerate().filter_map(|(index, (known, signature, digest))| {
        Some((index, Claim { table: Table::of(known)?, digest: &digest.0, scalars: signature.scalars() }))
    });
    let (indices, claims): (Vec<_>, Vec<_>) = ready.unzip();
    if claims.len() >= WORTH_IT {
        for (index, is_good) in indices.into_iter().zip(lanes.are_good(&claims)) {
            found[index] = is_good;
        }
    }
    found
}
