//! Why a call is refused, as the chain says it.

use alloy_sol_types::{SolError, SolInterface};

use crate::bindings::{DemoDollar, Escrow, Recovery};

/// A reason to refuse a call.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The error's name, with its token's name before it if it is a token's.
    pub name: String,
    /// What the chain answers.
    pub data: RevertData,
}

/// What must come back from the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertData {
    /// These bytes.
    Exactly(Vec<u8>),
    /// One of these errors, with arguments that the model can't know: how much gas was left, who signed nonsense.
    AnyOf(Vec<[u8; 4]>),
}

impl Refusal {
    /// The escrow's error with exactly these arguments.
    #[must_use]
    pub fn escrow<E: SolError>(error: &E) -> Self {
        Self { name: name_of::<E>().to_owned(), data: RevertData::Exactly(error.abi_encode()) }
    }

    /// A token's error, passed on by the escrow.
    #[must_use]
    pub fn token<E: SolError>(error: &E) -> Self {
        Self { name: format!("DemoDollar.{}", name_of::<E>()), data: RevertData::Exactly(error.abi_encode()) }
    }

    /// A revert without data, as Solidity makes one where the ABI says no.
    #[must_use]
    pub fn empty(name: &str) -> Self {
        Self { name: name.to_owned(), data: RevertData::Exactly(Vec::new()) }
    }

    /// The escrow had too little gas to try a refund; how little is not the model's to know.
    #[must_use]
    pub fn gas() -> Self {
        let selectors = vec![Escrow::InsufficientGas::SELECTOR];
        Self { name: name_of::<Escrow::InsufficientGas>().to_owned(), data: RevertData::AnyOf(selectors) }
    }

    /// Nobody's signature over an authorization; the token may find a signer in it that nobody knows, or none.
    #[must_use]
    pub fn authorization_not_signed() -> Self {
        let selectors = vec![DemoDollar::AuthorizationNotSigned::SELECTOR, Recovery::InvalidSignature::SELECTOR];
        Self { name: "DemoDollar.AuthorizationNotSigned".to_owned(), data: RevertData::AnyOf(selectors) }
    }

    /// Whether this is what the chain answered.
    #[must_use]
    pub fn explains(&self, revert: &[u8]) -> bool {
        match &self.data {
            RevertData::Exactly(bytes) => bytes == revert,
            RevertData::AnyOf(selectors) => selectors.iter().any(|selector| revert.starts_with(selector)),
        }
    }
}

/// All reasons that hold against one call. The specification gives them no order, so any of them is a right answer; the
/// tally counts only those that stood alone.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Adds the escrow's error if it holds.
    #[expect(clippy::needless_pass_by_value, reason = "errors are built where they are said")]
    pub fn when<E: SolError>(&mut self, holds: bool, error: E) {
        if holds {
            self.0.push(Refusal::escrow(&error));
        }
    }

    /// Adds a reason.
    pub fn push(&mut self, refusal: Refusal) {
        self.0.push(refusal);
    }

    /// # Errors
    ///
    /// All reasons, if there is one.
    pub fn settle(self) -> Result<(), Vec<Refusal>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// The error's name, without its arguments.
fn name_of<E: SolError>() -> &'static str {
    E::SIGNATURE.split('(').next().unwrap_or(E::SIGNATURE)
}

/// What a revert says, for people.
#[must_use]
pub fn describe(revert: &[u8]) -> String {
    match Escrow::EscrowErrors::abi_decode(revert) {
        Ok(error) => format!("{error:?}"),
        Err(_) if revert.is_empty() => "a revert without data".to_owned(),
        Err(_) => format!("0x{}", alloy_primitives::hex::encode(revert)),
    }
}
