//! The payee's ledger in one file, with redb: transactions, checksums, and an operating-system lock that dies with its
//! process.

use super::store::{
    AccountSums, Entry, LedgerIdentity, Outcome, PayeeStore, PendingCharge, Redemption, Relayed, StoreError,
};
use farthing_core::ledger::{self, Acceptance, ChannelBooks, Charge};
use farthing_core::wire::ChallengeSecret;
use farthing_core::{AccountId, Amount, B256, ChannelId};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;

type Bytes = &'static [u8];

/// The store's own facts, by name.
const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
/// Channel id → books.
const BOOKS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("books");
/// Account id, channel id → nothing: which channels an account has.
const ACCOUNTS: TableDefinition<'_, Bytes, ()> = TableDefinition::new("accounts");
/// Channel id, cumulative amount → charge; append-only.
const CHARGES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("charges");
/// Transaction hash → redemption.
const REDEMPTIONS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("redemptions");
/// Day → what accounts without history were served for.
const STRANGERS: TableDefinition<'_, u64, u128> = TableDefinition::new("strangers");
/// Transaction hash → what was relayed in it.
const RELAYED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("relayed");
/// Digest that a payer signed → hash of the transaction that was sent last for it.
const RELAYED_BY_REQUEST: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("relayed by request");
/// Day → what relaying cost, in wei.
const RELAY_SPENT: TableDefinition<'_, u64, u128> = TableDefinition::new("relay spent");

const SCHEMA_VERSION: u32 = 1;

