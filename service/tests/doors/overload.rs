//! More requests, or more of them, than the budget of all connections has room for.

use http::StatusCode;
use prost::Message;
use sluicegate::settings::Settings;
use sluicegate_proto::ext_authz::CheckResponse;
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::v1::CheckBatchRequest;
use sluicegate_proto::v1::CheckResponse as NativeResponse;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::asking::{DOORS, Question};
use crate::http2::{DATA, Frame, Raw};
use crate::server::TestServer;

const LIMITS: &str = "rate_limits: {default: {limit: 1_000, window: 1h}}";
const AUTHORIZE: &str = "/envoy.service.auth.v3.Authorization/Check";
const CHECK: &str = "/sluicegate.v1.Sluicegate/Check";

fn two_requests(settings: &mut Settings) {
    settings.listeners.budget.max_requests = 2;
}

/// What Envoy is told, as the status that its client gets; 200 for a pass.
fn status(message: &[u8]) -> (i32, String) {
    let response = CheckResponse::decode(message).unwrap();
    match response.http_response {
        Some(HttpResponse::OkResponse(_)) => (200, String::new()),
        Some(HttpResponse::DeniedResponse(denied)) => (denied.status.unwrap().code, denied.body),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_request_too_many_is_denied_at_its_head_on_any_connection() {
    let server = TestServer::start(LIMITS, two_requests);
    let mut waiting = Raw::connect(server.grpc).await;
    // Two requests whose bodies do not come take the budget.
    waiting.send([1, 3].map(|stream| Frame::head(stream, AUTHORIZE))).await;
    waiting.settle().await;
    let mut other = Raw::connect(server.grpc).await;
    other.send([Frame::head(1, AUTHORIZE)]).await;
    let (code, body) = status(&other.message(1).await.unwrap());
    assert!(code == 503 && body.contains("\"reason\":\"overloaded\""), "{code} {body}");
    other.send([Frame::head(3, CHECK)]).await;
    let native = NativeResponse::decode(&*other.message(3).await.unwrap()).unwrap();
    assert_eq!((native.allowed, &*native.reason), (false, "overloaded"), "{native:?}");
    for door in DOORS {
        let answer = server.ask(door, &Question::get("/a")).await;
        assert_eq!((answer.allowed, &*answer.reason), (false, "overloaded"), "{}", answer.whole);
    }
    let mut client = SluicegateClient::new(server.channel().await);
    let batch = CheckBatchRequest { checks: vec![Question::get("/a").native()] };
    let refused = client.check_batch(batch).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "overloaded"));
    // Health does not depend on the load.
    let mut health = HealthClient::new(server.channel().await);
    health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    // Once they are answered there is room again.
    waiting.send([1, 3].map(Frame::empty_message)).await;
    for stream in [1, 3] {
        waiting.until(|frame| frame.stream == stream && frame.ends_stream()).await;
    }
    for door in DOORS {
        let answer = server.ask(door, &Question::get("/a")).await;
        assert!(answer.allowed, "{}", answer.whole);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_gives_back_what_its_requests_took() {
    let server = TestServer::start(LIMITS, two_requests);
    for _ in 0..3 {
        let mut waiting = Raw::connect(server.grpc).await;
        waiting.send([1, 3].map(|stream| Frame::head(stream, AUTHORIZE))).await;
        waiting.settle().await;
        drop(waiting);
        let gone = async {
            while server.metrics.grpc.trusted.open.get() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::server::PATIENCE, gone).await.unwrap();
    }
    for door in DOORS {
        let answer = server.ask(door, &Question::get("/a")).await;
        assert!(answer.allowed, "{}", answer.whole);
    }
}

#[tokio::test]
async fn bodies_that_have_no_room_together_are_denied() {
    const BYTES: usize = 60_000;
    let server = TestServer::start(LIMITS, |settings| {
        settings.listeners.budget.max_bytes = BYTES + BYTES / 2;
    });
    let body = |stream, last| {
        let mut payload = vec![0];
        payload.extend(u32::try_from(BYTES).unwrap().to_be_bytes());
        payload.resize(BYTES, 0);
        let mut frames: Vec<Frame> =
            payload.chunks(16_000).map(|part| Frame::new(DATA, 0, stream, part.to_vec())).collect();
        frames.last_mut().unwrap().flags = u8::from(last);
        frames
    };
    let mut first = Raw::connect(server.grpc).await;
    // All but the last five bytes of a message that fits.
    first.send([Frame::head(1, AUTHORIZE)]).await;
    first.send(body(1, false)).await;
    first.settle().await;
    let mut second = Raw::connect(server.grpc).await;
    second.send([Frame::head(1, AUTHORIZE)]).await;
    second.send(body(1, false)).await;
    let (code, body) = status(&second.message(1).await.unwrap());
    assert!(code == 503 && body.contains("\"reason\":\"overloaded\""), "{code} {body}");
    let large = format!("{{\"attributes\": {{\"path\": \"/{}\"}}}}", "a".repeat(BYTES));
    let answer = server.post(&large).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.json()["reason"], "overloaded", "{answer:?}");
    // What is small passes.
    for door in DOORS {
        let answer = server.ask(door, &Question::get("/a")).await;
        assert!(answer.allowed, "{}", answer.whole);
    }
    first.send([Frame::reset(1)]).await;
    first.settle().await;
}
