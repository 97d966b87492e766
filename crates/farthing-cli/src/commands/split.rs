//! `farthing split`: a payee that belongs to several.

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Transaction, render, short_address, table, transactions, with_transactions};
use crate::progress::waiting;
use clap::{Args, Subcommand};
use farthing::chain::Chain;
use farthing::core::{Address, Amount, Member, SplitTerms, Token};
use farthing::escrow::Escrow;
use farthing::split::{self, Part, Split, SplitError, factory_address, split_address};
use serde::Serialize;

/// Share what is earned: a payee that belongs to several members, by fixed shares
///
/// A split is a small contract. Whatever it is paid is its members' by their shares, to the base unit, from the moment
/// it arrives; each takes its part when it likes, and none can keep another waiting. Nobody can ever change it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the split of these members, unless it is there
    ///
    /// Its address follows from its terms, so the same members, shares and keys always have the same split. The
    /// operator may close its channels; the receipt key signs its receipts. Serve it with farthing serve --payee.
    #[command(after_help = "\
Example:
  farthing split deploy --member ADDRESS=2 --member ADDRESS=1 --member ADDRESS=1")]
    Deploy(Deploy),
    /// Show a split's members, and what each is due and was sent
    #[command(after_help = "\
Example:
  farthing split show ADDRESS")]
    Show(Show),
    /// Send members what they are due
    ///
    /// Anyone may, and the money goes to the members; one transaction for each.
    #[command(after_help = "\
Examples:
  farthing split release ADDRESS
  farthing split release ADDRESS --member ADDRESS
  farthing split release ADDRESS --to ADDRESS   # your own part, elsewhere")]
    Release(Release),
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Give this member so many of all shares; name each member once
    #[arg(long = "member", value_name = "ADDRESS=SHARES", required = true, value_parser = parse_member)]
    members: Vec<Member>,

    /// Let this key close the split's channels, for ever [default: your wallet's]
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,

    /// Let this key sign the split's receipts, for ever [default: the operator]
    #[arg(long, value_name = "ADDRESS")]
    receipt_key: Option<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Show this split
    #[arg(value_name = "ADDRESS")]
    split: Address,
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Release from this split
    #[arg(value_name = "ADDRESS")]
    split: Address,

    /// Send to this member only [default: to all that are due something]
    #[arg(long, value_name = "ADDRESS")]
    member: Option<Address>,

    /// Send your own part to this address: for a member that a token has blocked
    #[arg(long, value_name = "ADDRESS", conflicts_with = "member")]
    to: Option<Address>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed<'a> {
    split: Address,
    chain_id: u64,
    factory: Address,
    already_there: bool,
    #[serde(flatten)]
    terms: &'a SplitTerms,
    transactions: Vec<Transaction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    split: Address,
    chain_id: u64,
    #[serde(flatten)]
    terms: SplitTerms,
    total_shares: u64,
    tokens: Vec<OfToken>,
}

/// What the members are due and were sent of one token.
#[derive(Serialize)]
struct OfToken {
    token: Token,
    due: Amount,
    released: Amount,
    parts: Vec<OfMember>,
}

#[derive(Serialize)]
struct OfMember {
    account: Address,
    due: Amount,
    released: Amount,
}

#[derive(Serialize)]
struct Released {
    split: Address,
    token: Token,
    released: Vec<Sent>,
    transactions: Vec<Transaction>,
}

#[derive(Serialize)]
struct Sent {
    member: Address,
    to: Address,
    amount: Amount,
}

pub(super) async fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Deploy(command) => deploy(context, command).await,
        Command::Show(command) => show(context, command).await,
        Command::Release(command) => release(context, command).await,
    }
}

