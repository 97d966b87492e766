//! The ledger in a folder of fjall's: one journal, a tree per table.

use crate::ledger::{Charge, Engine, Ledger, Outcome, Table, Writes, apply_batch, charge_key};
use fjall::{
    KeyspaceCreateOptions, PersistMode, Readable, SingleWriterTxDatabase, SingleWriterTxKeyspace, SingleWriterWriteTx,
};
use std::path::Path;

const CACHE_BYTES: u64 = 64 << 20;

pub struct FjallLedger {
    durability: PersistMode,
    database: SingleWriterTxDatabase,
    keyspaces: Vec<SingleWriterTxKeyspace>,
}

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl FjallLedger {
    pub fn open(engine: Engine, folder: &Path) -> Outcome<Self> {
        // Small enough, when asked for, that a short test also sees trees on disk and not the journal alone.
        let memtable = std::env::var("STORES_MEMTABLE_KIB").map_or(16 << 10, |kib| kib.parse().expect("a number"));
        let memtable = memtable << 10;
        let database = SingleWriterTxDatabase::builder(folder.join("ledger"))
            .cache_size(CACHE_BYTES)
            .max_journaling_size(128 << 20)
            .open()
            .map_err(shown)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable);
        let keyspaces = Table::ALL.iter().map(|table| database.keyspace(table.name(), options).map_err(shown));
        let keyspaces = keyspaces.collect::<Outcome<Vec<_>>>()?;
        let durability = if engine == Engine::Fjall { PersistMode::SyncData } else { PersistMode::Buffer };
        Ok(Self { durability, database, keyspaces })
    }
}

struct Opened<'t> {
    transaction: SingleWriterWriteTx<'t>,
    keyspaces: &'t [SingleWriterTxKeyspace],
}

impl Writes for Opened<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let value = self.transaction.get(&self.keyspaces[table as usize], key).map_err(shown)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) -> Outcome<()> {
        self.transaction.insert(&self.keyspaces[table as usize], key, value);
        Ok(())
    }

    fn channels_of(&self, account: &[u8; 32]) -> Outcome<Vec<[u8; 32]>> {
        let mut channels = Vec::new();
        for entry in self.transaction.prefix(&self.keyspaces[Table::Accounts as usize], account) {
            let key = entry.key().map_err(shown)?;
            channels.push(key[32..].try_into().map_err(shown)?);
        }
        Ok(channels)
    }
}

impl Ledger for FjallLedger {
    fn apply(&self, batch: &[Charge]) -> Outcome<()> {
        let transaction = self.database.write_tx().durability(Some(self.durability));
        let mut opened = Opened { transaction, keyspaces: &self.keyspaces };
        apply_batch(&mut opened, batch)?;
        opened.transaction.commit().map_err(shown)
    }

    fn get(&self, table: Table, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let value = self.keyspaces[table as usize].get(key).map_err(shown)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn highest(&self, channel: &[u8; 32], amount: u128) -> Outcome<Option<Vec<u8>>> {
        let (first, last) = (charge_key(channel, 0), charge_key(channel, amount));
        let snapshot = self.database.read_tx();
        let Some(entry) = snapshot.range(&self.keyspaces[Table::Charges as usize], first..=last).next_back() else {
            return Ok(None);
        };
        Ok(Some(entry.value().map_err(shown)?.to_vec()))
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Outcome<()> {
        for entry in self.database.read_tx().iter(&self.keyspaces[table as usize]) {
            let (key, value) = entry.into_inner().map_err(shown)?;
            visit(&key, &value);
        }
        Ok(())
    }
}
