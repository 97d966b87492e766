//! The system's clock, read in one place.

use farthing_core::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now. A clock before 1970 counts as 1970: every challenge is then seen as far from expiring, and every view of the
/// chain as fresh, until the clock is set.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_seconds(since_epoch.as_secs())
}
