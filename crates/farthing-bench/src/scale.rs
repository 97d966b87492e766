//! What many channels cost: opening their ledger, the memory they take, and how fast vouchers are taken among them.

use crate::Common;
use crate::market::{Listener, PRICE, Promise, Rich, identity, on_all_cores, promises, start_payee};
use crate::report::{Run, measured, resident_bytes};
use crate::taking::take_all;
use farthing::core::ledger::{ChannelBooks, Charge, RequestId};
use farthing::core::{Address, Amount, B256, Channel, Timestamp, VoucherSignature};
use farthing::payee::store::{Record, RecordKind};
use farthing::payee::{EmbeddedStore, Payee, PayeeStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many channels are written at once when a ledger is made.
const RESTORED_AT_ONCE: usize = 10_000;

/// How many callers wait for an answer at any time.
const CALLERS: usize = 256;

/// How many vouchers are made ready at once: what is let go of after them must not be what the ledger grows into unseen.
const READY_AT_ONCE: usize = 10_000;

/// The measurement of memory.
const RESIDENT: &str = "scale.resident";

/// How ledgers of many channels are measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Scale {
    #[command(flatten)]
    common: Common,
    /// How many channels are in the ledger; what a channel costs is beyond what the first of these ledgers does
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    channels: Vec<u64>,
    /// How many vouchers are taken of each ledger, twice, spread over all of its channels
    #[arg(long, default_value_t = 100_000)]
    vouchers: u64,
}

/// One ledger, opened by a process of its own.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Opening {
    /// The ledger
    #[arg(long)]
    ledger: PathBuf,
    /// How many channels are in it
    #[arg(long)]
    channels: u64,
    /// How many vouchers are taken, twice
    #[arg(long)]
    vouchers: u64,
}

impl Scale {
    pub(crate) async fn run(mut self) {
        if self.common.quick {
            (self.channels, self.vouchers) = (vec![1_000, 10_000], 2_000);
        }
        let folder = self.common.folder();
        let mut resident: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
        for channels in self.channels {
            let crowd = Crowd { channels, vouchers: self.vouchers };
            let ledger = folder.path().join(format!("{channels}.redb"));
            crowd.fill(&ledger).await;
            for line in crowd.open(&ledger) {
                println!("{line}");
                if line["measurement"] == RESIDENT {
                    let stage = line["of"]["stage"].as_str().expect("a stage").to_owned();
                    resident.entry(stage).or_default().push((channels, line["value"].as_f64().expect("bytes")));
                }
            }
        }
        for (stage, of_stage) in resident {
            let [(few, least), others @ ..] = &of_stage[..] else { continue };
            for (many, most) in others {
                let each = (most - least) / (many - few) as f64;
                // Less than nothing is what the system's own pages make of very few channels.
                measured("scale.memory-each", each.max(0.0), "B", &json!({ "channels": many, "stage": stage }));
            }
        }
    }
}

/// A ledger's channels, and those of their listeners who buy while it is measured: spread over all.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    channels: u64,
    vouchers: u64,
}

impl Crowd {
    /// The numbers of those who buy.
    fn buyers(self) -> Vec<u64> {
        let buyers = self.channels.min(self.vouchers);
        (0..buyers).map(|buyer| buyer * self.channels / buyers).collect()
    }

    /// Writes a ledger in which every channel has bought one item. Who buys no more has an address and no key.
    async fn fill(self, ledger: &Path) {
        let store = EmbeddedStore::open(ledger, &identity()).expect("opens");
        // A store does not ask whose a signature is when it restores, and nothing reads these again.
        let signature = promises(&[Listener::new(0, &identity())], 0, 1)[0].signed.signature;
        let buyers = self.buyers();
        let numbers: Vec<u64> = (0..self.channels).collect();
        for numbers in numbers.chunks(RESTORED_AT_ONCE) {
            let channels = on_all_cores(numbers, |number| match buyers.binary_search(number) {
                Ok(_) => Listener::new(*number, &identity()).channel,
                Err(_) => channel_of_nobody(*number),
            });
            let records: Vec<Record> =
                channels.into_iter().flat_map(|channel| bought_once(channel, signature)).collect();
            store.restore(&records).await.expect("writes");
        }
    }

