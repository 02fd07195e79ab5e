//! What the requests of all trusted peers may take together, and the share of each.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::bounds::SMALL_BODY_BYTES;
use crate::settings::RequestBudget;

/// The budget of the process.
#[derive(Debug)]
pub(super) struct Budget {
    requests: Pool,
    bytes: Pool,
}

/// What one request takes of the budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    /// None where the request is outside of the budget: a stranger's, or one too many.
    budget: Option<Arc<Budget>>,
    length: AtomicUsize,
    taken: AtomicUsize,
    overloaded: AtomicBool,
}

/// A number of things of which some are taken.
#[derive(Debug)]
struct Pool {
    most: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(super) const fn new(budget: RequestBudget) -> Self {
        Self { requests: Pool::new(budget.max_requests), bytes: Pool::new(budget.max_bytes) }
    }
}

impl Share {
    /// A place for one request, which says so itself where there is none.
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        let place = budget.requests.take(1).then(|| Arc::clone(budget));
        let overloaded = place.is_none();
        Self::new(place, overloaded)
    }

    /// The share of a stranger: none.
    pub(super) const fn none() -> Self {
        Self::new(None, false)
    }

    const fn new(budget: Option<Arc<Budget>>, overloaded: bool) -> Self {
        Self {
            budget,
            length: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            overloaded: AtomicBool::new(overloaded),
        }
    }

    /// Whether there is room for so many more bytes of the body.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let length = self.length.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if self.budget.as_ref().is_some_and(|budget| budget.bytes.take(bytes)) {
            self.taken.fetch_add(bytes, Relaxed);
            return true;
        }
        let small = length <= SMALL_BODY_BYTES;
        self.overloaded.fetch_or(!small, Relaxed);
        small
    }

    /// Whether there was no room for the request.
    pub(super) fn is_overloaded(&self) -> bool {
        self.overloaded.load(Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.bytes.give_back(*self.taken.get_mut());
            budget.requests.give_back(1);
        }
    }
}

impl Pool {
    const fn new(most: usize) -> Self {
        Self { most, taken: AtomicUsize::new(0) }
    }

    /// Takes some where so many are left.
    fn take(&self, count: usize) -> bool {
        let taken = self.taken.fetch_add(count, Relaxed).saturating_add(count);
        let fits = taken <= self.most;
        if !fits {
            self.give_back(count);
        }
        fits
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max_requests: usize, max_bytes: usize) -> Arc<Budget> {
        Arc::new(Budget::new(RequestBudget { max_requests, max_bytes }))
    }

    fn taken(budget: &Budget) -> (usize, usize) {
        (budget.requests.taken.load(Relaxed), budget.bytes.taken.load(Relaxed))
    }

    #[test]
    fn what_a_request_took_is_given_back() {
        let budget = budget(2, 10_000);
        let (first, second) = (Share::of(&budget), Share::of(&budget));
        assert!(first.grow(4_000) && first.grow(4_000) && second.grow(2_000));
        assert!(!first.is_overloaded() && !second.is_overloaded());
        let third = Share::of(&budget);
        assert!(third.is_overloaded() && !first.is_overloaded());
        assert_eq!(taken(&budget), (2, 10_000));
        drop((first, third));
        assert_eq!(taken(&budget), (1, 2_000));
        assert!(!Share::of(&budget).is_overloaded());
        drop(second);
        assert_eq!(taken(&budget), (0, 0));
    }

    #[test]
    fn a_small_body_passes_whatever_is_taken() {
        let budget = budget(3, 5_000);
        let large = Share::of(&budget);
        assert!(large.grow(5_000));
        let outside = Share::none();
        for share in [&Share::of(&budget), &outside] {
            assert!(share.grow(SMALL_BODY_BYTES - 1) && share.grow(1) && !share.is_overloaded());
            assert!(!share.grow(1) && share.is_overloaded());
        }
        assert_eq!(taken(&budget).1, 5_000);
    }
}
