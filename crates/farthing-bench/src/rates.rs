//! How many items a second are verified, durable and served over HTTP, and how many the same server gives away.

use crate::gateway::Stock;
use crate::load::{Answered, Load};
use crate::market::{Listener, identity};
use crate::report::measured;
use crate::shop::Shop;
use crate::{Common, VERIFIER};
use serde_json::json;
use std::sync::Arc;

/// How the rates over HTTP are measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rates {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    stock: Stock,
    /// How many connections are open, each with one request under way
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// How many listeners buy, each with a key and a channel of its own
    #[arg(long, default_value_t = 1_000)]
    listeners: u64,
    /// Measure paid requests only
    #[arg(long)]
    paid_only: bool,
}

impl Rates {
    pub(crate) async fn run(mut self) {
        if self.common.quick {
            self.listeners = 200;
        }
        let listeners = Arc::new(Listener::many(self.listeners, &identity()));
        let folder = self.common.folder();
        let mut shop = Shop::open(folder.path(), self.stock, &listeners).await;
        // What a rate is, is known when it was measured once.
        let short = Load { connections: self.connections, count: listeners.len(), pace: None };
        let enough = |tried: &Answered| {
            let turns = self.common.turns(tried.run.rate(), listeners.len());
            Load { count: turns * listeners.len(), ..short }
        };
        let load = enough(&shop.sell(short).await);
        Self::print("paid", &shop.sell(load).await);
        if !self.paid_only {
            let load = enough(&shop.give_away(short).await);
            Self::print("free", &shop.give_away(load).await);
        }
        shop.close().await;
    }

    fn print(what: &str, answered: &Answered) {
        let of = |who: &str| json!({ "verifier": VERIFIER, "who": who });
        measured(&format!("http.{what}"), answered.run.rate(), "/s", &json!({ "verifier": VERIFIER }));
        measured(&format!("http.{what}.cpu"), answered.run.cpu_each(), "µs", &of("gateway"));
        measured(&format!("http.{what}.cpu"), answered.own_cpu_each(), "µs", &of("load"));
    }
}
