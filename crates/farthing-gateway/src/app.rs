//! A creator's shop as one router: items behind 402, tips, an index, a listing.
//!
//! It speaks plain HTTP; TLS is the job of a proxy in front, which then sets the realm.

use crate::catalog::{Catalog, HEALTH_PATH, INDEX_PATH, Item, Tip};
use crate::files::{FileRoom, ItemFile};
use crate::gate::{Gate, Offer};
use crate::page;
use crate::payment::ChargeLayer;
use crate::realm::Realm;
use crate::relay;
use crate::respond::{PAYMENT_RECEIPT, html_response, json_response, plain_problem, prefers_html, problem_response};
use crate::tips::{self, TipReceived};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use farthing::payee::{Payee, Relay};
use farthing_core::wire::listing::{LISTING_PATH, Listing};
use farthing_core::wire::relay::RELAY_PATH;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, service_fn};
use tower_http::cors::{Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// How long a browser may remember what another site's page is allowed to send here.
const CORS_MAX_AGE: Duration = Duration::from_secs(3_600);

/// What is told of every tip, once.
pub type OnTip = Arc<dyn Fn(TipReceived) + Send + Sync>;

/// How a shop is run.
#[derive(Clone, Default)]
pub struct AppOptions {
    /// The host that clients know this origin by. Needed behind a proxy and under a domain name; without it the
    /// gateway answers only under the address it is reached at. See [`crate::realm`] for why.
    pub realm: Option<Realm>,
    /// Told of every tip once it is durable. It must not block.
    pub on_tip: Option<OnTip>,
    /// Sends for payers without gas, at `/.well-known/farthing/relay`. Nothing is sent for anyone without it.
    pub relay: Option<Relay>,
}

impl fmt::Debug for AppOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realm, relay, .. } = self;
        formatter.debug_struct("AppOptions").field("realm", realm).field("relay", relay).finish_non_exhaustive()
    }
}

/// What the handlers share.
pub(crate) struct App {
    pub(crate) gate: Gate,
    pub(crate) on_tip: Option<OnTip>,
    pub(crate) relay: Option<Relay>,
    listing: Listing,
}

/// A shop: everything in the catalog, paid to the payee.
///
/// Free are `/` (the items, as a page or as JSON), `/.well-known/farthing` (the listing) and `/healthz`. Everything
/// else is an item, the tip, or 404.
pub fn app(payee: Payee, catalog: Catalog, options: AppOptions) -> Router {
    let mut listing = catalog.listing(payee.address(), payee.method_details(), payee.token());
    listing.delegation = payee.delegation().cloned();
    listing.relay = options.relay.as_ref().map(Relay::terms);
    let gate = Gate::new(payee, options.realm);
    let app = Arc::new(App { gate: gate.clone(), on_tip: options.on_tip, relay: options.relay, listing });
    let mut router = Router::new()
        .route(INDEX_PATH, get(index))
        .route(LISTING_PATH, get(listing_json))
        .route(RELAY_PATH, post(relay::take))
        .route(HEALTH_PATH, get(|| async { "ok\n" }))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(&app));
    let room = FileRoom::default();
    for item in catalog.items {
        router = with_item(router, &gate, item, room.clone());
    }
    if let Some(tip) = catalog.tip {
        router = with_tip(router, app, tip);
    }
    router.layer(without_sniffing()).layer(cors())
}

fn with_item(router: Router, gate: &Gate, item: Item, room: FileRoom) -> Router {
    let offer = Offer { quote: item.quote(), title: Some(item.title.clone()) };
    // A file is the same whatever the query says.
    let charge = ChargeLayer::new(gate.clone(), move |_| Some(offer.clone())).ignoring_query();
    let path = item.path.clone();
    let file = Arc::new(ItemFile::new(item, room));
    let file = service_fn(move |request: Request| {
        let file = Arc::clone(&file);
        async move { Ok::<_, Infallible>(file.serve(request).await) }
    });
    router.route_service(&path, charge.layer(file))
}

fn with_tip(router: Router, app: Arc<App>, tip: Tip) -> Router {
    let path = tip.path.clone();
    router.route(&path, post(tips::take).fallback(method_not_allowed).with_state((app, Arc::new(tip))))
}

/// Lets pages of other sites pay here: they may send a credential, and read what they were asked for and the receipt.
/// Nothing here goes by cookies, so there is no session that a foreign page could ride on.
pub fn cors() -> CorsLayer {
    let accept_payment = HeaderName::from_static("accept-payment");
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        // Authorization must be named: the wildcard does not cover it.
        .allow_headers([AUTHORIZATION, ACCEPT, CONTENT_TYPE, RANGE, IF_RANGE, IF_NONE_MATCH, accept_payment])
        .expose_headers([WWW_AUTHENTICATE, PAYMENT_RECEIPT, CONTENT_RANGE, ACCEPT_RANGES, ETAG])
        .max_age(CORS_MAX_AGE)
}

async fn index(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    if !prefers_html(&head.headers) {
        return json_response(StatusCode::OK, "application/json", &app.listing);
    }
    let realm = app.gate.realm(&head).ok();
    let address = |path: &str| page::address(&head, realm.as_ref(), path);
    html_response(StatusCode::OK, page::index(&app.listing, app.gate.payee().token(), address))
}

async fn listing_json(State(app): State<Arc<App>>) -> Response {
    let mut response = json_response(StatusCode::OK, "application/json", &app.listing);
    // A price that went up is a fresh 402 anyway; one that went down should be seen.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Nothing is sold here, so nothing is asked for and nothing is charged, whatever was sent along.
async fn not_found(request: Request) -> Response {
    let detail = format!("nothing is sold at {}; {LISTING_PATH} lists what is", request.uri().path());
    problem_response(&plain_problem(StatusCode::NOT_FOUND, detail))
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("{} is not for {}", request.method(), request.uri().path());
    problem_response(&plain_problem(StatusCode::METHOD_NOT_ALLOWED, detail))
}

/// Has browsers take what is sold as what it says it is: one that guesses could run a text as a script.
#[must_use]
pub fn without_sniffing() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}
