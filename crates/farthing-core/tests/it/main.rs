//! Tests of the core from outside: the vectors shared with the contract, the ledger's rules as properties, and receipts.

#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test may panic")]

mod knowing;
mod ledger;
mod receipts;
mod redemption;
mod replay;
mod vectors;
