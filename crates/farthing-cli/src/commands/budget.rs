//! `farthing budget`: what may be spent without a question, and at all.

use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::home::{Budget, RememberedToken, Settings};
use crate::output::{duration, render, table};
use clap::Args;
use farthing::core::Token;
use serde::Serialize;

/// Show and set what may be spent: per item, per site and day, per day, and reserved for one creator
///
/// A token declared with --dollar starts with $1, $5, $10 and $5; any other with nothing, since nobody but you can say
/// what is a sane amount of it. Days are UTC.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing budget
  farthing budget --item 2 --day 20
  farthing budget --exit-delay-max 7d
  farthing budget --token eth --item 0.001 --site 0.005 --day 0.01 --reservation 0.005")]
pub(crate) struct SetBudget {
    /// Pay up to this much for an item without a question
    #[arg(long, value_name = "AMOUNT")]
    item: Option<String>,

    /// Pay one site at most this much a day
    #[arg(long, value_name = "AMOUNT")]
    site: Option<String>,

    /// Pay all sites together at most this much a day
    #[arg(long, value_name = "AMOUNT")]
    day: Option<String>,

    /// Reserve at most this much for one creator, beyond what it is owed
    #[arg(long, value_name = "AMOUNT")]
    reservation: Option<String>,

    /// Pay only through escrows whose exit delay is no longer than this (7d, 36h): so long can a reservation be stuck
    #[arg(long, value_name = "TIME", value_parser = farthing::core::timestamp::parse_duration)]
    exit_delay_max: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    budgets: Vec<ShownBudget>,
    exit_delay_max: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownBudget {
    chain_id: u64,
    token: Token,
    #[serde(flatten)]
    budget: Budget,
}

pub(super) async fn run(context: &Context, command: &SetBudget) -> Result<(), Failure> {
    let home = context.home()?;
    let is_new = [&command.item, &command.site, &command.day, &command.reservation].iter().any(|part| part.is_some());
    if is_new || context.globals.token.is_some() {
        // The chain says which token it is: its decimals make an amount what it is.
        let chain = context.chain().await?;
        let token = context.token(&chain).await?;
        if is_new {
            set(context, command, chain.chain_id(), &token)?;
        }
    }
    if let Some(exit_delay_max) = command.exit_delay_max {
        home.set_settings(Settings { exit_delay_max })?;
    }
    let budgets = home.tokens()?.into_iter().map(|known| {
        let budget = known.limits().into();
        let RememberedToken { chain_id, token, .. } = known;
        ShownBudget { chain_id, token, budget }
    });
    let shown = Shown { budgets: budgets.collect(), exit_delay_max: home.settings()?.exit_delay_max };
    context.output.result(&shown, || shown.text())
}

fn set(context: &Context, command: &SetBudget, chain_id: u64, token: &Token) -> Result<(), Failure> {
    let home = context.home()?;
    let known = home.tokens()?.into_iter().find(|known| known.chain_id == chain_id && known.token == *token);
    let known =
        known.ok_or_else(|| Failure::new(Code::Unexpected, "another farthing changed the tokens; try again"))?;
    let mut limits = known.limits();
    let parts = [
        (&command.item, &mut limits.item),
        (&command.site, &mut limits.site_per_day),
        (&command.day, &mut limits.day),
        (&command.reservation, &mut limits.reservation),
    ];
    for (text, limit) in parts {
        if let Some(text) = text {
            *limit = amounts::parse(token, text)?;
        }
    }
    home.set_budget(chain_id, token, limits)
}

impl Shown {
    fn text(&self) -> String {
        if self.budgets.is_empty() {
            return "no token is known yet; farthing deposit makes one known".to_owned();
        }
        let mut budgets = table(&["chain", "item", "site a day", "day", "reservation"], &[1, 2, 3, 4]);
        for ShownBudget { chain_id, token, budget } in &self.budgets {
            let Budget { item, site_per_day, day, reservation } = *budget;
            let mut row = vec![format!("{chain_id} {}", token.symbol)];
            row.extend([item, site_per_day, day, reservation].map(|limit| token.format(limit)));
            budgets.add_row(row);
        }
        let longest = duration(self.exit_delay_max);
        format!("{}\n\nescrows with an exit delay of up to {longest} are paid through", render(&budgets))
    }
}
