//! Fetching again what this key has bought, with nothing but the key.

use super::error::PayerError;
use super::fetch::{Asked, Obtained};
use super::offer::Offer;
use super::request::ItemRequest;
use super::{FetchOptions, Payer, Purchase, http, receipt};
use alloy::signers::SignerSync;
use farthing_core::VoucherSignature;
use farthing_core::voucher::Domain;
use farthing_core::wire::{Credential, RecallPayload};
use reqwest::StatusCode;

impl Payer {
    /// Proves the key to the site, which then sends what the key has bought. Promises nothing and pays nothing.
    pub(super) async fn recall(&self, request: &ItemRequest, options: &FetchOptions) -> Result<Obtained, PayerError> {
        let offers = match self.ask(request, options).await? {
            Asked::Free(response) => return Ok(Obtained::Purchase(Box::new(Purchase::free(response)))),
            Asked::Moved(to) => return Ok(Obtained::Moved(to)),
            Asked::Offers(offers) => offers,
        };
        let mut refused = None;
        for offer in &offers {
            match self.recall_under(request, offer, options).await {
                Ok(purchase) => return Ok(Obtained::Purchase(Box::new(purchase))),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| PayerError::MethodUnsupported { url: request.url.to_string() }))
    }

    async fn recall_under(
        &self,
        request: &ItemRequest,
        offer: &Offer,
        options: &FetchOptions,
    ) -> Result<Purchase, PayerError> {
        // No site has anything signed for an escrow that its listener does not trust. No money is at stake, so it may be
        // in a token that nothing is known of.
        offer.check_trust(&self.policy, (self.clock)())?;
        let (deployment, payee) = (offer.session.deployment(), offer.session.recipient);
        let digest = RecallPayload::digest(payee, &offer.challenge.id, &offer.item, &Domain::new(deployment));
        let signature = self.signer.sign_hash_sync(&digest).map_err(|error| PayerError::Signer(error.to_string()))?;
        let payload = RecallPayload {
            action: RecallPayload::ACTION.to_owned(),
            authorized_signer: self.signer.address(),
            signature: VoucherSignature::from_bytes(&signature.as_bytes())?,
        };
        let credential = Credential { challenge: offer.challenge.clone(), source: None, payload }.to_header()?;
        let range = options.range.map(|range| range.to_string());
        let (answer, listing) =
            tokio::join!(self.http.send(request, Some(&credential), range.as_deref()), self.http.listing(&request.url));
        let response = answer.map_err(PayerError::Http)?;
        let (status, url) = (response.status(), request.url.to_string());
        if status == StatusCode::PAYMENT_REQUIRED {
            return Err(PayerError::NotBought { url, signer: self.signer.address() });
        }
        if !status.is_success() {
            let detail = self.http.problem(response).await.detail;
            return Err(PayerError::Status { url, status: status.as_u16(), detail });
        }
        let delegation = listing.and_then(|listing| listing.delegation);
        let check =
            |field| receipt::check_item(field, &offer.item, deployment, payee, &self.policy, delegation.as_ref());
        let (receipt, receipt_error) = match http::receipt(response.headers()).map(check).transpose() {
            Ok(receipt) => (receipt, None),
            Err(error) => (None, Some(error)),
        };
        let price = receipt.as_ref().map(|receipt| receipt.receipt.price).unwrap_or_default();
        let token = Some(offer.session.token());
        Ok(Purchase { price, token, ..Purchase::with_receipt(response, receipt, receipt_error) })
    }
}
