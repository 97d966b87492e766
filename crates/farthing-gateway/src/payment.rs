//! The layer that charges: put it in front of handlers of your own.

use crate::gate::{Gate, Offer, Presented, Refused, with_receipt};
use crate::respond::{plain_problem, problem_response};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use farthing::payee::Sale;
use farthing_core::ledger::RequestId;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// What the layer asks for every request: an offer, or `None` for what is free.
type Price = Arc<dyn Fn(&Parts) -> Option<Offer> + Send + Sync>;

/// Charges for what a handler answers.
///
/// The order is: prepare, charge, send. The handler runs first and its answer is held back; if it failed, nothing is
/// charged and its answer is passed on; if not, the charge is made durable, and only then does the first byte leave.
/// A body that is a stream is not polled before that.
///
/// So the handler runs before it is known whether the voucher is good, and must have no effects. Only `GET` and `HEAD`
/// are charged here: a request that is retried is answered again for nothing, which is right for a song and wrong for
/// whatever a `POST` does. For those, a handler takes the steps of a [`Gate`] itself and looks at
/// [`Sale::again`].
///
/// `HEAD` never charges: it is answered with the receipt if the voucher has already paid for the `GET`, and with 402
/// if not.
///
/// # Examples
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use farthing::payee::{Payee, Quote};
/// use farthing_core::Amount;
/// use farthing_gateway::{ChargeLayer, Gate};
///
/// fn forecast(payee: Payee) -> Router {
///     let price = |request: &axum::http::request::Parts| {
///         let item = request.uri.path().to_owned();
///         Some(Quote::new(item, Amount::new(10_000)))
///     };
///     let charge = ChargeLayer::new(Gate::new(payee, None), price);
///     Router::new().route("/forecast", get(|| async { "rain" })).layer(charge)
/// }
/// ```
#[derive(Clone)]
pub struct ChargeLayer {
    gate: Gate,
    price: Price,
    query_matters: bool,
}

impl ChargeLayer {
    /// Charges what `price` says of each request's head; where it says nothing, the request is free.
    pub fn new<F, O>(gate: Gate, price: F) -> Self
    where
        F: Fn(&Parts) -> Option<O> + Send + Sync + 'static,
        O: Into<Offer>,
    {
        Self { gate, price: Arc::new(move |request| price(request).map(Into::into)), query_matters: true }
    }

    /// For handlers that answer the same whatever the query says. Otherwise another query is another purchase: or one
    /// voucher would buy every answer that a path can give.
    #[must_use]
    pub const fn ignoring_query(mut self) -> Self {
        self.query_matters = false;
        self
    }

    /// The purchase that a request belongs to: `HEAD` and every range of an item belong to its `GET`.
    fn request_id(&self, request: &Parts) -> RequestId {
        let query = request.uri.query().filter(|_| self.query_matters);
        match query {
            Some(query) => RequestId::new(Method::GET.as_str(), &format!("{}?{query}", request.uri.path())),
            None => RequestId::new(Method::GET.as_str(), request.uri.path()),
        }
    }

    /// What is checked before the handler runs.
    fn admit(&self, request: &Parts, offer: &Offer) -> Result<Presented, Refused> {
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Refused::new(method_not_allowed()));
        }
        self.gate.present(request, offer)
    }

    /// Prepare, charge, send. What is seldom done is in a box, so that a sale's future stays small.
    async fn sell<S>(&self, mut handler: S, request: Request, offer: &Offer) -> Result<Response, S::Error>
    where
        S: Service<Request>,
        S::Response: IntoResponse,
    {
        let (head, body) = request.into_parts();
        let presented = match self.admit(&head, offer) {
            Ok(presented) => presented,
            Err(refused) => return Ok(refused.into_response()),
        };
        let (id, is_head) = (self.request_id(&head), head.method == Method::HEAD);
        let request = Request::from_parts(head, body);
        if is_head {
            return match Box::pin(self.bought(offer, &presented, id)).await {
                Ok(sale) => Ok(stamp(handler.call(request).await?.into_response(), &sale)),
                Err(refused) => Ok(refused.into_response()),
            };
        }
        let answer = handler.call(request).await?.into_response();
        if !is_sold(answer.status()) {
            return Ok(match Box::pin(self.may_know(offer, &presented, id, answer.status())).await {
                Ok(()) => answer,
                Err(refused) => refused.into_response(),
            });
        }
        Ok(match self.gate.charge(offer, &presented, id).await {
            Ok(sale) => with_receipt(answer, &sale),
            Err(refused) => refused.into_response(),
        })
    }

    /// The sale that was made before, or the 402 that asks for it.
    async fn bought(&self, offer: &Offer, presented: &Presented, id: RequestId) -> Result<Sale, Refused> {
        let sale = self.gate.recall(offer, presented, id).await?;
        sale.ok_or_else(|| self.gate.ask(offer, presented, "this request buys nothing, and it is not bought yet"))
    }

    /// Whether a copy is current and how long an item is, only its buyer may know: any key can sign for itself, so a
    /// voucher that nothing was charged to proves nothing.
    async fn may_know(
        &self,
        offer: &Offer,
        presented: &Presented,
        id: RequestId,
        status: StatusCode,
    ) -> Result<(), Refused> {
        if matches!(status, StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE) {
            self.bought(offer, presented, id).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for ChargeLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChargeLayer").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ChargeLayer {
    type Service = ChargeService<S>;

    fn layer(&self, handler: S) -> ChargeService<S> {
        ChargeService { layer: self.clone(), handler }
    }
}

/// What [`ChargeLayer`] makes of a handler.
#[derive(Clone, Debug)]
pub struct ChargeService<S> {
    layer: ChargeLayer,
    handler: S,
}

impl<S> Service<Request> for ChargeService<S>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.handler.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The clone was never asked whether it is ready, so the one that was takes the call.
        let clone = self.handler.clone();
        let mut handler = std::mem::replace(&mut self.handler, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let (offer, method) = ((layer.price)(&head), head.method.clone());
            let request = Request::from_parts(head, body);
            let answer = match offer {
                Some(offer) => layer.sell(handler, request, &offer).await?,
                None => handler.call(request).await?.into_response(),
            };
            Ok(if method == Method::HEAD { without_body(answer) } else { answer })
        })
    }
}

/// A receipt belongs to what was bought, not to an error about it.
fn stamp(answer: Response, sale: &Sale) -> Response {
    if is_sold(answer.status()) { with_receipt(answer, sale) } else { answer }
}

/// Whether an answer holds what was asked for. A redirect may: where to is sometimes all there is to sell. An error, a
/// range outside of the file and `304 Not Modified` hold nothing.
fn is_sold(status: StatusCode) -> bool {
    (status.is_success() || status.is_redirection()) && status != StatusCode::NOT_MODIFIED
}

fn without_body(response: Response) -> Response {
    let (head, _) = response.into_parts();
    Response::from_parts(head, Body::empty())
}

fn method_not_allowed() -> Response {
    let problem = plain_problem(StatusCode::METHOD_NOT_ALLOWED, "this is bought with GET");
    let mut response = problem_response(&problem);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
