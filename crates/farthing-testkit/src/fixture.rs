//! A local chain with an escrow, a dollar-like token, and people with keys.

use farthing::PrivateKeySigner;
use farthing::chain::Chain;
use farthing::core::exposure::CreditTerms;
use farthing::core::voucher::Domain;
use farthing::core::{
    Account, Address, Amount, B256, Channel, Deployment, SignedVoucher, Token, Voucher, VoucherSignature,
};
use farthing::escrow::{self, EXIT_DELAY_DEFAULT, Escrow};
use farthing::local_chain::{LocalChain, LocalChainOptions, deploy_demo_dollar, mint_demo_dollars};
use farthing::payee::{EmbeddedStore, FundsSource, LedgerIdentity, Payee, PayeeOptions, PayeeStore};
use farthing::signer::SignerSync;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A local chain with a genuine escrow and a dollar-like token. The payee is anvil's test key 1, the payer test key 2.
#[derive(Debug)]
pub struct Fixture {
    /// The chain.
    pub local: LocalChain,
    /// The escrow.
    pub deployment: Deployment,
    /// The dollar-like token.
    pub token: Token,
}

impl Fixture {
    /// The workspace's root, where `node_modules` is.
    #[must_use]
    pub fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// Starts a chain, deploys escrow and token, and gives the payer 100 dollars of the token.
    pub async fn start() -> Self {
        Self::start_with(LocalChainOptions::default()).await
    }

    /// The same on a chain that makes its blocks otherwise.
    pub async fn start_with(options: LocalChainOptions) -> Self {
        let anvil = LocalChain::anvil_in(&Self::root());
        let local = LocalChain::start_with(&anvil, options).await.expect("anvil starts; `npm ci` installs it");
        let chain = local.connect(LocalChain::test_key(0)).await.expect("connects");
        let deployed = escrow::deploy(&chain, EXIT_DELAY_DEFAULT).await.expect("deploys");
        let (token, _) = deploy_demo_dollar(&chain).await.expect("deploys");
        let fixture = Self { local, deployment: deployed.deployment, token };
        let hundred = Amount::new(100_000_000);
        mint_demo_dollars(&chain, fixture.token.address, Self::payer().address(), hundred).await.expect("mints");
        fixture
    }

    /// The payee's key: anvil's well-known test key 1.
    #[must_use]
    pub fn payee() -> PrivateKeySigner {
        LocalChain::test_key(1)
    }

    /// The payer's key: anvil's well-known test key 2.
    #[must_use]
    pub fn payer() -> PrivateKeySigner {
        LocalChain::test_key(2)
    }

    /// The payer's account that is its own signer.
    #[must_use]
    pub fn account(&self) -> Account {
        let payer = Self::payer().address();
        Account { payer, authorized_signer: payer, token: self.token.address }
    }

    /// The payer's channel to the payee.
    #[must_use]
    pub fn channel(&self, salt: u8) -> Channel {
        let payer = Self::payer().address();
        Channel {
            payer,
            payee: Self::payee().address(),
            token: self.token.address,
            salt: B256::repeat_byte(salt),
            authorized_signer: payer,
        }
    }

    /// Connects with a key.
    pub async fn connect(&self, key: PrivateKeySigner) -> Chain {
        self.local.connect(key).await.expect("connects")
    }

    /// The escrow, with a key to send with.
    pub async fn escrow(&self, key: PrivateKeySigner) -> Escrow {
        Escrow::bind(self.connect(key).await, self.deployment.escrow).await.expect("binds")
    }

    /// What an address holds of the token.
    pub async fn dollars_of(&self, address: Address) -> Amount {
        let chain = self.connect(Self::payer()).await;
        farthing::token::balance_of(&chain, self.token.address, address).await.expect("reads")
    }

    /// Mines three blocks: with one slot an epoch, what was mined before is then final.
    pub async fn finalize(&self) {
        let chain = self.connect(Self::payer()).await;
        self.local.mine(&chain, 3).await.expect("mines");
    }

    /// Whose ledger the payee keeps.
    #[must_use]
    pub fn identity(&self) -> LedgerIdentity {
        LedgerIdentity { deployment: self.deployment, payee: Self::payee().address(), token: self.token.address }
    }

    /// A payee that gives up to $2 of credit at first sight, over a ledger in `folder`.
    pub async fn start_payee(&self, folder: &Path) -> Payee {
        self.start_payee_with(folder, Arc::new(self.escrow(Self::payee()).await)).await
    }

    /// The same, with another source of what the chain holds.
    pub async fn start_payee_with(&self, folder: &Path, source: Arc<dyn FundsSource>) -> Payee {
        let store = EmbeddedStore::open(&folder.join("ledger.redb"), &self.identity()).expect("opens");
        self.start_payee_over(Arc::new(store), source).await
    }

    /// The same, over a ledger that others may use as well.
    pub async fn start_payee_over(&self, store: Arc<dyn PayeeStore>, source: Arc<dyn FundsSource>) -> Payee {
        let two_dollars = Amount::new(2_000_000);
        let strangers_per_day = Amount::new(20_000_000);
        let credit = CreditTerms { limit: two_dollars, first: Some(two_dollars), strangers_per_day };
        self.start_payee_on_terms(store, source, credit).await
    }

    /// The same, with other terms for credit.
    pub async fn start_payee_on_terms(
        &self,
        store: Arc<dyn PayeeStore>,
        source: Arc<dyn FundsSource>,
        credit: CreditTerms,
    ) -> Payee {
        start_payee_of(self.identity(), &self.token, store, source, credit).await
    }

    /// A voucher of a channel, signed by a key, which need not be the right one.
    #[must_use]
    pub fn voucher(&self, channel: &Channel, cumulative: u128, key: &PrivateKeySigner) -> SignedVoucher {
        let voucher = Voucher { channel_id: channel.id(&self.deployment), cumulative_amount: Amount::new(cumulative) };
        let digest = voucher.digest(&Domain::new(self.deployment));
        let signature = key.sign_hash_sync(&digest).expect("signs").as_bytes();
        voucher.with_signature(VoucherSignature::from_bytes(&signature).expect("a canonical signature"))
    }
}

/// A payee without a fixture, for a process of its own. Anvil's test key 1 signs its receipts.
pub async fn start_payee_of(
    identity: LedgerIdentity,
    token: &Token,
    store: Arc<dyn PayeeStore>,
    source: Arc<dyn FundsSource>,
    credit: CreditTerms,
) -> Payee {
    let secret = store.challenge_secret().await.expect("reads");
    let options = PayeeOptions {
        identity,
        exit_delay: EXIT_DELAY_DEFAULT,
        token: token.clone(),
        credit,
        challenge_seconds: PayeeOptions::CHALLENGE_SECONDS,
        stale_after_seconds: PayeeOptions::STALE_AFTER_SECONDS,
        delegation: None,
    };
    Payee::start(options, secret, Fixture::payee(), store, source).expect("starts")
}

/// Asks again and again until an answer is true, for at most half a minute.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    for _ in 0..600 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain until {what}");
}
