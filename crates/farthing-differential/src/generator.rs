//! What happens next in a history: mostly something that could be accepted, often something just beside it.

use crate::call::{Action, Call, Funding, Row, Signature, encode_rows};
use crate::cast::Cast;
use crate::contracts::{COIN, escrow};
use crate::digests::{Signing, authorization_nonce};
use crate::model::{AMOUNT_MAX, Model};
use crate::people::{Form, PEOPLE, spoil};
use alloy_primitives::{Address, B256, U256};
use farthing_core::{Account, Channel, ChannelId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// How many calls are remembered, to be sent again.
const REMEMBERED: usize = 48;

/// The next thing that happens.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are what they are called")]
pub enum Turn {
    /// A transaction to the escrow.
    Call(Box<Call>),
    /// Time passes, until this second.
    Wait(u64),
    /// An owner lets the escrow take this much of a token.
    Approve { token: Address, owner: Address, amount: U256 },
    /// Somebody sends tokens to the escrow past all its functions.
    Donate { token: Address, from: Address, amount: U256 },
    /// The chain renumbers itself.
    Renumber(u64),
}

/// Draws one history.
#[derive(Debug)]
pub struct Generator {
    random: StdRng,
    cast: Cast,
    past: Vec<Call>,
}

impl Generator {
    /// The generator of the history with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let cast = Cast::draw(&mut random);
        Self { random, cast, past: Vec::new() }
    }

    /// Whom the history is about.
    #[must_use]
    pub const fn cast(&self) -> &Cast {
        &self.cast
    }

    /// An exit delay for the history, and one that no escrow may have.
    pub fn exit_delays(&mut self) -> (u64, U256) {
        let good = *[3_600, 3_601, 86_400, 2_592_000].choose(&mut self.random).expect("there are some");
        let bad = [U256::ZERO, U256::from(3_599), U256::from(2_592_001), U256::MAX];
        (good, *bad.choose(&mut self.random).expect("there are some"))
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.choose(&mut self.random).expect("no choice is empty")
    }

    /// What happens next, given how things stand.
    pub fn next(&mut self, model: &Model) -> Turn {
        match self.random.random_range(0..1_000) {
            0..150 => Turn::Wait(self.later(model)),
            150..165 => {
                let (token, owner) = (self.one_of(&crate::money::Money::dollars()), self.anybody());
                let amount = self.one_of(&[U256::ZERO, U256::from(500), U256::MAX, U256::MAX]);
                Turn::Approve { token, owner, amount }
            }
            165..170 => {
                let token = self.one_of(&crate::money::Money::dollars());
                Turn::Donate { token, from: PEOPLE.alice, amount: U256::from(self.random.random_range(1..1_000_u64)) }
            }
            // Now and then, and back again: what was signed before is void meanwhile, and no id changes.
            170..172 => Turn::Renumber(self.one_of(&[model.deployment.chain_id, model.deployment.chain_id + 1])),
            172..222 if !self.past.is_empty() => {
                let past = self.random.random_range(0..self.past.len());
                Turn::Call(Box::new(self.past[past].clone()))
            }
            _ => {
                let call = self.call(model);
                if self.past.len() == REMEMBERED {
                    self.past.remove(0);
                }
                self.past.push(call.clone());
                Turn::Call(Box::new(call))
            }
        }
    }

    /// A second or so later, or the last second in which a clock runs, or the one after.
    fn later(&mut self, model: &Model) -> u64 {
        let clocks = self.cast.channels.iter().map(|channel| model.channel(channel).close_at);
        let running: Vec<_> = clocks.filter(|close_at| *close_at > model.now).collect();
        match running.choose(&mut self.random) {
            Some(close_at) if self.random.random_ratio(1, 3) => {
                (close_at - 1 + self.random.random_range(0..3)).max(model.now)
            }
            _ => model.now + self.random.random_range(0..3),
        }
    }

    fn call(&mut self, model: &Model) -> Call {
        let (caller, action) = match self.random.random_range(0..110) {
            0..20 => self.deposit(model),
            20..36 => self.open(model),
            36..45 => self.reserve(model),
            45..58 => self.redeem(model),
            58..65 => self.redeem_to(model),
            65..74 => self.redeem_batch(model),
            74..82 => self.close(model),
            82..86 => self.set_operator(),
            86..92 => self.request_close(model),
            92..98 => self.finalize_close(model),
            98..103 => self.withdraw(model),
            _ => self.withdraw_for(model),
        };
        let is_end = matches!(action, Action::Close { .. } | Action::FinalizeClose { .. });
        Call { caller, value: self.value(&action), is_scant_of_gas: is_end && self.chance(6), action }
    }

    /// The native coin that is sent along: mostly what is right.
    fn value(&mut self, action: &Action) -> U256 {
        let right = match action {
            Action::Deposit { account: Account { token: COIN, .. }, amount, funding: Funding::Caller }
            | Action::Open { channel: Channel { token: COIN, .. }, amount, funding: Funding::Caller } => *amount,
            _ => U256::ZERO,
        };
        let wrong = self.one_of(&[U256::ZERO, U256::ONE, right.saturating_add(U256::ONE)]);
        let value = if self.chance(97) { right } else { wrong };
        // Nobody can send what nobody has.
        value.min(U256::from(1_u128 << 105))
    }

    /* WHO AND HOW MUCH */

    fn anybody(&mut self) -> Address {
        self.one_of(&PEOPLE.all())
    }

    fn mostly(&mut self, right: Address) -> Address {
        // The zero address and the escrow send no transactions; neither would be taken for its own here.
        if self.chance(90) && !right.is_zero() && right != escrow() { right } else { self.anybody() }
    }

    fn recipient(&mut self) -> Address {
        match self.random.random_range(0..20) {
            0 => Address::ZERO,
            1 => escrow(),
            _ => self.anybody(),
        }
    }

    /// An amount near what matters: one of these, one less, one more, or something small, or a bound of some integer.
    fn amount(&mut self, matters: &[u128]) -> U256 {
        match self.random.random_range(0..100) {
            0..2 => U256::ZERO,
            2..60 => U256::from(self.random.random_range(1..2_000_u64)),
            60..96 => {
                let near = U256::from(self.one_of(matters));
                [near.saturating_sub(U256::ONE), near, near, near + U256::ONE][self.random.random_range(0..4)]
            }
            _ => {
                let maximum = U256::from(AMOUNT_MAX);
                self.one_of(&[maximum, maximum - U256::ONE, maximum + U256::ONE, U256::from(u128::MAX), U256::MAX])
            }
        }
    }

    fn cumulative_amount(&mut self, model: &Model, channel: &Channel) -> u128 {
        let state = model.channel(channel);
        let balance = model.account(&channel.account()).balance;
        let guaranteed = state.redeemed.saturating_add(state.reserved);
        match self.random.random_range(0..100) {
            0..55 => state.redeemed.saturating_add(self.random.random_range(1..1_000)),
            55..97 => {
                let near = self.one_of(&[state.redeemed, guaranteed, guaranteed.saturating_add(balance)]);
                near.saturating_add(self.random.random_range(0..3)).saturating_sub(1)
            }
            _ => self.one_of(&[0, AMOUNT_MAX, AMOUNT_MAX + 1, u128::MAX]),
        }
    }

    fn any_channel(&mut self) -> Channel {
        *self.cast.channels.choose(&mut self.random).expect("every cast has channels")
    }

    fn any_account(&mut self) -> Account {
        *self.cast.accounts.choose(&mut self.random).expect("every cast has accounts")
    }

    /// A channel, and mostly one with money behind it.
    fn funded_channel(&mut self, model: &Model) -> Channel {
        for _ in 0..6 {
            let channel = self.any_channel();
            let funds = model.channel(&channel).reserved.saturating_add(model.account(&channel.account()).balance);
            if funds > 0 {
                return channel;
            }
        }
        self.any_channel()
    }

    fn channel_where(&mut self, is_fit: impl Fn(&Channel) -> bool) -> Channel {
        let fit: Vec<_> = self.cast.channels.iter().copied().filter(is_fit).collect();
        if fit.is_empty() || self.chance(15) { self.any_channel() } else { self.one_of(&fit) }
    }

    fn account_where(&mut self, is_fit: impl Fn(&Account) -> bool) -> Account {
        let fit: Vec<_> = self.cast.accounts.iter().copied().filter(is_fit).collect();
        if fit.is_empty() || self.chance(15) { self.any_account() } else { self.one_of(&fit) }
    }

    /* SIGNATURES */

    fn form(&mut self) -> Form {
        self.one_of(&[Form::Full, Form::Compact])
    }

    /// Mostly the right key's signature over the right digest, else something else: another key's, one over another
    /// digest, or one that is spoiled.
    fn signature(&mut self, signer: Address, digest: B256, other_digest: impl FnOnce(&mut Self) -> B256) -> Signature {
        let form = self.form();
        self.signature_in(form, 85, signer, digest, other_digest)
    }

    fn signature_in(
        &mut self,
        form: Form,
        good_percent: u32,
        signer: Address,
        digest: B256,
        other_digest: impl FnOnce(&mut Self) -> B256,
    ) -> Signature {
        if self.chance(good_percent) {
            return PEOPLE.sign(signer, digest, form);
        }
        match self.random.random_range(0..4) {
            0 => PEOPLE.sign(self.anybody(), digest, form),
            1 => {
                let digest = other_digest(self);
                PEOPLE.sign(signer, digest, form)
            }
            _ => spoil(PEOPLE.sign(signer, digest, form), &mut self.random),
        }
    }

    /// The domain of the same escrow on another chain, or of another escrow on the same chain.
    fn other_domain(&mut self, model: &Model) -> Signing {
        let chain_id = model.signing.chain_id();
        if self.chance(50) { Signing::new(escrow(), chain_id + 7) } else { Signing::new(PEOPLE.oscar, chain_id) }
    }

    /// A voucher's signature, and sometimes one over another amount, channel, chain or escrow. Its length may be wrong.
    fn voucher(&mut self, model: &Model, channel: &Channel, cumulative_amount: u128, form: Form) -> Signature {
        let id = ChannelId(model.id(channel));
        let digest = model.signing.voucher(id, cumulative_amount);
        self.signature_in(form, 85, channel.authorized_signer, digest, |this| match this.random.random_range(0..3) {
            0 => model.signing.voucher(id, cumulative_amount ^ 1),
            1 => model.signing.voucher(ChannelId(model.id(&this.any_channel())), cumulative_amount),
            _ => this.other_domain(model).voucher(id, cumulative_amount),
        })
    }

    fn voucher_of_any_length(&mut self, model: &Model, channel: &Channel, cumulative_amount: u128) -> Signature {
        let form = self.form();
        let mut signature = self.voucher(model, channel, cumulative_amount, form);
        if self.chance(2) {
            let length = self.one_of(&[0, 1, 63, 66, 96]);
            signature.bytes.resize(length, 27);
            signature = Signature { signed: None, is_canonical: false, ..signature };
        }
        signature
    }

    fn time_near(&mut self, now: u64) -> U256 {
        let now = U256::from(now);
        self.one_of(&[now - U256::ONE, now, now + U256::ONE, now + U256::from(1_000), U256::MAX, U256::ZERO])
    }

    /* FUND */

    fn funding(
        &mut self,
        model: &Model,
        caller: Address,
        payer: Address,
        id: B256,
        token: Address,
        amount: U256,
    ) -> (Address, Funding) {
        let signing = model.signing;
        match self.random.random_range(0..5) {
            0..2 if token != COIN || self.chance(10) => {
                let (nonce, deadline) = (model.money.permit_nonce(token, caller), self.later_deadline(model.now));
                let digest = signing.permit(token, caller, amount, nonce, deadline);
                let other = signing.permit(token, caller, amount, nonce + U256::ONE, deadline);
                let signature = self.signature_in(Form::Full, 80, caller, digest, |_| other);
                (caller, Funding::Permit { deadline, signature })
            }
            2..4 if token != COIN || self.chance(10) => {
                let salt = B256::with_last_byte(self.random.random_range(0..8));
                let is_usual = self.chance(80);
                let (valid_after, valid_before) = if is_usual {
                    (U256::ZERO, U256::MAX)
                } else {
                    (self.time_near(model.now), self.time_near(model.now))
                };
                let (times, nonce) = ((valid_after, valid_before), authorization_nonce(id, salt));
                let digest = signing.authorization(token, payer, amount, times, nonce);
                let other = signing.authorization(token, payer, amount, times, salt);
                let signature = self.signature_in(Form::Full, 90, payer, digest, |_| other);
                (self.anybody(), Funding::Authorization { valid_after, valid_before, salt, signature })
            }
            _ => (caller, Funding::Caller),
        }
    }

    fn later_deadline(&mut self, now: u64) -> U256 {
        if self.chance(80) { U256::MAX } else { self.time_near(now) }
    }

    fn deposit(&mut self, model: &Model) -> (Address, Action) {
        let account = self.any_account();
        let room = AMOUNT_MAX - model.account(&account).balance.min(AMOUNT_MAX);
        let amount = self.rarely_large(room);
        let caller = self.mostly(account.payer);
        let (caller, funding) = self.funding(model, caller, account.payer, account.id().0, account.token, amount);
        (caller, Action::Deposit { account, amount, funding })
    }

    fn open(&mut self, model: &Model) -> (Address, Action) {
        let channel = self.any_channel();
        let room = AMOUNT_MAX - model.channel(&channel).reserved.min(AMOUNT_MAX);
        let amount = self.rarely_large(room);
        let caller = self.mostly(channel.payer);
        let id = model.id(&channel);
        let (caller, funding) = self.funding(model, caller, channel.payer, id, channel.token, amount);
        (caller, Action::Open { channel, amount, funding })
    }

    /// Something small; now and then exactly what still fits, or a bound. A full escrow makes for a dull history.
    fn rarely_large(&mut self, room: u128) -> U256 {
        if self.chance(95) { U256::from(self.random.random_range(1..3_000_u64)) } else { self.amount(&[room, 1]) }
    }

    /* GUARANTEE */

    fn reserve(&mut self, model: &Model) -> (Address, Action) {
        let channel = self.channel_where(|channel| model.account(&channel.account()).balance > 0);
        let balance = model.account(&channel.account()).balance;
        let room = AMOUNT_MAX - model.channel(&channel).reserved.min(AMOUNT_MAX);
        let amount = if self.chance(50) { U256::from(balance / 3) } else { self.amount(&[balance, room]) };
        (self.mostly(channel.payer), Action::Reserve { channel, amount })
    }

    /* EARN */

    fn redeem(&mut self, model: &Model) -> (Address, Action) {
        let channel = self.funded_channel(model);
        let cumulative_amount = self.cumulative_amount(model, &channel);
        let signature = self.voucher_of_any_length(model, &channel, cumulative_amount);
        (self.anybody(), Action::Redeem { channel, cumulative_amount, signature })
    }

    fn redeem_to(&mut self, model: &Model) -> (Address, Action) {
        let channel = self.funded_channel(model);
        let cumulative_amount = self.cumulative_amount(model, &channel);
        let signature = self.voucher_of_any_length(model, &channel, cumulative_amount);
        let operators: Vec<_> = model.operators.iter().filter(|(payee, _)| *payee == channel.payee).collect();
        let operator = operators.iter().map(|(_, operator)| *operator).min();
        let caller = match operator {
            Some(operator) if self.chance(10) => operator,
            _ => self.mostly(channel.payee),
        };
        let to = self.recipient();
        (caller, Action::RedeemTo { channel, cumulative_amount, signature, to })
    }

    fn redeem_batch(&mut self, model: &Model) -> (Address, Action) {
        let Channel { payee, token, .. } = self.funded_channel(model);
        let mut rows = Vec::new();
        for _ in 0..self.random.random_range(0..6) {
            let channel = self.channel_where(|channel| channel.payee == payee && channel.token == token);
            let cumulative_amount = self.cumulative_amount(model, &channel).min(AMOUNT_MAX);
            let Channel { payer, salt, authorized_signer, .. } = channel;
            let signature = self.voucher(model, &channel, cumulative_amount, Form::Compact);
            rows.push(Row {
                payer,
                authorized_signer,
                salt,
                cumulative_amount,
                signature,
                is_verbose: self.chance(20),
            });
        }
        let tail = match rows.first() {
            Some(row) if self.chance(8) => self.malformed(&encode_rows(std::slice::from_ref(row))),
            _ => Vec::new(),
        };
        (self.anybody(), Action::RedeemBatch { payee, token, rows, tail })
    }

    /// A row that ends too early, or has a flag that nobody knows.
    fn malformed(&mut self, row: &[u8]) -> Vec<u8> {
        if self.chance(50) {
            return row[..self.random.random_range(1..row.len())].to_vec();
        }
        let mut row = row.to_vec();
        row[0] = self.random.random_range(4..=255);
        row
    }

    /* END */

    fn close(&mut self, model: &Model) -> (Address, Action) {
        let channel = self.funded_channel(model);
        let redeemed = model.channel(&channel).redeemed;
        let cumulative_amount = if self.chance(30) { redeemed } else { self.cumulative_amount(model, &channel) };
        let signature = self.voucher_of_any_length(model, &channel, cumulative_amount);
        let is_allowed = model.operators.contains(&(channel.payee, PEOPLE.oscar));
        let caller = if is_allowed || self.chance(10) { PEOPLE.oscar } else { self.mostly(channel.payee) };
        (caller, Action::Close { channel, cumulative_amount, signature })
    }

    fn set_operator(&mut self) -> (Address, Action) {
        let operator = if self.chance(80) { PEOPLE.oscar } else { self.anybody() };
        let payee = self.any_channel().payee;
        (self.mostly(payee), Action::SetOperator { operator, is_allowed: self.chance(40) })
    }

    fn request_close(&mut self, model: &Model) -> (Address, Action) {
        let channel = self.channel_where(|channel| model.channel(channel).reserved > 0);
        (self.mostly(channel.payer), Action::RequestClose { channel })
    }

    fn finalize_close(&mut self, model: &Model) -> (Address, Action) {
        let now = model.now;
        let is_due = |channel: &Channel| (1..=now + 1).contains(&model.channel(channel).close_at);
        let channel = self.channel_where(is_due);
        (self.anybody(), Action::FinalizeClose { channel })
    }

    fn withdraw(&mut self, model: &Model) -> (Address, Action) {
        let account = self.account_where(|account| model.account(account).balance > 0);
        let amount = self.withdrawn(model.account(&account).balance);
        (self.mostly(account.payer), Action::Withdraw { account, amount, to: self.recipient() })
    }

    fn withdraw_for(&mut self, model: &Model) -> (Address, Action) {
        let account = self.account_where(|account| model.account(account).balance > 0);
        let state = model.account(&account);
        let (amount, to, deadline) = (self.withdrawn(state.balance), self.recipient(), self.time_near(model.now));
        let digest = model.signing.withdrawal(&account, amount, to, state.nonce, deadline);
        let signature = self.signature(account.payer, digest, |this| match this.random.random_range(0..3) {
            0 => model.signing.withdrawal(&account, amount, to, state.nonce + 1, deadline),
            1 => model.signing.withdrawal(&account, amount, PEOPLE.mallory, state.nonce, deadline),
            _ => this.other_domain(model).withdrawal(&account, amount, to, state.nonce, deadline),
        });
        (self.anybody(), Action::WithdrawFor { account, amount, to, deadline, signature })
    }

    fn withdrawn(&mut self, balance: u128) -> U256 {
        if self.chance(60) { U256::from(balance / 4 + 1) } else { self.amount(&[balance]) }
    }
}
