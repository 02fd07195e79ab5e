//! A counter: a ledger of what was taken, and the holds on top of it.

mod aligned_window;
mod bytes;
mod holds;
mod penalty;
mod sliding_window;
mod terms;
mod token_bucket;

pub use bytes::BadState;
pub use terms::{Op, Rate, Terms, Wait};

use aligned_window::AlignedWindow;
use holds::{Hold, Holds};
use penalty::Penalty;
use sliding_window::SlidingWindow;
use token_bucket::TokenBucket;

use crate::time::{Micros, Timestamp, Tokens};

/// The most that a ledger counts; a debt above is cut, so that all sums stay below 2^53.
const MOST: u64 = 1 << 52;

/// What was taken. The variant follows the terms that last touched the counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Ledger {
    /// Nothing was booked yet, or nothing ever is (concurrency).
    #[default]
    None,
    TokenBucket(TokenBucket),
    SlidingWindow(Box<SlidingWindow>),
    AlignedWindow(AlignedWindow),
    /// In a box, since it is larger than the others and rare.
    Penalty(Box<Penalty>),
}

/// One counter: the same arithmetic and the same bytes in memory and in the store.
///
/// Between calls the holds may contain expired ones; whoever looks folds them into a copy of the
/// ledger at their ends, and whoever writes folds them for good.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    ledger: Ledger,
    holds: Option<Box<Holds>>,
    /// When this counter equals a fresh one if nobody touches it. Not part of the state.
    fresh_at: Timestamp,
}

/// What a look at one counter tells about one ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whether the operation would pass.
    pub fits: bool,
    /// How long until it would, if nobody else takes.
    pub wait: Wait,
}

impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        self.ledger == other.ledger && self.holds() == other.holds()
    }
}

impl Eq for Counter {}

