//! The load generator: so many connections, each with one request under way, until everything is answered.

use crate::client::{Answer, Connection, Request};
use crate::report::{Run, cpu_time, own_cpu_time};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One answer in so many is kept, to be looked at as a whole.
const KEPT: usize = 64;

/// How requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// How many requests in all. If there are fewer, they come again.
    pub(crate) count: usize,
    /// How many begin in a second; without it each connection sends its next when it has its answer.
    pub(crate) pace: Option<f64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) run: Run,
    /// What the load generator itself used of the processors.
    own_cpu: Duration,
    /// How many answers had which status.
    statuses: BTreeMap<u16, usize>,
    with_receipt: usize,
    /// How long each took, in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// The answers that were kept, each with the number of its request.
    pub(crate) kept: Vec<(usize, Answer)>,
}

/// What one connection has to say.
#[derive(Default)]
struct Share {
    statuses: BTreeMap<u16, usize>,
    with_receipt: usize,
    latencies: Vec<u32>,
    kept: Vec<(usize, Answer)>,
}

impl Load {
    /// Sends it all to the server at an address, in the process of this id. Connections are opened before the clock starts.
    pub(crate) async fn send(self, address: SocketAddr, process: &str, requests: &Arc<Vec<Request>>) -> Answered {
        let next = Arc::new(AtomicUsize::new(0));
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(address).await.expect("the gateway answers"));
        }
        let (cpu, own_cpu, begun) = (cpu_time(process), own_cpu_time(), Instant::now());
        let mut sending = JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
            sending.spawn(self.send_share(number, connection, next, requests, begun));
        }
        let shares = sending.join_all().await;
        let run = Run { count: self.count, took: begun.elapsed(), cpu: cpu_time(process) - cpu };
        Answered::of(shares, run, own_cpu_time() - own_cpu)
    }

    async fn send_share(
        self,
        number: usize,
        mut connection: Connection,
        next: Arc<AtomicUsize>,
        requests: Arc<Vec<Request>>,
        begun: Instant,
    ) -> Share {
        let mut share = Share::default();
        for turn in 0.. {
            let which = next.fetch_add(1, Ordering::Relaxed);
            if which >= self.count {
                break;
            }
            let since = self.wait_for(number, turn, begun).await;
            let keep = which.is_multiple_of(KEPT);
            let asked = connection.ask(&requests[which % requests.len()], keep).await;
            let answer = asked.expect("the gateway answers");
            share.latencies.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
            *share.statuses.entry(answer.status).or_default() += 1;
            share.with_receipt += usize::from(answer.has_receipt);
            if keep {
                share.kept.push((which, answer));
            }
        }
        share
    }

    /// Waits until a connection's turn begins, and says from when on its answer is awaited: from when it was to begin, if
    /// the answer before it came too late for that. Else a server that stalls would hold back the very requests that
    /// would show it.
    async fn wait_for(self, number: usize, turn: u32, begun: Instant) -> Instant {
        let Some(pace) = self.pace else { return Instant::now() };
        let between = self.connections as f64 / pace;
        let offset = between * (number as f64 / self.connections as f64 + f64::from(turn));
        let due = begun + Duration::from_secs_f64(offset);
        if due <= Instant::now() {
            return due;
        }
        tokio::time::sleep_until(due.into()).await;
        Instant::now()
    }
}

impl Answered {
    fn of(shares: Vec<Share>, run: Run, own_cpu: Duration) -> Self {
        let (mut statuses, mut with_receipt) = (BTreeMap::new(), 0);
        let (mut latencies, mut kept) = (Vec::with_capacity(run.count), Vec::new());
        for share in shares {
            for (status, count) in share.statuses {
                *statuses.entry(status).or_default() += count;
            }
            with_receipt += share.with_receipt;
            latencies.extend(share.latencies);
            kept.extend(share.kept);
        }
        latencies.sort_unstable();
        Self { run, own_cpu, statuses, with_receipt, latencies, kept }
    }

    /// The load generator's own processor time in microseconds for each answer.
    pub(crate) fn own_cpu_each(&self) -> f64 {
        Run { cpu: self.own_cpu, ..self.run }.cpu_each()
    }

    /// How many answers were what was asked for.
    pub(crate) fn served(&self) -> usize {
        self.statuses.get(&200).copied().unwrap_or_default()
    }

    /// Panics unless every request was answered with what it asked for, and with a receipt if it was paid.
    pub(crate) fn expect_all_served(&self, paid: bool) {
        assert_eq!(self.served(), self.run.count, "answered were {:?}", self.statuses);
        assert_eq!(self.with_receipt, if paid { self.run.count } else { 0 }, "receipts of {}", self.run.count);
    }
}
