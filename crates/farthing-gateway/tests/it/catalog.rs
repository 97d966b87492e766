//! What a catalog may say, and how it is told what is wrong.

use crate::shop::dollar;
use farthing::payee::{CoinPriceSource, RedemptionOptions};
use farthing_core::gas::{CoinPrice, Percentage};
use farthing_core::redemption::RedemptionTerms;
use farthing_core::{Address, Amount, Token};
use farthing_gateway::{Catalog, CatalogError, CatalogFault};
use std::path::Path;
use tempfile::TempDir;

const ITEM: &str = "[[item]]\npath = \"/song\"\nfile = \"song.wav\"\ntitle = \"Song\"\nprice = \"$0.50\"\n";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("song.wav"), "la").expect("writes");
    std::fs::write(folder.path().join("story.md"), "once").expect("writes");
    std::fs::create_dir(folder.path().join("songs")).expect("makes");
    folder
}

fn load(folder: &Path, catalog: &str, token: &Token) -> Result<Catalog, CatalogError> {
    std::fs::write(folder.join("catalog.toml"), catalog).expect("writes");
    Catalog::load(folder, token)
}

fn ether() -> Token {
    Token { symbol: "ETH".to_owned(), decimals: 18, dollar: false, ..dollar() }
}

/// The fault of a catalog that has a good name and this text.
fn fault(text: &str) -> CatalogError {
    let folder = folder();
    load(folder.path(), &format!("name = \"N\"\n{text}"), &dollar()).expect_err(text)
}

#[test]
fn reads_what_a_creator_writes() {
    let folder = folder();
    let text = format!(
        "name = \"Nocturne\"\ndescription = \"Two lines\\nof text\"\n{ITEM}reservation = \"$3\"\n\
         [[item]]\npath = \"/story\"\nfile = \"story.md\"\ntitle = \"Story\"\nprice = \"0.1 dUSD\"\n\
         [[item]]\npath = \"/raw\"\nfile = \"song.wav\"\ntitle = \"Raw\"\nprice = \"7\"\nmedia_type = \"video/webm\"\n\
         [tip]\npath = \"/tip\"\nminimum = \"$0.01\"\n[reservation]\namount = \"$1\"\n"
    );
    let catalog = load(folder.path(), &text, &dollar()).expect("a good catalog");
    let item = |path: &str| catalog.item(path).expect(path);
    assert_eq!(item("/song").price, Amount::new(500_000));
    assert_eq!(item("/song").media_type.as_ref(), "audio/wav");
    assert_eq!(item("/song").reservation, Some(Amount::new(3_000_000)));
    assert_eq!(item("/story").quote().reservation_required, Some(Amount::new(1_000_000)));
    assert_eq!(item("/story").media_type.as_ref(), "text/markdown; charset=utf-8");
    assert_eq!((item("/raw").price, item("/raw").media_type.as_ref()), (Amount::new(7), "video/webm"));
    assert_eq!(catalog.tip().expect("a tip").minimum, Amount::new(10_000));
    assert!(catalog.item("/tip").is_none());
}

#[test]
fn a_dollar_has_default_credit_and_another_token_has_none() {
    let folder = folder();
    let catalog = load(folder.path(), &format!("name = \"N\"\n{ITEM}"), &dollar()).expect("a good catalog");
    let credit = catalog.credit();
    assert_eq!((credit.limit, credit.first), (Amount::new(2_000_000), None));
    assert_eq!(credit.strangers_per_day, Amount::new(20_000_000));

    let item = ITEM.replace("$0.50", "0.001 ETH");
    let error = load(folder.path(), &format!("name = \"N\"\n{item}"), &ether()).expect_err("no credit");
    assert!(matches!(error.fault, CatalogFault::CreditMissing { key: "limit", .. }), "{error}");
    let credit = "[credit]\nlimit = \"0.01 ETH\"\n";
    let error = load(folder.path(), &format!("name = \"N\"\n{item}{credit}"), &ether()).expect_err("half of it");
    assert!(matches!(error.fault, CatalogFault::CreditMissing { key: "strangers_per_day", .. }), "{error}");
    let reserved = format!("name = \"N\"\n{item}[reservation]\namount = \"0.01 ETH\"\n");
    let catalog = load(folder.path(), &reserved, &ether()).expect("nobody is given credit");
    assert_eq!(catalog.credit().limit, Amount::ZERO);
}

