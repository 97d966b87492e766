//! Sends for payers who hold tokens and none of the chain's own coin, and pays their gas.
//!
//! A stranger asks, and the creator pays. So what may be asked is narrow (this ledger's own escrow and token, from a
//! minimum on, withdrawals of customers only), what it may cost is bounded (a budget of gas a day that survives a
//! restart, a price above which nothing is sent, a number of orders a payer and day), and nothing is sent that the
//! chain would refuse. The key that redeems sends this too, and they take turns.

mod error;

pub use error::RelayError;

use super::Payee;
use super::redeemer::{Redeemer, Sending, Turn};
use super::store::{Entry, Redemption, RedemptionState, Relayed};
use crate::chain::{ChainError, SignedTransaction};
use crate::clock;
use crate::escrow::EscrowError;
use crate::token::{self, SigningError};
use alloy::eips::BlockNumberOrTag;
use farthing_core::funding::TokenDomain;
use farthing_core::ledger::ChannelBooks;
use farthing_core::wire::relay::RELAY_PATH;
use farthing_core::wire::{RelayAnswer, RelayOrder, RelayRequest, RelayTerms};
use farthing_core::{Account, Address, Amount, B256, Channel, Timestamp};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many requests may be under way at once; each asks the chain a few times before it is sent or refused.
const REQUESTS_MAX: usize = 8;

/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(20);

/// How often it looks meanwhile whether another copy of it was sent.
const TURN_STEP: Duration = Duration::from_millis(250);

/// How long something must still be good when it is sent: it has to be mined before.
const GOOD_FOR_SECONDS: u64 = 60;

/// The price of gas that a creator pays at most unless it says otherwise: 50 gwei.
const GAS_PRICE_MAX: u128 = 50_000_000_000;

/// The most gas that one order may use: three times what a deposit of a usual token uses. A payer that is a contract,
/// or became one (EIP-7702), has its own code run by tokens that ask it whether it signed.
const GAS_MAX: u64 = 400_000;

/// The gas that a relay leaves in its wallet, at the price of the moment: enough to redeem with before a reservation
/// leaves.
const GAS_KEPT: u128 = 1_000_000;

/// How much a relay gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// The least that is deposited or reserved.
    pub minimum_deposit: Amount,
    /// The least that is withdrawn, unless it is all that is left.
    pub minimum_withdrawal: Amount,
    /// What the gas of one UTC day may cost, in wei.
    pub gas_budget_per_day: Amount,
    /// The price of gas, in wei, above which nothing is sent.
    pub gas_price_max: u128,
    /// The most gas that one order may use.
    pub gas_max: u64,
    /// How much is sent for one payer in one UTC day. Forgotten by a restart, unlike the budget.
    pub orders_per_payer_and_day: u32,
}

impl RelayLimits {
    /// The same minimum for both ways, and the usual bounds.
    #[must_use]
    pub const fn new(minimum: Amount, gas_budget_per_day: Amount) -> Self {
        Self {
            minimum_deposit: minimum,
            minimum_withdrawal: minimum,
            gas_budget_per_day,
            gas_price_max: GAS_PRICE_MAX,
            gas_max: GAS_MAX,
            orders_per_payer_and_day: 8,
        }
    }
}

/// Relays for one payee. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    redeemer: Redeemer,
    token_domain: TokenDomain,
    limits: RelayLimits,
    places: Semaphore,
    counts: Mutex<Counts>,
}

/// How much was sent for whom today.
#[derive(Debug, Default)]
struct Counts {
    day: u64,
    by_payer: HashMap<Address, u32>,
}

/// A request that was checked, and the digest that its payer signed.
struct Checked {
    order: RelayOrder,
    digest: B256,
}

/// What is signed and may be sent.
struct Prepared {
    signed: SignedTransaction,
    /// What it costs at most.
    cost: Amount,
    /// What waits in its place.
    rivals: Vec<Redemption>,
}

/// What comes of waiting for a turn.
enum Waited {
    Ours(Turn),
    Done(RelayAnswer),
}

impl Relay {
    /// A relay that sends with the redeemer's key and takes turns with it.
    ///
    /// # Errors
    ///
    /// If the token takes no signed transfers, or signs them in an unknown domain, or the chain does not answer.
    pub async fn start(redeemer: Redeemer, limits: RelayLimits) -> Result<Self, SigningError> {
        let token_domain = token::domain_of(redeemer.escrow().chain(), redeemer.payee.token().address).await?;
        let (address, holder) = (redeemer.payee.token().address, redeemer.payee.address());
        let known = token::authorization_used(redeemer.escrow().chain(), address, holder, B256::ZERO).await?;
        known.ok_or(SigningError::Unsupported { token: address })?;
        let (places, counts) = (Semaphore::new(REQUESTS_MAX), Mutex::default());
        Ok(Self(Arc::new(Inner { redeemer, token_domain, limits, places, counts })))
    }

