//! A crowd of payers, each of whom owes something, and how they leave.

use crate::payee::{credential, quote, send};
use alloy::primitives::{U256, keccak256};
use alloy::sol_types::SolCall;
use farthing::PrivateKeySigner;
use farthing::core::exposure::CreditTerms;
use farthing::core::{Address, Amount, B256, Channel};
use farthing::escrow::bindings::Escrow as abi;
use farthing::local_chain::{LocalChain, LocalChainOptions, mint_demo_dollars};
use farthing::payee::Payee;
use farthing_testkit::disk::Disk;
use farthing_testkit::{ChainFaults, Fixture};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use tokio::task::JoinSet;

/// The most that an account may owe: two dollars.
pub(super) const CREDIT_LIMIT: u128 = 2_000_000;

/// What all accounts may owe that were never redeemed from.
pub(super) const STRANGERS: u128 = 500_000_000;

/// What is minted: more than the crowd needs.
const MINTED: u128 = 1_000_000_000_000;

/// How many buy at once.
const BUYERS: usize = 8;

/// Enough for every call here.
const GAS: u64 = 200_000;

/// One who leaves.
#[derive(Clone, Debug)]
pub(super) struct Leaver {
    pub(super) channel: Channel,
    key: PrivateKeySigner,
    /// What it owes.
    pub(super) owes: Amount,
    /// What was reserved, or in its account.
    pub(super) funds: Amount,
    /// What it takes out of its account; of a reservation it asks for all.
    pub(super) takes: Amount,
    pub(super) is_reserved: bool,
}

/// The crowd, its payee and their chain.
pub(super) struct Crowd {
    pub(super) fixture: Fixture,
    pub(super) faults: ChainFaults,
    pub(super) payee: Payee,
    pub(super) leavers: Vec<Leaver>,
    /// The block in which they leave.
    pub(super) left_in: u64,
}

fn funder() -> Address {
    LocalChain::test_key(0).address()
}

/// From a hundredth of a cent to nine dollars, all orders of magnitude alike.
fn draw(random: &mut StdRng) -> u128 {
    random.random_range(1..10_u128) * 10_u128.pow(random.random_range(2..7))
}

impl Leaver {
    fn draw(random: &mut StdRng, number: usize, fixture: &Fixture) -> Self {
        let key = PrivateKeySigner::from_bytes(&keccak256(format!("leaver {number}"))).expect("a key");
        let payer = key.address();
        let channel = Channel { payer, authorized_signer: payer, salt: B256::ZERO, ..fixture.channel(0) };
        let is_reserved = number.is_multiple_of(2);
        let owes = if is_reserved { draw(random) } else { draw(random).min(CREDIT_LIMIT) };
        let funds = owes + random.random_range(0..=owes);
        let is_whole = random.random_range(0..3) < 2;
        let takes = if is_whole { funds } else { random.random_range(1..=funds) };
        let amount = Amount::new;
        Self { channel, key, owes: amount(owes), funds: amount(funds), takes: amount(takes), is_reserved }
    }

    /// What of its debt there is still money for once it has left.
    pub(super) fn pays(&self) -> Amount {
        let left = if self.is_reserved { self.funds } else { self.funds.saturating_sub(self.takes) };
        self.owes.min(left)
    }

    fn abi_channel(&self) -> abi::Channel {
        let Channel { payer, payee, token, salt, authorized_signer } = self.channel;
        abi::Channel { payer, payee, token, salt, authorizedSigner: authorized_signer }
    }

    fn abi_account(&self) -> abi::Account {
        let Channel { payer, token, authorized_signer, .. } = self.channel;
        abi::Account { payer, authorizedSigner: authorized_signer, token }
    }

    /// The call by which its money comes into the escrow.
    fn fund(&self) -> Vec<u8> {
        let amount = U256::from(self.funds.base_units());
        if self.is_reserved {
            abi::openCall { channel: self.abi_channel(), amount }.abi_encode()
        } else {
            abi::depositCall { account: self.abi_account(), amount }.abi_encode()
        }
    }

    /// The call by which it leaves.
    fn leave(&self) -> Vec<u8> {
        if self.is_reserved {
            return abi::requestCloseCall { channel: self.abi_channel() }.abi_encode();
        }
        let amount = U256::from(self.takes.base_units());
        abi::withdrawCall { account: self.abi_account(), amount, to: self.channel.payer }.abi_encode()
    }
}

