//! Reads the escrow's events, in ranges that adapt to what a node allows.

use crate::chain::{Block, ChainError};
use crate::escrow::Escrow;
use crate::escrow::bindings::Escrow as abi;
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;
use farthing_core::batch::unpack_entries;
use farthing_core::{Account, AccountId, Channel, ChannelId, Deployment};

/// The most blocks that one `eth_getLogs` asks for.
const RANGE_MAX: u64 = 1_000;

/// After so many answers in a row a node that refused a range is asked for twice as much again.
const CALM_ANSWERS: u32 = 16;

/// An answer with more events than this is long: the next range is half of this one.
const LONG_ANSWER: usize = 5_000;

/// How many blocks a node is asked for at once. Some providers allow ten thousand, some ten, some say so in words of
/// their own, and some limit the answer instead: so every refusal halves it, whatever its words.
#[derive(Debug)]
pub(super) struct LogRange {
    blocks: u64,
    calm: u32,
}

impl Default for LogRange {
    fn default() -> Self {
        Self { blocks: RANGE_MAX, calm: 0 }
    }
}

impl LogRange {
    /// The last block to ask for, from `first` on, of those below `end`.
    pub(super) fn last(&self, first: u64, end: u64) -> u64 {
        end.min(first.saturating_add(self.blocks - 1))
    }

    /// The node refused. Returns whether there is a smaller range to try.
    pub(super) fn refused(&mut self) -> bool {
        self.calm = 0;
        let is_smallest = self.blocks == 1;
        self.blocks = (self.blocks / 2).max(1);
        !is_smallest
    }

    /// The node answered with so many events.
    pub(super) fn answered(&mut self, events: usize) {
        if events > LONG_ANSWER {
            self.refused();
            return;
        }
        self.calm += 1;
        if self.calm >= CALM_ANSWERS {
            self.calm = 0;
            self.blocks = (self.blocks * 2).min(RANGE_MAX);
        }
    }
}

/// Whether to ask for a smaller range at once: the node answered and refused. One that does not answer would hold up the
/// look at every range, and one that refuses whoever asks so often would refuse them all.
pub(super) fn is_about_range(error: &ChainError) -> bool {
    let ChainError::Unreachable { reason, .. } = error else { return matches!(error, ChainError::Reverted { .. }) };
    let reason = reason.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let is_about_rate = any(&["rate limit", "too many requests", "per second", "429", "401", "403", "unauthorized"]);
    let is_silent = any(&["error sending request", "connection", "no answer within"]);
    !is_about_rate && !is_silent
}

/// The escrow's events in a range of blocks.
pub(super) async fn in_range(escrow: &Escrow, first: u64, last: u64) -> Result<Vec<Log>, ChainError> {
    let filter = Filter::new().address(escrow.deployment().escrow).from_block(first).to_block(last);
    escrow.chain().logs(&filter).await
}

/// The escrow's events in one block. By its hash: of a node that has not seen it yet, perhaps one of several behind the
/// same URL, that is an error, where a range of numbers would be answered with no events at all.
pub(super) async fn in_block(escrow: &Escrow, block: Block) -> Result<Vec<Log>, ChainError> {
    let filter = Filter::new().address(escrow.deployment().escrow).at_block_hash(block.hash);
    escrow.chain().logs(&filter).await
}

/// The payee of an event that changes what is owed to it, and the channels that it is about.
pub(super) fn named_by_payee(log: &Log, deployment: &Deployment) -> Option<(Address, Vec<ChannelId>)> {
    if let Ok(event) = abi::BatchRedeemed::decode_log(&log.inner) {
        let channels = batch_channels(&event).iter().map(|channel| channel.id(deployment)).collect();
        return Some((event.payee, channels));
    }
    let redeemed = abi::Redeemed::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let from_account = || abi::RedeemedFromAccount::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let requested = || abi::CloseRequested::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let closed = || abi::Closed::decode_log(&log.inner).map(|event| (event.payee, event.channelId));
    let found = redeemed.or_else(|_| from_account()).or_else(|_| requested()).or_else(|_| closed());
    found.ok().map(|(payee, channel_id)| (payee, vec![ChannelId(channel_id)]))
}

/// The account and channel ids that an event names: in its topics, or, of a batch and a reservation, in its data.
pub(super) fn named_ids(log: &Log) -> Vec<B256> {
    let mut named = log.topics().get(1..).unwrap_or_default().to_vec();
    if let Ok(event) = abi::BatchRedeemed::decode_log(&log.inner) {
        named.extend(batch_channels(&event).iter().map(|channel| channel.account().id().0));
    } else if let Ok(event) = abi::Reserved::decode_log(&log.inner) {
        let account = Account { payer: event.payer, authorized_signer: event.authorizedSigner, token: event.token };
        named.push(account.id().0);
    }
    named
}

/// The account that an event withdraws money from. What is spent elsewhere, or reserved there, is what accounts are for:
/// credit looks at what is left.
pub(super) fn withdrawn_from(log: &Log) -> Option<AccountId> {
    let withdrawn = abi::Withdrawn::decode_log(&log.inner).map(|event| event.accountId);
    let relayed = || abi::WithdrawnFor::decode_log(&log.inner).map(|event| event.accountId);
    withdrawn.or_else(|_| relayed()).ok().map(AccountId)
}

/// The channels of a batch; none if its entries can't be read.
fn batch_channels(event: &abi::BatchRedeemed) -> Vec<Channel> {
    let entries = unpack_entries(event.payee, event.token, &event.entries).unwrap_or_default();
    entries.into_iter().map(|(channel, _)| channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: &str) -> ChainError {
        ChainError::Unreachable { url: "https://rpc.example".to_owned(), reason: reason.to_owned() }
    }

    /// What providers say when they are asked for too much.
    #[test]
    fn a_refusal_of_too_large_a_range_is_known_in_every_wording() {
        for words in [
            "query returned more than 10000 results",
            "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range",
            "block range is too wide",
            "exceed maximum block range: 50000",
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
            "eth_getLogs is limited to a 1000 block range",
            "ranges over 10000 blocks are not supported on freetier",
            "query exceeds max results 20000, retry with the range 1-2",
            "requested too many blocks from 0 to 1000, maximum is set to 500",
        ] {
            assert!(is_about_range(&refusal(words)), "{words}");
        }
        for words in [
            "error sending request",
            "no answer within 5s",
            "HTTP error 429: Too Many Requests",
            "daily rate limit reached",
        ] {
            assert!(!is_about_range(&refusal(words)), "{words}");
        }
    }

    #[test]
    fn a_range_halves_at_every_refusal_and_grows_back_slowly() {
        let mut range = LogRange::default();
        assert_eq!((range.last(5, 10), range.last(5, 10_000)), (10, 1_004));
        let refusals = std::iter::from_fn(|| range.refused().then_some(())).count();
        assert_eq!((refusals, range.last(7, 10_000)), (9, 7), "one block is the least");
        for _ in 0..CALM_ANSWERS {
            assert_eq!(range.last(7, 10_000), 7);
            range.answered(3);
        }
        assert_eq!(range.last(7, 10_000), 8);
        range.answered(LONG_ANSWER + 1);
        assert_eq!(range.last(7, 10_000), 7, "a long answer halves it as well");
        (0..CALM_ANSWERS * 20).for_each(|_| range.answered(0));
        assert_eq!(range.last(1, 10_000), 1_000);
    }
}
