//! What the demo shows: for a person, and as one JSON object.

use crate::output::table;
use farthing::core::{Address, Amount, Token};
use serde::Serialize;

/// What a card is taken to cost, as the large processors list it: a share and a fixed part of each payment.
const CARD_SHARE_PER_MILLE: u128 = 29;
const CARD_FIXED_CENTS: u128 = 30;

/// One thing that was bought.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Purchase {
    pub(super) creator: String,
    pub(super) title: String,
    pub(super) price: Amount,
    pub(super) bytes: u64,
}

/// What one creator sold and how it was paid.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CreatorReport {
    pub(super) name: String,
    /// `credit` or `reservation`.
    pub(super) sells_on: &'static str,
    pub(super) vouchers: u64,
    pub(super) earned: Amount,
    pub(super) redeemed: Amount,
    /// Transactions that this creator cost the listener, beyond the one deposit.
    pub(super) listener_transactions: u64,
    pub(super) creator_transactions: u64,
    /// Gas of those of the listener.
    pub(super) listener_gas: u64,
    /// Gas of those of the creator: the redemption.
    pub(super) redemption_gas: u64,
    /// What the payee holds of the token at the end: the creator's wallet, or the band's split.
    pub(super) balance: Amount,
    /// Those who share it, if the creator is a band.
    pub(super) band: Option<BandReport>,
}

/// A band, and what its members took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct BandReport {
    /// The payee.
    pub(super) split: Address,
    /// The members' own, to take their parts.
    pub(super) transactions: u64,
    /// Gas of those.
    pub(super) gas: u64,
    pub(super) members: Vec<MemberReport>,
}

/// One of a band.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MemberReport {
    pub(super) name: &'static str,
    pub(super) address: Address,
    pub(super) shares: u64,
    /// What the member's wallet holds of the token at the end.
    pub(super) balance: Amount,
}

impl CreatorReport {
    fn to_text(&self, token: &Token) -> String {
        let how = if self.sells_on == "credit" { "on credit" } else { "against a reservation" };
        let listener = match self.listener_transactions {
            0 => "no transaction".to_owned(),
            1 => "one transaction".to_owned(),
            count => format!("{count} transactions"),
        };
        let mut text = format!(
            "{}, {how}: the listener sent {listener}.\n  \
             Of {} vouchers only the last went to the chain: {} for {} gas.",
            self.name,
            self.vouchers,
            token.format(self.redeemed),
            self.redemption_gas,
        );
        if let Some(band) = &self.band {
            text += &format!(
                "\n  It is a split: its {} members took their parts, for {} gas of their own.",
                band.members.len(),
                band.gas
            );
        }
        text
    }
}

/// Everything that the demo did. Amounts are base units as decimal strings.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) items: u64,
    pub(super) vouchers: u64,
    pub(super) transactions: u64,
    /// What is sent once for ever: the escrow, the factory of splits, the band's split.
    pub(super) setup_transactions: u64,
    pub(super) deposited: Amount,
    pub(super) paid: Amount,
    pub(super) redeemed: Amount,
    pub(super) refunded: Amount,
    pub(super) gas_total: u64,
    pub(super) gas_per_item: u64,
    /// In nano-units of a dollar an item, at the stated prices.
    pub(super) cost_per_item_nanodollars: u128,
    pub(super) gas_price_wei: u128,
    pub(super) ether_price_dollars: u64,
    pub(super) card_fees: Amount,
    pub(super) listener_balance: Amount,
    pub(super) escrow_balance: Amount,
    pub(super) creators: Vec<CreatorReport>,
    pub(super) purchases: Vec<Purchase>,
}

impl Report {
    /// What a card would have charged for the same purchases, in base units of the token.
    pub(super) fn card_fees_of(purchases: &[Purchase], token: &Token) -> Amount {
        let cent = 10_u128.pow(u32::from(token.decimals)) / 100;
        let fee = |price: Amount| price.base_units() * CARD_SHARE_PER_MILLE / 1_000 + CARD_FIXED_CENTS * cent;
        Amount::new(purchases.iter().map(|purchase| fee(purchase.price)).sum())
    }

