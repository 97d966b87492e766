//! What the escrow's events say was paid to a payee: every redemption, whoever sent it, in a batch, alone or with a
//! close.

use super::store::LedgerIdentity;
use crate::chain::{Chain, to_amount};
use crate::escrow::bindings::Escrow as abi;
use crate::escrow::{Escrow, EscrowError};
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;
use farthing_core::batch::unpack_entries;
use farthing_core::{AccountId, Amount, ChannelId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The most blocks that one request asks for at first. A node that refuses is asked for fewer.
const LOG_RANGE_MAX: u64 = 10_000;

/// Ids that one request names at most.
const IDS_MAX: usize = 100;

/// One payment out of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) channel_id: ChannelId,
    /// What the channel has paid in total since.
    pub(super) redeemed: Amount,
    pub(super) transaction: B256,
    pub(super) block: u64,
    pub(super) terms: KnownTerms,
}

/// What an event tells of its channel's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownTerms {
    /// All: a batch names payer and token.
    Payer(Address),
    /// The account that paid, which is of one token.
    Account(AccountId),
    /// Nothing: whoever opened the channel has said it.
    Nothing,
}

/// A range of blocks, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// All payments to a payee within a range, in the order of the chain: those in its token, and those whose event names
/// none.
pub(super) async fn payments(
    escrow: &Escrow,
    identity: &LedgerIdentity,
    blocks: Blocks,
) -> Result<Vec<Payment>, EscrowError> {
    let payee = identity.payee.into_word();
    let of_one = [abi::Redeemed::SIGNATURE_HASH, abi::RedeemedFromAccount::SIGNATURE_HASH, abi::Closed::SIGNATURE_HASH];
    let of_one = Filter::new().event_signature(of_one.to_vec()).topic2(payee);
    let of_many = Filter::new().event_signature(abi::BatchRedeemed::SIGNATURE_HASH);
    let of_many = of_many.topic1(payee).topic2(identity.token.into_word());
    let mut logs = logs(escrow, of_one, blocks).await?;
    logs.extend(self::logs(escrow, of_many, blocks).await?);
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    let mut payments = Vec::with_capacity(logs.len());
    for log in &logs {
        read(log, identity, &mut payments)?;
    }
    Ok(payments)
}

fn read(log: &Log, identity: &LedgerIdentity, payments: &mut Vec<Payment>) -> Result<(), EscrowError> {
    let (transaction, block) = (log.transaction_hash.unwrap_or_default(), log.block_number.unwrap_or_default());
    let mut note = |channel_id, redeemed, terms| {
        payments.push(Payment { channel_id, redeemed, transaction, block, terms });
    };
    if let Ok(event) = abi::Redeemed::decode_log(&log.inner) {
        note(ChannelId(event.channelId), to_amount(event.redeemed)?, KnownTerms::Nothing);
    } else if let Ok(event) = abi::RedeemedFromAccount::decode_log(&log.inner) {
        let account = KnownTerms::Account(AccountId(event.accountId));
        note(ChannelId(event.channelId), to_amount(event.redeemed)?, account);
    } else if let Ok(event) = abi::Closed::decode_log(&log.inner) {
        // A close that redeems out of the reservation says so in no other event.
        note(ChannelId(event.channelId), to_amount(event.redeemed)?, KnownTerms::Nothing);
    } else if let Ok(event) = abi::BatchRedeemed::decode_log(&log.inner) {
        let entries = unpack_entries(identity.payee, identity.token, &event.entries);
        for (channel, redeemed) in entries.map_err(|error| EscrowError::Answer(error.to_string()))? {
            note(channel.id(&identity.deployment), redeemed, KnownTerms::Payer(channel.payer));
        }
    }
    Ok(())
}

