//! A local chain with an escrow and a dollar, people with wallets, and shops.

use farthing::chain::Chain;
use farthing::core::{Address, Amount, Token};
use farthing::local_chain::{LocalChain, deploy_demo_dollar, mint_demo_dollars};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// In no output, ever: every run is searched for it.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// What every wallet starts with, in base units: $100.
pub(crate) const DOLLARS: u128 = 100_000_000;

/// An anvil with an escrow and a dollar.
pub(crate) struct World {
    pub(crate) local: LocalChain,
    pub(crate) chain: Chain,
    pub(crate) token: Token,
    pub(crate) folder: TempDir,
}

/// Somebody with a wallet.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) home: PathBuf,
    pub(crate) address: Address,
    /// The database that keeps the ledger, if it is not a file.
    pub(crate) store: Option<String>,
    password_file: PathBuf,
    rpc_url: String,
    token: Address,
}

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running `farthing serve`; killed when dropped.
pub(crate) struct Shop {
    process: Child,
    pub(crate) url: String,
    pub(crate) ready: Value,
}

/// The binary, without anything that the environment could tell it.
pub(crate) fn farthing() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end, and makes sure that it told no secret.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let ran = Ran {
        code: output.status.code().expect("an exit code"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(PASSWORD), "the password was told");
    ran
}

impl Ran {
    /// The one JSON object of a command that succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "one object on one line: {self:?}");
        serde_json::from_str(&self.stdout).expect("JSON")
    }

    /// The text of a command that succeeded.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout.trim_end()
    }

    /// The message of a command that failed with this code, in its lines for people and in its JSON.
    pub(crate) fn failed(&self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("error: "));
        let line = line.unwrap_or_else(|| panic!("no error line: {self:?}"));
        assert!(self.stderr.lines().any(|line| line.starts_with("hint: ")), "no hint: {self:?}");
        if !self.stdout.is_empty() {
            let error: Value = serde_json::from_str(&self.stdout).expect("JSON");
            assert_eq!(error["error"]["code"], code, "{self:?}");
            assert!(error["error"]["message"].is_string() && error["error"]["hint"].is_string(), "{self:?}");
        }
        line.to_owned()
    }
}

/// An amount in a JSON object.
pub(crate) fn amount(value: &Value) -> u128 {
    value.as_str().expect("a decimal string").parse().expect("digits")
}

impl World {
    /// Starts anvil, deploys the dollar. With `block_seconds` blocks become final by themselves.
    pub(crate) async fn start(block_seconds: Option<u64>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let local = LocalChain::start(&LocalChain::anvil_in(&root), block_seconds).await.expect("anvil starts");
        let chain = local.connect(LocalChain::test_key(0)).await.expect("it answers");
        let (token, _) = deploy_demo_dollar(&chain).await.expect("the dollar is deployed");
        let folder = tempfile::Builder::new().prefix("farthing").tempdir().expect("a folder");
        Self { local, chain, token, folder }
    }

    /// A chain that has the escrow as well.
    pub(crate) async fn with_escrow(block_seconds: Option<u64>) -> Self {
        let world = Self::start(block_seconds).await;
        farthing::escrow::deploy(&world.chain, farthing::escrow::EXIT_DELAY_DEFAULT).await.expect("deploys");
        world
    }

    /// Somebody with a wallet, ten ether and a hundred dollars.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let person = self.pauper(name);
        self.local.give_ether(&self.chain, person.address, Amount::new(10_u128.pow(19))).await.expect("ether");
        mint_demo_dollars(&self.chain, self.token.address, person.address, Amount::new(DOLLARS))
            .await
            .expect("dollars");
        person
    }

    /// Somebody with a wallet and nothing in it.
    pub(crate) fn pauper(&self, name: &str) -> Person {
        let home = self.folder.path().join(name);
        let password_file = self.folder.path().join(format!("{name}.password"));
        std::fs::write(&password_file, format!("{PASSWORD}\n")).expect("writes");
        let (rpc_url, token) = (self.local.url().to_string(), self.token.address);
        let mut person = Person { home, address: Address::ZERO, store: None, password_file, rpc_url, token };
        let made = person.run(&["--json", "wallet", "new"]).json();
        person.address = made["address"].as_str().expect("an address").parse().expect("an address");
        person
    }

    /// A creator's folder with two songs at $0.50, and what else its catalog says.
    pub(crate) fn creators_folder(&self, name: &str, more: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut catalog = "name = \"Test Records\"\n".to_owned();
        for song in ["nocturne", "minuet"] {
            std::fs::write(folder.join(format!("{song}.wav")), song_bytes(song)).expect("writes");
            catalog += &format!(
                "[[item]]\npath = \"/songs/{song}\"\nfile = \"{song}.wav\"\ntitle = \"{song}\"\nprice = \"$0.50\"\n"
            );
        }
        std::fs::write(folder.join("catalog.toml"), catalog + more).expect("writes");
        folder
    }
}

