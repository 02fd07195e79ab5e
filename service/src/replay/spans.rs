//! The stretches of time that a log is about: a few requests far from all others, such as those of
//! a server whose clock was wrong, would leave nothing to see of the rest.

use sluicegate_limits::time::{Micros, Timestamp};

use super::timeline::{Bucket, Timeline};

/// How long nothing happens between two stretches.
const FAR: Micros = Micros::new(86_400_000_000);
/// The most stretches; then the first two become one.
const MAX_SPANS: usize = 16;
/// A stretch with less than one of so many requests is left out.
const FEW: u64 = 100;

/// What happened over time, by stretches.
pub(super) struct Spans {
    spans: Vec<Span>,
    last: Timestamp,
}

struct Span {
    first: Timestamp,
    requests: u64,
    timeline: Timeline,
}

/// What is far from all else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) requests: u64,
    /// When the first of them came.
    pub(super) first: Timestamp,
}

impl Spans {
    pub(super) fn new() -> Self {
        Self { spans: Vec::new(), last: Timestamp::ZERO }
    }

    /// Adds what happened at an instant that is not before earlier ones.
    pub(super) fn add(&mut self, at: Timestamp, what: &Bucket) {
        if self.spans.is_empty() || at.since(self.last) > FAR {
            if self.spans.len() == MAX_SPANS {
                let second = self.spans.remove(1);
                self.spans.iter_mut().take(1).for_each(|first| first.join(&second));
            }
            self.spans.push(Span { first: at, requests: 0, timeline: Timeline::new() });
        }
        self.last = at;
        if let Some(span) = self.spans.last_mut() {
            span.requests += what.requests;
            span.timeline.add(at, what);
        }
    }

    /// All stretches but those with few requests, and what those have.
    pub(super) fn timeline(self) -> (Timeline, Elsewhere) {
        let all: u64 = self.spans.iter().map(|span| span.requests).sum();
        let (few, many): (Vec<_>, Vec<_>) =
            self.spans.into_iter().partition(|span| span.requests < all.div_ceil(FEW));
        let elsewhere = Elsewhere {
            requests: few.iter().map(|span| span.requests).sum(),
            first: few.first().map(|span| span.first).unwrap_or_default(),
        };
        let mut many = many.into_iter();
        let Some(mut all) = many.next() else { return (Timeline::new(), elsewhere) };
        many.for_each(|span| all.join(&span));
        (all.timeline, elsewhere)
    }
}

impl Span {
    fn join(&mut self, next: &Self) {
        self.requests += next.requests;
        self.timeline.join(&next.timeline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000_000;

    fn timeline(days: impl IntoIterator<Item = (u64, u64)>) -> (Vec<u64>, Micros, Elsewhere) {
        let mut spans = Spans::new();
        for (day, requests) in days {
            let what = Bucket { requests, ..Bucket::default() };
            spans.add(Timestamp::new(day * DAY), &what);
        }
        let (timeline, elsewhere) = spans.timeline();
        let requests = timeline.buckets().map(|(_, bucket)| bucket.requests);
        (requests.filter(|requests| *requests > 0).collect(), timeline.width(), elsewhere)
    }

    #[test]
    fn few_requests_far_from_all_others_are_elsewhere() {
        let (seen, width, elsewhere) = timeline([(0, 1), (20_000, 1_000), (84_000, 2)]);
        assert_eq!((seen, width), (vec![1_000], Micros::new(10_000)));
        assert_eq!(elsewhere, Elsewhere { requests: 3, first: Timestamp::ZERO });
    }

    #[test]
    fn what_is_rare_and_spread_is_all_there() {
        // More stretches than are kept apart, each of them a hundredth or more.
        let (seen, width, elsewhere) = timeline((0..60).map(|n| (20_000 + n * 30, 1)));
        assert_eq!((seen.iter().sum::<u64>(), elsewhere), (60, Elsewhere::default()));
        assert_eq!(width, Micros::new(604_800_000_000));
        assert_eq!(timeline([]).2, Elsewhere::default());
    }
}
