//! Where the ledger's PostgreSQL is, and how to get a connection that is worth writing a ledger through.

use super::super::store::StoreError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long one host may take to give a connection; the next one is asked after that.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// What every connection is set to. No statement waits for ever, and one that waits for another gateway's batch gives
/// way first. A gateway that is cut off in the middle of a batch is let go, and with it the accounts that it holds.
const SETTINGS: &str = "
SET statement_timeout = '4s';
SET lock_timeout = '3s';
SET idle_in_transaction_session_timeout = '10s';
";

/// A ledger begins with empty tables, and reading all of a table is the best plan for an empty one. What is prepared
/// then would go on like that for as long as a minute after the table has grown.
const PLANS: &str = "SET enable_seqscan = off";

/// The URL of a database: `postgres://user:password@host:port/database`, with several hosts if one may take the place
/// of another. Its password is never shown.
#[derive(Clone)]
pub struct PostgresUrl {
    /// One for each host, in the order in which they are asked.
    hosts: Vec<Config>,
    /// Whose certificates are trusted, if not those of the platform.
    root_certificates: Option<PathBuf>,
    shown: String,
}

/// Thrown when a text is no URL of a database. It does not repeat the text, which holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresUrlError {
    /// Not such a URL at all.
    #[error("a PostgreSQL URL is postgres://user:password@host/database, with special characters percent-encoded")]
    Malformed,
    /// An option that PostgreSQL's own clients take and this does not, or not so.
    #[error("{0}")]
    Option(&'static str),
    /// No host, or no database.
    #[error("the PostgreSQL URL names no {0}")]
    Missing(&'static str),
}

impl PostgresUrl {
    /// Whether it has a password in it, which must not be where others can read it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.hosts.iter().any(|host| host.get_password().is_some())
    }

    /// The same with this password, if it has none.
    #[must_use]
    pub fn or_password(mut self, password: &str) -> Self {
        for host in self.hosts.iter_mut().filter(|host| host.get_password().is_none()) {
            host.password(password);
        }
        self
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgresUrl({})", self.shown)
    }
}

/// Hosts and database, without user and password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(PostgresUrlError::Malformed);
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut ours = OwnOptions::default();
        let mut kept = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            if !ours.take(option)? {
                kept.push(option);
            }
        }
        let all = format!("{base}?{}", kept.join("&"));
        let all: Config = all.trim_end_matches('?').parse().map_err(|_| PostgresUrlError::Malformed)?;
        let database = all.get_dbname().ok_or(PostgresUrlError::Missing("database"))?.to_owned();
        let hosts = one_by_one(&all, ours.ssl_mode)?;
        let names: Vec<String> = hosts.iter().map(shown_host).collect();
        let shown = format!("postgres://{}/{database}", names.join(","));
        Ok(Self { hosts, root_certificates: ours.root_certificates, shown })
    }
}

/// The options of a URL that are not left to the driver.
#[derive(Default)]
struct OwnOptions {
    ssl_mode: Option<SslMode>,
    root_certificates: Option<PathBuf>,
}

impl OwnOptions {
    /// Whether the option was one of these.
    fn take(&mut self, option: &str) -> Result<bool, PostgresUrlError> {
        let (name, value) = option.split_once('=').ok_or(PostgresUrlError::Malformed)?;
        match name {
            "sslmode" => self.ssl_mode = Some(ssl_mode(value)?),
            "sslrootcert" => {
                let path = percent_encoding::percent_decode_str(value).decode_utf8();
                self.root_certificates = Some(path.map_err(|_| PostgresUrlError::Malformed)?.into_owned().into());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A certificate is checked whenever there is one: encrypting for whoever listens is no protection. So `require` is
/// what PostgreSQL's own clients call `verify-full`.
fn ssl_mode(value: &str) -> Result<SslMode, PostgresUrlError> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-full" => Ok(SslMode::Require),
        _ => Err(PostgresUrlError::Option("sslmode is disable, prefer, require or verify-full")),
    }
}

/// One configuration for each host. The driver would go through them by itself, but give none of them up for a silent
/// one.
fn one_by_one(all: &Config, ssl_mode: Option<SslMode>) -> Result<Vec<Config>, PostgresUrlError> {
    let hosts = all.get_hosts();
    if hosts.is_empty() {
        return Err(PostgresUrlError::Missing("host"));
    }
    if !all.get_hostaddrs().is_empty() {
        return Err(PostgresUrlError::Option("hostaddr is not supported; name the address as the host"));
    }
    let is_local = hosts.iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        Host::Unix(_) => true,
    });
    let ssl_mode = ssl_mode.unwrap_or(if is_local { SslMode::Disable } else { SslMode::Require });
    let ports = all.get_ports();
    let each = hosts.iter().enumerate().map(|(index, host)| {
        let mut one = Config::new();
        match host {
            Host::Tcp(name) => one.host(name),
            Host::Unix(path) => one.host_path(path),
        };
        let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5_432);
        one.port(port).ssl_mode(ssl_mode).target_session_attrs(TargetSessionAttrs::ReadWrite);
        copy_settings(all, &mut one);
        one
    });
    Ok(each.collect())
}

