//! What a creator sells: `catalog.toml` beside the files it names.
//!
//! Everything is checked when the catalog is loaded, so that a typing error shows before a listener meets it. An error
//! names the file, the place in it, and what to do.

mod check;
mod file;
mod redemption;

pub use check::{CatalogError, CatalogFault};
pub use redemption::{RedemptionFault, coin_price};

use farthing::payee::{Quote, RedemptionOptions};
use farthing_core::exposure::CreditTerms;
use farthing_core::wire::challenge::MethodDetails;
use farthing_core::wire::listing::{LISTING_PATH, ListedItem, Listing};
use farthing_core::{Address, Amount, Token};
use mime_guess::Mime;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The catalog's file inside the creator's folder.
pub const CATALOG_FILE: &str = "catalog.toml";

/// Where the index of the items is.
pub const INDEX_PATH: &str = "/";

/// Where a load balancer asks whether the gateway runs.
pub const HEALTH_PATH: &str = "/healthz";

/// Everything that one creator sells, checked.
#[derive(Clone, Debug)]
pub struct Catalog {
    name: String,
    description: Option<String>,
    pub(crate) items: Vec<Item>,
    positions: HashMap<String, usize>,
    pub(crate) tip: Option<Tip>,
    credit: CreditTerms,
    reservation: Option<Amount>,
    redemption: RedemptionOptions,
}

/// One file that is sold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Item {
    /// Its path at the origin.
    pub path: String,
    /// The file, with every symbolic link followed; it is inside the creator's folder.
    pub file: PathBuf,
    /// Its name, for people.
    pub title: String,
    /// What it costs.
    pub price: Amount,
    /// The creator's words about it.
    pub description: Option<String>,
    /// What it is sent as.
    pub media_type: Mime,
    /// Set if it is served only against a reservation: the one that the client is asked to make.
    pub reservation: Option<Amount>,
}

/// Where tips are taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tip {
    /// Its path at the origin.
    pub path: String,
    /// The least that is taken.
    pub minimum: Amount,
    /// What the tipper is answered.
    pub thanks: String,
    /// The reservation that the client is asked for, if this creator serves only against one.
    pub reservation: Option<Amount>,
}

impl Catalog {
    /// Reads and checks `catalog.toml` in a folder. Prices are in `token`.
    ///
    /// # Errors
    ///
    /// If the file can't be read, or anything in it is wrong; see [`CatalogFault`].
    pub fn load(folder: &Path, token: &Token) -> Result<Self, CatalogError> {
        check::load(folder, token)
    }

    /// The creator's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The creator's words about it.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What is sold, in the order it was written.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item at a path.
    #[must_use]
    pub fn item(&self, path: &str) -> Option<&Item> {
        self.positions.get(path).and_then(|position| self.items.get(*position))
    }

    /// Where tips are taken, if they are.
    #[must_use]
    pub const fn tip(&self) -> Option<&Tip> {
        self.tip.as_ref()
    }

    /// How much a listener may owe before redemption.
    #[must_use]
    pub const fn credit(&self) -> CreditTerms {
        self.credit
    }

    /// The reservation asked for where an item names none of its own.
    #[must_use]
    pub const fn reservation(&self) -> Option<Amount> {
        self.reservation
    }

    /// When to redeem, and what the chain's coin is worth.
    #[must_use]
    pub const fn redemption(&self) -> RedemptionOptions {
        self.redemption
    }

    /// What `/.well-known/farthing` says.
    #[must_use]
    pub fn listing(&self, recipient: Address, method_details: MethodDetails, token: &Token) -> Listing {
        Listing {
            name: self.name.clone(),
            description: self.description.clone(),
            recipient,
            currency: token.address,
            method_details,
            items: self.items.iter().map(Item::listed).collect(),
            tip: self.tip.as_ref().map(Tip::listed),
            relay: None,
            delegation: None,
        }
    }
}

impl Item {
    /// What it costs, as the payee is told.
    #[must_use]
    pub fn quote(&self) -> Quote {
        Quote { reservation_required: self.reservation, ..Quote::new(&self.path, self.price) }
    }

    fn listed(&self) -> ListedItem {
        ListedItem {
            path: self.path.clone(),
            title: self.title.clone(),
            price: self.price,
            media_type: Some(self.media_type.to_string()),
            description: self.description.clone(),
        }
    }
}

impl Tip {
    /// What a tip costs, as the payee is told: the minimum, or more if the payer says so.
    #[must_use]
    pub fn quote(&self) -> Quote {
        let least = Quote::new(&self.path, self.minimum);
        Quote { or_more: true, reservation_required: self.reservation, ..least }
    }

    fn listed(&self) -> ListedItem {
        ListedItem {
            path: self.path.clone(),
            title: "Tip".to_owned(),
            price: self.minimum,
            media_type: None,
            description: None,
        }
    }
}

/// Paths that the gateway answers itself and nothing is sold at.
fn is_reserved_path(path: &str) -> bool {
    // All of `/.well-known/` is spoken for by RFC 8615, not only our own file.
    path == INDEX_PATH || path == HEALTH_PATH || path == LISTING_PATH || path.starts_with("/.well-known/")
}
