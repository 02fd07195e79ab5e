//! The processes that are compared, and what the system says they used.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::scenario::free_port;

/// How often, and with what pause, a server is looked for before it counts as dead.
const ATTEMPTS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// A process of our own, killed when dropped.
pub(super) struct Process(Child);

/// What a process used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Time on a core, of all its threads, in nanoseconds.
    pub(super) cpu_ns: u64,
    /// Calls that write: to sockets, to event counters that wake threads, to the log.
    pub(super) writes: u64,
}

impl Usage {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            writes: self.writes.saturating_sub(before.writes),
        }
    }
}

impl Process {
    /// A Valkey without persistence, and its port.
    pub(super) fn valkey(binary: &Path) -> Result<(Self, u16), Box<dyn Error>> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]);
        Ok((Self::listening(&mut command, port)?, port))
    }

    /// The service, and the address of its gRPC listener.
    pub(super) fn sluicegate(
        binary: &Path,
        settings: &Path,
    ) -> Result<(Self, String), Box<dyn Error>> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("-c").arg(settings);
        command.args(["--grpc-addr", &format!("127.0.0.1:{port}"), "--http-addr", "127.0.0.1:0"]);
        command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
        Ok((Self::listening(&mut command, port)?, format!("http://127.0.0.1:{port}")))
    }

    /// The bare service, and its address.
    pub(super) fn bare(native: &Path, ext_authz: &Path) -> Result<(Self, String), Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").arg("--native").arg(native).arg("--ext-authz").arg(ext_authz);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self(command.spawn()?);
        let output = process.0.stdout.take().ok_or("the bare service has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        Ok((process, address.trim().to_owned()))
    }

    /// What it used so far.
    pub(super) fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        let process = format!("/proc/{}", self.0.id());
        let mut cpu_ns = 0;
        for thread in std::fs::read_dir(format!("{process}/task"))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().ok_or("an empty schedstat")?;
            cpu_ns += first.parse::<u64>()?;
        }
        let io = std::fs::read_to_string(format!("{process}/io"))?;
        let writes = io.lines().find_map(|line| line.strip_prefix("syscw: "));
        Ok(Usage { cpu_ns, writes: writes.ok_or("no syscw in io")?.parse()? })
    }

    /// Starts a server and waits until it listens.
    fn listening(command: &mut Command, port: u16) -> Result<Self, Box<dyn Error>> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Self(command.spawn()?);
        for _ in 0..ATTEMPTS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(process);
            }
            if let Some(status) = process.0.try_wait()? {
                return Err(format!("{name} ended with {status}").into());
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("{name} does not listen on port {port}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
