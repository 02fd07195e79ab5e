//! What only the ext_authz door has.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use prost::Message;
use serde_json::{Value, json};
use sluicegate::settings::HeaderStyle;
use sluicegate_proto::ext_authz::CheckResponse;
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::ext_authz::core::HeaderValueOption;
use sluicegate_proto::ext_authz::core::header_value_option::HeaderAppendAction;
use sluicegate_proto::ext_authz::{DeniedHttpResponse, OkHttpResponse};
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;

use crate::asking::{ENVOY_CHECK, Question, header, send_grpc};
use crate::server::TestServer;

const LIMITS: &str = "
rate_limits:
  default:
    key: tenant_id
    limit: 2
    window: 1h
";

fn denied(response: CheckResponse) -> DeniedHttpResponse {
    match response.http_response {
        Some(HttpResponse::DeniedResponse(denied)) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

fn allowed(response: CheckResponse) -> OkHttpResponse {
    match response.http_response {
        Some(HttpResponse::OkResponse(ok)) => ok,
        other => panic!("not allowed: {other:?}"),
    }
}

#[expect(deprecated, reason = "old gateways know nothing else")]
fn replace(headers: &[HeaderValueOption]) -> bool {
    let replaces = HeaderAppendAction::OverwriteIfExistsOrAdd;
    headers.iter().all(|h| h.append == Some(false) && h.append_action() == replaces)
}

/// Sends bytes as the message of a check, whatever they are.
async fn ask_with(server: &TestServer, message: &[u8]) -> (StatusCode, Bytes, http::HeaderMap) {
    let response = send_grpc(server.grpc, ENVOY_CHECK, None, message).await;
    let status = response.status();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    (status, collected.to_bytes(), trailers)
}

#[tokio::test]
async fn an_allowed_client_learns_what_is_left_and_a_denied_one_when_to_return() {
    let server = TestServer::start(LIMITS, |settings| settings.retry_after_jitter = true);
    let question = Question::get("/a").by("acme");
    let ok = allowed(server.ask_envoy(question.envoy()).await);
    let to_client = &ok.response_headers_to_add;
    assert_eq!(header(to_client, "ratelimit-policy"), Some(r#""default";q=2;w=3600"#));
    assert!(header(to_client, "ratelimit").unwrap().starts_with(r#""default";r=1;t="#));
    assert!(replace(to_client) && ok.headers.is_empty() && ok.headers_to_remove.is_empty());
    server.ask_envoy(question.envoy()).await;
    let denied = denied(server.ask_envoy(question.envoy()).await);
    assert!(replace(&denied.headers));
    assert_eq!(denied.status.unwrap().code, 429);
    let retry: u64 = header(&denied.headers, "retry-after").unwrap().parse().unwrap();
    // A tenth of an hour is more than the five seconds that jitter may add.
    assert!((3_590..=3_605).contains(&retry), "{retry}");
    assert_eq!(header(&denied.headers, "content-type"), Some("application/problem+json"));
    let body: Value = serde_json::from_str(&denied.body).unwrap();
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!((&body["type"], &body["status"]), (&json!(kind), &json!(429)));
    assert_eq!(body["violated-policies"], json!(["default"]));
    assert_eq!(
        (&body["limit_name"], &body["reason"]),
        (&json!("default"), &json!("limit_exceeded"))
    );
    assert!(uuid::Uuid::parse_str(body["decision_id"].as_str().unwrap()).is_ok());
}

#[tokio::test]
async fn the_style_of_the_headers_is_a_setting() {
    let server = TestServer::start(LIMITS, |s| s.rate_limit_headers = HeaderStyle::Legacy);
    let ok = allowed(server.ask_envoy(Question::get("/a").by("acme").envoy()).await);
    assert_eq!(header(&ok.response_headers_to_add, "x-ratelimit-remaining"), Some("1"));
    assert_eq!(header(&ok.response_headers_to_add, "ratelimit"), None);
}

#[tokio::test]
async fn a_denial_names_eight_limits_at_most_and_first_the_one_that_bound_it() {
    let mut limits = "rate_limits:\n".to_owned();
    for number in 0..20 {
        let (limit, hours) = (if number < 3 { 5 } else { 1 }, if number == 17 { 2 } else { 1 });
        limits.push_str(&format!("  l{number}: {{ limit: {limit}, window: {hours}h }}\n"));
    }
    let server = TestServer::start(&limits, |_| {});
    let question = Question::get("/a").by("acme");
    allowed(server.ask_envoy(question.envoy()).await);
    // The first three have room left; of the others the eighteenth has the longest wait.
    let denied = denied(server.ask_envoy(question.envoy()).await);
    let body: Value = serde_json::from_str(&denied.body).unwrap();
    let violated: Vec<&str> =
        body["violated-policies"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(violated, ["l17", "l3", "l4", "l5", "l6", "l7", "l8", "l9"], "{body}");
    assert_eq!(body["limit_name"], "l17");
    let policy = header(&denied.headers, "ratelimit-policy").unwrap();
    let named: Vec<_> = policy.split(", ").map(|item| item.split('"').nth(1).unwrap()).collect();
    assert_eq!(named, violated);
    let json: Value = serde_json::from_str(&server.post(&question.json()).await.body).unwrap();
    assert_eq!(json["limits"].as_array().map(Vec::len), Some(20), "{json}");
    let native = SluicegateClient::new(server.channel().await).check(question.native()).await;
    assert_eq!(native.unwrap().into_inner().limits.len(), 20);
}

#[tokio::test]
async fn whatever_the_bytes_the_answer_is_definite() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut large = Question::get("/a").envoy();
    let http = large.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut();
    http.unwrap().headers.insert("cookie".to_owned(), "c".repeat(70_000));
    let no_utf8 = [0x0a, 0x04, 0x22, 0x02, 0x12, 0xff];
    for message in [&large.encode_to_vec()[..], &no_utf8, b"\xff\xff\xff", &[0; 12]] {
        let (status, body, trailers) = ask_with(&server, message).await;
        assert_eq!((status, trailers["grpc-status"].as_bytes()), (StatusCode::OK, &b"0"[..]));
        let denied = denied(CheckResponse::decode(body.slice(5..)).unwrap());
        assert_eq!(denied.status.unwrap().code, 400);
        assert!(denied.body.contains("invalid_request"), "{}", denied.body);
    }
    // Nothing at all is a request of which nothing is known.
    let (_, body, trailers) = ask_with(&server, &[]).await;
    assert_eq!(trailers["grpc-status"], "0");
    allowed(CheckResponse::decode(body.slice(5..)).unwrap());
}
