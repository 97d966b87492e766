//! What can happen to a request, and to which.

use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The connection ends before the node hears of the request.
    Unheard,
    /// The node carries the request out, and the connection ends before its answer.
    AnswerLost,
    /// The connection ends in the middle of the answer.
    CutOff,
    /// No answer comes, and the connection stays open. The node never hears of the request.
    Silent,
    /// The answer comes this much later.
    Late(Duration),
    /// HTTP 429.
    TooManyRequests,
    /// HTTP 500.
    ServerError,
    /// A JSON-RPC error with these words.
    Error(&'static str),
    /// The first half of the answer, as if it were all.
    Truncated,
    /// Something that is not JSON, with HTTP 200.
    NotJson,
    /// `"result": null`.
    Null,
    /// The answer as of this many blocks ago: what is younger does not exist.
    Stale(u64),
    /// The node's answer, changed. Its errors stay errors.
    Lie(Lie),
    /// An answer that the node never gave: it does not hear of the request.
    MadeUp(Lie),
    /// The right answer under another request's id.
    WrongId,
    /// The answer to another request, for the number of the newest block, under this one's id.
    OtherAnswer,
    /// The node gets the request twice, and its first answer counts.
    Twice,
}

impl Fault {
    /// A fault that changes the node's answer: from the request and the true result.
    pub fn lie(lie: impl Fn(&Value, Value) -> Value + Send + Sync + 'static) -> Self {
        Self::Lie(Lie(Arc::new(lie)))
    }

    /// A fault that answers in the node's place.
    pub fn made_up(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        Self::MadeUp(Lie(Arc::new(move |request, _| answer(request))))
    }

    /// What it is called in tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unheard => "unheard",
            Self::AnswerLost => "answer lost",
            Self::CutOff => "cut off",
            Self::Silent => "silent",
            Self::Late(_) => "late",
            Self::TooManyRequests => "HTTP 429",
            Self::ServerError => "HTTP 500",
            Self::Error(_) => "RPC error",
            Self::Truncated => "truncated",
            Self::NotJson => "not JSON",
            Self::Null => "null",
            Self::Stale(_) => "stale",
            Self::Lie(_) => "lie",
            Self::MadeUp(_) => "made up",
            Self::WrongId => "wrong id",
            Self::OtherAnswer => "other answer",
            Self::Twice => "twice",
        }
    }
}

type Changes = dyn Fn(&Value, Value) -> Value + Send + Sync;

/// Changes a node's answer.
#[derive(Clone)]
pub struct Lie(Arc<Changes>);

impl Lie {
    pub(super) fn tell(&self, request: &Value, truth: Value) -> Value {
        (self.0)(request, truth)
    }
}

impl fmt::Debug for Lie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lie")
    }
}

type Picks = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

/// What is to happen, and to which requests.
#[derive(Clone)]
pub struct Rule {
    fault: Fault,
    method: Option<String>,
    picks: Option<Picks>,
    skip: usize,
    times: usize,
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_deref().unwrap_or("every method");
        write!(formatter, "{} on {method}, {} times after {}", self.fault.name(), self.times, self.skip)
    }
}

impl Rule {
    /// Something that happens to every request.
    #[must_use]
    pub const fn on_everything(fault: Fault) -> Self {
        Self { fault, method: None, picks: None, skip: 0, times: usize::MAX }
    }

    /// Something that happens to every request of one method.
    #[must_use]
    pub fn on(method: &str, fault: Fault) -> Self {
        Self { method: Some(method.to_owned()), ..Self::on_everything(fault) }
    }

    /// The same, to those requests only.
    #[must_use]
    pub fn when(self, picks: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        Self { picks: Some(Arc::new(picks)), ..self }
    }

    /// The same, but for the first so many requests.
    #[must_use]
    pub fn after(self, requests: usize) -> Self {
        Self { skip: requests, ..self }
    }

    /// The same, to so many requests and no more.
    #[must_use]
    pub fn times(self, requests: usize) -> Self {
        Self { times: requests, ..self }
    }

    /// Whether it is meant for a request; counts it if so.
    pub(super) fn meets(&mut self, method: &str, request: &Value) -> Option<Fault> {
        let is_meant = self.method.as_deref().is_none_or(|meant| meant == method)
            && self.picks.as_ref().is_none_or(|picks| picks(request));
        if !is_meant || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault.clone())
    }
}
