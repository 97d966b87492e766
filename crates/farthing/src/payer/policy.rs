//! What the payer's owner allows: which escrows, which tokens, and how much of them.

use farthing_core::{Address, Amount, Deployment, Token};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The longest exit delay that any genuine escrow has, in seconds: 30 days.
pub const EXIT_DELAY_ANY: u64 = 2_592_000;

/// How much of one token is spent, and at most reserved. Zero for a day means: nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The auto-approve line: what an item may cost without the owner being asked.
    pub item: Amount,
    /// What one site (origin) may be promised in one UTC day.
    pub site_per_day: Amount,
    /// What all sites together may be promised in one UTC day.
    pub day: Amount,
    /// What may be locked for one payee beyond what it is already owed.
    pub reservation: Amount,
}

impl Limits {
    /// Nothing is spent: the limits of a token for which the owner set none.
    pub const NONE: Self =
        Self { item: Amount::ZERO, site_per_day: Amount::ZERO, day: Amount::ZERO, reservation: Amount::ZERO };

    /// $1 an item, $5 a site and day, $10 a day, $5 reserved for one payee: for a token that the owner declared to be
    /// worth a dollar.
    #[must_use]
    pub fn dollars(decimals: u8) -> Self {
        let dollar = 10_u128.checked_pow(u32::from(decimals)).unwrap_or(0);
        let dollars = |count: u128| Amount::new(count.checked_mul(dollar).unwrap_or(0));
        Self { item: dollars(1), site_per_day: dollars(5), day: dollars(10), reservation: dollars(5) }
    }

    /// [`Self::dollars`] for a token declared to be worth a dollar, [`Self::NONE`] for any other: nobody but the owner
    /// can say how much of it is a sane amount.
    #[must_use]
    pub fn default_for(token: &Token) -> Self {
        if token.dollar { Self::dollars(token.decimals) } else { Self::NONE }
    }
}

/// A token that the owner knows, by its own account of decimals and worth.
///
/// A challenge also names decimals and claims to be dollar-like, for people to read. Limits never rely on it: a server
/// that calls its coin a dollar with thirty decimals would make $1 an astronomical amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownToken {
    /// The chain on which the token lives.
    pub chain_id: u64,
    /// What it is called, and how amounts of it are written.
    pub token: Token,
    /// How much of it may be spent.
    pub limits: Limits,
}

/// Which escrows are trusted with money, given the exit delay that a challenge claims.
#[derive(Clone)]
pub struct Trust(Arc<Judgement>);

type Judgement = dyn Fn(&Deployment, u64) -> bool + Send + Sync;

impl Trust {
    /// Asks a function of deployment and exit delay (in seconds).
    #[must_use]
    pub fn new(trusts: impl Fn(&Deployment, u64) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(trusts))
    }

    /// Trusts the genuine escrow, on any chain: its address proves its code and its exit delay (CREATE2).
    #[must_use]
    pub fn genuine() -> Self {
        Self::new(|deployment, exit_delay| crate::escrow::is_genuine(deployment.escrow, exit_delay))
    }

    /// Trusts none.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new(|_, _| false)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Trust(…)")
    }
}

/// Everything that a payer checks before it promises anything. The defaults are on: nothing is unlimited.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Tokens that may be spent. Any other is refused.
    pub tokens: Vec<KnownToken>,
    /// The longest exit delay that is accepted, in seconds: how long a reservation can be stuck.
    pub exit_delay_max: u64,
    /// Which escrows are trusted; the genuine one unless set otherwise.
    pub trust: Trust,
    /// Escrows that the owner allowed by hand. Their exit delay is as the owner knows it, not as a challenge says.
    pub escrows_allowed: Vec<Deployment>,
    /// Keys that payees delegated the signing of receipts to: (payee, key).
    pub receipt_keys: BTreeSet<(Address, Address)>,
    /// Whether to pay over plain HTTP to hosts other than this machine. Whoever is on the way could put its own
    /// address where the payee's should be.
    pub plain_http: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            exit_delay_max: EXIT_DELAY_ANY,
            trust: Trust::genuine(),
            escrows_allowed: Vec::new(),
            receipt_keys: BTreeSet::new(),
            plain_http: false,
        }
    }
}

impl Policy {
    /// Adds a token with its default limits (see [`Limits::default_for`]), unless it is there already, and returns its
    /// limits for adjusting.
    pub fn know(&mut self, chain_id: u64, token: Token) -> &mut Limits {
        let position = self.position(chain_id, token.address).unwrap_or_else(|| {
            let limits = Limits::default_for(&token);
            self.tokens.push(KnownToken { chain_id, token, limits });
            self.tokens.len().saturating_sub(1)
        });
        &mut self.tokens[position].limits
    }

    /// The owner's entry for a token.
    #[must_use]
    pub fn known(&self, chain_id: u64, token: Address) -> Option<&KnownToken> {
        self.position(chain_id, token).map(|position| &self.tokens[position])
    }

    fn position(&self, chain_id: u64, token: Address) -> Option<usize> {
        self.tokens.iter().position(|known| known.chain_id == chain_id && known.token.address == token)
    }

    /// Whether money may be promised through this escrow.
    #[must_use]
    pub fn trusts(&self, deployment: &Deployment, exit_delay: u64) -> bool {
        self.escrows_allowed.contains(deployment) || (self.trust.0)(deployment, exit_delay)
    }

    /// Whether `signer` may sign receipts for `payee`.
    #[must_use]
    pub fn may_sign_receipts(&self, payee: Address, signer: Address) -> bool {
        payee == signer || self.receipt_keys.contains(&(payee, signer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(dollar: bool, decimals: u8) -> Token {
        Token { address: Address::repeat_byte(1), symbol: "X".to_owned(), decimals, dollar }
    }

    #[test]
    fn only_a_token_declared_to_be_a_dollar_has_limits_by_default() {
        assert_eq!(Limits::default_for(&token(true, 6)).day, Amount::new(10_000_000));
        assert_eq!(Limits::default_for(&token(false, 18)), Limits::NONE);
        assert_eq!(Limits::dollars(200), Limits::NONE, "decimals that no amount can hold");
    }

    #[test]
    fn a_token_is_known_by_chain_and_address() {
        let mut policy = Policy::default();
        policy.know(1, token(true, 6)).item = Amount::new(7);
        assert_eq!(policy.know(1, token(true, 6)).item, Amount::new(7), "not reset by knowing it twice");
        assert!(policy.known(2, Address::repeat_byte(1)).is_none());
    }

    #[test]
    fn an_escrow_is_trusted_by_its_address_or_by_hand() {
        let deployment = Deployment { chain_id: 1, escrow: crate::escrow::genuine_address(86_400) };
        let other = Deployment { chain_id: 1, escrow: Address::repeat_byte(9) };
        let mut policy = Policy::default();
        assert!(policy.trusts(&deployment, 86_400));
        assert!(!policy.trusts(&deployment, 86_401), "another exit delay has another address");
        assert!(!policy.trusts(&other, 86_400));
        policy.escrows_allowed.push(other);
        assert!(policy.trusts(&other, 86_400));
        assert!(!policy.trusts(&Deployment { chain_id: 2, ..other }, 86_400));
    }
}
