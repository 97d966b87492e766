//! Where payers without gas have their signatures sent on, if the creator offers it.

use crate::app::App;
use crate::respond::{json_response, plain_problem, problem_response};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use farthing::payee::Relay;
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
    match relay_body(relay, request.into_body()).await {
        Ok(response) => response,
        Err(problem) => problem_response(&problem),
    }
}

async fn relay_body(relay: &Relay, body: Body) -> Result<Response, Problem> {
    let request = read(body).await?;
    match relay.relay(&request).await {
        Ok(answer) => Ok(json_response(StatusCode::ACCEPTED, "application/json", &answer)),
        Err(error) => {
            log(&error);
            Err(error.problem())
        }
    }
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
        RelayError::GasTooDear { price, maximum } => {
            tracing::warn!(price, maximum, "not relayed: gas is too dear; both in wei");
        }
        _ => tracing::info!(%error, "not relayed"),
    }
}
