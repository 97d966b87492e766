//! From a URL to what is there: ask, check, promise, sign, send, keep the receipt.

use super::error::PayerError;
use super::offer::Offer;
use super::receipt::{self, ReceiptError};
use super::request::{ItemRequest, origin};
use super::store::{CachedOffer, Denied, Intent, PaidChannel, Promise, PromiseState, shortfall};
use super::{ByteRange, FetchOptions, Payer, Purchase, http};
use alloy::signers::SignerSync;
use farthing_core::voucher::Domain;
use farthing_core::wire::credential::ChannelTerms;
use farthing_core::wire::{Credential, Listing, Problem, ProblemType, SignedReceipt, VoucherPayload};
use farthing_core::{Amount, SignedVoucher, VoucherSignature};
use reqwest::{Response, StatusCode};
use url::Url;

/// How often a site may send on to another of its own URLs.
const REDIRECTS_MAX: usize = 5;

/// How often a refused payment is tried again, in whatever way: a site that never has enough gets two vouchers for one
/// amount.
const RETRIES_MAX: usize = 1;

/// What came of asking for a URL.
pub(super) enum Obtained {
    Purchase(Box<Purchase>),
    Moved(Url),
}

pub(super) enum Asked {
    Free(Response),
    Moved(Url),
    Offers(Vec<Offer>),
}

enum Answer {
    Served(Box<Purchase>),
    Refused(Refusal),
}

struct Refusal {
    status: StatusCode,
    problem: Problem,
    /// What the site asks for now.
    offers: Vec<Offer>,
}

/// What to do about a refusal.
enum Next {
    /// Send the very same voucher under another challenge.
    SameVoucher(Box<Offer>),
    /// Give this promise up, and see whether what the site asks now may be promised.
    NewVoucher(Vec<Offer>),
    Stop,
}

impl Payer {
    /// Like [`Payer::fetch`], with options.
    ///
    /// # Errors
    ///
    /// As [`Payer::fetch`].
    ///
    /// # Cancel safety
    ///
    /// As [`Payer::fetch`].
    pub async fn fetch_with(&self, url: &str, options: &FetchOptions) -> Result<Purchase, PayerError> {
        let mut request = ItemRequest::get(url, self.policy.plain_http)?;
        for _ in 0..=REDIRECTS_MAX {
            match self.obtain(&request, options).await? {
                Obtained::Purchase(purchase) => return Ok(*purchase),
                Obtained::Moved(to) => request = ItemRequest::get(to.as_str(), self.policy.plain_http)?,
            }
        }
        Err(PayerError::TooManyRedirects { url: url.to_owned() })
    }

    pub(super) async fn obtain(&self, request: &ItemRequest, options: &FetchOptions) -> Result<Obtained, PayerError> {
        if options.recall {
            return self.recall(request, options).await;
        }
        let (earlier, cached) = self.store.look_up(request.key(), request.origin.clone()).await?;
        let earlier = earlier.filter(|promise| {
            !options.buy_again && (request.is_bought_once() || promise.state == PromiseState::Promised)
        });
        let now = (self.clock)();
        let from_cache = cached.and_then(|cached| match &earlier {
            Some(promise) => Offer::for_earlier(&cached, promise, now),
            None => Offer::from_cache(&cached, request, now),
        });
        let offers = match from_cache {
            Some(offer) => vec![offer],
            None => match self.ask(request, options).await? {
                Asked::Free(response) => return Ok(Obtained::Purchase(Box::new(Purchase::free(response)))),
                Asked::Moved(to) => return Ok(Obtained::Moved(to)),
                Asked::Offers(offers) => offers,
            },
        };
        self.pay(request, offers, earlier, options).await.map(|purchase| Obtained::Purchase(Box::new(purchase)))
    }

    /// Requests without a voucher: what is free comes, what is not names its price.
    pub(super) async fn ask(&self, request: &ItemRequest, options: &FetchOptions) -> Result<Asked, PayerError> {
        let range = options.range.map(|range| range.to_string());
        let response = self.http.send(request, None, range.as_deref()).await.map_err(PayerError::Http)?;
        let (status, url) = (response.status(), || request.url.to_string());
        if status.is_success() {
            return Ok(Asked::Free(response));
        }
        if status == StatusCode::PAYMENT_REQUIRED {
            return read_offers(request, &response).map(Asked::Offers);
        }
        if let Some(to) = http::location(request, response.headers()).filter(|_| status.is_redirection()) {
            if origin(&to) == request.origin {
                return Ok(Asked::Moved(to));
            }
            return Err(PayerError::Redirected { url: url(), to: to.to_string() });
        }
        let detail = self.http.problem(response).await.detail;
        Err(PayerError::Status { url: url(), status: status.as_u16(), detail })
    }