#[test]
fn an_error_names_file_item_and_remedy() {
    let error = fault(&ITEM.replace("song.wav", "sonk.wav")).to_string();
    assert!(error.contains("catalog.toml: item \"/song\": the file \"sonk.wav\" can't be read"), "{error}");
    assert!(error.contains("put it there or correct the name"), "{error}");
    let error = fault(&ITEM.replace("$0.50", "50 cents")).to_string();
    assert!(error.contains("item \"/song\": price: \"50 cents\" is not an amount; write"), "{error}");
    let error = fault(&format!("{ITEM}colour = \"blue\"")).to_string();
    assert!(error.contains("colour"), "{error}");
}

#[test]
fn refuses_paths_that_have_two_spellings_or_are_taken() {
    for path in ["song", "/a//b", "/a/../b", "/./a", "/a/", "/a b", "/%61", "/ä", "/a?b", "/a#b", "/{a}", "/*a"] {
        let error = fault(&ITEM.replace("/song", path));
        assert!(matches!(error.fault, CatalogFault::Path { .. }), "{error}");
    }
    for path in ["/", "/healthz", "/.well-known/farthing", "/.well-known/acme-challenge/x"] {
        let error = fault(&ITEM.replace("/song", path));
        assert!(matches!(error.fault, CatalogFault::ReservedPath { .. }), "{error}");
    }
    let error = fault(&format!("{ITEM}{ITEM}"));
    assert!(matches!(error.fault, CatalogFault::DuplicatePath { .. }), "{error}");
    let error = fault(&format!("{ITEM}[tip]\npath = \"/song\"\nminimum = \"$0.01\"\n"));
    assert!(matches!(error.fault, CatalogFault::DuplicatePath { .. }) && error.place == "[tip]", "{error}");
}

