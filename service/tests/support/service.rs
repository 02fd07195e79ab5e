//! The binary as a process: its output, its answers, its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::process::{PATIENCE, Process};

/// A running `sluicegate serve` on ports of its own; killed when dropped.
pub(crate) struct Service {
    process: Process,
    /// The address of its gRPC listener.
    pub(crate) grpc: String,
    http: String,
}

impl Service {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_by(command(), arguments, environment)
    }

    /// The same, after a line of shell about what the process may have, as `ulimit -n 256`.
    #[allow(dead_code, reason = "not every test that starts a service limits it")]
    pub(crate) fn start_under(limit: &str, arguments: &[&str]) -> Self {
        let plain = command();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limit} && exec \"$@\""), "sh"]).arg(plain.get_program());
        Self::start_by(shell, arguments, &[])
    }

    fn start_by(mut command: Command, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        command
            .args(["serve", "-c", "/dev/null", "--grpc-addr", "127.0.0.1:0"])
            .args(["--http-addr", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment.iter().copied());
        let process = Process::start("sluicegate", &mut command);
        process.wait_for("explanation", |line| line.contains(" explain ").then_some(()));
        let address = |name: &str| {
            process.wait_for(name, |line| {
                let address = line.trim_start().strip_prefix(name)?;
                address.split_whitespace().next().map(str::to_owned)
            })
        };
        let (grpc, http) = (address("grpc "), address("http "));
        Self { process, grpc, http }
    }

    /// A limit of the process as the system has it, for example the soft one of open files.
    #[allow(dead_code, reason = "not every test that starts a service limits it")]
    pub(crate) fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.process.id())).unwrap()
    }

    /// What it printed when it was ready.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.process.output()
    }

    /// Everything that it printed so far.
    pub(crate) fn everything(&self) -> String {
        self.process.printed()
    }

    /// Asks `POST /v1/check`; `headers` are whole lines.
    pub(crate) fn check(&self, body: &str, headers: &str) -> serde_json::Value {
        self.post("/v1/check", body, headers)
    }

    /// Asks one of the paths that are posted to; `headers` are whole lines.
    pub(crate) fn post(&self, path: &str, body: &str, headers: &str) -> serde_json::Value {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        let (status, answer) = self.exchange(&format!("{head}{body}"));
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }

    /// Gets a page: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    /// Gets a page until it is as expected. Each round is an answer of the service, not a sleep.
    pub(crate) fn until(&self, path: &str, expected: impl Fn(u16, &str) -> bool) {
        let mut last = (0, String::new());
        for _ in 0..10_000 {
            last = self.get(path);
            if expected(last.0, &last.1) {
                return;
            }
        }
        panic!("{path} stays {last:?}");
    }

    /// Waits for a line of the log that has the text in it.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.process.wait_for(text, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// The decision record with this id.
    pub(crate) fn record(&self, id: &str) -> serde_json::Value {
        serde_json::from_str(&self.wait_for_log(id)).expect("a record is JSON")
    }

    /// Sends a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> i32 {
        self.process.exit_code()
    }

    /// A connection that is used more than once.
    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.http).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Connection(stream)
    }

    fn exchange(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(request.as_bytes()).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }
}

/// A connection to the HTTP listener.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Asks whether the process lives: the head of the answer.
    pub(crate) fn ask(&mut self) -> String {
        self.0.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").expect("sends");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        String::from_utf8(answer).expect("text")
    }
}

/// Runs a command to its end: exit code, output, errors.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    run_in(Path::new("."), arguments)
}

/// Runs a command in a folder to its end.
pub(crate) fn run_in(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done = command().args(arguments).current_dir(folder).output().expect("starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (done.status.code().expect("not by a signal"), text(done.stdout), text(done.stderr))
}

/// The binary, without settings from the environment of the tests.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("SLUICEGATE__") || name_text.starts_with("OTEL_") {
            command.env_remove(&name);
        }
    }
    command
}
