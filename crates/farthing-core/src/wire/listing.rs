//! `/.well-known/farthing`: what an origin sells, to whom to pay and how.

use super::challenge::MethodDetails;
use super::delegation::{Delegation, known_or_none};
use super::relay::RelayTerms;
use crate::Amount;
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

/// Where a listing is found, at every origin.
pub const LISTING_PATH: &str = "/.well-known/farthing";

/// Everything that an origin sells. With it and one challenge a client needs one round trip an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// The creator's name.
    pub name: String,
    /// The creator's words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The payee.
    pub recipient: Address,
    /// The token that prices are in.
    pub currency: Address,
    /// Chain, escrow and token, with an empty item.
    pub method_details: MethodDetails,
    /// What is sold.
    pub items: Vec<ListedItem>,
    /// Where a tip is taken, and from how much on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<ListedItem>,
    /// What is relayed for payers without gas; nothing unless the creator says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayTerms>,
    /// Why receipts by another key than the payee's are the payee's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub delegation: Option<Delegation>,
}

/// One thing that is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedItem {
    /// Its path at the origin.
    pub path: String,
    /// Its name, for people.
    pub title: String,
    /// What it costs; of a tip, the least.
    pub price: Amount,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The creator's words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