    /// What the listing says.
    #[must_use]
    pub fn terms(&self) -> RelayTerms {
        let RelayLimits { minimum_deposit, minimum_withdrawal, .. } = self.0.limits;
        RelayTerms { path: RELAY_PATH.to_owned(), minimum_deposit, minimum_withdrawal }
    }

    fn payee(&self) -> &Payee {
        &self.0.redeemer.payee
    }

    /// Sends what a payer has signed, and answers as soon as the node has it. The same request again is answered with
    /// the same transaction while that can still be mined, and is no second one.
    ///
    /// # Errors
    ///
    /// See [`RelayError`].
    ///
    /// # Cancel safety
    ///
    /// What has begun to be sent is sent to the end.
    pub async fn relay(&self, request: &RelayRequest) -> Result<RelayAnswer, RelayError> {
        let checked = self.check(request)?;
        let _place = self.0.places.try_acquire().map_err(|_| RelayError::Busy)?;
        if let Some(answer) = self.sent_before(checked.digest).await? {
            return Ok(answer);
        }
        self.count(checked.order.payer(), false)?;
        self.check_on_chain(&checked.order).await?;
        let turn = match self.turn(checked.digest).await? {
            Waited::Ours(turn) => turn,
            Waited::Done(answer) => return Ok(answer),
        };
        // In a task of its own: a client that hangs up must not leave a transaction half sent.
        let relay = self.clone();
        tokio::spawn(async move { relay.send(checked, turn).await }).await.map_err(|_| RelayError::Stopped)?
    }

    /// Waits for the redeemer and for other orders; or until another copy of this one was sent, which may keep its turn
    /// for as long as a block takes.
    async fn turn(&self, digest: B256) -> Result<Waited, RelayError> {
        let deadline = tokio::time::Instant::now() + TURN_WITHIN;
        // One future throughout: whoever asks anew goes to the end of the queue.
        let mut turn = pin!(self.0.redeemer.turn());
        while tokio::time::Instant::now() < deadline {
            tokio::select! {
                turn = &mut turn => return Ok(Waited::Ours(turn?)),
                () = tokio::time::sleep(TURN_STEP) => {}
            }
            if let Some(answer) = self.sent_before(digest).await? {
                return Ok(Waited::Done(answer));
            }
        }
        Err(RelayError::Busy)
    }

    /// Everything that can be told without the chain.
    fn check(&self, request: &RelayRequest) -> Result<Checked, RelayError> {
        let (payee, order) = (self.payee(), &request.order);
        let deployment = *payee.domain().deployment();
        if request.deployment != deployment {
            return Err(RelayError::NotOurs { what: "the escrow" });
        }
        if order.token() != payee.token().address {
            return Err(RelayError::NotOurs { what: "the token" });
        }
        if matches!(order, RelayOrder::Open { channel, .. } if channel.payee != payee.address()) {
            return Err(RelayError::NotOurs { what: "the payee" });
        }
        // A withdrawal may be less if it is all that is left; that the chain has to say.
        if order.authorization(&deployment).is_some() {
            self.check_minimum(order.amount(), self.0.limits.minimum_deposit)?;
        }
        let digest = match order {
            RelayOrder::Withdrawal { withdrawal, .. } => withdrawal.digest(payee.domain()),
            order => order.authorization(&deployment).map_or(B256::ZERO, |signed| signed.digest(&self.0.token_domain)),
        };
        order.verify(digest)?;
        Ok(Checked { order: *order, digest })
    }

    fn check_minimum(&self, amount: Amount, minimum: Amount) -> Result<(), RelayError> {
        if amount < minimum {
            return Err(RelayError::Minimum { amount, minimum, token: self.payee().token().clone() });
        }
        Ok(())
    }

    /// Whether it is good now, and of a withdrawal whose it is. What is left of an account must pay for what it bought
    /// here: else the creator would pay the gas of whoever leaves without paying.
    async fn check_on_chain(&self, order: &RelayOrder) -> Result<(), RelayError> {
        let now = self.0.redeemer.escrow().chain().time().await?;
        let from = match order {
            RelayOrder::Deposit { authorization, .. } | RelayOrder::Open { authorization, .. } => {
                authorization.valid_after
            }
            RelayOrder::Withdrawal { .. } => Timestamp::from_unix_seconds(0),
        };
        if now <= from || order.expires() <= now.plus_seconds(GOOD_FOR_SECONDS) {
            return Err(RelayError::Time { from, until: order.expires(), now });
        }
        let RelayOrder::Withdrawal { withdrawal, .. } = order else { return Ok(()) };
        let (balance, owed) = self.owed_by(&withdrawal.account).await?;
        let token = || self.payee().token().clone();
        if withdrawal.amount.saturating_add(owed) > balance {
            return Err(RelayError::Owes { balance, owed, token: token() });
        }
        if withdrawal.amount.saturating_add(owed) == balance {
            return Ok(());
        }
        self.check_minimum(withdrawal.amount, self.0.limits.minimum_withdrawal)
    }

