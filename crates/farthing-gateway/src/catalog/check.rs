//! From what was written to what can be sold: every rule of a catalog, in one place.

use super::file::{CatalogFile, CreditEntry, ItemEntry, TipEntry};
use super::redemption::{RedemptionFault, redemption};
use super::{CATALOG_FILE, Catalog, Item, Tip, is_reserved_path};
use farthing_core::amount::AmountError;
use farthing_core::exposure::CreditTerms;
use farthing_core::{Amount, Token};
use mime_guess::{Mime, mime};
use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The largest `catalog.toml` that is read, in bytes; ten thousand items need about a fifth of it.
const CATALOG_LENGTH_MAX: u64 = 8 << 20;

/// The longest path: it stands in challenges, credentials and receipts, and those are headers.
const PATH_LENGTH_MAX: usize = 200;

/// The longest name or title, in bytes: it stands in a challenge.
const TITLE_LENGTH_MAX: usize = 200;

/// The longest text about an item, in bytes.
const TEXT_LENGTH_MAX: usize = 4_000;

/// Thrown when a catalog can't be used: which file, where in it, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {place}: {fault}", file.display())]
pub struct CatalogError {
    /// The catalog's file.
    pub file: PathBuf,
    /// Where in it: `item "/songs/nocturne"`, `[tip]`.
    pub place: String,
    /// What is wrong there and what to do.
    #[source]
    pub fault: CatalogFault,
}

/// What can be wrong with a catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogFault {
    /// The catalog itself can't be read.
    #[error("can't be read: {0}; a creator's folder has a {CATALOG_FILE}")]
    Unreadable(#[source] io::Error),
    /// The catalog is too long to be one.
    #[error("{length} bytes are more than the {CATALOG_LENGTH_MAX} that a catalog may have")]
    TooLong {
        /// How long it is.
        length: u64,
    },
    /// Not TOML, an unknown key, or a missing one.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A path that clients could write in two ways, or that is none.
    #[error("the path {path:?} must begin with / and hold only a-z, A-Z, 0-9 and - . _ ~ /, without //, . or .. parts")]
    Path {
        /// What was written.
        path: String,
    },
    /// A path that the gateway answers itself.
    #[error("the path {path} is the gateway's own; choose another")]
    ReservedPath {
        /// What was written.
        path: String,
    },
    /// Two things at one path.
    #[error("the path {path} is used twice; give each its own")]
    DuplicatePath {
        /// The path.
        path: String,
    },
    /// The name of a file that is, or may be, outside the creator's folder, or hidden in it.
    #[error(
        "the file {file:?} must be a plain name inside this folder: no leading /, no .., nothing that begins with a dot"
    )]
    FileName {
        /// What was written.
        file: String,
    },
    /// A symbolic link that leads out of the creator's folder: it could sell the creator's keys.
    #[error("the file {file:?} leads out of this folder to {}; copy it here", target.display())]
    FileEscapes {
        /// What was written.
        file: String,
        /// Where it leads.
        target: PathBuf,
    },
    /// The file is missing or can't be read.
    #[error("the file {file:?} can't be read: {source}; put it there or correct the name")]
    FileUnreadable {
        /// What was written.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A folder or a device.
    #[error("{file:?} is not a regular file; name one")]
    NotAFile {
        /// What was written.
        file: String,
    },
    /// An amount that can't be read.
    #[error("{key}: {source}")]
    Amount {
        /// Which amount.
        key: &'static str,
        /// Why.
        source: AmountError,
    },
    /// An amount that must be more than nothing.
    #[error("{key} must be more than zero; leave out what is free")]
    Zero {
        /// Which amount.
        key: &'static str,
    },
    /// A text that is empty, too long, or holds control characters.
    #[error("{key} must have 1 to {length_max} bytes and no control characters")]
    Text {
        /// Which text.
        key: &'static str,
        /// How long it may be.
        length_max: usize,
    },
    /// Not a media type.
    #[error("{media_type:?} is not a media type; write one such as audio/wav, or leave it out")]
    MediaType {
        /// What was written.
        media_type: String,
    },
    /// Credit in a token whose worth is not known has no default.
    #[error("{symbol} is not a dollar, so [credit] must say {key} itself, as in {key} = \"0.01 {symbol}\"")]
    CreditMissing {
        /// What is missing.
        key: &'static str,
        /// The token.
        symbol: String,
    },
    /// The item could never be bought on credit.
    #[error(
        "the price {price} is above the credit limit {limit}; raise [credit] limit, or give the item a reservation"
    )]
    AboveCredit {
        /// What it costs.
        price: String,
        /// What a listener may owe.
        limit: String,
    },
    /// The reservation would not even pay for this item.
    #[error("the reservation {reservation} is less than the price {price}; ask for at least that")]
    ReservationTooSmall {
        /// What the client is asked to reserve.
        reservation: String,
        /// What the item costs.
        price: String,
    },
    /// Terms for redemption that can't be used.
    #[error(transparent)]
    Redemption(#[from] RedemptionFault),
}

