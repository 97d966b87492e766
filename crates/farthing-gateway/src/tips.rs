//! Tips: a `POST` whose price the payer names.

use crate::app::App;
use crate::catalog::Tip;
use crate::gate::{Offer, Refused, with_receipt};
use crate::respond::{json_response, plain_problem, problem_response};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use farthing::payee::Sale;
use farthing_core::Amount;
use farthing_core::ledger::RequestId;
use farthing_core::text::harmless;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The largest body of a tip, in bytes.
const BODY_LENGTH_MAX: usize = 8_192;

/// The longest message, in characters.
const MESSAGE_LENGTH_MAX: usize = 1_000;

/// How long a body may take: one that trickles in would hold a connection for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A tip that was charged just now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TipReceived {
    /// How much.
    pub amount: Amount,
    /// What the tipper says. Control characters are gone: this is shown in terminals, and it comes from strangers.
    pub message: Option<String>,
    /// The sale behind it.
    pub sale: Sale,
}

#[derive(Debug, Default, Deserialize)]
struct TipBody {
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct TipAnswer<'a> {
    thanks: &'a str,
    amount: Amount,
}

/// Takes a tip: the credential's `amount`, at least the minimum. Each voucher is a tip of its own.
pub(crate) async fn take(
    State((app, tip)): State<(Arc<App>, Arc<Tip>)>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let offer = Offer { quote: tip.quote(), title: Some("A tip".to_owned()) };
    let presented = app.gate.present(&head, &offer)?;
    // Before the charge, so that a message that can't be taken costs nothing.
    let message = read_message(body).await?;
    let id = RequestId::new(head.method.as_str(), &tip.path);
    let sale = app.gate.charge(&offer, &presented, id).await?;
    // A retry may say another amount; what was charged is what counts.
    let amount = sale.receipt.receipt.price;
    let answer = json_response(StatusCode::OK, "application/json", &TipAnswer { thanks: &tip.thanks, amount });
    let answer = with_receipt(answer, &sale);
    if !sale.again {
        tracing::info!(amount = app.gate.payee().token().format(amount), "a tip was received");
        if let Some(on_tip) = &app.on_tip {
            on_tip(TipReceived { amount, message, sale });
        }
    }
    Ok(answer)
}

async fn read_message(body: Body) -> Result<Option<String>, Refused> {
    let refuse = |status, detail: &str| Refused::new(problem_response(&plain_problem(status, detail)));
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_LENGTH_MAX)).await;
    let body = body.map_err(|_| refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?;
    let too_long =
        format!("a tip's body has at most {BODY_LENGTH_MAX} bytes, its message {MESSAGE_LENGTH_MAX} characters");
    let body = body.map_err(|_| refuse(StatusCode::PAYLOAD_TOO_LARGE, &too_long))?;
    if body.is_empty() {
        return Ok(None);
    }
    let body: TipBody = serde_json::from_slice(&body)
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "a tip's body is JSON: {\"message\": \"…\"}"))?;
    match body.message {
        Some(message) if message.chars().count() > MESSAGE_LENGTH_MAX => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &too_long))
        }
        message => {
            Ok(message.map(|message| harmless(&message).trim().to_owned()).filter(|message| !message.is_empty()))
        }
    }
}
