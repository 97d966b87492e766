//! What a catalog may say, and how it is told what is wrong.

use crate::shop::dollar;
use farthing_core::{Amount, Token};
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
