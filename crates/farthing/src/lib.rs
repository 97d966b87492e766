//! SDK for Farthing: pay per song, per article, per second on Ethereum.
//!
//! A [`payer`] deposits once and signs a voucher per item; a [`payee`] accepts vouchers, serves at once, and redeems
//! only the last one; the [`escrow`] contract holds the money and nobody owns it.
//!
//! This library never prints, reads no environment and no home directory: paths, keys and limits are parameters.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod chain;
pub mod clock;
pub mod delegation;
pub mod escrow;
#[cfg(feature = "local-chain")]
pub mod local_chain;
pub mod payee;
pub mod payer;
pub mod split;
pub mod token;

/// What signs: keys of this library sign digests at once, without I/O.
pub mod signer {
    pub use alloy::signers::SignerSync;
}

pub use alloy::signers::local::PrivateKeySigner;
pub use farthing_core as core;
