//! The owner's folder: the wallet, the payer's store, what tokens are called, and settings.

use crate::failure::{Code, Failure};
use farthing::core::{Address, Amount, Token};
use farthing::payer::{EXIT_DELAY_ANY, Limits};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// For its owner only: what was bought is nobody else's business.
const MODE: u32 = 0o700;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// A token that was named on the command line once, as the chain described it, and how much of it may be spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RememberedToken {
    pub(crate) chain_id: u64,
    pub(crate) token: Token,
    /// What the owner set with `farthing budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget: Option<Budget>,
}

/// [`Limits`], as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Budget {
    pub(crate) item: Amount,
    pub(crate) site_per_day: Amount,
    pub(crate) day: Amount,
    pub(crate) reservation: Amount,
}

/// What the owner set that is about no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    /// The longest exit delay of an escrow that is paid through, in seconds.
    pub(crate) exit_delay_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { exit_delay_max: EXIT_DELAY_ANY }
    }
}

impl From<Limits> for Budget {
    fn from(limits: Limits) -> Self {
        let Limits { item, site_per_day, day, reservation } = limits;
        Self { item, site_per_day, day, reservation }
    }
}

impl RememberedToken {
    /// The owner's limits, or the defaults: those of a dollar, or nothing at all.
    pub(crate) fn limits(&self) -> Limits {
        self.budget.map_or_else(
            || Limits::default_for(&self.token),
            |Budget { item, site_per_day, day, reservation }| Limits { item, site_per_day, day, reservation },
        )
    }
}

impl Home {
    /// The folder that was named, or the system's place for it.
    pub(crate) fn new(named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(named) = named {
            return Ok(Self(named.to_owned()));
        }
        // The XDG rules: an empty or relative path is as good as none.
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
        let data = data.ok_or_else(|| {
            Failure::new(Code::Usage, "there is no home folder").hint("name a folder with --home (FARTHING_HOME)")
        })?;
        Ok(Self(data.join("farthing")))
    }

    /// The keystore, unless another is named.
    pub(crate) fn wallet(&self) -> PathBuf {
        self.0.join("wallet.json")
    }

    /// The payer's store.
    pub(crate) fn payer_store(&self) -> PathBuf {
        self.0.join("payer.redb")
    }

    /// Makes the folder, for its owner only, unless it is there.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        create_private_folder(&self.0)
    }

    /// The tokens that were named before.
    pub(crate) fn tokens(&self) -> Result<Vec<RememberedToken>, Failure> {
        read_or_default(&self.tokens_path(), "delete it: it is read from the chain again")
    }

    /// What the owner set that is about no token.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        read_or_default(&self.settings_path(), "delete it, and set again what you had set with farthing budget")
    }

    /// Sets it.
    pub(crate) fn set_settings(&self, settings: Settings) -> Result<(), Failure> {
        self.write(&self.settings_path(), &settings)
    }

    /// What a token was called when it was last named.
    pub(crate) fn token(&self, chain_id: u64, address: Address) -> Result<Option<Token>, Failure> {
        let mut known = self.tokens()?.into_iter();
        Ok(known.find(|known| known.chain_id == chain_id && known.token.address == address).map(|known| known.token))
    }

    /// Remembers a token; its budget stays as it is.
    pub(crate) fn remember_token(&self, chain_id: u64, token: &Token) -> Result<(), Failure> {
        self.change_token(chain_id, token, |_| {})
    }

    /// Sets a token's budget.
    pub(crate) fn set_budget(&self, chain_id: u64, token: &Token, limits: Limits) -> Result<(), Failure> {
        self.change_token(chain_id, token, |entry| entry.budget = Some(limits.into()))
    }

    /// Of two processes at once, one may undo what the other wrote; neither leaves half a file.
    fn change_token(
        &self,
        chain_id: u64,
        token: &Token,
        change: impl FnOnce(&mut RememberedToken),
    ) -> Result<(), Failure> {
        let mut known = self.tokens()?;
        let is_it = |known: &RememberedToken| known.chain_id == chain_id && known.token.address == token.address;
        let position = known.iter().position(is_it).unwrap_or_else(|| {
            known.push(RememberedToken { chain_id, token: token.clone(), budget: None });
            known.len() - 1
        });
        known[position].token = token.clone();
        change(&mut known[position]);
        self.write(&self.tokens_path(), &known)
    }

    /// Puts a file in its place whole.
    fn write<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), Failure> {
        self.create()?;
        let failed = |error: std::io::Error| Failure::file(path, &error);
        let text = serde_json::to_vec_pretty(value).map_err(|error| Failure::new(Code::Unexpected, error))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn settings_path(&self) -> PathBuf {
        self.0.join("settings.json")
    }

    fn tokens_path(&self) -> PathBuf {
        self.0.join("tokens.json")
    }
}

/// What a file holds; nothing, if it was never written.
fn read_or_default<T: DeserializeOwned + Default>(path: &Path, remedy: &str) -> Result<T, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(Failure::file(path, &error)),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Store, format!("{} is damaged: {error}", path.display())).hint(remedy))
}

/// Makes a folder and those above it, for their owner only, unless they are there.
pub(crate) fn create_private_folder(folder: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(MODE).create(folder);
    made.map_err(|error| Failure::file(folder, &error))
}
