//! Callers by gRPC that say until when they wait, and those by HTTP, who do not.

use http::Request;
use http_body_util::{BodyExt, Full};
use prost::Message;

use crate::asking::{
    Answer, Door, ENVOY_CHECK, Question, of_envoy, of_json, of_native, send, send_grpc,
};
use crate::server::TestServer;

const LIMITS: &str = "
rate_limits:
  default: { key: tenant_id, limit: 10, window: 1h, on_store_failure: allow }
";

/// Asks a door of gRPC, and states a time-out.
async fn ask_within(server: &TestServer, door: Door, timeout: &str) -> Answer {
    let question = Question::get("/a").by("acme");
    let (path, message) = match door {
        Door::ExtAuthz => (ENVOY_CHECK, question.envoy().encode_to_vec()),
        _ => ("/sluicegate.v1.Sluicegate/Check", question.native().encode_to_vec()),
    };
    let response = send_grpc(server.grpc, path, Some(timeout), &message).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    match door {
        Door::ExtAuthz => of_envoy(Message::decode(body.slice(5..)).unwrap()),
        _ => of_native(Message::decode(body.slice(5..)).unwrap()),
    }
}

#[tokio::test]
async fn who_has_no_time_left_is_denied_and_charged_nothing() {
    let server = TestServer::start(LIMITS, |_| {});
    for door in [Door::Grpc, Door::ExtAuthz] {
        for timeout in ["0m", "0n", "1n", "0H"] {
            let answer = ask_within(&server, door, timeout).await;
            assert_eq!(answer.reason, "overloaded", "{}", answer.whole);
            assert_eq!(answer.status, (door == Door::ExtAuthz).then_some(503));
        }
    }
    for number in 1..=10 {
        let answer = ask_within(&server, Door::ExtAuthz, "20S").await;
        assert!(answer.allowed, "{number}: {}", answer.whole);
    }
    assert_eq!(ask_within(&server, Door::Grpc, "20S").await.reason, "limit_exceeded");
}

#[tokio::test]
async fn the_door_for_json_reads_no_deadline() {
    let server = TestServer::start(LIMITS, |_| {});
    let request = Request::post("/v1/check").header("content-type", "application/json");
    let request = request.header("grpc-timeout", "0m");
    let body = Full::from(Question::get("/a").by("acme").json());
    let answer = of_json(send(server.http, request.body(body).unwrap()).await);
    assert!(answer.allowed, "{}", answer.whole);
}
