//! What the store holds: purchases, channels, accounts.

use super::StoreError;
use farthing_core::wire::{Problem, SignedReceipt};
use farthing_core::{Account, Amount, Channel, ChannelId, Deployment, Timestamp, Voucher};
use redb::TableDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Names to small values: schema version, epoch.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Chain id, escrow, account id.
pub(super) type AccountKey = (u64, [u8; 20], [u8; 32]);

/// To [`FundedAccount`].
pub(super) const ACCOUNTS: TableDefinition<'_, AccountKey, &[u8]> = TableDefinition::new("accounts");
/// Channel id to [`PaidChannel`].
pub(super) const CHANNELS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("channels");
/// Number to [`Promise`], in the order in which they were made.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// (UTC day, number): which promises count towards a day.
pub(super) const BY_DAY: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("journal by day");
/// (request, number): which promises were made for a request.
pub(super) const BY_REQUEST: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("journal by request");
/// (channel id, cumulative amount) to the number of the last promise of that amount.
pub(super) const BY_VOUCHER: TableDefinition<'_, ([u8; 32], u128), u64> = TableDefinition::new("journal by voucher");
/// (channel id, number): refused promises whose amount is free to be signed again, and which count until it is.
pub(super) const HELD: TableDefinition<'_, ([u8; 32], u64), ()> = TableDefinition::new("held");
/// Origin to the payee that it named first.
pub(super) const PAYEES: TableDefinition<'_, &str, [u8; 20]> = TableDefinition::new("payees");
/// Origin to [`CachedOffer`].
pub(super) const OFFERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("offers");

/// A promise's number in its store's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromiseId(pub u64);

/// One entry of the journal: an item, the voucher that pays for it, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Its number.
    pub id: PromiseId,
    /// The escrow through which it is paid.
    pub deployment: Deployment,
    /// The channel that owes.
    pub channel: Channel,
    /// All that the channel owes with this promise.
    pub cumulative_amount: Amount,
    /// What the item costs.
    pub price: Amount,
    /// What of it counts towards the budget of its day and site: the price, or less once the promise was refused and
    /// later purchases took its place.
    pub counted: Amount,
    /// The request's method: `GET`, or `POST` for a tip.
    pub method: String,
    /// What was requested.
    pub url: String,
    /// What was sent along, if anything: a tip's message.
    pub body: Option<String>,
    /// The site.
    pub origin: String,
    /// What is bought, as the payee calls it.
    pub item: String,
    /// When it was promised.
    pub at: Timestamp,
    /// What became of it.
    pub state: PromiseState,
}

/// What became of a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromiseState {
    /// Made, perhaps signed, perhaps sent; nobody said what came of it. A retry sends the very same voucher.
    Promised,
    /// The item was delivered, or its delivery began. Fetching it again costs nothing.
    Bought {
        /// The payee's proof, if it sent one that held.
        #[serde(with = "json_text")]
        receipt: Option<Box<SignedReceipt>>,
    },
    /// The payee refused it.
    Refused {
        /// Why, in its words.
        #[serde(with = "json_text")]
        problem: Option<Box<Problem>>,
        /// Whether its amount is free to be signed again: nothing above it is promised.
        released: bool,
    },
}

impl Promise {
    /// The voucher, without its signature.
    #[must_use]
    pub fn voucher(&self) -> Voucher {
        Voucher { channel_id: self.channel_id(), cumulative_amount: self.cumulative_amount }
    }

    /// The id of the channel that owes.
    #[must_use]
    pub fn channel_id(&self) -> ChannelId {
        self.channel.id(&self.deployment)
    }

    /// Whether the item was delivered.
    #[must_use]
    pub const fn is_bought(&self) -> bool {
        matches!(self.state, PromiseState::Bought { .. })
    }

    /// The payee's proof, if there is one.
    #[must_use]
    pub fn receipt(&self) -> Option<&SignedReceipt> {
        match &self.state {
            PromiseState::Bought { receipt } => receipt.as_deref(),
            _ => None,
        }
    }
}

/// A channel that this store has promised on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidChannel {
    /// The escrow in which it lives.
    pub deployment: Deployment,
    /// Its terms.
    pub channel: Channel,
    /// The site for which it was first used.
    pub origin: String,
    /// What is promised and was not refused: the next voucher is for this and the next item's price.
    pub promised: Amount,
    /// The highest cumulative amount ever promised: the most that the payee can redeem.
    pub highest_signed: Amount,
    /// What the chain guarantees the payee in total, redeemed and reserved, as it was last recorded.
    pub guaranteed: Amount,
    /// Whether it belongs to an earlier life of the store (see [`super::PayerStore::renew_channels`]): nothing new is
    /// ever promised on it, and what is reserved in it can only be taken back.
    pub retired: bool,
    /// When it was first used.
    pub since: Timestamp,
}

/// An account that the owner deposited into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundedAccount {
    /// The escrow that holds it.
    pub deployment: Deployment,
    /// Payer, signer and token.
    pub account: Account,
    /// When the first deposit was recorded.
    pub first_seen: Timestamp,
}

/// What counts towards one site's and one day's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The UTC day, counted from 1970-01-01.
    pub day: u64,
    /// The site.
    pub origin: String,
    /// The token's chain.
    pub chain_id: u64,
    /// The token.
    pub token: farthing_core::Address,
    /// What was promised, less what was refused and replaced since.
    pub amount: Amount,
}

/// The last challenge of an origin, and what it sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::payer) struct CachedOffer {
    /// The challenge, as JSON: postcard can't leave fields out.
    pub(in crate::payer) challenge: String,
    /// The listing, as JSON, if there is one.
    pub(in crate::payer) listing: Option<String>,
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(value).map_err(|error| StoreError::Damaged(format!("a record can't be written: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| StoreError::Damaged(format!("a record can't be read: {error}")))
}

/// Writes a value as JSON text inside a binary record: types that flatten or leave out fields need it.
mod json_text {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(value).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_core::wire::ProblemType;
    use farthing_core::{Address, B256};

    #[test]
    fn a_promise_reads_back_in_every_state() {
        let channel = Channel {
            payer: Address::repeat_byte(1),
            payee: Address::repeat_byte(2),
            token: Address::repeat_byte(3),
            salt: B256::repeat_byte(4),
            authorized_signer: Address::repeat_byte(5),
        };
        let problem = Problem::new(ProblemType::DeltaTooSmall, "too little").with("price", &5);
        for state in [
            PromiseState::Promised,
            PromiseState::Bought { receipt: None },
            PromiseState::Refused { problem: Some(Box::new(problem)), released: true },
        ] {
            let promise = Promise {
                id: PromiseId(7),
                deployment: Deployment { chain_id: 1, escrow: Address::repeat_byte(6) },
                channel,
                cumulative_amount: Amount::new(u128::MAX),
                price: Amount::new(1),
                counted: Amount::new(1),
                method: "GET".to_owned(),
                url: "https://site.example/a".to_owned(),
                body: None,
                origin: "https://site.example".to_owned(),
                item: "/a".to_owned(),
                at: Timestamp::from_unix_seconds(1),
                state,
            };
            let bytes = encode(&promise).expect("writes");
            assert_eq!(decode::<Promise>(&bytes).expect("reads"), promise);
        }
    }
}
