//! What is compared: limits, keys and stores.

use std::net::{Ipv4Addr, TcpListener};

use crate::caller::{Door, Shape};

/// One line of the comparison for each door.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) limits: &'static str,
    pub(super) keys: u64,
    pub(super) on_valkey: bool,
    pub(super) doors: &'static [Door],
}

/// The limits of the README, of which one applies.
const ONE: &str = include_str!("../../../limits/examples/quickstart.yaml");
/// Four limits with a counter each, none of which is reached.
const FOUR: &str = "# Four limits apply to each request.
rate_limits:
  a: { key: tenant_id, limit: 1000000, window: 1m }
  b: { key: [tenant_id, method], limit: 1000000, window: 1h, algorithm: token_bucket }
  c: { key: [tenant_id, path], limit: 1000000, window: 1m, algorithm: fixed_window }
  d: { match: 'GET /v1/**', key: [tenant_id, path, method], limit: 1000000, window: 1h }
";
/// One limit that nobody reaches.
const PLENTY: &str = "# One counter for all.
rate_limits:
  all: { key: authenticated, limit: 1000000000, window: 1m }
";
/// One limit that everybody has reached.
const NOTHING: &str = "# One counter for all, and nothing left.
rate_limits:
  all: { key: authenticated, limit: 1, window: 1h }
";
const BOTH: &[Door] = &[Door::Native, Door::ExtAuthz];
const NATIVE: &[Door] = &[Door::Native];
const MANY: u64 = 100_000;

/// All comparisons.
pub(super) const SCENARIOS: [Scenario; 6] = [
    scenario("memory, one limit", ONE, false, BOTH),
    scenario("memory, four limits", FOUR, false, NATIVE),
    scenario("memory, one hot key", PLENTY, false, NATIVE),
    scenario("memory, all denied", NOTHING, false, BOTH),
    scenario("Valkey, one limit", ONE, true, BOTH),
    scenario("Valkey, four limits", FOUR, true, NATIVE),
];

const fn scenario(
    name: &'static str,
    limits: &'static str,
    on_valkey: bool,
    doors: &'static [Door],
) -> Scenario {
    Scenario { name, limits, keys: MANY, on_valkey, doors }
}

impl Scenario {
    /// What its requests look like.
    pub(super) fn shape(&self) -> Shape {
        Shape { method: "GET".to_owned(), path: "/v1/items".to_owned(), keys: self.keys }
    }
}

/// The settings of the service. The log goes nowhere; decision records are as they are by default.
pub(super) fn settings(valkey: Option<u16>) -> String {
    // At saturation a call waits for those before it, and it is not failures that are compared.
    let store = valkey.map_or("memory".to_owned(), |port| {
        format!("{{ url: \"valkey://127.0.0.1:{port}\", timeout_ms: 1000 }}")
    });
    format!(
        "# Written for one comparison.
limits: [\"l.yaml\"]
store: {store}
development: true
attributes:
  tenant_id: {{ header: x-tenant-id }}
  authenticated: {{ present: tenant_id }}
"
    )
}

/// A port of the loopback that is free now.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
