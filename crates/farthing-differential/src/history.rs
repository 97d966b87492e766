//! One history, played on the chain and in the model at once, and compared after every call.

use crate::bindings::{DemoDollar, Escrow};
use crate::call::{Call, abi_account, abi_channel};
use crate::contracts::{COIN, escrow};
use crate::generator::{Generator, Turn};
use crate::mistake::Mistake;
use crate::model::{Model, Outcome, Place};
use crate::money::Money;
use crate::people::PEOPLE;
use crate::refusal::{Refusal, describe};
use crate::tally::Tally;
use crate::world::{
    Answer, COINS, World, WorldError, balance_slot, operator_slot, read_account, read_channel, slot_of,
};
use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_sol_types::SolValue;
use farthing_core::Deployment;
use std::collections::HashMap;

/// The one chain on which the demo dollar lets itself be deployed.
const CHAIN_ID: u64 = 31_337;

/// When a history begins.
const BEGINNING: u64 = 1_900_000_000;

/// What everybody but mallory has of each dollar at first; about as much as of the native coin.
const DOLLARS: U256 = COINS;

/// After how many calls everything is compared, and not only what a call touched.
const CALLS_PER_AUDIT: u64 = 125;

/// The chain and the model disagree, or the chain did what no caller could have asked for.
#[derive(Debug, thiserror::Error)]
pub enum Divergence {
    /// They disagree about a call.
    #[error("{what}\n  the model: {expected}\n  the chain: {actual}")]
    Differs {
        /// About what.
        what: String,
        /// What the model says.
        expected: String,
        /// What the chain says.
        actual: String,
    },
    /// The chain could not carry out a transaction.
    #[error(transparent)]
    World(#[from] WorldError),
}

/// A divergence, and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{divergence}\n  call {call} of --seed {seed} --history {history}\n  {description}")]
pub struct Found {
    /// Decides, with the number, the history.
    pub seed: u64,
    /// The history's number.
    pub history: u64,
    /// The call's number in the history.
    pub call: u64,
    /// What was called.
    pub description: String,
    /// What is different.
    pub divergence: Divergence,
}

/// A history as it goes on.
#[expect(missing_debug_implementations, reason = "a chain is nothing to look at")]
pub struct History {
    world: World,
    model: Model,
    generator: Generator,
    places: HashMap<U256, Place>,
    holders: Vec<(Address, U256)>,
    tally: Tally,
}

/// Plays a history of so many calls.
///
/// # Errors
///
/// The first divergence.
pub fn play(seed: u64, number: u64, calls: u64, mistake: Option<Mistake>) -> Result<Tally, Box<Found>> {
    // Any two seeds and numbers that a person would try give different histories.
    let generator = Generator::new(seed.rotate_left(32) ^ number);
    let found =
        |call, description, divergence| Box::new(Found { seed, history: number, call, description, divergence });
    let mut history = History::begin(generator, mistake).map_err(|error| found(0, "the beginning".into(), error))?;
    let mut done = 0;
    while done < calls {
        let turn = history.generator.next(&history.model);
        done += u64::from(matches!(turn, Turn::Call(_)));
        history.take(&turn).map_err(|error| found(done, format!("{turn:?}"), error))?;
        if done.is_multiple_of(CALLS_PER_AUDIT) || done == calls {
            history.audit().map_err(|error| found(done, format!("everything, after {turn:?}"), error))?;
        }
    }
    Ok(history.tally)
}

impl History {
    fn begin(mut generator: Generator, mistake: Option<Mistake>) -> Result<Self, Divergence> {
        let (exit_delay, bad_exit_delay) = generator.exit_delays();
        let deployment = Deployment { chain_id: CHAIN_ID, escrow: escrow() };
        let (mut world, mut tally) = (World::new(CHAIN_ID)?, Tally::default());
        let answer = world.try_exit_delay(bad_exit_delay)?;
        let (minimum, maximum) = (U256::from(3_600), U256::from(30 * 86_400));
        let error = Escrow::ExitDelayOutOfRange { exitDelay: bad_exit_delay, minimum, maximum };
        let reasons = Err(vec![Refusal::escrow(&error)]);
        compare_results(&reasons, &answer)?;
        tally.refuse("constructor", &["ExitDelayOutOfRange"]);
        world.deploy_escrow(U256::from(exit_delay))?.result.map_err(WorldError::Reverted)?;
        tally.accept("constructor");
        world.set_time(BEGINNING);
        let model = Model::new(deployment, exit_delay, BEGINNING, mistake);
        let places = name_places(&generator, &model);
        let holders = PEOPLE.all().into_iter().chain([escrow(), Address::ZERO]);
        let holders = holders.map(|holder| (holder, balance_slot(holder))).collect();
        let mut history = Self { world, model, generator, places, holders, tally };
        history.hand_out_money()?;
        Ok(history)
    }

