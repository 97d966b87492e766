//! Fixtures for Farthing's own tests. Real parts: a real anvil, a real escrow, real keys (anvil's well-known ones).
//!
//! Everything here panics when it fails: a fixture that does not stand is a failed test.

#![allow(clippy::missing_panics_doc, reason = "a fixture that does not stand is a failed test")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a fixture that does not stand is a failed test")]

pub mod chain_faults;
pub mod channel_history;
pub mod commit_proxy;
pub mod conformance;
pub mod disk;
mod failing_store;
mod fixture;
pub mod histories;
pub mod ledger_model;
pub mod postgres;
pub mod power;
pub mod rpc_proxy;
pub mod sales;

pub use chain_faults::ChainFaults;
pub use failing_store::FailingStore;
pub use fixture::{Fixture, start_payee_of, wait_until};
pub use rpc_proxy::RpcProxy;
