//! What a ledger's rows say. A row that says something else was damaged, and is an error, never a guess.

use super::super::store::{Lease, LedgerIdentity, Owing, Redemption, RedemptionState, Relayed};
use super::numeric::Numeric;
use crate::chain::Fees;
use farthing_core::ledger::{ChannelBooks, Charge, Credit, FinalRedemption, RequestId};
use farthing_core::voucher::VoucherSignature;
use farthing_core::{Address, Amount, B256, Channel, ChannelId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// A row, read from its first column to its last.
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

/// What is wrong with a row.
pub(super) type Damage = String;

impl<'a> Columns<'a> {
    pub(super) const fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql<'a>>(&mut self) -> Result<T, Damage> {
        let (row, column) = (self.row, self.next);
        self.next += 1;
        row.try_get(column).map_err(|error| {
            let name = row.columns().get(column).map_or("?", |column| column.name());
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("the column {name} of an entry is damaged: {reason}")
        })
    }

    pub(super) fn amount(&mut self) -> Result<Amount, Damage> {
        self.take::<Numeric>().map(|Numeric(amount)| amount)
    }

    fn number<T: TryFrom<u128>>(&mut self) -> Result<T, Damage> {
        let number = self.amount()?.base_units();
        number.try_into().map_err(|_| format!("an entry is damaged: {number} is too large"))
    }

    pub(super) fn hash(&mut self) -> Result<B256, Damage> {
        let bytes: &[u8] = self.take()?;
        B256::try_from(bytes).map_err(|_| format!("an entry is damaged: a hash of {} bytes", bytes.len()))
    }

    pub(super) fn channel_id(&mut self) -> Result<ChannelId, Damage> {
        self.hash().map(ChannelId)
    }

    fn address(&mut self) -> Result<Address, Damage> {
        let bytes: &[u8] = self.take()?;
        Address::try_from(bytes).map_err(|_| format!("an entry is damaged: an address of {} bytes", bytes.len()))
    }

    fn timestamp(&mut self) -> Result<Timestamp, Damage> {
        self.natural().map(Timestamp::from_unix_seconds)
    }

    fn natural(&mut self) -> Result<u64, Damage> {
        let number: i64 = self.take()?;
        number.try_into().map_err(|_| format!("an entry is damaged: {number} is below zero"))
    }
}

/// The payee and the token of a channel are those of the ledger.
pub(super) fn books(row: &Row, identity: &LedgerIdentity) -> Result<(ChannelId, ChannelBooks), Damage> {
    books_in(&mut Columns::of(row), identity)
}

pub(super) fn owing(row: &Row, identity: &LedgerIdentity) -> Result<Owing, Damage> {
    let mut columns = Columns::of(row);
    let (channel_id, books) = books_in(&mut columns, identity)?;
    Ok(Owing { channel_id, books, since: columns.timestamp()? })
}

fn books_in(columns: &mut Columns<'_>, identity: &LedgerIdentity) -> Result<(ChannelId, ChannelBooks), Damage> {
    let channel_id = columns.channel_id()?;
    let (payer, authorized_signer, salt) = (columns.address()?, columns.address()?, columns.hash()?);
    let LedgerIdentity { payee, token, deployment } = *identity;
    let channel = Channel { payer, payee, token, salt, authorized_signer };
    if channel.id(&deployment) != channel_id {
        return Err(format!("an entry is damaged: the terms are not those of channel {channel_id}"));
    }
    let (accepted, spent) = (columns.amount()?, columns.amount()?);
    let (credited, redeemed) = (columns.amount()?, columns.amount()?);
    Ok((channel_id, ChannelBooks { channel, accepted, spent, credited, redeemed }))
}

pub(super) fn charge(row: &Row) -> Result<(ChannelId, Charge), Damage> {
    let mut columns = Columns::of(row);
    let (channel_id, cumulative_amount) = (columns.channel_id()?, columns.amount()?);
    let signature = VoucherSignature::from_bytes(columns.take()?);
    let signature = signature.map_err(|error| format!("an entry is damaged: {error}"))?;
    let charge = Charge {
        cumulative_amount,
        signature,
        price: columns.amount()?,
        item: columns.take()?,
        request: RequestId(columns.hash()?),
        unearned_credit: columns.amount()?,
        at: columns.timestamp()?,
    };
    Ok((channel_id, charge))
}

