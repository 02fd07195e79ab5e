//! Follows the limits files: a good change takes effect, a bad one changes nothing but what can
//! be seen.
//!
//! A thread of its own reads and compiles, so that no request ever waits for a file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use sluicegate_limits::policy::{Policy, Problem};
use sluicegate_limits::time::Timestamp;
use tokio::sync::watch as channel;

use crate::clock;
use crate::metrics::Metrics;
use crate::settings::Conventions;

mod files;
mod watch;

pub use files::{MAX_FILES, MAX_TOTAL_BYTES, Sources};
pub use watch::Watcher;

/// The most problems of one change that are logged.
const MAX_LOGGED: usize = 20;

/// Why the files at hand are not in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Since when.
    pub since: Timestamp,
    /// What is wrong, the first problem first.
    pub problems: Vec<Problem>,
}

/// What became of the files so far.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How many changes were read.
    pub changes: u64,
    /// Why the last one was not taken; `None` where it was.
    pub rejection: Option<Arc<Rejection>>,
}

/// What became of the files, for `/readyz` and for tests.
#[derive(Debug, Default)]
pub struct ReloadState(channel::Sender<Status>);

/// What the thread works with.
struct Follower<F> {
    paths: Vec<PathBuf>,
    /// What the settings decide about what limits mean.
    conventions: Conventions,
    seen: [u8; 32],
    on_policy: F,
    state: Arc<ReloadState>,
    metrics: Arc<Metrics>,
}

impl ReloadState {
    /// What became of the files so far.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.borrow().clone()
    }

    /// Why the files at hand are not in effect; `None` while they are.
    #[must_use]
    pub fn rejection(&self) -> Option<Arc<Rejection>> {
        self.0.borrow().rejection.clone()
    }

    /// Takes note of a change that was read.
    pub(crate) fn record(&self, rejection: Option<Rejection>) {
        self.0.send_modify(|status| {
            status.changes += 1;
            status.rejection = rejection.map(Arc::new);
        });
    }

    /// Follows what becomes of the files.
    #[must_use]
    pub fn subscribe(&self) -> channel::Receiver<Status> {
        self.0.subscribe()
    }
}

impl Rejection {
    /// The files that have errors, each once.
    #[must_use]
    pub fn files(&self) -> BTreeSet<&str> {
        self.problems.iter().map(|p| p.file.as_str()).collect()
    }
}

impl Watcher {
    /// Starts to follow the files; `loaded` is what is in effect already, and `conventions` what
    /// the settings decide. `on_policy` gets each good policy, on the watcher's thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        paths: Vec<PathBuf>,
        loaded: &Sources,
        conventions: Conventions,
        on_policy: impl Fn(Arc<Policy>) + Send + 'static,
        state: Arc<ReloadState>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (seen, followed) = (loaded.digest(), paths.clone());
        let mut follower =
            Follower { paths: followed, conventions, seen, on_policy, state, metrics };
        Self::spawn("reload", paths, move || follower.read())
    }
}

impl<F: Fn(Arc<Policy>)> Follower<F> {
    /// Reads the files, and does something only where they are not what was seen last.
    fn read(&mut self) {
        let sources = Sources::read(&self.paths);
        let digest = sources.digest();
        if digest == self.seen {
            return;
        }
        self.seen = digest;
        match sources.compile(self.conventions) {
            Ok(compiled) => {
                for warning in compiled.warnings.iter().take(MAX_LOGGED) {
                    tracing::warn!("limits: {warning}");
                }
                let policy = Arc::new(compiled.policy);
                tracing::info!(revision = policy.revision(), "the limits files were taken");
                self.metrics.policy.accepted();
                show(&self.metrics, &policy);
                (self.on_policy)(policy);
                self.state.record(None);
            }
            Err(problems) => self.reject(problems),
        }
    }

    fn reject(&self, problems: Vec<Problem>) {
        let since = self.state.rejection().map_or_else(clock::now, |earlier| earlier.since);
        tracing::error!(
            problems = problems.len(),
            "the limits files were rejected; the last good \
            policy stays in effect"
        );
        for problem in problems.iter().take(MAX_LOGGED) {
            tracing::error!("limits: {problem}");
        }
        self.metrics.policy.rejected(since);
        self.state.record(Some(Rejection { since, problems }));
    }
}

/// Shows the policy in effect in the metrics.
pub fn show(metrics: &Metrics, policy: &Policy) {
    let limits = policy.limits().iter().map(|limit| (&*limit.name, &*limit.alert_at));
    metrics.policy.in_effect(policy.revision(), limits);
}
