//! What every door does alike.

use std::collections::HashSet;

use sluicegate::settings::Unmatched;

use crate::asking::{Answer, DOORS, Door, Question, Retry};
use crate::server::TestServer;

const LIMITS: &str = "
rate_limits:
  default:
    key: tenant_id
    limit: 2
    window: 1h
  watched:
    key: tenant_id
    limit: 1
    window: 1h
    mode: shadow
  closed:
    match: GET /closed
    limit: 0
    window: 1h
  own_words:
    match: GET /own
    key: ip_address
    limit: 1
    window: 1h
    reason: come_back_later
";

/// What a client of the gateway or of the JSON door is told, where it is told a status at all.
fn assert_status(door: Door, answer: &Answer, of_envoy: u16, of_json: u16) {
    let expected = match door {
        Door::Grpc => None,
        Door::ExtAuthz => Some(of_envoy),
        Door::Http => Some(of_json),
    };
    assert_eq!(answer.status, expected, "{}", answer.whole);
}

#[tokio::test]
async fn what_fits_passes_and_what_does_not_is_denied_with_limit_and_wait() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        for _ in 0..2 {
            let answer = server.ask(door, &Question::get("/a").by("acme")).await;
            assert!(answer.allowed, "{}", answer.whole);
            assert_eq!((answer.retry, answer.reason.as_str()), (Retry::Unsaid, ""));
            assert_eq!(answer.limit.as_deref(), Some("default"));
            assert_status(door, &answer, 200, 200);
        }
        let answer = server.ask(door, &Question::get("/a").by("acme")).await;
        assert!(!answer.allowed, "{}", answer.whole);
        assert_eq!((answer.retry, answer.reason.as_str()), (Retry::After, "limit_exceeded"));
        assert_eq!(answer.limit.as_deref(), Some("default"));
        assert_status(door, &answer, 429, 200);
        let other = server.ask(door, &Question::get("/a").by("emca")).await;
        assert!(other.allowed, "{}", other.whole);
    }
}

#[tokio::test]
async fn the_doors_share_their_counters() {
    let server = TestServer::start(LIMITS, |_| {});
    let question = Question::get("/a").by("acme");
    assert!(server.ask(Door::Http, &question).await.allowed);
    assert!(server.ask(Door::ExtAuthz, &question).await.allowed);
    assert!(!server.ask(Door::Grpc, &question).await.allowed);
}

#[tokio::test]
async fn never_is_not_a_wait() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        let answer = server.ask(door, &Question::get("/closed")).await;
        assert!(!answer.allowed, "{}", answer.whole);
        assert_eq!(answer.retry, Retry::Never, "{}", answer.whole);
        assert_eq!(answer.reason, "cost_exceeds_capacity");
        assert_status(door, &answer, 429, 200);
    }
}

#[tokio::test]
async fn a_limit_speaks_its_own_words() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        assert!(server.ask(door, &Question::get("/own")).await.allowed);
        let answer = server.ask(door, &Question::get("/own")).await;
        assert_eq!(answer.reason, "come_back_later", "{}", answer.whole);
    }
}

/// Each of these is one address to every door, however it is written and whoever states it.
#[tokio::test]
async fn an_address_is_one_counter_at_every_door() {
    for (spellings, other) in [
        (["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7:4711"], "192.0.2.8"),
        (
            ["2001:db8:1:2::7", "[2001:db8:1:2:ffff::9]:443", "2001:db8:1:2::a%eth0"],
            "2001:db8:1:3::7",
        ),
        (["8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"], "8.8.4.4"),
    ] {
        for door in DOORS {
            let server = TestServer::start(LIMITS, |_| {});
            let ask = |door, address: &'static str| {
                let question = Question { address: address.to_owned(), ..Question::get("/own") };
                let server = &server;
                async move { server.ask(door, &question).await.allowed }
            };
            assert!(ask(door, spellings[0]).await, "{}", spellings[0]);
            for (other_door, spelling) in DOORS.into_iter().zip(spellings) {
                assert!(!ask(other_door, spelling).await, "{spelling}");
            }
            assert!(ask(door, other).await, "{other}");
        }
    }
}

#[tokio::test]
async fn a_shadow_denies_nobody() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        server.ask(door, &Question::get("/a").by("acme")).await;
        let answer = server.ask(door, &Question::get("/a").by("acme")).await;
        assert!(answer.allowed, "{}", answer.whole);
        assert_eq!(answer.limit.as_deref(), Some("default"));
    }
}

#[tokio::test]
async fn what_cannot_be_is_an_invalid_request() {
    let method = Question { method: "get it".to_owned(), ..Question::get("/a") };
    let address = Question { address: "here".to_owned(), ..Question::get("/a") };
    let repeated = Question::get("/a").by("acme").by("evil");
    for door in DOORS {
        let server = TestServer::start(LIMITS, |_| {});
        for question in [&method, &address, &repeated] {
            let answer = server.ask(door, question).await;
            assert!(!answer.allowed, "{}", answer.whole);
            assert_eq!(answer.reason, "invalid_request", "{}", answer.whole);
            assert_eq!((answer.retry, &answer.limit), (Retry::Unsaid, &None));
            assert_status(door, &answer, 400, 400);
            let value =
                ["get it", "here", "evil"].iter().find(|value| answer.whole.contains(*value));
            assert_eq!(value, None, "{}", answer.whole);
        }
    }
}

#[tokio::test]
async fn a_caller_that_is_not_trusted_is_told_so() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, |settings| {
            let nets = vec!["10.0.0.0/8".parse().unwrap()];
            settings.listeners.grpc.trust.clone_from(&nets);
            settings.listeners.http.trust = nets;
        });
        let answer = server.ask(door, &Question::get("/a").by("acme")).await;
        assert!(!answer.allowed, "{}", answer.whole);
        assert_eq!(answer.reason, "untrusted_caller", "{}", answer.whole);
        assert_status(door, &answer, 403, 403);
    }
}

#[tokio::test]
async fn a_request_without_a_limit_gets_what_the_settings_say() {
    for door in DOORS {
        let open = TestServer::start(LIMITS, |_| {});
        let answer = open.ask(door, &Question::get("/a")).await;
        assert!(answer.allowed, "{}", answer.whole);
        assert_eq!(answer.limit, None, "{}", answer.whole);
        let closed = TestServer::start(LIMITS, |settings| settings.unmatched = Unmatched::Deny);
        let answer = closed.ask(door, &Question::get("/a")).await;
        assert_eq!(answer.reason, "no_limit_applies", "{}", answer.whole);
        assert_status(door, &answer, 403, 200);
    }
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut ids = HashSet::new();
    for door in DOORS {
        for path in ["/a", "/closed"] {
            let answer = server.ask(door, &Question::get(path)).await;
            let id = uuid::Uuid::parse_str(&answer.decision_id).unwrap();
            assert_eq!(id.get_version_num(), 7);
            assert!(ids.insert(id));
        }
    }
}