pub(super) fn load(folder: &Path, token: &Token) -> Result<Catalog, CatalogError> {
    let file = folder.join(CATALOG_FILE);
    let fail = |place: &str| {
        let (file, place) = (file.clone(), place.to_owned());
        move |fault| CatalogError { file, place, fault }
    };
    let (written, folder) = read(folder, &file).map_err(fail("catalog"))?;
    text("name", &written.name, TITLE_LENGTH_MAX).map_err(fail("catalog"))?;
    optional_text("description", written.description.as_deref()).map_err(fail("catalog"))?;
    let reservation = written.reservation.as_ref().map(|entry| positive(token, "amount", &entry.amount)).transpose();
    let reservation = reservation.map_err(fail("[reservation]"))?;
    let credit = credit(written.credit.unwrap_or_default(), token, reservation).map_err(fail("[credit]"))?;
    let redemption = redemption(&written.redemption.unwrap_or_default(), token).map_err(fail("[redemption]"))?;
    let mut catalog = Catalog {
        name: written.name,
        description: written.description,
        items: Vec::with_capacity(written.items.len()),
        positions: HashMap::with_capacity(written.items.len()),
        tip: None,
        credit,
        reservation,
        redemption,
    };
    for entry in written.items {
        let place = format!("item {:?}", entry.path);
        add_item(&mut catalog, entry, &folder, token).map_err(fail(&place))?;
    }
    if let Some(entry) = written.tip {
        catalog.tip = Some(tip(&catalog, entry, token).map_err(fail("[tip]"))?);
    }
    Ok(catalog)
}

/// The catalog as written, and its folder with every symbolic link followed.
fn read(folder: &Path, file: &Path) -> Result<(CatalogFile, PathBuf), CatalogFault> {
    let length = std::fs::metadata(file).map_err(CatalogFault::Unreadable)?.len();
    if length > CATALOG_LENGTH_MAX {
        return Err(CatalogFault::TooLong { length });
    }
    let written = std::fs::read_to_string(file).map_err(CatalogFault::Unreadable)?;
    let written = toml::from_str(&written).map_err(|error| {
        let before = error.span().and_then(|span| written.get(..span.start)).unwrap_or_default();
        CatalogFault::Syntax {
            line: before.matches('\n').count().saturating_add(1),
            message: error.message().to_owned(),
        }
    })?;
    let folder = folder.canonicalize().map_err(CatalogFault::Unreadable)?;
    Ok((written, folder))
}

fn add_item(catalog: &mut Catalog, entry: ItemEntry, folder: &Path, token: &Token) -> Result<(), CatalogFault> {
    let path = free_path(catalog, entry.path)?;
    text("title", &entry.title, TITLE_LENGTH_MAX)?;
    optional_text("description", entry.description.as_deref())?;
    let price = positive(token, "price", &entry.price)?;
    let own = entry.reservation.as_deref().map(|text| positive(token, "reservation", text)).transpose()?;
    let reservation = own.or(catalog.reservation);
    payable(price, reservation, &catalog.credit, token)?;
    let file = inside(folder, &entry.file)?;
    let media_type = media_type(entry.media_type.as_deref(), &file)?;
    let item = Item { path, file, title: entry.title, price, description: entry.description, media_type, reservation };
    catalog.positions.insert(item.path.clone(), catalog.items.len());
    catalog.items.push(item);
    Ok(())
}

fn tip(catalog: &Catalog, entry: TipEntry, token: &Token) -> Result<Tip, CatalogFault> {
    let path = free_path(catalog, entry.path)?;
    let minimum = positive(token, "minimum", &entry.minimum)?;
    payable(minimum, catalog.reservation, &catalog.credit, token)?;
    optional_text("thanks", Some(&entry.thanks))?;
    Ok(Tip { path, minimum, thanks: entry.thanks, reservation: catalog.reservation })
}

