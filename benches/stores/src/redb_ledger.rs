//! The ledger in one redb file.

use crate::ledger::{Charge, Engine, Ledger, Outcome, Table, Writes, apply_batch, charge_key};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

type Bytes = &'static [u8];

/// Pages that are kept in memory; redb's own default is a gibibyte.
const CACHE_BYTES: usize = 64 << 20;

pub struct RedbLedger {
    engine: Engine,
    database: Database,
}

fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl RedbLedger {
    pub fn open(engine: Engine, folder: &Path) -> Outcome<Self> {
        let verified = matches!(engine, Engine::RedbVerified | Engine::RedbTwoPhaseVerified);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(verified);
        let database = builder.create(folder.join("ledger.redb")).map_err(shown)?;
        let ledger = Self { engine, database };
        ledger.begin()?;
        Ok(ledger)
    }

    fn begin(&self) -> Outcome<()> {
        let transaction = self.database.begin_write().map_err(shown)?;
        for table in Table::ALL {
            transaction.open_table(definition(table)).map_err(shown)?;
        }
        transaction.commit().map_err(shown)
    }
}

struct Opened<'t>([redb::Table<'t, Bytes, Bytes>; 7]);

impl Writes for Opened<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let value = self.0[table as usize].get(key).map_err(shown)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) -> Outcome<()> {
        self.0[table as usize].insert(key, value).map_err(shown)?;
        Ok(())
    }

    fn channels_of(&self, account: &[u8; 32]) -> Outcome<Vec<[u8; 32]>> {
        let mut channels = Vec::new();
        for entry in self.0[Table::Accounts as usize].range(account.as_slice()..).map_err(shown)? {
            let (key, _) = entry.map_err(shown)?;
            let Some(channel) = key.value().strip_prefix(account.as_slice()) else { break };
            channels.push(channel.try_into().map_err(shown)?);
        }
        Ok(channels)
    }
}

impl Ledger for RedbLedger {
    fn apply(&self, batch: &[Charge]) -> Outcome<()> {
        let mut transaction = self.database.begin_write().map_err(shown)?;
        match self.engine {
            Engine::RedbTwoPhase | Engine::RedbTwoPhaseVerified => transaction.set_two_phase_commit(true),
            Engine::RedbQuickRepair => transaction.set_quick_repair(true),
            Engine::RedbUnsynced => transaction.set_durability(Durability::None).map_err(shown)?,
            _ => {}
        }
        {
            let mut tables = Vec::with_capacity(7);
            for table in Table::ALL {
                tables.push(transaction.open_table(definition(table)).map_err(shown)?);
            }
            let mut opened = Opened(tables.try_into().map_err(|_| "seven tables")?);
            apply_batch(&mut opened, batch)?;
        }
        transaction.commit().map_err(shown)
    }

    fn get(&self, table: Table, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let reader = self.database.begin_read().map_err(shown)?;
        let table = reader.open_table(definition(table)).map_err(shown)?;
        Ok(table.get(key).map_err(shown)?.map(|value| value.value().to_vec()))
    }

    fn highest(&self, channel: &[u8; 32], amount: u128) -> Outcome<Option<Vec<u8>>> {
        let reader = self.database.begin_read().map_err(shown)?;
        let table = reader.open_table(definition(Table::Charges)).map_err(shown)?;
        let (first, last) = (charge_key(channel, 0), charge_key(channel, amount));
        let mut range = table.range(first.as_slice()..=last.as_slice()).map_err(shown)?;
        let entry = range.next_back().transpose().map_err(shown)?;
        Ok(entry.map(|(_, value)| value.value().to_vec()))
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Outcome<()> {
        let reader = self.database.begin_read().map_err(shown)?;
        let table = reader.open_table(definition(table)).map_err(shown)?;
        for entry in table.iter().map_err(shown)? {
            let (key, value) = entry.map_err(shown)?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}