async fn deploy(context: &Context, command: &Deploy) -> Result<(), Failure> {
    let chain = context.chain().await?;
    // A split of an escrow that is not there could appoint no operator in it.
    let escrow = context.escrow(chain.clone()).await?;
    let terms = terms(context, command, &escrow)?;
    let chain = if chain.has_code(split_address(&terms)).await? {
        chain
    } else {
        Chain::connect_to(&context.rpc_url()?, Some(context.key()?), chain.chain_id()).await?
    };
    let waiting = waiting("waiting for the split to be created");
    let split::Deployed { split, mined } = split::deploy(&chain, &terms).await?;
    drop(waiting);
    let deployed = Deployed {
        split: split.address(),
        chain_id: chain.chain_id(),
        factory: factory_address(),
        already_there: mined.is_empty(),
        terms: &terms,
        transactions: transactions(&mined),
    };
    context.output.result(&deployed, || {
        let what = if deployed.already_there { "already there" } else { "deployed" };
        let text = format!("{what}: split {} on chain {}", deployed.split, deployed.chain_id);
        with_transactions(format!("{text}\n\n{}", members_text(&terms)), &mined)
    })
}

fn terms(context: &Context, command: &Deploy, escrow: &Escrow) -> Result<SplitTerms, Failure> {
    let operator = match command.operator {
        Some(operator) => operator,
        None => context.address()?,
    };
    let receipt_key = command.receipt_key.unwrap_or(operator);
    let terms = SplitTerms::new(escrow.deployment().escrow, operator, receipt_key, command.members.clone());
    Ok(terms.map_err(SplitError::from)?)
}

async fn show(context: &Context, command: &Show) -> Result<(), Failure> {
    let split = Split::bind(context.chain().await?, command.split).await?;
    let mut shown = Shown {
        split: split.address(),
        chain_id: split.chain().chain_id(),
        terms: split.terms().clone(),
        total_shares: split.terms().total_shares(),
        tokens: Vec::new(),
    };
    for token in tokens(context, split.chain()).await? {
        let parts = split.parts(token.address).await?;
        let due = Amount::saturating_sum(parts.iter().map(|part| part.due));
        let released = Amount::saturating_sum(parts.iter().map(|part| part.released));
        let of_member = |part: &Part| OfMember { account: part.member.account, due: part.due, released: part.released };
        shown.tokens.push(OfToken { token, due, released, parts: parts.iter().map(of_member).collect() });
    }
    context.output.result(&shown, || shown.text())
}

/// The token that is named, or all that were named before on this chain and the chain's own coin.
async fn tokens(context: &Context, chain: &Chain) -> Result<Vec<Token>, Failure> {
    if context.globals.token.is_some() {
        return Ok(vec![context.token(chain).await?]);
    }
    let known = context.home()?.tokens()?.into_iter().filter(|known| known.chain_id == chain.chain_id());
    let mut tokens: Vec<Token> = known.map(|known| known.token).collect();
    if !tokens.iter().any(|token| token.address.is_zero()) {
        tokens.push(farthing::token::describe(chain, Address::ZERO, false).await?);
    }
    Ok(tokens)
}

