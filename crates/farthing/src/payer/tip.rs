//! Tips: the payer names the amount.

use super::error::PayerError;
use super::fetch::Obtained;
use super::request::{ItemRequest, origin, parse};
use super::{FetchOptions, Payer, Purchase};
use farthing_core::Amount;

impl Payer {
    /// Gives a tip with a message, at a site or at the very URL where it takes tips. The amount is in base units of the
    /// token that the site lists.
    ///
    /// Naming an amount approves it, so the auto-approve line is not asked; the limits of site and day are. Every tip is
    /// a gift of its own, except that a tip of which nobody said what came of it is sent again when it is given again
    /// with the same words.
    ///
    /// # Errors
    ///
    /// If the site takes no tips or no such small one, and as [`Payer::fetch`].
    pub async fn tip(&self, url: &str, amount: Amount, message: &str) -> Result<Purchase, PayerError> {
        let site = parse(url, self.policy.plain_http)?;
        let no_tips = || PayerError::NoTips { url: url.to_owned() };
        let listing = self.http.reach_listing(&site).await.map_err(PayerError::Http)?.ok_or_else(no_tips)?;
        let token = self.policy.known(listing.method_details.chain_id, listing.currency).map(|known| &known.token);
        let token = token.cloned();
        let tip = listing.tip.ok_or_else(no_tips)?;
        let endpoint = site.join(&tip.path).map_err(|_| no_tips())?;
        // `//elsewhere.example/tip` is a path to some, and another site to a URL.
        let here = origin(&endpoint) == origin(&site);
        if !here || !["/", endpoint.path()].contains(&site.path()) {
            return Err(no_tips());
        }
        if amount < tip.price {
            let shown =
                |amount: Amount| token.as_ref().map_or_else(|| amount.to_string(), |token| token.format(amount));
            return Err(PayerError::TipTooSmall { amount: shown(amount), minimum: shown(tip.price) });
        }
        let request = ItemRequest::tip(endpoint, amount, message);
        let options = FetchOptions { approve_up_to: Some(amount), ..FetchOptions::default() };
        match self.obtain(&request, &options).await? {
            Obtained::Purchase(purchase) => Ok(*purchase),
            Obtained::Moved(_) => Err(no_tips()),
        }
    }
}
