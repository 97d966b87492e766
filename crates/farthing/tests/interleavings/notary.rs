//! Signs receipts with marks in place of signatures: a schedule has no time for real ones.

use crate::disk::Disk;
use crate::receipts::{Seal, SealError, Seals};
use farthing::core::ledger::Charge;
use farthing::core::{ChannelId, VoucherSignature};
use farthing::payee::posting::ChargeId;
use shuttle::sync::Mutex;
use shuttle::thread;
use std::sync::Arc;

/// Signs what is on a disk, and panics when asked for anything else.
#[derive(Debug)]
pub(crate) struct Notary {
    disk: Arc<Disk>,
    /// How often it will not sign before it does.
    refusals: Mutex<usize>,
}

impl Notary {
    pub(crate) fn new(disk: &Arc<Disk>, refusals: usize) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), refusals: Mutex::new(refusals) })
    }
}

/// The one seal of a charge.
pub(crate) fn mark(id: ChargeId) -> Seal {
    let mut bytes = [0_u8; 65];
    bytes[..32].copy_from_slice(id.0.0.as_slice());
    bytes[48..64].copy_from_slice(&id.1.base_units().to_be_bytes());
    bytes[64] = 27;
    Seal { signature: VoucherSignature::from_bytes(&bytes).expect("in the form of a signature"), path: None }
}

impl Seals for Notary {
    fn seal(&self, charged: &[(ChannelId, &Charge)]) -> Result<Vec<Seal>, SealError> {
        let ids = charged.iter().map(|(channel_id, charge)| (*channel_id, charge.cumulative_amount));
        for ((_, charge), id) in charged.iter().zip(ids.clone()) {
            let durable = self.disk.charge(id).is_some_and(|durable| durable.request == charge.request);
            assert!(durable, "signed before it is durable");
        }
        // Signing takes its time.
        thread::yield_now();
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(SealError::new("the key does not answer"));
        }
        Ok(ids.map(mark).collect())
    }
}
