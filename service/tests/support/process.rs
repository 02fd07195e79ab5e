//! A server that a test starts: its output is read line by line, and it ends with its owner.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long anything that a test waits for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The most lines that are kept of one stream, besides those about a panic.
const MAX_LINES: usize = 100_000;

/// What a server has printed so far: its output, and its errors.
#[derive(Default)]
struct Printed {
    streams: Mutex<[Vec<String>; 2]>,
    grown: Condvar,
}

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    name: String,
    child: Child,
    printed: Arc<Printed>,
}

impl Process {
    /// Starts the command and reads what it prints.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let printed = Arc::new(Printed::default());
        printed.follow(0, child.stdout.take().unwrap());
        printed.follow(1, child.stderr.take().unwrap());
        Self { name: name.to_owned(), child, printed }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that `pick` accepts and answers what it made of it.
    pub(crate) fn wait_for<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        let streams = self.printed.streams.lock().unwrap();
        let find = |streams: &[Vec<String>; 2]| streams.iter().flatten().find_map(|l| pick(l));
        let grown = &self.printed.grown;
        let waited = grown.wait_timeout_while(streams, PATIENCE, |streams| find(streams).is_none());
        let (streams, _) = waited.unwrap();
        find(&streams).unwrap_or_else(|| panic!("{} printed no {what}: {streams:#?}", self.name))
    }

    /// The lines of its output so far.
    pub(crate) fn output(&self) -> Vec<String> {
        let [output, _] = &*self.printed.streams.lock().unwrap();
        output.clone()
    }

    /// Everything it has printed, its output first.
    pub(crate) fn printed(&self) -> String {
        self.printed.streams.lock().unwrap().concat().join("\n")
    }

    /// Sends a signal by its short name, for example `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let line = format!("kill -{signal} {}", self.id());
        let status = Command::new("sh").args(["-c", &line]).status().unwrap();
        assert!(status.success(), "{line}: {status}");
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // Neither fails in a way that matters: it may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Waits for its end: the exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        self.child.wait().unwrap().code().expect("not by a signal")
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let printed = self.printed();
            let tail = printed.len().saturating_sub(4_000);
            eprintln!("---- {} printed (the end of it):", self.name);
            eprintln!("{}", String::from_utf8_lossy(&printed.as_bytes()[tail..]));
        }
    }
}

impl Printed {
    fn follow(self: &Arc<Self>, number: usize, stream: impl Read + Send + 'static) {
        let printed = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let lines = &mut printed.streams.lock().unwrap()[number];
                if lines.len() < MAX_LINES || line.contains("panicked") {
                    lines.push(line);
                }
                printed.grown.notify_all();
            }
        });
    }
}

/// Where `cargo xtask parts` put a real server, or where its variable says it is.
pub(crate) fn part(variable: &str, below_parts: &str) -> PathBuf {
    let fetched = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../parts").join(below_parts);
    let path = std::env::var_os(variable).map_or(fetched, PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask parts`", path.display());
    path
}

/// A folder of the test's own, empty at first.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = format!("{name}-{}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A file of the repository.
pub(crate) fn repository(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}
