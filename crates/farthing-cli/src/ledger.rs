//! A creator's data folder: the ledger, and whose ledger it is.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::home::create_private_folder;
use clap::Args;
use farthing::PrivateKeySigner;
use farthing::chain::Chain;
use farthing::core::exposure::CreditTerms;
use farthing::core::wire::Delegation;
use farthing::core::{Amount, Token};
use farthing::escrow::Escrow;
use farthing::payee::redeemer::{RedeemError, Redeemer};
use farthing::payee::{
    EmbeddedStore, LedgerIdentity, Nodes, Payee, PayeeError, PayeeOptions, PayeeStore, PostgresOptions, PostgresStore,
    PostgresUrl, PostgresUrlError, RedemptionOptions, StoreError, Watcher,
};
use farthing_gateway::admin::SOCKET_FILE;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The data folder's name inside the creator's folder. A catalog sells nothing that begins with a dot.
const DATA_FOLDER: &str = ".farthing";

/// Where a ledger is.
#[derive(Debug, Args)]
pub(crate) struct LedgerPlace {
    /// Use the ledger of this creator's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,

    #[command(flatten)]
    data: DataPlace,
}

impl LedgerPlace {
    pub(crate) fn data(&self) -> Result<DataFolder, Failure> {
        self.data.of(&self.folder)
    }
}

/// Where a creator's folder has its ledger.
#[derive(Debug, Args)]
pub(crate) struct DataPlace {
    /// Use this data folder [default: .farthing in the creator's folder, which no catalog can sell]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Use the ledger in this PostgreSQL database, which gateways may share [default: a file in the data folder]
    ///
    /// postgres://user@host/database; it is also read from FARTHING_STORE, where it may have a password. Otherwise the
    /// password is PGPASSWORD's.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl DataPlace {
    pub(crate) fn of(&self, folder: &Path) -> Result<DataFolder, Failure> {
        let path = self.data.clone().unwrap_or_else(|| folder.join(DATA_FOLDER));
        Ok(DataFolder { path, server: self.server()? })
    }

    fn server(&self) -> Result<Option<PostgresUrl>, Failure> {
        let unusable = |name: &str, error: PostgresUrlError| {
            Failure::new(Code::Usage, format!("{name}: {error}"))
                .hint("farthing serve --help says how to name a database")
        };
        let from_environment = environment("FARTHING_STORE");
        let url = match (&self.store, from_environment) {
            (Some(text), _) => {
                let url: PostgresUrl = text.parse().map_err(|error| unusable("--store", error))?;
                if url.has_password() {
                    return Err(Failure::new(
                        Code::Usage,
                        "--store has a password, which everybody on this machine can read",
                    )
                    .hint("put it in PGPASSWORD, or the whole URL in FARTHING_STORE"));
                }
                url
            }
            (None, Some(text)) => text.parse().map_err(|error| unusable("FARTHING_STORE", error))?,
            (None, None) => return Ok(None),
        };
        Ok(Some(match environment("PGPASSWORD") {
            Some(password) => url.or_password(&password),
            None => url,
        }))
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder that a gateway keeps its ledger in, or what it needs beside one that a server keeps.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    server: Option<PostgresUrl>,
}

/// Whose ledger a folder holds, so that it can be read without the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerRecord {
    pub(crate) identity: LedgerIdentity,
    pub(crate) token: Token,
    pub(crate) exit_delay: u64,
    /// What listeners may owe, as the catalog said when it was served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credit: Option<CreditTerms>,
    /// When to redeem, and what the chain's coin is worth, by the same catalog.
    #[serde(default)]
    pub(crate) redemption: RedemptionOptions,
    /// The server's hosts and database, if it is not a file of this folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
}

