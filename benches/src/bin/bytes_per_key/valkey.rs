//! Bytes a key in Valkey: the growth of `used_memory`.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sluicegate_benches::hash;

use super::Case;

const KEYS: u64 = 100_000;
/// Longer than any run.
const TIME_TO_LIVE_S: u64 = 4_096;
/// How many commands are sent before their answers are read.
const PIPELINE: u64 = 1_000;
/// How many times the server is looked for before it counts as dead.
const MOST_ATTEMPTS: u32 = 500;

/// A server of our own, killed when dropped.
pub(super) struct Server {
    child: Child,
    connection: BufReader<TcpStream>,
}

impl Server {
    /// Starts a server without persistence on a free port of the loopback.
    pub(super) fn start() -> Result<Self, Box<dyn Error>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(binary()?);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        match connect(port, &mut child) {
            Ok(stream) => Ok(Self { child, connection: BufReader::new(stream) }),
            Err(error) => {
                child.kill()?;
                Err(error)
            }
        }
    }

    /// Writes the keys of a case and answers the bytes that each takes. Use the server only once:
    /// tables that were large stay so for a while.
    pub(super) fn measure(mut self, case: Case) -> Result<u64, Box<dyn Error>> {
        let before = self.used_memory()?;
        let seconds = TIME_TO_LIVE_S.to_string();
        let stored = case.stored(0);
        for start in (0..KEYS).step_by(PIPELINE as usize) {
            for number in start..start + PIPELINE {
                for (kind, key, value) in &stored {
                    // Other keys are as long, and random too: all start with their partition.
                    let hash = hash(number).to_le_bytes();
                    let mut name = format!("sg{{{}}}:{kind}", hash[0]).into_bytes();
                    name.extend(hash.iter().zip(key.hash).map(|(a, b)| a ^ b));
                    self.send(&[b"SET", &name, value, b"EX", seconds.as_bytes()])?;
                }
            }
            for _ in 0..PIPELINE * stored.len() as u64 {
                self.answer()?;
            }
        }
        Ok(self.used_memory()?.saturating_sub(before) / KEYS)
    }

    fn used_memory(&mut self) -> Result<u64, Box<dyn Error>> {
        let info = self.call(&[b"INFO", b"memory"])?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("INFO has no used_memory")?.trim().parse()?)
    }

    fn call(&mut self, words: &[&[u8]]) -> Result<String, Box<dyn Error>> {
        self.send(words)?;
        self.answer()
    }

    fn send(&mut self, words: &[&[u8]]) -> std::io::Result<()> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.connection.get_mut().write_all(&bytes)
    }

    /// Reads a simple, bulk or error answer: nothing else is asked for.
    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let line = line.trim_end();
        if let Some(text) = line.strip_prefix('+') {
            return Ok(text.to_owned());
        }
        let length = line.strip_prefix('$').ok_or_else(|| format!("Valkey said {line:?}"))?;
        let mut bytes = vec![0; length.parse::<usize>()? + 2];
        std::io::Read::read_exact(&mut self.connection, &mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pinned server, or the one that `SLUICEGATE_VALKEY` names.
fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("SLUICEGATE_VALKEY") {
        return Ok(path.into());
    }
    let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/parts");
    let path = parts.join("valkey-9.1.2.post2/valkey-server");
    if path.exists() {
        return Ok(path);
    }
    Err(format!("no Valkey at {}: run `cargo xtask parts`", path.display()))
}

/// Connects as soon as the server listens.
fn connect(port: u16, child: &mut Child) -> Result<TcpStream, Box<dyn Error>> {
    for _ in 0..MOST_ATTEMPTS {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("valkey-server ended with {status}").into());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err("valkey-server does not listen".into())
}