/// A ledger in one file. One process at a time has it open.
pub struct EmbeddedStore {
    database: Database,
    path: String,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbeddedStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens a ledger, or begins one. The file is readable by its owner only.
    ///
    /// # Errors
    ///
    /// If another process has it open, it is another's ledger or of another version, or the disk fails.
    pub fn open(path: &Path, identity: &LedgerIdentity) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let failed = |reason: String| StoreError::Failed { path: shown.clone(), reason };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Made here, and not by redb, for its mode.
        let file = options.open(path).map_err(|error| failed(error.to_string()))?;
        // One that was there may be another's to read, and it holds the challenge secret.
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .map_err(|error| failed(error.to_string()))?;
        drop(file);
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: shown.clone() },
            error => failed(error.to_string()),
        })?;
        let store = Self { database, path: shown };
        store.begin_or_check(identity)?;
        Ok(store)
    }

    /// Begins a new ledger, or makes sure that an old one is what was asked for.
    fn begin_or_check(&self, identity: &LedgerIdentity) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(&error))?;
        {
            let mut meta = transaction.open_table(META).map_err(|error| self.failed(&error))?;
            let version = self.read_meta::<u32>(&meta, "version")?;
            if let Some(found) = version.filter(|found| *found != SCHEMA_VERSION) {
                return Err(StoreError::Schema { path: self.path.clone(), found, expected: SCHEMA_VERSION });
            }
            let found = self.read_meta::<LedgerIdentity>(&meta, "identity")?;
            if let Some(found) = found.filter(|found| found != identity) {
                let (found, expected) = (Box::new(found), Box::new(*identity));
                return Err(StoreError::OtherLedger { path: self.path.clone(), found, expected });
            }
            if version.is_none() {
                let secret: [u8; ChallengeSecret::LENGTH_MIN] = rand::random();
                let facts = [
                    ("version", self.encode(&SCHEMA_VERSION)?),
                    ("identity", self.encode(identity)?),
                    ("challenge-secret", secret.to_vec()),
                ];
                for (name, value) in facts {
                    meta.insert(name, value.as_slice()).map_err(|error| self.failed(&error))?;
                }
            }
            for table in [BOOKS, CHARGES, REDEMPTIONS, RELAYED, RELAYED_BY_REQUEST] {
                transaction.open_table(table).map_err(|error| self.failed(&error))?;
            }
            transaction.open_table(RELAY_SPENT).map_err(|error| self.failed(&error))?;
            transaction.open_table(ACCOUNTS).map_err(|error| self.failed(&error))?;
            transaction.open_table(STRANGERS).map_err(|error| self.failed(&error))?;
        }
        transaction.commit().map_err(|error| self.failed(&error))
    }

    /// The secret that this ledger's challenges are made with; drawn once, so that a restart honours what it issued.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub fn challenge_secret(&self) -> Result<ChallengeSecret, StoreError> {
        let secret = self.read(|reader| {
            let meta = reader.open_table(META).map_err(|error| self.failed(&error))?;
            let secret = meta.get("challenge-secret").map_err(|error| self.failed(&error))?;
            Ok(secret.map(|secret| secret.value().to_vec()))
        })?;
        secret.and_then(ChallengeSecret::new).ok_or_else(|| self.failed(&"the challenge secret is missing"))
    }

    fn failed(&self, reason: &dyn fmt::Display) -> StoreError {
        StoreError::Failed { path: self.path.clone(), reason: reason.to_string() }
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value).map_err(|error| self.failed(&error))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::from_bytes(bytes).map_err(|error| self.failed(&format!("an entry is damaged: {error}")))
    }

    fn read_meta<T: DeserializeOwned>(
        &self,
        meta: &impl ReadableTable<&'static str, Bytes>,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value = meta.get(name).map_err(|error| self.failed(&error))?;
        value.map(|value| self.decode(value.value())).transpose()
    }

    fn read<T>(&self, body: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        body(&self.database.begin_read().map_err(|error| self.failed(&error))?)
    }

    fn get<T: DeserializeOwned>(
        &self,
        table: &impl ReadableTable<Bytes, Bytes>,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let value = table.get(key).map_err(|error| self.failed(&error))?;
        value.map(|value| self.decode(value.value())).transpose()
    }

    /// Every entry of a table, each made into something with its key.
    fn collect<T: DeserializeOwned, U>(
        &self,
        table: TableDefinition<'static, Bytes, Bytes>,
        make: impl Fn(&[u8], T) -> U,
    ) -> Result<Vec<U>, StoreError> {
        self.read(|reader| {
            let table = reader.open_table(table).map_err(|error| self.failed(&error))?;
            let entries = table.iter().map_err(|error| self.failed(&error))?;
            entries
                .map(|entry| {
                    let (key, value) = entry.map_err(|error| self.failed(&error))?;
                    Ok(make(key.value(), self.decode(value.value())?))
                })
                .collect()
        })
    }

    fn apply(&self, transaction: &WriteTransaction, entry: &Entry) -> Result<Outcome, StoreError> {
        match entry {
            Entry::Charge(pending) => self.apply_charge(transaction, pending),
            Entry::Redeemed { channel_id, redeemed } => {
                let mut table = transaction.open_table(BOOKS).map_err(|error| self.failed(&error))?;
                let books = self.get::<ChannelBooks>(&table, channel_id.0.as_slice())?;
                if let Some(mut books) = books {
                    books.note_redeemed(*redeemed);
                    let value = self.encode(&books)?;
                    table.insert(channel_id.0.as_slice(), value.as_slice()).map_err(|error| self.failed(&error))?;
                }
                Ok(Outcome::Noted)
            }
            Entry::Redemption(redemption) => {
                let mut table = transaction.open_table(REDEMPTIONS).map_err(|error| self.failed(&error))?;
                let value = self.encode(redemption)?;
                table.insert(redemption.hash.as_slice(), value.as_slice()).map_err(|error| self.failed(&error))?;
                Ok(Outcome::Noted)
            }
            Entry::Relayed(relayed) => self.apply_relayed(transaction, relayed),
        }
    }

    /// The day's sum grows by what is new, or shrinks by what it turned out not to have cost.
    fn apply_relayed(&self, transaction: &WriteTransaction, relayed: &Relayed) -> Result<Outcome, StoreError> {
        let failed = |error: redb::StorageError| self.failed(&error);
        let mut table = transaction.open_table(RELAYED).map_err(|error| self.failed(&error))?;
        let before = self.get::<Relayed>(&table, relayed.hash.as_slice())?;
        table.insert(relayed.hash.as_slice(), self.encode(relayed)?.as_slice()).map_err(failed)?;
        let mut by_request = transaction.open_table(RELAYED_BY_REQUEST).map_err(|error| self.failed(&error))?;
        if before.is_none() {
            by_request.insert(relayed.request.as_slice(), relayed.hash.as_slice()).map_err(failed)?;
        }
        let mut spent = transaction.open_table(RELAY_SPENT).map_err(|error| self.failed(&error))?;
        let today = spent.get(relayed.day).map_err(failed)?.map_or(Amount::ZERO, |today| Amount::new(today.value()));
        let counted = before.map_or(Amount::ZERO, |before| before.cost);
        let today = today.saturating_sub(counted).saturating_add(relayed.cost);
        spent.insert(relayed.day, today.base_units()).map_err(failed)?;
        Ok(Outcome::Noted)
    }

    fn apply_charge(&self, transaction: &WriteTransaction, pending: &PendingCharge) -> Result<Outcome, StoreError> {
        let voucher = pending.voucher.voucher();
        let channel = pending.voucher.channel();
        let mut books_table = transaction.open_table(BOOKS).map_err(|error| self.failed(&error))?;
        let mut charges = transaction.open_table(CHARGES).map_err(|error| self.failed(&error))?;
        let books = self.get::<ChannelBooks>(&books_table, voucher.channel_id.0.as_slice())?;
        let books = books.unwrap_or_else(|| ChannelBooks::new(*channel));
        let key = charge_key(voucher.channel_id, voucher.cumulative_amount);
        let existing = self.get::<Charge>(&charges, &key)?;
        let sums = self.sums(transaction, &books_table, pending)?;
        let position = pending.position(&sums);
        match ledger::accept(&pending.voucher, &pending.request, &books, existing.as_ref(), &position) {
            Err(refusal) => Ok(Outcome::Refused(refusal)),
            Ok(Acceptance::Again { charge }) => Ok(Outcome::Charged { books, charge: Box::new(charge), again: true }),
            Ok(Acceptance::Charged { books, charge, unearned_credit }) => {
                let failed = |error: redb::StorageError| self.failed(&error);
                books_table.insert(voucher.channel_id.0.as_slice(), self.encode(&books)?.as_slice()).map_err(failed)?;
                charges.insert(key.as_slice(), self.encode(&charge)?.as_slice()).map_err(failed)?;
                let mut accounts = transaction.open_table(ACCOUNTS).map_err(|error| self.failed(&error))?;
                let account_key = account_key(channel.account().id(), voucher.channel_id);
                accounts.insert(account_key.as_slice(), ()).map_err(failed)?;
                if !unearned_credit.is_zero() {
                    let mut strangers = transaction.open_table(STRANGERS).map_err(|error| self.failed(&error))?;
                    let today = sums.strangers_today.saturating_add(unearned_credit);
                    strangers.insert(pending.request.at.day(), today.base_units()).map_err(failed)?;
                }
                Ok(Outcome::Charged { books, charge: Box::new(charge), again: false })
            }
        }
    }

    /// Adds up the account's channels. There are few of them: one a device.
    fn sums(
        &self,
        transaction: &WriteTransaction,
        books_table: &impl ReadableTable<Bytes, Bytes>,
        pending: &PendingCharge,
    ) -> Result<AccountSums, StoreError> {
        let channel_id = pending.voucher.voucher().channel_id;
        let account = pending.voucher.channel().account().id();
        let (mut other_exposure, mut redeemed) = (Amount::ZERO, Amount::ZERO);
        let accounts = transaction.open_table(ACCOUNTS).map_err(|error| self.failed(&error))?;
        let first = account_key(account, ChannelId::default());
        for entry in accounts.range(first.as_slice()..).map_err(|error| self.failed(&error))? {
            let (key, ()) = entry.map(|(key, _)| (key, ())).map_err(|error| self.failed(&error))?;
            let Some(id) = key.value().strip_prefix(account.0.as_slice()) else { break };
            let Some(books) = self.get::<ChannelBooks>(books_table, id)? else { continue };
            redeemed = redeemed.saturating_add(books.redeemed);
            let id = ChannelId(farthing_core::B256::from_slice(id));
            if id != channel_id {
                other_exposure = other_exposure.saturating_add(pending.exposure_of(id, &books));
            }
        }
        let strangers = transaction.open_table(STRANGERS).map_err(|error| self.failed(&error))?;
        let today = strangers.get(pending.request.at.day()).map_err(|error| self.failed(&error))?;
        let strangers_today = today.map_or(Amount::ZERO, |today| Amount::new(today.value()));
        Ok(AccountSums { other_exposure, redeemed, strangers_today })
    }
}

