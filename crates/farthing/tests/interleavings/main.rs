//! The payee's verify workers, writer, first contacts and views under a scheduler that tries orders in which things
//! happen.
//!
//! `writer.rs`, `receipts.rs`, `verifying.rs`, `contacts.rs` and `views.rs` are compiled here once more, from the very
//! files of the SDK, with shuttle's threads, queues and locks in place of the system's. Each exploration also runs over
//! twins that make one mistake, and has to find it: a rule that nothing breaks shows nothing.
//!
//! `FARTHING_SCHEDULES` says how many schedules each exploration tries; `./script/verify.sh interleavings` tries many.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../../src/payee/contacts.rs"]
#[allow(unreachable_pub, dead_code, reason = "compiled a second time, of which only a part is called")]
mod contacts;
mod disk;
mod explore;
mod notary;
#[path = "../../src/payee/receipts.rs"]
#[allow(dead_code, reason = "compiled a second time, of which only a part is called")]
mod receipts;
mod selling;
mod sync;
mod twin;
#[path = "../../src/payee/verifying.rs"]
#[allow(dead_code, reason = "compiled a second time, of which only a part is called")]
mod verifying;
#[path = "../../src/payee/views.rs"]
#[allow(unreachable_pub, dead_code, reason = "compiled a second time, of which only a part is called")]
mod views;
mod watching;
mod working;
#[path = "../../src/payee/writer.rs"]
#[allow(dead_code, reason = "compiled a second time, of which only a part is called")]
mod writer;

// What those files look for beside themselves.
use farthing::escrow;
use farthing::payee::{PayeeError, store};
