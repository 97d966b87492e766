//! Every store of the payee's ledger, under the same checks.

use farthing::payee::store::{PayeeStore, StoreError};
use farthing::payee::views::BoxFuture;
use farthing::payee::{EmbeddedStore, LedgerIdentity};
use farthing_testkit::conformance::{self, StoreStage};
use farthing_testkit::ledger_model::Mistake;
use std::sync::Arc;
use tempfile::TempDir;

/// A ledger in a file.
#[derive(Debug)]
struct Embedded {
    folder: TempDir,
}

impl Embedded {
    async fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }
}

impl StoreStage for Embedded {
    fn open_as(&self, identity: LedgerIdentity) -> BoxFuture<'_, Result<Arc<dyn PayeeStore>, StoreError>> {
        let store = EmbeddedStore::open(&self.folder.path().join("ledger.redb"), &identity);
        Box::pin(std::future::ready(store.map(|store| Arc::new(store) as _)))
    }
}

/// A ledger in a PostgreSQL database.
#[cfg(feature = "postgres")]
#[derive(Debug)]
struct Postgres {
    database: farthing_testkit::postgres::TestDatabase,
}

#[cfg(feature = "postgres")]
impl Postgres {
    async fn new() -> Self {
        Self { database: farthing_testkit::postgres::test_database().await }
    }
}

#[cfg(feature = "postgres")]
impl StoreStage for Postgres {
    fn is_shared(&self) -> bool {
        true
    }

    fn open_as(&self, identity: LedgerIdentity) -> BoxFuture<'_, Result<Arc<dyn PayeeStore>, StoreError>> {
        use farthing::payee::{PostgresOptions, PostgresStore};
        Box::pin(async move {
            let options = PostgresOptions::new(self.database.url().parse().unwrap());
            Ok(Arc::new(PostgresStore::open(options, &identity).await?) as _)
        })
    }
}

/// The checks that hold for every store, as tests of one.
macro_rules! conforms {
    ($module:ident, $stage:expr) => {
        mod $module {
            use super::*;

            conforms!(@each $stage;
                copies_of_one_voucher_are_one_charge
                one_voucher_buys_one_of_many_items
                parallel_vouchers_of_one_channel_are_all_charged
                what_is_refused_changes_nothing
                histories_are_answered_like_the_models
                transactions_are_on_record_until_settled
                whoever_lost_the_lease_writes_nothing_more
                no_clock_keeps_others_from_the_lease
                one_of_many_gets_the_lease
                a_visit_sees_whole_batches
                a_ledger_is_opened_for_its_owner_only
            );

            #[tokio::test(flavor = "multi_thread")]
            async fn records_move_to_another_store() {
                conformance::records_move_to_another_store(&$stage.await, &Embedded::new().await).await;
                conformance::records_move_to_another_store(&Embedded::new().await, &$stage.await).await;
            }
        }
    };
    (@each $stage:expr; $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                conformance::$check(&$stage.await).await;
            }
        )*
    };
}

conforms!(embedded, Embedded::new());
#[cfg(feature = "postgres")]
conforms!(postgres, Postgres::new());

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_the_model_is_noticed() {
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        if conformance::batches_until_noticed(&Embedded::new().await, mistake).await.is_none() {
            missed.push(mistake);
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
