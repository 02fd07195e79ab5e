//! The main job, end to end: real clients, real Envoy, two replicas, real Valkey.
//!
//! Everything runs with the files of `deploy/`, on free ports of the loopback addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{Json, Router};
use http::HeaderMap;
use tokio::sync::MutexGuard;

use crate::alone;
use crate::calls::{call, until};
use crate::gate::{Gate, replica};
use crate::gateway::Gateway;
use crate::http_client::HttpAnswer;
use crate::process::folder;
use crate::valkey::Valkey;

/// Tokens of two tenants, made once with a key whose private half was not kept. The public half is
/// the inline key set of deploy/envoy/envoy.yaml; they are valid until the year 2100. Header:
/// `{"alg":"ES256","typ":"JWT","kid":"example-1"}`; payload:
/// `{"iss":"https://issuer.example","aud":"example-api","sub":…,"tenant_id":…,"exp":4102444800}`.
pub(crate) const HEAD: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImV4YW1wbGUtMSJ9";
pub(crate) const ACME: &str = concat!(
    "eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJhbmEi",
    "LCJ0ZW5hbnRfaWQiOiJhY21lIiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "ZVfygOY4KvgY_Yv8Kc8BbDoKA1mIe2EgAJVXfpB5J6M8PBmKFRnjAmS_rE6P_APwAkkHAMHcdd9BZ-G2Zmjfow",
);
pub(crate) const GLOBEX: &str = concat!(
    "eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJiZW4i",
    "LCJ0ZW5hbnRfaWQiOiJnbG9iZXgiLCJleHAiOjQxMDI0NDQ4MDB9.",
    "Zz6BkV-WbDGHVcw0KABR0Axb6eTCf0XUPyzuu8hcr3aTFF0JpjCDxsFVNYFe-739ZAiABbo2f3VHyjPOu7y38w",
);
/// The payload of acme, signed with another key.
const FORGED: &str = concat!(
    "eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJldmUi",
    "LCJ0ZW5hbnRfaWQiOiJhY21lIiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "KJhMArbyGcafwqLpmH_7QUpyUANTKpw2z7LM64YShQp4klrCAXFQEV3YMENeAW7LbeIFA98guZ2cXHaJ-r_zlw",
);

/// The settings' own time-out, and one that a busy machine does not reach.
const SHORT_MS: u32 = 8;
pub(crate) const PATIENT_MS: u32 = 5_000;

/// Everything that takes part.
struct World {
    gateway: Gateway,
    replicas: Vec<Gate>,
    store: Valkey,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    async fn start(name: &str, store_timeout_ms: u32) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        let mut replicas = Vec::new();
        for rank in 0..2 {
            replicas.push(Gate::start(replica(&folder, rank), &store, store_timeout_ms).await);
        }
        let doors = [replicas[0].grpc, replicas[1].grpc];
        let gateway = Gateway::start(&folder, upstream().await, doors).await;
        Self { gateway, replicas, store, _alone: alone }
    }

    async fn anonymous(&self, host: u8, method: &str, path: &str) -> HttpAnswer {
        call(client(host), self.gateway.address, method, path, &[]).await.unwrap()
    }

    async fn tenant(&self, token: &str, method: &str, path: &str) -> HttpAnswer {
        let bearer = format!("Bearer {HEAD}.{token}");
        let headers = [("authorization", bearer.as_str())];
        call(client(2), self.gateway.address, method, path, &headers).await.unwrap()
    }

    /// How many of `count` anonymous requests pass, and the answer to the last.
    async fn passed(
        &self,
        host: u8,
        method: &str,
        path: &str,
        count: usize,
    ) -> (usize, HttpAnswer) {
        let mut passed = 0;
        let mut last = self.anonymous(host, method, path).await;
        for done in 1..=count {
            passed += usize::from(last.status == 200);
            if done < count {
                last = self.anonymous(host, method, path).await;
            }
        }
        (passed, last)
    }
}

/// A client's address: 127.0.0.`host`.
pub(crate) fn client(host: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, host).into()
}

/// An API that answers with the headers of the request, as JSON.
pub(crate) async fn upstream() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |headers: HeaderMap| async move {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let pairs = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        Json(pairs.collect::<BTreeMap<String, String>>())
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
    address
}

#[tokio::test]
async fn sixty_anonymous_requests_of_an_address_pass_and_the_next_is_refused() {
    let world = World::start("anonymous", PATIENT_MS).await;
    for left in (0..60).rev() {
        let answer = world.anonymous(2, "GET", "/v1/reports").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let header = answer.header("ratelimit");
        assert!(header.contains(&format!("\"unauthenticated\";r={left};")), "{header}");
        let policies = answer.header("ratelimit-policy");
        assert!(policies.contains("\"unauthenticated\";q=60;w=60"), "{policies}");
    }
    let denied = world.anonymous(2, "GET", "/v1/reports").await;
    assert_eq!(denied.status, 429, "{denied:?}");
    assert_eq!(denied.header("content-type"), "application/problem+json");
    assert!(denied.header("ratelimit").contains("\"unauthenticated\";r=0;"), "{denied:?}");
    // The wait is at most the window, rounded up; the jitter at most a tenth of it.
    let retry_after: u64 = denied.header("retry-after").parse().unwrap();
    assert!((1..=66).contains(&retry_after), "{denied:?}");
    let problem = denied.json();
    assert_eq!(problem["limit_name"], "unauthenticated", "{problem}");
    assert_eq!(problem["reason"], "limit_exceeded", "{problem}");
    assert_eq!(problem["status"], 429, "{problem}");
    let other = world.anonymous(3, "GET", "/v1/reports").await;
    assert_eq!(other.status, 200, "another address has its own counter: {other:?}");
    access_log_names_the_decision(&world, &problem);
}