impl PayeeStore for EmbeddedStore {
    fn accept_batch(&self, batch: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        // Committing syncs the file (redb's default durability); dropping the transaction undoes it.
        let transaction = self.database.begin_write().map_err(|error| self.failed(&error))?;
        let outcomes = batch.iter().map(|entry| self.apply(&transaction, entry)).collect::<Result<_, _>>()?;
        transaction.commit().map_err(|error| self.failed(&error))?;
        Ok(outcomes)
    }

    fn books(&self, channel_id: ChannelId) -> Result<Option<ChannelBooks>, StoreError> {
        self.read(|reader| {
            let table = reader.open_table(BOOKS).map_err(|error| self.failed(&error))?;
            self.get(&table, channel_id.0.as_slice())
        })
    }

    fn all_books(&self) -> Result<Vec<(ChannelId, ChannelBooks)>, StoreError> {
        self.collect(BOOKS, |key, books| (channel_id_of(key), books))
    }

    fn books_of(&self, account: AccountId) -> Result<Vec<(ChannelId, ChannelBooks)>, StoreError> {
        self.read(|reader| {
            let accounts = reader.open_table(ACCOUNTS).map_err(|error| self.failed(&error))?;
            let books = reader.open_table(BOOKS).map_err(|error| self.failed(&error))?;
            let first = account_key(account, ChannelId::default());
            let mut found = Vec::new();
            for entry in accounts.range(first.as_slice()..).map_err(|error| self.failed(&error))? {
                let (key, ()) = entry.map(|(key, _)| (key, ())).map_err(|error| self.failed(&error))?;
                let Some(id) = key.value().strip_prefix(account.0.as_slice()) else { break };
                found.extend(self.get(&books, id)?.map(|books| (channel_id_of(id), books)));
            }
            Ok(found)
        })
    }

