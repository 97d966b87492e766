//! What a gateway has on its disk when it begins to answer: its system calls, as strace sees them, played back into the
//! file that a power cut would have left at that moment.

mod faults;
mod hasty;
mod trace;

use crate::crash::{self, CREDIT};
use crate::world::{Person, Shop, World};
use farthing::core::wire::SignedReceipt;
use farthing::core::{Amount, Deployment};
use farthing::payee::{EmbeddedStore, LedgerIdentity, PayeeStore};
use farthing::payer::{FetchOptions, Payer};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use trace::{Call, Phase, PowerCut};

/// How many buy at the same time, and how often each.
const BUYERS: usize = 5;
const EACH: usize = 6;

/// What a song costs, in base units.
const PRICE: u128 = 50_000;

/// The same command, made by strace.
fn under_strace(arguments: &[&str], inner: &Command) -> Command {
    let mut command = Command::new("strace");
    // As a grandchild, so that the gateway stays our child, with its exit code and its signals.
    command.env_clear().args(["-D", "-f", "-q"]).args(arguments);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The same command, with all that it writes and syncs on record.
fn recorded(record: &Path, inner: &Command) -> Command {
    let calls = format!("trace={}", trace::CALLS);
    let record = record.to_str().expect("UTF-8");
    under_strace(&["-o", record, "-yy", "-xx", "-s", "100000000", "-e", &calls], inner)
}

/// What strace wrote down about a process, once it has seen its end.
fn read_record(record: &Path, process: u32) -> String {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(record).expect("reads");
        let ended = |line: &&str| line.split(' ').next() == Some(&process.to_string()) && line.contains(" +++ ");
        // The last line may be half written.
        if text.ends_with('\n') && text.lines().rev().take(50).any(|line| ended(&line)) {
            return text;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "strace does not see the end of {process}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a gateway answered while it was recorded.
#[derive(Debug, Default)]
struct Seen {
    /// The receipts that it began to send, each with whether its charge would have outlived a power cut at that moment.
    answers: Vec<(SignedReceipt, bool)>,
    /// How often it sent content without a receipt in front.
    bare: usize,
    /// How often it synced its ledger.
    syncs: usize,
}

impl Seen {
    fn durable(&self) -> usize {
        self.answers.iter().filter(|(_, durable)| *durable).count()
    }

    fn amounts(&self) -> BTreeSet<Amount> {
        self.answers.iter().map(|(receipt, _)| receipt.receipt.cumulative_amount).collect()
    }
}

/// Plays a record back. At the first byte of each answer the power is cut.
async fn play(record: &str, mut ledger: [PowerCut; 3], identity: &LedgerIdentity) -> Seen {
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = Seen::default();
    let mut with_receipt: HashMap<String, bool> = HashMap::new();
    let mut opened: Option<(usize, Option<EmbeddedStore>)> = None;
    for step in trace::parse(record) {
        if let Phase::Begins(call) = &step.phase
            && !call.what.starts_with('/')
        {
            if call.bytes.starts_with(b"HTTP/1.1 ") {
                let receipt = receipt_in(call);
                with_receipt.insert(call.what.clone(), receipt.is_some());
                if let Some(receipt) = receipt {
                    let version: usize = ledger.iter().map(|file| file.version).sum();
                    if opened.as_ref().is_none_or(|(opened, _)| *opened != version) {
                        opened = Some((version, open(&folder.path().join(version.to_string()), &ledger, identity)));
                    }
                    let store = opened.as_ref().and_then(|(_, store)| store.as_ref());
                    let durable = is_charged(store, &receipt).await;
                    seen.answers.push((receipt, durable));
                }
            }
            if is_content(call) && with_receipt.get(&call.what) != Some(&true) {
                seen.bare += 1;
            }
        }
        ledger.iter_mut().for_each(|file| file.follow(&step));
    }
    seen.syncs = ledger.iter().map(|file| file.syncs).sum();
    seen
}

/// What a ledger is in: its tables, and the journal before them.
const EXTENSIONS: [&str; 3] = ["redb", "journal-0", "journal-1"];

/// The files of a ledger that does not exist when a trace begins.
fn files(ledger: &Path) -> [PowerCut; 3] {
    EXTENSIONS.map(|extension| PowerCut::new(&ledger.with_extension(extension)))
}

/// Opens what is left after a power cut, if it is a ledger.
fn open(folder: &Path, ledger: &[PowerCut; 3], identity: &LedgerIdentity) -> Option<EmbeddedStore> {
    std::fs::create_dir(folder).expect("a folder");
    let path = folder.join("ledger.redb");
    for (extension, file) in EXTENSIONS.into_iter().zip(ledger) {
        std::fs::write(path.with_extension(extension), file.durable()).expect("writes");
    }
    EmbeddedStore::open(&path, identity).ok()
}

async fn is_charged(store: Option<&EmbeddedStore>, receipt: &SignedReceipt) -> bool {
    let Some(store) = store else { return false };
    let receipt = &receipt.receipt;
    let charge = store.charge(receipt.channel_id, receipt.cumulative_amount).await.expect("reads");
    charge.is_some_and(|charge| charge.item == receipt.item && charge.price == receipt.price)
}

fn receipt_in(call: &Call) -> Option<SignedReceipt> {
    let end = call.bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = std::str::from_utf8(&call.bytes[..end]).expect("a head");
    let field = head.split("\r\n").find_map(|line| line.strip_prefix("payment-receipt: "))?;
    Some(SignedReceipt::from_header(field).expect("a receipt"))
}

/// Whether it sends a part of a song; or something that can't be seen, which would prove nothing.
fn is_content(call: &Call) -> bool {
    let blind = ["sendfile", "splice", "copy_file_range", "io_uring_enter", "sendmmsg"];
    assert!(!blind.contains(&call.name.as_str()), "what {} sends can't be seen", call.name);
    ["nocturnenocturne", "minuetminuet"].iter().any(|part| {
        let mut windows = call.bytes.windows(part.len());
        windows.any(|window| window == part.as_bytes())
    })
}

/// Buys songs with several hands, and returns what the receipts say.
async fn buy_all(payer: &Payer, url: &str) -> BTreeSet<Amount> {
    let mut buyers = tokio::task::JoinSet::new();
    for buyer in 0..BUYERS {
        let (payer, song) = (payer.clone(), ["nocturne", "minuet"][buyer % 2]);
        let url = format!("{url}/songs/{song}");
        buyers.spawn(async move {
            let mut bought = Vec::new();
            for _ in 0..EACH {
                bought.push(buy(&payer, &url, true).await.expect("sells"));
            }
            bought
        });
    }
    buyers.join_all().await.into_iter().flatten().collect()
}

/// Buys a song, hears it to its end, and returns the total that its voucher came to.
async fn buy(payer: &Payer, url: &str, buy_again: bool) -> Result<Amount, farthing::payer::PayerError> {
    let options = FetchOptions { buy_again, ..FetchOptions::default() };
    let mut purchase = payer.fetch_with(url, &options).await?;
    let receipt = purchase.receipt.take().expect("a receipt");
    let mut content = Vec::new();
    while let Some(chunk) = purchase.body.chunk().await.expect("reads") {
        content.extend_from_slice(&chunk);
    }
    let song = url.rsplit('/').next().expect("a song");
    assert_eq!(content, crate::world::song_bytes(song));
    Ok(receipt.receipt.cumulative_amount)
}

/// A creator with two songs, a listener with a deposit, and the ledger between them.
struct Stage {
    world: World,
    creator: Person,
    folder: PathBuf,
    payer: Payer,
    identity: LedgerIdentity,
}

impl Stage {
    async fn new() -> Self {
        let world = World::with_escrow(None).await;
        let (listener, creator) = (world.person("listener").await, world.person("creator").await);
        let folder = world.creators_folder("records", CREDIT);
        // Cheap, so that the deposit is enough for many.
        let catalog = folder.join("catalog.toml");
        let cheap = std::fs::read_to_string(&catalog).expect("reads").replace("$0.50", "$0.05");
        std::fs::write(&catalog, cheap).expect("writes");
        listener.json(&["deposit", "90"]);
        let payer = crash::payer(&world, &listener).await;
        let escrow = farthing::escrow::genuine_address(farthing::escrow::EXIT_DELAY_DEFAULT);
        let deployment = Deployment { chain_id: world.chain.chain_id(), escrow };
        let identity = LedgerIdentity { deployment, payee: creator.address, token: world.token.address };
        Self { world, creator, folder, payer, identity }
    }

    fn ledger(&self) -> PathBuf {
        // As the kernel names it.
        self.folder.canonicalize().expect("is there").join(".farthing/ledger.redb")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn no_answer_begins_before_a_power_cut_would_leave_its_charge() {
    let stage = Stage::new().await;
    let (record, ledger) = (stage.world.folder.path().join("record"), stage.ledger());
    let command = recorded(&record, &stage.creator.serving(&stage.folder, &[]));
    let shop = Shop::open(command, Stdio::inherit()).expect("opens");
    let bought = buy_all(&stage.payer, &shop.url).await;
    let process = shop.id();
    assert_eq!(shop.stop(), 0);

    let record = read_record(&record, process);
    let seen = play(&record, files(&ledger), &stage.identity).await;
    println!("{} answers, {} of them durable; {} syncs", seen.answers.len(), seen.durable(), seen.syncs);
    assert_eq!(seen.amounts(), bought, "not every answer was seen");
    assert_eq!((seen.answers.len(), seen.durable(), seen.bare), (BUYERS * EACH, BUYERS * EACH, 0));

    // The control: it is for the syncs that the power cut leaves anything.
    let unsynced = files(&ledger).map(PowerCut::without_syncs);
    let seen = play(&record, unsynced, &stage.identity).await;
    println!("without its syncs: {} answers, {} of them durable", seen.answers.len(), seen.durable());
    assert_eq!((seen.answers.len(), seen.durable()), (BUYERS * EACH, 0));
}

/// The control: a gateway that differs in nothing but that its store answers first, and then writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn a_store_that_answers_first_is_found() {
    let stage = Stage::new().await;
    for is_hasty in [false, true] {
        let name = if is_hasty { "hasty" } else { "patient" };
        let (record, home) = (stage.world.folder.path().join(format!("{name}.record")), stage.world.folder.path());
        let task = hasty::Task::new(is_hasty, &stage.folder, &home.join(name), stage.identity, &stage.world.token);
        let shop = Shop::open(recorded(&record, &hasty::serving(&task)), Stdio::inherit()).expect("opens");
        let bought = buy_all(&stage.payer, &shop.url).await;
        let process = shop.id();
        shop.kill();
        let (record, ledger) = (read_record(&record, process), task.ledger().canonicalize().expect("is there"));
        let seen = play(&record, files(&ledger), task.identity()).await;
        println!("{name}: {} answers, {} of them durable; {} syncs", seen.answers.len(), seen.durable(), seen.syncs);
        assert_eq!(seen.amounts(), bought, "not every answer was seen");
        if is_hasty {
            assert!(seen.durable() < seen.answers.len() && seen.syncs > 0, "a store that answers first is not found");
        } else {
            assert_eq!((seen.durable(), seen.bare), (BUYERS * EACH, 0));
        }
    }
}
