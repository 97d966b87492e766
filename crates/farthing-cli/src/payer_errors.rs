//! What each of the payer's errors means for the owner: exit code and what to do next.

use crate::failure::{Code, Failure};
use farthing::core::wire::{Problem, ProblemType};
use farthing::payer::{BudgetError, PayerError, StoreError};
use url::Url;

/// What to do after a voucher was sent and the answer did not come.
const ASK_AGAIN: &str = "run the same command again: it sends the same voucher, which is charged once";

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::new(Code::Store, &error);
        match &error {
            StoreError::Busy { .. } => failure.hint("wait until the other farthing is done, or stop it"),
            StoreError::UnknownSchema { .. } => failure.hint("use the version of farthing that wrote it"),
            StoreError::UnknownChannel(_) => Self::new(Code::Usage, error).hint("farthing balance lists the channels"),
            _ => failure.hint("restore the file from a backup; an old copy is recognised and does no harm"),
        }
    }
}

impl From<BudgetError> for Failure {
    fn from(error: BudgetError) -> Self {
        let hint = match &error {
            BudgetError::NotSet { .. } => "set them with farthing budget --item 1 --site 5 --day 10 --reservation 5",
            BudgetError::Item { .. } => {
                "allow it with --max-price or --yes, or move the line with farthing budget --item"
            }
            BudgetError::Site { .. } => "wait until tomorrow (UTC), or raise it with farthing budget --site",
            BudgetError::Day { .. } => "wait until tomorrow (UTC), or raise it with farthing budget --day",
            _ => "raise it with farthing budget --reservation",
        };
        Self::new(Code::Policy, error).hint(hint)
    }
}

impl From<PayerError> for Failure {
    fn from(error: PayerError) -> Self {
        let error = match error {
            PayerError::Budget(error) => return (*error).into(),
            PayerError::Store(error) => return error.into(),
            error => error,
        };
        let failure = |code| Self::new(code, &error);
        match &error {
            PayerError::Url { .. } => {
                failure(Code::Usage).hint("write the whole address, such as https://music.example/songs/nocturne")
            }
            PayerError::Http(source) => {
                Self::new(Code::Site, format!("the site can't be reached: {}", innermost(source)))
                    .hint("check the address and whether the site runs")
            }
            PayerError::Status { status: 404 | 410, .. } => {
                failure(Code::UnknownItem).hint("/.well-known/farthing at the site lists what it sells")
            }
            PayerError::NoTips { .. } => failure(Code::UnknownItem).hint("name the site's own address"),
            PayerError::Status { .. } | PayerError::TooManyRedirects { .. } => {
                failure(Code::Site).hint("nothing was paid; try again later")
            }
            PayerError::Redirected { .. } => {
                failure(Code::Site).hint("nothing was paid; ask for that address yourself if you trust it")
            }
            PayerError::OutcomeUnknown { .. } | PayerError::Unanswered { .. } => failure(Code::Site).hint(ASK_AGAIN),
            PayerError::Expired { .. } => failure(Code::Creator).hint("check this computer's clock, then ask again"),
            PayerError::MethodUnsupported { .. } | PayerError::Malformed(_) | PayerError::NotAPrice { .. } => {
                failure(Code::Creator).hint("nothing was paid; the site does not ask as farthing does")
            }
            PayerError::WrongRealm { .. } => failure(Code::Creator)
                .hint("nothing was paid; if the site is behind a proxy, its creator has to name it with serve --realm"),
            PayerError::UntrustedEscrow { .. } => failure(Code::Policy)
                .hint("nothing was paid; if you know that contract, name it with --escrow (FARTHING_ESCROW)"),
            PayerError::ExitDelayTooLong { exit_delay, .. } => failure(Code::Policy)
                .hint(format!("nothing was paid; allow it with farthing budget --exit-delay-max {exit_delay}s")),
            PayerError::UnknownToken { token, .. } => failure(Code::Policy).hint(format!(
                "nothing was paid; farthing budget --token {token}, with --dollar if it is one, makes it known"
            )),
            PayerError::NoDeposit { .. } => failure(Code::Funds)
                .hint("run farthing deposit; with --relay SITE if your wallet has dollars and no gas"),
            PayerError::PayeeChanged { offered, .. } => failure(Code::Policy)
                .hint(format!("nothing was paid; ask the creator, then allow it with --accept-payee {offered}")),
            PayerError::ChannelChanged { .. } => failure(Code::Creator).hint("buy it again with --again"),
            PayerError::TooLarge { .. } => failure(Code::Policy).hint("nothing was paid"),
            PayerError::ReservationNeeded { token, amount, .. } => failure(Code::Reservation).hint(format!(
                "allow it with --reserve '{}'; what is not spent comes back after the exit delay",
                token.format(*amount)
            )),
            PayerError::ReservationNotFinal { .. } => {
                failure(Code::Reservation).hint("wait until the chain calls it final, then run the same command again")
            }
            PayerError::NotBought { .. } => failure(Code::Creator)
                .hint("nothing was paid; use the wallet that bought it, or buy it without --recall"),
            PayerError::Refused { url, status, problem } => refused(url, *status, problem),
            PayerError::TipTooSmall { .. } => failure(Code::Usage).hint("give more, or nothing"),
            _ => failure(Code::Unexpected),
        }
    }
}

/// The creator's refusal, with its type and its words.
fn refused(url: &str, status: u16, problem: &Problem) -> Failure {
    let said = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    let message = format!("{url} refuses the payment: {said} ({}, status {status})", problem.kind);
    // The same type says that the creator gives no more credit; only an empty account names the balance.
    let empty =
        problem.problem_type() == Some(ProblemType::InsufficientBalance) && problem.figures.contains_key("balance");
    if empty {
        return Failure::new(Code::Funds, message).hint("run farthing deposit");
    }
    if problem.problem_type() == Some(ProblemType::DeltaTooSmall) {
        // A voucher always goes beyond all that this store has promised on its channel.
        let site = Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization());
        return Failure::new(Code::Creator, message).hint(format!(
            "nothing was charged, but the creator counts more as spent than this store knows of, and will refuse all that \
             is bought there; farthing renew {site} begins a new channel"
        ));
    }
    let hint = match problem.problem_type() {
        Some(ProblemType::InsufficientBalance) => {
            "ask again when the creator has redeemed, or go on at once with farthing reserve SITE AMOUNT"
        }
        Some(ProblemType::ChannelFinalized) => {
            "the close of this channel is requested; after farthing finalize-close it can be used again"
        }
        Some(ProblemType::Unavailable) => "ask again later: it sends the same voucher, which is charged once",
        _ => "nothing was charged; farthing history shows the refusal",
    };
    Failure::new(Code::Creator, message).hint(hint)
}

/// What went wrong underneath: `connection refused`, not `error sending request`.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