pub(super) fn credit(row: &Row) -> Result<(ChannelId, Credit), Damage> {
    let mut columns = Columns::of(row);
    let channel_id = columns.channel_id()?;
    let (cumulative_amount, amount, at) = (columns.amount()?, columns.amount()?, columns.timestamp()?);
    Ok((channel_id, Credit { cumulative_amount, amount, at }))
}

pub(super) fn final_redemption(row: &Row) -> Result<(ChannelId, FinalRedemption), Damage> {
    let mut columns = Columns::of(row);
    let channel_id = columns.channel_id()?;
    let (redeemed, paid) = (columns.amount()?, columns.amount()?);
    Ok((channel_id, FinalRedemption { redeemed, paid, block: columns.number()?, at: columns.timestamp()? }))
}

/// A redemption with one of its vouchers, if it has any.
pub(super) fn redemption(row: &Row) -> Result<Redemption, Damage> {
    let mut columns = Columns::of(row);
    let (hash, sender, nonce) = (columns.hash()?, columns.address()?, columns.number()?);
    let fees = Fees { max_fee_per_gas: columns.number()?, max_priority_fee_per_gas: columns.number()? };
    let (closes, at) = (columns.take()?, columns.timestamp()?);
    let state = state_in(&mut columns)?;
    let channel_id: Option<&[u8]> = columns.take()?;
    let mut vouchers = Vec::new();
    if channel_id.is_some() {
        columns.next -= 1;
        vouchers.push((columns.channel_id()?, columns.amount()?));
    }
    Ok(Redemption { hash, sender, nonce, fees, vouchers, closes, at, state })
}

const SENT: &str = "sent";
const MINED: &str = "mined";
const FINAL: &str = "final";
const FAILED: &str = "failed";

/// What became of a transaction.
pub(super) fn state(row: &Row) -> Result<(B256, RedemptionState), Damage> {
    let mut columns = Columns::of(row);
    Ok((columns.hash()?, state_in(&mut columns)?))
}

fn state_in(columns: &mut Columns<'_>) -> Result<RedemptionState, Damage> {
    let name: &str = columns.take()?;
    if name == MINED || name == FINAL {
        let (block, gas_used, gas_price) = (columns.number()?, columns.number()?, columns.number()?);
        return Ok(if name == MINED {
            RedemptionState::Mined { block, gas_used, gas_price }
        } else {
            RedemptionState::Final { block, gas_used, gas_price }
        });
    }
    // The figures of what was mined.
    columns.next += 3;
    match name {
        SENT => Ok(RedemptionState::Sent),
        FAILED => Ok(RedemptionState::Failed),
        other => Err(format!("an entry is damaged: no redemption is {other:?}")),
    }
}

/// How a redemption's state is written.
pub(super) const fn state_name(state: &RedemptionState) -> &'static str {
    match state {
        RedemptionState::Sent => SENT,
        RedemptionState::Mined { .. } => MINED,
        RedemptionState::Final { .. } => FINAL,
        RedemptionState::Failed => FAILED,
    }
}

/// Nothing as long as nobody has asked for it.
pub(super) fn lease(row: &Row) -> Result<Option<Lease>, Damage> {
    let mut columns = Columns::of(row);
    if columns.take::<Option<&[u8]>>()?.is_none() {
        return Ok(None);
    }
    columns.next = 0;
    Ok(Some(Lease { holder: columns.hash()?, fence: columns.number()?, until: columns.timestamp()? }))
}

pub(super) fn relayed(row: &Row) -> Result<Relayed, Damage> {
    let mut columns = Columns::of(row);
    let (hash, request) = (columns.hash()?, columns.hash()?);
    Ok(Relayed { request, hash, at: columns.timestamp()?, cost: columns.amount()? })
}

/// What a day adds up to.
pub(super) fn day(row: &Row) -> Result<(u64, Amount), Damage> {
    let mut columns = Columns::of(row);
    Ok((columns.natural()?, columns.amount()?))
}
