//! Follows the limits files: a good change takes effect, a bad one changes nothing but what can
//! be seen.
//!
//! A thread of its own reads and compiles, so that no request ever waits for a file. It is woken
//! by changes of the directories, by SIGHUP, and every few seconds by itself, so that a lost event
//! heals.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use sluicegate_limits::policy::{Policy, Problem};
use sluicegate_limits::time::Timestamp;
use tokio::sync::watch;

use crate::clock;
use crate::metrics::Metrics;

mod files;

pub use files::{MAX_FILES, MAX_TOTAL_BYTES, Sources};

/// How often the files are read without any event.
const POLL: Duration = Duration::from_secs(10);
/// An editor or a volume writes several times: the files are read once it has been quiet for this.
const QUIET: Duration = Duration::from_millis(50);
/// In a folder that is never quiet, as one with a log in it, they are read this often all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
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
pub struct ReloadState(watch::Sender<Status>);

/// Follows the files until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    wake: SyncSender<Wake>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// Something changed, or somebody asks.
    Read,
    /// The watcher is dropped.
    Stop,
}

/// What the thread works with.
struct Follower<F> {
    paths: Vec<PathBuf>,
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

    /// Follows what becomes of the files.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
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
    /// Starts to follow the files; `loaded` is what is in effect already. `on_policy` gets each
    /// good policy, on the watcher's thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        paths: Vec<PathBuf>,
        loaded: &Sources,
        on_policy: impl Fn(Arc<Policy>) + Send + 'static,
        state: Arc<ReloadState>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        // One waiting wake-up is as good as many.
        let (wake, woken) = sync_channel(1);
        let mut follower = Follower { paths, seen: loaded.digest(), on_policy, state, metrics };
        let events = wake.clone();
        let thread = std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || follower.run(&events, &woken))?;
        Ok(Self { wake, thread: Some(thread) })
    }

    /// Reads the files now, as after SIGHUP.
    pub fn reload(&self) {
        // A full channel has a wake-up in it already.
        let _ = self.wake.try_send(Wake::Read);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<F: Fn(Arc<Policy>)> Follower<F> {
    fn run(&mut self, events: &SyncSender<Wake>, woken: &Receiver<Wake>) {
        let events = events.clone();
        let on_event = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                let _ = events.try_send(Wake::Read);
            }
        };
        let mut watcher = notify::recommended_watcher(on_event)
            .inspect_err(|e| tracing::warn!("limits files are only polled: {e}"))
            .ok();
        loop {
            // Again each time: a directory that was swapped is another one than was watched.
            for folder in self.folders() {
                if let Some(watcher) = &mut watcher {
                    let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
                }
            }
            self.read();
            match woken.recv_timeout(POLL) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Read) => {
                    let until = clock::instant() + LONGEST_WAIT;
                    while clock::instant() < until {
                        match woken.recv_timeout(QUIET) {
                            Ok(Wake::Read) => {}
                            Err(RecvTimeoutError::Timeout) => break,
                            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                        }
                    }
                }
            }
        }
    }

    /// The directories whose changes matter: those of the limits, and the parents of all paths,
    /// because a rename happens in the parent.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let parent = |path: &Path| match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
            Some(parent) => Some(parent.to_path_buf()),
            None => None,
        };
        let own = self.paths.iter().filter(|p| p.is_dir()).cloned();
        own.chain(self.paths.iter().filter_map(|p| parent(p))).collect()
    }

    /// Reads the files, and does something only where they are not what was seen last.
    fn read(&mut self) {
        let sources = Sources::read(&self.paths);
        let digest = sources.digest();
        if digest == self.seen {
            return;
        }
        self.seen = digest;
        match sources.compile() {
            Ok(compiled) => {
                for warning in compiled.warnings.iter().take(MAX_LOGGED) {
                    tracing::warn!("limits: {warning}");
                }
                let policy = Arc::new(compiled.policy);
                tracing::info!(revision = policy.revision(), "the limits files were taken");
                self.metrics.policy.accepted();
                show(&self.metrics, &policy);
                (self.on_policy)(policy);
                self.record(None);
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
        self.record(Some(Arc::new(Rejection { since, problems })));
    }

    fn record(&self, rejection: Option<Arc<Rejection>>) {
        self.state.0.send_modify(|status| {
            status.changes += 1;
            status.rejection = rejection;
        });
    }
}

/// Whether files may differ after this. Opening and reading are events too: ours would wake us to
/// read again, without end.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Shows the policy in effect in the metrics.
pub fn show(metrics: &Metrics, policy: &Policy) {
    metrics.policy.in_effect(policy.revision(), policy.limits().iter().map(|l| &*l.name));
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind, RemoveKind};

    use super::*;

    #[test]
    fn reading_the_files_does_not_wake_the_reader() {
        for read in [
            AccessKind::Any,
            AccessKind::Read,
            AccessKind::Open(AccessMode::Any),
            AccessKind::Close(AccessMode::Read),
        ] {
            assert!(!is_change(EventKind::Access(read)), "{read:?}");
        }
        for change in [
            EventKind::Any,
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Remove(RemoveKind::Any),
            EventKind::Other,
        ] {
            assert!(is_change(change), "{change:?}");
        }
    }
}
