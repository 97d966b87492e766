//! The payer behind `get` and `tip`: its policy from what the owner named and set, its questions, its reservations.

use crate::amounts;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::home::RememberedToken;
use crate::progress::waiting;
use crate::relaying;
use alloy::eips::BlockNumberOrTag::{Finalized, Latest};
use clap::Args;
use farthing::chain::{Chain, Mined};
use farthing::core::{Account, Address, Amount, Channel, Deployment, Token};
use farthing::escrow::{Escrow, EscrowError, Funds};
use farthing::payer::{BudgetError, Limits, Payer, PayerError, PayerOptions, PayerStore, Policy, Wish};
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a reservation may take to become final; on the main chain it takes a quarter of an hour.
const FINAL_WITHIN: Duration = Duration::from_secs(3_600);

/// How often the payee is asked again once a reservation is final here: its own view is some seconds behind.
const NOT_FINAL_TRIES: u32 = 15;

/// How often a purchase is tried again for any reason: a site that never has enough is left.
const TRIES: u32 = 24;

/// What a purchase may cost.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Allowed {
    /// Make a reservation for the creator, of up to this much, if it asks for one
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) reserve: Option<String>,

    /// Pay this payee, if the site names another one than before
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) accept_payee: Option<Address>,

    /// Spend the account that this payer funded for your key, with farthing deposit --signer
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) payer: Option<Address>,
}

/// A payer that asks its owner and makes reservations.
#[derive(Debug)]
pub(crate) struct Purse<'a> {
    context: &'a Context,
    known: Vec<RememberedToken>,
    reserve: Option<Amount>,
    /// Whose money it is, if not the key's own.
    payer: Option<Address>,
    /// What was sent for reservations.
    pub(crate) mined: Vec<Mined>,
}

impl<'a> Purse<'a> {
    pub(crate) fn new(context: &'a Context, allowed: &Allowed) -> Result<Self, Failure> {
        let (known, payer) = (known_tokens(context)?, allowed.payer);
        let mut purse = Self { context, known, reserve: None, payer, mined: Vec::new() };
        purse.reserve = allowed.reserve.as_deref().map(|text| purse.amount(text)).transpose()?;
        Ok(purse)
    }

    /// The token that amounts on the command line are in: the only one that can be meant.
    pub(crate) fn token(&self) -> Result<&Token, Failure> {
        match self.known.as_slice() {
            [] => Err(Failure::new(Code::Funds, "there is no deposit to pay from").hint("run farthing deposit")),
            [known] => Ok(&known.token),
            _ => Err(Failure::new(Code::Usage, "the amount could be in several tokens")
                .hint("name one with --token (FARTHING_TOKEN); farthing balance shows each")),
        }
    }

    pub(crate) fn amount(&self, text: &str) -> Result<Amount, Failure> {
        amounts::parse_positive(self.token()?, text)
    }

    /// The payer. `item_max` lowers the auto-approve line; what raises it is an approval.
    pub(crate) async fn payer(&self, item_max: Option<Amount>) -> Result<Payer, Failure> {
        let exit_delay_max = self.context.home()?.settings()?.exit_delay_max;
        let mut policy = Policy { exit_delay_max, ..Policy::default() };
        for known in &self.known {
            let limits = policy.know(known.chain_id, known.token.clone());
            *limits = known.limits();
            limits.item = item_max.map_or(limits.item, |maximum| maximum.min(limits.item));
            if let Some(escrow) = self.context.globals.escrow {
                policy.escrows_allowed.push(Deployment { chain_id: known.chain_id, escrow });
            }
        }
        let store = self.context.payer_store().await?;
        let options = PayerOptions::new(self.context.key()?, store).with_policy(policy);
        let options = match self.payer {
            Some(payer) => options.with_payer(payer),
            None => options,
        };
        Ok(Payer::new(options)?)
    }

