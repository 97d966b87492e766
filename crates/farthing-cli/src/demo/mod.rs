//! `farthing demo`: the main job on a local chain, end to end, done by the same commands that anyone would run.

mod band;
mod content;
mod person;
mod report;
mod tune;

use crate::failure::{Code, Failure};
use crate::output::Output;
use band::Band;
use content::{Creator, NOCTURNE_RECORDS, THE_DAILY_FARTHING};
use farthing::chain::Chain;
use farthing::core::{Address, Amount, Token};
use farthing::local_chain::{LocalChain, LocalChainError, deploy_demo_dollar, mint_demo_dollars};
use farthing_gateway::Catalog;
use person::{Gateway, Person, Transaction, amount};
use report::{CreatorReport, Purchase, Report};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What the listener holds at first, and what of it is deposited.
const WALLET: Amount = Amount::new(20_000_000);
const DEPOSIT: &str = "$5";
const TIP: &str = "$0.25";
const RESERVATION: &str = "$1";

/// One ether for gas; on a local chain it comes from nowhere.
const ETHER: Amount = Amount::new(1_000_000_000_000_000_000);

/// Run the main job on a local chain: deposit once, buy from two creators, redeem only the last vouchers
///
/// One of the creators is a band of three, who share what it earns. Every step is a farthing command, run as you would
/// run it. Checks every balance to the base unit, and fails if one is off. Touches no chain but a local anvil (31337),
/// and nothing outside a temporary folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  farthing demo --tools path/to/the/repository")]
pub(crate) struct Demo {
    /// Take anvil from the node_modules of this folder, where npm ci put it
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    tools: PathBuf,
    /// Show costs at this price of gas; the default is 0.05 gwei, as on a busy rollup
    #[arg(long, value_name = "WEI", default_value_t = 50_000_000)]
    gas_price: u128,
    /// Show costs at this price of an ether
    #[arg(long, value_name = "DOLLARS", default_value_t = 3_000)]
    ether_price: u64,
}

/// The stage: a chain, a token, and the people on it.
struct Stage {
    output: Output,
    chain: Chain,
    token: Token,
    escrow: Address,
    listener: Person,
    purchases: Vec<Purchase>,
    /// Of the listener's own transactions that no creator caused: deposit and withdrawal.
    listener_gas: u64,
    listener_transactions: u64,
    /// What put the escrow there, and the band's split: once for ever.
    setup_transactions: u64,
}

/// A creator on the stage.
struct Shop {
    /// Whose wallet serves and redeems.
    person: Person,
    /// Who is paid: the same, or a band's split.
    payee: Address,
    band: Option<Band>,
    gateway: Gateway,
    folder: PathBuf,
    catalog: Catalog,
    report: CreatorReport,
}

/// Runs the demo.
pub(crate) async fn run(output: Output, arguments: &Demo) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::new(Code::Unexpected, error))?;
    output.note("starting a local chain, a dollar-like token and the escrow");
    let local = start_chain(&arguments.tools).await?;
    let mut stage = Stage::set(output, &local, folder.path()).await?;
    let mut nocturne = stage.open_shop(&local, folder.path(), "Nocturne", &NOCTURNE_RECORDS).await?;
    let mut daily = stage.open_shop(&local, folder.path(), "Daily", &THE_DAILY_FARTHING).await?;

    output.note(format!("the listener deposits {DEPOSIT}, once"));
    let deposit = stage.listener.run::<Value>(&["deposit", DEPOSIT]).await?;
    stage.count_own(&deposit)?;
    output.note(format!("buys everything at {}, on credit, and tips {TIP}", nocturne.report.name));
    stage.buy_everything(&mut nocturne, &[]).await?;
    stage.tip(&mut nocturne).await?;
    output.note(format!("buys everything at {}, against a reservation of {RESERVATION}", daily.report.name));
    stage.buy_everything(&mut daily, &["--reserve", RESERVATION]).await?;

    output.note(format!("{} redeems its last voucher, and its three members take their parts", nocturne.report.name));
    nocturne.redeem().await?;
    nocturne.share().await?;
    output.note(format!("{} redeems its last voucher and gives the unused reservation back", daily.report.name));
    let returned = daily.close().await?;
    output.note("the listener takes back what is left");
    let withdrawn = stage.listener.run::<Value>(&["withdraw", "all"]).await?;
    stage.count_own(&withdrawn)?;

    let taken_back = returned.saturating_add(amount(&withdrawn, "amount")?);
    let report = stage.settle([nocturne, daily], taken_back, arguments).await?;
    output.result(&report, || report.to_text(&stage.token))?;
    local.stop().await;
    Ok(())
}

