//! Whether a delegation holds: whose receipts are as good as a payee's own.
//!
//! No chain is asked. A payee with a key has signed the delegation. A split has no key; but its address commits to its
//! terms, so whoever shows terms that give the payee's address has shown the payee's terms, and they name its receipt
//! key.

use crate::split::split_address;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use farthing_core::voucher::{Domain, SignatureError};
use farthing_core::wire::{Delegation, SignedDelegation};
use farthing_core::{Address, Deployment, Timestamp, VoucherSignature};

/// Thrown when a delegation proves nothing for a payee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// There is none.
    #[error("{receipt_key} is not the key of payee {payee}, and nothing says that its receipts are the payee's")]
    None {
        /// The payee.
        payee: Address,
        /// The key that would sign.
        receipt_key: Address,
    },
    /// It is good, for another key.
    #[error("the payee's receipts are signed by {named}, not by {receipt_key}")]
    OtherKey {
        /// The key that it names.
        named: Address,
        /// The key that would sign.
        receipt_key: Address,
    },
    /// Terms of another split.
    #[error("these are the terms of the split {split}, not of payee {payee}")]
    OtherSplit {
        /// Whose they are.
        split: Address,
        /// The payee.
        payee: Address,
    },
    /// A split of another escrow.
    #[error("the split is paid through escrow {actual}, not {expected}")]
    OtherEscrow {
        /// The split's.
        actual: Address,
        /// The one that is paid through.
        expected: Address,
    },
    /// Signed by somebody else.
    #[error("the delegation is signed by {signer}, not by payee {payee}; or for another escrow or chain")]
    OtherPayee {
        /// Who signed.
        signer: Address,
        /// The payee.
        payee: Address,
    },
    /// Too old.
    #[error("the delegation expired at {expires}; this is of {at}")]
    Expired {
        /// When it did.
        expires: Timestamp,
        /// When it is looked at, or the receipt was written.
        at: Timestamp,
    },
    /// Nobody signed it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The key did not sign.
    #[error("the key did not sign: {0}")]
    Key(String),
}

/// The key whose receipts, written at `at`, are `payee`'s.
///
/// # Errors
///
/// If the delegation is not this payee's in this escrow, or has expired.
pub fn receipt_key(
    delegation: &Delegation,
    deployment: Deployment,
    payee: Address,
    at: Timestamp,
) -> Result<Address, DelegationError> {
    match delegation {
        Delegation::Signature(signed) => {
            let signer = signed.payee(&Domain::new(deployment))?;
            if signer != payee {
                return Err(DelegationError::OtherPayee { signer, payee });
            }
            if at > signed.expires {
                return Err(DelegationError::Expired { expires: signed.expires, at });
            }
            Ok(signed.receipt_key)
        }
        Delegation::Split(terms) => {
            let split = split_address(terms);
            if split != payee {
                return Err(DelegationError::OtherSplit { split, payee });
            }
            if terms.escrow() != deployment.escrow {
                return Err(DelegationError::OtherEscrow { actual: terms.escrow(), expected: deployment.escrow });
            }
            Ok(terms.receipt_key())
        }
    }
}

/// Makes sure that receipts by this key are taken for the payee's. Nothing should be sold with receipts that are not.
///
/// # Errors
///
/// If it is not the payee's key, and not delegated either.
pub fn check(
    delegation: Option<&Delegation>,
    deployment: Deployment,
    payee: Address,
    key: Address,
    at: Timestamp,
) -> Result<(), DelegationError> {
    if key == payee {
        return Ok(());
    }
    let delegation = delegation.ok_or(DelegationError::None { payee, receipt_key: key })?;
    let named = receipt_key(delegation, deployment, payee, at)?;
    if named == key { Ok(()) } else { Err(DelegationError::OtherKey { named, receipt_key: key }) }
}

