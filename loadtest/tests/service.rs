//! The load generator and a real service, through both of its doors.

#![cfg(test)]

#[allow(dead_code, reason = "it serves the tests of the doors first")]
#[path = "../../service/tests/support/server.rs"]
mod server;

use std::process::Command;

use server::TestServer;

/// Ten requests of each of two tenants pass.
const LIMITS: &str = "rate_limits: { default: { key: tenant_id, limit: 10, window: 1h } }";

fn fire(door: &str) -> String {
    let server = TestServer::start(LIMITS, |_| {});
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate-loadtest"));
    command.args(["fire", "--target", &format!("http://{}", server.grpc), "--door", door]);
    command.args(["--rate", "100", "--keys", "2", "--duration-s", "1", "--warm-up-s", "0"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_native_door_passes_what_the_limit_lets() {
    let table = fire("native");
    assert!(table.contains("allowed 20, denied 80, degraded 0, errors 0"), "{table}");
}

#[test]
fn the_gateways_door_passes_what_the_limit_lets() {
    let table = fire("ext-authz");
    assert!(table.contains("allowed 20, denied 80, degraded 0, errors 0"), "{table}");
}
