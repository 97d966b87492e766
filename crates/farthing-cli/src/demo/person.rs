//! A person of the demo: a home of its own, and the `farthing` command as anyone would run it.

use crate::failure::{Code, Failure};
use farthing::core::{Address, Amount};
use farthing::local_chain::tethered;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// One transaction of a command's `--json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    /// Gas it used.
    pub(super) gas_used: u64,
}

/// A person with a wallet.
#[derive(Debug)]
pub(super) struct Person {
    /// Who, for messages.
    pub(super) name: &'static str,
    /// The wallet's address.
    pub(super) address: Address,
    program: PathBuf,
    home: PathBuf,
    environment: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
struct NewWallet {
    address: Address,
}

impl Person {
    /// Makes a home and a new wallet in it. The password lies in a file, as `cast` wants it: never on a command line.
    pub(super) async fn new(name: &'static str, home: &Path, rpc_url: &str) -> Result<Self, Failure> {
        fs::create_dir_all(home).map_err(|error| Failure::file(home, &error))?;
        let password = home.join("password");
        fs::write(&password, format!("{:032x}", rand::random::<u128>()))
            .map_err(|error| Failure::file(&password, &error))?;
        let program = std::env::current_exe().map_err(|error| Failure::new(Code::Unexpected, error))?;
        // Nothing of the caller's own settings may leak into the demo, or the demo into the caller's home.
        let environment = BTreeMap::from([
            ("HOME", home.display().to_string()),
            ("FARTHING_HOME", home.display().to_string()),
            ("ETH_PASSWORD", password.display().to_string()),
            ("ETH_RPC_URL", rpc_url.to_owned()),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
        ]);
        let mut person = Self { name, address: Address::ZERO, program, home: home.to_owned(), environment };
        person.address = person.run::<NewWallet>(&["wallet", "new"]).await?.address;
        Ok(person)
    }

    /// Sets an environment variable for all further commands.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.insert(name, value.into());
    }

    /// A path in this person's home.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Runs a command with `--json` and reads what it prints.
    pub(super) async fn run<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, Failure> {
        let failed = |reason: String| {
            let command = arguments.join(" ");
            Failure::new(Code::Unexpected, format!("{}: farthing {command}: {reason}", self.name))
        };
        let output = Command::new(&self.program)
            .args(arguments)
            .arg("--json")
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| failed(String::from_utf8_lossy(&output.stderr).into_owned()))?;
        if !output.status.success() {
            return Err(failed(answer["error"]["message"].to_string()));
        }
        serde_json::from_value(answer).map_err(|error| failed(format!("unexpected answer: {error}")))
    }
}

/// What `farthing serve --json` prints when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
}

/// A creator's running gateway. It ends when this is dropped, and when this process ends in any way.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Where it serves.
    pub(super) url: String,
    process: Child,
}

impl Gateway {
    /// Starts `farthing serve` for a payee over a folder, on a free port.
    pub(super) async fn start(person: &Person, payee: Address, folder: &Path) -> Result<Self, Failure> {
        let failed = |reason: String| {
            Failure::new(Code::Unexpected, format!("{}: farthing serve: {}", person.name, reason.trim()))
        };
        let mut process = tethered(&person.program)
            .arg("serve")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0", "--poll-seconds", "1", "--json"])
            .args(["--payee", &payee.to_string()])
            .env_clear()
            .envs(&person.environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let (Some(stdout), Some(mut stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(failed("its output can't be read".to_owned()));
        };
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).await;
        let Ok(ready) = serde_json::from_str::<Ready>(&line) else {
            let mut talk = String::new();
            let _ = stderr.read_to_string(&mut talk).await;
            return Err(failed(if talk.is_empty() { format!("{read:?} {line}") } else { talk }));
        };
        // Its log must go somewhere, or a full pipe would stop it.
        tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        Ok(Self { url: ready.url, process })
    }

    /// Kills it with SIGKILL, as a crash would, and waits until it is gone.
    pub(super) async fn kill(mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait().await;
    }
}

/// Reads the field of a JSON object that holds an amount.
pub(super) fn amount(value: &Value, field: &str) -> Result<Amount, Failure> {
    let text = value[field].as_str().unwrap_or_default();
    text.parse().map_err(|_| Failure::new(Code::Unexpected, format!("no amount in {field} of {value}")))
}
