//! A gateway under load, and what it has sold: every answer is checked, and the ledger is read back in the end.

use crate::client::{Connection, Request};
use crate::gateway::{self, Gateway, Stock, free_path, path};
use crate::load::{Answered, Load};
use crate::market::{Listener, PRICE, Promise, identity, on_all_cores, promises};
use farthing::core::voucher::Domain;
use farthing::core::wire::SignedReceipt;
use farthing::core::{Amount, SignedVoucher};
use farthing::payee::{EmbeddedStore, PayeeStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long after its files were written a gateway is ready to answer them from memory.
const SETTLED: Duration = Duration::from_millis(2_500);

/// A gateway and those who buy there.
#[derive(Debug)]
pub(crate) struct Shop {
    gateway: Gateway,
    stock: Stock,
    listeners: Arc<Vec<Listener>>,
    /// How many items each listener has bought.
    bought: usize,
    /// How many items were answered with 200 and a receipt.
    sold: usize,
}

impl Shop {
    /// Starts a gateway and meets every listener: each buys one item.
    pub(crate) async fn open(folder: &Path, stock: Stock, listeners: &Arc<Vec<Listener>>) -> Self {
        let gateway = Gateway::start(folder, stock).await;
        let mut shop = Self { gateway, stock, listeners: Arc::clone(listeners), bought: 0, sold: 0 };
        shop.refuses_what_is_not_signed().await;
        // The gateway reads a file anew until it has not changed for a while; a shop's have not changed for longer.
        tokio::time::sleep(SETTLED).await;
        let once = Load { connections: 64, count: listeners.len(), pace: None };
        shop.sell(once).await;
        shop.give_away(once).await;
        shop
    }

    /// How many listeners there are; so many buy in one turn.
    pub(crate) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// The negative control: an answer without a right signature is not one of those that are counted.
    async fn refuses_what_is_not_signed(&self) {
        let [promise, another] = <[Promise; 2]>::try_from(promises(&self.listeners[..2], 0, 2)).expect("two");
        let signed = SignedVoucher { signature: another.signed.signature, ..promise.signed };
        let address = self.gateway.address;
        let request = Request::paid(address, &path(0), &self.gateway.challenges[0], &Promise { signed, ..promise });
        let mut connection = Connection::open(address).await.expect("it answers");
        let answer = connection.ask(&request, false).await.expect("it answers");
        assert_eq!((answer.status, answer.has_receipt), (402, false), "a forged voucher is refused");
    }

    /// Sells so many items, each to a voucher of its own. The requests are made before the clock starts.
    pub(crate) async fn sell(&mut self, load: Load) -> Answered {
        let turns = load.count.div_ceil(self.listeners.len());
        let count = turns * self.listeners.len();
        assert_eq!(count, load.count, "every listener buys as often as any other");
        let promises = promises(&self.listeners, self.bought, count);
        self.bought += turns;
        let numbered: Vec<(usize, Promise)> = promises.iter().copied().enumerate().collect();
        let requests = on_all_cores(&numbered, |(number, promise)| {
            let item = number % self.stock.items;
            Request::paid(self.gateway.address, &path(item), &self.gateway.challenges[item], promise)
        });
        let answered = self.send(load, requests).await;
        answered.expect_all_served(true);
        self.sold += answered.served();
        self.check_kept(&answered, Some(&promises));
        answered
    }

    /// Gives as many away.
    pub(crate) async fn give_away(&self, load: Load) -> Answered {
        let requests = (0..self.stock.items).map(|item| Request::free(self.gateway.address, &free_path(item)));
        let answered = self.send(load, requests.collect()).await;
        answered.expect_all_served(false);
        self.check_kept(&answered, None);
        answered
    }

    async fn send(&self, load: Load, requests: Vec<Request>) -> Answered {
        load.send(self.gateway.address, &self.gateway.process_id(), &Arc::new(requests)).await
    }

    /// What was kept is what was asked for, byte by byte, and its receipt is the payee's, for this voucher.
    fn check_kept(&self, answered: &Answered, promises: Option<&[Promise]>) {
        let domain = Domain::new(identity().deployment);
        assert!(!answered.kept.is_empty(), "some answers are looked at");
        for (number, answer) in &answered.kept {
            let item = number % self.stock.items;
            assert_eq!(answer.body(), Some(&*self.stock.content(item)), "the bytes of item {item}");
            let Some(promises) = promises else { continue };
            let field = answer.header("payment-receipt").expect("a receipt");
            let signed = SignedReceipt::from_header(&field).expect("a receipt");
            signed.verify(&domain, identity().payee).expect("the payee's receipt");
            let voucher = promises[*number].signed.voucher;
            let receipt = &signed.receipt;
            assert_eq!(
                (receipt.channel_id, receipt.cumulative_amount),
                (voucher.channel_id, voucher.cumulative_amount)
            );
            assert_eq!((receipt.item.as_str(), receipt.price), (path(item).as_str(), PRICE));
        }
    }

    /// Kills the gateway and reads its ledger: so many charges as items were sold, and every channel's sum.
    pub(crate) async fn close(self) -> usize {
        let folder = self.gateway.kill();
        let store = EmbeddedStore::open(&gateway::ledger(&folder), &identity()).expect("opens");
        let store: &dyn PayeeStore = &store;
        let charges = store.all_charges().await.expect("reads").len();
        assert_eq!(charges, self.sold, "what was answered with 200 is in the ledger, and nothing else");
        let books = store.all_books().await.expect("reads");
        assert_eq!(books.len(), self.listeners.len(), "every listener has a channel");
        let each = Amount::new(self.bought as u128 * PRICE.base_units());
        assert!(books.iter().all(|(_, books)| books.spent == each && books.accepted == each), "what each has paid");
        charges
    }
}
