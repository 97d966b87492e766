//! The tables, and how they came to be: one migration after the other, under a lock that every engine has.
//!
//! Portable SQL: no triggers, sequences, functions or advisory locks. There are no foreign keys either, for each charge
//! would lock its channel's row a second time; an account's row is what everything of it is written under.

use super::super::store::{LedgerIdentity, StoreError};
use super::numeric::Numeric;
use super::server::{Server, describe};
use super::session::NoSession;
use farthing_core::wire::ChallengeSecret;
use farthing_core::{Address, Amount, Deployment};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Row, Transaction};

/// The schema of this program: how many migrations there are.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// The table that says how many migrations have been carried out. Its only row is the lock for carrying out more.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS farthing_schema (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);
INSERT INTO farthing_schema (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING;
";

/// Each leads from the version before it to the next. What is here is never edited: it has run.
pub(super) const MIGRATIONS: [&str; 2] = [FIRST, SECOND];

const FIRST: &str = "
-- Whose ledger this is.
CREATE TABLE farthing_ledger (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    chain_id NUMERIC(39, 0) NOT NULL,
    escrow BYTEA NOT NULL,
    payee BYTEA NOT NULL,
    token BYTEA NOT NULL,
    challenge_secret BYTEA NOT NULL,
    -- Whether a ledger is being imported: what is there is not all of it.
    importing BOOLEAN NOT NULL
);

-- The last batch of each writer that was committed: tells it, after a lost answer, whether its batch was.
CREATE TABLE farthing_writers (
    id BYTEA PRIMARY KEY,
    batch BIGINT NOT NULL,
    day BIGINT NOT NULL
);

-- Every batch holds the rows of its accounts, so that an account's books change in one batch at a time, and changes
-- them, so that this is so at stricter isolation levels as well.
CREATE TABLE farthing_accounts (
    id BYTEA PRIMARY KEY,
    batches BIGINT NOT NULL
);

CREATE TABLE farthing_channels (
    id BYTEA PRIMARY KEY,
    account BYTEA NOT NULL,
    payer BYTEA NOT NULL,
    authorized_signer BYTEA NOT NULL,
    salt BYTEA NOT NULL,
    accepted NUMERIC(39, 0) NOT NULL,
    spent NUMERIC(39, 0) NOT NULL,
    credited NUMERIC(39, 0) NOT NULL,
    redeemed NUMERIC(39, 0) NOT NULL,
    CHECK (spent <= accepted AND credited <= spent AND credited >= 0 AND redeemed >= 0)
);
CREATE INDEX farthing_channels_by_account ON farthing_channels (account);

CREATE TABLE farthing_charges (
    channel BYTEA NOT NULL,
    cumulative_amount NUMERIC(39, 0) NOT NULL,
    signature BYTEA NOT NULL,
    price NUMERIC(39, 0) NOT NULL,
    item TEXT NOT NULL,
    authorized_signer BYTEA NOT NULL,
    request BYTEA NOT NULL,
    unearned_credit NUMERIC(39, 0) NOT NULL,
    unix_time BIGINT NOT NULL,
    PRIMARY KEY (channel, cumulative_amount)
);
CREATE INDEX farthing_charges_by_purchase ON farthing_charges (authorized_signer, request);

CREATE TABLE farthing_credits (
    channel BYTEA NOT NULL,
    cumulative_amount NUMERIC(39, 0) NOT NULL,
    amount NUMERIC(39, 0) NOT NULL,
    unix_time BIGINT NOT NULL,
    PRIMARY KEY (channel, cumulative_amount)
);

CREATE TABLE farthing_final_redemptions (
    channel BYTEA NOT NULL,
    redeemed NUMERIC(39, 0) NOT NULL,
    paid NUMERIC(39, 0) NOT NULL,
    block NUMERIC(39, 0) NOT NULL,
    unix_time BIGINT NOT NULL,
    PRIMARY KEY (channel, redeemed)
);

-- Transactions; gas and block of those that were mined.
CREATE TABLE farthing_redemptions (
    hash BYTEA PRIMARY KEY,
    sender BYTEA NOT NULL,
    nonce NUMERIC(39, 0) NOT NULL,
    max_fee_per_gas NUMERIC(39, 0) NOT NULL,
    max_priority_fee_per_gas NUMERIC(39, 0) NOT NULL,
    closes BOOLEAN NOT NULL,
    unix_time BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'mined', 'failed')),
    block NUMERIC(39, 0),
    gas_used NUMERIC(39, 0),
    gas_price NUMERIC(39, 0),
    CHECK (state <> 'mined' OR (block IS NOT NULL AND gas_used IS NOT NULL AND gas_price IS NOT NULL))
);

