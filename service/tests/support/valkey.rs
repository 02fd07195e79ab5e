//! A real Valkey server for one test, on a free port of loopback; it ends with the value.

use std::process::Command;

use crate::process::{Process, free_address, part};

/// How often another port is tried when somebody else took the free one meanwhile.
const ATTEMPTS: usize = 5;

/// A running server.
pub(crate) struct ValkeyServer {
    process: Process,
    port: u16,
    args: Vec<String>,
}

impl ValkeyServer {
    /// Starts a server that keeps nothing on disk; `args` come after the usual ones.
    pub(crate) fn start(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let port = free_address().port();
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
        self.process.kill();
    }

    /// Starts it again on the same port, after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.port, &self.args).expect("starts the server again");
    }

    /// SIGSTOP: the kernel still accepts bytes, nobody answers.
    pub(crate) fn stop(&self) {
        self.process.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.process.signal("CONT");
    }
}

/// A server on this port; `None` where somebody else has the port.
fn spawn(port: u16, args: &[String]) -> Option<Process> {
    let mut server = Command::new(part("SLUICEGATE_VALKEY", "valkey-9.1.2.post2/valkey-server"));
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    server.args(["--save", "", "--appendonly", "no"]).args(args);
    let process = Process::start("valkey", &mut server);
    let ready = process.wait_for("readiness", |line| match line {
        _ if line.contains("Ready to accept") => Some(true),
        _ if line.contains("Failed listening on port") => Some(false),
        _ => None,
    });
    ready.then_some(process)
}