#[test]
fn refuses_files_outside_of_the_folder() {
    for file in ["../song.wav", "/etc/passwd", "songs/../../x", "./song.wav", ".farthing/key.json", ""] {
        let error = fault(&ITEM.replace("song.wav", file));
        assert!(matches!(error.fault, CatalogFault::FileName { .. }), "{file}: {error}");
    }
    let error = fault(&ITEM.replace("song.wav", "songs"));
    assert!(matches!(error.fault, CatalogFault::NotAFile { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn follows_links_inside_the_folder_and_none_out_of_it() {
    let (folder, elsewhere) = (folder(), tempfile::tempdir().expect("a folder"));
    std::fs::write(elsewhere.path().join("key.json"), "secret").expect("writes");
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, folder.path().join(name)).expect("links");
    };
    link(&elsewhere.path().join("key.json"), "escape.wav");
    link(elsewhere.path(), "outside");
    link(Path::new("song.wav"), "alias.wav");
    let load =
        |file: &str| load(folder.path(), &format!("name = \"N\"\n{}", ITEM.replace("song.wav", file)), &dollar());
    for file in ["escape.wav", "outside/key.json"] {
        let error = load(file).expect_err(file);
        assert!(matches!(error.fault, CatalogFault::FileEscapes { .. }), "{error}");
    }
    assert!(load("alias.wav").is_ok());
}

#[test]
fn refuses_prices_that_nobody_could_pay() {
    let error = fault(&ITEM.replace("$0.50", "$0"));
    assert!(matches!(error.fault, CatalogFault::Zero { key: "price" }), "{error}");
    let error = fault(&ITEM.replace("$0.50", "$2.01"));
    assert!(matches!(error.fault, CatalogFault::AboveCredit { .. }), "{error}");
    let error = fault(&format!("{ITEM}reservation = \"$0.49\""));
    assert!(matches!(error.fault, CatalogFault::ReservationTooSmall { .. }), "{error}");
    let error = fault(&format!("{ITEM}[tip]\npath = \"/tip\"\nminimum = \"0\"\n"));
    assert!(matches!(error.fault, CatalogFault::Zero { key: "minimum" }), "{error}");
}

#[test]
fn refuses_texts_that_could_be_more_than_texts() {
    for title in ["", "  ", "a\\u001bb", "a\\nb"] {
        let error = fault(&ITEM.replace("\"Song\"", &format!("\"{title}\"")));
        assert!(matches!(error.fault, CatalogFault::Text { key: "title", .. }), "{error}");
    }
    let error = fault(&format!("{ITEM}media_type = \"sound\""));
    assert!(matches!(error.fault, CatalogFault::MediaType { .. }), "{error}");
}

#[test]
fn a_folder_without_a_catalog_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Catalog::load(folder.path(), &dollar()).expect_err("nothing there");
    assert!(matches!(error.fault, CatalogFault::Unreadable(_)), "{error}");
}

#[test]
fn a_mistyped_key_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = "name = \"Shop\"\n\n[[item]]\npath = \"/a\"\npirce = \"$1\"\n";
    std::fs::write(folder.path().join("catalog.toml"), catalog).expect("writes");
    let error = Catalog::load(folder.path(), &dollar()).expect_err("mistyped").to_string();
    assert!(error.contains("line 5: unknown field `pirce`"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn terms_for_redemption_are_the_catalogs_or_the_defaults() {
    let folder = folder();
    let options = |text: &str, token: &Token| {
        let item = if token.dollar { ITEM.to_owned() } else { ITEM.replace("$0.50", "0.001 ETH") };
        let credit = if token.dollar { "" } else { "[credit]\nlimit = \"1 ETH\"\nstrangers_per_day = \"1 ETH\"\n" };
        load(folder.path(), &format!("name = \"N\"\n{item}{credit}{text}"), token).expect(text).redemption()
    };
    assert_eq!(options("", &dollar()), RedemptionOptions::default());
    assert_eq!(options("[redemption]\n", &ether()).coin_price, CoinPriceSource::Unknown, "nobody said");
    let written = "[redemption]\ngas_share = \"0.5%\"\ngas_share_urgent = \"20%\"\ncredit_used = \"75%\"\n\
                   voucher_age = \"36h\"\ngas_price_max = \"0.5 gwei\"\ncoin_price = \"$3000\"\n";
    let price = CoinPrice::new(Amount::new(3_000_000_000)).expect("a price");
    let terms = RedemptionTerms {
        gas_share: "0.5%".parse().expect("a share"),
        gas_share_urgent: Percentage::whole(20),
        credit_used: Percentage::whole(75),
        voucher_age: 129_600,
        gas_price_max: Amount::new(500_000_000),
    };
    assert_eq!(options(written, &dollar()), RedemptionOptions { terms, coin_price: CoinPriceSource::Set(price) });
    let feed = "[redemption]\ncoin_price_feed = \"0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419\"\n";
    let address: Address = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419".parse().expect("an address");
    assert_eq!(options(feed, &dollar()).coin_price, CoinPriceSource::Feed(address));
}

#[test]
fn each_wrong_term_for_redemption_says_what_to_write() {
    for (written, said) in [
        ("gas_share = \"1\"", "gas_share: \"1\" is not a percentage; write 1%"),
        ("gas_share = \"0%\"", "gas_share must be more than zero"),
        ("gas_share = \"11%\"", "gas_share_urgent is 10%, less than the 11% of gas_share"),
        ("gas_share_urgent = \"101%\"", "gas_share_urgent is 101%; it can be at most 100%"),
        ("credit_used = \"120%\"", "credit_used is 120%; it can be at most 100%"),
        ("voucher_age = \"7\"", "voucher_age: \"7\" is not a length of time; write days"),
        ("gas_price_max = \"100\"", "gas_price_max: \"100\" is not a price of gas; write 100 gwei"),
        ("coin_price = \"3000\"", "base units, as prices are written; if one coin is meant, write \"$3000\""),
        ("coin_price = \"$3,000\"", "coin_price: \"$3,000\" is not an amount"),
        ("coin_price = \"$0\"", "coin_price must be more than zero"),
        ("coin_price_feed = \"chainlink\"", "coin_price_feed: \"chainlink\" is no contract's address"),
        ("coin_price_feed = \"0x0000000000000000000000000000000000000000\"", "is no contract's address"),
        (
            "coin_price = \"$1\"\ncoin_price_feed = \"0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419\"",
            "both say what the chain's coin is worth",
        ),
        ("coin_prize = \"$1\"", "unknown field `coin_prize`"),
    ] {
        let error = fault(&format!("{ITEM}[redemption]\n{written}\n")).to_string();
        assert!(error.contains(said), "{written}: {error}");
    }
    let folder = folder();
    let other = |token: &Token, written: &str| {
        let item = ITEM.replace("$0.50", &format!("1 {}", token.symbol));
        let credit = "[credit]\nlimit = \"1000000000000000000\"\nstrangers_per_day = \"1000000000000000000\"\n";
        let text = format!("name = \"N\"\n{item}{credit}[redemption]\n{written}\n");
        load(folder.path(), &text, token).expect_err(written).to_string()
    };
    let coin = Token { address: Address::ZERO, ..ether() };
    assert!(other(&coin, "coin_price = \"1 ETH\"").contains("ETH is the chain's own coin"), "its price is known");
    let shells = Token { symbol: "SHELL".to_owned(), dollar: false, ..dollar() };
    let feed = "coin_price_feed = \"0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419\"";
    assert!(other(&shells, feed).contains("SHELL is not declared to be worth one"));
    assert!(other(&shells, "coin_price = \"30\"").contains("write \"30 SHELL\""));
}