    /// What an account holds, and what of it is due here and not guaranteed.
    async fn owed_by(&self, account: &Account) -> Result<(Amount, Amount), RelayError> {
        let books: Vec<ChannelBooks> =
            self.payee().store().books_of(account.id()).await?.into_iter().map(|(_, books)| books).collect();
        if books.is_empty() {
            return Err(RelayError::Stranger { account: *account });
        }
        let (mut balance, mut owed) = (Amount::ZERO, Amount::ZERO);
        for books in books {
            let channel: Channel = books.channel;
            let funds = self.0.redeemer.escrow().funds_of(&channel, BlockNumberOrTag::Latest).await?;
            let covered = funds.channel.redeemed.saturating_add(funds.channel.reserved);
            owed = owed.saturating_add(books.due().saturating_sub(covered));
            balance = funds.account_balance;
        }
        Ok((balance, owed))
    }

    /// The transaction that was sent for the same signature, if it can still be mined or has done its work.
    async fn sent_before(&self, digest: B256) -> Result<Option<RelayAnswer>, RelayError> {
        let Some(relayed) = self.payee().store().relayed(digest).await? else { return Ok(None) };
        let escrow = self.0.redeemer.escrow();
        let chain = escrow.chain();
        let is_there = match chain.receipt(relayed.hash).await? {
            Some(receipt) => receipt.status(),
            None => chain.holds(relayed.hash).await?,
        };
        Ok(is_there.then_some(RelayAnswer { transaction: relayed.hash }))
    }

    /// Signs, which simulates, and makes everything durable before it is sent. Keeps its turn until it is mined, or for
    /// as long as a transaction may take: then whoever is next takes its place.
    async fn send(self, checked: Checked, turn: Turn) -> Result<RelayAnswer, RelayError> {
        // Another copy of the same request may have had the turn before.
        let sent_before = self.sent_before(checked.digest).await;
        let sent = match sent_before {
            Ok(None) => self.send_by_any(&checked, &turn).await,
            Ok(Some(answer)) => Ok((answer, Vec::new())),
            Err(error) => Err(error),
        };
        match sent {
            Ok((answer, attempts)) if !attempts.is_empty() => {
                let relay = self.clone();
                tokio::spawn(async move {
                    relay.wait(attempts, &turn).await;
                    turn.end().await;
                });
                Ok(answer)
            }
            sent => {
                turn.end().await;
                sent.map(|(answer, _)| answer)
            }
        }
    }

