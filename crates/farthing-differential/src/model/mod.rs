//! The reference model: the whole escrow as plain maps, written from `IEscrow.sol`.
//!
//! It knows terms where the contract knows hashes, whole structs where the contract packs words, and how a signature
//! was made where the contract recovers who made it. Each function first collects every reason to refuse, then acts.
//!
//! Where the interface's words leave a choice, the model reads them like this. A channel "was never used" if it holds
//! and has redeemed nothing, so one that was closed unused is opened anew. A recipient is checked where a caller names
//! one; a payee is part of the terms, and only a channel without one is refused, when money is put into it. A refund that
//! its payer does not take and whose account is full is refused for its amount.

mod earn;
mod end;
mod fund;

use crate::bindings::Escrow;
use crate::call::{Action, Call};
use crate::digests::Signing;
use crate::mistake::Mistake;
use crate::money::Money;
use crate::refusal::{Refusal, Refusals};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEvent;
use farthing_core::{Account, Channel, Deployment};
use std::collections::{HashMap, HashSet};

/// The most that an account or a channel counts to.
pub const AMOUNT_MAX: u128 = (1 << 104) - 1;

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "IEscrow.sol documents them")]
pub struct AccountState {
    pub balance: u128,
    pub nonce: u64,
}

/// What a channel has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "IEscrow.sol documents them")]
pub struct ChannelState {
    pub redeemed: u128,
    pub reserved: u128,
    pub close_at: u64,
}

/// A piece of the escrow's state, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// An account's state.
    Account(Account),
    /// A channel's state.
    Channel(Channel),
    /// Whether the second is an operator of the first.
    Operator(Address, Address),
}

/// What an accepted call returns, as words.
pub type Outcome = Result<Vec<U256>, Vec<Refusal>>;

/// The escrow as it should be.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the maps are what they are called")]
pub struct Model {
    pub deployment: Deployment,
    pub exit_delay: u64,
    pub now: u64,
    pub signing: Signing,
    pub accounts: HashMap<Account, AccountState>,
    pub channels: HashMap<Channel, ChannelState>,
    pub operators: HashSet<(Address, Address)>,
    pub money: Money,
    /// What the last call logged.
    pub logs: Vec<Log>,
    /// What the last call wrote.
    pub touched: Vec<Place>,
    mistake: Option<Mistake>,
}

impl Model {
    /// A new escrow, with nothing in it.
    #[must_use]
    pub fn new(deployment: Deployment, exit_delay: u64, now: u64, mistake: Option<Mistake>) -> Self {
        Self {
            deployment,
            exit_delay,
            now,
            signing: Signing::new(deployment.escrow, deployment.chain_id),
            accounts: HashMap::new(),
            channels: HashMap::new(),
            operators: HashSet::new(),
            money: Money::new(deployment.escrow),
            logs: Vec::new(),
            touched: Vec::new(),
            mistake,
        }
    }

    /// What an account has.
    #[must_use]
    pub fn account(&self, account: &Account) -> AccountState {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    /// What a channel has.
    #[must_use]
    pub fn channel(&self, channel: &Channel) -> ChannelState {
        self.channels.get(channel).copied().unwrap_or_default()
    }

    /// A channel's id: bound to the chain as it was called when the escrow was deployed.
    #[must_use]
    pub fn id(&self, channel: &Channel) -> B256 {
        let mut deployment = self.deployment;
        if self.makes(Mistake::IdFollowsTheChain) {
            deployment.chain_id = self.signing.chain_id();
        }
        channel.id(&deployment).0
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn account_mut(&mut self, account: Account) -> &mut AccountState {
        self.touched.push(Place::Account(account));
        self.accounts.entry(account).or_default()
    }

    fn channel_mut(&mut self, channel: Channel) -> &mut ChannelState {
        self.touched.push(Place::Channel(channel));
        self.channels.entry(channel).or_default()
    }

    fn log(&mut self, event: &impl SolEvent) {
        self.logs.push(Log { address: self.deployment.escrow, data: event.encode_log_data() });
    }

    fn push(&mut self, token: Address, to: Address, amount: u128) {
        let log = self.money.transfer(token, self.deployment.escrow, to, word(amount));
        self.logs.extend(log);
    }

    /// Carries a call out, or says every reason why not; then nothing has changed.
    ///
    /// # Errors
    ///
    /// Every reason that holds, in no order.
    pub fn call(&mut self, call: &Call) -> Outcome {
        self.logs.clear();
        self.touched.clear();
        let mut why = Refusals::default();
        if !call.value.is_zero() && !call.action.is_payable() {
            why.push(Refusal::empty("not payable"));
        }
        match &call.action {
            Action::Deposit { account, amount, funding } => self.deposit(call, why, *account, *amount, funding),
            Action::Open { channel, amount, funding } => self.open(call, why, *channel, *amount, funding),
            Action::Reserve { channel, amount } => self.reserve(call, why, *channel, *amount),
            Action::Redeem { channel, cumulative_amount, signature } => {
                self.redeem(why, channel, *cumulative_amount, signature, channel.payee)
            }
            Action::RedeemTo { channel, cumulative_amount, signature, to } => {
                let is_let = self.makes(Mistake::OperatorRedeemsTo) && self.may_close(call.caller, channel);
                self.check_payee(call.caller, channel, is_let, &mut why);
                self.check_recipient(*to, &mut why);
                self.redeem(why, channel, *cumulative_amount, signature, *to)
            }
            Action::RedeemBatch { payee, token, rows, tail } => self.redeem_batch(why, *payee, *token, rows, tail),
            Action::Close { channel, cumulative_amount, signature } => {
                self.close(call, why, channel, *cumulative_amount, signature)
            }
            Action::SetOperator { operator, is_allowed } => self.set_operator(call, why, *operator, *is_allowed),
            Action::RequestClose { channel } => self.request_close(call, why, *channel),
            Action::FinalizeClose { channel } => self.finalize_close(call, why, *channel),
            Action::Withdraw { account, amount, to } => {
                let payer = account.payer;
                why.when(call.caller != payer, Escrow::NotPayer { caller: call.caller, payer });
                self.withdraw(why, *account, *amount, *to, None)
            }
            Action::WithdrawFor { account, amount, to, deadline, signature } => {
                self.withdraw_for(why, *account, *amount, *to, *deadline, signature)
            }
        }
    }

    fn may_close(&self, caller: Address, channel: &Channel) -> bool {
        caller == channel.payee || self.operators.contains(&(channel.payee, caller))
    }

    fn check_payee(&self, caller: Address, channel: &Channel, is_let: bool, why: &mut Refusals) {
        let payee = channel.payee;
        why.when(caller != payee && !is_let, Escrow::NotPayee { caller, payee });
    }

    fn check_recipient(&self, to: Address, why: &mut Refusals) {
        why.when(to.is_zero() || to == self.deployment.escrow, Escrow::InvalidRecipient { recipient: to });
    }
}

/// Why an amount can't be added to what is held.
fn check_sum(held: u128, amount: U256, why: &mut Refusals) {
    let maximum = word(AMOUNT_MAX);
    why.when(amount.is_zero(), Escrow::ZeroAmount {});
    if amount > maximum {
        why.when(true, Escrow::AmountTooLarge { amount, maximum });
    } else {
        let sum = word(held) + amount;
        why.when(sum > maximum, Escrow::AmountTooLarge { amount: sum, maximum });
    }
}

/// An amount of the escrow as the ABI has it.
#[must_use]
pub fn word(amount: u128) -> U256 {
    U256::from(amount)
}