    /// Sends a voucher, an earlier promise's or a new one's, and at most once more if that is refused.
    async fn pay(
        &self,
        request: &ItemRequest,
        mut offers: Vec<Offer>,
        mut earlier: Option<Promise>,
        options: &FetchOptions,
    ) -> Result<Purchase, PayerError> {
        let mut retries_left = RETRIES_MAX;
        loop {
            let resumed = match earlier.take() {
                Some(promise) => self.resume(request, &offers, &promise).await?,
                None => None,
            };
            let (offer, promise) = match resumed {
                Some(resumed) => resumed,
                None => self.promise(request, &offers, options).await?,
            };
            let refusal = match self.send(request, &offer, &promise, options).await? {
                Answer::Served(purchase) => return Ok(*purchase),
                Answer::Refused(refusal) => refusal,
            };
            match refusal.next(&offer, &promise, retries_left) {
                Next::SameVoucher(offer) => (offers, earlier) = (vec![*offer], Some(promise)),
                Next::NewVoucher(fresh) => {
                    self.store.mark_refused(promise.id, Some(Box::new(refusal.problem))).await?;
                    offers = fresh;
                }
                Next::Stop => return Err(self.give_up(request, &offer, promise, refusal).await?),
            }
            retries_left = retries_left.saturating_sub(1);
        }
    }

    /// An earlier promise, and the challenge to send it with again; nothing if another process saw it refused.
    async fn resume(
        &self,
        request: &ItemRequest,
        offers: &[Offer],
        promise: &Promise,
    ) -> Result<Option<(Offer, Promise)>, PayerError> {
        let offer = offer_of(request, offers, promise)?;
        let promise = self.store.resume(promise.id).await?;
        Ok((!matches!(promise.state, PromiseState::Refused { .. })).then_some((offer, promise)))
    }

    /// Takes the first offer that may be paid and makes a promise of it.
    async fn promise(
        &self,
        request: &ItemRequest,
        offers: &[Offer],
        options: &FetchOptions,
    ) -> Result<(Offer, Promise), PayerError> {
        let mut first_error = None;
        for offer in offers {
            match self.promise_one(request, offer, options).await {
                // Somebody else's promise for the same request may be paid in another way than this offer asks.
                Ok(promise) if !offer.is_of(&promise) => return Ok((offer_of(request, offers, &promise)?, promise)),
                Ok(promise) => return Ok((offer.clone(), promise)),
                Err(PayerError::Store(error)) => return Err(error.into()),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| PayerError::MethodUnsupported { url: request.url.to_string() }))
    }

    async fn promise_one(
        &self,
        request: &ItemRequest,
        offer: &Offer,
        options: &FetchOptions,
    ) -> Result<Promise, PayerError> {
        let now = (self.clock)();
        let known = offer.check(&self.policy, now)?;
        let deployment = offer.session.deployment();
        let account = self.account(known.token.address);
        let payee = offer.session.recipient;
        let intent = Intent {
            deployment,
            account,
            payee,
            token: known.token.clone(),
            limits: known.limits,
            price: offer.price,
            approved: options.approve_up_to,
            accept_payee: options.accept_payee,
            reservation: offer.session.method_details.reservation,
            method: request.method.to_string(),
            url: request.url.to_string(),
            body: request.body.clone(),
            request: request.key(),
            anew: options.buy_again || !request.is_bought_once(),
            origin: request.origin.clone(),
            item: offer.item.clone(),
            at: now,
        };
        let token = || Box::new(known.token.clone());
        self.store.promise(intent).await?.map_err(|denied| match denied {
            Denied::NoDeposit => {
                let (payer, signer) = (account.payer, account.authorized_signer);
                PayerError::NoDeposit { deployment, payer, signer, token: token() }
            }
            Denied::PayeeChanged { pinned } => {
                PayerError::PayeeChanged { origin: request.origin.clone(), pinned, offered: payee }
            }
            Denied::Budget(error) => error.into(),
            Denied::NeedsReservation { channel, shortfall } => PayerError::ReservationNeeded {
                deployment,
                channel,
                token: token(),
                amount: shortfall.amount,
                required: shortfall.required,
            },
            Denied::TooLarge { cumulative_amount } => PayerError::TooLarge { cumulative_amount },
        })
    }

    fn sign(&self, promise: &Promise) -> Result<SignedVoucher, PayerError> {
        let domain = Domain::new(promise.deployment);
        let voucher = promise.voucher();
        let signature = self.signer.sign_hash_sync(&voucher.digest(&domain));
        let signature = signature.map_err(|error| PayerError::Signer(error.to_string()))?;
        let signed = voucher.with_signature(VoucherSignature::from_bytes(&signature.as_bytes())?);
        // What leaves is what the payee will check, by the key that the channel names.
        signed.verify(&domain, &promise.channel)?;
        Ok(signed)
    }

