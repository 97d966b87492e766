//! Where payers without gas have their signatures sent on, if the creator offers it.

use crate::app::App;
use crate::respond::{json_response, plain_problem, problem_response};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use farthing::clock;
use farthing::payee::relay::RelayError;
use farthing_core::wire::{Problem, ProblemType, RelayRequest};
use std::sync::Arc;
use std::time::Duration;

/// The largest body, in bytes: an order is about a quarter of it.
const BODY_LENGTH_MAX: usize = 4_096;

/// How long a body may take: one that trickles in would hold a connection for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends an order on, and answers 202 with the transaction once the node has it. Whether it is mined the chain says.
pub(crate) async fn take(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(relay) = &app.relay else {
        return problem_response(&plain_problem(StatusCode::NOT_FOUND, "this site relays nothing"));
    };
    let order = match read(request.into_body()).await {
        Ok(order) => order,
        Err(problem) => return problem_response(&problem),
    };
    match relay.relay(&order).await {
        Ok(answer) => json_response(StatusCode::ACCEPTED, "application/json", &answer),
        Err(error) => refused(&error),
    }
}

/// Says when to ask again: a client that is told nothing would ask at once, and find the day's gas used up again.
fn refused(error: &RelayError) -> Response {
    log(error);
    let mut response = problem_response(&error.problem());
    if let Some(seconds) = error.retry_after(clock::now()) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn read(body: Body) -> Result<RelayRequest, Problem> {
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_LENGTH_MAX)).await;
    let body = body.map_err(|_| plain_problem(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?;
    let too_long = format!("an order has at most {BODY_LENGTH_MAX} bytes");
    let body = body.map_err(|_| plain_problem(StatusCode::PAYLOAD_TOO_LARGE, too_long))?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::new(ProblemType::RelayInvalid, format!("the order can't be read: {error}")))
}

/// What the creator has to do something about is louder than a payer's mistake.
fn log(error: &RelayError) {
    match error {
        RelayError::Escrow(_) | RelayError::Store(_) | RelayError::Redeemer(_) | RelayError::Stopped => {
            tracing::error!(%error, "not relayed");
        }
        RelayError::BudgetSpent { spent, cost, budget } => {
            tracing::warn!(%spent, %cost, %budget, "not relayed: today's gas is used up; all in wei");
        }
        RelayError::WalletLow { balance, required } => {
            tracing::error!(%balance, %required, "not relayed: the wallet's coin is for redemptions; send it some");
        }
        RelayError::GasTooDear { price, maximum } => {
            tracing::warn!(price, maximum, "not relayed: gas is too dear; both in wei");
        }
        _ => tracing::info!(%error, "not relayed"),
    }
}
