//! What only a store that many gateways share has to do, on a real PostgreSQL.

mod encrypting;
mod failing;
mod gateways;
mod leasing;
mod opening;
mod process;
mod reading;
mod sharing;

use farthing::core::Amount;
use farthing::core::exposure::CreditTerms;
use farthing::payee::store::{Entry, Outcome, PayeeStore, Record, RecordKind, StoreError};
use farthing::payee::{PostgresOptions, PostgresStore};
use farthing_testkit::histories::{charge, identity, signer, voucher};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many seconds the long runs take.
const SECONDS: &str = "FARTHING_TEST_SECONDS";

async fn open(url: &str) -> PostgresStore {
    open_within(url, PostgresOptions::PATIENCE).await.unwrap()
}

async fn open_within(url: &str, patience: Duration) -> Result<PostgresStore, StoreError> {
    let options = PostgresOptions { patience, ..PostgresOptions::new(url.parse().unwrap()) };
    PostgresStore::open(options, &identity()).await
}

/// A purchase by one of the people, in one of its channels.
fn purchase(person: u8, salt: u8, cumulative: u128, price: u128) -> Entry {
    let signer = signer(person);
    let channel = farthing_testkit::histories::channel(&signer, salt);
    charge(voucher(&signer, &channel, cumulative), price, &format!("/{person}/{salt}/{cumulative}"))
}

/// The same under a creator's terms.
fn purchase_on(terms: CreditTerms, person: u8, salt: u8, cumulative: u128, price: u128) -> Entry {
    match purchase(person, salt, cumulative, price) {
        Entry::Charge(mut pending) => {
            pending.credit = terms;
            Entry::Charge(pending)
        }
        other => other,
    }
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Charged { again: false, .. })
}

/// How much was charged in all, if every channel's books say what its charges add up to.
async fn charged(store: &dyn PayeeStore) -> Option<u128> {
    let mut booked = BTreeMap::new();
    let mut charged: BTreeMap<_, u128> = BTreeMap::new();
    let mut visitor = |record| {
        match record {
            Record::Channel { channel_id, books } => {
                booked.insert(channel_id, books.spent.base_units());
            }
            Record::Charge { channel_id, charge } => {
                *charged.entry(channel_id).or_default() += charge.price.base_units();
            }
            _ => {}
        }
        Ok(())
    };
    store.visit(&[RecordKind::Channel, RecordKind::Charge], &mut visitor).await.unwrap();
    (booked == charged).then(|| charged.values().sum())
}

const fn terms(limit: u128, strangers_per_day: u128) -> CreditTerms {
    let (limit, strangers_per_day) = (Amount::new(limit), Amount::new(strangers_per_day));
    CreditTerms { limit, first: Some(limit), strangers_per_day }
}
