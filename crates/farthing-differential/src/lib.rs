//! Random histories, played against the escrow's real bytecode in an EVM and against a reference model of it.
//!
//! After every call both must agree on whether it succeeds, on what it returns or for which reason and with which
//! arguments it is refused, on every event, on every slot of storage that either of them touched, and on what everybody
//! holds. `model.rs` and `money.rs` are the model, `world.rs` is the chain, `generator.rs` draws the histories and
//! `history.rs` compares. [`Mistake`]s are the negative control.

pub mod bindings;
pub mod call;
pub mod cast;
pub mod contracts;
pub mod digests;
pub mod generator;
pub mod history;
pub mod mistake;
pub mod model;
pub mod money;
pub mod people;
pub mod refusal;
pub mod run;
pub mod tally;
pub mod world;

pub use history::{Divergence, Found};
pub use mistake::Mistake;
pub use run::{Plan, Report, find_mistake};
pub use tally::{ACCEPTED_PERCENT, CALLS_PER_ERROR, Counts, Tally};
pub use world::WorldError;
