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
use farthing::payee::{EmbeddedStore, LedgerIdentity, Payee, PayeeError, PayeeOptions, PayeeStore, StoreError};
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

    /// Use the ledger in this folder [default: .farthing in the creator's folder]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl LedgerPlace {
    pub(crate) fn data(&self) -> DataFolder {
        DataFolder::of(&self.folder, self.data.as_deref())
    }
}

/// The folder that a gateway keeps its ledger in.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder(PathBuf);

/// Whose ledger a folder holds, so that it can be read without the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerRecord {
    pub(crate) identity: LedgerIdentity,
    pub(crate) token: Token,
    pub(crate) exit_delay: u64,
}

impl DataFolder {
    /// The folder that was named, or the one inside the creator's folder.
    pub(crate) fn of(folder: &Path, named: Option<&Path>) -> Self {
        Self(named.map_or_else(|| folder.join(DATA_FOLDER), Path::to_owned))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn create(&self) -> Result<(), Failure> {
        create_private_folder(&self.0)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.redb")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET_FILE)
    }

    fn record_path(&self) -> PathBuf {
        self.0.join("gateway.json")
    }

    /// Writes down whose ledger this is. Called once the ledger itself was opened and agrees.
    pub(crate) fn save_record(&self, record: &LedgerRecord) -> Result<(), Failure> {
        let path = self.record_path();
        let failed = |error: std::io::Error| Failure::file(&path, &error);
        let text = serde_json::to_vec_pretty(record).map_err(|error| Failure::new(Code::Unexpected, error))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn no_ledger(&self) -> Failure {
        Failure::new(Code::Store, format!("there is no ledger in {}", self.0.display()))
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
                .hint("farthing serve writes it anew; the ledger itself is another file")
        })
    }

    /// Opens the ledger that is there, while no gateway has it open.
    pub(crate) fn read(&self) -> Result<(LedgerRecord, Arc<dyn PayeeStore>), Failure> {
        let record = self.record()?;
        // Opening begins a ledger where there is none: an empty one in place of one that was moved away.
        if !self.ledger().exists() {
            return Err(self.no_ledger());
        }
        let store = self.open(&record.identity)?;
        Ok((record, store))
    }

    /// Opens a ledger, or begins it. Nothing else opens one to read or write it.
    pub(crate) fn open(&self, identity: &LedgerIdentity) -> Result<Arc<dyn PayeeStore>, Failure> {
        Ok(Arc::new(EmbeddedStore::open(&self.ledger(), identity)?))
    }

    /// Opens the ledger to redeem from it, while no gateway has it open.
    pub(crate) async fn redeemer(&self, context: &Context) -> Result<(LedgerRecord, Redeemer), Failure> {
        let (record, store) = self.read()?;
        let deployment = record.identity.deployment;
        // Refuses another chain before the password is asked for.
        Chain::connect_to(&context.rpc_url()?, None, deployment.chain_id).await?;
        let key = context.key()?;
        let chain = Chain::connect_to(&context.rpc_url()?, Some(key.clone()), deployment.chain_id).await?;
        let escrow = Escrow::bind(chain, deployment.escrow).await?;
        // Nothing is sold here, so no credit is given.
        let credit = CreditTerms { limit: Amount::ZERO, first: None, strangers_per_day: Amount::ZERO };
        let payee = start_payee(&record, credit, None, store, key, &escrow).await?;
        Ok((record, Redeemer::new(payee, escrow)))
    }
}

/// A payee over an opened ledger.
pub(crate) async fn start_payee(
    record: &LedgerRecord,
    credit: CreditTerms,
    delegation: Option<Delegation>,
    store: Arc<dyn PayeeStore>,
    receipt_key: PrivateKeySigner,
    escrow: &Escrow,
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
    Ok(Payee::start(options, secret, receipt_key, store, Arc::new(escrow.clone()))?)
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
            error => Self::new(Code::Unexpected, error),
        }
    }
}
