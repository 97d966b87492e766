//! What a running gateway is asked over its admin socket, and what it answers.

use crate::failure::{Code, Failure};
use crate::ledger::{DataFolder, LedgerRecord};
use farthing::core::{Address, Amount, ChannelId, Timestamp, Token};
use farthing::payee::earnings::{EarningsBy, Grouping, Period, earnings, earnings_by};
use farthing::payee::redeemer::{Redeemed, Skipped};
use farthing::payee::{PayeeStore, RedemptionOptions};
use farthing_gateway::admin::{self, AdminError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum AdminRequest {
    Earnings {
        #[serde(default)]
        by: Option<Grouping>,
        #[serde(default)]
        period: Period,
    },
    Redeem,
    Plan {
        options: RedemptionOptions,
    },
    Simulate {
        options: RedemptionOptions,
        from: Timestamp,
        until: Timestamp,
        file: PathBuf,
    },
    Close {
        channel_id: ChannelId,
    },
    Refund {
        channel_id: ChannelId,
        cumulative_amount: Amount,
        #[serde(default)]
        amount: Option<Amount>,
    },
    Statement {
        #[serde(default)]
        from_block: Option<u64>,
    },
    Verify,
    Export {
        file: PathBuf,
    },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AdminAnswer<T> {
    Ok(T),
    Error {
        code: u8,
        message: String,
        hint: Option<String>,
    },
    /// The socket itself says so: the answer is longer than it carries, for instance.
    #[serde(untagged)]
    Failed {
        error: String,
    },
}

/// What was earned, by whom and in what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EarningsReport {
    pub(crate) payee: Address,
    pub(crate) token: Token,
    #[serde(flatten)]
    pub(crate) period: Period,
    #[serde(flatten)]
    pub(crate) earnings: Value,
}

/// What was redeemed, and in what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RedeemReport {
    pub(crate) token: Token,
    pub(crate) transactions: Vec<Value>,
    /// The channels that were left out, each with the reason.
    pub(crate) skipped: Vec<String>,
}

impl DataFolder {
    /// Asks the gateway that runs on this folder; `None` if none does.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: &AdminRequest) -> Result<Option<T>, Failure> {
        let unexpected = |error: serde_json::Error| Failure::new(Code::Unexpected, error);
        let request = serde_json::to_value(request).map_err(unexpected)?;
        let answer = match admin::call(&self.socket(), &request).await {
            Ok(answer) => answer,
            Err(AdminError::NotRunning(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_value(answer).map_err(unexpected)? {
            AdminAnswer::Ok(answer) => Ok(Some(answer)),
            AdminAnswer::Error { code, message, hint } => {
                let failure = Failure::new(Code::from_u8(code), message);
                Err(Failure { hint, ..failure })
            }
            AdminAnswer::Failed { error } => {
                Err(Failure::new(Code::Site, format!("the gateway can't answer: {error}"))
                    .hint("ask for less at a time, or look at what the gateway logs"))
            }
        }
    }
}

/// The ledger added up, in all or by something.
pub(crate) async fn earnings_report(
    store: &dyn PayeeStore,
    record: &LedgerRecord,
    by: Option<Grouping>,
    period: Period,
) -> Result<EarningsReport, Failure> {
    let earnings = match by {
        None => serde_json::to_value(earnings(store, period).await?),
        Some(grouping) => serde_json::to_value::<EarningsBy>(earnings_by(store, grouping, period).await?),
    };
    let earnings = earnings.map_err(|error| Failure::new(Code::Unexpected, error))?;
    Ok(EarningsReport { payee: record.identity.payee, token: record.token.clone(), period, earnings })
}

/// Transactions as they are shown.
pub(crate) fn redeem_report(
    token: &Token,
    redeemed: &[Redeemed],
    skipped: &[Skipped],
) -> Result<RedeemReport, Failure> {
    let transactions = redeemed.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    let transactions = transactions.map_err(|error| Failure::new(Code::Unexpected, error))?;
    let skipped = skipped.iter().map(|skipped| format!("channel {}: {}", skipped.channel_id, skipped.error)).collect();
    Ok(RedeemReport { token: token.clone(), transactions, skipped })
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match &error {
            AdminError::InUse(_) => Self::new(Code::Store, &error).hint("stop it, or name another folder with --data"),
            AdminError::NotASocket(_) => Self::new(Code::Unexpected, &error).hint("or name another folder with --data"),
            // A socket's path has room for about a hundred bytes.
            AdminError::Socket { .. } => Self::new(Code::Unexpected, &error)
                .hint("name a folder with --data that you may write to and whose path is short"),
            _ => Self::new(Code::Site, &error).hint("look at what the gateway logs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_socket_itself_says_is_told_from_what_the_gateway_says() {
        let read = |value: Value| serde_json::from_value::<AdminAnswer<u64>>(value).expect("an answer");
        assert!(matches!(read(json!({ "ok": 5 })), AdminAnswer::Ok(5)));
        let error = json!({ "error": { "code": 11, "message": "in use", "hint": null } });
        assert!(matches!(read(error), AdminAnswer::Error { code: 11, hint: None, .. }));
        let failed = read(json!({ "error": "99 bytes are more than the 9 that may be sent" }));
        assert!(matches!(failed, AdminAnswer::Failed { error } if error.starts_with("99 bytes")));
    }
}
