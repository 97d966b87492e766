//! What other tests stand on holds.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod postgres;
mod rpc_proxy;
