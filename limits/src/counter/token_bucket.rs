//! The token bucket in whole numbers: `taken` tokens as of `anchor`, refilled by whole ticks.
//!
//! Refill pays only for taken tokens, never for held ones, so a hold may be booked at its end
//! as if it had been taken there. Advancing keeps the remainder of a period in the anchor, so
//! nothing is lost or won by looking often.

use super::holds::{self, Hold};
use super::{MOST, Rate};
use crate::time::Timestamp;

/// A bucket that takes longer to refill is cut: 100 years in µs.
const LONGEST_REFILL: u64 = 100 * 366 * 86_400 * 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenBucket {
    /// The instant as of which `taken` is meant, µs since 1970.
    pub(super) anchor: u64,
    pub(super) taken: u64,
}

impl TokenBucket {
    pub(super) fn new(now: u64) -> Self {
        Self { anchor: now, taken: 0 }
    }

    /// Brings an anchor after `now` back, and a debt of other terms below 100 years.
    pub(super) fn rebase(&mut self, rate: &Rate, burst: u64, now: Timestamp) -> bool {
        let before = *self;
        self.anchor = self.anchor.min(now.get());
        self.cap(rate, burst);
        *self != before
    }

    /// Moves the anchor to `now` by whole periods; answers the tokens of the period begun.
    fn advance(&mut self, rate: &Rate, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.anchor) / rate.tick.get();
        let periods = elapsed / rate.ticks;
        if periods <= self.taken / rate.tokens {
            let refilled = (elapsed - periods * rate.ticks) * rate.tokens / rate.ticks;
            let taken = self.taken - periods * rate.tokens;
            if refilled < taken {
                self.anchor += periods * rate.ticks * rate.tick.get();
                self.taken = taken;
                return refilled;
            }
        }
        *self = Self::new(now);
        0
    }

    /// Books the expired holds at their ends and advances to `now`; answers as `advance`.
    pub(super) fn fold(&mut self, rate: &Rate, burst: u64, expired: &[Hold], now: u64) -> u64 {
        for hold in expired {
            self.advance(rate, hold.end);
            self.book(rate, burst, hold.tokens, hold.end);
        }
        self.advance(rate, now)
    }

    /// Takes `n` tokens at `at`, which the bucket was advanced to.
    pub(super) fn book(&mut self, rate: &Rate, burst: u64, n: u64, at: u64) {
        self.restart_tick(rate, at);
        self.taken += n;
        self.cap(rate, burst);
    }

    /// The refill of a tick may pay for what was taken before the tick, not for what is taken in
    /// its midst. So where the end of the tick would bring everything back, the tick begins anew.
    fn restart_tick(&mut self, rate: &Rate, at: u64) {
        let elapsed = at.saturating_sub(self.anchor);
        let ticks = elapsed / rate.tick.get();
        let begun = !elapsed.is_multiple_of(rate.tick.get());
        if begun && (ticks + 1) * rate.tokens / rate.ticks >= self.taken {
            self.taken -= ticks * rate.tokens / rate.ticks;
            self.anchor = at;
        }
    }

    /// Tokens left at `now`, and when the bucket is full if nobody takes.
    pub(super) fn state(&self, rate: &Rate, burst: u64, list: &[Hold], now: u64) -> (u64, u64) {
        let mut bucket = *self;
        let refilled = bucket.fold(rate, burst, holds::expired(list, now), now);
        let used = bucket.taken + holds::held(list, now);
        let left = (burst + refilled).saturating_sub(used);
        let mut last = now;
        for hold in holds::live(list, now) {
            bucket.advance(rate, hold.end);
            bucket.book(rate, burst, hold.tokens, hold.end);
            last = hold.end;
        }
        (left, last.max(bucket.refilled_at(rate, bucket.taken)))
    }

    /// The earliest instant from `now` on at which `n` tokens pass; `n` is at most `burst`.
    /// Walks the ends of holds in order, since a hold that ends starts to refill.
    pub(super) fn passes_at(
        &self,
        rate: &Rate,
        burst: u64,
        list: &[Hold],
        n: u64,
        now: u64,
    ) -> u64 {
        let mut bucket = *self;
        let refilled = bucket.fold(rate, burst, holds::expired(list, now), now);
        let mut held = holds::held(list, now);
        if bucket.taken + held + n <= burst + refilled {
            return now;
        }
        let mut from = now;
        for hold in holds::live(list, now) {
            if held + n <= burst {
                let at = bucket.fits_at(rate, burst, held + n).max(from);
                if at <= hold.end {
                    return at;
                }
            }
            bucket.advance(rate, hold.end);
            bucket.book(rate, burst, hold.tokens, hold.end);
            held = held.saturating_sub(hold.tokens);
            from = hold.end;
        }
        bucket.fits_at(rate, burst, held + n).max(from)
    }

    /// When `more` tokens fit on top of the taken ones.
    fn fits_at(&self, rate: &Rate, burst: u64, more: u64) -> u64 {
        self.refilled_at(rate, (self.taken + more).saturating_sub(burst))
    }

    /// When `need` of the taken tokens are back.
    fn refilled_at(&self, rate: &Rate, need: u64) -> u64 {
        let (periods, rest) = (need / rate.tokens, need % rate.tokens);
        let ticks = periods * rate.ticks + (rest * rate.ticks).div_ceil(rate.tokens);
        self.anchor + ticks * rate.tick.get()
    }

    /// Only a debt or a changed rate can leave more taken than `burst`.
    fn cap(&mut self, rate: &Rate, burst: u64) {
        if self.taken > burst {
            self.taken = self.taken.min(most_taken(rate));
        }
    }
}

