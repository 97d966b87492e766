//! The demo's band: three people who share what their label earns, and the split that is paid for them.

use super::person::{Person, amount};
use super::report::{BandReport, MemberReport};
use super::{ETHER, Stage, check, gas, off, transactions};
use crate::failure::{Code, Failure};
use farthing::core::{Address, Amount, Member, SplitTerms};
use farthing::local_chain::LocalChain;
use serde_json::Value;
use std::path::Path;

/// Who they are, in the order in which a round is dealt: that of their addresses.
const MEMBERS: [&str; 3] = ["the lutenist", "the pianist", "the singer"];

/// Three equal parts, which no amount of cents divides into.
const SHARES: u64 = 1;

/// The members, and the split that is paid for them.
pub(super) struct Band {
    members: Vec<Person>,
    terms: SplitTerms,
    pub(super) split: Address,
    /// What it took to put factory and split there.
    pub(super) setup_transactions: u64,
    releases: u64,
    release_gas: u64,
}

impl Band {
    /// Gives three people wallets, and has the label's wallet create their split; it becomes its operator.
    pub(super) async fn form(
        stage: &Stage,
        local: &LocalChain,
        folder: &Path,
        label: &Person,
    ) -> Result<Self, Failure> {
        let mut members = Vec::new();
        for name in MEMBERS {
            let mut member = Person::new(name, &folder.join(name), local.url().as_str()).await?;
            member.set("FARTHING_TOKEN", stage.token.address.to_string());
            member.set("FARTHING_DOLLAR", "true");
            local.give_ether(&stage.chain, member.address, ETHER).await?;
            members.push(member);
        }
        members.sort_by_key(|member| member.address);
        for (member, name) in members.iter_mut().zip(MEMBERS) {
            member.name = name;
        }
        let named: Vec<String> = members.iter().map(|member| format!("{}={SHARES}", member.address)).collect();
        let mut command = vec!["split", "deploy"];
        command.extend(named.iter().flat_map(|member| ["--member", member]));
        let deployed = label.run::<Value>(&command).await?;
        let unexpected = |error: serde_json::Error| Failure::new(Code::Unexpected, error);
        let split = serde_json::from_value(deployed["split"].clone()).map_err(unexpected)?;
        let shares = |member: &Person| Member { account: member.address, shares: SHARES };
        let terms = SplitTerms::new(stage.escrow, label.address, label.address, members.iter().map(shares).collect())
            .map_err(|error| Failure::new(Code::Unexpected, error))?;
        if split != farthing::split::split_address(&terms) {
            return Err(off("the split is not where its terms say"));
        }
        let setup_transactions = transactions(&deployed)?.len() as u64;
        Ok(Self { members, terms, split, setup_transactions, releases: 0, release_gas: 0 })
    }

    /// Each member takes what it is due, in a transaction of its own.
    pub(super) async fn release(&mut self) -> Result<(), Failure> {
        let split = self.split.to_string();
        for member in &self.members {
            let own = member.address.to_string();
            let result = member.run::<Value>(&["split", "release", &split, "--member", &own]).await?;
            let sent = transactions(&result)?;
            if sent.len() != 1 {
                return Err(off(format!("{} was to take its part in one transaction, not {result}", member.name)));
            }
            self.releases += 1;
            self.release_gas += gas(&sent);
        }
        Ok(())
    }

    /// Compares what every member holds with what the rule gives it of all that was earned, to the base unit.
    pub(super) async fn settle(&self, stage: &Stage, earned: Amount) -> Result<BandReport, Failure> {
        let split = self.split.to_string();
        let shown = stage.listener.run::<Value>(&["split", "show", &split]).await?;
        check("what the band is still due", amount(&shown["tokens"][0], "due")?, Amount::ZERO)?;
        check("what was released to the band", amount(&shown["tokens"][0], "released")?, earned)?;
        let mut members = Vec::new();
        for member in &self.members {
            let (balance, part) = (stage.holds(member.address).await?, self.terms.part_of(member.address, earned));
            check(member.name, balance, part)?;
            members.push(MemberReport { name: member.name, address: member.address, shares: SHARES, balance });
        }
        check("all members", Amount::saturating_sum(members.iter().map(|member| member.balance)), earned)?;
        Ok(BandReport { split: self.split, transactions: self.releases, gas: self.release_gas, members })
    }

    /// What the members have sent, as the chain knows it.
    pub(super) async fn sent(&self, stage: &Stage) -> Result<u64, Failure> {
        let mut sent = 0;
        for member in &self.members {
            sent += stage.sent_by(member.address).await?;
        }
        Ok(sent)
    }
}
