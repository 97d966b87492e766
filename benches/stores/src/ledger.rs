//! The payee's work per charge, written once for every store, and the deterministic charges that it is measured with.

use std::collections::HashMap;
use std::path::Path;

/// The store's own facts, and one table per kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Meta,
    /// Channel id → what was accepted, spent, credited and redeemed.
    Counters,
    /// Channel id, cumulative amount → charge.
    Charges,
    /// Signer, request → key of the charge.
    Purchases,
    /// Account id, channel id → nothing.
    Accounts,
    /// Channel id → its terms.
    Terms,
    /// Day → what accounts without history were served for.
    Strangers,
}

impl Table {
    pub const ALL: [Self; 7] =
        [Self::Meta, Self::Counters, Self::Charges, Self::Purchases, Self::Accounts, Self::Terms, Self::Strangers];

    pub fn name(self) -> &'static str {
        ["meta", "counters", "charges", "purchases", "accounts", "terms", "strangers"][self as usize]
    }
}

pub type Outcome<T> = Result<T, String>;

/// What a batch reads and writes while it is being decided; sees its own writes.
pub trait Writes {
    fn get(&self, table: Table, key: &[u8]) -> Outcome<Option<Vec<u8>>>;
    fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) -> Outcome<()>;
    /// The channels of an account.
    fn channels_of(&self, account: &[u8; 32]) -> Outcome<Vec<[u8; 32]>>;
}

/// A store with the payee's ledger in it.
pub trait Ledger: Send + Sync {
    /// Decides on a batch and makes it durable.
    fn apply(&self, batch: &[Charge]) -> Outcome<()>;
    fn get(&self, table: Table, key: &[u8]) -> Outcome<Option<Vec<u8>>>;
    /// The highest charge of a channel at or below an amount.
    fn highest(&self, channel: &[u8; 32], amount: u128) -> Outcome<Option<Vec<u8>>>;
    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Outcome<()>;

    /// How many batches were ever committed.
    fn commits(&self) -> Outcome<u64> {
        Ok(self.get(Table::Meta, COMMITS)?.map_or(0, |value| number(&value)))
    }
}

/// The stores that are compared, and the ways of running them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One sync per commit; checksums tell an unfinished one.
    Redb,
    /// As `Redb`, and every page's checksum is verified whenever the file is opened.
    RedbVerified,
    /// Two syncs per commit, so that there is nothing to fall back to.
    RedbTwoPhase,
    /// Two syncs per commit, verified whenever the file is opened.
    RedbTwoPhaseVerified,
    /// Two syncs per commit, which writes the allocator down as well.
    RedbQuickRepair,
    /// One `fdatasync` of the journal per commit.
    Fjall,
    /// The control: nothing is synced.
    RedbUnsynced,
    /// The control: nothing is synced.
    FjallUnsynced,
}

impl Engine {
    pub const ALL: [(&'static str, Self); 8] = [
        ("redb", Self::Redb),
        ("redb-verified", Self::RedbVerified),
        ("redb-2pc", Self::RedbTwoPhase),
        ("redb-2pc-verified", Self::RedbTwoPhaseVerified),
        ("redb-quick", Self::RedbQuickRepair),
        ("fjall", Self::Fjall),
        ("redb-unsynced", Self::RedbUnsynced),
        ("fjall-unsynced", Self::FjallUnsynced),
    ];

    pub fn parse(name: &str) -> Self {
        Self::ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no engine {name}")).1
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, engine)| *engine == self).expect("every engine is listed").0
    }

    /// Opens or begins a ledger in a folder.
    pub fn open(self, folder: &Path) -> Outcome<Box<dyn Ledger>> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let ledger: Box<dyn Ledger> = match self {
            Self::Fjall | Self::FjallUnsynced => Box::new(crate::fjall_ledger::FjallLedger::open(self, folder)?),
            _ => Box::new(crate::redb_ledger::RedbLedger::open(self, folder)?),
        };
        // Neither syncs the folders of what it makes: a power cut could take the name of a new file with it.
        if std::env::var_os("STORES_NO_FOLDER_SYNC").is_none() {
            sync_folders(folder).map_err(|error| error.to_string())?;
        }
        Ok(ledger)
    }
}

fn sync_folders(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    std::fs::File::open(folder)?.sync_all()
}

const COMMITS: &[u8] = b"commits";