async fn start_chain(tools: &Path) -> Result<LocalChain, Failure> {
    let started = LocalChain::start(&LocalChain::anvil_in(tools), Some(1)).await;
    started.map_err(|error| match error {
        LocalChainError::NoAnvil { .. } => Failure::new(Code::Chain, error)
            .hint("run ./script/demo.sh, or npm ci --ignore-scripts in the repository and name it with --tools"),
        error => Failure::new(Code::Chain, error),
    })
}

impl Stage {
    async fn set(output: Output, local: &LocalChain, folder: &Path) -> Result<Self, Failure> {
        let chain = local.connect(LocalChain::test_key(0)).await?;
        let (token, _) = deploy_demo_dollar(&chain).await?;
        let mut listener = Person::new("listener", &folder.join("listener"), local.url().as_str()).await?;
        listener.set("FARTHING_TOKEN", token.address.to_string());
        listener.set("FARTHING_DOLLAR", "true");
        local.give_ether(&chain, listener.address, ETHER).await?;
        mint_demo_dollars(&chain, token.address, listener.address, WALLET).await?;
        let escrow = Address::ZERO;
        let purchases = Vec::new();
        let (listener_gas, listener_transactions, setup_transactions) = (0, 0, 0);
        Ok(Self {
            output,
            chain,
            token,
            escrow,
            listener,
            purchases,
            listener_gas,
            listener_transactions,
            setup_transactions,
        })
    }

    /// Gives a creator a wallet and a folder, makes sure of the escrow, and starts its gateway.
    async fn open_shop(
        &mut self,
        local: &LocalChain,
        folder: &Path,
        name: &'static str,
        creator: &Creator,
    ) -> Result<Shop, Failure> {
        let mut person = Person::new(name, &folder.join(name), local.url().as_str()).await?;
        person.set("FARTHING_TOKEN", self.token.address.to_string());
        person.set("FARTHING_DOLLAR", "true");
        local.give_ether(&self.chain, person.address, ETHER).await?;
        // The second creator finds it already there.
        let deployed = person.run::<Value>(&["escrow", "deploy"]).await?;
        self.escrow = serde_json::from_value(deployed["escrow"].clone())
            .map_err(|error| Failure::new(Code::Unexpected, error))?;
        self.setup_transactions += transactions(&deployed)?.len() as u64;
        let band = if creator.is_band { Some(Band::form(self, local, folder, &person).await?) } else { None };
        self.setup_transactions += band.as_ref().map_or(0, |band| band.setup_transactions);
        let payee = band.as_ref().map_or(person.address, |band| band.split);
        let shop_folder = folder.join(creator.folder);
        creator.write(&shop_folder)?;
        let catalog =
            Catalog::load(&shop_folder, &self.token).map_err(|error| Failure::new(Code::Unexpected, error))?;
        let gateway = Gateway::start(&person, payee, &shop_folder).await?;
        let reserved = catalog.items().iter().any(|item| item.reservation.is_some());
        self.output.note(format!("{} sells {} items at {}", catalog.name(), catalog.items().len(), gateway.url));
        let report = CreatorReport {
            name: catalog.name().to_owned(),
            sells_on: if reserved { "reservation" } else { "credit" },
            vouchers: 0,
            earned: Amount::ZERO,
            redeemed: Amount::ZERO,
            listener_transactions: 0,
            creator_transactions: 0,
            listener_gas: 0,
            redemption_gas: 0,
            balance: Amount::ZERO,
            band: None,
        };
        Ok(Shop { person, payee, band, gateway, folder: shop_folder, catalog, report })
    }