/// The decision id of the denial's body is in Envoy's access log, from the dynamic metadata.
fn access_log_names_the_decision(world: &World, problem: &serde_json::Value) {
    let id = problem["decision_id"].as_str().unwrap();
    let line = world.gateway.process.wait_for("line about the denial", |line| {
        line.contains(id).then(|| serde_json::from_str::<serde_json::Value>(line).unwrap())
    });
    assert_eq!(line["limit_name"], "unauthenticated", "{line}");
    assert_eq!(line["status"], 429, "{line}");
}

#[tokio::test]
async fn a_tenant_gets_twenty_exports_an_hour_and_its_other_calls_go_on() {
    let world = World::start("exports", PATIENT_MS).await;
    let export = "/v1/reports/export";
    for number in 1..=20 {
        let answer = world.tenant(ACME, "POST", export).await;
        assert_eq!(answer.status, 200, "export {number}: {answer:?}");
        assert_eq!(answer.json()["x-tenant-id"], "acme", "{answer:?}");
    }
    let left = default_left(&world.tenant(ACME, "GET", "/v1/reports").await);
    assert_eq!(left, 1_200 - 21, "each export is also a call");
    for _ in 0..5 {
        let denied = world.tenant(ACME, "POST", export).await;
        assert_eq!(denied.status, 429, "{denied:?}");
        let retry_after: u64 = denied.header("retry-after").parse().unwrap();
        assert!((1..=3_605).contains(&retry_after), "{denied:?}");
        assert_eq!(denied.json()["limit_name"], "expensive_exports", "{denied:?}");
    }
    let after = default_left(&world.tenant(ACME, "GET", "/v1/reports").await);
    assert_eq!(after, left - 1, "an export denied uses up nothing of the tenant's default");
    let other = world.tenant(GLOBEX, "POST", export).await;
    assert_eq!(other.status, 200, "another tenant has its own counters: {other:?}");
}

/// What the RateLimit header says is left of the limit `default`.
fn default_left(answer: &HttpAnswer) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    let header = answer.header("ratelimit");
    let rest = header.split_once("\"default\";r=").unwrap_or_else(|| panic!("{answer:?}")).1;
    rest.split(';').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_forged_tenant_stays_anonymous() {
    let world = World::start("forged", PATIENT_MS).await;
    let to = world.gateway.address;
    for number in 1..=60 {
        let forged = [("x-tenant-id", "acme"), ("X-Tenant-Id", "globex"), ("x_tenant_id", "acme")];
        let answer = call(client(4), to, "GET", "/v1/reports", &forged).await.unwrap();
        assert_eq!(answer.status, 200, "request {number}: {answer:?}");
        assert!(answer.header("ratelimit").contains("unauthenticated"), "{answer:?}");
        let seen = answer.json();
        assert_eq!(seen.get("x-tenant-id"), None, "{seen}");
        assert_eq!(seen.get("x_tenant_id"), None, "{seen}");
    }
    let denied = call(client(4), to, "GET", "/v1/reports", &[("x-tenant-id", "acme")]).await;
    assert_eq!(denied.unwrap().status, 429);
    let other_key = world.tenant(FORGED, "GET", "/v1/reports").await;
    assert_eq!(other_key.status, 401, "{other_key:?}");
    // A token and a forged header together: the token counts.
    let bearer = format!("Bearer {HEAD}.{GLOBEX}");
    let both = [("authorization", bearer.as_str()), ("x-tenant-id", "acme")];
    let answer = call(client(4), to, "GET", "/v1/reports", &both).await.unwrap();
    assert_eq!(default_left(&answer), 1_199, "{answer:?}");
    assert_eq!(answer.json()["x-tenant-id"], "globex", "{answer:?}");
}

#[tokio::test]
async fn without_the_store_each_limit_answers_by_its_own_rule_and_without_replicas_nobody_passes() {
    let mut world = World::start("failures", SHORT_MS).await;
    world.store.kill();
    world.replicas[1].process.kill();
    world.gateway.until_healthy(1).await;
    // `payments` stays closed. Until the breaker is open a call may still be on its way.
    let closed = world.anonymous(5, "POST", "/v1/payments").await;
    assert_eq!(closed.status, 503, "{closed:?}");
    assert_eq!(closed.json()["reason"], "store_unavailable", "{closed:?}");
    // `status` stays open: its own limit is 5. The limit of the address still holds, locally.
    let (open, last) = world.passed(6, "GET", "/v1/status", 20).await;
    assert_eq!(open, 20, "{last:?}");
    // `unauthenticated` goes local: 30 of 60, because there are two replicas by the settings.
    let (local, last) = world.passed(7, "GET", "/v1/reports", 31).await;
    assert_eq!(local, 30, "{last:?}");
    assert_eq!(last.status, 429, "{last:?}");
    world.replicas[0].process.kill();
    let nobody = until("answer without a replica", || async {
        let answer = world.anonymous(8, "GET", "/v1/status").await;
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(nobody.await.header("retry-after"), "", "Envoy answered, not a limit");
    world.gateway.until_healthy(0).await;
    let still = world.anonymous(8, "GET", "/v1/status").await;
    assert_eq!(still.status, 503, "{still:?}");
}