    /// Has a new process open it; says what that says.
    fn open(self, ledger: &Path) -> Vec<Value> {
        let mut opening = Command::new(std::env::current_exe().expect("this program"));
        opening.arg("opening").arg("--ledger").arg(ledger).stdout(Stdio::piped());
        opening.args(["--channels", &self.channels.to_string(), "--vouchers", &self.vouchers.to_string()]);
        let mut process = opening.spawn().expect("starts");
        let said = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let lines = said.map(|line| serde_json::from_str(&line.expect("reads")).expect("JSON")).collect();
        assert!(process.wait().expect("ends").success(), "the ledger of {} channels is measured", self.channels);
        lines
    }
}

fn channel_of_nobody(number: u64) -> Channel {
    let payer = Address::from(StdRng::seed_from_u64(number).random::<[u8; 20]>());
    let (payee, token) = (identity().payee, identity().token);
    Channel { payer, payee, token, salt: B256::ZERO, authorized_signer: payer }
}

fn bought_once(channel: Channel, signature: VoucherSignature) -> [Record; 2] {
    let channel_id = channel.id(&identity().deployment);
    let charge = Charge {
        cumulative_amount: PRICE,
        signature,
        price: PRICE,
        item: "/song".to_owned(),
        request: RequestId::new("GET", "/song"),
        unearned_credit: Amount::ZERO,
        at: Timestamp::from_unix_seconds(1_800_057_600),
    };
    let books = ChannelBooks { accepted: PRICE, spent: PRICE, ..ChannelBooks::new(channel) };
    [Record::Channel { channel_id, books }, Record::Charge { channel_id, charge }]
}

impl Opening {
    pub(crate) async fn run(self) {
        let crowd = Crowd { channels: self.channels, vouchers: self.vouchers };
        // Kept until the end: memory that is given back now would be taken again unseen.
        let listeners = on_all_cores(&crowd.buyers(), |number| Listener::new(*number, &identity()));
        let turns = usize::try_from(self.vouchers).expect("fits").div_ceil(listeners.len());
        let passes = [1, 1 + turns].map(|before| promises(&listeners, before, turns * listeners.len()));

        let begun = Instant::now();
        let store = EmbeddedStore::open(&self.ledger, &identity()).expect("opens");
        self.print("scale.opening", begun.elapsed().as_secs_f64() * 1e3, "ms");
        self.print_resident("opened");

        let payee = start_payee(Arc::new(store)).await;
        meet_all(&payee).await;
        self.print_resident("in view");

        for (measurement, promises) in ["scale.first-vouchers", "scale.next-vouchers"].into_iter().zip(&passes) {
            self.print(measurement, take_in_parts(&payee, promises).await.rate(), "/s");
        }
        self.print_resident("after vouchers");
        drop((listeners, passes));
    }

    fn print(&self, measurement: &str, value: f64, unit: &str) {
        measured(measurement, value, unit, &json!({ "channels": self.channels }));
    }

    fn print_resident(&self, stage: &str) {
        let of = json!({ "channels": self.channels, "stage": stage });
        measured(RESIDENT, resident_bytes() as f64, "B", &of);
    }
}

/// What a watcher does first: it looks at every channel that owes something.
async fn meet_all(payee: &Payee) {
    let store: &dyn PayeeStore = payee.store().as_ref();
    let mut visitor = |record| {
        if let Record::Channel { books, .. } = record {
            payee.views().enter(&books.channel, &Rich::reading());
        }
        Ok(())
    };
    store.visit(&[RecordKind::Channel], &mut visitor).await.expect("reads");
}

async fn take_in_parts(payee: &Payee, promises: &[Promise]) -> Run {
    let mut whole = Run { count: 0, took: Duration::ZERO, cpu: Duration::ZERO };
    for part in promises.chunks(READY_AT_ONCE) {
        let run = take_all(std::slice::from_ref(payee), part, CALLERS).await;
        whole = Run { count: whole.count + run.count, took: whole.took + run.took, cpu: whole.cpu + run.cpu };
    }
    whole
}
