//! One of several gateways: this test binary once more, in a process that can be stopped and killed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};

/// What the process is told.
const TASK: &str = "FARTHING_TEST_GATEWAY";
const SAYS: &str = "gateway: ";

/// What this process was told, if it is one of them. It ends with whoever started it.
pub(super) fn task() -> Option<String> {
    let task = std::env::var(TASK).ok()?;
    // Whoever started it holds the other end.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    Some(task)
}

/// Says something to whoever started this process.
pub(super) fn say(what: std::fmt::Arguments<'_>) {
    println!("{SAYS}{what}");
}

/// A process, and the thread that hears it.
pub(super) struct Process {
    child: Child,
    _tether: ChildStdin,
    hearing: Option<std::thread::JoinHandle<()>>,
}

impl Process {
    /// Starts one that runs a test, which is ignored otherwise.
    pub(super) fn start(test: &str, task: &str, mut hear: impl FnMut(&str) + Send + 'static) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--ignored", "--nocapture"]).env(TASK, task);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let hearing = std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once(SAYS) {
                    hear(said);
                }
            }
        });
        let tether = child.stdin.take().unwrap();
        Self { child, _tether: tether, hearing: Some(hearing) }
    }

    /// Stops it where it is.
    pub(super) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let signal = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &signal]).status().unwrap().success());
    }

    /// SIGKILL, and until the last of what it said is heard.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if let Some(hearing) = self.hearing.take() {
            hearing.join().unwrap();
        }
    }
}
