//! The shared store: one script on Valkey or Redis, the same arithmetic and the same bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use sluicegate_limits::decide::Check;
use sluicegate_limits::time::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

mod batch;
mod connection;
pub mod packing;
mod patience;
mod server_memory;
mod store_clock;

use batch::{Driver, Job, MOST_ASKS};
use patience::{Patience, Turns};
use server_memory::ServerMemory;
use store_clock::StoreClock;

use super::breaker::{Breaker, BreakerState};
use super::{StoreAnswer, StoreError};
use crate::clock;
use crate::settings::ValkeySettings;

/// The script that decides; its parts are the twins of the modules of `limits`. Its head says why
/// they stand in two functions.
pub const SCRIPT: &str = concat!(
    include_str!("valkey/script/head.lua"),
    "local function run()\n\n",
    include_str!("valkey/script/bytes.lua"),
    include_str!("valkey/script/counter.lua"),
    include_str!("valkey/script/check.lua"),
    "function need(part)\nbuilt = part\n\n",
    include_str!("valkey/script/holds.lua"),
    include_str!("valkey/script/token_bucket.lua"),
    include_str!("valkey/script/sliding_window.lua"),
    include_str!("valkey/script/aligned_window.lua"),
    include_str!("valkey/script/penalty.lua"),
    include_str!("valkey/script/once.lua"),
    "end\n\n",
    include_str!("valkey/script/call.lua"),
    "\nend\n\nreturn run()\n",
);

/// Checks of one core that may wait; more are refused.
const MOST_WAITING: usize = 4_096;

/// One server, as all cores see it.
#[derive(Debug)]
pub struct ValkeyNode {
    settings: ValkeySettings,
    breaker: Arc<Breaker>,
    memory: ServerMemory,
    batches: AtomicU64,
    batched_checks: AtomicU64,
}

/// The way of one core to the server: a queue, and the task that empties it.
#[derive(Debug)]
pub struct ValkeyHandle {
    node: Arc<ValkeyNode>,
    clock: Arc<StoreClock>,
    turns: Arc<Turns>,
    queue: mpsc::Sender<Job>,
}

impl ValkeyNode {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: ValkeySettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            breaker: Arc::default(),
            memory: ServerMemory::default(),
            batches: AtomicU64::new(0),
            batched_checks: AtomicU64::new(0),
        })
    }

    /// Whether the server is used, tried, or left alone.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Calls made since the start, answered or not: each is a batch of checks.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// The checks in those calls.
    #[must_use]
    pub fn batched_checks(&self) -> u64 {
        self.batched_checks.load(Relaxed)
    }

    /// Bytes that the server uses, and its `maxmemory`: 0 where it has none. Both are 0 before it
    /// was asked, and where it may not be.
    #[must_use]
    pub fn memory_bytes(&self) -> [u64; 2] {
        self.memory.bytes()
    }

    fn count_batch(&self, checks: usize) {
        self.batches.fetch_add(1, Relaxed);
        self.batched_checks.fetch_add(checks as u64, Relaxed);
    }
}

impl ValkeyHandle {
    /// Starts the task of one core, on the runtime that this is called on. It connects when the
    /// first check comes, and ends with the handle.
    #[must_use]
    pub fn start(node: Arc<ValkeyNode>) -> Arc<Self> {
        let (queue, jobs) = mpsc::channel(MOST_WAITING);
        let clock = Arc::new(StoreClock::new(clock::instant()));
        let turns = Arc::default();
        let driver = Driver::new(Arc::clone(&node), Arc::clone(&clock), Arc::clone(&turns), jobs);
        tokio::spawn(driver.run());
        Arc::new(Self { node, clock, turns, queue })
    }

    /// The server that this leads to.
    #[must_use]
    pub fn node(&self) -> &Arc<ValkeyNode> {
        &self.node
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) async fn decide(
        &self,
        check: Check,
        deadline: Option<Instant>,
    ) -> Result<StoreAnswer, StoreError> {
        let now = clock::instant();
        let patience = Patience::new(now, self.node.settings.timeout, deadline);
        if patience.until <= now {
            return Err(StoreError::Deadline);
        }
        if !self.node.breaker.is_closed() {
            return Err(StoreError::Breaker);
        }
        if check.len() > MOST_ASKS {
            return Err(StoreError::Refused(format!("more than {MOST_ASKS} limits in one check")));
        }
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { check, patience, answer }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => gone(),
        })?;
        let turn = self.turns.take();
        match timeout_at(patience.until.into(), answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            Err(_) if self.turns.has_come(turn) => Err(patience.ended()),
            Err(_) => Err(patience.ended_waiting(self.node.breaker.is_steady())),
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the task of this core's connection has ended".into())
}