CREATE TABLE farthing_redemption_vouchers (
    hash BYTEA NOT NULL,
    place BIGINT NOT NULL,
    channel BYTEA NOT NULL,
    cumulative_amount NUMERIC(39, 0) NOT NULL,
    PRIMARY KEY (hash, place)
);

CREATE TABLE farthing_relayed (
    hash BYTEA PRIMARY KEY,
    request BYTEA NOT NULL,
    unix_time BIGINT NOT NULL,
    cost NUMERIC(39, 0) NOT NULL
);

CREATE TABLE farthing_relayed_last (
    request BYTEA PRIMARY KEY,
    hash BYTEA NOT NULL
);

-- Sums by UTC day, counted from 1970-01-01.
CREATE TABLE farthing_strangers (
    day BIGINT PRIMARY KEY,
    amount NUMERIC(39, 0) NOT NULL
);
CREATE TABLE farthing_relay_spent (
    day BIGINT PRIMARY KEY,
    amount NUMERIC(39, 0) NOT NULL
);
";

const SECOND: &str = "
-- Who may send. A fence of 0 is nobody's; the row is always there, so that whoever asks has something to hold.
CREATE TABLE farthing_lease (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    holder BYTEA,
    fence NUMERIC(39, 0) NOT NULL,
    until_unix_time BIGINT NOT NULL,
    CHECK ((holder IS NULL) = (fence = 0))
);
INSERT INTO farthing_lease (id, holder, fence, until_unix_time) VALUES (1, NULL, 0, 0);

-- What was mined was taken for settled until now, so it is final.
ALTER TABLE farthing_redemptions DROP CONSTRAINT farthing_redemptions_state_check;
ALTER TABLE farthing_redemptions DROP CONSTRAINT farthing_redemptions_check;
UPDATE farthing_redemptions SET state = 'final' WHERE state = 'mined';
ALTER TABLE farthing_redemptions ADD CONSTRAINT farthing_redemptions_state_check
    CHECK (state IN ('sent', 'mined', 'final', 'failed'));
ALTER TABLE farthing_redemptions ADD CONSTRAINT farthing_redemptions_figures_check
    CHECK (state IN ('sent', 'failed') OR (block IS NOT NULL AND gas_used IS NOT NULL AND gas_price IS NOT NULL));

-- As long as there are redemptions that are not settled, however many are.
CREATE INDEX farthing_redemptions_unsettled ON farthing_redemptions (hash) WHERE state IN ('sent', 'mined');
";

/// How often another gateway that makes the same tables at the same moment is given way to.
const TRIES: usize = 10;

/// After how many days a writer that has not written is forgotten: none asks after a batch for that long.
const WRITERS_ARE_KEPT: u64 = 7;

/// Brings the tables to this version, and begins the ledger if there is none.
pub(super) async fn prepare(server: &Server, identity: &LedgerIdentity) -> Result<(), StoreError> {
    let mut client = server.connect().await.map_err(|reason| server.failed(reason))?;
    let mut tries = 1;
    loop {
        match migrate(&mut client, server, identity).await {
            Err(Trouble::Sql(error)) if is_a_race(&error) && tries < TRIES => tries += 1,
            Err(Trouble::Sql(error)) => return Err(server.failed(describe(&error))),
            Err(Trouble::Store(error)) => return Err(error),
            Ok(()) => break,
        }
    }
    let before = crate::clock::now().day().saturating_sub(WRITERS_ARE_KEPT).cast_signed();
    if let Err(error) = client.execute("DELETE FROM farthing_writers WHERE day < $1", &[&before]).await {
        tracing::debug!(error = describe(&error), "old writers are still on record");
    }
    Ok(())
}

