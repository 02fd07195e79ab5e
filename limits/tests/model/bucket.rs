//! Token buckets: what must count. All sums are exact, in parts of a token that one µs refills.

use sluicegate_limits::counter::Rate;

use crate::ledger::Booked;

/// The tokens that must count at `now`: whichever interval until now is fullest, less its refill.
pub(crate) fn least_used(log: &[Booked], rate: Rate, now: u64) -> u64 {
    tokens_up(debt(log, rate, now), rate)
}

/// The most tokens that may count: exact where time is counted in µs. With longer ticks the refill
/// of two of them may be missing, one begun before a take and one begun now, and a fraction.
pub(crate) fn most_used(log: &[Booked], rate: Rate, now: u64) -> u64 {
    let tick = rate.tick.get();
    let (missing, fraction) = if tick == 1 { (0, 0) } else { (2 * tick, 1) };
    let everything = log.iter().map(|booked| booked.tokens).sum();
    let refill = i128::from(rate.tokens) * i128::from(missing);
    (tokens_up(debt(log, rate, now) + refill, rate) + fraction).min(everything)
}

/// G4, looked at from the last token of the log: every interval that ends with it.
pub(crate) fn assert_bound(spent: &[Booked], rate: Rate, burst: u64) {
    let Some(last) = spent.last() else { return };
    let fullest = debt(spent, rate, last.at);
    let bound = i128::from(burst) * parts(rate);
    assert!(fullest <= bound, "{fullest} of {bound} parts in an interval until {}", last.at);
}

/// The most that any interval until `now` passed over its refill, in parts of a token.
fn debt(log: &[Booked], rate: Rate, now: u64) -> i128 {
    let (parts, mut passed, mut most) = (parts(rate), 0, 0);
    for booked in log.iter().rev() {
        passed += i128::from(booked.tokens) * parts;
        most = most.max(passed - i128::from(rate.tokens) * i128::from(now - booked.at));
    }
    most
}

fn parts(rate: Rate) -> i128 {
    i128::from(rate.ticks) * i128::from(rate.tick.get())
}

fn tokens_up(debt: i128, rate: Rate) -> u64 {
    u64::try_from((debt + parts(rate) - 1) / parts(rate)).unwrap()
}
