//! The limits files are followed through every kind of change, and a bad one changes nothing.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sluicegate::metrics::Metrics;
use sluicegate::reload::{ReloadState, Sources, Status, Watcher};
use sluicegate::settings::Conventions;
use sluicegate_limits::policy::Policy;
use tokio::sync::{mpsc, watch};

const GOOD: &str = "rate_limits: {a: {key: tenant_id, limit: 5, window: 1m}}";
/// So long that only a lost event can reach it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of limits that is being followed.
struct Followed {
    folder: PathBuf,
    metrics: Arc<Metrics>,
    policies: mpsc::UnboundedReceiver<Arc<Policy>>,
    status: watch::Receiver<Status>,
    watcher: Watcher,
}

impl Followed {
    fn start(name: &str) -> Self {
        let folder = folder(name);
        put(&folder.join("a.yaml"), GOOD);
        Self::follow(folder.clone(), vec![folder])
    }

    fn follow(folder: PathBuf, paths: Vec<PathBuf>) -> Self {
        let loaded = Sources::read(&paths);
        loaded.compile(Conventions::default()).expect("the first files are good");
        let (send, policies) = mpsc::unbounded_channel();
        let (state, metrics) = (Arc::new(ReloadState::default()), Metrics::new(1));
        let status = state.subscribe();
        let on_policy = move |policy| send.send(policy).expect("the test listens");
        let watcher = Watcher::start(
            paths,
            &loaded,
            Conventions::default(),
            on_policy,
            state,
            Arc::clone(&metrics),
        );
        Self { folder, metrics, policies, status, watcher: watcher.expect("a thread") }
    }

    async fn rejected(&mut self) -> Status {
        let until = self.status.wait_for(|s| s.rejection.is_some());
        tokio::time::timeout(PATIENCE, until).await.expect("an event").expect("a watcher").clone()
    }

    async fn taken(&mut self) -> Arc<Policy> {
        let policy = self.policies.recv();
        tokio::time::timeout(PATIENCE, policy).await.expect("an event").expect("a watcher")
    }