async fn release(context: &Context, command: &Release) -> Result<(), Failure> {
    let chain = context.chain().await?;
    let token = context.token(&chain).await?;
    let split = Split::bind(chain, command.split).await?;
    let (own, only) = match command.to {
        Some(_) => (true, Some(context.address()?)),
        None => (false, command.member),
    };
    if let Some(account) = only {
        // Says so if it is none.
        split.releasable(token.address, account).await?;
    }
    let mut due = split.parts(token.address).await?;
    due.retain(|part| !part.due.is_zero() && only.is_none_or(|only| only == part.member.account));
    let mut mined = Vec::new();
    let mut released = Vec::new();
    if !due.is_empty() {
        let (key, chain_id) = (context.key()?, split.chain().chain_id());
        let chain = Chain::connect_to(&context.rpc_url()?, Some(key), chain_id).await?;
        let split = Split::bind(chain, command.split).await?;
        let _waiting = waiting("waiting for the release to be mined");
        for Part { member, due, .. } in due {
            let to = command.to.unwrap_or(member.account);
            let sent = if own {
                split.release_to(token.address, to).await
            } else {
                split.release(token.address, member.account).await
            };
            match sent {
                Ok(transaction) => mined.push(transaction),
                // One that can't be paid keeps nobody waiting.
                Err(error) if only.is_none() => {
                    context.output.note(format!("note: {} was not paid: {error}", member.account));
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            released.push(Sent { member: member.account, to, amount: due });
        }
        if released.is_empty() {
            return Err(Failure::new(Code::Contract, "no member could be paid").hint("a member can choose --to"));
        }
    }
    let done = Released { split: command.split, token, released, transactions: transactions(&mined) };
    context.output.result(&done, || with_transactions(done.text(), &mined))
}

impl Shown {
    fn text(&self) -> String {
        let Self { split, chain_id, terms, .. } = self;
        let mut text = format!(
            "split       {split}\nchain       {chain_id}\nescrow      {}\noperator    {}\nreceipt key {}\n\n{}\n",
            terms.escrow(),
            terms.operator(),
            terms.receipt_key(),
            members_text(terms)
        );
        for OfToken { token, due, released, parts } in &self.tokens {
            let symbol = if token.symbol.is_empty() { "token" } else { &token.symbol };
            let mut rows = table(&[symbol, "due", "released"], &[1, 2]);
            for OfMember { account, due, released } in parts {
                rows.add_row([short_address(*account), token.format(*due), token.format(*released)]);
            }
            rows.add_row(["all".to_owned(), token.format(*due), token.format(*released)]);
            text += &format!("\n{}\n", render(&rows));
        }
        text
    }
}

impl Released {
    fn text(&self) -> String {
        if self.released.is_empty() {
            return "nothing is due".to_owned();
        }
        let line = |sent: &Sent| {
            let elsewhere = if sent.to == sent.member { String::new() } else { format!("'s part to {}", sent.to) };
            format!("{} for {}{elsewhere}", self.token.format(sent.amount), sent.member)
        };
        format!("released {}", self.released.iter().map(line).collect::<Vec<_>>().join("\nreleased "))
    }
}

fn members_text(terms: &SplitTerms) -> String {
    let mut members = table(&["member", "shares", "part"], &[1, 2]);
    for member in terms.members() {
        let row = [member.account.to_string(), member.shares.to_string(), percent(member.shares, terms.total_shares())];
        members.add_row(row);
    }
    render(&members)
}

/// `33.33 %`, rounded down.
fn percent(shares: u64, total: u64) -> String {
    let hundredths = shares.saturating_mul(10_000) / total.max(1);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn parse_member(text: &str) -> Result<Member, String> {
    let (account, shares) = text.split_once('=').ok_or("write ADDRESS=SHARES")?;
    let account = account.trim().parse().map_err(|_| format!("{account:?} is not an address"))?;
    let shares = shares.trim().parse().map_err(|_| format!("{shares:?} is not a number of shares"))?;
    Ok(Member { account, shares })
}

impl From<SplitError> for Failure {
    fn from(error: SplitError) -> Self {
        match error {
            SplitError::Chain(error) => error.into(),
            SplitError::NoCode { .. } => {
                Self::new(Code::Chain, error).hint("check --rpc-url, or create it with farthing split deploy")
            }
            SplitError::NotGenuine { .. } => Self::new(Code::Policy, error)
                .hint("nobody can say what that contract does with money; farthing split deploy creates a genuine one"),
            SplitError::NoDeployer { .. } => {
                Self::new(Code::Chain, error).hint("use a chain that has it; practically all do")
            }
            SplitError::NotMember { .. } => Self::new(Code::Usage, error).hint("farthing split show lists the members"),
            SplitError::Terms(_) | SplitError::TooLong { .. } => {
                Self::new(Code::Usage, error).hint("name each member once, with its shares: --member ADDRESS=SHARES")
            }
            error => Self::new(Code::Unexpected, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_shown_in_percent_and_never_more_than_it_is() {
        assert_eq!(percent(1, 3), "33.33 %");
        assert_eq!(percent(1, 10_000), "0.01 %");
        assert_eq!(percent(2, 2), "100.00 %");
        assert_eq!(percent(9_999, 10_000), "99.99 %");
    }

    #[test]
    fn a_member_is_an_address_and_a_number_of_shares() {
        let address = Address::repeat_byte(0x11);
        assert_eq!(parse_member(&format!("{address}=50")), Ok(Member { account: address, shares: 50 }));
        for text in ["", "=", "0x11=1", &format!("{address}"), &format!("{address}=-1"), &format!("{address}=1.5")] {
            assert!(parse_member(text).is_err(), "{text}");
        }
    }
}
