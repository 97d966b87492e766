//! Keys and passwords.

use crate::world::{PASSWORD, farthing, run};
use farthing::PrivateKeySigner;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn at(folder: &Path, arguments: &[&str]) -> Command {
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).expect("writes");
    let mut command = farthing();
    command.env("FARTHING_HOME", folder.join("home")).env("ETH_PASSWORD", password).args(arguments);
    command
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[test]
fn a_new_wallet_is_encrypted_and_readable_by_its_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = run(&mut at(folder.path(), &["--json", "wallet", "new"])).json();
    let keystore = folder.path().join("home/wallet.json");
    assert_eq!(made["keystore"], keystore.to_str().expect("UTF-8"));
    assert_eq!((mode(&keystore), mode(&folder.path().join("home"))), (0o600, 0o700));

    let key = PrivateKeySigner::decrypt_keystore(&keystore, PASSWORD).expect("the password opens it");
    assert_eq!(made["address"], format!("{:#x}", key.address()));
    let text = std::fs::read_to_string(&keystore).expect("reads");
    assert!(!text.contains(&format!("{:x}", key.to_bytes())), "the key is not in the file as it is");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&file["version"], &file["crypto"]["kdf"]), (&Value::from(3), &Value::from("scrypt")));
    let left: Vec<_> = std::fs::read_dir(folder.path().join("home")).expect("lists").collect();
    assert_eq!(left.len(), 1, "nothing else is left behind: {left:?}");
}

#[test]
fn a_wallet_is_shown_without_its_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = run(&mut at(folder.path(), &["--json", "wallet", "new"])).json();
    let shown = run(at(folder.path(), &["--json", "wallet", "show"]).env_remove("ETH_PASSWORD")).json();
    assert_eq!(shown, made);
    let text = run(&mut at(folder.path(), &["wallet", "show"]));
    assert!(text.text().to_lowercase().contains(made["address"].as_str().expect("an address")));
}

#[test]
fn no_wallet_is_ever_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&mut at(folder.path(), &["wallet", "new"])).text();
    let keystore = folder.path().join("home/wallet.json");
    let before = std::fs::read(&keystore).expect("reads");
    let message = run(&mut at(folder.path(), &["--json", "wallet", "new"])).failed(3);
    assert!(message.contains("already"), "{message}");
    assert_eq!(std::fs::read(&keystore).expect("reads"), before);
}

#[test]
fn without_a_terminal_a_password_comes_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(at(folder.path(), &["wallet", "new"]).env_remove("ETH_PASSWORD"));
    assert!(ran.failed(3).contains("no terminal"), "{ran:?}");
    assert!(ran.stderr.contains("--password-file"), "{ran:?}");
    assert!(!folder.path().join("home/wallet.json").exists());

    // Whoever takes the variable for the password itself does not see it again; `run` looks for it.
    for arguments in [&["--json", "wallet", "new"][..], &["--help"]] {
        let ran = run(at(folder.path(), arguments).env("ETH_PASSWORD", PASSWORD));
        assert!(ran.code == 0 || ran.failed(3).contains("password file"), "{ran:?}");
    }

    std::fs::write(folder.path().join("empty"), "\n").expect("writes");
    let empty = folder.path().join("empty");
    let ran = run(at(folder.path(), &["wallet", "new"]).env("ETH_PASSWORD", empty));
    assert!(ran.failed(3).contains("empty"), "{ran:?}");
}

#[test]
fn a_keystore_of_cast_works_though_it_names_no_address() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&mut at(folder.path(), &["wallet", "new"])).text();
    let keystore = folder.path().join("home/wallet.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&keystore).expect("reads")).expect("JSON");
    let address = file.as_object_mut().expect("an object").remove("address").expect("an address");

    // cast writes no address, so the password is needed.
    let cast = folder.path().join("cast.json");
    std::fs::write(&cast, file.to_string()).expect("writes");
    let shown = run(at(folder.path(), &["--json", "wallet", "show"]).env("ETH_KEYSTORE", &cast)).json();
    assert_eq!(shown["address"], format!("0x{}", address.as_str().expect("hex")));
}