    /// Buys each item of a creator and compares it with the creator's file, byte for byte.
    async fn buy_everything(&mut self, shop: &mut Shop, options: &[&str]) -> Result<(), Failure> {
        for item in shop.catalog.items().to_vec() {
            let url = format!("{}{}", shop.gateway.url, item.path);
            let target = self.listener.path(&item.path.replace('/', "_"));
            let target_name = target.display().to_string();
            let mut command = vec!["get", &url, "--output", &target_name];
            command.extend(options);
            let bought = self.listener.run::<Value>(&command).await?;
            let received = read(&target)?;
            if received != read(&item.file)? {
                return Err(off(format!("{} is not, byte for byte, the creator's file", item.path)));
            }
            self.enter(shop, &item.title, item.price, &bought, received.len() as u64)?;
        }
        Ok(())
    }

    async fn tip(&mut self, shop: &mut Shop) -> Result<(), Failure> {
        let arguments = ["tip", &shop.gateway.url, TIP, "--message", "for the moon"];
        let tipped = self.listener.run::<Value>(&arguments).await?;
        let price = amount(&tipped, "amount")?;
        self.enter(shop, "a tip", price, &tipped, 0)
    }

    /// Takes a purchase into the report; what was paid must be the price, and there must be a receipt that holds.
    fn enter(
        &mut self,
        shop: &mut Shop,
        title: &str,
        price: Amount,
        bought: &Value,
        bytes: u64,
    ) -> Result<(), Failure> {
        if !bought["paid"].is_null() && amount(bought, "paid")? != price {
            return Err(off(format!("{title} cost {price}, and {} was paid", bought["paid"])));
        }
        // Only a receipt that was checked is shown. A band's gateway signs with its own key, and the split's terms say
        // so.
        let proof = &bought["receipt"]["delegation"]["proof"];
        if bought["receipt"].is_null() || (proof == "split") != shop.band.is_some() {
            return Err(off(format!("the receipt of {title} does not hold: {}", bought["receipt"])));
        }
        let transactions = transactions(bought)?;
        shop.report.listener_transactions += transactions.len() as u64;
        shop.report.listener_gas += gas(&transactions);
        shop.report.vouchers += 1;
        shop.report.earned = shop.report.earned.saturating_add(price);
        let (creator, title) = (shop.report.name.clone(), title.to_owned());
        self.purchases.push(Purchase { creator, title, price, bytes });
        Ok(())
    }

    fn count_own(&mut self, result: &Value) -> Result<(), Failure> {
        let transactions = transactions(result)?;
        self.listener_transactions += transactions.len() as u64;
        self.listener_gas += gas(&transactions);
        Ok(())
    }

    /// Reads every balance from the chain and compares it with the sum of the prices, to the base unit.
    async fn settle(&self, shops: [Shop; 2], taken_back: Amount, arguments: &Demo) -> Result<Report, Failure> {
        let paid = Amount::saturating_sum(self.purchases.iter().map(|purchase| purchase.price));
        let listener_balance = self.holds(self.listener.address).await?;
        check("the listener", listener_balance, WALLET.saturating_sub(paid))?;
        let escrow_balance = self.holds(self.escrow).await?;
        check("the escrow", escrow_balance, Amount::ZERO)?;
        let deposited = self.token.parse(DEPOSIT).map_err(|error| Failure::new(Code::Unexpected, error))?;
        check("what came back to the listener", taken_back, deposited.saturating_sub(paid))?;
        let mut creators = Vec::new();
        let mut sent = self.sent_by(self.listener.address).await?;
        for mut shop in shops {
            shop.report.balance = self.holds(shop.payee).await?;
            check("what was redeemed", shop.report.redeemed, shop.report.earned)?;
            if let Some(band) = &shop.band {
                shop.report.band = Some(band.settle(self, shop.report.earned).await?);
                sent += band.sent(self).await?;
            }
            let kept = if shop.band.is_some() { Amount::ZERO } else { shop.report.earned };
            check(&shop.report.name, shop.report.balance, kept)?;
            sent += self.sent_by(shop.person.address).await?;
            shop.gateway.kill().await;
            creators.push(shop.report);
        }
        let of_creators = creators.iter().map(|creator| creator.listener_transactions + creator.creator_transactions);
        let transactions = self.listener_transactions + of_creators.sum::<u64>();
        // The nonces on the chain are the witness. What is sent once for ever and what a band's members send are no
        // part of what buying costs, so they are counted apart.
        let releases: u64 =
            creators.iter().filter_map(|creator| creator.band.as_ref()).map(|band| band.transactions).sum();
        let counted = transactions + releases + self.setup_transactions;
        if sent != counted {
            return Err(off(format!("{counted} transactions were counted, the chain knows of {sent}")));
        }
        let of_creators = creators.iter().map(|creator| creator.listener_gas + creator.redemption_gas);
        let gas_total = self.listener_gas + of_creators.sum::<u64>();
        let items = self.purchases.len() as u64;
        let gas_per_item = gas_total / items.max(1);
        let cost = Report::gas_cost_nanodollars(gas_per_item, arguments.gas_price, arguments.ether_price);
        Ok(Report {
            items,
            vouchers: creators.iter().map(|creator| creator.vouchers).sum(),
            transactions,
            setup_transactions: self.setup_transactions,
            deposited,
            paid,
            redeemed: Amount::saturating_sum(creators.iter().map(|creator| creator.redeemed)),
            refunded: taken_back,
            gas_total,
            gas_per_item,
            cost_per_item_nanodollars: cost,
            gas_price_wei: arguments.gas_price,
            ether_price_dollars: arguments.ether_price,
            card_fees: Report::card_fees_of(&self.purchases, &self.token),
            listener_balance,
            escrow_balance,
            creators,
            purchases: self.purchases.clone(),
        })
    }

