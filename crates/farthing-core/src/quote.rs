//! What an item costs, and what is charged for it when a voucher comes.

use crate::Amount;
use crate::wire::challenge::SessionRequest;

/// What an item costs, now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The item's path.
    pub item: String,
    /// Its price.
    pub price: Amount,
    /// Whether the payer names the amount and the price is only the least: a tip. Charged is what it agreed to.
    pub or_more: bool,
    /// Set if the item is served only against a reservation: the reservation that clients are asked for.
    pub reservation_required: Option<Amount>,
}

/// Thrown when the payer agreed to less than the item costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the price is {price}, and {agreed} was agreed to")]
pub struct TooLittle {
    /// The least that pays for it.
    pub price: Amount,
    /// What was agreed to.
    pub agreed: Amount,
}

impl Quote {
    /// An item at a price.
    #[must_use]
    pub fn new(item: impl Into<String>, price: Amount) -> Self {
        Self { item: item.into(), price, or_more: false, reservation_required: None }
    }

    /// What is charged under a challenge that this payee issued and that has not expired.
    ///
    /// A quote is honoured: if the challenge was for this very item, and lower, its amount is charged. The price never
    /// rises above what the payer `agreed` to, which is the challenge's amount unless it says otherwise.
    ///
    /// # Errors
    ///
    /// If it agreed to less than what has to be charged.
    pub fn charged(&self, asked: &SessionRequest, agreed: Option<Amount>) -> Result<Amount, TooLittle> {
        let same_item = asked.method_details.item == self.item;
        let price = if same_item { asked.amount.min(self.price) } else { self.price };
        let agreed = agreed.unwrap_or(asked.amount);
        if agreed < price {
            return Err(TooLittle { price, agreed });
        }
        Ok(if self.or_more { agreed } else { price })
    }
}