    /// Gas to nano-dollars: wei are 10⁻¹⁸ of an ether, nano-dollars 10⁻⁹ of a dollar.
    pub(super) fn gas_cost_nanodollars(gas: u64, gas_price_wei: u128, ether_price_dollars: u64) -> u128 {
        u128::from(gas) * gas_price_wei * u128::from(ether_price_dollars) / 1_000_000_000
    }

    /// For a person, in 80 columns.
    pub(super) fn to_text(&self, token: &Token) -> String {
        let money = |amount: Amount| token.format(amount);
        let mut bought = table(&["creator", "item", "size", "price"], &[2, 3]);
        for purchase in &self.purchases {
            let size = if purchase.bytes == 0 { String::new() } else { format!("{} bytes", purchase.bytes) };
            bought.add_row([&purchase.creator, &purchase.title, &size, &money(purchase.price)]);
        }
        let mut balances = table(&["at the end", "holds"], &[1]);
        balances.add_row(["listener".to_owned(), money(self.listener_balance)]);
        for creator in &self.creators {
            balances.add_row([creator.name.clone(), money(creator.balance)]);
            for member in creator.band.iter().flat_map(|band| &band.members) {
                balances.add_row([format!("  {}", member.name), money(member.balance)]);
            }
        }
        balances.add_row(["escrow".to_owned(), money(self.escrow_balance)]);
        let creators: Vec<String> = self.creators.iter().map(|creator| creator.to_text(token)).collect();
        let (summary, costs) = (self.summary(token), self.costs(token));
        format!("\n{bought}\n\n{summary}\n\n{}\n\n{costs}\n\n{balances}\n", creators.join("\n"))
    }

    fn summary(&self, token: &Token) -> String {
        format!(
            "{} items for {}, paid with {} vouchers and {} transactions.\n\
             Deposited {} once; {} redeemed, {} taken back.",
            self.items,
            token.format(self.paid),
            self.vouchers,
            self.transactions,
            token.format(self.deposited),
            token.format(self.redeemed),
            token.format(self.refunded),
        )
    }

    fn costs(&self, token: &Token) -> String {
        let gwei = shifted(self.gas_price_wei, 9);
        let card = token.format(Amount::new(self.card_fees.base_units() / u128::from(self.items.max(1))));
        format!(
            "Gas: {} in all, {} an item. At {gwei} gwei and ${} an ether that is\n\
             ${} an item; a card at 2.9 % + $0.30 would have taken {card} an item.",
            self.gas_total,
            self.gas_per_item,
            self.ether_price_dollars,
            shifted(self.cost_per_item_nanodollars, 9),
        )
    }
}

/// A decimal number from an integer and the number of its digits behind the point; at most six of them are shown.
fn shifted(number: u128, digits: u32) -> String {
    let unit = 10_u128.pow(digits);
    let fraction = format!("{:0>width$}", number % unit, width = digits as usize);
    let shown = fraction[..fraction.len().min(6)].trim_end_matches('0');
    if shown.is_empty() { (number / unit).to_string() } else { format!("{}.{shown}", number / unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shifted_without_floats() {
        assert_eq!(shifted(1_500_000_000, 9), "1.5");
        assert_eq!(shifted(50_000_000, 9), "0.05");
        assert_eq!(shifted(2_000_000_000, 9), "2");
        assert_eq!(shifted(1_234_567_891, 9), "1.234567");
    }

    #[test]
    fn a_gas_cost_is_exact() {
        // 50,000 gas at 2 gwei is 10⁻⁴ ether; at $3,000 an ether 30 cents.
        assert_eq!(Report::gas_cost_nanodollars(50_000, 2_000_000_000, 3_000), 300_000_000);
    }
}