impl DataFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn create(&self) -> Result<(), Failure> {
        create_private_folder(&self.path)
    }

    /// The database that keeps the ledger, if it is not a file.
    pub(crate) fn server(&self) -> Option<&PostgresUrl> {
        self.server.as_ref()
    }

    /// The ledger's file, if it is one.
    pub(crate) fn file(&self) -> PathBuf {
        self.path.join("ledger.redb")
    }

    /// Where the ledger is, for people: never with a password.
    pub(crate) fn shown(&self) -> String {
        self.server.as_ref().map_or_else(|| self.file().display().to_string(), PostgresUrl::to_string)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET_FILE)
    }

    fn record_path(&self) -> PathBuf {
        self.path.join("gateway.json")
    }

    /// Writes down whose ledger this is. Called once the ledger itself was opened and agrees.
    pub(crate) fn save_record(&self, record: &LedgerRecord) -> Result<(), Failure> {
        let path = self.record_path();
        let failed = |error: std::io::Error| Failure::file(&path, &error);
        let record = LedgerRecord { server: self.server.as_ref().map(PostgresUrl::to_string), ..record.clone() };
        let text = serde_json::to_vec_pretty(&record).map_err(|error| Failure::new(Code::Unexpected, error))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.path).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn no_ledger(&self) -> Failure {
        Failure::new(Code::Store, format!("there is no ledger in {}", self.path.display()))
            .hint("name the creator's folder, or the ledger's with --data; farthing serve begins one")
    }

    /// Whose ledger it is, and in what.
    pub(crate) fn record(&self) -> Result<LedgerRecord, Failure> {
        let path = self.record_path();
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.no_ledger(),
            _ => Failure::file(&path, &error),
        })?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(Code::Store, format!("{} is damaged: {error}", path.display()))
                .hint("farthing serve writes it anew; the ledger itself is elsewhere")
        })
    }

    /// Makes sure that the ledger is looked for where it is: a folder whose ledger is in a database may hold the file of
    /// an older one.
    fn check_place(&self, record: &LedgerRecord) -> Result<(), Failure> {
        let named = self.server.as_ref().map(PostgresUrl::to_string);
        if named == record.server {
            return Ok(());
        }
        let there = record.server.clone().unwrap_or_else(|| self.file().display().to_string());
        let message = format!("the ledger of {} is {there}, not {}", self.path.display(), self.shown());
        Err(Failure::new(Code::Store, message).hint("name its database with --store or FARTHING_STORE, and no other"))
    }

    /// Opens the ledger that is there, while no gateway has it open.
    pub(crate) async fn read(&self) -> Result<(LedgerRecord, Arc<dyn PayeeStore>), Failure> {
        let record = self.record()?;
        self.check_place(&record)?;
        // Opening begins a ledger where there is none: an empty one in place of one that was moved away.
        if self.server.is_none() && !self.file().exists() {
            return Err(self.no_ledger());
        }
        let store = self.open(&record.identity).await?;
        Ok((record, store))
    }

    /// Opens a ledger, or begins it. Nothing else opens one to sell or redeem from it.
    pub(crate) async fn open(&self, identity: &LedgerIdentity) -> Result<Arc<dyn PayeeStore>, Failure> {
        Ok(match &self.server {
            Some(url) => Arc::new(PostgresStore::open(PostgresOptions::new(url.clone()), identity).await?),
            None => Arc::new(EmbeddedStore::open(&self.file(), identity)?),
        })
    }

    /// Opens the ledger to redeem from it, while no gateway has it open.
    pub(crate) async fn redeemer(&self, context: &Context) -> Result<(LedgerRecord, Redeemer), Failure> {
        let (record, store) = self.read().await?;
        let deployment = record.identity.deployment;
        // Refuses another chain before the password is asked for.
        Chain::connect_to(&context.rpc_url()?, None, deployment.chain_id).await?;
        let key = context.key()?;
        let chain = Chain::connect_to(&context.rpc_url()?, Some(key.clone()), deployment.chain_id).await?;
        let escrow = Escrow::bind(chain, deployment.escrow).await?;
        // Nothing is sold here, so no credit is given.
        let credit = CreditTerms { limit: Amount::ZERO, first: None, strangers_per_day: Amount::ZERO };
        let payee = start_payee(&record, credit, None, store, key, escrow.clone()).await?;
        // What stands behind each channel is seen as a running gateway would see it.
        Watcher::new(payee.clone(), escrow.clone()).step().await.map_err(|error| Failure::new(Code::Chain, error))?;
        let redeemer = Redeemer::new(payee, escrow).with_terms(&record.redemption);
        Ok((record, redeemer))
    }
}

/// A payee over an opened ledger.
pub(crate) async fn start_payee(
    record: &LedgerRecord,
    credit: CreditTerms,
    delegation: Option<Delegation>,
    store: Arc<dyn PayeeStore>,
    receipt_key: PrivateKeySigner,
    nodes: impl Into<Nodes>,
) -> Result<Payee, Failure> {
    let options = PayeeOptions {
        identity: record.identity,
        exit_delay: record.exit_delay,
        token: record.token.clone(),
        credit,
        challenge_seconds: PayeeOptions::CHALLENGE_SECONDS,
        stale_after_seconds: PayeeOptions::STALE_AFTER_SECONDS,
        delegation,
    };
    let secret = store.challenge_secret().await?;
    Ok(Payee::start(options, secret, receipt_key, store, Arc::new(nodes.into()))?)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::new(Code::Store, &error);
        match &error {
            StoreError::InUse { .. } => failure.hint("stop the other process; a ledger has one at a time"),
            StoreError::Schema { .. } => failure.hint("use the version of farthing that wrote it"),
            StoreError::OtherLedger { .. } => failure.hint(
                "name another folder with --data, or use the wallet or --payee, escrow and token it was begun with",
            ),
            StoreError::Forgotten { .. } => failure.hint(
                "put the newest file back; if an older copy is meant to go on, delete the file beside it that ends in .mark",
            ),
            StoreError::Failed { path, .. } if path.starts_with("postgres") => {
                failure.hint("check that the server runs, and its URL and password: --store, FARTHING_STORE, PGPASSWORD")
            }
            _ => failure.hint("check the disk; restore the file from a backup if it is damaged"),
        }
    }
}

impl From<PayeeError> for Failure {
    fn from(error: PayeeError) -> Self {
        match error {
            PayeeError::Store(error) => error.into(),
            error => Self::new(Code::Unexpected, error),
        }
    }
}

impl From<RedeemError> for Failure {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::Escrow(error) => error.into(),
            RedeemError::Store(error) => error.into(),
            RedeemError::Damaged { .. } => Self::new(Code::Store, error).hint("restore the ledger from a backup"),
            RedeemError::UnknownChannel { .. } => {
                Self::new(Code::Usage, error).hint("farthing earnings lists the channels; --json has their full ids")
            }
            RedeemError::NotPayee { sender, .. } => {
                let hint = format!("use the payee's wallet, or run there: farthing operator set {sender}");
                Self::new(Code::Wallet, error).hint(hint)
            }
            RedeemError::Held { .. } | RedeemError::Fenced { .. } | RedeemError::UnderWay { .. } => {
                Self::new(Code::Store, error).hint("another gateway on this ledger is redeeming; try again in a minute")
            }
            RedeemError::Uncovered { .. } => Self::new(Code::Contract, error)
                .hint("farthing earnings says who owes it; it is paid when there is money"),
            RedeemError::Refused { .. } => Self::new(Code::Contract, error),
            error => Self::new(Code::Unexpected, error),
        }
    }
}