impl Crowd {
    /// So many payers with money in the escrow, half of it reserved; each has bought one thing.
    pub(super) async fn gather(size: usize, seed: u64) -> Self {
        let fixture = Fixture::start_with(LocalChainOptions::default()).await;
        let faults = ChainFaults::of(&fixture.local);
        let mut random = StdRng::seed_from_u64(seed);
        let leavers: Vec<Leaver> = (0..size).map(|number| Leaver::draw(&mut random, number, &fixture)).collect();
        let chain = fixture.connect(LocalChain::test_key(0)).await;
        let minted = Amount::new(MINTED);
        mint_demo_dollars(&chain, fixture.token.address, funder(), minted).await.unwrap();
        let (token, escrow) = (fixture.token.address, fixture.deployment.escrow);
        farthing::token::approve_if_needed(&chain, token, escrow, minted).await.unwrap();

        faults.impersonate_everybody().await;
        faults.set_block_gas_limit(1 << 30).await;
        faults.automine(false).await;
        for leaver in &leavers {
            faults.send_as(funder(), escrow, &leaver.fund(), GAS).await;
            faults.set_balance(leaver.channel.payer, Amount::new(10_u128.pow(18))).await;
        }
        faults.mine(1).await;
        faults.automine(true).await;
        fixture.finalize().await;

        let store = Arc::new(Disk::default().open_for(&fixture.identity()).unwrap());
        let source = Arc::new(fixture.escrow(Fixture::payee()).await);
        let limit = Amount::new(CREDIT_LIMIT);
        let credit = CreditTerms { limit, first: Some(limit), strangers_per_day: Amount::new(STRANGERS) };
        let payee = fixture.start_payee_on_terms(store, source, credit).await;
        let crowd = Self { fixture, faults, payee, leavers, left_in: 0 };
        crowd.sell().await;
        crowd
    }

    /// Everybody buys one item for what it is to owe.
    async fn sell(&self) {
        farthing::payee::Watcher::new(self.payee.clone(), self.fixture.escrow(Fixture::payee()).await)
            .step()
            .await
            .unwrap();
        let mut buying = JoinSet::new();
        for leaver in &self.leavers {
            let item = quote("/song", leaver.owes.base_units());
            let voucher = self.fixture.voucher(&leaver.channel, leaver.owes.base_units(), &leaver.key);
            let (payee, credential) = (self.payee.clone(), credential(&self.payee, &item, &leaver.channel, voucher));
            buying.spawn(async move { send(&payee, &item, &credential).await.map(drop) });
            if buying.len() == BUYERS {
                buying.join_next().await.unwrap().unwrap().unwrap();
            }
        }
        for bought in buying.join_all().await {
            bought.unwrap();
        }
    }

    /// All leave in one block, in which gas costs this much.
    pub(super) async fn leave(&mut self, base_fee: u128) {
        self.faults.automine(false).await;
        for leaver in &self.leavers {
            self.faults.send_as(leaver.channel.payer, self.fixture.deployment.escrow, &leaver.leave(), GAS).await;
        }
        self.faults.set_next_base_fee(base_fee).await;
        self.faults.mine(1).await;
        self.left_in = self.faults.head().await;
        self.faults.automine(true).await;
    }

    /// Those whose reservation is still there end it: the exit delay has run.
    pub(super) async fn finalize_closes(&self) {
        let reader = self.fixture.escrow(Fixture::payee()).await;
        self.faults.automine(false).await;
        for leaver in &self.leavers {
            let funds = reader.funds_of(&leaver.channel, Default::default()).await.unwrap();
            if !funds.channel.reserved.is_zero() {
                let call = abi::finalizeCloseCall { channel: leaver.abi_channel() }.abi_encode();
                self.faults.send_as(funder(), self.fixture.deployment.escrow, &call, GAS).await;
            }
        }
        self.faults.mine(1).await;
        self.faults.automine(true).await;
    }

    /// Whether everybody has together what was minted.
    pub(super) async fn is_conserved(&self) -> bool {
        let chain = self.fixture.connect(Fixture::payee()).await;
        let others = [funder(), Fixture::payer().address(), Fixture::payee().address(), self.fixture.deployment.escrow];
        let mut held = Amount::ZERO;
        for address in self.leavers.iter().map(|leaver| leaver.channel.payer).chain(others) {
            let part = farthing::token::balance_of(&chain, self.fixture.token.address, address).await.unwrap();
            held = held.saturating_add(part);
        }
        // The fixture's payer was given a hundred dollars.
        held == Amount::new(MINTED + 100_000_000)
    }
}
