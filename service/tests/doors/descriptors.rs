//! A process that has no file descriptor left.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use http::{Request, StatusCode};
use http_body_util::Full;

use crate::asking::send;

const LIMITS: &str = "rate_limits: {default: {key: tenant_id, limit: 1, window: 1h}}";

/// Ends the process with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the binary with room for 64 descriptors, and reads its addresses.
fn start() -> (Ended, SocketAddr, SocketAddr) {
    let limits = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("descriptors.yaml");
    std::fs::write(&limits, LIMITS).unwrap();
    let serve = "ulimit -n 64 && exec \"$0\" serve --store memory --limits \"$1\" \
                 --grpc-addr 127.0.0.1:0 --http-addr 127.0.0.1:0";
    let mut command = Command::new("sh");
    command.args(["-c", serve, env!("CARGO_BIN_EXE_sluicegate")]).arg(limits);
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).env("SLUICEGATE__THREADS", "2");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Ended(command.spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut address = |of: &str| {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(of)));
        let line = line.expect("serve prints its addresses").unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (grpc, http) = (address("  grpc "), address("  http "));
    (process, grpc, http)
}

#[tokio::test]
async fn a_full_process_says_so_once_and_serves_again_when_it_has_room() {
    let (mut process, grpc, http) = start();
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(grpc).unwrap()).collect();
    let mut log = BufReader::new(process.0.stderr.take().unwrap()).lines();
    log.find(|line| line.as_ref().is_ok_and(|line| line.contains("cannot accept for now")))
        .expect("it says that it is full")
        .unwrap();
    drop(silent);
    let request = || Request::get("/livez").body(Full::default()).unwrap();
    assert_eq!(send(http, request()).await.status, StatusCode::OK);
    process.0.kill().unwrap();
    let again = log.filter(|line| line.as_ref().is_ok_and(|l| l.contains("cannot accept")));
    // The HTTP listener may have said so too; a busy loop would have said it thousands of times.
    let again = again.count();
    assert!(again < 10, "said {again} times more");
}
