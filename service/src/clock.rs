//! The only file of the service that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sluicegate_limits::time::Timestamp;

/// The wall clock, in microseconds since 1970; zero on a machine whose clock is set before it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The monotonic clock, for deadlines and for how long something took.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]
pub fn instant() -> Instant {
    Instant::now()
}
