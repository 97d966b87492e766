//! What a creator says about redemption.

use crate::Amount;
use crate::gas::Percentage;
use serde::{Deserialize, Serialize};

/// A creator's terms for redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RedemptionTerms {
    /// The share of what it pays that a redemption's gas may cost while nothing presses.
    pub gas_share: Percentage,
    /// The share that it may cost when an account's credit is nearly used up, or a voucher is old, or a payer leaves
    /// and there is time.
    pub gas_share_urgent: Percentage,
    /// From which part of its allowance on an account's credit counts as nearly used up.
    pub credit_used: Percentage,
    /// After how many seconds a voucher is old.
    pub voucher_age: u64,
    /// The price of gas in wei above which only what a payer is taking away is redeemed.
    pub gas_price_max: Amount,
}

impl Default for RedemptionTerms {
    /// 1 %, or 10 % if it is urgent; from four fifths of the allowance on; after a week; up to 100 gwei.
    fn default() -> Self {
        Self {
            gas_share: Percentage::whole(1),
            gas_share_urgent: Percentage::whole(10),
            credit_used: Percentage::whole(80),
            voucher_age: 7 * 86_400,
            gas_price_max: Amount::new(100_000_000_000),
        }
    }
}

/// Thrown when terms make no sense; each key is named as a catalog names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// With nothing as a limit nothing would ever be redeemed, or everything always.
    #[error("{key} must be more than zero")]
    Zero {
        /// Which of them.
        key: &'static str,
    },
    /// A share of the money that gas may take: above all of it, redeeming would cost more than it brings.
    #[error("{key} is {share}; it can be at most 100%")]
    AboveWhole {
        /// Which of them.
        key: &'static str,
        /// What was said.
        share: Percentage,
    },
    /// What is urgent would wait for cheaper gas than what is not.
    #[error("gas_share_urgent is {urgent}, less than the {unhurried} of gas_share; it can't be less")]
    UrgentBelowUnhurried {
        /// The share for what is urgent.
        urgent: Percentage,
        /// The share for what is not.
        unhurried: Percentage,
    },
}

impl RedemptionTerms {
    /// These terms, if they make sense.
    ///
    /// # Errors
    ///
    /// The first thing that makes none.
    pub fn checked(self) -> Result<Self, TermsError> {
        let shares = [
            ("gas_share", self.gas_share),
            ("gas_share_urgent", self.gas_share_urgent),
            ("credit_used", self.credit_used),
        ];
        for (key, share) in shares {
            if share == Percentage::default() {
                return Err(TermsError::Zero { key });
            }
            if share > Percentage::WHOLE {
                return Err(TermsError::AboveWhole { key, share });
            }
        }
        if self.gas_share_urgent < self.gas_share {
            let (urgent, unhurried) = (self.gas_share_urgent, self.gas_share);
            return Err(TermsError::UrgentBelowUnhurried { urgent, unhurried });
        }
        if self.voucher_age == 0 {
            return Err(TermsError::Zero { key: "voucher_age" });
        }
        if self.gas_price_max.is_zero() {
            return Err(TermsError::Zero { key: "gas_price_max" });
        }
        Ok(self)
    }
}

/// How long before a requested close can be finalized its channel is redeemed at the latest, in seconds: half of the
/// exit delay, because chains have stood still for hours, and at most twelve hours.
#[must_use]
pub const fn exit_margin(exit_delay: u64) -> u64 {
    let half = exit_delay / 2;
    if half < 43_200 { half } else { 43_200 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_make_no_sense_are_refused() {
        let good = RedemptionTerms::default();
        assert_eq!(good.checked(), Ok(good));
        let nothing = Percentage::default();
        for (terms, error) in [
            (RedemptionTerms { gas_share: nothing, ..good }, TermsError::Zero { key: "gas_share" }),
            (RedemptionTerms { gas_share_urgent: nothing, ..good }, TermsError::Zero { key: "gas_share_urgent" }),
            (RedemptionTerms { credit_used: nothing, ..good }, TermsError::Zero { key: "credit_used" }),
            (RedemptionTerms { voucher_age: 0, ..good }, TermsError::Zero { key: "voucher_age" }),
            (RedemptionTerms { gas_price_max: Amount::ZERO, ..good }, TermsError::Zero { key: "gas_price_max" }),
            (
                RedemptionTerms { gas_share_urgent: Percentage::whole(101), ..good },
                TermsError::AboveWhole { key: "gas_share_urgent", share: Percentage::whole(101) },
            ),
            (
                RedemptionTerms { gas_share: Percentage::whole(11), ..good },
                TermsError::UrgentBelowUnhurried { urgent: Percentage::whole(10), unhurried: Percentage::whole(11) },
            ),
        ] {
            assert_eq!(terms.checked(), Err(error));
        }
    }
}
