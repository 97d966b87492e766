//! Tests of the SDK against a real anvil, real files and real processes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod books;
mod chain;
mod embedded;
mod exodus;
mod faults;
mod gasless;
mod killing;
mod moving;
mod payee;
mod payer;
mod planning;
#[cfg(feature = "postgres")]
mod postgres;
mod pricing;
mod redeeming;
mod refunding;
mod relaying;
mod reorgs;
mod signing;
mod splitting;
mod stating;
mod stores;
mod watching;