    fn hand_out_money(&mut self) -> Result<(), Divergence> {
        for person in PEOPLE.all() {
            self.model.money.holdings.insert((COIN, person), COINS);
        }
        for token in Money::dollars() {
            for person in PEOPLE.all().into_iter().filter(|person| *person != PEOPLE.mallory) {
                self.world.ask(person, token, &DemoDollar::mintCall { to: person, amount: DOLLARS })?;
                self.model.money.holdings.insert((token, person), DOLLARS);
                // Bob lives on permits.
                if person != PEOPLE.bob {
                    self.take(&Turn::Approve { token, owner: person, amount: U256::MAX })?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, turn: &Turn) -> Result<(), Divergence> {
        match *turn {
            Turn::Call(ref call) => self.compare_call(call)?,
            Turn::Wait(until) => {
                self.world.set_time(until);
                self.model.now = until;
            }
            Turn::Approve { token, owner, amount } => {
                self.world.ask(owner, token, &DemoDollar::approveCall { spender: escrow(), amount })?;
                self.model.money.allowances.insert((token, owner), amount);
            }
            Turn::Donate { token, from, amount } => {
                self.world.ask(from, token, &DemoDollar::transferCall { to: escrow(), amount })?;
                self.model.money.transfer(token, from, escrow(), amount);
            }
            Turn::Renumber(chain_id) => {
                self.world.renumber(chain_id);
                self.model.signing = crate::digests::Signing::new(escrow(), chain_id);
            }
        }
        Ok(())
    }

    fn compare_call(&mut self, call: &Call) -> Result<(), Divergence> {
        let expected = self.model.call(call);
        let actual = self.world.call(call)?;
        compare_results(&expected, &actual)?;
        let logs = if expected.is_ok() { self.model.logs.as_slice() } else { &[] };
        equal("the events differ", &logs, &actual.logs.as_slice())?;
        self.compare_touched()?;
        self.compare_money()?;
        match expected {
            Ok(_) => self.tally.accept(call.action.name()),
            Err(reasons) => {
                let reasons: Vec<_> = reasons.iter().map(|reason| reason.name.as_str()).collect();
                self.tally.refuse(call.action.name(), &reasons);
            }
        }
        for event in actual.logs.iter().filter(|log| log.address == escrow()) {
            self.tally.log(event_name(event));
        }
        Ok(())
    }

    /// Compares every slot that the chain looked at in its last transaction, and every place that the model wrote.
    fn compare_touched(&self) -> Result<(), Divergence> {
        for (slot, held, is_touched) in self.world.slots() {
            if is_touched {
                self.compare_slot(slot, held)?;
            }
        }
        for place in &self.model.touched {
            let slot = slot_of_place(&self.model, place);
            self.compare_slot(slot, self.world.slot(escrow(), slot))?;
        }
        Ok(())
    }

    fn compare_slot(&self, slot: U256, held: U256) -> Result<(), Divergence> {
        match self.places.get(&slot) {
            Some(Place::Account(account)) => {
                let what = format!("the state of {account:?} differs");
                equal(&what, &self.model.account(account), &read_account(held))
            }
            Some(Place::Channel(channel)) => {
                let what = format!("the state of {channel:?} differs");
                equal(&what, &self.model.channel(channel), &read_channel(held))
            }
            Some(Place::Operator(payee, operator)) => {
                let is_operator = self.model.operators.contains(&(*payee, *operator));
                equal("an operator differs", &U256::from(is_operator), &held)
            }
            None => equal(&format!("slot {slot:#x} belongs to nobody"), &U256::ZERO, &held),
        }
    }

    fn compare_money(&self) -> Result<(), Divergence> {
        for token in [COIN].into_iter().chain(Money::dollars()) {
            for (holder, slot) in &self.holders {
                let actual = if token == COIN { self.world.coins(*holder) } else { self.world.slot(token, *slot) };
                let expected = self.model.money.held(token, *holder);
                if expected != actual {
                    return equal(&format!("what {holder} holds of {token} differs"), &expected, &actual);
                }
            }
        }
        Ok(())
    }

    /// Compares everything: all of the escrow's storage, what its views say, and what the tokens remember.
    fn audit(&mut self) -> Result<(), Divergence> {
        for (slot, held, _) in self.world.slots() {
            self.compare_slot(slot, held)?;
        }
        self.audit_accounts()?;
        self.audit_channels()?;
        self.audit_tokens()
    }

    fn view<C: alloy_sol_types::SolCall>(&mut self, call: &C) -> Result<C::Return, Divergence> {
        Ok(self.world.ask(PEOPLE.mallory, escrow(), call)?)
    }

    fn audit_accounts(&mut self) -> Result<(), Divergence> {
        for account in self.generator.cast().accounts.clone() {
            let id = self.view(&Escrow::accountIdCall { account: abi_account(&account) })?;
            equal("accountId differs", &account.id().0, &id)?;
            let state = self.view(&Escrow::accountStateCall { id })?;
            let expected = self.model.account(&account);
            equal("accountState differs", &(expected.balance, expected.nonce), &(state.balance.to(), state.nonce))?;
        }
        Ok(())
    }

    fn audit_channels(&mut self) -> Result<(), Divergence> {
        for channel in self.generator.cast().channels.clone() {
            let id = self.view(&Escrow::channelIdCall { channel: abi_channel(&channel) })?;
            equal("channelId differs", &self.model.id(&channel), &id)?;
            let state = self.view(&Escrow::channelStateCall { id })?;
            let funds = self.view(&Escrow::fundsOfCall { channel: abi_channel(&channel) })?;
            equal("fundsOf differs from channelState", &state, &funds._0)?;
            let expected = self.model.channel(&channel);
            let actual = (state.redeemed.to(), state.reserved.to(), state.closeAt.to());
            equal("channelState differs", &(expected.redeemed, expected.reserved, expected.close_at), &actual)?;
            let balance = self.model.account(&channel.account()).balance;
            equal("fundsOf differs from the account", &balance, &funds._1.balance.to())?;
            let (payee, operator) = (channel.payee, PEOPLE.oscar);
            let is_operator = self.view(&Escrow::isOperatorCall { payee, operator })?;
            equal("isOperator differs", &self.model.operators.contains(&(payee, operator)), &is_operator)?;
        }
        Ok(())
    }

    fn audit_tokens(&mut self) -> Result<(), Divergence> {
        for token in Money::dollars() {
            for owner in PEOPLE.all() {
                let spender = escrow();
                let allowance = self.world.ask(owner, token, &DemoDollar::allowanceCall { owner, spender })?;
                equal("an allowance differs", &self.model.money.allowance(token, owner), &allowance)?;
                let nonce = self.world.ask(owner, token, &DemoDollar::noncesCall { owner })?;
                equal("a permit's nonce differs", &self.model.money.permit_nonce(token, owner), &nonce)?;
            }
        }
        Ok(())
    }
}

/// Every slot that the history can write, by what it is about.
fn name_places(generator: &Generator, model: &Model) -> HashMap<U256, Place> {
    let cast = generator.cast();
    let accounts = cast.accounts.iter().copied().map(Place::Account);
    let channels = cast.channels.iter().copied().map(Place::Channel);
    let pairs = PEOPLE.all().into_iter().flat_map(|payee| PEOPLE.all().map(|operator| (payee, operator)));
    let operators = pairs.map(|(payee, operator)| Place::Operator(payee, operator));
    let places = accounts.chain(channels).chain(operators);
    places.map(|place| (slot_of_place(model, &place), place)).collect()
}

fn slot_of_place(model: &Model, place: &Place) -> U256 {
    match place {
        Place::Account(account) => slot_of(account.id().0),
        Place::Channel(channel) => slot_of(channel.id(&model.deployment).0),
        Place::Operator(payee, operator) => operator_slot(*payee, *operator),
    }
}

fn compare_results(expected: &Outcome, actual: &Answer) -> Result<(), Divergence> {
    match (expected, &actual.result) {
        (Ok(words), Ok(output)) => equal("the results differ", &Bytes::from(words.abi_encode_packed()), output),
        (Err(reasons), Err(revert)) if reasons.iter().any(|reason| reason.explains(revert)) => Ok(()),
        (expected, actual) => {
            let expected = match expected {
                Ok(words) => format!("accepts it and returns {words:?}"),
                Err(reasons) => format!("refuses it: {reasons:?}"),
            };
            let actual = match actual {
                Ok(output) => format!("accepts it and returns {output}"),
                Err(revert) => format!("refuses it: {}", describe(revert)),
            };
            Err(Divergence::Differs { what: "one accepts or refuses otherwise".into(), expected, actual })
        }
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, actual: &T) -> Result<(), Divergence> {
    if expected == actual {
        return Ok(());
    }
    Err(Divergence::Differs { what: what.to_owned(), expected: format!("{expected:?}"), actual: format!("{actual:?}") })
}

/// The name of an event of the escrow.
fn event_name(log: &Log) -> &'static str {
    log.topics()
        .first()
        .and_then(|topic| {
            let position = Escrow::EscrowEvents::SELECTORS.iter().position(|selector| selector == &topic.0);
            position.map(|position| Escrow::EscrowEvents::VARIANT_NAMES[position])
        })
        .unwrap_or("an event that is not in the ABI")
}
