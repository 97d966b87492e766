//! What commands work with: the owner's folder, the wallet, the chain, the escrow, the token.

use crate::cli::Globals;
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::output::{Output, duration};
use crate::wallet::Wallet;
use farthing::PrivateKeySigner;
use farthing::chain::Chain;
use farthing::core::{Account, Address, Token};
use farthing::escrow::{Escrow, genuine_address, is_genuine};
use farthing::payer::PayerStore;
use farthing::token;
use std::sync::OnceLock;
use url::Url;

/// What a command line says, and where to answer.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) output: Output,
    key: OnceLock<PrivateKeySigner>,
}

impl Context {
    pub(crate) const fn new(globals: Globals, output: Output) -> Self {
        Self { globals, output, key: OnceLock::new() }
    }

    pub(crate) fn home(&self) -> Result<Home, Failure> {
        Home::new(self.globals.home.as_deref())
    }

    pub(crate) fn wallet(&self) -> Result<Wallet, Failure> {
        let keystore = match &self.globals.keystore {
            Some(keystore) => keystore.clone(),
            None => self.home()?.wallet(),
        };
        Ok(Wallet::new(keystore, self.globals.password_file.clone()))
    }

    /// The wallet's key; its password is asked for once.
    pub(crate) fn key(&self) -> Result<PrivateKeySigner, Failure> {
        if let Some(key) = self.key.get() {
            return Ok(key.clone());
        }
        let key = self.wallet()?.unlock()?;
        Ok(self.key.get_or_init(|| key).clone())
    }

    /// The wallet's address, without its password where that is possible.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        match self.wallet()?.named_address()? {
            Some(address) => Ok(address),
            None => Ok(self.key()?.address()),
        }
    }

    /// The RPC's URL. Read here and not by clap, which repeats what it can't read: this may hold a key.
    pub(crate) fn rpc_url(&self) -> Result<Url, Failure> {
        self.globals.rpc_url.parse().map_err(|error| {
            Failure::new(Code::Usage, format!("the RPC's URL can't be read: {error}"))
                .hint("write http://… or https://… for --rpc-url (ETH_RPC_URL)")
        })
    }

    /// A connection to read with.
    pub(crate) async fn chain(&self) -> Result<Chain, Failure> {
        Ok(Chain::connect(&self.rpc_url()?, None).await?)
    }

    /// The escrow's address: the one that was named, or the genuine one.
    pub(crate) fn escrow_address(&self) -> Address {
        self.globals.escrow.unwrap_or_else(|| genuine_address(self.globals.exit_delay))
    }

    /// The escrow, to read. One that was named and is not genuine is used, and talked about.
    pub(crate) async fn escrow(&self, chain: Chain) -> Result<Escrow, Failure> {
        let escrow = Escrow::bind(chain, self.escrow_address()).await?;
        if let Some(named) = self.globals.escrow {
            let exit_delay = escrow.exit_delay().await?;
            if !is_genuine(named, exit_delay) {
                self.output.note(format!("note: {named} is not a genuine escrow; it is used because you named it"));
            }
        }
        Ok(escrow)
    }

    /// Makes sure that the owner would pay through an escrow: money in one with a longer exit delay buys nothing, and a
    /// reservation there is stuck for longer than its owner accepts.
    pub(crate) async fn check_exit_delay(&self, escrow: &Escrow) -> Result<(), Failure> {
        let (exit_delay, maximum) = (escrow.exit_delay().await?, self.home()?.settings()?.exit_delay_max);
        if exit_delay <= maximum {
            return Ok(());
        }
        let (delay, longest) = (duration(exit_delay), duration(maximum));
        let message = format!("the exit delay of {} is {delay}, more than your {longest}", escrow.deployment());
        let hint = format!(
            "use another escrow (--exit-delay), or allow it with farthing budget --exit-delay-max {exit_delay}s"
        );
        Err(Failure::new(Code::Policy, message).hint(hint))
    }

    /// The same escrow, to send with the wallet's key. Called after everything that can be wrong without it.
    pub(crate) async fn sending(&self, escrow: &Escrow) -> Result<Escrow, Failure> {
        let deployment = escrow.deployment();
        let chain = Chain::connect_to(&self.rpc_url()?, Some(self.key()?), deployment.chain_id).await?;
        Ok(Escrow::bind(chain, deployment.escrow).await?)
    }

    /// The token that was named, or the only one that was named before on this chain. There is no other default: a bare
    /// `5` must not turn out to be ether.
    pub(crate) async fn token(&self, chain: &Chain) -> Result<Token, Failure> {
        let home = self.home()?;
        let chain_id = chain.chain_id();
        let address = match self.globals.token {
            Some(address) => address,
            None => only_token(&home, chain_id)?,
        };
        let known = home.token(chain_id, address)?;
        let dollar = self.globals.dollar.or(known.as_ref().map(|known| known.dollar)).unwrap_or(false);
        if dollar && address.is_zero() {
            return Err(Failure::new(Code::Usage, "the chain's own coin is not worth a dollar")
                .hint("leave out --dollar (FARTHING_DOLLAR), or name an ERC-20 with --token"));
        }
        if let Some(known) = known.filter(|known| known.dollar == dollar) {
            return Ok(known);
        }
        let token = token::describe(chain, address, dollar).await?;
        home.remember_token(chain_id, &token)?;
        Ok(token)
    }

    /// The payer's own account in a token.
    pub(crate) fn account(&self, token: &Token, signer: Option<Address>) -> Result<Account, Failure> {
        let payer = self.address()?;
        Ok(Account { payer, authorized_signer: signer.unwrap_or(payer), token: token.address })
    }

    /// What the payer has promised and deposited.
    pub(crate) async fn payer_store(&self) -> Result<PayerStore, Failure> {
        let home = self.home()?;
        home.create()?;
        Ok(PayerStore::open(home.payer_store()).await?)
    }
}

fn only_token(home: &Home, chain_id: u64) -> Result<Address, Failure> {
    let known = home.tokens()?.into_iter().filter(|known| known.chain_id == chain_id);
    let known: Vec<Token> = known.map(|known| known.token).collect();
    match known.as_slice() {
        [] => Err(Failure::new(Code::Usage, format!("no token is named, and none was before on chain {chain_id}"))
            .hint("name an ERC-20 with --token (FARTHING_TOKEN), or the chain's own coin with --token eth")),
        [token] => Ok(token.address),
        several => {
            let names: Vec<String> =
                several.iter().map(|token| format!("{} {}", token.symbol, token.address)).collect();
            let message =
                format!("no token is named, and several were before on chain {chain_id}: {}", names.join(", "));
            Err(Failure::new(Code::Usage, message).hint("name one with --token (FARTHING_TOKEN)"))
        }
    }
}