    fn charge(&self, channel_id: ChannelId, cumulative_amount: Amount) -> Result<Option<Charge>, StoreError> {
        self.read(|reader| {
            let table = reader.open_table(CHARGES).map_err(|error| self.failed(&error))?;
            self.get(&table, &charge_key(channel_id, cumulative_amount))
        })
    }

    fn all_charges(&self) -> Result<Vec<(ChannelId, Charge)>, StoreError> {
        self.collect(CHARGES, |key, charge| (channel_id_of(key), charge))
    }

    fn redeemable(&self, channel_id: ChannelId) -> Result<Option<Charge>, StoreError> {
        let Some(books) = self.books(channel_id)? else { return Ok(None) };
        self.read(|reader| {
            let table = reader.open_table(CHARGES).map_err(|error| self.failed(&error))?;
            let first = charge_key(channel_id, Amount::ZERO);
            let last = charge_key(channel_id, books.due());
            let mut range = table.range(first.as_slice()..=last.as_slice()).map_err(|error| self.failed(&error))?;
            let Some(entry) = range.next_back() else { return Ok(None) };
            let (_, value) = entry.map_err(|error| self.failed(&error))?;
            let charge = self.decode::<Charge>(value.value())?;
            Ok(ledger::is_redeemable(&books, &charge).then_some(charge))
        })
    }

    fn last_resort(&self, channel_id: ChannelId) -> Result<Option<Charge>, StoreError> {
        let Some(books) = self.books(channel_id)? else { return Ok(None) };
        self.read(|reader| {
            let table = reader.open_table(CHARGES).map_err(|error| self.failed(&error))?;
            let first = charge_key(channel_id, books.due());
            let last = charge_key(channel_id, Amount::new(u128::MAX));
            let mut range = table.range(first.as_slice()..=last.as_slice()).map_err(|error| self.failed(&error))?;
            let Some(entry) = range.next() else { return Ok(None) };
            let (_, value) = entry.map_err(|error| self.failed(&error))?;
            let charge = self.decode::<Charge>(value.value())?;
            Ok(ledger::is_last_resort(&books, &charge).then_some(charge))
        })
    }

    fn redemptions(&self) -> Result<Vec<Redemption>, StoreError> {
        self.collect(REDEMPTIONS, |_, redemption| redemption)
    }

    fn relayed(&self, request: B256) -> Result<Option<Relayed>, StoreError> {
        self.read(|reader| {
            let by_request = reader.open_table(RELAYED_BY_REQUEST).map_err(|error| self.failed(&error))?;
            let Some(hash) = by_request.get(request.as_slice()).map_err(|error| self.failed(&error))? else {
                return Ok(None);
            };
            self.get(&reader.open_table(RELAYED).map_err(|error| self.failed(&error))?, hash.value())
        })
    }

    fn relayed_in(&self, hash: B256) -> Result<Option<Relayed>, StoreError> {
        self.read(|reader| self.get(&reader.open_table(RELAYED).map_err(|error| self.failed(&error))?, hash.as_slice()))
    }

    fn relay_spent(&self, day: u64) -> Result<Amount, StoreError> {
        self.read(|reader| {
            let spent = reader.open_table(RELAY_SPENT).map_err(|error| self.failed(&error))?;
            let today = spent.get(day).map_err(|error| self.failed(&error))?;
            Ok(today.map_or(Amount::ZERO, |today| Amount::new(today.value())))
        })
    }
}

/// Big-endian, so that the order of keys is the order of amounts.
fn charge_key(channel_id: ChannelId, cumulative_amount: Amount) -> [u8; 48] {
    let mut key = [0; 48];
    let (id, amount) = key.split_at_mut(32);
    id.copy_from_slice(channel_id.0.as_slice());
    amount.copy_from_slice(&cumulative_amount.base_units().to_be_bytes());
    key
}

fn account_key(account: AccountId, channel_id: ChannelId) -> [u8; 64] {
    let mut key = [0; 64];
    let (first, second) = key.split_at_mut(32);
    first.copy_from_slice(account.0.as_slice());
    second.copy_from_slice(channel_id.0.as_slice());
    key
}

/// The channel id that a key begins with; keys are written by this module and are long enough.
fn channel_id_of(key: &[u8]) -> ChannelId {
    key.get(..32).map(|id| ChannelId(farthing_core::B256::from_slice(id))).unwrap_or_default()
}
