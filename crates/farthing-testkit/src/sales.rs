//! Batches that can be sent twice: nothing in them is refused, and each is told apart from every other. The ledger after
//! so many of them is always the same, whatever happened on the way.

use crate::histories::{channel, charge, identity, signer, voucher};
use farthing::PrivateKeySigner;
use farthing::core::{Address, Amount, B256, Channel, Timestamp};
use farthing::payee::PayeeStore;
use farthing::payee::store::{Entry, Outcome, Record, RecordKind, Redemption, RedemptionState, Relayed};
use std::collections::BTreeSet;

/// How many channels sell.
const CHANNELS: u8 = 6;

/// How many charges a batch has.
const CHARGES: u128 = 4;

const PRICE: u128 = 10;

/// Sells on a few channels, gives back, redeems and relays now and then.
#[derive(Debug)]
pub struct Sales {
    channels: Vec<(PrivateKeySigner, Channel)>,
}

impl Default for Sales {
    fn default() -> Self {
        let channels = (0..CHANNELS).map(|index| {
            let signer = signer(index % 4);
            let channel = channel(&signer, index);
            (signer, channel)
        });
        Self { channels: channels.collect() }
    }
}

impl Sales {
    /// The first batches. Signing takes longer than all the rest.
    #[must_use]
    pub fn batches(&self, count: usize) -> Vec<Vec<Entry>> {
        (0..count).map(|number| self.batch(number)).collect()
    }

    /// The batch with this number.
    #[must_use]
    pub fn batch(&self, number: usize) -> Vec<Entry> {
        let first = number as u128 * CHARGES;
        let mut batch: Vec<Entry> = (first..first + CHARGES).map(|sale| self.charge(sale)).collect();
        let at = Timestamp::from_unix_seconds(1_800_057_600 + number as u64);
        let (_, channel) = self.seller(first);
        let (channel_id, cumulative_amount) = (channel.id(&identity().deployment), total(first));
        match number % 4 {
            1 => batch.push(Entry::Credit { channel_id, cumulative_amount, amount: None, at }),
            2 => batch.push(Entry::Redeemed { channel_id, redeemed: cumulative_amount, block: number as u64, at }),
            3 => batch.extend(transaction(number, at)),
            _ => {}
        }
        batch
    }

    fn seller(&self, sale: u128) -> &(PrivateKeySigner, Channel) {
        let index = sale % u128::from(CHANNELS);
        self.channels.iter().cycle().nth(usize::try_from(index).expect("small")).expect("a channel")
    }

    fn charge(&self, sale: u128) -> Entry {
        let (signer, channel) = self.seller(sale);
        charge(voucher(signer, channel, total(sale).base_units()), PRICE, &format!("/{sale}"))
    }
}

/// The cumulative amount of a sale's voucher. Each channel's grow by its turns, and cover them.
const fn total(sale: u128) -> Amount {
    Amount::new((sale + 1) * PRICE)
}

/// One is sent, and the one before it is final.
fn transaction(number: usize, at: Timestamp) -> Vec<Entry> {
    let sent = redemption(number, at);
    let relayed = Relayed { request: sent.hash, hash: sent.hash, at, cost: Amount::new(7) };
    let before = number.checked_sub(4).map(|number| redemption(number, at));
    let settled = before.map(|before| {
        let state = RedemptionState::Final { block: number as u64, gas_used: 100_000, gas_price: 7 };
        Entry::Redemption { redemption: Redemption { state, ..before }, fence: None }
    });
    let sent = Entry::Redemption { redemption: sent, fence: None };
    [Entry::Relayed(relayed), sent].into_iter().chain(settled).collect()
}

fn redemption(number: usize, at: Timestamp) -> Redemption {
    Redemption {
        hash: B256::with_last_byte(u8::try_from(number % 256).expect("a byte")),
        sender: Address::repeat_byte(2),
        nonce: number as u64,
        fees: farthing::chain::Fees { max_fee_per_gas: 4, max_priority_fee_per_gas: 5 },
        vouchers: Vec::new(),
        closes: true,
        at,
        state: RedemptionState::Sent,
    }
}

/// Whether a batch was taken as a whole: all of it as new, or, if it was sent before, all of it again.
///
/// # Errors
///
/// What was answered otherwise.
pub fn taken(outcomes: &[Outcome], sent_before: bool) -> Result<(), String> {
    let mut before = None;
    for (number, outcome) in outcomes.iter().enumerate() {
        let again = match outcome {
            Outcome::Charged { again, .. } | Outcome::Credited { again, .. } => *again,
            Outcome::Noted => continue,
            other => return Err(format!("entry {number} is answered {other:?}")),
        };
        if again && !sent_before {
            return Err(format!("entry {number} is taken for one that was there"));
        }
        if before.is_some_and(|before| before != again) {
            return Err(format!("entry {number} and the one before it were not written together"));
        }
        before = Some(again);
    }
    Ok(())
}

/// Everything that a store shows, in its own order. Panics unless what it finds to be unsettled is what it shows so.
///
/// # Errors
///
/// If it can't be read.
pub async fn records(store: &dyn PayeeStore) -> Result<Vec<Record>, farthing::payee::StoreError> {
    let mut all = Vec::new();
    let mut visitor = |record| {
        all.push(record);
        Ok(())
    };
    store.visit(&RecordKind::ALL, &mut visitor).await?;
    let unsettled = all.iter().filter_map(|record| match record {
        Record::Redemption { redemption } if redemption.state.is_unsettled() => Some(redemption.hash),
        _ => None,
    });
    let found: BTreeSet<B256> = store.unsettled().await?.iter().map(|redemption| redemption.hash).collect();
    assert_eq!(found, unsettled.collect(), "what is unsettled is not found");
    Ok(all)
}

/// What a store shows after none, one, two … of these batches.
pub async fn ledgers(batches: usize) -> Vec<Vec<Record>> {
    let store = crate::disk::Disk::default().open().expect("opens");
    let sales = Sales::default();
    let mut all = vec![records(&store).await.expect("reads")];
    for number in 0..batches {
        taken(&store.accept_batch(&sales.batch(number)).await.expect("writes"), false).expect("new");
        all.push(records(&store).await.expect("reads"));
    }
    all
}
