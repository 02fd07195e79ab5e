//! Reservations and holds through the doors that have them: one list of behaviours for both, and
//! what Envoy's door makes of concurrency.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value as Json, json};
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{
    ExtendRequest, HoldRequest, ReleaseRequest, ReserveRequest, SettleRequest,
};

use crate::asking::{Door, Question, send};
use crate::server::{PATIENCE, TestServer};

/// The doors that reserve and hold.
const DOORS: [Door; 2] = [Door::Grpc, Door::Http];

const LIMITS: &str = "
rate_limits:
  tokens: { match: GET /ai, key: tenant_id, limit: 100, window: 1h, hold: 1m }
  slots: { match: GET /export, key: tenant_id, algorithm: concurrency, limit: 1, hold: 1m }
  short: { match: GET /short, key: tenant_id, algorithm: concurrency, limit: 2, hold: 1s }
";

/// What a door said to one of the calls, in one form.
#[derive(Debug)]
struct Answer {
    done: bool,
    reason: String,
    token: String,
    lasts_ms: u64,
    overrun: u64,
    /// What the first limit has left.
    left: Option<u64>,
    decision_id: String,
}

/// One of the calls.
#[derive(Clone, Copy, Debug)]
enum Ask<'a> {
    Reserve { path: &'a str, estimate: u64, lasting_ms: Option<u64> },
    Hold { path: &'a str, lasting_ms: Option<u64> },
    Settle { token: &'a str, actual: u64 },
    Extend { token: &'a str, lasting_ms: Option<u64> },
    Release { token: &'a str },
}

impl TestServer {
    async fn held(&self, door: Door, ask: Ask<'_>) -> Answer {
        match door {
            Door::Grpc => self.held_native(ask).await,
            Door::Http => self.held_json(ask).await,
            Door::ExtAuthz => panic!("Envoy only checks"),
        }
    }

    async fn held_native(&self, ask: Ask<'_>) -> Answer {
        let mut client = SluicegateClient::new(self.channel().await);
        let facts = |path| Question::get(path).by("acme").native().attributes;
        let lasts = |millis: Option<u64>| {
            millis.map(|ms| prost_types::Duration::try_from(Duration::from_millis(ms)).unwrap())
        };
        let millis = |lasts: Option<prost_types::Duration>| {
            lasts.map_or(0, |l| u64::try_from(Duration::try_from(l).unwrap().as_millis()).unwrap())
        };
        let answer = |done, reason, decision_id| Answer {
            done,
            reason,
            token: String::new(),
            lasts_ms: 0,
            overrun: 0,
            left: None,
            decision_id,
        };
        match ask {
            Ask::Reserve { path, estimate, lasting_ms } => {
                let (attributes, estimate) = (facts(path), Some(estimate));
                let request = ReserveRequest { attributes, estimate, lasting: lasts(lasting_ms) };
                let answered = client.reserve(request).await.unwrap().into_inner();
                let decision = answered.decision.unwrap();
                Answer {
                    token: answered.reservation,
                    lasts_ms: millis(answered.lasts),
                    left: decision.remaining,
                    ..answer(decision.allowed, decision.reason, decision.decision_id)
                }
            }
            Ask::Hold { path, lasting_ms } => {
                let (attributes, cost) = (facts(path), None);
                let request = HoldRequest { attributes, cost, lasting: lasts(lasting_ms) };
                let answered = client.hold(request).await.unwrap().into_inner();
                let decision = answered.decision.unwrap();
                Answer {
                    token: answered.hold,
                    lasts_ms: millis(answered.lasts),
                    left: decision.remaining,
                    ..answer(decision.allowed, decision.reason, decision.decision_id)
                }
            }
            Ask::Settle { token, actual } => {
                let request = SettleRequest { reservation: token.to_owned(), actual };
                let done = client.settle(request).await.unwrap().into_inner();
                Answer {
                    overrun: done.overrun,
                    left: done.limits.first().map(|limit| limit.remaining),
                    ..answer(done.settled, done.reason, done.decision_id)
                }
            }
            Ask::Extend { token, lasting_ms } => {
                let request = ExtendRequest { held: token.to_owned(), lasting: lasts(lasting_ms) };
                let done = client.extend(request).await.unwrap().into_inner();
                let lasts_ms = millis(done.lasts);
                Answer { lasts_ms, ..answer(done.extended, done.reason, done.decision_id) }
            }
            Ask::Release { token } => {
                let request = ReleaseRequest { hold: token.to_owned() };
                let done = client.release(request).await.unwrap().into_inner();
                answer(done.released, done.reason, done.decision_id)
            }
        }
    }

    async fn held_json(&self, ask: Ask<'_>) -> Answer {
        let facts = |path| -> Json {
            let question = Question::get(path).by("acme").json();
            serde_json::from_str::<Json>(&question).unwrap()["attributes"].take()
        };
        let (path, mut body) = match ask {
            Ask::Reserve { path, estimate, lasting_ms } => (
                "/v1/reserve",
                json!({"attributes": facts(path), "estimate": estimate, "lasting_ms": lasting_ms}),
            ),
            Ask::Hold { path, lasting_ms } => {
                ("/v1/hold", json!({"attributes": facts(path), "lasting_ms": lasting_ms}))
            }
            Ask::Settle { token, actual } => {
                ("/v1/settle", json!({"reservation": token, "actual": actual}))
            }
            Ask::Extend { token, lasting_ms } => {
                ("/v1/extend", json!({"held": token, "lasting_ms": lasting_ms}))
            }
            Ask::Release { token } => ("/v1/release", json!({"hold": token})),
        };
        if body["lasting_ms"].is_null() {
            body.as_object_mut().unwrap().remove("lasting_ms");
        }
        let (_, said) = self.post_to(path, &body.to_string()).await;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let done = ["allowed", "settled", "extended", "released"];
        let token = [text("reservation"), text("hold")].concat();
        let limit = said["limits"][0]["remaining"].as_u64();
        Answer {
            done: done.iter().any(|name| said[name] == true),
            reason: text("reason"),
            token,
            lasts_ms: said["lasts_ms"].as_u64().unwrap_or_default(),
            overrun: said["overrun"].as_u64().unwrap_or_default(),
            left: said["remaining"].as_u64().or(limit),
            decision_id: text("decision_id"),
        }
    }

    async fn post_to(&self, path: &str, body: &str) -> (StatusCode, Json) {
        let request = Request::post(path).header("content-type", "application/json");
        let answer = send(self.http, request.body(Full::from(body.to_owned())).unwrap()).await;
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }
}

#[tokio::test]
async fn a_reservation_begun_at_one_door_is_extended_and_settled_at_the_other() {
    for (one, other) in [(DOORS[0], DOORS[1]), (DOORS[1], DOORS[0])] {
        let server = TestServer::start(LIMITS, |_| {});
        let reserve = Ask::Reserve { path: "/ai", estimate: 60, lasting_ms: Some(10_000) };
        let reserved = server.held(one, reserve).await;
        assert!(reserved.done && reserved.left == Some(40), "{reserved:?}");
        assert!((10_000..14_000).contains(&reserved.lasts_ms), "{reserved:?}");
        assert!(reserved.token.len() <= 4_096, "{reserved:?}");
        let denied = server.held(other, reserve).await;
        assert_eq!((denied.done, &*denied.reason), (false, "limit_exceeded"));
        assert_eq!((&*denied.token, denied.lasts_ms), ("", 0), "{denied:?}");
        let token = &*reserved.token;
        let extended = server.held(other, Ask::Extend { token, lasting_ms: Some(30_000) }).await;
        assert!(extended.done && extended.lasts_ms >= 30_000, "{extended:?}");
        for door in [other, one] {
            let settled = server.held(door, Ask::Settle { token, actual: 70 }).await;
            assert!(settled.done && settled.reason.is_empty(), "{settled:?}");
            assert_eq!((settled.overrun, settled.left), (10, Some(30)), "{settled:?}");
            assert_eq!(settled.decision_id.len(), 36);
        }
        let late = server.held(one, Ask::Extend { token, lasting_ms: None }).await;
        assert_eq!((late.done, &*late.reason), (false, "hold_expired"), "{late:?}");
    }
}

#[tokio::test]
async fn a_slot_is_held_and_given_back() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        let hold = Ask::Hold { path: "/export", lasting_ms: None };
        let held = server.held(door, hold).await;
        assert!(held.done && held.lasts_ms >= 60_000, "{held:?}");
        let denied = server.held(door, hold).await;
        assert_eq!((denied.done, &*denied.reason), (false, "concurrency_exceeded"), "{denied:?}");
        let released = server.held(door, Ask::Release { token: &held.token }).await;
        assert!(released.done && released.reason.is_empty(), "{released:?}");
        assert!(server.held(door, hold).await.done, "it is free at once");
        let again = server.held(door, Ask::Release { token: &held.token }).await;
        assert!(again.done, "{again:?}");
        assert!(!server.held(door, hold).await.done, "a repeat gives back nothing more");
    }
}

#[tokio::test]
async fn where_nothing_is_held_a_token_and_a_time_are_given_all_the_same() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        let hold = Ask::Hold { path: "/free", lasting_ms: Some(5_000) };
        let held = server.held(door, hold).await;
        assert_eq!((held.done, held.lasts_ms), (true, 5_000), "{held:?}");
        let token = &*held.token;
        let extended = server.held(door, Ask::Extend { token, lasting_ms: Some(7_000) }).await;
        assert_eq!((extended.done, extended.lasts_ms), (true, 7_000), "{extended:?}");
        assert!(server.held(door, Ask::Release { token }).await.done);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_invalid_request() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        let reserve = Ask::Reserve { path: "/ai", estimate: 10, lasting_ms: None };
        let reserved = server.held(door, reserve).await;
        let token = &*reserved.token;
        let mut forged = reserved.token.clone().into_bytes();
        forged[40] = if forged[40] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        let long = "A".repeat(5_000);
        let too_much = 1_000_000_000_000_001;
        let asks = [
            Ask::Reserve { path: "/ai", estimate: 1, lasting_ms: Some(999) },
            Ask::Reserve { path: "/ai", estimate: 1, lasting_ms: Some(3_600_001) },
            Ask::Hold { path: "/export", lasting_ms: Some(0) },
            Ask::Settle { token, actual: too_much },
            Ask::Settle { token: &forged, actual: 1 },
            Ask::Settle { token: "", actual: 1 },
            Ask::Settle { token: &long, actual: 1 },
            Ask::Extend { token, lasting_ms: Some(1) },
            Ask::Extend { token: "acme", lasting_ms: None },
            Ask::Release { token: &forged },
        ];
        for ask in asks {
            let answer = server.held(door, ask).await;
            assert_eq!((answer.done, &*answer.reason), (false, "invalid_request"), "{ask:?}");
            assert_eq!(answer.token, "", "{ask:?}");
        }
        let reserve = Ask::Reserve { path: "/ai", estimate: too_much, lasting_ms: None };
        let never = server.held(door, reserve).await;
        assert_eq!((never.done, &*never.reason), (false, "cost_exceeds_capacity"));
        let settled = server.held(door, Ask::Settle { token, actual: 10 }).await;
        assert_eq!((settled.done, settled.left), (true, Some(90)), "nothing of that did anything");
    }
}