/// One voucher with the item that it pays.
#[derive(Clone)]
pub struct Charge {
    pub index: u64,
    pub channel: [u8; 32],
    pub account: [u8; 32],
    pub signer: [u8; 20],
    pub request: [u8; 32],
    pub cumulative: u128,
    pub price: u128,
}

fn mix(mut state: u64) -> u64 {
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Bytes that look like a hash or a signature: the same for the same seed, and not compressible.
pub fn noise<const N: usize>(seed: u64, purpose: u64) -> [u8; N] {
    let mut bytes = [0; N];
    let mut state = mix(seed ^ mix(purpose));
    for chunk in bytes.chunks_mut(8) {
        state = mix(state);
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    bytes
}

impl Charge {
    /// The charge with this number, on one of so many channels; the first of them are first contacts, in order.
    pub fn numbered(index: u64, channels: u64) -> Self {
        let channel = if index < channels { index } else { mix(index) % channels };
        Self {
            index,
            channel: noise(channel, 1),
            account: noise(channel, 2),
            signer: noise(channel, 3),
            request: noise(index, 4),
            cumulative: u128::from(index + 1) * 1_000,
            price: 1 + u128::from(index % 100),
        }
    }

    pub fn key(&self) -> [u8; 48] {
        charge_key(&self.channel, self.cumulative)
    }

    /// What is stored of it: 180 bytes, most of them a signature and hashes.
    pub fn value(&self) -> Vec<u8> {
        let mut value = self.cumulative.to_be_bytes().to_vec();
        value.extend(self.price.to_be_bytes());
        value.extend(self.request);
        value.extend(noise::<116>(self.index, 5));
        value
    }

    pub fn purchase_key(&self) -> [u8; 52] {
        let mut key = [0; 52];
        key[..20].copy_from_slice(&self.signer);
        key[20..].copy_from_slice(&self.request);
        key
    }
}

pub fn charge_key(channel: &[u8; 32], cumulative: u128) -> [u8; 48] {
    let mut key = [0; 48];
    key[..32].copy_from_slice(channel);
    key[32..].copy_from_slice(&cumulative.to_be_bytes());
    key
}

fn account_key(account: &[u8; 32], channel: &[u8; 32]) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(account);
    key[32..].copy_from_slice(channel);
    key
}

/// A channel's counters: accepted, spent, credited, redeemed and the number of its charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub accepted: u128,
    pub spent: u128,
    pub charges: u64,
}