    /// Signs a promise that is durable, and sends it. Meanwhile the listing comes, if the challenge is new.
    async fn send(
        &self,
        request: &ItemRequest,
        offer: &Offer,
        promise: &Promise,
        options: &FetchOptions,
    ) -> Result<Answer, PayerError> {
        let credential = credential(offer, promise, &self.sign(promise)?).to_header()?;
        let range = options.range.map(|range| range.to_string());
        let (answer, listing) = tokio::join!(
            self.http.send(request, Some(&credential), range.as_deref()),
            self.listing_of_fresh(request, offer)
        );
        let url = || request.url.to_string();
        let response = answer.map_err(|source| PayerError::OutcomeUnknown { url: url(), source })?;
        let status = response.status();
        if status.is_success() {
            return self.receive(request, offer, promise, response, listing).await.map(Answer::Served);
        }
        let offers = read_offers(request, &response).unwrap_or_default();
        let problem = self.http.problem(response).await;
        if !is_refusal(status, &problem) {
            return Err(PayerError::Unanswered { url: url(), status: status.as_u16() });
        }
        Ok(Answer::Refused(Refusal { status, problem, offers }))
    }

    async fn listing_of_fresh(&self, request: &ItemRequest, offer: &Offer) -> Option<Listing> {
        if offer.fresh { self.http.listing(&request.url).await } else { None }
    }

    async fn receive(
        &self,
        request: &ItemRequest,
        offer: &Offer,
        promise: &Promise,
        response: Response,
        mut listing: Option<Listing>,
    ) -> Result<Box<Purchase>, PayerError> {
        let checked = match http::receipt(response.headers()) {
            Some(field) => Some(self.check_receipt(request, field, promise, offer, &mut listing).await),
            None => None,
        };
        let (receipt, receipt_error) = match checked.transpose() {
            Ok(receipt) => (receipt, None),
            Err(error) => (None, Some(error)),
        };
        let remembered = (offer.fresh || listing.is_some()).then(|| {
            Some(CachedOffer {
                challenge: serde_json::to_string(&offer.challenge).ok()?,
                listing: listing.and_then(|listing| serde_json::to_string(&listing).ok()),
            })
        });
        let receipt_to_keep = receipt.clone().map(Box::new);
        // Of several that sent one voucher at once, the first one has paid.
        let is_news = self.store.mark_bought(promise.id, receipt_to_keep, remembered.flatten()).await?;
        let known = self.policy.known(promise.deployment.chain_id, promise.channel.token);
        Ok(Box::new(Purchase {
            price: promise.price,
            paid_now: if is_news { promise.price } else { Amount::ZERO },
            token: known.map(|known| known.token.clone()),
            ..Purchase::with_receipt(response, promise.receipt().cloned().or(receipt), receipt_error)
        }))
    }

    /// Checks a receipt with what the listing says about who signs it. If that is not enough and the listing is an old
    /// one, it is fetched anew, once: the delegation may be another by now.
    async fn check_receipt(
        &self,
        request: &ItemRequest,
        field: &str,
        promise: &Promise,
        offer: &Offer,
        listing: &mut Option<Listing>,
    ) -> Result<SignedReceipt, ReceiptError> {
        let listed = |listing: &Option<Listing>| listing.as_ref().and_then(|listing| listing.delegation.clone());
        let known = listed(listing).or_else(|| offer.delegation.clone());
        match receipt::check(field, promise, &self.policy, known.as_ref()) {
            Err(error) if error.is_about_signer() && listing.is_none() => {
                *listing = self.http.listing(&request.url).await;
                receipt::check(field, promise, &self.policy, Some(&listed(listing).ok_or(error)?))
            }
            checked => checked,
        }
    }

    /// Notes the refusal and says what it means.
    async fn give_up(
        &self,
        request: &ItemRequest,
        offer: &Offer,
        promise: Promise,
        refusal: Refusal,
    ) -> Result<PayerError, PayerError> {
        let problem = Box::new(refusal.problem);
        if !promise.is_bought() {
            self.store.mark_refused(promise.id, Some(problem.clone())).await?;
            if problem.problem_type() == Some(ProblemType::AmountExceedsDeposit) {
                let channel = self.store.channel(promise.channel_id()).await?;
                return Ok(self.reservation_error(offer, promise.price, &channel));
            }
        }
        Ok(PayerError::Refused { url: request.url.to_string(), status: refusal.status.as_u16(), problem })
    }