#[tokio::test]
async fn a_caller_that_is_not_trusted_may_hold_and_end_nothing() {
    let untrusted = |settings: &mut sluicegate::settings::Settings| {
        settings.listeners.grpc.trust.clear();
        settings.listeners.http.trust.clear();
    };
    for door in DOORS {
        let server = TestServer::start(LIMITS, untrusted);
        let trusted = TestServer::start(LIMITS, |_| {});
        let reserve = Ask::Reserve { path: "/ai", estimate: 10, lasting_ms: None };
        // Both have the secret of the tests.
        let reserved = trusted.held(door, reserve).await;
        let token = &*reserved.token;
        let asks = [
            reserve,
            Ask::Hold { path: "/export", lasting_ms: None },
            Ask::Settle { token, actual: 1 },
            Ask::Extend { token, lasting_ms: None },
            Ask::Release { token },
        ];
        for ask in asks {
            let answer = server.held(door, ask).await;
            assert_eq!((answer.done, &*answer.reason), (false, "untrusted_caller"), "{ask:?}");
        }
    }
}

#[tokio::test]
async fn bodies_that_are_no_calls_are_problems_that_repeat_no_values() {
    let server = TestServer::start(LIMITS, |_| {});
    let bodies = [
        "",
        "[]",
        "{}",
        r#"{"hush":1}"#,
        r#"{"attributes":{"a":["hush"]}}"#,
        r#"{"attributes":{},"lasting_ms":"hush"}"#,
        r#"{"attributes":{},"lasting_ms":-1}"#,
        r#"{"reservation":"hush"}"#,
        r#"{"reservation":7,"actual":1}"#,
        r#"{"reservation":"hush, expected hush","actual":"hush, expected hush"}"#,
        r#"{"held":"hush","hold":"hush"}"#,
        r#"{"hold":{"hold":"hush"}}"#,
    ];
    for path in ["/v1/reserve", "/v1/hold", "/v1/settle", "/v1/extend", "/v1/release"] {
        for body in bodies {
            let (status, problem) = server.post_to(path, body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
            assert_eq!(problem["reason"], "invalid_request", "{path} {body}");
            let detail = problem["detail"].as_str().unwrap().replace("`hush`", "");
            assert!(!detail.contains("hush") && !detail.is_empty(), "{path} {body}: {detail}");
        }
        let answer = server.request(Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn the_calls_are_counted_and_so_is_what_was_not_estimated() {
    let server = TestServer::start(LIMITS, |_| {});
    let reserve = Ask::Reserve { path: "/ai", estimate: 10, lasting_ms: None };
    let reserved = server.held(Door::Grpc, reserve).await;
    server.held(Door::Http, Ask::Settle { token: &reserved.token, actual: 17 }).await;
    server.held(Door::Grpc, Ask::Release { token: "acme" }).await;
    let metrics = server.get("/metrics").await.body;
    for line in [
        r#"sluicegate_held_calls_total{door="http",method="settle",reason="none"} 1"#,
        r#"sluicegate_held_calls_total{door="grpc",method="release",reason="invalid_request"} 1"#,
        r#"sluicegate_held_calls_total{door="grpc",method="settle",reason="none"} 0"#,
        "sluicegate_overrun_tokens_total 7",
        r#"sluicegate_decisions_total{door="grpc",verdict="allowed",reason="none"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn envoys_checks_take_slots_for_as_long_as_the_limit_says() {
    let server = TestServer::start(LIMITS, |_| {});
    let question = Question::get("/short").by("acme");
    for _ in 0..2 {
        let answer = server.ask(Door::ExtAuthz, &question).await;
        assert!(answer.allowed, "{}", answer.whole);
    }
    let denied = server.ask(Door::ExtAuthz, &question).await;
    assert!(!denied.allowed, "{}", denied.whole);
    assert_eq!((&*denied.reason, denied.status), ("concurrency_exceeded", Some(429)));
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let free = async {
        while !server.ask(Door::ExtAuthz, &question).await.allowed {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}
