//! The rules of Farthing payment channels.
//!
//! A payer signs [`Voucher`]s that say *in total, this channel owes you N*; a payee accepts them into its [`ledger`],
//! serves, and later redeems only the highest. This crate is the part that both sides and the contract must agree on:
//! amounts, identities, digests, the ledger's rules and what travels over HTTP.
//!
//! Nothing here does I/O, reads a clock, draws randomness or looks at the environment: time is a parameter.

pub mod amount;
pub mod batch;
pub mod exposure;
pub mod funding;
pub mod gas;
pub mod identity;
pub mod ledger;
pub mod quote;
pub mod redemption;
pub mod replay;
pub mod signer;
pub mod split;
pub mod text;
pub mod timestamp;
pub mod voucher;
pub mod wire;

pub use alloy_primitives::{Address, B256};
pub use amount::{Amount, Token};
pub use identity::{Account, AccountId, Channel, ChannelId, Deployment};
pub use split::{Member, SplitTerms};
pub use timestamp::Timestamp;
pub use voucher::{AcceptedVoucher, SignedVoucher, VerifiedVoucher, Voucher, VoucherSignature};
