//! `farthing redeem --simulate`: what terms would have come to.

use crate::context::Context;
use crate::explain::{moment, percent, wrapped};
use crate::failure::{Code, Failure};
use crate::fee_history;
use crate::gateway::AdminRequest;
use crate::ledger::{DataFolder, LedgerRecord};
use crate::planning::{UNLIMITED, now};
use crate::sheet::Column::{Counts, Money, Words};
use crate::sheet::{Cell, Sheet};
use crate::terms::TermsToTry;
use farthing::core::gas::CoinPrice;
use farthing::core::redemption::RedemptionTerms;
use farthing::core::replay::{Moment, Occasion, Replay, ReplayTerms, Tally, replay};
use farthing::core::{Amount, Timestamp, Token};
use farthing::payee::past::past;
use farthing::payee::{CoinPriceSource, PayeeStore, RedemptionOptions};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What was not asked of the past, since nobody wrote it down.
const UNKNOWN: &str = "Who was leaving, what was reserved and what accounts held is not known of the past: every claim \
                       counts as covered, and nothing as guaranteed or taken away.";

/// How many redemptions are listed for people; JSON has them all.
const LISTED_MAX: usize = 30;

/// A replay, and what it rests on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SimulationReport {
    token: Token,
    from: Timestamp,
    until: Timestamp,
    /// How many moments of the file are within.
    moments: usize,
    /// The first and the last of them.
    fees_from: Timestamp,
    fees_until: Timestamp,
    terms: RedemptionTerms,
    #[serde(flatten)]
    replay: Replay,
}

/// Replays the ledger's last days, by the gateway if one has it open.
pub(super) async fn run(
    context: &Context,
    data: &DataFolder,
    terms: &TermsToTry,
    days: u64,
    file: &Path,
) -> Result<(), Failure> {
    let record = data.record()?;
    let options = terms.instead_of(record.redemption, &record.token)?;
    let until = now();
    let from = Timestamp::from_unix_seconds(until.unix_seconds().saturating_sub(days.saturating_mul(86_400)));
    // Whatever is wrong with the file is said before anything else is done.
    moments(&record, options, from, until, file)?;
    let file = file.canonicalize().map_err(|error| Failure::file(file, &error))?;
    let request = AdminRequest::Simulate { options, from, until, file: file.clone() };
    let report: SimulationReport = match data.ask(&request).await? {
        Some(report) => report,
        None => {
            let (record, store) = data.read().await?;
            simulate(&record, store.as_ref(), options, (from, until), &file).await?
        }
    };
    context.output.result(&report, || report.text())
}

/// Replays a ledger.
pub(crate) async fn simulate(
    record: &LedgerRecord,
    store: &dyn PayeeStore,
    options: RedemptionOptions,
    (from, until): (Timestamp, Timestamp),
    file: &Path,
) -> Result<SimulationReport, Failure> {
    let moments = moments(record, options, from, until, file)?;
    let past = past(store, from).await?;
    let credit = record.credit.unwrap_or(UNLIMITED);
    let terms = ReplayTerms { terms: options.terms, credit, exit_delay: record.exit_delay };
    let times = || moments.iter().map(|moment| moment.at);
    Ok(SimulationReport {
        token: record.token.clone(),
        from,
        until,
        moments: moments.len(),
        fees_from: times().min().unwrap_or(from),
        fees_until: times().max().unwrap_or(until),
        terms: options.terms,
        replay: replay(&past, &moments, &terms),
    })
}

/// The file's moments within a period; there is one at least.
fn moments(
    record: &LedgerRecord,
    options: RedemptionOptions,
    from: Timestamp,
    until: Timestamp,
    file: &Path,
) -> Result<Vec<Moment>, Failure> {
    // A feed says what a coin is worth now, not what it was.
    let otherwise = CoinPrice::known_for(&record.token).or(match options.coin_price {
        CoinPriceSource::Set(price) => Some(price),
        _ => None,
    });
    let mut moments = fee_history::read(file, &record.token, otherwise)?;
    moments.retain(|moment| (from..=until).contains(&moment.at));
    if moments.is_empty() {
        let message = format!("{} has no moment between {from} and {until}", file.display());
        return Err(Failure::new(Code::Usage, message)
            .hint("farthing fee-history --days N writes such a file; or name more days with --simulate"));
    }
    Ok(moments)
}

impl SimulationReport {
    fn text(&self) -> String {
        let (token, replay) = (&self.token, &self.replay);
        let day = |at: Timestamp| at.to_string().get(..16).unwrap_or_default().replace('T', " ");
        let head = format!(
            "{} to {} UTC: {} was owed; fees of {} moments, {} to {} UTC",
            day(self.from),
            day(self.until),
            token.format(replay.owed),
            self.moments,
            day(self.fees_from),
            day(self.fees_until)
        );
        let mut text = wrapped(&head, "");
        text += &format!("\n{}\n", self.habits().text(token));
        if !replay.occasions.is_empty() {
            let listed = replay.occasions.iter().take(LISTED_MAX).map(|occasion| row(occasion, self.until));
            let header =
                [Words("redeems"), Counts("channels"), Money("pays"), Money("gas cost"), Words("share"), Words("why")];
            text += &format!("\n{}\n", Sheet::new(&header, listed).text(token));
            let more = replay.occasions.len().saturating_sub(LISTED_MAX);
            if more > 0 {
                text += &format!("and {more} more; --json has them all\n");
            }
        }
        text + "\n" + &wrapped(UNKNOWN, "")
    }

    /// The terms beside what a creator might do instead.
    fn habits(&self) -> Sheet {
        let replay = &self.replay;
        let row = |name: &str, tally: &Tally, held: Amount| {
            vec![
                Cell::Text(name.to_owned()),
                Cell::Count(u64::try_from(tally.redemptions).unwrap_or(u64::MAX)),
                Cell::Money(tally.paid),
                Cell::Money(tally.cost),
                Cell::Text(share(tally)),
                Cell::Money(held),
            ]
        };
        let at_once = replay.owed.saturating_sub(replay.each_at_once.paid);
        Sheet::new(
            &[
                Words("redeemed"),
                Counts("times"),
                Money("paid"),
                Money("gas cost"),
                Words("share"),
                Money("still owed"),
            ],
            [
                row("by these terms", &replay.by_terms, replay.held),
                row("once a day", &replay.once_a_day, replay.held_once_a_day),
                row("each at once", &replay.each_at_once, at_once),
            ],
        )
    }
}

/// Of nothing there is no share.
fn share(tally: &Tally) -> String {
    if tally.paid.is_zero() { "-".to_owned() } else { percent(tally.share()) }
}

fn row(occasion: &Occasion, now: Timestamp) -> Vec<Cell> {
    let causes = [(occasion.credit_used, "credit used"), (occasion.old, "old"), (occasion.unhurried, "gas was cheap")];
    let causes: Vec<String> =
        causes.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    let tally = &occasion.tally;
    vec![
        Cell::Text(moment(occasion.at, now)),
        Cell::Count(u64::try_from(tally.channels).unwrap_or(u64::MAX)),
        Cell::Money(tally.paid),
        Cell::Money(tally.cost),
        Cell::Text(share(tally)),
        Cell::Text(causes.join(", ")),
    ]
}