    /// Breaks the limits, sees that they are rejected, mends them, sees that they are taken.
    async fn survives(mut self, what: &str, code: &str, spoil: impl Fn(&Path)) {
        spoil(&self.folder);
        let status = self.rejected().await;
        let rejection = status.rejection.expect("rejected");
        assert!(rejection.problems.iter().any(|p| p.code == code), "{what}: {rejection:?}");
        let named =
            rejection.files().into_iter().any(|f| f.contains(self.folder.to_str().unwrap()));
        assert!(named, "{what}: names no file");
        assert!(self.policies.try_recv().is_err(), "{what}: a bad file was taken");
        assert!(self.metrics.scrape().contains("reloads_total{result=\"rejected\"}"));
        let bad = self.folder.join("a.yaml");
        if bad.is_dir() {
            fs::remove_dir(&bad).unwrap();
        } else if bad.symlink_metadata().is_ok() {
            fs::remove_file(&bad).unwrap();
        }
        put(&bad, &GOOD.replace("limit: 5", "limit: 6"));
        assert_eq!(self.taken().await.limits()[0].numbers.limit.get(), 6, "{what}");
        let until = self.status.wait_for(|s| s.rejection.is_none());
        tokio::time::timeout(PATIENCE, until).await.expect("an event").expect("a watcher");
        drop(self.watcher);
        fs::remove_dir_all(self.folder).unwrap();
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reload-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes as editors do: beside the file, then a rename over it.
fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn every_kind_of_broken_file_leaves_the_last_good_policy() {
    let in_a = |text: String| move |folder: &Path| put(&folder.join("a.yaml"), &text);
    let half = in_a("rate_limits: {a: {key: tenant_id, li".into());
    Followed::start("half").survives("half-written", "syntax", half).await;
    Followed::start("empty").survives("empty", "empty", in_a(String::new())).await;
    let list = in_a("rate_limits: [1, 2]".into());
    Followed::start("type").survives("wrong type", "wrong_type", list).await;
    let huge = in_a(format!("{GOOD}\n#{}", "x".repeat(9 << 20)));
    Followed::start("huge").survives("huge", "too_large", huge).await;
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let of = format!("*a{}, ", n - 1).repeat(9);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", of.trim_end_matches(", ")));
    }
    Followed::start("bomb").survives("alias bomb", "too_large", in_a(bomb)).await;
}

#[tokio::test]
async fn what_cannot_be_read_leaves_the_last_good_policy() {
    // These tests run as root, whom no permission stops: a directory and a dangling link do.
    let directory = |folder: &Path| {
        fs::remove_file(folder.join("a.yaml")).unwrap();
        fs::create_dir(folder.join("a.yaml")).unwrap();
    };
    Followed::start("directory").survives("a directory", "unreadable", directory).await;
    #[cfg(unix)]
    {
        let dangling = |folder: &Path| {
            fs::remove_file(folder.join("a.yaml")).unwrap();
            std::os::unix::fs::symlink("nowhere", folder.join("a.yaml")).unwrap();
        };
        Followed::start("dangling").survives("a dangling link", "unreadable", dangling).await;
    }
    let not_text = |folder: &Path| fs::write(folder.join("a.yaml"), b"\xff\xfe").unwrap();
    Followed::start("bytes").survives("not text", "not_text", not_text).await;
}

#[tokio::test]
async fn a_deleted_file_is_rejected_until_there_is_one_again() {
    let mut limits = Followed::start("deleted");
    fs::remove_file(limits.folder.join("a.yaml")).unwrap();
    let rejection = limits.rejected().await.rejection.unwrap();
    assert_eq!(rejection.problems[0].code, "empty");
    assert_eq!(rejection.files().into_iter().next(), limits.folder.to_str());
    put(&limits.folder.join("b.yml"), GOOD);
    assert_eq!(limits.taken().await.limits().len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_volume_that_swaps_its_data_link_is_followed() {
    use std::os::unix::fs::symlink;
    let root = folder("volume");
    for (version, limit) in [("..1", 5), ("..2", 7)] {
        fs::create_dir(root.join(version)).unwrap();
        let text = GOOD.replace("limit: 5", &format!("limit: {limit}"));
        fs::write(root.join(version).join("a.yaml"), text).unwrap();
    }
    symlink("..1", root.join("..data")).unwrap();
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    let mut limits = Followed::follow(root.clone(), vec![root.clone()]);
    symlink("..2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    assert_eq!(limits.taken().await.limits()[0].numbers.limit.get(), 7);
}

#[tokio::test]
async fn a_directory_that_is_swapped_for_another_is_followed() {
    let parent = folder("swap");
    let (now, next, old) = (parent.join("now"), parent.join("next"), parent.join("old"));
    for (path, limit) in [(&now, 5), (&next, 8)] {
        fs::create_dir(path).unwrap();
        put(&path.join("a.yaml"), &GOOD.replace("limit: 5", &format!("limit: {limit}")));
    }
    let mut limits = Followed::follow(now.clone(), vec![now.clone()]);
    fs::rename(&now, &old).unwrap();
    fs::rename(&next, &now).unwrap();
    // Between the two renames there may have been nothing: only the end is certain.
    assert_eq!(limits.taken().await.limits()[0].numbers.limit.get(), 8);
    put(&now.join("a.yaml"), &GOOD.replace("limit: 5", "limit: 9"));
    assert_eq!(limits.taken().await.limits()[0].numbers.limit.get(), 9);
}

#[tokio::test]
async fn a_single_file_is_followed_and_asking_twice_changes_nothing() {
    let root = folder("single");
    let file = root.join("limits.yaml");
    put(&file, GOOD);
    let mut limits = Followed::follow(root, vec![file.clone()]);
    limits.watcher.reload();
    put(&file, &GOOD.replace("limit: 5", "limit: 4"));
    assert_eq!(limits.taken().await.limits()[0].numbers.limit.get(), 4);
    let read = limits.status.wait_for(|s| s.changes >= 1);
    let read = tokio::time::timeout(PATIENCE, read).await.expect("an event").expect("a watcher");
    assert_eq!(read.changes, 1);
}

#[test]
fn hidden_files_other_names_and_folders_below_are_not_read() {
    let root = folder("names");
    fs::create_dir(root.join("below")).unwrap();
    for name in ["b.yml", "a.yaml", ".c.yaml", "d.yaml~", "e.json", "below/f.yaml"] {
        fs::write(root.join(name), GOOD).unwrap();
    }
    let sources = Sources::read(&[root.clone(), root.join("a.yaml")]);
    let names: Vec<_> = sources.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names,
        [root.join("a.yaml").to_str().unwrap(), root.join("b.yml").to_str().unwrap()]
    );
}
