//! A split: a payee that belongs to several members, by their shares.
//!
//! Of each `total` base units that arrive, where `total` is the sum of all shares, the first member's shares' worth is
//! the first member's, the next the second's, and so on round. So every base unit is somebody's from the moment it
//! arrives, what a member is due never falls, and nothing is left over.

use crate::Amount;
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

/// The fewest members of a split.
pub const MEMBERS_MIN: usize = 2;

/// The most shares of all members together. The smaller a share, the longer a round, and the more it would matter who
/// comes first in it.
pub const SHARES_MAX: u64 = 10_000;

/// A member of a split and its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Whom it pays.
    pub account: Address,
    /// How many of all shares are this member's.
    pub shares: u64,
}

/// What a split is for ever. Its address proves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Unchecked")]
pub struct SplitTerms {
    escrow: Address,
    operator: Address,
    receipt_key: Address,
    members: Vec<Member>,
}

/// Terms as they came, for instance over the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unchecked {
    escrow: Address,
    operator: Address,
    receipt_key: Address,
    members: Vec<Member>,
}

/// Thrown when terms are none that a split can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitTermsError {
    /// No escrow, operator or receipt key is named.
    #[error("a split names an escrow, an operator and a receipt key, and none of them is the zero address")]
    Incomplete,
    /// One member needs no split.
    #[error("a split has {MEMBERS_MIN} members at least, not {count}")]
    TooFewMembers {
        /// How many there are.
        count: usize,
    },
    /// Which of the two shares would be meant?
    #[error("{account} is named twice")]
    NamedTwice {
        /// The member.
        account: Address,
    },
    /// Nobody has the zero address.
    #[error("the zero address can't be a member")]
    ZeroMember,
    /// A split's terms are sorted; others are those of no split.
    #[error("{account} comes after a higher address")]
    NotAscending {
        /// The first member that is not where it belongs.
        account: Address,
    },
    /// A member without a part.
    #[error("{account} has no shares")]
    ZeroShares {
        /// The member.
        account: Address,
    },
    /// Shares too fine.
    #[error("{total} shares are more than {SHARES_MAX} in all")]
    TooManyShares {
        /// How many there are in all.
        total: u128,
    },
}

impl SplitTerms {
    /// Terms of these members, in whatever order they come. They are sorted, and their shares divided by what all have
    /// in common, so that the same people with the same parts always have the same split.
    ///
    /// # Errors
    ///
    /// If no split can have such terms.
    pub fn new(
        escrow: Address,
        operator: Address,
        receipt_key: Address,
        mut members: Vec<Member>,
    ) -> Result<Self, SplitTermsError> {
        members.sort_by_key(|member| member.account);
        if let Some(pair) = members.windows(2).find(|pair| pair[0].account == pair[1].account) {
            return Err(SplitTermsError::NamedTwice { account: pair[0].account });
        }
        let common = members.iter().fold(0, |common, member| common_divisor(common, member.shares));
        for member in &mut members {
            member.shares = member.shares.checked_div(common).unwrap_or(0);
        }
        Self::as_they_are(escrow, operator, receipt_key, members)
    }

    /// Terms as a contract has them, or as somebody claims that it does: checked, and not changed.
    ///
    /// # Errors
    ///
    /// If no split can have such terms.
    pub fn as_they_are(
        escrow: Address,
        operator: Address,
        receipt_key: Address,
        members: Vec<Member>,
    ) -> Result<Self, SplitTermsError> {
        if [escrow, operator, receipt_key].iter().any(|address| address.is_zero()) {
            return Err(SplitTermsError::Incomplete);
        }
        if members.len() < MEMBERS_MIN {
            return Err(SplitTermsError::TooFewMembers { count: members.len() });
        }
        if members.iter().any(|member| member.account.is_zero()) {
            return Err(SplitTermsError::ZeroMember);
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0].account >= pair[1].account) {
            return Err(SplitTermsError::NotAscending { account: pair[1].account });
        }
        if let Some(member) = members.iter().find(|member| member.shares == 0) {
            return Err(SplitTermsError::ZeroShares { account: member.account });
        }
        let total = members.iter().fold(0_u128, |total, member| total.saturating_add(member.shares.into()));
        if total > SHARES_MAX.into() {
            return Err(SplitTermsError::TooManyShares { total });
        }
        Ok(Self { escrow, operator, receipt_key, members })
    }

    /// The escrow in which it is a payee.
    #[must_use]
    pub const fn escrow(&self) -> Address {
        self.escrow
    }

    /// The key that may close its channels there.
    #[must_use]
    pub const fn operator(&self) -> Address {
        self.operator
    }

    /// The key whose receipts for its items are good.
    #[must_use]
    pub const fn receipt_key(&self) -> Address {
        self.receipt_key
    }

    /// Its members, in ascending order of their addresses.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// All shares together.
    #[must_use]
    pub fn total_shares(&self) -> u64 {
        self.members.iter().fold(0, |total, member| total.saturating_add(member.shares))
    }

    /// How much of the first `received` base units is a member's; nothing for somebody who is none.
    #[must_use]
    pub fn part_of(&self, account: Address, received: Amount) -> Amount {
        let total = u128::from(self.total_shares());
        let mut before = 0_u128;
        for member in &self.members {
            let shares = u128::from(member.shares);
            if member.account == account {
                let received = received.base_units();
                // There are members, so there are shares: see `as_they_are`.
                let rounds = received.checked_div(total).unwrap_or(0);
                let of_rest = received.checked_rem(total).unwrap_or(0).saturating_sub(before).min(shares);
                // No more than was received, which fits.
                return Amount::new(rounds.saturating_mul(shares).saturating_add(of_rest));
            }
            before = before.saturating_add(shares);
        }
        Amount::ZERO
    }
}