/// Of channels and accounts that nothing else is known of: those that are in another token than the ledger's. The
/// events that brought money into them say so.
pub(super) async fn in_other_tokens(
    escrow: &Escrow,
    identity: &LedgerIdentity,
    unknown: &[Payment],
    blocks: Blocks,
) -> Result<BTreeSet<ChannelId>, EscrowError> {
    let mut by_account: BTreeMap<AccountId, BTreeSet<ChannelId>> = BTreeMap::new();
    let mut others = BTreeSet::new();
    for payment in unknown {
        if let KnownTerms::Account(account) = payment.terms {
            by_account.entry(account).or_default().insert(payment.channel_id);
        }
    }
    let accounts: Vec<B256> = by_account.keys().map(|account| account.0).collect();
    for ids in accounts.chunks(IDS_MAX) {
        let filter = Filter::new().event_signature(abi::Deposited::SIGNATURE_HASH).topic1(ids.to_vec());
        for log in logs(escrow, filter, blocks).await? {
            let Ok(event) = abi::Deposited::decode_log(&log.inner) else { continue };
            if event.token != identity.token {
                others.extend(by_account.get(&AccountId(event.accountId)).into_iter().flatten().copied());
            }
        }
    }
    let channels: BTreeSet<B256> = unknown.iter().map(|payment| payment.channel_id.0).collect();
    let channels: Vec<B256> = channels.into_iter().collect();
    let opened = [abi::Opened::SIGNATURE_HASH, abi::Reserved::SIGNATURE_HASH];
    for ids in channels.chunks(IDS_MAX) {
        let filter = Filter::new().event_signature(opened.to_vec()).topic1(ids.to_vec());
        for log in logs(escrow, filter, blocks).await? {
            let opened = abi::Opened::decode_log(&log.inner).map(|event| (event.channelId, event.token));
            let reserved = || abi::Reserved::decode_log(&log.inner).map(|event| (event.channelId, event.token));
            let Ok((channel_id, token)) = opened.or_else(|_| reserved()) else { continue };
            if token != identity.token {
                others.insert(ChannelId(channel_id));
            }
        }
    }
    Ok(others)
}

/// The escrow's events within a range, part by part. A node that refuses a part is asked for a smaller one.
async fn logs(escrow: &Escrow, filter: Filter, blocks: Blocks) -> Result<Vec<Log>, EscrowError> {
    let chain = escrow.chain();
    let filter = filter.address(escrow.deployment().escrow);
    let (mut first, mut length) = (blocks.first, LOG_RANGE_MAX);
    let mut found = Vec::new();
    while first <= blocks.last {
        let last = blocks.last.min(first.saturating_add(length - 1));
        match chain.provider().get_logs(&filter.clone().from_block(first).to_block(last)).await {
            Ok(logs) => {
                found.extend(logs);
                first = last + 1;
                length = LOG_RANGE_MAX.min(length * 2);
            }
            // Too many blocks or too many events for it, in words of its own; a silent one is not asked again.
            Err(error) if error.as_error_resp().is_some() && length > 1 => length = length.div_ceil(4),
            Err(error) => return Err(chain.error(&error).into()),
        }
    }
    Ok(found)
}

/// The block that the escrow was created in, if the node still knows what was there then.
pub(super) async fn first_block(escrow: &Escrow, head: u64) -> Result<Option<u64>, EscrowError> {
    let (chain, address) = (escrow.chain(), escrow.deployment().escrow);
    let (mut without, mut with) = (None, head);
    // The first block that has code lies after `without` and at or before `with`.
    while with > without.map_or(0, |block| block + 1) {
        let first = without.map_or(0, |block| block + 1);
        let middle = first + (with - first) / 2;
        match chain.provider().get_code_at(address).number(middle).await {
            Ok(code) if code.is_empty() => without = Some(middle),
            Ok(_) => with = middle,
            Err(error) if error.as_error_resp().is_some() => return Ok(None),
            Err(error) => return Err(chain.error(&error).into()),
        }
    }
    Ok(Some(with))
}

/// The last block before a moment; the first of all if there is none.
pub(super) async fn block_before(chain: &Chain, moment: Timestamp, head: u64) -> Result<u64, EscrowError> {
    let (mut first, mut last) = (0, head);
    while first < last {
        let middle = first + (last - first).div_ceil(2);
        let block = chain.block(BlockNumberOrTag::Number(middle)).await?;
        let block = block.ok_or_else(|| EscrowError::Answer(format!("no block {middle}")))?;
        if block.at < moment {
            first = middle;
        } else {
            last = middle - 1;
        }
    }
    Ok(first)
}
