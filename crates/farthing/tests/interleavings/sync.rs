//! In place of the SDK's `payee::sync`: what a scheduler decides on.
//!
//! tokio's semaphore and oneshot channel are themselves, taken as one step each: they belong to no runtime, and are not
//! what is tested here.

use std::future::Future;
use std::time::Duration;

pub(super) use shuttle::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
pub(super) use shuttle::sync::{Mutex, RwLock};
pub(super) use shuttle::thread::{Builder as ThreadBuilder, yield_now};
pub(super) use tokio::sync::{Semaphore, oneshot};

/// The scheduler, as a runtime.
pub(super) struct Handle;

impl Handle {
    pub(super) fn try_current() -> Result<Self, tokio::runtime::TryCurrentError> {
        Ok(Self)
    }

    #[allow(clippy::unused_self, reason = "called as a runtime's")]
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        shuttle::future::block_on(future)
    }
}

/// Time stands still here, so nothing is ever late.
pub(super) async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, std::convert::Infallible> {
    Ok(future.await)
}