impl TryFrom<Unchecked> for SplitTerms {
    type Error = SplitTermsError;

    fn try_from(terms: Unchecked) -> Result<Self, SplitTermsError> {
        Self::as_they_are(terms.escrow, terms.operator, terms.receipt_key, terms.members)
    }
}

/// Euclid's.
fn common_divisor(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left.checked_rem(right).unwrap_or(0));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    fn members(parts: &[(u8, u64)]) -> Vec<Member> {
        parts.iter().map(|(byte, shares)| Member { account: address(*byte), shares: *shares }).collect()
    }

    fn terms(parts: &[(u8, u64)]) -> Result<SplitTerms, SplitTermsError> {
        SplitTerms::new(address(0xe), address(0xf), address(0xa), members(parts))
    }

    #[test]
    fn the_same_people_with_the_same_parts_have_the_same_terms() {
        let written = terms(&[(3, 50), (1, 25), (2, 25)]).expect("good");
        assert_eq!(written.members(), members(&[(1, 1), (2, 1), (3, 2)]));
        assert_eq!(written, terms(&[(1, 2500), (2, 2500), (3, 5000)]).expect("good"));
        assert_eq!(written.total_shares(), 4);
    }

    #[test]
    fn refuses_what_the_factory_refuses() {
        use SplitTermsError as Error;
        assert_eq!(terms(&[(1, 1)]), Err(Error::TooFewMembers { count: 1 }));
        assert_eq!(terms(&[]), Err(Error::TooFewMembers { count: 0 }));
        assert_eq!(terms(&[(1, 1), (0, 1)]), Err(Error::ZeroMember));
        assert_eq!(terms(&[(1, 1), (1, 1)]), Err(Error::NamedTwice { account: address(1) }));
        assert_eq!(terms(&[(1, 0), (2, 1)]), Err(Error::ZeroShares { account: address(1) }));
        assert_eq!(terms(&[(1, 0), (2, 0)]), Err(Error::ZeroShares { account: address(1) }));
        assert_eq!(terms(&[(1, 1), (2, 10_000)]), Err(Error::TooManyShares { total: 10_001 }));
        assert!(terms(&[(1, 1), (2, 9_999)]).is_ok());
        assert_eq!(terms(&[(1, u64::MAX), (2, u64::MAX - 1)]), Err(Error::TooManyShares { total: (1 << 65) - 3 }));
        let nobody = SplitTerms::new(address(0xe), Address::ZERO, address(0xa), members(&[(1, 1), (2, 1)]));
        assert_eq!(nobody, Err(Error::Incomplete));
    }

    #[test]
    fn terms_that_are_read_are_checked_and_left_as_they_are() {
        let twice = members(&[(1, 2), (2, 2)]);
        let read = SplitTerms::as_they_are(address(0xe), address(0xf), address(0xa), twice.clone()).expect("good");
        assert_eq!(read.members(), twice, "another split than that of one share each");
        let json = serde_json::to_string(&read).expect("writes");
        assert_eq!(serde_json::from_str::<SplitTerms>(&json).expect("reads"), read);
        let unsorted = serde_json::json!({
            "escrow": address(0xe), "operator": address(0xf), "receiptKey": address(0xa),
            "members": members(&[(2, 1), (1, 1)]),
        });
        let refused = serde_json::from_value::<SplitTerms>(unsorted).expect_err("not sorted");
        assert!(refused.to_string().contains("comes after a higher address"), "{refused}");
    }

    #[test]
    fn a_round_is_dealt_share_by_share_in_the_order_of_the_members() {
        let terms = terms(&[(1, 3), (2, 1), (3, 2)]).expect("good");
        let parts: Vec<[u128; 3]> = (0..=7)
            .map(|received| [1, 2, 3].map(|byte| terms.part_of(address(byte), Amount::new(received)).base_units()))
            .collect();
        let dealt = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [3, 1, 0], [3, 1, 1], [3, 1, 2], [4, 1, 2]];
        assert_eq!(parts, dealt);
        assert_eq!(terms.part_of(address(9), Amount::new(7)), Amount::ZERO, "no member");
    }

    proptest! {
        #[test]
        fn every_base_unit_is_one_members_and_no_part_ever_falls(
            shares in proptest::collection::vec(1_u64..100, 2..8),
            received in prop_oneof![0_u128..2_000, 0..=u128::MAX - 2_000],
            more in 0_u128..2_000,
        ) {
            let parts: Vec<(u8, u64)> = (1..).zip(shares).collect();
            let terms = terms(&parts).expect("good");
            let (received, later) = (Amount::new(received), Amount::new(received.saturating_add(more)));
            let part = |byte: u8, received| terms.part_of(address(byte), received).base_units();
            let sum: u128 = parts.iter().map(|(byte, _)| part(*byte, received)).sum();
            prop_assert_eq!(sum, received.base_units());
            for (byte, _) in &parts {
                prop_assert!(part(*byte, later) >= part(*byte, received));
            }
        }
    }
}
