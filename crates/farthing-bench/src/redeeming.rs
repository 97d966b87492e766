//! What it takes to redeem many channels: transactions, gas and time, on a real EVM with the SDK's own redeemer.
//!
//! Every channel is another listener's, with a key and an account of its own that was never redeemed from: the dearest
//! case. The accounts are funded by real deposits, all of one funder's and in one block, for anyone may deposit for
//! anyone, and what the escrow holds afterwards is the same. What deposits cost is not measured.

use crate::Common;
use crate::market::{GENEROUS, Listener, Promise, on_all_cores};
use crate::report::measured;
use crate::taking::take_all;
use alloy::primitives::U256;
use alloy::sol_types::SolCall;
use farthing::core::voucher::Domain;
use farthing::core::{Account, Amount};
use farthing::escrow::bindings::Escrow as abi;
use farthing::local_chain::{LocalChain, mint_demo_dollars};
use farthing::payee::{EmbeddedStore, Payee, PayeeStore, Redeemer, Watcher};
use farthing::token::approve_if_needed;
use farthing_testkit::{ChainFaults, Fixture, wait_until};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

/// What each owes: $1.234567, so that no byte of the amount is nought.
const OWED: Amount = Amount::new(1_234_567);

/// Enough gas for a deposit.
const DEPOSIT_GAS: u64 = 200_000;

/// What a block has room for while deposits are made, and otherwise.
const VAST_BLOCK: u64 = 1 << 36;
const USUAL_BLOCK: u64 = 30_000_000;

/// How many callers sell at once: an account that was never met is asked for on the chain.
const CALLERS: usize = 64;

/// How redeeming is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Redeeming {
    #[command(flatten)]
    common: Common,
    /// How many channels owe something
    #[arg(long, default_value_t = 10_000)]
    channels: u64,
}

/// A payee to whom so many channels owe something, and its chain.
struct Owed {
    fixture: Fixture,
    payee: Payee,
    watcher: Watcher,
    _folder: TempDir,
}

impl Redeeming {
    pub(crate) async fn run(mut self) {
        if self.common.quick {
            self.channels = 300;
        }
        let mut owed = self.sell().await;
        let total = Amount::new(OWED.base_units() * u128::from(self.channels));
        let redeemer = Redeemer::new(owed.payee.clone(), owed.fixture.escrow(Fixture::payee()).await);
        let begun = Instant::now();
        let redemptions = redeemer.redeem().await.expect("redeems");
        let sent_in = begun.elapsed();
        assert!(redemptions.skipped.is_empty(), "{:?}", redemptions.skipped);
        assert_eq!(owed.fixture.dollars_of(Fixture::payee().address()).await, total, "the payee has what it was owed");
        owed.fixture.finalize().await;
        let begun = Instant::now();
        owed.watcher.step().await.expect("looks");
        let noted_in = begun.elapsed();
        let store: &dyn PayeeStore = owed.payee.store().as_ref();
        assert!(store.owing().await.expect("reads").is_empty(), "the ledger has seen all of it to be final");

        let of = json!({ "channels": self.channels });
        let gas: u64 = redemptions.done.iter().map(|redeemed| redeemed.gas_used).sum();
        measured("redeem.transactions", redemptions.done.len() as f64, "transactions", &of);
        measured("redeem.gas", gas as f64, "gas", &of);
        measured("redeem.gas-each", gas as f64 / self.channels as f64, "gas", &of);
        measured("redeem.sent", sent_in.as_secs_f64(), "s", &of);
        measured("redeem.noted", noted_in.as_secs_f64(), "s", &of);
    }

    /// Everybody has money in the escrow and buys one thing.
    async fn sell(&self) -> Owed {
        let fixture = Fixture::start().await;
        let listeners = Listener::many(self.channels, &fixture.identity());
        deposit_for_all(&fixture, &listeners).await;
        let folder = self.common.folder();
        let store = EmbeddedStore::open(&folder.path().join("ledger.redb"), &fixture.identity()).expect("opens");
        let source = Arc::new(fixture.escrow(Fixture::payee()).await);
        let payee = fixture.start_payee_on_terms(Arc::new(store), source, GENEROUS).await;
        let mut watcher = Watcher::new(payee.clone(), fixture.escrow(Fixture::payee()).await);
        watcher.step().await.expect("looks");
        let domain = Domain::new(fixture.deployment);
        let promises = on_all_cores(&listeners, |listener| Promise {
            channel: listener.channel,
            signed: listener.sign(&domain, OWED),
            price: OWED,
        });
        take_all(std::slice::from_ref(&payee), &promises, CALLERS).await;
        watcher.step().await.expect("looks");
        Owed { fixture, payee, watcher, _folder: folder }
    }
}

async fn deposit_for_all(fixture: &Fixture, listeners: &[Listener]) {
    let funder = LocalChain::test_key(0);
    let chain = fixture.connect(funder.clone()).await;
    let (token, escrow) = (fixture.token.address, fixture.deployment.escrow);
    let all = Amount::new(OWED.base_units() * listeners.len() as u128);
    mint_demo_dollars(&chain, token, funder.address(), all).await.expect("mints");
    approve_if_needed(&chain, token, escrow, all).await.expect("approves");
    let faults = ChainFaults::of(&fixture.local);
    faults.set_block_gas_limit(VAST_BLOCK).await;
    faults.automine(false).await;
    for listener in listeners {
        let Account { payer, authorized_signer, token } = listener.channel.account();
        let account = abi::Account { payer, authorizedSigner: authorized_signer, token };
        let call = abi::depositCall { account, amount: U256::from(OWED.base_units()) };
        faults.send_as(funder.address(), escrow, &call.abi_encode(), DEPOSIT_GAS).await;
    }
    faults.mine(1).await;
    faults.automine(true).await;
    faults.set_block_gas_limit(USUAL_BLOCK).await;
    fixture.finalize().await;
    // anvil makes a block that it owes a moment after it has answered, and redemptions are made to fit the newest.
    let has_usual_room = || async { chain.block_gas_limit().await.expect("reads") == USUAL_BLOCK };
    wait_until("a block has its usual room", has_usual_room).await;
}
