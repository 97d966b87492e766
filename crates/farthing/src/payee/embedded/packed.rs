//! A channel's charges, packed: one after the other in the order of their amounts, so that a row holds many of them.
//!
//! Each has a head before it, so that whoever looks for an amount or a request reads heads and no charges.

use super::tables::{decode, encode};
use farthing_core::Amount;
use farthing_core::ledger::{Charge, RequestId};
use redb::Error as Trouble;

/// The head: the amount, what the request begins with, and how long the charge is.
const HEAD: usize = 16 + Prefix::LENGTH + 4;

/// What a request begins with: enough to find it by, and checked against the charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix([u8; Self::LENGTH]);

impl Prefix {
    pub(super) const LENGTH: usize = 8;

    pub(super) fn of(request: &RequestId) -> Self {
        let mut prefix = [0; Self::LENGTH];
        prefix.iter_mut().zip(request.0).for_each(|(prefix, byte)| *prefix = byte);
        Self(prefix)
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One charge among others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed<'a> {
    pub(super) amount: Amount,
    pub(super) prefix: Prefix,
    /// With its head.
    pub(super) whole: &'a [u8],
}

impl Packed<'_> {
    pub(super) fn charge(&self) -> Result<Charge, Trouble> {
        decode(self.whole.get(HEAD..).unwrap_or_default())
    }
}

/// Goes through what is packed.
#[derive(Clone, Debug)]
pub(super) struct Unpacking<'a>(&'a [u8]);

/// What is packed in these bytes, in the order of the amounts.
pub(super) const fn unpack(bytes: &[u8]) -> Unpacking<'_> {
    Unpacking(bytes)
}

impl<'a> Iterator for Unpacking<'a> {
    type Item = Result<Packed<'a>, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some((packed, rest)) = split_first(self.0) else {
            self.0 = &[];
            return Some(Err(Trouble::Corrupted("packed charges are damaged".to_owned())));
        };
        self.0 = rest;
        Some(Ok(packed))
    }
}

fn split_first(bytes: &[u8]) -> Option<(Packed<'_>, &[u8])> {
    let (amount, rest) = bytes.split_first_chunk::<16>()?;
    let (prefix, rest) = rest.split_first_chunk::<{ Prefix::LENGTH }>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let rest = rest.get(length..)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    let packed = Packed { amount: Amount::new(u128::from_be_bytes(*amount)), prefix: Prefix(*prefix), whole };
    Some((packed, rest))
}

fn pack(bytes: &mut Vec<u8>, charge: &Charge) -> Result<(), Trouble> {
    let encoded = encode(charge)?;
    let length = u32::try_from(encoded.len()).map_err(|error| Trouble::Corrupted(error.to_string()))?;
    bytes.extend_from_slice(&charge.cumulative_amount.base_units().to_be_bytes());
    bytes.extend_from_slice(Prefix::of(&charge.request).bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&encoded);
    Ok(())
}

/// Adds charges, in the order of their amounts, to what is packed. One with an amount that is there takes its place.
pub(super) fn merge<'a>(bytes: &[u8], charges: impl Iterator<Item = &'a Charge>) -> Result<Vec<u8>, Trouble> {
    let mut merged = Vec::with_capacity(bytes.len());
    let mut before = unpack(bytes).peekable();
    for charge in charges {
        while let Some(packed) =
            before.next_if(|packed| packed.as_ref().map_or(true, |packed| packed.amount <= charge.cumulative_amount))
        {
            let packed = packed?;
            if packed.amount < charge.cumulative_amount {
                merged.extend_from_slice(packed.whole);
            }
        }
        pack(&mut merged, charge)?;
    }
    for packed in before {
        merged.extend_from_slice(packed?.whole);
    }
    Ok(merged)
}

/// Cuts what is packed into parts of at most so many bytes, or of one charge; each with its last amount and the
/// prefixes of its requests.
pub(super) fn cut(bytes: &[u8], most: usize) -> Result<Vec<Part<'_>>, Trouble> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut from = 0;
    for packed in unpack(bytes) {
        let Packed { amount, prefix, whole } = packed?;
        let end = from + whole.len();
        match parts.last_mut() {
            Some(part) if end - part.from <= most => part.end = end,
            _ => parts.push(Part { bytes, from, end, last: amount, prefixes: Vec::new() }),
        }
        if let Some(part) = parts.last_mut() {
            part.last = amount;
            part.prefixes.extend_from_slice(prefix.bytes());
        }
        from = end;
    }
    Ok(parts)
}

/// Some of what is packed.
#[derive(Debug)]
pub(super) struct Part<'a> {
    bytes: &'a [u8],
    from: usize,
    end: usize,
    pub(super) last: Amount,
    pub(super) prefixes: Vec<u8>,
}

impl Part<'_> {
    pub(super) fn content(&self) -> &[u8] {
        self.bytes.get(self.from..self.end).unwrap_or_default()
    }
}

/// The lowest charge from this amount on.
pub(super) fn at_or_above(bytes: &[u8], amount: Amount) -> Result<Option<Packed<'_>>, Trouble> {
    for packed in unpack(bytes) {
        let packed = packed?;
        if packed.amount >= amount {
            return Ok(Some(packed));
        }
    }
    Ok(None)
}

/// The highest charge up to this amount.
pub(super) fn at_or_below(bytes: &[u8], amount: Amount) -> Result<Option<Packed<'_>>, Trouble> {
    let mut highest = None;
    for packed in unpack(bytes) {
        let packed = packed?;
        if packed.amount > amount {
            break;
        }
        highest = Some(packed);
    }
    Ok(highest)
}
