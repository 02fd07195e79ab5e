//! What a request costs, and by what it is counted, where that is large, no number, or missing: the
//! same at every door.

use sluicegate::settings::{AttributeSource, Settings};
use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{Attribute, SettleRequest};

use crate::asking::{Answer, DOORS, Door, Question, of_envoy, of_json, of_native};
use crate::server::TestServer;

const LIMITS: &str = "
rate_limits:
  all: { match: GET /all, key: tenant_id, limit: 1_000_000_000_000_000, window: 1h, hold: 1m }
  weighed:
    match: GET /weighed
    key: tenant_id
    limit: 100
    window: 1h
    cost: { of: weight, missing: 7 }
  watched: { match: GET /watched, mode: shadow, limit: 100, window: 1h, cost: weight }
  by_client: { match: GET /client, key: client_id, missing_key: deny, limit: 100, window: 1h }
  watched_client:
    { match: GET /watched, key: client_id, missing_key: deny, mode: shadow, limit: 1, window: 1h }
";
const MAX: u64 = 1_000_000_000_000_000;

fn mapped(settings: &mut Settings) {
    for name in ["cost", "weight", "client_id"] {
        let header = AttributeSource::Header(format!("x-{name}"));
        settings.attributes.insert(name.to_owned(), header);
    }
}

/// Asks a door about a request with one more attribute.
async fn ask(server: &TestServer, door: Door, path: &str, (name, value): (&str, &str)) -> Answer {
    let question = Question::get(path).by("acme");
    match door {
        Door::Grpc => {
            let mut request = question.native();
            let value = Some(Value::Text(value.to_owned()));
            request.attributes.push(Attribute { name: name.to_owned(), value });
            let mut client = SluicegateClient::new(server.channel().await);
            of_native(client.check(request).await.unwrap().into_inner())
        }
        Door::ExtAuthz => {
            let mut request = question.envoy();
            let context = request.attributes.as_mut().unwrap();
            let http = context.request.as_mut().unwrap().http.as_mut().unwrap();
            http.headers.insert(format!("x-{name}"), value.to_owned());
            of_envoy(server.ask_envoy(request).await)
        }
        Door::Http => {
            let more = format!(r#"{{"attributes":{{"{name}":"{value}","#);
            let body = question.json().replacen(r#"{"attributes":{"#, &more, 1);
            of_json(server.post(&body).await)
        }
    }
}

#[tokio::test]
async fn the_largest_cost_counts_in_full_and_a_larger_one_never_passes() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, mapped);
        for cost in ["1000000000000001", "1000000000000000.5", "99999999999999999999999999"] {
            let answer = ask(&server, door, "/all", ("cost", cost)).await;
            assert_eq!(answer.reason, "cost_exceeds_capacity", "{answer:?}");
        }
        let most = ask(&server, door, "/all", ("cost", "1000000000000000.0")).await;
        assert!(most.allowed, "nothing was taken yet: {most:?}");
        let next = ask(&server, door, "/all", ("cost", "1")).await;
        assert_eq!(next.reason, "limit_exceeded", "all of it was: {next:?}");
    }
}

