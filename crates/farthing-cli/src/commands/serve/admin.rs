//! What a running gateway does for the creator's other commands.

use super::super::redeem::simulate;
use super::super::refund::refund_failure;
use super::super::statement::StatementReport;
use super::super::store::{export_to, verify_report};
use crate::failure::{Code, Failure};
use crate::gateway::{AdminAnswer, AdminRequest, earnings_report, redeem_report};
use crate::ledger::LedgerRecord;
use crate::planning::plan_of_gateway;
use farthing::payee::redeemer::Redemptions;
use farthing::payee::{Payee, Redeemer};
use farthing_gateway::admin::AdminHandler;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Answers at the admin socket.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) payee: Payee,
    pub(super) redeemer: Redeemer,
    pub(super) record: LedgerRecord,
}

impl AdminHandler for Admin {
    async fn handle(&self, request: Value) -> Value {
        let answer = match self.answer(request).await {
            Ok(answer) => AdminAnswer::Ok(answer),
            Err(Failure { code, message, hint, .. }) => AdminAnswer::Error { code: code as u8, message, hint },
        };
        serde_json::to_value(answer)
            .unwrap_or_else(|error| json!({ "error": { "code": 1, "message": error.to_string() } }))
    }
}

impl Admin {
    async fn answer(&self, request: Value) -> Result<Value, Failure> {
        let request = serde_json::from_value(request).map_err(|error| {
            Failure::new(Code::Usage, format!("the gateway does not know this request: {error}"))
                .hint("use the same version of farthing for both")
        })?;
        let token = self.payee.token();
        match request {
            AdminRequest::Earnings { by, period } => {
                let (store, record) = (Arc::clone(self.payee.store()), self.record.clone());
                to_json(&beside(async move { earnings_report(store.as_ref(), &record, by, period).await }).await?)
            }
            AdminRequest::Redeem => {
                let Redemptions { done, skipped } = self.redeemer.redeem().await?;
                to_json(&redeem_report(token, &done, &skipped)?)
            }
            AdminRequest::Plan { options } => {
                let (store, record, redeemer) =
                    (Arc::clone(self.payee.store()), self.record.clone(), self.redeemer.clone());
                let seen_at = self.payee.views().seen_at();
                let plan = async move { plan_of_gateway(&record, &redeemer, store.as_ref(), seen_at, options).await };
                to_json(&beside(plan).await?)
            }
            AdminRequest::Simulate { options, from, until, file } => {
                let (store, record) = (Arc::clone(self.payee.store()), self.record.clone());
                let simulation = async move { simulate(&record, store.as_ref(), options, (from, until), &file).await };
                to_json(&beside(simulation).await?)
            }
            AdminRequest::Close { channel_id } => {
                let closed = self.redeemer.close(channel_id).await?;
                to_json(&redeem_report(token, &[closed], &[])?)
            }
            AdminRequest::Refund { channel_id, cumulative_amount, amount } => {
                let refunded = self.payee.refund((channel_id, cumulative_amount), amount).await;
                to_json(&refunded.map_err(|error| refund_failure(error, token))?)
            }
            AdminRequest::Statement { from_block } => {
                let (payee, escrow) = (self.payee.clone(), self.redeemer.escrow().clone());
                let statement = beside(async move { Ok(payee.statement(&escrow, from_block).await?) }).await?;
                to_json(&StatementReport::new(&self.record, statement))
            }
            AdminRequest::Verify => {
                let (store, record) = (Arc::clone(self.payee.store()), self.record.clone());
                to_json(&beside(async move { verify_report(store.as_ref(), &record).await }).await?)
            }
            AdminRequest::Export { file } => {
                let (store, record) = (Arc::clone(self.payee.store()), self.record.clone());
                to_json(&beside(async move { export_to(store.as_ref(), &record, &file).await }).await?)
            }
        }
    }
}

/// Does what reads a whole ledger on a thread of its own, for whoever waits to be served.
async fn beside<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    done.map_err(|error| Failure::new(Code::Unexpected, error))?
}

fn to_json<T: Serialize>(value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::new(Code::Unexpected, error))
}
