//! How much longer a paid request takes than the same one without payment.

use crate::Common;
use crate::gateway::Stock;
use crate::load::Load;
use crate::market::{Listener, identity};
use crate::report::{measured, percentile};
use crate::shop::Shop;
use serde_json::json;
use std::sync::Arc;

/// In how many parts paid and free take turns.
const PARTS: usize = 4;

/// How latencies are measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Latency {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    stock: Stock,
    /// How many listeners buy, each with a key and a channel of its own
    #[arg(long, default_value_t = 200)]
    listeners: u64,
    /// Connections, of which each sends its next request when it has its answer
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
    /// Connections at half the rate that as many reach without a pause
    #[arg(long, default_value_t = 128)]
    half_rate_connections: usize,
}

impl Latency {
    pub(crate) async fn run(self) {
        let listeners = Arc::new(Listener::many(self.listeners, &identity()));
        let folder = self.common.folder();
        let mut shop = Shop::open(folder.path(), self.stock, &listeners).await;
        for connections in &self.connections {
            self.compare(&mut shop, &connections.to_string(), *connections, None).await;
        }
        // Long enough for the rate to be what it stays at.
        let mut load = Load { connections: self.half_rate_connections, count: listeners.len(), pace: None };
        for _ in 0..2 {
            let rate = shop.sell(load).await.run.rate();
            load.count = self.common.turns(rate, listeners.len()) * listeners.len();
        }
        let pace = shop.sell(load).await.run.rate() / 2.0;
        self.compare(&mut shop, "half-rate", self.half_rate_connections, Some(pace)).await;
        shop.close().await;
    }

    /// What paid and free requests take when they take turns.
    async fn compare(&self, shop: &mut Shop, load_name: &str, connections: usize, pace: Option<f64>) {
        let listeners = shop.listeners();
        let mut load = Load { connections, count: listeners, pace };
        let rate = shop.sell(load).await.run.rate();
        load.count = self.common.turns(rate, listeners * PARTS) * listeners;
        let (mut paid, mut free) = (Vec::new(), Vec::new());
        for _ in 0..PARTS {
            paid.extend(shop.sell(load).await.latencies);
            free.extend(shop.give_away(load).await.latencies);
        }
        paid.sort_unstable();
        free.sort_unstable();
        for hundredth in [50, 99] {
            let [paid, free] = [&paid, &free].map(|latencies| percentile(latencies, hundredth) / 1e3);
            let of = json!({ "connections": load_name, "percentile": hundredth });
            measured("http.latency.paid", paid, "ms", &of);
            measured("http.latency.free", free, "ms", &of);
            // Where the difference drowns in what one machine does from one request to the next, it is none.
            measured("http.latency.added", (paid - free).max(0.0), "ms", &of);
        }
    }
}
