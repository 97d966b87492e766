//! A creator's data folder: the ledger, whose ledger it is, and the way to a gateway that runs on it.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::home::create_private_folder;
use clap::Args;
use farthing::PrivateKeySigner;
use farthing::chain::Chain;
use farthing::core::exposure::CreditTerms;
use farthing::core::wire::Delegation;
use farthing::core::{Address, Amount, ChannelId, Token};
use farthing::escrow::Escrow;
use farthing::payee::earnings::{Earnings, earnings};
use farthing::payee::redeemer::{RedeemError, Redeemed, Redeemer, Skipped};
use farthing::payee::{EmbeddedStore, LedgerIdentity, Payee, PayeeError, PayeeOptions, PayeeStore, StoreError};
use farthing_gateway::admin::{self, AdminError, SOCKET_FILE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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

/// What a running gateway is asked over its admin socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum AdminRequest {
    Earnings,
    Redeem,
    Close { channel_id: ChannelId },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AdminAnswer<T> {
    Ok(T),
    Error { code: u8, message: String, hint: Option<String> },
}

/// What was earned, by whom and in what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EarningsReport {
    pub(crate) payee: Address,
    pub(crate) token: Token,
    #[serde(flatten)]
    pub(crate) earnings: Value,
}

/// What was redeemed, and in what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RedeemReport {
    pub(crate) token: Token,
    pub(crate) transactions: Vec<Value>,
    /// The channels that were left out, each with the reason.
    pub(crate) skipped: Vec<String>,
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

    fn record(&self) -> Result<LedgerRecord, Failure> {
        let path = self.record_path();
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::new(Code::Store, format!("there is no ledger in {}", self.0.display()))
                    .hint("name the creator's folder, or the ledger's with --data; farthing serve begins one")
            }
            _ => Failure::file(&path, &error),
        })?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(Code::Store, format!("{} is damaged: {error}", path.display()))
                .hint("farthing serve writes it anew; the ledger itself is another file")
        })
    }

    /// Asks the gateway that runs on this folder; `None` if none does.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: &AdminRequest) -> Result<Option<T>, Failure> {
        let unexpected = |error: serde_json::Error| Failure::new(Code::Unexpected, error);
        let request = serde_json::to_value(request).map_err(unexpected)?;
        let answer = match admin::call(&self.socket(), &request).await {
            Ok(answer) => answer,
            Err(AdminError::NotRunning(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_value(answer).map_err(unexpected)? {
            AdminAnswer::Ok(answer) => Ok(Some(answer)),
            AdminAnswer::Error { code, message, hint } => Err(Failure { code: Code::from_u8(code), message, hint }),
        }
    }

    /// Opens the ledger to read it, while no gateway has it open.
    pub(crate) fn read(&self) -> Result<(LedgerRecord, EmbeddedStore), Failure> {
        let record = self.record()?;
        let store = EmbeddedStore::open(&self.ledger(), &record.identity)?;
        Ok((record, store))
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
    store: EmbeddedStore,
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
    Ok(Payee::start(options, secret, receipt_key, Arc::new(store), Arc::new(escrow.clone()))?)
}

/// The ledger added up, as it is shown.
pub(crate) async fn report(store: &dyn PayeeStore, payee: Address, token: &Token) -> Result<EarningsReport, Failure> {
    let earnings: Earnings = earnings(store).await?;
    let earnings = serde_json::to_value(earnings).map_err(|error| Failure::new(Code::Unexpected, error))?;
    Ok(EarningsReport { payee, token: token.clone(), earnings })
}

/// Transactions as they are shown.
pub(crate) fn redeem_report(
    token: &Token,
    redeemed: &[Redeemed],
    skipped: &[Skipped],
) -> Result<RedeemReport, Failure> {
    let transactions = redeemed.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    let transactions = transactions.map_err(|error| Failure::new(Code::Unexpected, error))?;
    let skipped = skipped.iter().map(|skipped| format!("channel {}: {}", skipped.channel_id, skipped.error)).collect();
    Ok(RedeemReport { token: token.clone(), transactions, skipped })
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

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match &error {
            AdminError::InUse(_) => Self::new(Code::Store, &error).hint("stop it, or name another folder with --data"),
            AdminError::NotASocket(_) => Self::new(Code::Unexpected, &error).hint("or name another folder with --data"),
            // A socket's path has room for about a hundred bytes.
            AdminError::Socket { .. } => Self::new(Code::Unexpected, &error)
                .hint("name a folder with --data that you may write to and whose path is short"),
            _ => Self::new(Code::Site, &error).hint("look at what the gateway logs"),
        }
    }
}
