//! Checks that wait go to the server as one call: one call in flight, no timer.
//!
//! While a call is under way further checks gather, and the next call takes them in the order in
//! which they came. One task per core owns the connection, so nothing here is shared but the
//! node. Nothing is sent twice, save where the server says that it executed nothing (G11).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use sluicegate_limits::decide::Check;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::ValkeyNode;
use super::connection::{CallError, Connection};
use super::packing::{Answer, Undecided, pack, unpack};
use super::patience::{Patience, Turns};
use super::store_clock::StoreClock;
use crate::clock;
use crate::store::breaker::Probing;
use crate::store::{StoreAnswer, StoreError};

/// The most checks of one call: a larger one would keep the server from others for too long.
pub(super) const MOST_CHECKS: usize = 128;
/// The most asks of one call, which bounds what the script puts on Lua's stack.
pub(super) const MOST_ASKS: usize = 1_024;
/// Calls that a connection may owe an answer to; then it is given up.
const MOST_UNANSWERED: u32 = 8;

/// One check that waits for its answer.
pub(super) struct Job {
    pub(super) check: Check,
    pub(super) patience: Patience,
    pub(super) answer: oneshot::Sender<Result<StoreAnswer, StoreError>>,
}

/// The task that owns one core's connection.
pub(super) struct Driver {
    node: Arc<ValkeyNode>,
    clock: Arc<StoreClock>,
    turns: Arc<Turns>,
    queue: mpsc::Receiver<Job>,
    /// Taken out of the queue, not yet sent.
    waiting: VecDeque<Job>,
    connection: Option<Open>,
    /// An attempt under way, which goes on whoever still waits for it.
    connecting: Option<JoinHandle<Result<Connection, CallError>>>,
    /// Whether the server refused the last call.
    refused: bool,
}

struct Open {
    connection: Connection,
    /// Answers come in order, so these are the last calls in a row.
    unanswered: u32,
    /// The count of the breaker's openings when it was made.
    openings: u64,
}

impl Driver {
    pub(super) fn new(
        node: Arc<ValkeyNode>,
        clock: Arc<StoreClock>,
        turns: Arc<Turns>,
        queue: mpsc::Receiver<Job>,
    ) -> Self {
        let waiting = VecDeque::with_capacity(MOST_CHECKS);
        let (connection, connecting, refused) = (None, None, false);
        Self { node, clock, turns, queue, waiting, connection, connecting, refused }
    }

