//! The model's deliberate mistakes, one at a time: the negative control. A test that does not notice them would not
//! notice the same mistake in the escrow either.

use std::fmt;

/// One way for the model to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mistake {
    /// The exit delay ends a second late: `<=` for `<`.
    ExitDelayEndsLate,
    /// A deadline's own second is too late: `>=` for `>`.
    DeadlineExcludesItsSecond,
    /// A promise beyond 104 bits is not clamped.
    TargetNotClamped,
    /// What a short balance can't pay is forgotten.
    ShortBalanceBurns,
    /// Anybody starts a channel's clock.
    AnyoneStartsTheClock,
    /// A clock that runs can be started again.
    ClockRestarts,
    /// Money is added to a channel whose clock runs.
    TopUpWhileTheClockRuns,
    /// A relayed withdrawal leaves the nonce as it was.
    NonceStays,
    /// An operator redeems to where it likes.
    OperatorRedeemsTo,
    /// An operator stays one, whatever the payee says.
    OperatorIsForever,
    /// The account pays before the reservation.
    AccountPaysFirst,
    /// A refund that is not taken goes to the signer's account.
    RefundToTheSigner,
    /// A close forgets what was redeemed.
    CloseForgetsRedeemed,
    /// The other `s` of a signature is as good.
    HighSIsGood,
    /// A permit that fails stops the funding.
    FailedPermitStops,
    /// A short row of a batch is skipped.
    BatchSkipsShortRows,
    /// A channel's id follows the chain when it renumbers itself.
    IdFollowsTheChain,
    /// The opening of a channel is logged as if it had been used before.
    NothingIsEverNew,
    /// A redemption returns what was promised, not what was paid.
    PromiseIsReturned,
    /// What a payee redeems to another address is sent to the payee.
    PayeeIsPaidAnyway,
    /// A voucher is paid from the payer's own account, whoever signed it.
    AnySignersAccountPays,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self).expect("no mistake is hidden");
        formatter.write_str(value.get_name())
    }
}