    /// What to do about an error: `Ok` says that the purchase can be tried again, perhaps with an approval.
    pub(crate) async fn overcome(
        &mut self,
        store: &PayerStore,
        error: PayerError,
        try_number: u32,
        yes: bool,
    ) -> Result<Option<Amount>, Failure> {
        if try_number >= TRIES {
            return Err(error.into());
        }
        match &error {
            PayerError::Budget(budget) => match budget.as_ref() {
                BudgetError::Item { price, token, .. } if try_number == 0 => {
                    let question = format!("It costs {}. Buy it?", token.format(*price));
                    if yes || self.agrees(&question) { Ok(Some(*price)) } else { Err(error.into()) }
                }
                _ => Err(error.into()),
            },
            // This store knows of no deposit, but another device may have made one, or this store is a new one.
            PayerError::NoDeposit { deployment, payer, signer, token } if try_number == 0 => {
                let account = Account { payer: *payer, authorized_signer: *signer, token: token.address };
                if self.read(deployment).await?.account_balance(&account).await?.is_zero() {
                    return Err(error.into());
                }
                store.record_deposit(*deployment, account, farthing::clock::now()).await?;
                Ok(None)
            }
            PayerError::ReservationNeeded { .. } => self.reserve_for(store, error).await.map(|()| None),
            PayerError::ReservationNotFinal { deployment, channel, .. } if try_number < NOT_FINAL_TRIES => {
                // Perhaps the payee is a block behind; perhaps what was recorded has left the channel since.
                let escrow = self.read(deployment).await?;
                let _waiting = waiting("waiting until the creator sees the reservation");
                record_final(&escrow, store, channel).await?;
                sleep(Duration::from_secs(1)).await;
                Ok(None)
            }
            _ => Err(error.into()),
        }
    }

    /// Makes the reservation that an error asks for, if it is allowed, and waits until it is final.
    async fn reserve_for(&mut self, store: &PayerStore, error: PayerError) -> Result<(), Failure> {
        let PayerError::ReservationNeeded { deployment, channel, token, amount, required } = &error else {
            return Err(error.into());
        };
        let recorded = required.saturating_sub(*amount);
        let escrow = self.read(deployment).await?;
        if self.settle(&escrow, store, channel, recorded).await? {
            return Ok(());
        }
        let relay = self.relay_of(&escrow, store, channel, token, *amount).await?;
        let amount = relay.as_ref().map_or(*amount, |relay| relay.amount);
        let allowed = self.reserve.is_some_and(|allowed| allowed >= amount);
        if !allowed && (self.reserve.is_some() || !self.agrees_to_reserve(&escrow, token, amount).await?) {
            let refusal = relay.map(|relay| relay.not_allowed(token));
            return Err(refusal.unwrap_or_else(|| error.into()));
        }
        match relay {
            Some(relay) => self.open(&escrow, channel, token, &relay).await?,
            None => self.make(&escrow, channel, token, amount).await?,
        }
        // What was allowed is for all that this command does.
        self.reserve = self.reserve.map(|allowed| allowed.saturating_sub(amount));
        self.settle(&escrow, store, channel, recorded).await?;
        Ok(())
    }

    async fn read(&self, deployment: &Deployment) -> Result<Escrow, Failure> {
        let chain = Chain::connect_to(&self.context.rpc_url()?, None, deployment.chain_id).await?;
        Ok(Escrow::bind(chain, deployment.escrow).await?)
    }