impl Counter {
    /// Whether nothing is taken and nothing is held: such a counter need not be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holds().is_empty()
            && match &self.ledger {
                Ledger::None => true,
                Ledger::TokenBucket(bucket) => bucket.taken == 0,
                Ledger::SlidingWindow(window) => window.total == 0,
                Ledger::AlignedWindow(window) => window.used == 0,
                Ledger::Penalty(penalty) => penalty.strikes == 0 && penalty.blocked_until == 0,
            }
    }

    /// When this counter equals a fresh one, by the terms that last wrote it.
    #[must_use]
    pub const fn fresh_at(&self) -> Timestamp {
        self.fresh_at
    }

    /// Makes the ledger one of `terms` and no later than `now`; the only write that a denial
    /// makes. Usage under another algorithm is booked now, a bucket's anchor, a window's entries
    /// and hold ends beyond `now` come back to it (G15). Answers whether anything changed.
    pub fn rebase(&mut self, terms: &Terms, horizon: Micros, now: Timestamp) -> bool {
        let mut changed = self.convert(terms, now);
        changed |= match (&mut self.ledger, terms) {
            (Ledger::TokenBucket(bucket), Terms::TokenBucket { rate, burst }) => {
                bucket.rebase(rate, burst.get(), now)
            }
            (Ledger::SlidingWindow(window), _) => window.rebase(now.get()),
            (Ledger::AlignedWindow(window), Terms::AlignedWindow { edges, .. }) => {
                window.rebase(edges, now)
            }
            (Ledger::Penalty(penalty), Terms::Penalty { within, block, .. }) => {
                penalty.rebase(*within, *block, now)
            }
            _ => false,
        };
        let latest = now.after(horizon).get();
        changed |= self.holds.as_mut().is_some_and(|holds| holds.cut(latest));
        if changed {
            self.fresh_at = now.after(self.state(terms, now).1);
        }
        changed
    }

    /// Whether `op` on `tokens` would pass, and how long until it would. A pure look; the ledger
    /// was rebased on the same terms.
    #[must_use]
    pub fn mark(&self, terms: &Terms, op: &Op, tokens: Tokens, now: Timestamp) -> Mark {
        let n = tokens.get();
        if matches!(terms, Terms::Penalty { .. }) && *op != Op::Reset {
            return self.block(now);
        }
        match *op {
            Op::Look | Op::Take => self.room(terms, n, now),
            Op::Hold { lasting, quantum } => {
                let mark = self.room(terms, n, now);
                let end = hold_end(terms, lasting, quantum, now).get();
                if mark.fits && n > 0 && !holds::takes_end(self.holds(), end, now.get()) {
                    return Mark { fits: false, wait: first_end(self.holds(), now) };
                }
                mark
            }
            Op::Extend { end, lasting, quantum } => {
                let later = hold_end(terms, lasting, quantum, now).get();
                let found = holds::at(self.holds(), end.get()) >= n && end > now;
                if n > 0 && !found {
                    return Mark { fits: false, wait: Wait::Never };
                }
                if n > 0 && later > end.get() && !holds::takes_end(self.holds(), later, now.get()) {
                    return Mark { fits: false, wait: first_end(self.holds(), now) };
                }
                Mark { fits: true, wait: Wait::None }
            }
            Op::Release { .. } | Op::Settle { .. } | Op::Reset | Op::Strike => {
                Mark { fits: true, wait: Wait::None }
            }
        }
    }

    /// Carries `op` out, after every mark of the check allowed. Answers the end of the hold that
    /// was granted or extended, else zero.
    pub fn apply(&mut self, terms: &Terms, op: &Op, tokens: Tokens, now: Timestamp) -> Timestamp {
        let n = tokens.get();
        let idle = n == 0 && !matches!(op, Op::Settle { .. } | Op::Reset);
        let looks = matches!(terms, Terms::Penalty { .. }) && *op != Op::Reset;
        if idle || looks || matches!(op, Op::Look | Op::Strike) {
            return Timestamp::ZERO;
        }
        self.fold(terms, now);
        let mut granted = Timestamp::ZERO;
        match *op {
            Op::Look | Op::Strike => {}
            Op::Take => self.book(terms, n, now),
            Op::Hold { lasting, quantum } => {
                granted = hold_end(terms, lasting, quantum, now);
                self.holds.get_or_insert_default().add(granted.get(), n);
            }
            Op::Extend { end, lasting, quantum } => {
                granted = hold_end(terms, lasting, quantum, now).max(end);
                let holds = self.holds.get_or_insert_default();
                let moved = holds.remove(end.get(), n);
                holds.add(granted.get(), moved);
            }
            Op::Release { end } => {
                self.give_back(end, n);
            }
            Op::Settle { end, held } if end > now => {
                self.give_back(end, held.get());
                self.book(terms, n, now);
            }
            // Its end booked what was held; only what the actual is above that is still owed.
            Op::Settle { held, .. } => self.book(terms, n.saturating_sub(held.get()), now),
            Op::Reset => *self = Self::default(),
        }
        if self.holds().is_empty() {
            self.holds = None;
        }
        self.fresh_at = now.after(self.state(terms, now).1);
        granted
    }

    /// Counts a strike of a check that was denied, after its mark allowed. Answers the wait that
    /// follows: the block, where one begins.
    pub fn strike(&mut self, terms: &Terms, now: Timestamp) -> Wait {
        let (Ledger::Penalty(penalty), Terms::Penalty { after, within, block }) =
            (&mut self.ledger, terms)
        else {
            return Wait::None;
        };
        let blocks = penalty.strike(*after, *within, *block, now);
        self.fresh_at = now.after(self.state(terms, now).1);
        if blocks { Wait::For(*block) } else { Wait::None }
    }

    /// Tokens booked in the aligned window that `now` lies in, as they stand: holds that ended
    /// since the last write are not among them yet. Zero for every other algorithm.
    #[must_use]
    pub fn booked(&self, now: Timestamp) -> Tokens {
        match &self.ledger {
            Ledger::AlignedWindow(window) if window.end > now.get() => Tokens::new(window.used),
            _ => Tokens::ZERO,
        }
    }

    /// The tokens left now, and how long until all are back if nobody takes.
    #[must_use]
    pub fn state(&self, terms: &Terms, now: Timestamp) -> (Tokens, Micros) {
        let holds = self.holds();
        let (left, full_at) = match (&self.ledger, terms) {
            (Ledger::TokenBucket(bucket), Terms::TokenBucket { rate, burst }) => {
                bucket.state(rate, burst.get(), holds, now.get())
            }
            (Ledger::SlidingWindow(entries), Terms::SlidingWindow { limit, window }) => {
                entries.state(limit.get(), window.get(), holds, now.get())
            }
            (Ledger::AlignedWindow(window), Terms::AlignedWindow { limit, edges }) => {
                window.state(limit.get(), edges, holds, now)
            }
            (Ledger::Penalty(penalty), Terms::Penalty { after, .. }) => {
                penalty.state(after.get(), now.get())
            }
            _ => {
                let left = terms.capacity().get().saturating_sub(holds::held(holds, now.get()));
                (left, holds::last_end(holds))
            }
        };
        (Tokens::new(left), Timestamp::new(full_at).since(now))
    }

    fn room(&self, terms: &Terms, n: u64, now: Timestamp) -> Mark {
        let capacity = terms.capacity().get();
        if n > capacity || capacity == 0 {
            return Mark { fits: false, wait: Wait::Never };
        }
        let holds = self.holds();
        let at = match (&self.ledger, terms) {
            (Ledger::TokenBucket(bucket), Terms::TokenBucket { rate, burst }) => {
                bucket.passes_at(rate, burst.get(), holds, n, now.get())
            }
            (Ledger::SlidingWindow(entries), Terms::SlidingWindow { limit, window }) => {
                entries.passes_at(limit.get(), window.get(), holds, n, now.get())
            }
            (Ledger::AlignedWindow(window), Terms::AlignedWindow { limit, edges }) => {
                window.passes_at(limit.get(), edges, holds, n, now)
            }
            _ => holds::passes_at(holds, capacity, n, now.get()),
        };
        match at {
            at if at <= now.get() => Mark { fits: true, wait: Wait::None },
            at => Mark { fits: false, wait: Wait::For(Timestamp::new(at).since(now)) },
        }
    }

    /// Whether a penalty lets the key through, and how long until it does.
    fn block(&self, now: Timestamp) -> Mark {
        match &self.ledger {
            Ledger::Penalty(penalty) if penalty.blocked_until > now.get() => {
                let wait = Timestamp::new(penalty.blocked_until).since(now);
                Mark { fits: false, wait: Wait::For(wait) }
            }
            _ => Mark { fits: true, wait: Wait::None },
        }
    }

    fn holds(&self) -> &[Hold] {
        self.holds.as_ref().map_or(&[], |holds| holds.list())
    }

    /// Books every expired hold at its end, in order, and brings the ledger to `now`.
    fn fold(&mut self, terms: &Terms, now: Timestamp) {
        let expired =
            self.holds.as_mut().map(|holds| holds.take_expired(now.get())).unwrap_or_default();
        match (&mut self.ledger, terms) {
            (Ledger::TokenBucket(bucket), Terms::TokenBucket { rate, burst }) => {
                bucket.fold(rate, burst.get(), &expired, now.get());
            }
            (Ledger::SlidingWindow(entries), Terms::SlidingWindow { limit, window }) => {
                entries.fold(limit.get(), window.get(), &expired, now.get());
            }
            (Ledger::AlignedWindow(window), Terms::AlignedWindow { edges, .. }) => {
                window.fold(edges, &expired, now);
            }
            _ => {}
        }
    }

    /// Takes `n` tokens at `now`, whether they fit or not; the ledger is folded to `now`.
    fn book(&mut self, terms: &Terms, n: u64, now: Timestamp) {
        if n == 0 {
            return;
        }
        match (&mut self.ledger, terms) {
            (Ledger::TokenBucket(bucket), Terms::TokenBucket { rate, burst }) => {
                bucket.book(rate, burst.get(), n, now.get());
            }
            (Ledger::SlidingWindow(entries), Terms::SlidingWindow { limit, window }) => {
                entries.book(limit.get(), window.get(), n, now.get());
            }
            (Ledger::AlignedWindow(window), _) => window.book(n),
            _ => {}
        }
    }

    fn give_back(&mut self, end: Timestamp, n: u64) {
        if let Some(holds) = &mut self.holds {
            holds.remove(end.get(), n);
        }
    }

    /// Gives the ledger the form of `terms`. What another algorithm counted is booked now; a
    /// penalty neither takes over tokens nor holds, nor leaves any.
    fn convert(&mut self, terms: &Terms, now: Timestamp) -> bool {
        let used = match (&self.ledger, terms) {
            (Ledger::TokenBucket(_), Terms::TokenBucket { .. })
            | (Ledger::SlidingWindow(_), Terms::SlidingWindow { .. })
            | (Ledger::AlignedWindow(_), Terms::AlignedWindow { .. })
            | (Ledger::Penalty(_), Terms::Penalty { .. })
            | (Ledger::None, Terms::Concurrency { .. }) => return false,
            // Strikes are no tokens.
            (Ledger::None | Ledger::Penalty(_), _) | (_, Terms::Penalty { .. }) => 0,
            (Ledger::TokenBucket(bucket), _) => bucket.taken,
            (Ledger::SlidingWindow(window), _) => window.total,
            (Ledger::AlignedWindow(window), _) => window.used,
        };
        let changed = self.ledger != Ledger::None || self.holds.is_some();
        self.ledger = match terms {
            Terms::TokenBucket { .. } => Ledger::TokenBucket(TokenBucket::new(now.get())),
            Terms::SlidingWindow { .. } => Ledger::SlidingWindow(Box::default()),
            Terms::AlignedWindow { edges, .. } => {
                Ledger::AlignedWindow(AlignedWindow::new(edges, now))
            }
            Terms::Concurrency { .. } => Ledger::None,
            Terms::Penalty { .. } => {
                self.holds = None;
                Ledger::Penalty(Box::default())
            }
        };
        self.book(terms, used, now);
        changed
    }
}

/// The end of a hold that is asked for now: on the grid, and within an aligned window.
fn hold_end(terms: &Terms, lasting: Micros, quantum: Micros, now: Timestamp) -> Timestamp {
    let end = now.after(lasting).round_up(quantum);
    match terms {
        Terms::AlignedWindow { edges, .. } => end.min(aligned_window::current(edges, now).1),
        _ => end,
    }
}

fn first_end(holds: &[Hold], now: Timestamp) -> Wait {
    let first = holds.iter().map(|hold| hold.end).find(|&end| end > now.get());
    first.map_or(Wait::Never, |end| Wait::For(Timestamp::new(end).since(now)))
}
