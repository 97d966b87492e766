//! Tests of the core from outside: the vectors shared with the contract, and the ledger's rules as properties.

#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test may panic")]

mod knowing;
mod ledger;
mod redemption;
mod replay;
mod vectors;
