//! The reference model of money outside the escrow: the native coin, and tokens good and bad, as plain maps.

use crate::bindings::{DemoDollar, Escrow, Transfers};
use crate::call::{Funding, Signature};
use crate::contracts::{ABSENT_TOKEN, BLOCKING_DOLLAR, COIN, HOLLOW_TOKEN, REENTRANT_TOKEN, dollar};
use crate::digests::{Signing, authorization_nonce};
use crate::people::PEOPLE;
use crate::refusal::{Refusal, Refusals};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEvent;
use std::collections::{HashMap, HashSet};

/// Who holds what, and who has allowed the escrow to take it.
#[derive(Clone, Debug)]
pub struct Money {
    escrow: Address,
    /// By token (or the native coin) and holder.
    pub holdings: HashMap<(Address, Address), U256>,
    /// What the escrow may take, by token and owner.
    pub allowances: HashMap<(Address, Address), U256>,
    /// The next permit's nonce, by token and owner.
    pub permit_nonces: HashMap<(Address, Address), U256>,
    /// The nonces of authorizations that were used, with token and payer.
    pub used: HashSet<(Address, Address, B256)>,
}

/// Money on its way into the escrow.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// Who calls.
    pub caller: Address,
    /// What native coin came with the call.
    pub value: U256,
    /// What is funded with.
    pub token: Address,
    /// Whose account or channel it is.
    pub payer: Address,
    /// How much.
    pub amount: U256,
    /// The account's or channel's id.
    pub id: B256,
    /// Where it comes from.
    pub funding: &'a Funding,
    /// The time.
    pub now: u64,
    /// The domain of the day.
    pub signing: &'a Signing,
}

impl Pull<'_> {
    fn permit_is_good(&self, nonce: U256, deadline: U256, signature: &Signature) -> bool {
        let digest = self.signing.permit(self.token, self.caller, self.amount, nonce, deadline);
        // A token minds neither high s nor who relays; the escrow's stricter form is for what it reads itself.
        U256::from(self.now) <= deadline && signature.signed == Some((self.caller, digest))
    }
}

impl Money {
    /// Nobody has anything.
    #[must_use]
    pub fn new(escrow: Address) -> Self {
        Self {
            escrow,
            holdings: HashMap::new(),
            allowances: HashMap::new(),
            permit_nonces: HashMap::new(),
            used: HashSet::new(),
        }
    }

    /// What somebody holds.
    #[must_use]
    pub fn held(&self, token: Address, holder: Address) -> U256 {
        self.holdings.get(&(token, holder)).copied().unwrap_or_default()
    }

    /// What the escrow may take of an owner's tokens.
    #[must_use]
    pub fn allowance(&self, token: Address, owner: Address) -> U256 {
        self.allowances.get(&(token, owner)).copied().unwrap_or_default()
    }

    /// The nonce that an owner's next permit has to have.
    #[must_use]
    pub fn permit_nonce(&self, token: Address, owner: Address) -> U256 {
        self.permit_nonces.get(&(token, owner)).copied().unwrap_or_default()
    }

    /// Whether somebody takes what the escrow sends. The native coin is refused by the hermit and by the escrow itself.
    #[must_use]
    pub fn takes(&self, token: Address, to: Address) -> bool {
        match token {
            COIN => to != PEOPLE.hermit && to != self.escrow,
            BLOCKING_DOLLAR => to != PEOPLE.hermit,
            _ => true,
        }
    }

    /// Why a payment out of the escrow would fail.
    pub fn check_push(&self, token: Address, to: Address, why: &mut Refusals) {
        if !self.takes(token, to) {
            why.when(token == COIN, Transfers::ETHTransferFailed {});
            why.when(token != COIN, Transfers::TransferFailed {});
        }
    }

    /// Moves money, and says what the token logs.
    pub fn transfer(&mut self, token: Address, from: Address, to: Address, amount: U256) -> Option<Log> {
        *self.holdings.entry((token, from)).or_default() -= amount;
        *self.holdings.entry((token, to)).or_default() += amount;
        let event = DemoDollar::Transfer { from, to, amount };
        (token != COIN).then(|| Log { address: token, data: event.encode_log_data() })
    }

