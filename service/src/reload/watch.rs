//! Wakes a thread of its own when files may have changed: by changes of their directories, on
//! demand, and every few seconds by itself, so that a lost event heals.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecursiveMode, Watcher as _};

use crate::clock;

/// How often the files are read without any event.
const POLL: Duration = Duration::from_secs(10);
/// An editor or a volume writes several times: the files are read once it has been quiet for this.
const QUIET: Duration = Duration::from_millis(50);
/// In a folder that is never quiet, as one with a log in it, they are read this often all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Follows files until it is dropped.
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

impl Watcher {
    /// Starts a thread that calls `read` now, and whenever something may have changed at `paths`.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn spawn(
        name: &str,
        paths: Vec<PathBuf>,
        read: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Self> {
        // One waiting wake-up is as good as many.
        let (wake, woken) = sync_channel(1);
        let events = wake.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&paths, read, &events, &woken))?;
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

fn run(
    paths: &[PathBuf],
    mut read: impl FnMut(),
    events: &SyncSender<Wake>,
    woken: &Receiver<Wake>,
) {
    let events = events.clone();
    let on_event = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| is_change(event.kind)) {
            let _ = events.try_send(Wake::Read);
        }
    };
    let mut watcher = notify::recommended_watcher(on_event)
        .inspect_err(|e| tracing::warn!("files are only polled: {e}"))
        .ok();
    loop {
        // Again each time: a directory that was swapped is another one than was watched.
        for folder in folders(paths) {
            if let Some(watcher) = &mut watcher {
                let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
            }
        }
        read();
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

/// The directories whose changes matter: those that are followed, and the parents of all paths,
/// because a rename happens in the parent.
fn folders(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        Some(parent) => Some(parent.to_path_buf()),
        None => None,
    };
    let own = paths.iter().filter(|p| p.is_dir()).cloned();
    own.chain(paths.iter().filter_map(|p| parent(p))).collect()
}

/// Whether files may differ after this. Opening and reading are events too: ours would wake us to
/// read again, without end.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
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
