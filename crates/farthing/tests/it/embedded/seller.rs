//! Real processes: this test binary, run again as a payee that sells, and says what it has sold.

use farthing::core::exposure::ChannelFunds;
use farthing::core::ledger::RequestId;
use farthing::core::wire::Credential;
use farthing::core::wire::credential::{ChannelTerms, VoucherPayload};
use farthing::core::{Amount, Channel, ChannelId, SignedVoucher, Timestamp, Token};
use farthing::escrow::{EXIT_DELAY_DEFAULT, EscrowError, Funds};
use farthing::payee::embedded::Folding;
use farthing::payee::views::{BoxFuture, FundsSource, Reading};
use farthing::payee::{AcceptError, EmbeddedStore, Payee, PayeeOptions, PayeeStore, Quote};
use farthing_testkit::disk::FOLDING;
use farthing_testkit::histories::{channel, generous, identity, signer, voucher};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

const TASK: &str = "FARTHING_TEST_SELLER";
const SAYS: &str = "seller: ";

/// How many buy from a seller at once, each on a channel of its own.
pub(super) const BUYERS: u8 = 8;

pub(super) const PRICE: u128 = 10;

/// A payee in a process of its own.
pub(super) struct Seller {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Drop for Seller {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Seller {
    /// Sells until it is killed, and says of each voucher that it is charged.
    pub(super) fn selling(ledger: &Path) -> Self {
        Self::spawn(&[], &json!({ "ledger": ledger }))
    }

    /// The same, and writes its tables, and begins its journal's files anew, again and again.
    pub(super) fn folding(ledger: &Path) -> Self {
        Self::spawn(&[], &json!({ "ledger": ledger, "folds": true }))
    }

    /// The control: says so before it asks the payee.
    pub(super) fn hasty(ledger: &Path) -> Self {
        Self::spawn(&[], &json!({ "ledger": ledger, "hasty": true }))
    }

    /// Opens the ledger and never lets go of it.
    pub(super) fn holding(ledger: &Path) -> Self {
        Self::spawn(&[], &json!({ "ledger": ledger, "hold": true }))
    }

    /// Sells on a disk on which no file can be longer than so many KiB.
    pub(super) fn with_room_for(kib: u64, ledger: &Path) -> Self {
        // Without the signal, which would kill it, a write beyond the limit is an error.
        let limit = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        Self::spawn(&["bash", "-c", &limit], &json!({ "ledger": ledger }))
    }

    fn spawn(wrapper: &[&str], task: &Value) -> Self {
        let program = std::env::current_exe().expect("this binary");
        let arguments = ["embedded::seller::another_process", "--exact", "--ignored", "--nocapture"];
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

/// The channel of a buyer.
pub(super) fn channel_of(buyer: u8) -> (Channel, ChannelId) {
    let channel = channel(&signer(buyer), 0);
    (channel, channel.id(&identity().deployment))
}

/// What a seller means by what it says: a buyer, and the cumulative amount of a voucher that is charged.
pub(super) fn charged(said: &str) -> Option<(u8, u128)> {
    let (buyer, amount) = said.strip_prefix("charged ")?.split_once(' ')?;
    Some((buyer.parse().ok()?, amount.parse().ok()?))
}

fn say(what: &str) {
    // One call, so that a kill leaves whole lines.
    std::io::stdout().lock().write_all(format!("{SAYS}{what}\n").as_bytes()).expect("the parent listens");
}

/// Everybody has enough.
#[derive(Debug)]
struct Riches;

impl FundsSource for Riches {
    fn funds_of<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, Result<Reading, EscrowError>> {
        let head = Funds { channel: ChannelFunds::default(), account_balance: Amount::new(1 << 100) };
        Box::pin(std::future::ready(Ok(Reading { head, confirmed: ChannelFunds::default() })))
    }
}

async fn start(ledger: &Path, folds: bool) -> Payee {
    let folding = Folding { in_background: true, ..FOLDING };
    let store = if folds {
        EmbeddedStore::open_folding(ledger, folding, &identity())
    } else {
        EmbeddedStore::open(ledger, &identity())
    };
    let store = store.expect("opens");
    let secret = store.challenge_secret().await.expect("reads");
    let token = Token { address: identity().token, symbol: "dUSD".to_owned(), decimals: 6, dollar: true };
    let options = PayeeOptions {
        identity: identity(),
        exit_delay: EXIT_DELAY_DEFAULT,
        token,
        credit: generous(),
        challenge_seconds: PayeeOptions::CHALLENGE_SECONDS,
        stale_after_seconds: PayeeOptions::STALE_AFTER_SECONDS,
        delegation: None,
    };
    let payee = Payee::start(options, secret, signer(0xaa), Arc::new(store), Arc::new(Riches)).expect("starts");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    payee.views().note_seen(Timestamp::from_unix_seconds(now));
    payee
}

/// One buyer: a voucher for each item, one after the other, on from where the ledger is.
async fn buy(payee: Payee, buyer: u8, hasty: bool) {
    let (channel, channel_id) = channel_of(buyer);
    let books = payee.store().books(channel_id).await.expect("reads");
    let mut cumulative = books.map_or(0, |books| books.accepted.base_units());
    let mut failures = 0;
    while failures < 3 {
        cumulative += PRICE;
        if hasty {
            say(&format!("charged {buyer} {cumulative}"));
        }
        let verified = voucher(&signer(buyer), &channel, cumulative);
        let signed = verified.voucher().with_signature(verified.signature());
        match sell(&payee, &channel, signed).await {
            Ok(()) if hasty => {}
            Ok(()) => say(&format!("charged {buyer} {cumulative}")),
            Err(error) => {
                failures += 1;
                say(&format!("failed {error}"));
            }
        }
    }
}

async fn sell(payee: &Payee, channel: &Channel, signed: SignedVoucher) -> Result<(), AcceptError> {
    let quote = Quote::new(format!("/{}", signed.voucher.cumulative_amount), Amount::new(PRICE));
    let payload = VoucherPayload {
        action: VoucherPayload::ACTION.to_owned(),
        channel_id: signed.voucher.channel_id,
        cumulative_amount: signed.voucher.cumulative_amount,
        signature: signed.signature,
        amount: Some(quote.price),
        terms: Some(ChannelTerms::from(channel)),
    };
    let challenge = payee.challenge("localhost", &quote, None).expect("a challenge");
    let credential = Credential { challenge, source: None, payload };
    let sale = payee.accept("localhost", &credential, RequestId::new("GET", &quote.item), &quote).await?;
    assert!(!sale.again, "every voucher is a new one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of other tests"]
async fn another_process() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task: Value = serde_json::from_str(&task.to_string_lossy()).expect("a task");
    let payee = start(Path::new(task["ledger"].as_str().expect("a path")), task["folds"] == true).await;
    if task["hold"] == true {
        say("holding");
        std::thread::sleep(std::time::Duration::from_secs(60));
        return;
    }
    let mut buyers = tokio::task::JoinSet::new();
    for buyer in 0..BUYERS {
        buyers.spawn(buy(payee.clone(), buyer, task["hasty"] == true));
    }
    buyers.join_all().await;
}
