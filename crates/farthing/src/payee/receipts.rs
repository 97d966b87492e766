//! Signs receipts: those that were charged in one batch with one signature.

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use farthing_core::ledger::Charge;
use farthing_core::voucher::{Domain, VoucherSignature};
use farthing_core::wire::receipt::Proven;
use farthing_core::wire::receipt_batch::{Blinding, ReceiptPath, ReceiptTree, batch_digest};
use farthing_core::{B256, ChannelId};
use std::fmt;

/// The most that one signature is for: enough that it hardly costs anything, and paths stay short.
pub(crate) const TOGETHER: usize = 64;

/// What makes a receipt of what was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) signature: VoucherSignature,
    /// How the receipt gets to what was signed, if it was not signed alone.
    pub(crate) path: Option<ReceiptPath>,
}

/// Thrown when the key did not sign. What was charged stays charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SealError(String);

impl SealError {
    pub(crate) fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// Signs what was charged, as soon as it is durable.
pub(crate) trait Seals: fmt::Debug + Send + Sync {
    /// One seal for each of these, in their order.
    ///
    /// # Errors
    ///
    /// If the key does not sign.
    fn seal(&self, charged: &[(ChannelId, &Charge)]) -> Result<Vec<Seal>, SealError>;
}

/// Signs receipts by the payee's key, or by one that it delegated.
#[derive(Debug)]
pub(crate) struct ReceiptSigner {
    key: PrivateKeySigner,
    domain: Domain,
}

impl ReceiptSigner {
    pub(crate) const fn new(key: PrivateKeySigner, domain: Domain) -> Self {
        Self { key, domain }
    }

    fn sign(&self, digest: B256) -> Result<VoucherSignature, SealError> {
        let signature = self.key.sign_hash_sync(&digest).map_err(SealError::new)?;
        VoucherSignature::from_bytes(&signature.as_bytes()).map_err(SealError::new)
    }

    /// A seal for a receipt alone.
    ///
    /// # Errors
    ///
    /// If the key does not sign.
    pub(crate) fn seal_one(&self, channel_id: ChannelId, charge: &Charge) -> Result<Seal, SealError> {
        let signature = self.sign(proven(channel_id, charge).digest(&self.domain))?;
        Ok(Seal { signature, path: None })
    }
}

impl Seals for ReceiptSigner {
    fn seal(&self, charged: &[(ChannelId, &Charge)]) -> Result<Vec<Seal>, SealError> {
        if let [(channel_id, charge)] = charged {
            return Ok(vec![self.seal_one(*channel_id, charge)?]);
        }
        let blinded = charged.iter().map(|(channel_id, charge)| {
            let blinding = Blinding::from(rand::random::<[u8; 16]>());
            (proven(*channel_id, charge).leaf(blinding), blinding)
        });
        let (leaves, blindings): (Vec<_>, Vec<_>) = blinded.unzip();
        let Some(tree) = ReceiptTree::new(leaves) else { return Ok(Vec::new()) };
        let signature = self.sign(batch_digest(tree.root(), &self.domain))?;
        let seal = |(index, blinding)| Seal { signature, path: tree.path(index, blinding) };
        Ok(blindings.into_iter().enumerate().map(seal).collect())
    }
}

/// What the receipt of a charge proves.
fn proven(channel_id: ChannelId, charge: &Charge) -> Proven<'_> {
    Proven {
        channel_id,
        cumulative_amount: charge.cumulative_amount,
        item: &charge.item,
        price: charge.price,
        timestamp: charge.at,
    }
}
