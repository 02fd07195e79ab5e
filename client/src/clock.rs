//! The only file of the client that reads clocks.

use tokio::time::Instant;

/// The monotonic clock, which a runtime in a test can pause and move.
pub(crate) fn instant() -> Instant {
    Instant::now()
}
