//! Real processes: this test binary, run again as another payer.

use super::{payer_at, plenty};
use farthing::PrivateKeySigner;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const TASK: &str = "FARTHING_TEST_CHILD";
const SAYS: &str = "child: ";

/// A payer in a process of its own. It ends with its parent's handle.
pub(super) struct Process {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Fetches URLs one after the other, without limits unless `limited`.
    pub(super) fn fetching(store: &Path, key: &PrivateKeySigner, urls: &[String], limited: bool) -> Self {
        Self::spawn(&[], &fetching(store, key, urls, limited))
    }

    /// The same, killed by strace as it enters the nth of these system calls; `None` if there is no strace.
    pub(super) fn fetching_until(
        nth: usize,
        calls: &str,
        store: &Path,
        key: &PrivateKeySigner,
        urls: &[String],
    ) -> Option<Self> {
        Command::new("strace").arg("-V").stdout(Stdio::null()).status().ok()?;
        let trace = format!("trace={calls}");
        let inject = format!("inject={calls}:signal=KILL:when={nth}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", trace.as_str(), "-e", inject.as_str()];
        Some(Self::spawn(&strace, &fetching(store, key, urls, false)))
    }

    /// Opens the store and never lets go of it.
    pub(super) fn holding(store: &Path) -> Self {
        Self::spawn(&[], &json!({ "store": store, "hold": true }))
    }

    fn spawn(wrapper: &[&str], task: &Value) -> Self {
        let program = std::env::current_exe().expect("this binary");
        let arguments = ["payer::child::another_process", "--exact", "--ignored", "--nocapture"];
        let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]).chain(arguments.map(OsStr::new));
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).env(TASK, task.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let output = BufReader::new(child.stdout.take().expect("is piped")).lines();
        Self { child, output }
    }

    /// SIGKILL: nothing in it gets a chance to clean up.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it says next, until it said so many things or ended.
    pub(super) fn hear(&mut self, most: usize) -> Vec<String> {
        let lines = self.output.by_ref().map_while(Result::ok);
        // Behind the name of the test, the first line starts in its middle.
        let said = lines.filter_map(|line| line.split_once(SAYS).map(|(_, said)| said.to_owned()));
        said.take(most).collect()
    }
}

fn fetching(store: &Path, key: &PrivateKeySigner, urls: &[String], limited: bool) -> Value {
    let key = alloy::primitives::hex::encode(key.to_bytes());
    json!({ "store": store, "key": key, "urls": urls, "limited": limited })
}

fn say(what: &str) {
    // Acknowledged to the parent only when it is out of this process.
    println!("{SAYS}{what}");
    std::io::stdout().flush().expect("the parent listens");
}

#[tokio::test]
#[ignore = "runs as a child of other tests"]
async fn another_process() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task: Value = serde_json::from_str(&task.to_string_lossy()).expect("a task");
    let store = task["store"].as_str().expect("a path");
    if task["hold"] == true {
        let database = redb::Database::open(store).expect("opens");
        let transaction = database.begin_write().expect("begins");
        say("holding");
        std::thread::sleep(std::time::Duration::from_secs(60));
        drop(transaction);
        return;
    }
    let signer: PrivateKeySigner = task["key"].as_str().and_then(|key| key.parse().ok()).expect("a key");
    let limited = task["limited"] == true;
    let payer = payer_at(store.into(), signer, |options| {
        if !limited {
            plenty(options)
        }
    })
    .await;
    for url in task["urls"].as_array().expect("URLs") {
        let url = url.as_str().expect("a URL");
        match payer.fetch(url).await {
            Ok(_) => say(&format!("bought {url}")),
            Err(error) => say(&format!("refused {url}: {error}")),
        }
    }
}
