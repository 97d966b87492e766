//! How many vouchers a second are verified and durable without HTTP: the payee alone, with many callers waiting; over a
//! ledger of its own, and over one that several share.

use crate::market::{Listener, Promise, identity, promises, start_payee};
use crate::report::{Run, measured, own_cpu_time};
use crate::{Common, VERIFIER};
use farthing::clock;
use farthing::core::Amount;
use farthing::core::ledger::{ChargeRequest, RequestId};
use farthing::core::wire::credential::ChannelTerms;
use farthing::payee::{EmbeddedStore, Payee, PayeeStore, PostgresOptions, PostgresStore, PresentedVoucher};
use farthing_testkit::postgres::PostgresServer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

/// What everybody buys.
const ITEM: &str = "/song";

/// Who sells how much.
#[derive(Clone, Debug, clap::Args)]
struct Sales {
    #[command(flatten)]
    common: Common,
    /// How many callers wait for an answer at any time
    #[arg(long, default_value_t = 256)]
    callers: usize,
    /// How many listeners buy, each with a key and a channel of its own
    #[arg(long, default_value_t = 1_000)]
    listeners: u64,
}

/// How the payee without HTTP is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Taking {
    #[command(flatten)]
    sales: Sales,
}

/// How a shared ledger is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Sharing {
    #[command(flatten)]
    sales: Sales,
    /// How many gateways are on one ledger
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    gateways: Vec<usize>,
}

impl Taking {
    pub(crate) async fn run(mut self) {
        self.sales.hurry();
        let folder = self.sales.common.folder();
        let store = EmbeddedStore::open(&folder.path().join("ledger.redb"), &identity()).expect("opens");
        let payee = start_payee(Arc::new(store)).await;
        let run = self.sales.sell(&[payee]).await;
        print("take.embedded", run, &json!({ "verifier": VERIFIER }));
    }
}

impl Sharing {
    pub(crate) async fn run(mut self) {
        self.sales.hurry();
        let server = PostgresServer::start();
        for gateways in &self.gateways {
            let name = format!("of_{gateways}");
            server.create_database(&name).await;
            let mut payees = Vec::new();
            for _ in 0..*gateways {
                let options = PostgresOptions::new(server.url(&name).parse().expect("a URL"));
                let store = PostgresStore::open(options, &identity()).await.expect("opens");
                payees.push(start_payee(Arc::new(store)).await);
            }
            let run = self.sales.sell(&payees).await;
            print("take.postgresql", run, &json!({ "gateways": gateways }));
        }
    }
}

impl Sales {
    fn hurry(&mut self) {
        if self.common.quick {
            self.listeners = 200;
        }
    }

    /// Has the payees meet everybody, then see how fast they are, and then take what is measured; and finds all of it in
    /// the ledger.
    async fn sell(&self, payees: &[Payee]) -> Run {
        let listeners = Listener::many(self.listeners, &identity());
        let all = listeners.len();
        take_all(payees, &promises(&listeners, 0, all), self.callers).await;
        let tried = take_all(payees, &promises(&listeners, 1, 2 * all), self.callers).await;
        let turns = self.common.turns(tried.rate(), all);
        let run = take_all(payees, &promises(&listeners, 3, turns * all), self.callers).await;
        let store: &dyn PayeeStore = payees[0].store().as_ref();
        let charges = store.all_charges().await.expect("reads").len();
        assert_eq!(charges, (3 + turns) * all, "what was taken is in the ledger, and nothing else");
        run
    }
}

fn print(measurement: &str, run: Run, of: &Value) {
    measured(measurement, run.rate(), "/s", of);
    measured(&format!("{measurement}.cpu"), run.cpu_each(), "µs", of);
}

/// What is presented to one payee, made before the clock starts.
struct Presented {
    vouchers: Vec<(PresentedVoucher, Amount)>,
    request: RequestId,
    next: AtomicUsize,
}

/// Presents every promise, at any time as many as there are callers. With several payees an account is one's, as where
/// clients are kept at theirs.
pub(crate) async fn take_all(payees: &[Payee], promises: &[Promise], callers: usize) -> Run {
    let mut shares: Vec<Vec<_>> = vec![Vec::new(); payees.len()];
    for promise in promises {
        let last = promise.channel.payer.as_slice().last().copied().unwrap_or_default();
        let terms = Some(ChannelTerms::from(&promise.channel));
        let voucher = PresentedVoucher { signed: promise.signed, terms };
        shares[usize::from(last) % payees.len()].push((voucher, promise.price));
    }
    let request = RequestId::new("GET", ITEM);
    let presented = |vouchers| Arc::new(Presented { vouchers, request, next: AtomicUsize::new(0) });
    let presented: Vec<_> = shares.into_iter().map(presented).collect();
    let (cpu, begun) = (own_cpu_time(), Instant::now());
    let mut calling = JoinSet::new();
    for (payee, presented) in payees.iter().zip(&presented) {
        for _ in 0..callers.div_ceil(payees.len()) {
            calling.spawn(call(payee.clone(), Arc::clone(presented)));
        }
    }
    calling.join_all().await;
    Run { count: promises.len(), took: begun.elapsed(), cpu: own_cpu_time() - cpu }
}

async fn call(payee: Payee, presented: Arc<Presented>) {
    let Presented { vouchers, request, next } = &*presented;
    while let Some((voucher, price)) = vouchers.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
        let (item, request, at) = (ITEM.to_owned(), *request, clock::now());
        let request = ChargeRequest { price, item, request, reservation_required: false, at };
        let taken = payee.take(voucher, request).await.expect("it is a good voucher");
        assert!(!taken.again, "each is charged once");
    }
}