    /// Waits until what is reserved already is final, and records it. Says whether that is more than was recorded.
    async fn settle(
        &self,
        escrow: &Escrow,
        store: &PayerStore,
        channel: &Channel,
        recorded: Amount,
    ) -> Result<bool, Failure> {
        let head = escrow.funds_of(channel, Latest).await?;
        if guaranteed(&head) <= recorded {
            return Ok(false);
        }
        self.context.output.note("note: waiting until the reservation is final");
        let _waiting = waiting("waiting until the reservation is final");
        let deadline = Instant::now() + FINAL_WITHIN;
        let mut pause = Duration::from_millis(250);
        loop {
            if record_final(escrow, store, channel).await? >= guaranteed(&head) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                let message = format!("the reservation is not final after {} s", FINAL_WITHIN.as_secs());
                return Err(Failure::new(Code::Chain, message)
                    .hint("run the same command again later; nothing is reserved twice"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(4));
        }
    }

    /// Moves money from the account into the channel.
    async fn make(&mut self, escrow: &Escrow, channel: &Channel, token: &Token, amount: Amount) -> Result<(), Failure> {
        check_balance(escrow, channel, token, amount).await?;
        let escrow = self.context.sending(escrow).await?;
        let _waiting = waiting(format!("waiting for the reservation of {} to be mined", token.format(amount)));
        self.mined.push(escrow.reserve(channel, amount).await?);
        self.context.output.note(format!("note: {} is reserved", token.format(amount)));
        Ok(())
    }

    /// Whether the site has to send the reservation for a wallet without gas, and how much it is then: as much as is
    /// needed, or as the site relays. Only the site itself is asked: it is the one that wants the reservation.
    async fn relay_of(
        &self,
        escrow: &Escrow,
        store: &PayerStore,
        channel: &Channel,
        token: &Token,
        amount: Amount,
    ) -> Result<Option<SiteRelay>, Failure> {
        if self.payer.is_some() || !escrow.chain().balance(channel.payer).await?.is_zero() {
            return Ok(None);
        }
        let site = store.channels().await?.into_iter().find(|paid| paid.channel == *channel).map(|paid| paid.origin);
        let no_way = |why: String| {
            let message = format!("the wallet {} has no ETH to pay the gas of a reservation, and {why}", channel.payer);
            Failure::new(Code::Funds, message).hint(format!("send {} some ETH", channel.payer))
        };
        let site = site.ok_or_else(|| no_way("the site is not known".to_owned()))?;
        let terms = self.payer(None).await?.relay_terms(&site).await?;
        let terms = terms.ok_or_else(|| no_way(format!("{site} does not relay")))?;
        let amount = amount.max(terms.minimum_deposit);
        let limit = self.limit_of(escrow, token).reservation;
        if amount > limit {
            let error = BudgetError::Reservation { amount, limit, token: token.clone() };
            return Err(error.into());
        }
        // What is in the account can be moved only by a transaction of the wallet's own.
        let held = farthing::token::balance_of(escrow.chain(), token.address, channel.payer).await?;
        if held < amount {
            let (held, needed) = (token.format(held), token.format(amount));
            return Err(no_way(format!("holds {held} outside of its account, less than {needed}")));
        }
        Ok(Some(SiteRelay { site, amount }))
    }

    fn limit_of(&self, escrow: &Escrow, token: &Token) -> Limits {
        let chain_id = escrow.deployment().chain_id;
        let is_it = |known: &&RememberedToken| known.chain_id == chain_id && known.token.address == token.address;
        self.known.iter().find(is_it).map_or(Limits::NONE, RememberedToken::limits)
    }

    /// Moves tokens of the wallet into the channel, by the site's transaction.
    async fn open(&self, escrow: &Escrow, channel: &Channel, token: &Token, relay: &SiteRelay) -> Result<(), Failure> {
        let (payer, amount) = (self.payer(None).await?, relay.amount);
        let wish = Wish::Open { channel: *channel, amount };
        relaying::relay(self.context, &payer, escrow, &relay.site, wish).await?;
        let (amount, site) = (token.format(amount), &relay.site);
        self.context.output.note(format!("note: {amount} of your wallet is reserved; {site} has paid the gas"));
        Ok(())
    }

    async fn agrees_to_reserve(&self, escrow: &Escrow, token: &Token, amount: Amount) -> Result<bool, Failure> {
        let delay = crate::output::duration(escrow.exit_delay().await?);
        Ok(self.agrees(&format!(
            "The creator asks for a reservation of {}. What is not spent comes back {delay} after you ask for it. Make it?",
            token.format(amount)
        )))
    }

    /// Asks at the terminal. Nobody there is a no.
    fn agrees(&self, question: &str) -> bool {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.context.globals.json || !terminal {
            return false;
        }
        let _ = write!(std::io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        let _ = std::io::stdin().read_line(&mut answer);
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

/// A site that sends the reservation it asks for.
#[derive(Debug)]
struct SiteRelay {
    site: String,
    /// What is reserved then: from so much on it relays.
    amount: Amount,
}

impl SiteRelay {
    fn not_allowed(&self, token: &Token) -> Failure {
        let (amount, site) = (token.format(self.amount), &self.site);
        let message =
            format!("{site} asks for a reservation and would send one of {amount} for your wallet, which has no gas");
        Failure::new(Code::Reservation, message)
            .hint(format!("allow it with --reserve '{amount}'; what is not spent comes back after the exit delay"))
    }
}

/// What the chain guarantees a payee in total. A reservation that is about to leave guarantees nothing.
fn guaranteed(funds: &Funds) -> Amount {
    let reserved = if funds.channel.close_at.is_some() { Amount::ZERO } else { funds.channel.reserved };
    funds.channel.redeemed.saturating_add(reserved)
}

/// Records what is finally guaranteed, and returns it.
pub(crate) async fn record_final(escrow: &Escrow, store: &PayerStore, channel: &Channel) -> Result<Amount, Failure> {
    let total = finally_guaranteed(escrow, channel).await?;
    store.record_reservation(channel.id(&escrow.deployment()), total).await?;
    Ok(total)
}

async fn finally_guaranteed(escrow: &Escrow, channel: &Channel) -> Result<Amount, Failure> {
    let (head, confirmed) = (escrow.funds_of(channel, Latest).await?, escrow.funds_of(channel, Finalized).await);
    let confirmed = match confirmed {
        Ok(confirmed) => confirmed,
        // The escrow is younger than the last final block.
        Err(EscrowError::NoCode { .. }) => Funds::default(),
        Err(error) => return Err(error.into()),
    };
    // A close that was requested counts from the head, whether or not it is final.
    Ok(guaranteed(&head).min(guaranteed(&confirmed)))
}

/// Makes sure that an account can give so much, before a transaction is paid for.
pub(crate) async fn check_balance(
    escrow: &Escrow,
    channel: &Channel,
    token: &Token,
    amount: Amount,
) -> Result<(), Failure> {
    let held = escrow.account_balance(&channel.account()).await?;
    if held < amount {
        let message = format!("the account holds {}, less than {}", token.format(held), token.format(amount));
        return Err(Failure::new(Code::Funds, message).hint("run farthing deposit"));
    }
    Ok(())
}

/// The tokens that may be spent: those that were named before, or the one that is named now.
///
/// A declaration of worth is about the token that is named with it. Without one it changes nothing: a variable that was
/// set for one token must not give every other one the limits of a dollar.
fn known_tokens(context: &Context) -> Result<Vec<RememberedToken>, Failure> {
    let mut known = context.home()?.tokens()?;
    let Some(named) = context.globals.token else { return Ok(known) };
    known.retain(|known| known.token.address == named);
    if let Some(dollar) = context.globals.dollar {
        for known in &mut known {
            known.token.dollar = dollar && !known.token.address.is_zero();
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing::core::B256;
    use farthing::escrow::{EXIT_DELAY_DEFAULT, deploy};
    use farthing::local_chain::LocalChain;
    use std::path::Path;

    #[tokio::test]
    async fn nothing_is_guaranteed_by_an_escrow_that_is_younger_than_the_last_final_block() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let local = LocalChain::start(&LocalChain::anvil_in(&root), None).await.expect("anvil starts");
        let key = LocalChain::test_key(0);
        let payer = key.address();
        let chain = local.connect(key).await.expect("it answers");
        let deployment = deploy(&chain, EXIT_DELAY_DEFAULT).await.expect("deploys").deployment;
        let escrow = Escrow::bind(chain, deployment.escrow).await.expect("is there");
        let (payee, salt) = (Address::repeat_byte(1), B256::ZERO);
        let channel = Channel { payer, payee, token: Address::ZERO, salt, authorized_signer: payer };
        let guaranteed = finally_guaranteed(&escrow, &channel).await.map_err(|failure| failure.message);
        assert_eq!(guaranteed, Ok(Amount::ZERO));
    }
}
