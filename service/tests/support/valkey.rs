//! A real Valkey server for one test, on a free port of loopback; it ends with the value.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How often another port is tried when somebody else took the free one meanwhile.
const ATTEMPTS: usize = 5;

/// A running server.
pub(crate) struct ValkeyServer {
    process: Child,
    port: u16,
    args: Vec<String>,
}

impl ValkeyServer {
    /// Starts a server that keeps nothing on disk; `args` come after the usual ones.
    pub(crate) fn start(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            if let Some(process) = spawn(port, &args) {
                return Self { process, port, args };
            }
        }
        panic!("valkey-server did not start on a free port");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("valkey://127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kills the server");
        self.process.wait().expect("reaps the server");
    }

    /// Starts it again on the same port, after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.port, &self.args).expect("starts the server again");
    }

    /// SIGSTOP: the kernel still accepts bytes, nobody answers.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(status.expect("runs kill").success(), "kill {signal}");
    }
}

impl Drop for ValkeyServer {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, args: &[String]) -> Option<Child> {
    let mut process = Command::new(binary())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts valkey-server");
    let mut lines = BufReader::new(process.stdout.take().expect("has an output")).lines();
    let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Ready to accept")));
    if !ready {
        let _ = process.wait();
        return None;
    }
    // A full pipe would stop the server.
    std::thread::spawn(move || lines.for_each(drop));
    Some(process)
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds a port");
    listener.local_addr().expect("has an address").port()
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SLUICEGATE_VALKEY") {
        return path.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("has a workspace");
    let path = workspace.join("target/parts/valkey-9.1.2.post2/valkey-server");
    assert!(path.exists(), "no valkey-server: run `cargo xtask parts`, or set SLUICEGATE_VALKEY");
    path
}
