//! Who sells and who buys while it is measured: one payee, and as many listeners as one likes, each with a key, an
//! account and a channel of its own.

use farthing::PrivateKeySigner;
use farthing::clock;
use farthing::core::exposure::CreditTerms;
use farthing::core::voucher::Domain;
use farthing::core::wire::credential::{ChannelTerms, VoucherPayload};
use farthing::core::wire::{Challenge, Credential};
use farthing::core::{Address, Amount, B256, Channel, Deployment, SignedVoucher, Token, Voucher, VoucherSignature};
use farthing::escrow::{EscrowError, Funds};
use farthing::local_chain::CHAIN_ID;
use farthing::payee::views::{BoxFuture, FundsSource, Reading};
use farthing::payee::{LedgerIdentity, Payee, PayeeStore};
use farthing::signer::SignerSync;
use farthing_testkit::{Fixture, start_payee_of};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// What every item costs: a hundredth of a cent.
pub(crate) const PRICE: Amount = Amount::new(100);

/// More than anybody ever owes here.
const ENOUGH: Amount = Amount::new(1 << 100);

/// How often the chain is seen, as by a watcher that finds nothing new.
const LOOK: Duration = Duration::from_secs(10);

/// Credit under which nobody is refused.
pub(crate) const GENEROUS: CreditTerms = CreditTerms { limit: ENOUGH, first: Some(ENOUGH), strangers_per_day: ENOUGH };

pub(crate) fn token() -> Token {
    Token { address: Address::repeat_byte(0x11), symbol: "dUSD".to_owned(), decimals: 6, dollar: true }
}

pub(crate) fn identity() -> LedgerIdentity {
    let deployment = Deployment { chain_id: CHAIN_ID, escrow: Address::repeat_byte(0x33) };
    LedgerIdentity { deployment, payee: Fixture::payee().address(), token: token().address }
}

/// What a chain would say on which everybody has enough. It is asked once for each account, before the clock starts.
#[derive(Debug)]
pub(crate) struct Rich;

impl Rich {
    pub(crate) fn reading() -> Reading {
        let head = Funds { account_balance: ENOUGH, ..Funds::default() };
        Reading { head, ..Reading::default() }
    }
}

impl FundsSource for Rich {
    fn funds_of<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        Box::pin(std::future::ready(Ok(Self::reading())))
    }
}

/// The payee over a store, with its chain in view for as long as the runtime lives.
pub(crate) async fn start_payee(store: Arc<dyn PayeeStore>) -> Payee {
    let payee = start_payee_of(identity(), &token(), store, Arc::new(Rich), GENEROUS).await;
    payee.views().note_seen(clock::now());
    let views = Arc::clone(payee.views());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            views.note_seen(clock::now());
        }
    });
    payee
}

/// A key and its channel.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    key: PrivateKeySigner,
    pub(crate) channel: Channel,
}

impl Listener {
    /// The same number is always the same listener.
    pub(crate) fn new(number: u64, identity: &LedgerIdentity) -> Self {
        let secret = B256::from(StdRng::seed_from_u64(number).random::<[u8; 32]>());
        let key = PrivateKeySigner::from_bytes(&secret).expect("one draw in 2^128 is no key");
        let payer = key.address();
        let LedgerIdentity { payee, token, .. } = *identity;
        Self { key, channel: Channel { payer, payee, token, salt: B256::ZERO, authorized_signer: payer } }
    }

    /// The first so many.
    pub(crate) fn many(count: u64, identity: &LedgerIdentity) -> Vec<Self> {
        let numbers: Vec<u64> = (0..count).collect();
        on_all_cores(&numbers, |number| Self::new(*number, identity))
    }

    pub(crate) fn sign(&self, domain: &Domain, cumulative_amount: Amount) -> SignedVoucher {
        let voucher = Voucher { channel_id: self.channel.id(domain.deployment()), cumulative_amount };
        let signature = self.key.sign_hash_sync(&voucher.digest(domain)).expect("signs").as_bytes();
        voucher.with_signature(VoucherSignature::from_bytes(&signature).expect("canonical"))
    }
}

/// A voucher, the terms that its credential carries, and the price that it agrees to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) channel: Channel,
    pub(crate) signed: SignedVoucher,
    pub(crate) price: Amount,
}

impl Promise {
    pub(crate) fn credential(&self, challenge: &Challenge) -> Credential {
        let Voucher { channel_id, cumulative_amount } = self.signed.voucher;
        let payload = VoucherPayload {
            action: VoucherPayload::ACTION.to_owned(),
            channel_id,
            cumulative_amount,
            signature: self.signed.signature,
            amount: Some(self.price),
            terms: Some(ChannelTerms::from(&self.channel)),
        };
        Credential { challenge: challenge.clone(), source: None, payload }
    }
}

/// So many promises in the listeners' turns, each for one item more; in each channel `paid_before` items were bought
/// before.
pub(crate) fn promises(listeners: &[Listener], paid_before: usize, count: usize) -> Vec<Promise> {
    let domain = Domain::new(identity().deployment);
    let turns: Vec<usize> = (0..count).collect();
    on_all_cores(&turns, |turn| {
        let listener = &listeners[turn % listeners.len()];
        let items = (paid_before + turn / listeners.len() + 1) as u128;
        let signed = listener.sign(&domain, Amount::new(items * PRICE.base_units()));
        Promise { channel: listener.channel, signed, price: PRICE }
    })
}

/// What takes long and is not measured.
pub(crate) fn on_all_cores<T: Sync, U: Send>(of: &[T], make: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = of.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let make = &make;
        let begin = |share| scope.spawn(move || of_share(share, make));
        let shares: Vec<_> = of.chunks(share).map(begin).collect();
        shares.into_iter().flat_map(|share| share.join().expect("nothing panics")).collect()
    })
}

fn of_share<T, U>(share: &[T], make: &impl Fn(&T) -> U) -> Vec<U> {
    share.iter().map(make).collect()
}