/// The tokens that come back in 100 years, at most 2^52.
pub(super) fn most_taken(rate: &Rate) -> u64 {
    let ticks = LONGEST_REFILL / rate.tick.get();
    let (periods, rest) = (ticks / rate.ticks, ticks % rate.ticks);
    if periods > MOST / rate.tokens {
        return MOST;
    }
    (periods * rate.tokens + rest * rate.tokens / rate.ticks).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Micros;

    /// One token a second, counted in whole seconds.
    const RATE: Rate = Rate { tick: Micros::SECOND, tokens: 1, ticks: 1 };
    const SECOND: u64 = 1_000_000;

    fn taken(taken: u64) -> TokenBucket {
        TokenBucket { anchor: 0, taken }
    }

    #[test]
    fn refills_by_whole_ticks_and_keeps_the_remainder() {
        let mut bucket = taken(5);
        assert_eq!(bucket.advance(&RATE, SECOND * 3 / 2), 0);
        assert_eq!(bucket, TokenBucket { anchor: SECOND, taken: 4 });
        let rate = Rate { tick: Micros::SECOND, tokens: 1, ticks: 6 };
        let mut bucket = taken(15);
        assert_eq!(bucket.advance(&rate, 59 * SECOND), 0);
        assert_eq!(bucket, TokenBucket { anchor: 54 * SECOND, taken: 6 });
        let rate = Rate { tick: Micros::SECOND, tokens: 10, ticks: 63 };
        let mut bucket = taken(15);
        assert_eq!(bucket.advance(&rate, 59 * SECOND), 9);
        assert_eq!(bucket, taken(15), "a begun period is not booked");
        assert_eq!(bucket.advance(&rate, 64 * SECOND), 0);
        assert_eq!(bucket, TokenBucket { anchor: 63 * SECOND, taken: 5 });
        assert_eq!(bucket.advance(&rate, 600 * SECOND), 0);
        assert_eq!(bucket, TokenBucket::new(600 * SECOND));
    }

    #[test]
    fn the_refill_of_a_tick_does_not_pay_for_what_is_taken_in_its_midst() {
        let rate = Rate { tick: Micros::MILLISECOND, tokens: 1_000, ticks: 1 };
        let mut bucket = TokenBucket::new(5_000);
        bucket.book(&rate, 10_000, 1, 5_000);
        bucket.book(&rate, 10_000, 9_000, 5_999);
        // At 6,000 nothing of what was taken one µs before is back.
        assert_eq!(bucket.state(&rate, 10_000, &[], 6_000), (999, 15_999));
        assert_eq!(bucket.passes_at(&rate, 10_000, &[], 1_000, 6_000), 6_999);
    }

    #[test]
    fn a_hold_that_ends_is_booked_there() {
        let list = [Hold { end: 4 * SECOND, tokens: 3 }];
        assert_eq!(taken(0).passes_at(&RATE, 5, &list, 2, 0), 0);
        assert_eq!(taken(0).passes_at(&RATE, 5, &list, 3, 0), 5 * SECOND);
        assert_eq!(taken(0).state(&RATE, 5, &list, 0), (2, 7 * SECOND));
        assert_eq!(taken(0).state(&RATE, 5, &list, 5 * SECOND), (3, 7 * SECOND));
    }

    #[test]
    fn refill_never_pays_for_held_tokens() {
        let list = [Hold { end: 100 * SECOND, tokens: 5 }];
        assert_eq!(taken(0).passes_at(&RATE, 5, &list, 1, 50 * SECOND), 101 * SECOND);
    }

    #[test]
    fn a_debt_is_cut_where_refilling_takes_a_hundred_years() {
        let slow = Rate { tick: Micros::SECOND, tokens: 1, ticks: 366 * 86_400 };
        let mut bucket = taken(0);
        bucket.book(&slow, 5, 1 << 32, 0);
        assert_eq!(bucket.taken, 100);
        let fast = Rate { tick: Micros::new(1), tokens: 1_000_000_000, ticks: 1 };
        assert_eq!(most_taken(&fast), MOST);
    }
}
