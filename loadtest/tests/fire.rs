//! The load generator as a program: both doors, both paces, against a server of its own.

#![cfg(test)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use prost::Message;
use serde_json::Value;
use sluicegate_proto::{ext_authz, v1};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate-loadtest");

/// A bare server; it ends when its standard input does.
struct Bare {
    process: Child,
    address: String,
}

impl Bare {
    /// Allows all at the native door and denies all at the other.
    fn start(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (native, gateway) =
            (folder.join(format!("{name}-n")), folder.join(format!("{name}-g")));
        let allowed = v1::CheckResponse { allowed: true, degraded: true, ..Default::default() };
        std::fs::write(&native, allowed.encode_to_vec()).unwrap();
        let denied = ext_authz::DeniedHttpResponse {
            status: Some(ext_authz::types::HttpStatus { code: 429 }),
            ..Default::default()
        };
        let denied = ext_authz::CheckResponse {
            http_response: Some(ext_authz::check_response::HttpResponse::DeniedResponse(denied)),
            ..Default::default()
        };
        std::fs::write(&gateway, denied.encode_to_vec()).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("bare").arg("--native").arg(native).arg("--ext-authz").arg(gateway);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn fire(target: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["fire", "--target", target, "--duration-s", "1", "--warm-up-s", "0"]);
    command.args(flags).output().unwrap()
}

fn report(target: &str, flags: &[&str]) -> Value {
    let output = fire(target, &[flags, &["-o", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_open_loop_sends_every_request_that_is_due() {
    let bare = Bare::start("open");
    let report = report(&bare.address, &["--rate", "200", "--connections", "2"]);
    assert_eq!((&report["allowed"], &report["errors"]), (&200.into(), &0.into()), "{report}");
    assert_eq!((&report["denied"], &report["degraded"]), (&0.into(), &200.into()), "{report}");
    assert!(report["latency_us"]["p50"].as_u64() <= report["latency_us"]["max"].as_u64());
}

#[test]
fn the_gateways_door_is_asked_as_envoy_asks() {
    let bare = Bare::start("gateway");
    let report = report(&bare.address, &["--door", "ext-authz", "--rate", "100"]);
    assert_eq!((&report["denied"], &report["errors"]), (&100.into(), &0.into()), "{report}");
}

#[test]
fn a_closed_loop_asks_again_after_each_answer() {
    let bare = Bare::start("closed");
    let report = report(&bare.address, &["--closed", "4"]);
    assert!(report["allowed"].as_u64().unwrap() > 4, "{report}");
}

#[test]
fn the_table_has_its_rows() {
    let bare = Bare::start("table");
    let output = fire(&bare.address, &["--rate", "50"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for row in ["p50", "p90", "p99", "p99.9", "max", "allowed 50, denied 0"] {
        assert!(table.contains(row), "{table}");
    }
}

#[test]
fn nothing_is_fired_at_other_machines_and_a_dead_one_is_an_error() {
    let output = fire("http://192.0.2.1:1", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--allow-remote"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = fire(&format!("http://127.0.0.1:{port}"), &["--rate", "10"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("unreachable"), "{output:?}");
}