    async fn holds(&self, address: Address) -> Result<Amount, Failure> {
        Ok(farthing::token::balance_of(&self.chain, self.token.address, address).await?)
    }

    async fn sent_by(&self, address: Address) -> Result<u64, Failure> {
        Ok(self.chain.transactions_of(address).await?)
    }
}

impl Shop {
    /// Redeems what is due: one transaction with the last voucher.
    async fn redeem(&mut self) -> Result<(), Failure> {
        let folder = self.folder.display().to_string();
        let result = self.person.run::<Value>(&["redeem", &folder]).await?;
        let transactions = transactions(&result)?;
        if result["vouchers"] != 1 || transactions.len() != 1 {
            return Err(off(format!("one voucher in one transaction was to be redeemed, not {result}")));
        }
        self.report.redeemed = amount(&result, "paid")?;
        self.count(&transactions);
        Ok(())
    }

    /// The members of a band take their parts.
    async fn share(&mut self) -> Result<(), Failure> {
        match &mut self.band {
            Some(band) => band.release().await,
            None => Ok(()),
        }
    }

    /// Redeems the last voucher and gives the unused reservation back; returns what was given back.
    async fn close(&mut self) -> Result<Amount, Failure> {
        let folder = self.folder.display().to_string();
        let earnings = self.person.run::<Value>(&["earnings", &folder]).await?;
        let channel = earnings["channels"][0]["channelId"].as_str().unwrap_or_default().to_owned();
        let result = self.person.run::<Value>(&["close", &channel, &folder]).await?;
        self.report.redeemed = amount(&result, "paid")?;
        let transactions = transactions(&result)?;
        self.count(&transactions);
        amount(&result, "refunded")
    }

    fn count(&mut self, transactions: &[Transaction]) {
        self.report.creator_transactions += transactions.len() as u64;
        self.report.redemption_gas += gas(transactions);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::file(path, &error))
}

fn transactions(result: &Value) -> Result<Vec<Transaction>, Failure> {
    let list = result.get("transactions").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    serde_json::from_value(list).map_err(|error| Failure::new(Code::Unexpected, error))
}

fn gas(transactions: &[Transaction]) -> u64 {
    transactions.iter().map(|transaction| transaction.gas_used).sum()
}

fn check(what: &str, found: Amount, expected: Amount) -> Result<(), Failure> {
    if found == expected { Ok(()) } else { Err(off(format!("{what}: {found} base units, and not {expected}"))) }
}

/// The demo's books do not balance: a bug, never to be passed over.
fn off(what: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Unexpected, format!("the balance is off: {what}")).hint("this is a bug; please report it")
}