#[tokio::test]
async fn a_stated_cost_counts_like_one_of_an_attribute() {
    for door in [Door::Grpc, Door::Http] {
        let server = TestServer::start(LIMITS, |_| {});
        let state = |cost: String| {
            let (server, question) = (&server, Question::get("/all").by("acme"));
            async move {
                if door == Door::Http {
                    let body = question.json();
                    let body = format!(r#"{},"cost":{cost}}}"#, body.strip_suffix('}').unwrap());
                    return of_json(server.post(&body).await);
                }
                let mut request = question.native();
                request.cost = Some(cost.parse().unwrap_or(u64::MAX));
                let mut client = SluicegateClient::new(server.channel().await);
                of_native(client.check(request).await.unwrap().into_inner())
            }
        };
        for cost in [(MAX + 1).to_string(), u64::MAX.to_string(), "9".repeat(30)] {
            let answer = state(cost).await;
            assert_eq!(answer.reason, "cost_exceeds_capacity", "{answer:?}");
        }
        assert!(state((1_u64 << 33).to_string()).await.allowed);
        let rest = state((MAX - (1 << 33)).to_string()).await;
        assert!(rest.allowed, "what was cut before was counted in full: {rest:?}");
        assert_eq!(state("1".to_owned()).await.reason, "limit_exceeded");
    }
}

#[tokio::test]
async fn a_cost_that_is_no_number_or_missing_is_not_free() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, mapped);
        for bad in ["heavy", "1e3", "-5", "1.2.3"] {
            let answer = ask(&server, door, "/weighed", ("weight", bad)).await;
            assert_eq!(answer.reason, "invalid_request", "{answer:?}");
            assert!(answer.whole.contains("attribute weight"), "{answer:?}");
            assert!(!answer.whole.contains("weighed") && !answer.whole.contains("heavy"));
            let stated = ask(&server, door, "/all", ("cost", bad)).await;
            assert_eq!(stated.reason, "invalid_request", "{stated:?}");
        }
        // 7 where nobody says it, then 91.5 rounded up; that was 99.
        assert!(ask(&server, door, "/weighed", ("user_id", "ana")).await.allowed);
        assert!(ask(&server, door, "/weighed", ("weight", "91.5")).await.allowed);
        assert!(!ask(&server, door, "/weighed", ("weight", "2")).await.allowed);
        assert!(ask(&server, door, "/weighed", ("weight", "0")).await.allowed, "0 only looks");
        assert!(ask(&server, door, "/weighed", ("weight", "0.2")).await.allowed);
    }
}

#[tokio::test]
async fn a_missing_key_is_refused_by_its_name_and_a_shadow_only_tells() {
    for door in DOORS {
        let server = TestServer::start(LIMITS, mapped);
        let refused = ask(&server, door, "/client", ("weight", "1")).await;
        assert_eq!(refused.reason, "invalid_request", "{refused:?}");
        assert!(refused.whole.contains("attribute client_id"), "{refused:?}");
        assert!(!refused.whole.contains("by_client"), "{refused:?}");
        assert!(ask(&server, door, "/client", ("client_id", "web")).await.allowed);
        for _ in 0..3 {
            let watched = ask(&server, door, "/watched", ("weight", "heavy")).await;
            assert!(watched.allowed, "{watched:?}");
        }
    }
    let server = TestServer::start(LIMITS, mapped);
    let body = Question::get("/watched").json().replace(r#""GET""#, r#""GET","weight":"heavy""#);
    let answer = server.post(&body).await.json();
    for limit in answer["limits"].as_array().unwrap() {
        let told = (&limit["allowed"], &limit["retry_after_ms"], &limit["remaining"]);
        assert_eq!(told, (&false.into(), &serde_json::Value::Null, &limit["limit"]), "{answer}");
    }
    assert_eq!(answer["limits"].as_array().map(Vec::len), Some(2), "{answer}");
}

#[tokio::test]
async fn a_reservation_of_the_largest_cost_is_settled_at_it_and_at_no_more() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut client = SluicegateClient::new(server.channel().await);
    let reserve = |estimate| sluicegate_proto::v1::ReserveRequest {
        attributes: Question::get("/all").by("acme").native().attributes,
        estimate: Some(estimate),
        lasting: None,
    };
    let never = client.reserve(reserve(MAX + 1)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(never.reason, "cost_exceeds_capacity");
    let reserved = client.reserve(reserve(1)).await.unwrap().into_inner();
    let reservation = reserved.reservation;
    let settle = |actual| SettleRequest { reservation: reservation.clone(), actual };
    let above = client.settle(settle(MAX + 1)).await.unwrap().into_inner();
    assert_eq!((above.settled, &*above.reason), (false, "invalid_request"), "{above:?}");
    let settled = client.settle(settle(MAX)).await.unwrap().into_inner();
    assert_eq!((settled.settled, settled.overrun), (true, MAX - 1), "{settled:?}");
    assert_eq!(settled.limits[0].remaining, 0);
}
