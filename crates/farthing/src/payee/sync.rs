//! What the payee's threads and tasks meet at, by one name: the test `interleavings` compiles the writer, the workers,
//! the views and the contacts a second time over a scheduler that tries orders in which things happen.

pub(super) use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
pub(super) use std::sync::{Mutex, RwLock};
pub(super) use std::thread::{Builder as ThreadBuilder, yield_now};
pub(super) use tokio::runtime::Handle;
pub(super) use tokio::sync::{Semaphore, oneshot};
pub(super) use tokio::time::timeout;