/// Whatever a URL says of all of its hosts.
fn copy_settings(all: &Config, one: &mut Config) {
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(database) = all.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    one.application_name(all.get_application_name().unwrap_or("farthing"));
    one.ssl_negotiation(all.get_ssl_negotiation()).channel_binding(all.get_channel_binding());
    one.connect_timeout(all.get_connect_timeout().copied().unwrap_or(CONNECT_WITHIN));
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
}

fn shown_host(host: &Config) -> String {
    let port = host.get_ports().first().copied().unwrap_or_default();
    match host.get_hosts().first() {
        Some(Host::Tcp(name)) => format!("{name}:{port}"),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    }
}

/// A server, and how its certificate is checked.
#[derive(Clone)]
pub(super) struct Server {
    url: PostgresUrl,
    /// Nothing if no host is to be asked for TLS.
    tls: Option<MakeRustlsConnect>,
    /// Whether a ledger is imported, which nobody else may use meanwhile.
    pub(super) imports: bool,
    /// The place of the host that was connected to last. It is asked first: the others are standbys, or gone.
    last: Arc<AtomicUsize>,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(formatter)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(formatter)
    }
}

impl Server {
    pub(super) fn new(url: PostgresUrl, imports: bool) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Failed { path: url.shown.clone(), reason };
        let is_asked_for = url.hosts.iter().any(|host| host.get_ssl_mode() != SslMode::Disable);
        let tls = is_asked_for.then(|| tls(url.root_certificates.as_deref())).transpose().map_err(failed)?;
        Ok(Self { url, tls, imports, last: Arc::default() })
    }

    pub(super) fn failed(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Failed { path: self.url.shown.clone(), reason: reason.into() }
    }

    /// Connects to the first host that answers and takes writes.
    ///
    /// # Errors
    ///
    /// Why each of them did not.
    pub(super) async fn connect(&self) -> Result<Client, String> {
        let mut reasons = Vec::new();
        let hosts = self.url.hosts.iter().enumerate();
        for (place, host) in hosts.cycle().skip(self.last.load(Ordering::Relaxed)).take(self.url.hosts.len()) {
            let reason = match timeout(CONNECT_WITHIN, self.connect_to(host)).await {
                Ok(Ok(client)) => {
                    self.last.store(place, Ordering::Relaxed);
                    return Ok(client);
                }
                Ok(Err(reason)) => reason,
                Err(_) => format!("no connection within {} s", CONNECT_WITHIN.as_secs()),
            };
            reasons.push(if self.url.hosts.len() > 1 { format!("{}: {reason}", shown_host(host)) } else { reason });
        }
        Err(reasons.join("; "))
    }

    async fn connect_to(&self, host: &Config) -> Result<Client, String> {
        let client = self.open(host).await.map_err(|error| describe(&error))?;
        client.batch_execute(SETTINGS).await.map_err(|error| describe(&error))?;
        // An engine that plans otherwise does not know it.
        if let Err(error) = client.batch_execute(PLANS).await
            && error.code() != Some(&SqlState::UNDEFINED_OBJECT)
        {
            return Err(describe(&error));
        }
        demand_durability(&client).await?;
        Ok(client)
    }

    /// The connection's own task ends when the client is dropped; whoever uses the client is told what went wrong.
    async fn open(&self, host: &Config) -> Result<Client, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = host.connect(tls.clone()).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = host.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }
}

/// A charge that is acknowledged must be on a disk: sets what a session can set, and refuses a server that does not
/// sync its disk. An engine without such a setting has nothing to turn off.
async fn demand_durability(client: &Client) -> Result<(), String> {
    if setting(client, "fsync").await?.as_deref() == Some("off") {
        return Err("fsync is off, so a charge could be lost; turn it on".to_owned());
    }
    // Stricter than `on` is good as well: then a standby has not only stored but applied a commit.
    if setting(client, "synchronous_commit").await?.is_some_and(|value| value != "on" && value != "remote_apply") {
        let set = client.batch_execute("SET synchronous_commit = on").await;
        set.map_err(|error| describe(&error))?;
    }
    Ok(())
}

async fn setting(client: &Client, name: &str) -> Result<Option<String>, String> {
    match client.query_one(&format!("SHOW {name}"), &[]).await {
        Ok(row) => Ok(row.try_get(0).ok()),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(None),
        Err(error) => Err(describe(&error)),
    }
}

/// An error in the server's own words where it has any; the driver's own are only "db error".
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} ({})", database.message(), database.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// How certificates are checked: by the platform, or against those in a file.
fn tls(root_certificates: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS can't be set up: {error}"))?;
    let builder = match root_certificates {
        None => builder.with_platform_verifier().map_err(|error| format!("TLS can't be set up: {error}"))?,
        Some(path) => builder.with_root_certificates(read_certificates(path)?),
    };
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

fn read_certificates(path: &Path) -> Result<RootCertStore, String> {
    let unusable = |error: String| format!("the certificates in {} can't be used: {error}", path.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there are none".to_owned()));
    }
    Ok(roots)
}