impl Counters {
    fn add(&mut self, charge: &Charge) {
        self.accepted = self.accepted.max(charge.cumulative);
        self.spent += charge.price;
        self.charges += 1;
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.accepted.to_be_bytes().to_vec();
        bytes.extend(self.spent.to_be_bytes());
        bytes.extend([0; 32]);
        bytes.extend(self.charges.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Outcome<Self> {
        if bytes.len() != 72 {
            return Err(format!("counters of {} bytes", bytes.len()));
        }
        let amount = |at: usize| u128::from_be_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
        Ok(Self { accepted: amount(0), spent: amount(16), charges: number(&bytes[64..]) })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// Applies a whole batch, and counts it.
pub fn apply_batch(writes: &mut impl Writes, batch: &[Charge]) -> Outcome<()> {
    for charge in batch {
        apply(writes, charge)?;
    }
    let commits = writes.get(Table::Meta, COMMITS)?.map_or(0, |value| number(&value));
    writes.insert(Table::Meta, COMMITS, &(commits + 1).to_be_bytes())
}

/// The look-ups and writes of one charge.
fn apply(writes: &mut impl Writes, charge: &Charge) -> Outcome<()> {
    let key = charge.key();
    let found = writes.get(Table::Counters, &charge.channel)?;
    if writes.get(Table::Charges, &key)?.is_some() {
        return Ok(());
    }
    let mut other_exposure = 0_u128;
    for channel in writes.channels_of(&charge.account)? {
        if channel != charge.channel {
            let other = writes.get(Table::Counters, &channel)?.map(|value| Counters::decode(&value)).transpose()?;
            other_exposure += other.unwrap_or_default().spent;
        }
    }
    let day = 20_000_u64.to_be_bytes();
    let strangers = writes.get(Table::Strangers, &day)?.map_or(0, |value| number(&value));
    if other_exposure > u128::from(u64::MAX) || strangers == u64::MAX {
        return Err("refused".to_owned());
    }
    if found.is_none() {
        writes.insert(Table::Terms, &charge.channel, &noise::<120>(charge.index, 6))?;
        writes.insert(Table::Accounts, &account_key(&charge.account, &charge.channel), &[])?;
        writes.insert(Table::Strangers, &day, &(strangers + 1).to_be_bytes())?;
    }
    let mut counters = found.map(|value| Counters::decode(&value)).transpose()?.unwrap_or_default();
    counters.add(charge);
    writes.insert(Table::Counters, &charge.channel, &counters.encode())?;
    writes.insert(Table::Charges, &key, &charge.value())?;
    writes.insert(Table::Purchases, &charge.purchase_key(), &key)
}

/// What a look through a whole ledger found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All that was acknowledged is there, and nothing but whole batches.
    Intact { commits: u64 },
    /// The newest acknowledged batches are gone, and so is their count: a mark kept elsewhere tells.
    LostTail { commits: u64 },
    /// The count is right, but entries are gone or old: nothing kept elsewhere tells.
    LostInside(String),
    /// An entry is there with another value: a checksum in the value tells.
    Wrong(String),
    /// Entries that nobody wrote, or half a batch.
    Invented(String),
    /// A read fails.
    ReadError(String),
}

/// Compares a whole ledger with what was acknowledged, by scans and by single reads.
pub fn inspect(ledger: &dyn Ledger, channels: u64, batch: u64, acknowledged: u64) -> Finding {
    match look_through(ledger, channels, batch, acknowledged) {
        Ok(finding) | Err(finding) => finding,
    }
}

fn look_through(ledger: &dyn Ledger, channels: u64, batch: u64, acknowledged: u64) -> Result<Finding, Finding> {
    let failed = Finding::ReadError;
    let commits = ledger.commits().map_err(failed)?;
    // Every table is compared even if the tail is lost: what is there has to be whole.
    let mut expected: [HashMap<Vec<u8>, Vec<u8>>; 7] = Default::default();
    let mut counters = HashMap::<[u8; 32], Counters>::new();
    for index in 0..commits * batch {
        let charge = Charge::numbered(index, channels);
        let key = charge.key();
        if !counters.contains_key(&charge.channel) {
            expected[Table::Terms as usize].insert(charge.channel.to_vec(), noise::<120>(index, 6).to_vec());
            expected[Table::Accounts as usize].insert(account_key(&charge.account, &charge.channel).to_vec(), vec![]);
        }
        counters.entry(charge.channel).or_default().add(&charge);
        expected[Table::Charges as usize].insert(key.to_vec(), charge.value());
        expected[Table::Purchases as usize].insert(charge.purchase_key().to_vec(), key.to_vec());
    }
    expected[Table::Counters as usize] =
        counters.iter().map(|(channel, counters)| (channel.to_vec(), counters.encode())).collect();
    for table in [Table::Counters, Table::Charges, Table::Purchases, Table::Accounts, Table::Terms] {
        compare(ledger, table, &expected[table as usize])?;
    }
    if commits < acknowledged {
        return Ok(Finding::LostTail { commits });
    }
    Ok(Finding::Intact { commits })
}

fn compare(ledger: &dyn Ledger, table: Table, expected: &HashMap<Vec<u8>, Vec<u8>>) -> Result<(), Finding> {
    let name = table.name();
    let mut seen = 0;
    let mut worst = Ok(());
    ledger
        .scan(table, &mut |key, value| match expected.get(key) {
            Some(right) if right == value => seen += 1,
            // An older value of a counter carries a good checksum, so only its age is wrong.
            Some(_) if table == Table::Counters => worst = Err(Finding::LostInside(format!("{name}: another value"))),
            Some(_) => worst = Err(Finding::Wrong(name.to_owned())),
            None => worst = Err(Finding::Invented(name.to_owned())),
        })
        .map_err(Finding::ReadError)?;
    worst?;
    if seen != expected.len() {
        return Err(Finding::LostInside(format!("{name}: {seen} of {} in a scan", expected.len())));
    }
    for (key, right) in expected {
        match ledger.get(table, key).map_err(Finding::ReadError)? {
            Some(value) if value == *right => {}
            Some(_) => return Err(Finding::Wrong(format!("{name}, single read"))),
            None => return Err(Finding::LostInside(format!("{name}: not found by a single read"))),
        }
    }
    Ok(())
}