/// Lets `receipt_key` sign receipts in the name of `payee` until `expires`.
///
/// # Errors
///
/// If the key does not sign.
pub fn delegate(
    payee: &PrivateKeySigner,
    receipt_key: Address,
    expires: Timestamp,
    deployment: Deployment,
) -> Result<SignedDelegation, DelegationError> {
    let digest = SignedDelegation::digest(receipt_key, expires, &Domain::new(deployment));
    let signature = payee.sign_hash_sync(&digest).map_err(|error| DelegationError::Key(error.to_string()))?;
    let signature = VoucherSignature::from_bytes(&signature.as_bytes())?;
    Ok(SignedDelegation { receipt_key, expires, signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::sol_types::{SolStruct, eip712_domain};
    use farthing_core::{Member, SplitTerms};

    alloy::sol! {
        struct ReceiptKey { address receiptKey; uint64 expires; }
    }

    #[test]
    fn the_digest_is_what_any_wallet_signs() {
        let (deployment, expires) = (deployment(), Timestamp::from_unix_seconds(1_800_000_000));
        let domain = eip712_domain! {
            name: "Farthing Escrow", version: "1", chain_id: 1, verifying_contract: deployment.escrow,
        };
        let typed = ReceiptKey { receiptKey: Address::repeat_byte(5), expires: expires.unix_seconds() };
        let ours = SignedDelegation::digest(typed.receiptKey, expires, &Domain::new(deployment));
        assert_eq!(ours, typed.eip712_signing_hash(&domain));
    }

    fn deployment() -> Deployment {
        Deployment { chain_id: 1, escrow: Address::repeat_byte(0xe) }
    }

    fn terms() -> SplitTerms {
        let members = [1, 2].map(|byte| Member { account: Address::repeat_byte(byte), shares: 1 });
        SplitTerms::new(deployment().escrow, Address::repeat_byte(3), Address::repeat_byte(4), members.to_vec())
            .expect("good terms")
    }

    #[test]
    fn a_payees_signature_delegates_for_one_escrow_one_chain_and_one_time() {
        let payee = PrivateKeySigner::random();
        let (key, noon) = (Address::repeat_byte(9), Timestamp::from_unix_seconds(1_000));
        let signed = delegate(&payee, key, noon, deployment()).expect("signs");
        let named = |delegation: &SignedDelegation, deployment, payee, at| {
            receipt_key(&Delegation::Signature(delegation.clone()), deployment, payee, at)
        };
        assert_eq!(named(&signed, deployment(), payee.address(), noon), Ok(key));
        let late = named(&signed, deployment(), payee.address(), noon.plus_seconds(1));
        assert_eq!(late, Err(DelegationError::Expired { expires: noon, at: noon.plus_seconds(1) }));
        for other in [Deployment { chain_id: 2, ..deployment() }, Deployment { escrow: key, ..deployment() }] {
            let refused = named(&signed, other, payee.address(), noon);
            assert!(matches!(refused, Err(DelegationError::OtherPayee { .. })), "{refused:?}");
        }
        let refused = named(&signed, deployment(), key, noon);
        assert_eq!(refused, Err(DelegationError::OtherPayee { signer: payee.address(), payee: key }));
        let changed = SignedDelegation { receipt_key: payee.address(), ..signed };
        assert!(named(&changed, deployment(), payee.address(), noon).is_err());
    }

    #[test]
    fn a_splits_terms_delegate_for_the_address_that_they_give() {
        let (now, split) = (Timestamp::from_unix_seconds(0), split_address(&terms()));
        let delegation = Delegation::Split(terms());
        assert_eq!(receipt_key(&delegation, deployment(), split, now), Ok(terms().receipt_key()));
        let other = Address::repeat_byte(7);
        let refused = receipt_key(&delegation, deployment(), other, now);
        assert_eq!(refused, Err(DelegationError::OtherSplit { split, payee: other }));
        let elsewhere = Deployment { escrow: other, ..deployment() };
        let refused = receipt_key(&delegation, elsewhere, split, now);
        assert!(matches!(refused, Err(DelegationError::OtherEscrow { .. })), "{refused:?}");
        // Whoever changes a term has the terms of another split.
        let members = terms().members().to_vec();
        let forged = SplitTerms::new(terms().escrow(), terms().operator(), other, members).expect("good terms");
        let refused = receipt_key(&Delegation::Split(forged), deployment(), split, now);
        assert!(matches!(refused, Err(DelegationError::OtherSplit { .. })), "{refused:?}");
    }
}