    /// What to do when the payee says that a channel covers too little. How much that takes is worked out from what was
    /// promised and recorded here; the payee's figures are its own.
    fn reservation_error(&self, offer: &Offer, price: Amount, channel: &PaidChannel) -> PayerError {
        let deployment = channel.deployment;
        let token_address = channel.channel.token;
        let Some(known) = self.policy.known(deployment.chain_id, token_address) else {
            return PayerError::UnknownToken { token: token_address, chain_id: deployment.chain_id };
        };
        // A suggestion is taken as far as the owner's limit goes; a demand is met or refused.
        let suggested = offer.session.suggested_deposit.unwrap_or_default();
        let suggested = suggested.min(known.limits.reservation.saturating_sub(price));
        let asked = offer.session.method_details.reservation.unwrap_or(suggested);
        let token = Box::new(known.token.clone());
        let terms = Box::new(channel.channel);
        let Some(shortfall) = shortfall(channel, price, asked) else {
            return PayerError::ReservationNotFinal {
                deployment,
                channel: terms,
                token,
                guaranteed: channel.guaranteed,
            };
        };
        if let Err(error) = known.limits.check_reservation(shortfall.locked, &known.token) {
            return error.into();
        }
        let (amount, required) = (shortfall.amount, shortfall.required);
        PayerError::ReservationNeeded { deployment, channel: terms, token, amount, required }
    }
}

impl Refusal {
    /// At most one retry, and each kind for a reason: a challenge that ran out is replaced; a channel that the payee
    /// forgot is shown again (every credential carries the terms); other terms than agreed to are looked at afresh,
    /// under the same rules as the first time. Anything else would only be refused again.
    fn next(&self, offer: &Offer, promise: &Promise, retries_left: usize) -> Next {
        if retries_left == 0 {
            return Next::Stop;
        }
        let fits = |fresh: &&Offer| if promise.is_bought() { fresh.is_of(promise) } else { fresh.is_met_by(promise) };
        let fresh = self.offers.iter().find(fits).cloned();
        match (self.problem.problem_type(), fresh) {
            (Some(ProblemType::PaymentExpired | ProblemType::InvalidChallenge), Some(fresh)) => {
                Next::SameVoucher(Box::new(fresh))
            }
            (Some(ProblemType::ChannelNotFound), fresh) => {
                Next::SameVoucher(Box::new(fresh.unwrap_or_else(|| offer.clone())))
            }
            (_, None) if !promise.is_bought() && !self.offers.is_empty() => Next::NewVoucher(self.offers.clone()),
            _ => Next::Stop,
        }
    }
}

/// Whether an answer to a voucher says that it was not taken. Anything else leaves it open, and the promise stands: a
/// proxy's 404 or 429 says nothing about what the payee behind it did.
fn is_refusal(status: StatusCode, problem: &Problem) -> bool {
    let by_status = matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::GONE);
    by_status || (status.is_client_error() && problem.problem_type().is_some())
}

/// The offer that a promise can be sent with.
fn offer_of(request: &ItemRequest, offers: &[Offer], promise: &Promise) -> Result<Offer, PayerError> {
    let offer = offers.iter().find(|offer| offer.is_of(promise)).cloned();
    let changed = || PayerError::ChannelChanged { url: request.url.to_string(), channel: promise.channel_id() };
    offer.ok_or_else(changed)
}

/// Reads what a 402 asks for. One challenge that can't be paid does not spoil the others.
fn read_offers(request: &ItemRequest, response: &Response) -> Result<Vec<Offer>, PayerError> {
    let mut offers = Vec::new();
    let mut first_error = None;
    for challenge in http::challenges(response.headers())? {
        match Offer::new(challenge, request) {
            Ok(offer) => offers.push(offer),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    if offers.is_empty() {
        return Err(first_error.unwrap_or_else(|| PayerError::MethodUnsupported { url: request.url.to_string() }));
    }
    Ok(offers)
}

fn credential(offer: &Offer, promise: &Promise, signed: &SignedVoucher) -> Credential {
    let source = format!("did:pkh:eip155:{}:{}", promise.deployment.chain_id, promise.channel.payer);
    Credential {
        challenge: offer.challenge.clone(),
        source: Some(source),
        payload: VoucherPayload {
            action: VoucherPayload::ACTION.to_owned(),
            channel_id: signed.voucher.channel_id,
            cumulative_amount: signed.voucher.cumulative_amount,
            signature: signed.signature,
            amount: Some(promise.price),
            terms: Some(ChannelTerms::from(&promise.channel)),
        },
    }
}

impl Purchase {
    pub(super) fn free(response: Response) -> Self {
        Self::with_receipt(response, None, None)
    }

    pub(super) fn with_receipt(
        body: Response,
        receipt: Option<SignedReceipt>,
        receipt_error: Option<ReceiptError>,
    ) -> Self {
        Self {
            status: body.status().as_u16(),
            media_type: http::media_type(body.headers()),
            price: Amount::ZERO,
            paid_now: Amount::ZERO,
            token: None,
            receipt,
            receipt_error,
            body,
        }
    }
}

impl std::fmt::Display for ByteRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "bytes={}-", self.first)?;
        self.last.map_or(Ok(()), |last| last.fmt(formatter))
    }
}
