//! Why a command failed: one line, what to do next, and the exit code.

use farthing::chain::ChainError;
use farthing::escrow::EscrowError;
use farthing::token::SigningError;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::process::ExitCode;

/// The exit codes, as `docs/cli.md` and `farthing --help` document them. Zero is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Nothing below: a full disk, a file in the way, a bug.
    Unexpected = 1,
    /// The command line.
    Usage = 2,
    /// No wallet, a wrong password.
    Wallet = 3,
    /// No answer from the chain, or another chain than needed.
    Chain = 4,
    /// No answer from the site or the gateway.
    Site = 5,
    /// Not enough money in the account or the wallet.
    Funds = 6,
    /// Nothing is sold there.
    UnknownItem = 7,
    /// The owner's own budget or policy.
    Policy = 8,
    /// The creator refused the payment.
    Creator = 9,
    /// The contract refused: a revert.
    Contract = 10,
    /// A store is in use by another process, or damaged.
    Store = 11,
    /// The creator serves only against a reservation, and none was allowed.
    Reservation = 12,
}

impl Code {
    /// The code of a number that a gateway of another version may have sent.
    pub(crate) const fn from_u8(code: u8) -> Self {
        match code {
            2 => Self::Usage,
            3 => Self::Wallet,
            4 => Self::Chain,
            5 => Self::Site,
            6 => Self::Funds,
            7 => Self::UnknownItem,
            8 => Self::Policy,
            9 => Self::Creator,
            10 => Self::Contract,
            11 => Self::Store,
            12 => Self::Reservation,
            _ => Self::Unexpected,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: Code,
    /// What happened: one lower-case line.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// What was found out all the same: fields that stand beside the error in JSON.
    pub(crate) report: Option<Box<Value>>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), hint: None, report: None }
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what was found out all the same.
    pub(crate) fn with_report(self, report: &impl Serialize) -> Self {
        Self { report: serde_json::to_value(report).ok().map(Box::new), ..self }
    }

    /// A file or folder that can't be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Code::Unexpected, format!("{}: {error}", path.display()))
            .hint("check that the path is right, that you may write there, and that the disk is not full")
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        let failure = |code| Self::new(code, &error);
        match &error {
            ChainError::Unreachable { .. } => {
                failure(Code::Chain).hint("start a node, or name another one with --rpc-url (ETH_RPC_URL)")
            }
            ChainError::WrongChain { expected, .. } => {
                failure(Code::Chain).hint(format!("name an RPC of chain {expected} with --rpc-url (ETH_RPC_URL)"))
            }
            ChainError::Reverted { .. } => failure(Code::Contract)
                .hint("nothing has changed, except gas if it was mined; farthing balance shows how things stand"),
            ChainError::NoGas { sender, .. } => {
                failure(Code::Funds).hint(format!("send {sender} some of the chain's own coin: it pays for gas"))
            }
            ChainError::Underpriced { .. } => failure(Code::Chain)
                .hint("another transaction of this wallet waits, or gas has become dearer; try again in a while"),
            ChainError::TooDear { .. } => failure(Code::Chain)
                .hint("wait until gas is cheaper, or allow more with gas_price_max in the catalog's [redemption]"),
            ChainError::NonceTaken { .. } => {
                failure(Code::Chain).hint("try again; something else uses the same wallet")
            }
            ChainError::NotMined { .. } => failure(Code::Chain).hint("look for it before you try again"),
            _ => failure(Code::Unexpected),
        }
    }
}

impl From<SigningError> for Failure {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Chain(error) => error.into(),
            error => Self::new(Code::Policy, error).hint("nothing was signed; use a wallet with gas, or another token"),
        }
    }
}

impl From<EscrowError> for Failure {
    fn from(error: EscrowError) -> Self {
        match error {
            EscrowError::Chain(error) => error.into(),
            EscrowError::NoCode { .. } => Self::new(Code::Chain, error)
                .hint("check --rpc-url, or put the escrow there with farthing escrow deploy"),
            EscrowError::ExitDelay { .. } => {
                Self::new(Code::Usage, error).hint("name seconds within these bounds with --exit-delay")
            }
            EscrowError::NoDeployer { .. } => {
                Self::new(Code::Chain, error).hint("use a chain that has it; practically all do")
            }
            EscrowError::TooFewNodes { .. } => {
                Self::new(Code::Chain, error).hint("look at what the log says of the nodes, or require fewer")
            }
            EscrowError::Answer(_) => {
                Self::new(Code::Chain, error).hint("check --escrow (FARTHING_ESCROW) with farthing escrow verify")
            }
            error => Self::new(Code::Unexpected, error),
        }
    }
}
