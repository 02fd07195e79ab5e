//! Where counters live: in this process, or in a store that replicas share.

use std::sync::Arc;
use std::time::Instant;

use sluicegate_limits::decide::{Check, Outcome};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::Timestamp;

use crate::clock;

mod breaker;
pub mod valkey;

pub use breaker::BreakerState;
use valkey::ValkeyHandle;

/// Why the store decided nothing, or nothing that can be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No answer in time. The check may have been executed, so it is not sent again (G11).
    Timeout,
    /// The caller's own deadline came before an answer. It says nothing about the store. The check
    /// may have been executed.
    Deadline,
    /// The store cannot be reached, or the connection broke; says how, without credentials. The
    /// check may have been executed.
    Unavailable(String),
    /// The breaker is open: nothing was sent.
    Breaker,
    /// The store answered with an error: out of memory, no permission, a script it cannot run.
    /// Nothing was executed.
    Refused(String),
    /// The stored bytes of a counter are none that this version reads. Nothing was executed.
    BadState {
        /// Which ask of the check.
        ask: usize,
    },
    /// Too many checks wait already, or it waited too long while the store answered others: nothing
    /// was sent.
    Overloaded,
    /// The instant of the decision lies outside the edges of a charge: nothing was executed. The
    /// caller computes them anew, from [`Store::now`].
    Stale,
}

/// What the store answered to one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAnswer {
    /// The decision.
    pub outcome: Outcome,
    /// When the store was first used since it was last empty (G13); zero for memory.
    pub generation: Timestamp,
}

/// A store as one core's runtime uses it.
#[derive(Clone)]
pub enum Store {
    /// In this process, shared by all cores.
    Memory(Arc<Memory>),
    /// A connection of this core to the shared store.
    Valkey(Arc<ValkeyHandle>),
}

impl Store {
    /// Decides one check, all or nothing, before the `deadline` of the caller, where it has one.
    ///
    /// # Errors
    /// [`StoreError`], which says whether the check may have been executed.
    pub async fn decide(
        &self,
        check: Check,
        deadline: Option<Instant>,
    ) -> Result<StoreAnswer, StoreError> {
        match self {
            Self::Memory(memory) => {
                if deadline.is_some_and(|deadline| deadline <= clock::instant()) {
                    return Err(StoreError::Deadline);
                }
                let outcome = memory.decide_on(&check, clock::now);
                let outcome = outcome.map_err(|_| StoreError::Stale)?;
                Ok(StoreAnswer { outcome, generation: Timestamp::ZERO })
            }
            Self::Valkey(handle) => handle.decide(check, deadline).await,
        }
    }

    /// The store's clock: for a shared store an estimate from its answers.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Memory(_) => clock::now(),
            Self::Valkey(handle) => handle.now(),
        }
    }
}

impl StoreError {
    /// Every word that [`Self::kind`] answers.
    pub(crate) const KINDS: [&str; 8] = [
        "timeout",
        "deadline",
        "unavailable",
        "breaker",
        "refused",
        "bad_state",
        "overloaded",
        "stale",
    ];

    /// The word for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
            Self::Unavailable(_) => "unavailable",
            Self::Breaker => "breaker",
            Self::Refused(_) => "refused",
            Self::BadState { .. } => "bad_state",
            Self::Overloaded => "overloaded",
            Self::Stale => "stale",
        }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => {
                f.write_str("no connection, or no answer to EVALSHA, within store.timeout_ms")
            }
            Self::Deadline => f.write_str("the caller stopped waiting for the store"),
            Self::Unavailable(why) => write!(f, "the store cannot be used: {why}"),
            Self::Breaker => f.write_str("the store is left alone after failures in a row"),
            Self::Refused(why) => write!(f, "the store refused the call: {why}"),
            Self::BadState { .. } => f.write_str("a stored counter cannot be read"),
            Self::Overloaded => f.write_str("too many checks wait for the store"),
            Self::Stale => f.write_str("the edges of a window are not those of the store's clock"),
        }
    }
}

impl std::error::Error for StoreError {}
