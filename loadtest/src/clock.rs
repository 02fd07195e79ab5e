//! The only file of the load generator that reads a clock.

use std::time::Instant;

/// The monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