/// A path that is written in one way only, so that a challenge, a receipt and a request mean the same item.
fn free_path(catalog: &Catalog, path: String) -> Result<String, CatalogFault> {
    if is_reserved_path(&path) {
        return Err(CatalogFault::ReservedPath { path });
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    // Clients drop `.` and `..` before they send a path, and some fold `//`.
    let is_plain = |path: &str| path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
    let well_formed = path.starts_with('/') && path.bytes().all(unreserved) && is_plain(&path);
    if !well_formed || path.len() > PATH_LENGTH_MAX {
        return Err(CatalogFault::Path { path });
    }
    if catalog.positions.contains_key(&path) {
        return Err(CatalogFault::DuplicatePath { path });
    }
    Ok(path)
}

/// The real file behind a name, which must be a regular one inside the folder wherever links lead.
fn inside(folder: &Path, name: &str) -> Result<PathBuf, CatalogFault> {
    let is_plain = |part: Component<'_>| match part {
        // A hidden folder is where keys and books are kept; nobody means to sell those.
        Component::Normal(part) => !part.as_encoded_bytes().starts_with(b"."),
        _ => false,
    };
    if name.is_empty() || !Path::new(name).components().all(is_plain) {
        return Err(CatalogFault::FileName { file: name.to_owned() });
    }
    let unreadable = |source| CatalogFault::FileUnreadable { file: name.to_owned(), source };
    let target = folder.join(name).canonicalize().map_err(unreadable)?;
    if !target.starts_with(folder) {
        return Err(CatalogFault::FileEscapes { file: name.to_owned(), target });
    }
    if !target.metadata().map_err(unreadable)?.is_file() {
        return Err(CatalogFault::NotAFile { file: name.to_owned() });
    }
    std::fs::File::open(&target).map_err(unreadable)?;
    Ok(target)
}

fn media_type(written: Option<&str>, file: &Path) -> Result<Mime, CatalogFault> {
    if let Some(written) = written {
        return written.parse().map_err(|_| CatalogFault::MediaType { media_type: written.to_owned() });
    }
    let guessed = mime_guess::from_path(file).first_or_octet_stream();
    // Without a charset some browsers still read text as Windows-1252.
    if guessed.type_() == mime::TEXT && guessed.params().next().is_none() {
        return Ok(format!("{guessed}; charset=utf-8").parse().unwrap_or(guessed));
    }
    Ok(guessed)
}

fn positive(token: &Token, key: &'static str, written: &str) -> Result<Amount, CatalogFault> {
    let amount = token.parse(written).map_err(|source| CatalogFault::Amount { key, source })?;
    if amount.is_zero() { Err(CatalogFault::Zero { key }) } else { Ok(amount) }
}

/// Whether some client can buy at this price: within the credit limit, or with the reservation it is asked for.
fn payable(
    price: Amount,
    reservation: Option<Amount>,
    credit: &CreditTerms,
    token: &Token,
) -> Result<(), CatalogFault> {
    match reservation {
        Some(reservation) if reservation < price => Err(CatalogFault::ReservationTooSmall {
            reservation: token.format(reservation),
            price: token.format(price),
        }),
        None if price > credit.limit => {
            Err(CatalogFault::AboveCredit { price: token.format(price), limit: token.format(credit.limit) })
        }
        _ => Ok(()),
    }
}

/// The terms of credit; a dollar has defaults, and whoever asks for reservations everywhere gives none.
fn credit(entry: CreditEntry, token: &Token, reservation: Option<Amount>) -> Result<CreditTerms, CatalogFault> {
    let read = |key, written: Option<String>| {
        let read = |written: String| token.parse(&written).map_err(|source| CatalogFault::Amount { key, source });
        written.map(read).transpose()
    };
    let or_default = |key, written: Option<Amount>, dollars: &str| match written {
        Some(amount) => Ok(amount),
        None if token.dollar => token.parse(dollars).map_err(|source| CatalogFault::Amount { key, source }),
        None if reservation.is_some() => Ok(Amount::ZERO),
        None => Err(CatalogFault::CreditMissing { key, symbol: token.symbol.clone() }),
    };
    Ok(CreditTerms {
        limit: or_default("limit", read("limit", entry.limit)?, "$2")?,
        first: read("first", entry.first)?,
        strangers_per_day: or_default("strangers_per_day", read("strangers_per_day", entry.strangers_per_day)?, "$20")?,
    })
}

fn text(key: &'static str, written: &str, length_max: usize) -> Result<(), CatalogFault> {
    let blank = written.trim().is_empty();
    if blank || written.len() > length_max || written.chars().any(|character| character.is_control()) {
        return Err(CatalogFault::Text { key, length_max });
    }
    Ok(())
}

/// A longer text may have lines, and may be absent.
fn optional_text(key: &'static str, written: Option<&str>) -> Result<(), CatalogFault> {
    written.map_or(Ok(()), |written| text(key, &written.replace('\n', " "), TEXT_LENGTH_MAX))
}