    /// Runs until every handle is gone.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            if batch.is_empty() {
                continue;
            }
            if !self.node.breaker.is_closed() {
                refuse(batch, &StoreError::Breaker);
            } else if let Some(probing) = self.serve(batch).await {
                self.probe(probing).await;
            }
        }
    }

    /// The checks that wait now, at least one; those that nobody waits for any more are left out.
    async fn gather(&mut self) -> Option<Vec<Job>> {
        if self.waiting.is_empty() {
            let first = self.queue.recv().await?;
            self.waiting.push_back(first);
        }
        while self.waiting.len() < MOST_CHECKS {
            let Ok(job) = self.queue.try_recv() else { break };
            self.waiting.push_back(job);
        }
        let (now, mut asks, mut batch) = (clock::instant(), 0, Vec::new());
        while let Some(job) = self.waiting.pop_front() {
            asks += job.check.len();
            if asks > MOST_ASKS && !batch.is_empty() {
                self.waiting.push_front(job);
                break;
            }
            self.turns.advance(1);
            if job.answer.is_closed() {
                continue;
            }
            if job.patience.until > now {
                batch.push(job);
            } else {
                let ended = job.patience.ended_waiting(self.node.breaker.is_steady());
                let _ = job.answer.send(Err(ended));
            }
        }
        Some(batch)
    }

    /// Makes one call and answers its checks. Answers the duty to probe where its failure opened
    /// the breaker.
    ///
    /// The call has the store's whole time, also where nobody waits that long: only so it tells
    /// whether the store answers.
    async fn serve(&mut self, batch: Vec<Job>) -> Option<Probing> {
        let latest = batch.iter().map(|job| job.patience.until).max()?;
        let deadline = clock::instant() + self.node.settings.timeout;
        let checks: Vec<&Check> = batch.iter().map(|job| &job.check).collect();
        self.node.count_batch(batch.len());
        let outcome = self.call(&checks, latest, deadline).await;
        match outcome {
            Ok(Answer::Decided { generation, checks, .. }) => {
                for (job, decided) in batch.into_iter().zip(checks) {
                    let decided = decided.map_err(undecided);
                    let answer = decided.map(|outcome| StoreAnswer { outcome, generation });
                    // Whoever asked may have gone.
                    let _ = job.answer.send(answer);
                }
                self.answered(None);
                None
            }
            Ok(Answer::Late { .. }) => {
                for job in batch {
                    let _ = job.answer.send(Err(job.patience.ended()));
                }
                self.node.breaker.success();
                None
            }
            Err(error @ StoreError::Refused(_)) => {
                refuse(batch, &error);
                self.answered(Some(&error));
                None
            }
            Err(error) => {
                refuse(batch, &error);
                let opened = self.node.breaker.failure(fastrand::Rng::new())?;
                let store = &self.node.settings.url;
                tracing::warn!(%store, %error, "the store does not answer: left alone");
                Some(opened)
            }
        }
    }

    /// The server answered a call, maybe with a refusal.
    fn answered(&mut self, refusal: Option<&StoreError>) {
        self.node.breaker.success();
        self.tell_refusal(refusal);
        if let Some(open) = &self.connection {
            open.connection.look_at_memory(&self.node);
        }
    }

    /// Logs the first refusal in a row, and the first call that is taken again.
    fn tell_refusal(&mut self, refusal: Option<&StoreError>) {
        if self.refused == refusal.is_some() {
            return;
        }
        self.refused = refusal.is_some();
        let store = &self.node.settings.url;
        match refusal {
            Some(error) => tracing::warn!(%store, %error, "limits answer by on_store_failure"),
            None => tracing::info!(%store, "the store takes calls again"),
        }
    }

    /// One call before `deadline`, connecting included, which decides nothing after `latest`, when
    /// nobody waits for it any more.
    async fn call(
        &mut self,
        checks: &[&Check],
        latest: Instant,
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let Ok(ready) = timeout_at(deadline.into(), self.connect()).await else {
            return Err(StoreError::Timeout);
        };
        ready.map_err(store_error)?;
        let answer = self.exchange(checks, latest, deadline).await?;
        let Answer::Late { .. } = answer else { return Ok(answer) };
        // Nothing was executed. If there is time left by our clock, the estimate of the store's
        // clock was wrong, and is right now.
        if clock::instant() >= latest {
            return Ok(answer);
        }
        self.exchange(checks, latest, deadline).await
    }

    async fn exchange(
        &mut self,
        checks: &[&Check],
        latest: Instant,
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let Some(open) = &mut self.connection else {
            return Err(StoreError::Unavailable("there is no connection".into()));
        };
        let packed = pack(checks.iter().copied(), open.connection.msetex());
        let call = open.connection.call(&packed, self.clock.at(latest));
        match timeout_at(deadline.into(), call).await {
            Ok(Ok(bytes)) => {
                open.unanswered = 0;
                self.read(&bytes, checks)
            }
            Ok(Err(error)) => {
                if matches!(error, CallError::Broken(_)) {
                    self.connection = None;
                }
                Err(store_error(error))
            }
            Err(_) => {
                open.unanswered += 1;
                if open.unanswered >= MOST_UNANSWERED {
                    self.connection = None;
                }
                Err(StoreError::Timeout)
            }
        }
    }

    fn read(&self, bytes: &[u8], checks: &[&Check]) -> Result<Answer, StoreError> {
        let arrived = clock::instant();
        let answer = unpack(bytes, checks.iter().copied())
            .map_err(|_| StoreError::Refused("the script's answer cannot be read".into()))?;
        match answer {
            Answer::Late { now } => self.clock.learn(now, arrived, true),
            Answer::Decided { now, .. } => self.clock.learn(now, arrived, false),
        }
        Ok(answer)
    }

    /// Sees to it that there is a connection. An attempt that outlasts this call goes on when the
    /// next one comes; a connection from before the breaker last opened is given up.
    async fn connect(&mut self) -> Result<(), CallError> {
        let openings = self.node.breaker.openings();
        if self.connection.as_ref().is_some_and(|open| open.openings == openings) {
            return Ok(());
        }
        self.connection = None;
        let node = &self.node;
        let attempt =
            self.connecting.get_or_insert_with(|| tokio::spawn(Connection::open(Arc::clone(node))));
        let outcome = attempt.await;
        self.connecting = None;
        let connection =
            outcome.unwrap_or_else(|error| Err(CallError::Broken(error.to_string())))?;
        self.connection = Some(Open { connection, unanswered: 0, openings });
        Ok(())
    }

    /// Tries the server by calls without checks until it answers. Meanwhile nothing is sent.
    async fn probe(&mut self, mut probing: Probing) {
        while !self.queue.is_closed() {
            let pause = tokio::time::sleep(probing.next_pause());
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    job = self.queue.recv() => match job {
                        Some(job) => refuse([job], &StoreError::Breaker),
                        None => return,
                    },
                }
            }
            probing.begin();
            let deadline = clock::instant() + self.node.settings.timeout;
            // A refusal is an answer too.
            if let Ok(_) | Err(StoreError::Refused(_)) = self.call(&[], deadline, deadline).await {
                probing.succeeded();
                tracing::info!(store = %self.node.settings.url, "the store answers again");
                return;
            }
            probing.failed();
        }
    }
}

fn refuse(jobs: impl IntoIterator<Item = Job>, error: &StoreError) {
    for job in jobs {
        let _ = job.answer.send(Err(error.clone()));
    }
}

fn undecided(undecided: Undecided) -> StoreError {
    match undecided {
        Undecided::Stale => StoreError::Stale,
        Undecided::BadState { ask } => StoreError::BadState { ask },
    }
}

fn store_error(error: CallError) -> StoreError {
    match error {
        CallError::Broken(why) => StoreError::Unavailable(why),
        CallError::Refused(why) => StoreError::Refused(why),
    }
}
