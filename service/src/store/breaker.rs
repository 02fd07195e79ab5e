//! Stops calls to a server that does not answer, and tries it again one call at a time.
//!
//! One breaker per server, shared by all cores. Whoever makes the failure that opens it gets the
//! [`Probing`] and with it the duty to try; nobody else calls until that closes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// The pause before the first try; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether a server may be called.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    openings: AtomicU64,
}

/// Whether a server is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is used.
    Closed = 0,
    /// One call at a time tries it.
    HalfOpen = 1,
    /// It is left alone.
    Open = 2,
}

#[derive(Debug)]
struct State {
    now: BreakerState,
    /// Failures since the last answer, while closed.
    failures: u32,
}

/// The duty to try the server until it answers. Dropped before that, it lets calls through again,
/// so that the next failure gives the duty to somebody else.
#[derive(Debug)]
pub(super) struct Probing {
    breaker: Arc<Breaker>,
    pause: Duration,
    rng: Rng,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: Mutex::new(State::closed(0)), openings: AtomicU64::new(0) }
    }
}

impl Breaker {
    /// Whether calls may be made.
    #[must_use]
    pub(super) fn is_closed(&self) -> bool {
        self.state() == BreakerState::Closed
    }

    /// Whether the last call that was made was answered.
    #[must_use]
    pub(super) fn is_steady(&self) -> bool {
        let state = self.state.lock();
        state.now == BreakerState::Closed && state.failures == 0
    }

    /// For metrics.
    #[must_use]
    pub(super) fn state(&self) -> BreakerState {
        self.state.lock().now
    }

    /// How often it opened; a connection from before the last time is not to be trusted.
    #[must_use]
    pub(super) fn openings(&self) -> u64 {
        self.openings.load(Relaxed)
    }

    /// A call was answered. While it is open, only the try counts.
    pub(super) fn success(&self) {
        // While it is open the count means nothing, and closing begins a new one.
        self.state.lock().failures = 0;
    }

    /// A call failed. Answers the duty to try where this failure opened it; `rng` spreads the
    /// tries of many replicas.
    #[must_use]
    pub(super) fn failure(self: &Arc<Self>, rng: Rng) -> Option<Probing> {
        let mut state = self.state.lock();
        if state.now != BreakerState::Closed {
            return None;
        }
        state.failures += 1;
        if state.failures < FAILURES {
            return None;
        }
        state.now = BreakerState::Open;
        self.openings.fetch_add(1, Relaxed);
        Some(Probing { breaker: Arc::clone(self), pause: FIRST_PAUSE, rng })
    }
}

impl State {
    const fn closed(failures: u32) -> Self {
        Self { now: BreakerState::Closed, failures }
    }
}

impl Probing {
    /// How long to wait before the next try: doubling, and up to half more or less.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause.mul_f64(0.5 + self.rng.f64());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// A try begins.
    pub(super) fn begin(&self) {
        self.breaker.state.lock().now = BreakerState::HalfOpen;
    }

    /// The try failed.
    pub(super) fn failed(&self) {
        self.breaker.state.lock().now = BreakerState::Open;
    }

    /// The server answered: everybody may call.
    pub(super) fn succeeded(self) {
        *self.breaker.state.lock() = State::closed(0);
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        let mut state = self.breaker.state.lock();
        if state.now != BreakerState::Closed {
            *state = State::closed(FAILURES - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(breaker: &Arc<Breaker>) -> Probing {
        for _ in 1..FAILURES {
            assert!(breaker.failure(Rng::with_seed(1)).is_none());
            assert!(breaker.is_closed());
        }
        breaker.failure(Rng::with_seed(1)).expect("the fifth failure in a row opens it")
    }

    #[test]
    fn opens_after_five_failures_in_a_row_and_closes_by_the_try() {
        let breaker = Arc::new(Breaker::default());
        assert!(breaker.is_steady());
        assert!(breaker.failure(Rng::with_seed(1)).is_none());
        assert!(breaker.is_closed() && !breaker.is_steady());
        breaker.success();
        assert!(breaker.is_steady());
        let probing = opened(&breaker);
        assert_eq!((breaker.state(), breaker.openings()), (BreakerState::Open, 1));
        assert!(!breaker.is_steady());
        assert!(breaker.failure(Rng::with_seed(1)).is_none(), "one try at a time");
        breaker.success();
        assert!(!breaker.is_closed(), "a late answer to an old call does not close it");
        probing.begin();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probing.failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        probing.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        drop(opened(&breaker));
    }

    #[test]
    fn pauses_double_up_to_two_seconds_and_are_jittered_by_half() {
        let mut probing = opened(&Arc::new(Breaker::default()));
        for base in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let pause = probing.next_pause().as_secs_f64() * 1_000.0;
            assert!((f64::from(base) * 0.5..=f64::from(base) * 1.5).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn a_duty_that_is_dropped_goes_to_the_next_failure() {
        let breaker = Arc::new(Breaker::default());
        drop(opened(&breaker));
        assert!(breaker.is_closed());
        assert!(breaker.failure(Rng::with_seed(1)).is_some());
    }
}
