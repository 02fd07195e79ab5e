//! What happened over time, in at most [`MAX_BUCKETS`] steps however long the log is.

use sluicegate_limits::time::{Micros, Timestamp};

/// The most steps.
pub(super) const MAX_BUCKETS: usize = 600;

/// The widths that a step may have, in milliseconds. Each divides the next, so that steps join.
const WIDTHS_MS: [u64; 16] = [
    10,
    50,
    250,
    1_000,
    5_000,
    15_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    21_600_000,
    86_400_000,
    604_800_000,
    2_419_200_000,
    31_449_600_000,
    314_496_000_000,
];

/// Steps of equal width; each begins at a multiple of the width since 1970.
pub(super) struct Timeline {
    widths: std::slice::Iter<'static, u64>,
    width: Micros,
    /// The number of the first step, counted from 1970.
    first: u64,
    buckets: Vec<Bucket>,
}

/// What happened in one step, in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) requests: u64,
    /// Denied by the policy.
    pub(super) denied: u64,
    /// Denied by it and not by the one that it is compared with.
    pub(super) newly_denied: u64,
    /// Denied by the one that it is compared with, and not by it.
    pub(super) newly_allowed: u64,
}

impl Timeline {
    pub(super) fn new() -> Self {
        let mut widths = WIDTHS_MS.iter();
        let width = step(&mut widths);
        Self { widths, width, first: 0, buckets: Vec::new() }
    }

    /// Adds what happened at an instant, which is not before earlier ones; one that is counts in
    /// the first step.
    pub(super) fn add(&mut self, at: Timestamp, what: &Bucket) {
        if self.buckets.is_empty() {
            self.first = at.get() / self.width.get();
        }
        let mut number = (at.get() / self.width.get()).saturating_sub(self.first);
        while number >= MAX_BUCKETS as u64 && self.widths.len() > 0 {
            self.widen();
            number = (at.get() / self.width.get()).saturating_sub(self.first);
        }
        // The widest steps reach further than instants do.
        let index = usize::try_from(number).unwrap_or(MAX_BUCKETS).min(MAX_BUCKETS - 1);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::default());
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.add(what);
        }
    }

    /// The width of a step.
    pub(super) fn width(&self) -> Micros {
        self.width
    }

    /// The steps with the instants at which they begin.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Timestamp, Bucket)> {
        let start = self.first.saturating_mul(self.width.get());
        self.buckets.iter().zip(0..).map(move |(bucket, number): (&Bucket, u64)| {
            (Timestamp::new(start.saturating_add(number * self.width.get())), *bucket)
        })
    }

    /// Adds all that another one has, none of which is before what this one has.
    pub(super) fn join(&mut self, other: &Self) {
        while self.width < other.width && self.widths.len() > 0 {
            self.widen();
        }
        other.buckets().for_each(|(at, bucket)| self.add(at, &bucket));
    }

    /// Joins steps to the next width.
    fn widen(&mut self) {
        let wider = step(&mut self.widths);
        let factor = wider.get() / self.width.get();
        let first = self.first / factor;
        let mut joined: Vec<Bucket> = Vec::new();
        for (bucket, number) in self.buckets.iter().zip(self.first..) {
            let index = usize::try_from(number / factor - first).unwrap_or_default();
            if index >= joined.len() {
                joined.resize(index + 1, Bucket::default());
            }
            if let Some(sum) = joined.get_mut(index) {
                sum.add(bucket);
            }
        }
        (self.width, self.first, self.buckets) = (wider, first, joined);
    }
}

impl Bucket {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.denied += other.denied;
        self.newly_denied += other.newly_denied;
        self.newly_allowed += other.newly_allowed;
    }
}

/// The next width.
fn step(widths: &mut std::slice::Iter<'static, u64>) -> Micros {
    Micros::new(widths.next().map_or(1, |ms| ms * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_divides_the_next_and_the_widest_holds_all_time() {
        assert!(WIDTHS_MS.windows(2).all(|pair| pair[1] % pair[0] == 0));
        let widest = WIDTHS_MS[WIDTHS_MS.len() - 1] * 1_000;
        assert!(Timestamp::MAX.get() / widest < MAX_BUCKETS as u64);
    }

    #[test]
    fn a_long_log_has_few_steps_and_loses_nothing() {
        let mut timeline = Timeline::new();
        let start = 1_700_000_000_000_000;
        for n in 0..100_000 {
            let what = Bucket { requests: 1, denied: n % 3, ..Bucket::default() };
            timeline.add(Timestamp::new(start + n * 777_777), &what);
        }
        // 77,778 s in steps of 5 minutes.
        assert_eq!(timeline.width(), Micros::new(300_000_000));
        let buckets: Vec<_> = timeline.buckets().collect();
        assert!((259..=261).contains(&buckets.len()), "{}", buckets.len());
        assert_eq!(buckets.iter().map(|(_, b)| b.requests).sum::<u64>(), 100_000);
        assert_eq!(buckets.iter().map(|(_, b)| b.denied).sum::<u64>(), 99_999);
        assert_eq!(buckets[0].0.get() % 300_000_000, 0);
        assert!(buckets[0].0.get() <= start && start < buckets[1].0.get());
    }

    #[test]
    fn the_ends_of_time_fit() {
        let mut timeline = Timeline::new();
        let one = Bucket { requests: 1, ..Bucket::default() };
        timeline.add(Timestamp::ZERO, &one);
        timeline.add(Timestamp::MAX, &one);
        assert_eq!(timeline.buckets().map(|(_, b)| b.requests).sum::<u64>(), 2);
        assert!(timeline.buckets().count() <= MAX_BUCKETS);
    }
}