enum Trouble {
    Sql(Error),
    Store(StoreError),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

/// Two that make the same table at once fail in one of these ways, although each asked for it only if it is not there.
fn is_a_race(error: &Error) -> bool {
    let races = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    error.code().is_some_and(|code| races.contains(code))
}

async fn migrate(client: &mut Client, server: &Server, identity: &LedgerIdentity) -> Result<(), Trouble> {
    // Looked at first: a user who may only use the tables need not be able to make any.
    if !server.imports && version(client).await? == Some(VERSION) && ledger(client).await?.is_some() {
        return Ok(());
    }
    client.batch_execute(SCHEMA).await?;
    let transaction = client.transaction().await?;
    // Held until the end: whoever comes second finds nothing left to do.
    let row = transaction.query_one("SELECT version FROM farthing_schema WHERE id = 1 FOR UPDATE", &[]).await?;
    let found: i32 = row.try_get(0)?;
    let done = usize::try_from(found).ok().filter(|done| *done <= MIGRATIONS.len());
    let done = done.ok_or_else(|| Trouble::Store(other_version(server, found)))?;
    for migration in &MIGRATIONS[done..] {
        transaction.batch_execute(migration).await?;
    }
    transaction.execute("UPDATE farthing_schema SET version = $1 WHERE id = 1", &[&VERSION]).await?;
    begin(&transaction, identity).await?;
    if server.imports {
        // One that has something in it stays open to those who use it: nothing is imported into it.
        transaction.execute(CLOSE_IF_EMPTY, &[]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Begins the ledger, unless it has begun.
async fn begin(transaction: &Transaction<'_>, identity: &LedgerIdentity) -> Result<(), Error> {
    let secret: [u8; ChallengeSecret::LENGTH_MIN] = rand::random();
    let chain_id = Numeric(Amount::new(identity.deployment.chain_id.into()));
    let begin = "INSERT INTO farthing_ledger (id, chain_id, escrow, payee, token, challenge_secret, importing)
        VALUES (1, $1, $2, $3, $4, $5, FALSE) ON CONFLICT (id) DO NOTHING";
    let (escrow, payee) = (identity.deployment.escrow, identity.payee);
    let addresses = [escrow.as_slice(), payee.as_slice(), identity.token.as_slice()];
    transaction.execute(begin, &[&chain_id, &addresses[0], &addresses[1], &addresses[2], &secret.as_slice()]).await?;
    Ok(())
}

const CLOSE_IF_EMPTY: &str = "UPDATE farthing_ledger SET importing = TRUE WHERE id = 1
    AND NOT EXISTS (SELECT 1 FROM farthing_channels)
    AND NOT EXISTS (SELECT 1 FROM farthing_redemptions)
    AND NOT EXISTS (SELECT 1 FROM farthing_relayed)";

/// Opens an imported ledger to everybody.
pub(super) async fn finish_import(client: &Client) -> Result<(), Error> {
    client.execute("UPDATE farthing_ledger SET importing = FALSE WHERE id = 1", &[]).await?;
    Ok(())
}

/// How many migrations the database has seen; nothing if it has never been a ledger.
async fn version(client: &Client) -> Result<Option<i32>, Error> {
    match client.query_opt("SELECT version FROM farthing_schema WHERE id = 1", &[]).await {
        Ok(row) => row.map(|row| row.try_get(0)).transpose(),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn ledger(client: &Client) -> Result<Option<Row>, Error> {
    let query = "SELECT chain_id, escrow, payee, token, importing FROM farthing_ledger WHERE id = 1";
    match client.query_opt(query, &[]).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        result => result,
    }
}

/// Makes sure that a connection leads to the ledger that was asked for, in this program's schema.
pub(super) async fn check(client: &Client, server: &Server, identity: &LedgerIdentity) -> Result<(), NoSession> {
    let lost = |error: Error| NoSession::Unreachable(describe(&error));
    let found = version(client).await.map_err(lost)?.unwrap_or_default();
    if found != VERSION {
        return Err(NoSession::Refused(other_version(server, found)));
    }
    let row = ledger(client).await.map_err(lost)?;
    let row = row.ok_or_else(|| NoSession::Refused(server.failed("it holds no ledger")))?;
    let found =
        identity_of(&row).ok_or_else(|| NoSession::Refused(server.failed("its ledger's identity is damaged")))?;
    if row.try_get::<_, bool>(4).map_err(lost)? && !server.imports {
        let reason = "a ledger is imported into it, or an import did not end: then drop its tables and import again";
        return Err(NoSession::Refused(server.failed(reason)));
    }
    if found == *identity {
        return Ok(());
    }
    let (found, expected) = (Box::new(found), Box::new(*identity));
    Err(NoSession::Refused(StoreError::OtherLedger { path: server.to_string(), found, expected }))
}

fn identity_of(row: &Row) -> Option<LedgerIdentity> {
    let Numeric(chain_id) = row.try_get(0).ok()?;
    let address = |index: usize| Address::try_from(row.try_get::<_, &[u8]>(index).ok()?).ok();
    let deployment = Deployment { chain_id: chain_id.base_units().try_into().ok()?, escrow: address(1)? };
    Some(LedgerIdentity { deployment, payee: address(2)?, token: address(3)? })
}

fn other_version(server: &Server, found: i32) -> StoreError {
    let found = found.try_into().unwrap_or_default();
    StoreError::Schema { path: server.to_string(), found, expected: VERSION as u32 }
}