/// What a song is.
pub(crate) fn song_bytes(song: &str) -> Vec<u8> {
    song.bytes().cycle().take(20_000).collect()
}

impl Person {
    /// The binary, with everything named by the environment, as a person would.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = farthing();
        command.env("FARTHING_HOME", &self.home).env("ETH_PASSWORD", &self.password_file);
        command.env("ETH_RPC_URL", &self.rpc_url);
        if let Some(store) = &self.store {
            command.env("FARTHING_STORE", store);
        }
        command.env("FARTHING_TOKEN", self.token.to_string()).env("FARTHING_DOLLAR", "true");
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let ran = run(&mut self.command(arguments));
        self.assert_no_key(&ran);
        ran
    }

    /// What is on standard output and error, as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[&["--json"], arguments].concat()).json()
    }

    pub(crate) fn keystore(&self) -> PathBuf {
        self.home.join("wallet.json")
    }

    /// Takes the payer's store away, and what is beside it.
    pub(crate) fn lose_records(&self) {
        let files = std::fs::read_dir(&self.home).expect("lists").flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("payer."));
        let removed = files.map(|file| std::fs::remove_file(file.path()).expect("removes")).count();
        assert!(removed > 0, "there were no records");
    }

    fn assert_no_key(&self, ran: &Ran) {
        if !self.keystore().exists() || !self.password_file.exists() {
            return;
        }
        let Ok(key) = farthing::PrivateKeySigner::decrypt_keystore(self.keystore(), PASSWORD) else { return };
        let key = format!("{:x}", key.to_bytes());
        assert_eq!(key.len(), 64);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(&key), "the key was told");
    }

    /// Opens a shop and waits until it is ready.
    pub(crate) fn serve(&self, folder: &Path, more: &[&str]) -> Shop {
        self.serve_and_log(folder, more, Stdio::inherit())
    }

    /// The same, with its log elsewhere.
    pub(crate) fn serve_and_log(&self, folder: &Path, more: &[&str], log: impl Into<Stdio>) -> Shop {
        Shop::open(self.serving(folder, more), log).unwrap_or_else(|status| panic!("the shop is not ready: {status}"))
    }

    /// The command that opens a shop.
    pub(crate) fn serving(&self, folder: &Path, more: &[&str]) -> Command {
        let folder = folder.to_str().expect("UTF-8");
        let mut command = self.command(&["--json", "serve", folder, "--poll-seconds", "1"]);
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(more);
        command
    }
}

impl Shop {
    /// Runs a command that opens a shop, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// How it ended, if it did so before.
    pub(crate) fn open(mut command: Command, log: impl Into<Stdio>) -> Result<Self, ExitStatus> {
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        // A test that serves is announced by the harness first.
        let mut lines = lines.map(|line| line.expect("reads")).filter(|line| line.starts_with('{'));
        let ready = lines.next().and_then(|line| serde_json::from_str::<Value>(&line).ok());
        let ready = ready.filter(|ready| ready["error"].is_null());
        let Some(ready) = ready else { return Err(process.wait().expect("waits")) };
        Ok(Self { process, url: ready["url"].as_str().unwrap_or_else(|| panic!("{ready}")).to_owned(), ready })
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("kills");
        self.process.wait().expect("waits");
    }

    /// Asks it to stop with SIGTERM, and returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let stopped = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().expect("kill runs");
        assert!(stopped.success());
        self.process.wait().expect("waits").code().expect("it ended by itself")
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("http")
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