    /// With one node after the other until one answers, as long as nothing was sent.
    async fn send_by_any(&self, checked: &Checked, turn: &Turn) -> Result<(RelayAnswer, Vec<Redemption>), RelayError> {
        let mut failed = None;
        for way in self.0.redeemer.ways(turn)? {
            match self.prepare(checked, &way).await {
                Ok(prepared) => return self.send_by(checked, turn, &way, prepared).await,
                Err(error @ RelayError::Escrow(EscrowError::Chain(ChainError::Unreachable { .. }))) => {
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or_else(|| ChainError::ReadOnly.into()))
    }

    async fn prepare(&self, checked: &Checked, way: &Sending<'_>) -> Result<Prepared, RelayError> {
        let next = way.settle().await?;
        // A redemption is worth more to this creator than a favour; only what was relayed before is outbid.
        if next.rivals.iter().any(|rival| !rival.is_relayed()) {
            return Err(RelayError::Busy);
        }
        let signed = way.escrow.sign_relayed(&checked.order, next.place(u128::MAX)).await;
        let signed = signed.map_err(|error| match error {
            EscrowError::Chain(ChainError::Reverted { reason, .. }) => RelayError::WouldFail { reason },
            error => error.into(),
        })?;
        let cost = self.check_cost(&signed, way).await?;
        Ok(Prepared { signed, cost, rivals: next.rivals })
    }

    async fn send_by(
        &self,
        checked: &Checked,
        turn: &Turn,
        way: &Sending<'_>,
        prepared: Prepared,
    ) -> Result<(RelayAnswer, Vec<Redemption>), RelayError> {
        let Prepared { signed, cost, rivals } = prepared;
        self.count(checked.order.payer(), true)?;
        let record = self.write_down(checked, &signed, cost, way, turn).await?;
        if let Err(error) = way.submit(&signed).await {
            // A node that is silent may have taken it all the same.
            if !matches!(error, ChainError::Unreachable { .. } | ChainError::NonceTaken { .. }) {
                self.forget(checked, record, turn).await?;
            }
            return Err(error.into());
        }
        let mut attempts = rivals;
        attempts.push(record);
        Ok((RelayAnswer { transaction: signed.hash }, attempts))
    }

    /// Within the gas of an order, at a price that the creator pays, and within the day's budget at the most that it
    /// can cost, which is returned. The wallet keeps enough to redeem with: a favour must not cost the creator a
    /// reservation.
    async fn check_cost(&self, signed: &SignedTransaction, way: &Sending<'_>) -> Result<Amount, RelayError> {
        let limits = self.0.limits;
        let (gas, maximum) = (signed.gas_limit(), limits.gas_max);
        if gas > maximum {
            return Err(RelayError::TooMuchGas { gas, maximum });
        }
        let price = signed.fees().max_fee_per_gas;
        if price > limits.gas_price_max {
            return Err(RelayError::GasTooDear { price, maximum: limits.gas_price_max });
        }
        let chain = way.escrow.chain();
        let spent = self.payee().store().relay_spent(clock::now().day()).await?;
        // What a rollup charges for its bytes may rise until it is mined.
        let data_fee = chain.data_fee(signed).await?;
        let data_fee = data_fee.saturating_add(Amount::new(data_fee.base_units() / 4));
        let (cost, budget) = (signed.cost_max().saturating_add(data_fee), limits.gas_budget_per_day);
        if spent.saturating_add(cost) > budget {
            return Err(RelayError::BudgetSpent { spent, cost, budget });
        }
        let balance = chain.balance(way.sender).await?;
        let required = cost.saturating_add(Amount::new(price.saturating_mul(GAS_KEPT)));
        if balance < required {
            return Err(RelayError::WalletLow { balance, required });
        }
        Ok(cost)
    }

    /// The cost first: a crash in between leaves the budget smaller, never larger.
    async fn write_down(
        &self,
        checked: &Checked,
        signed: &SignedTransaction,
        cost: Amount,
        way: &Sending<'_>,
        turn: &Turn,
    ) -> Result<Redemption, RelayError> {
        let (now, hash) = (clock::now(), signed.hash);
        self.payee().writer().write(Entry::Relayed(Relayed { request: checked.digest, hash, at: now, cost })).await?;
        let (sender, nonce, fees) = (way.sender, signed.nonce(), signed.fees());
        let state = RedemptionState::Sent;
        let record = Redemption { hash, sender, nonce, fees, vouchers: Vec::new(), closes: false, at: now, state };
        if let Err(error) = turn.note(record.clone(), state).await {
            // Not on record, so it is not sent, and costs nothing.
            self.write_off(checked, &record).await?;
            return Err(error.into());
        }
        Ok(record)
    }

    /// The node has refused it, so it costs nothing.
    async fn forget(&self, checked: &Checked, record: Redemption, turn: &Turn) -> Result<(), RelayError> {
        self.write_off(checked, &record).await?;
        turn.note(record, RedemptionState::Failed).await?;
        Ok(())
    }

    async fn write_off(&self, checked: &Checked, record: &Redemption) -> Result<(), RelayError> {
        let (request, hash, at) = (checked.digest, record.hash, record.at);
        self.payee().writer().write(Entry::Relayed(Relayed { request, hash, at, cost: Amount::ZERO })).await?;
        Ok(())
    }

    async fn wait(&self, attempts: Vec<Redemption>, turn: &Turn) {
        match self.0.redeemer.wait_for(turn, attempts).await {
            Ok((record, receipt)) => {
                let (transaction, succeeded, gas) = (record.hash, receipt.status(), receipt.gas_used);
                let spent = self.payee().store().relay_spent(clock::now().day()).await.unwrap_or_default();
                let budget = self.0.limits.gas_budget_per_day;
                tracing::info!(%transaction, succeeded, gas, %spent, %budget, "relayed for a payer without gas");
            }
            Err(error) => tracing::warn!(%error, "relayed, and not mined yet; what is sent next takes its place"),
        }
    }

    /// Makes sure that a payer has not had its share, and counts one more if it is sent now.
    fn count(&self, payer: Address, sends: bool) -> Result<(), RelayError> {
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let today = clock::now().day();
        if counts.day != today {
            *counts = Counts { day: today, by_payer: HashMap::new() };
        }
        let count = counts.by_payer.get(&payer).copied().unwrap_or_default();
        if count >= self.0.limits.orders_per_payer_and_day {
            return Err(RelayError::TooMany { payer, count });
        }
        if sends {
            // As many entries as transactions were sent today: the budget bounds them.
            counts.by_payer.insert(payer, count.saturating_add(1));
        }
        Ok(())
    }
}
