//! The payer against shops on real sockets: honest ones, and every hostile one that the table of failures knows.
//! Numbers in comments are that table's.

mod buying;
mod child;
mod crash;
mod delegating;
mod hostile;
mod peer;
mod refusing;
mod reserving;

use farthing::PrivateKeySigner;
use farthing::core::Timestamp;
use farthing::payer::{HttpOptions, Limits, Payer, PayerError, PayerOptions, PayerStore, Policy};
use peer::{deployment, token};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A payer's home: a directory with a store, and a key.
struct Home {
    directory: TempDir,
    signer: PrivateKeySigner,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), signer: PrivateKeySigner::random() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("payer.store")
    }

    async fn store(&self) -> PayerStore {
        PayerStore::open(self.path()).await.expect("opens")
    }

    /// A payer with the default policy and a deposit.
    async fn payer(&self) -> Payer {
        self.payer_with(|_| {}).await
    }

    async fn payer_with(&self, change: impl FnOnce(&mut PayerOptions)) -> Payer {
        let payer = payer_at(self.path(), self.signer.clone(), change).await;
        payer.record_deposit(deployment(), token().address).await.expect("records");
        payer
    }
}

async fn payer_at(path: PathBuf, signer: PrivateKeySigner, change: impl FnOnce(&mut PayerOptions)) -> Payer {
    let mut options = PayerOptions::new(signer, PayerStore::open(path).await.expect("opens")).with_policy(policy());
    options.http = HttpOptions { read_timeout: Duration::from_secs(10), ..HttpOptions::default() };
    change(&mut options);
    Payer::new(options).expect("has a client")
}

/// The default policy of somebody who declared dUSD to be worth a dollar.
fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.know(deployment().chain_id, token());
    policy
}

/// Limits that never bite.
fn plenty(options: &mut PayerOptions) {
    let plenty = farthing::core::Amount::MAX_ON_CHAIN;
    let limits = Limits { item: plenty, site_per_day: plenty, day: plenty, reservation: plenty };
    *options.policy.know(deployment().chain_id, token()) = limits;
}

async fn text(purchase: farthing::payer::Purchase) -> String {
    purchase.body.text().await.expect("a body")
}

/// The kind of problem that a payee refused with.
fn refused_with(error: &PayerError) -> Option<farthing::core::wire::ProblemType> {
    match error {
        PayerError::Refused { problem, .. } => problem.problem_type(),
        _ => None,
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}