    /// Why money would not come into the escrow.
    pub fn check_pull(&self, pull: &Pull<'_>, why: &mut Refusals) {
        let (value, expected) = (pull.value, if pull.token == COIN { pull.amount } else { U256::ZERO });
        if let Funding::Caller = pull.funding {
            why.when(value != expected, Escrow::WrongValue { sent: value, expected });
        } else if pull.token == COIN {
            why.when(true, Escrow::WrongValue { sent: U256::ZERO, expected });
        }
        match pull.token {
            COIN => {}
            ABSENT_TOKEN if !matches!(pull.funding, Funding::Caller) => why.push(Refusal::empty("no code")),
            REENTRANT_TOKEN if matches!(pull.funding, Funding::Authorization { .. }) => {
                why.when(true, Escrow::FundingInProgress {});
            }
            ABSENT_TOKEN | REENTRANT_TOKEN => why.when(true, Transfers::TransferFromFailed {}),
            HOLLOW_TOKEN => {
                let (received, expected) = (U256::ZERO, pull.amount);
                why.when(!expected.is_zero(), Escrow::TransferMismatch { received, expected });
            }
            _ => self.check_dollars(pull, why),
        }
    }

    fn check_dollars(&self, pull: &Pull<'_>, why: &mut Refusals) {
        let (token, caller, payer) = (pull.token, pull.caller, pull.payer);
        let allowance = match pull.funding {
            Funding::Caller => self.allowance(token, caller),
            Funding::Permit { deadline, signature } => {
                // A permit that fails is no reason: it may have been shown to the token before.
                let is_good = pull.permit_is_good(self.permit_nonce(token, caller), *deadline, signature);
                if is_good { pull.amount } else { self.allowance(token, caller) }
            }
            Funding::Authorization { valid_after, valid_before, salt, signature } => {
                let (timestamp, nonce) = (U256::from(pull.now), authorization_nonce(pull.id, *salt));
                if timestamp <= *valid_after || timestamp >= *valid_before {
                    let error = DemoDollar::AuthorizationNotValidNow {
                        validAfter: *valid_after,
                        validBefore: *valid_before,
                        timestamp,
                    };
                    why.push(Refusal::token(&error));
                }
                if self.used.contains(&(token, payer, nonce)) {
                    why.push(Refusal::token(&DemoDollar::AuthorizationAlreadyUsed { authorizer: payer, nonce }));
                }
                let times = (*valid_after, *valid_before);
                let digest = pull.signing.authorization(token, payer, pull.amount, times, nonce);
                if signature.signed != Some((payer, digest)) {
                    why.push(Refusal::authorization_not_signed());
                }
                if self.held(token, payer) < pull.amount {
                    why.push(Refusal::token(&DemoDollar::InsufficientBalance {}));
                }
                return;
            }
        };
        let is_there = pull.amount <= allowance && pull.amount <= self.held(token, caller);
        why.when(!is_there, Transfers::TransferFromFailed {});
    }

    /// Takes what [`check_pull`](Self::check_pull) found no fault with, and says what the token logs.
    pub fn pull(&mut self, pull: &Pull<'_>) -> Vec<Log> {
        let (token, amount) = (pull.token, pull.amount);
        let mut logs = Vec::new();
        let mut from = pull.caller;
        match pull.funding {
            Funding::Permit { deadline, signature } => {
                let nonce = self.permit_nonce(token, from);
                if pull.permit_is_good(nonce, *deadline, signature) {
                    self.permit_nonces.insert((token, from), nonce + U256::ONE);
                    self.allowances.insert((token, from), amount);
                    let event = DemoDollar::Approval { owner: from, spender: self.escrow, amount };
                    logs.push(Log { address: token, data: event.encode_log_data() });
                }
            }
            Funding::Authorization { salt, .. } => {
                let nonce = authorization_nonce(pull.id, *salt);
                from = pull.payer;
                self.used.insert((token, from, nonce));
                let event = DemoDollar::AuthorizationUsed { authorizer: from, nonce };
                logs.push(Log { address: token, data: event.encode_log_data() });
            }
            Funding::Caller => {}
        }
        if !matches!(pull.funding, Funding::Authorization { .. }) && token != COIN {
            let allowance = self.allowance(token, from);
            // An endless allowance stays one.
            if allowance != U256::MAX {
                self.allowances.insert((token, from), allowance - amount);
            }
        }
        logs.extend(self.transfer(token, from, self.escrow, amount));
        logs
    }

    /// The tokens whose balances move.
    #[must_use]
    pub fn dollars() -> [Address; 2] {
        [dollar(), BLOCKING_DOLLAR]
    }
}
