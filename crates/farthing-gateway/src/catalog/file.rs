//! `catalog.toml` as it is written, before anything is checked.

use serde::Deserialize;

/// A mistyped key would otherwise be a price or a limit that silently does not apply, so unknown keys are refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogFile {
    pub(super) name: String,
    pub(super) description: Option<String>,
    #[serde(default, rename = "item")]
    pub(super) items: Vec<ItemEntry>,
    pub(super) tip: Option<TipEntry>,
    pub(super) credit: Option<CreditEntry>,
    pub(super) reservation: Option<ReservationEntry>,
    pub(super) redemption: Option<RedemptionEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemEntry {
    pub(super) path: String,
    pub(super) file: String,
    pub(super) title: String,
    pub(super) price: String,
    pub(super) description: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) reservation: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TipEntry {
    pub(super) path: String,
    pub(super) minimum: String,
    #[serde(default = "thanks")]
    pub(super) thanks: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreditEntry {
    pub(super) limit: Option<String>,
    pub(super) first: Option<String>,
    pub(super) strangers_per_day: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReservationEntry {
    pub(super) amount: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedemptionEntry {
    pub(super) gas_share: Option<String>,
    pub(super) gas_share_urgent: Option<String>,
    pub(super) credit_used: Option<String>,
    pub(super) voucher_age: Option<String>,
    pub(super) gas_price_max: Option<String>,
    pub(super) coin_price: Option<String>,
    pub(super) coin_price_feed: Option<String>,
}

fn thanks() -> String {
    "Thank you.".to_owned()
}
