//! Budgets: what one item, one site and one day may be promised.
//!
//! A budget counts what a payee *could redeem*, not what was delivered: a promise counts from the moment it is durable,
//! which is before it is signed, so that payments in parallel (and of two processes) can't overspend together. A promise
//! that the payee refused goes on counting, because the payee still has it; it stops counting as soon as another
//! purchase from the same payee takes its place, because of two vouchers of one channel only the higher is worth
//! anything. So whatever sites do, what they hold of one day never exceeds that day's limit.

use super::policy::Limits;
use farthing_core::{Amount, Token};

/// What today's promises already count for, the one in question excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Promised to the site in question.
    pub site: Amount,
    /// Promised to all sites.
    pub all: Amount,
}

/// A purchase that is within no budget until it is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spend<'a> {
    /// The site that asks.
    pub(super) origin: &'a str,
    /// What it asks.
    pub(super) price: Amount,
    /// What the owner has agreed to pay for this item, if it was asked.
    pub(super) approved: Option<Amount>,
    /// What it asks it in.
    pub(super) token: &'a Token,
    /// Where that token lives.
    pub(super) chain_id: u64,
}

/// Thrown when a purchase is not within the owner's limits. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The owner has set no limits for this token, so that nothing of it is spent.
    #[error("no limits are set for {} on chain {chain_id}; set what an item, a site and a day may cost", token.symbol)]
    NotSet {
        /// The token.
        token: Token,
        /// Its chain.
        chain_id: u64,
    },
    /// Dearer than what is paid unasked. The owner may approve the price for this purchase.
    #[error("{} is above the {} that an item may cost unasked", token.format(*price), token.format(*limit))]
    Item {
        /// What the item costs.
        price: Amount,
        /// What it may cost: the auto-approve line, or what was approved.
        limit: Amount,
        /// The token.
        token: Token,
    },
    /// The site has had its share of the day.
    #[error(
        "{} more would take {origin} above its {} a day; today it has {}",
        token.format(*price), token.format(*limit), token.format(*counted)
    )]
    Site {
        /// The site.
        origin: String,
        /// What the item costs.
        price: Amount,
        /// What the site has today.
        counted: Amount,
        /// What it may have.
        limit: Amount,
        /// The token.
        token: Token,
    },
    /// The day's limit is reached.
    #[error(
        "{} more would go above {} a day; today {} is promised",
        token.format(*price), token.format(*limit), token.format(*counted)
    )]
    Day {
        /// What the item costs.
        price: Amount,
        /// What is promised today.
        counted: Amount,
        /// What may be.
        limit: Amount,
        /// The token.
        token: Token,
    },
    /// More would be locked for one payee than the owner allows.
    #[error("a reservation of {} is above the {} that may be locked for one payee", token.format(*amount), token.format(*limit))]
    Reservation {
        /// What would be locked beyond what is owed.
        amount: Amount,
        /// What may be.
        limit: Amount,
        /// The token.
        token: Token,
    },
}

impl Limits {
    /// Whether this purchase is within the limits, given what counts already.
    pub(super) fn check(&self, spend: &Spend<'_>, counted: Counted) -> Result<(), BudgetError> {
        let token = || spend.token.clone();
        let price = spend.price;
        if self.day.is_zero() {
            return Err(BudgetError::NotSet { token: token(), chain_id: spend.chain_id });
        }
        let line = self.item.max(spend.approved.unwrap_or_default());
        if price > line {
            return Err(BudgetError::Item { price, limit: line, token: token() });
        }
        if counted.site.saturating_add(price) > self.site_per_day {
            let origin = spend.origin.to_owned();
            let limit = self.site_per_day;
            return Err(BudgetError::Site { origin, price, counted: counted.site, limit, token: token() });
        }
        if counted.all.saturating_add(price) > self.day {
            return Err(BudgetError::Day { price, counted: counted.all, limit: self.day, token: token() });
        }
        Ok(())
    }

    /// Whether so much may be locked for one payee beyond what it is owed.
    pub(super) fn check_reservation(&self, locked: Amount, token: &Token) -> Result<(), BudgetError> {
        if locked > self.reservation {
            return Err(BudgetError::Reservation { amount: locked, limit: self.reservation, token: token.clone() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_core::Address;

    fn dollars() -> Token {
        Token { address: Address::repeat_byte(1), symbol: "USDC".to_owned(), decimals: 6, dollar: true }
    }

    fn check(price: u128, approved: Option<u128>, site: u128, all: u128) -> Result<(), BudgetError> {
        let token = dollars();
        let (price, approved) = (Amount::new(price), approved.map(Amount::new));
        let spend = Spend { origin: "https://site.example", price, approved, token: &token, chain_id: 1 };
        Limits::dollars(6).check(&spend, Counted { site: Amount::new(site), all: Amount::new(all) })
    }

    #[test]
    fn a_limit_may_be_reached_and_not_passed() {
        assert_eq!(check(1_000_000, None, 4_000_000, 9_000_000), Ok(()));
        assert!(matches!(check(1_000_001, None, 0, 0), Err(BudgetError::Item { .. })));
        assert!(matches!(check(1_000_000, None, 4_000_001, 0), Err(BudgetError::Site { .. })));
        assert!(matches!(check(1_000_000, None, 0, 9_000_001), Err(BudgetError::Day { .. })));
        assert!(check(u128::MAX, Some(u128::MAX), u128::MAX, u128::MAX).is_err(), "sums saturate");
    }

    #[test]
    fn approving_an_item_moves_the_item_line_only() {
        assert_eq!(check(3_000_000, Some(3_000_000), 0, 0), Ok(()));
        assert!(matches!(check(3_000_001, Some(3_000_000), 0, 0), Err(BudgetError::Item { .. })));
        assert!(matches!(check(6_000_000, Some(6_000_000), 0, 0), Err(BudgetError::Site { .. })));
    }

    #[test]
    fn a_refusal_reads_as_a_sentence_with_both_numbers() {
        let error = check(1_500_000, None, 0, 0).expect_err("above the line");
        assert_eq!(error.to_string(), "$1.50 is above the $1.00 that an item may cost unasked");
        let error = check(1_000_000, None, 4_500_000, 0).expect_err("above the site's share");
        let expected = "$1.00 more would take https://site.example above its $5.00 a day; today it has $4.50";
        assert_eq!(error.to_string(), expected);
    }
}
