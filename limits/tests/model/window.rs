//! Sliding windows: what must count, and that even traffic passes.

use crate::ledger::Booked;

/// The tokens that must count at `now`: those of the last `window` µs.
pub(crate) fn least_used(log: &[Booked], window: u64, now: u64) -> u64 {
    recent(log, window, now)
}

/// The most tokens that may count: above a limit of 64, up to a 64th of the window longer.
pub(crate) fn most_used(log: &[Booked], limit: u64, window: u64, now: u64) -> u64 {
    let blur = if limit <= 64 { 0 } else { window / 64 };
    recent(log, window + blur, now)
}

/// G5, looked at from the last token of the log: an interval that ends with it.
pub(crate) fn assert_bound(spent: &[Booked], limit: u64, window: u64) {
    let Some(last) = spent.last() else { return };
    let passed = recent(spent, window, last.at);
    assert!(passed <= limit, "{passed} tokens in {window} µs until {}, limit {limit}", last.at);
}

fn recent(log: &[Booked], window: u64, now: u64) -> u64 {
    log.iter().rev().take_while(|booked| booked.at + window > now).map(|booked| booked.tokens).sum()
}
