//! How many vouchers a second are verified and durable without HTTP: the payee alone, with many callers waiting; over a
//! ledger of its own, and over one that several share.

use crate::market::{Listener, Promise, identity, promises, start_payee};
use crate::report::{Run, measured, own_cpu_time};
use crate::{Common, VERIFIER};
use farthing::core::ledger::RequestId;
use farthing::core::wire::Credential;
use farthing::payee::{EmbeddedStore, Payee, PayeeStore, PostgresOptions, PostgresStore, Quote};
use farthing_testkit::postgres::PostgresServer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

/// Any realm will do: nobody but the payee reads it here.
const REALM: &str = "localhost";

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
    quote: Quote,
    credentials: Vec<Credential>,
    next: AtomicUsize,
}

/// Presents every promise, at any time as many as there are callers. With several payees an account is one's, as where
/// clients are kept at theirs.
pub(crate) async fn take_all(payees: &[Payee], promises: &[Promise], callers: usize) -> Run {
    let price = promises.first().expect("something to take").price;
    let quote = Quote::new("/song", price);
    let mut shares: Vec<Vec<&Promise>> = vec![Vec::new(); payees.len()];
    for promise in promises {
        let last = promise.channel.payer.as_slice().last().copied().unwrap_or_default();
        shares[usize::from(last) % payees.len()].push(promise);
    }
    let presented = payees.iter().zip(shares).map(|(payee, share)| {
        let challenge = payee.challenge(REALM, &quote, None).expect("asks");
        let credentials = share.into_iter().map(|promise| promise.credential(&challenge)).collect();
        Arc::new(Presented { quote: quote.clone(), credentials, next: AtomicUsize::new(0) })
    });
    let presented: Vec<_> = presented.collect();
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
    let Presented { quote, credentials, next } = &*presented;
    let request = RequestId::new("GET", &quote.item);
    while let Some(credential) = credentials.get(next.fetch_add(1, Ordering::Relaxed)) {
        let sale = payee.accept(REALM, credential, request, quote).await.expect("it is a good voucher");
        assert!(!sale.again, "each is charged once");
    }
}
