//! The wallet: one key in an encrypted file, as cast and geth write it. Neither the key nor its password is ever in an
//! argument, an output or a log.

use crate::failure::{Code, Failure};
use crate::home::create_private_folder;
use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use farthing::PrivateKeySigner;
use farthing::core::Address;
use serde::Deserialize;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The wallet's file and where its password is; nothing is read yet.
#[derive(Clone, Debug)]
pub(crate) struct Wallet {
    keystore: PathBuf,
    password_file: Option<PathBuf>,
}

/// What can be read of a keystore without its password.
#[derive(Deserialize)]
struct Keystore {
    address: Option<String>,
}

impl Wallet {
    pub(crate) const fn new(keystore: PathBuf, password_file: Option<PathBuf>) -> Self {
        Self { keystore, password_file }
    }

    pub(crate) fn keystore(&self) -> &Path {
        &self.keystore
    }

    /// The address that the keystore names; cast's keystores name none.
    pub(crate) fn named_address(&self) -> Result<Option<Address>, Failure> {
        let text = std::fs::read_to_string(&self.keystore).map_err(|error| self.unreadable(&error))?;
        let keystore: Keystore = serde_json::from_str(&text).map_err(|_| self.damaged())?;
        // geth writes it without 0x.
        keystore.address.map(|address| address.parse().map_err(|_| self.damaged())).transpose()
    }

    /// The key.
    pub(crate) fn unlock(&self) -> Result<PrivateKeySigner, Failure> {
        let named = self.named_address()?;
        let password = self.password()?;
        let key = PrivateKeySigner::decrypt_keystore(&self.keystore, password).map_err(|error| {
            // The library's own word for a wrong password.
            if error.to_string().to_ascii_lowercase().contains("mac mismatch") {
                let message = format!("the password does not open {}", self.keystore.display());
                return Failure::new(Code::Wallet, message).hint("check --password-file (ETH_PASSWORD)");
            }
            self.damaged()
        })?;
        match named {
            // Money would go to an address that this key does not own.
            Some(named) if named != key.address() => {
                let message =
                    format!("{} names {named}, but holds the key of {}", self.keystore.display(), key.address());
                Err(Failure::new(Code::Wallet, message).hint("somebody changed the file; restore it from a backup"))
            }
            _ => Ok(key),
        }
    }

    /// Draws a key and writes it, encrypted from its first byte on. Nothing is ever overwritten.
    pub(crate) fn create(&self) -> Result<Address, Failure> {
        if self.keystore.exists() {
            return Err(self.exists());
        }
        let password = self.new_password()?;
        let folder = self.keystore.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_private_folder(folder)?;
        let failed = |error: std::io::Error| Failure::file(&self.keystore, &error);
        // Encrypted in a folder of its own, then put in place whole: a crash leaves no half of a wallet.
        let workshop = tempfile::tempdir_in(folder).map_err(failed)?;
        let made = PrivateKeySigner::new_keystore(workshop.path(), &mut OsRng, password, Some("wallet"));
        let (key, _) =
            made.map_err(|error| Failure::new(Code::Wallet, format!("the wallet can't be made: {error}")))?;
        let text = std::fs::read_to_string(workshop.path().join("wallet")).map_err(failed)?;
        let mut keystore: Value = serde_json::from_str(&text).map_err(|_| self.damaged())?;
        // So that the address can be shown without the password.
        keystore["address"] = Value::String(format!("{:x}", key.address()));
        // Temporary files are readable by their owner only, and keep that when they are renamed.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(format!("{keystore}\n").as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(&self.keystore).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => self.exists(),
            _ => failed(error.error),
        })?;
        sync_folder(folder).map_err(failed)?;
        Ok(key.address())
    }

    fn password(&self) -> Result<String, Failure> {
        match &self.password_file {
            Some(path) => read_password(path),
            None => prompt(&format!("Password of {}: ", self.keystore.display())),
        }
    }

    fn new_password(&self) -> Result<String, Failure> {
        let password = match &self.password_file {
            Some(path) => read_password(path)?,
            None => {
                let password = prompt(&format!("New password for {}: ", self.keystore.display()))?;
                if prompt("The same again: ")? != password {
                    return Err(Failure::new(Code::Wallet, "the two passwords differ").hint("try again"));
                }
                password
            }
        };
        if password.is_empty() {
            return Err(Failure::new(Code::Wallet, "the password is empty").hint("choose a long one"));
        }
        Ok(password)
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let path = self.keystore.display();
        if error.kind() == std::io::ErrorKind::NotFound {
            return Failure::new(Code::Wallet, format!("there is no wallet at {path}"))
                .hint("make one with farthing wallet new, or name one with --keystore (ETH_KEYSTORE)");
        }
        Failure::new(Code::Wallet, format!("{path}: {error}")).hint("name another with --keystore (ETH_KEYSTORE)")
    }

    fn damaged(&self) -> Failure {
        Failure::new(Code::Wallet, format!("{} is not a keystore", self.keystore.display()))
            .hint("name another with --keystore (ETH_KEYSTORE), or restore it from a backup")
    }

    fn exists(&self) -> Failure {
        Failure::new(Code::Wallet, format!("there is a wallet at {} already", self.keystore.display()))
            .hint("show it with farthing wallet show, or name another file with --keystore")
    }
}

/// The first thing in a file, as cast reads it: what ends the line is no part of the password.
fn read_password(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        // Without the path: whoever takes the variable for the password itself would see it here.
        Failure::new(Code::Wallet, format!("the password file can't be read: {error}"))
            .hint("--password-file (ETH_PASSWORD) names a file with the password in it")
    })?;
    Ok(text.trim_end().to_owned())
}

fn prompt(text: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(Code::Wallet, "a password is needed and there is no terminal to ask at")
            .hint("put it in a file and name that with --password-file (ETH_PASSWORD)"));
    }
    rpassword::prompt_password(text)
        .map_err(|error| Failure::new(Code::Wallet, format!("the password can't be read: {error}")))
}

/// A renamed file is only sure to be there when its folder is on disk.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
