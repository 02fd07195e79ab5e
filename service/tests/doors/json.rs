//! The HTTP door to the letter.

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use sluicegate::lifecycle::Phase;

use crate::asking::{Question, send};
use crate::http_client::HttpAnswer;
use crate::server::TestServer;

const LIMITS: &str = "
rate_limits:
  default:
    key: tenant_id
    limit: 1
    window: 1h
  watched:
    key: tenant_id
    limit: 0
    window: 1m
    mode: shadow
";

fn body(answer: &HttpAnswer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn is_problem(answer: &HttpAnswer, status: StatusCode) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let problem = body(answer);
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["type"], "about:blank");
    problem
}

#[tokio::test]
async fn an_answer_has_exactly_the_documented_fields() {
    let server = TestServer::start(LIMITS, |_| {});
    let question = Question::get("/a").by("acme").json();
    let mut allowed = body(&server.post(&question).await);
    let id = allowed["decision_id"].take();
    let revision = allowed["policy_revision"].take();
    assert_eq!((id.as_str().unwrap().len(), revision.as_str().unwrap().len()), (36, 16));
    assert!(allowed["reset_ms"].take().as_u64().unwrap() <= 3_600_000);
    let shadow = json!({
        "name": "watched", "mode": "shadow", "allowed": false, "limit": 0,
        "window_ms": 60_000, "remaining": 0, "retry_after_ms": null,
    });
    let enforcing = json!({
        "name": "default", "mode": "enforce", "allowed": true, "limit": 1,
        "window_ms": 3_600_000, "remaining": 0,
    });
    let expected = json!({
        "allowed": true, "limit_name": "default", "remaining": 0, "reset_ms": null,
        "decision_id": null, "policy_revision": null, "degraded": false,
        "limits": [enforcing, shadow],
    });
    assert_eq!(allowed, expected);
    let denied = body(&server.post(&question).await);
    assert_eq!((&denied["allowed"], &denied["reason"]), (&json!(false), &json!("limit_exceeded")));
    assert_eq!(denied["retry_after_ms"], denied["limits"][0]["retry_after_ms"]);
    let unlimited = body(&server.post(r#"{"attributes":{}}"#).await);
    assert_eq!(unlimited["limit_name"], Value::Null);
    assert_eq!((&unlimited["remaining"], &unlimited["limits"]), (&Value::Null, &json!([])));
    assert!(unlimited.get("reason").is_none() && unlimited.get("retry_after_ms").is_none());
}

#[tokio::test]
async fn a_stated_cost_is_charged() {
    let server = TestServer::start(LIMITS, |_| {});
    let question = r#"{"attributes":{"tenant_id":"acme"},"cost":2}"#;
    let denied = body(&server.post(question).await);
    assert_eq!(denied["reason"], "cost_exceeds_capacity");
    assert_eq!(denied.get("retry_after_ms"), Some(&Value::Null));
}

#[tokio::test]
async fn a_body_that_is_no_question_is_a_problem() {
    let server = TestServer::start(LIMITS, |_| {});
    let bodies = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"attributes":{},"cots":1}"#,
        r#"{"attributes":{},"cost":-1}"#,
        r#"{"attributes":{},"cost":1.5}"#,
        r#"{"attributes":{},"cost":-1e30}"#,
        r#"{"attributes":{},"attributes":{}}"#,
        r#"{"attributes":{"a":null}}"#,
        r#"{"attributes":{"a":1.5}}"#,
        r#"{"attributes":{"a":["b"]}}"#,
        r#"{"attributes":{"a":{"b":"c"}}}"#,
        r#"{"attributes":{"a b":"c"}}"#,
        r#"{"attributes":{}} {}"#,
        r#" [{"tenant_id":"acme"},1]"#,
        r#"{"attributes":{},"cost":"hush"}"#,
        r#"{"attributes":"hush, expected hush"}"#,
    ];
    for question in bodies {
        let answer = server.post(question).await;
        let problem = is_problem(&answer, StatusCode::BAD_REQUEST);
        assert_eq!(problem["reason"], "invalid_request", "{question}");
        assert!(!problem.to_string().contains("hush"), "{problem}");
    }
    let deep = format!(r#"{{"attributes":{}"#, r#"{"a":"#.repeat(5_000));
    is_problem(&server.post(&deep).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn values_may_be_text_truth_and_whole_numbers() {
    let server = TestServer::start(LIMITS, |_| {});
    let question = r#"{"attributes":{"a":"b","b":true,"c":7,"d":-7,"authenticated":false}}"#;
    assert_eq!(server.post(question).await.status, StatusCode::OK);
}

#[tokio::test]
async fn method_type_and_size_are_answered_as_http_has_them() {
    let server = TestServer::start(LIMITS, |_| {});
    let answer = server.get("/v1/check").await;
    is_problem(&answer, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "POST");
    let answer = server.request(Method::POST, "/readyz").await;
    is_problem(&answer, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "GET, HEAD");
    is_problem(&server.get("/nothing").await, StatusCode::NOT_FOUND);
    let question = Question::get("/a").json();
    for media_type in [None, Some("text/plain"), Some("application/jsonx")] {
        let mut request = Request::post("/v1/check");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        let request = request.body(Full::from(question.clone())).unwrap();
        is_problem(&send(server.http, request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let request =
        Request::post("/v1/check").header("content-type", "Application/JSON; charset=utf-8");
    let request = request.body(Full::from(question)).unwrap();
    assert_eq!(send(server.http, request).await.status, StatusCode::OK);
    let large = format!(r#"{{"attributes":{{"a":"{}"}}}}"#, "b".repeat(65_536));
    is_problem(&server.post(&large).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_was_encoded_is_refused() {
    let server = TestServer::start(LIMITS, |_| {});
    let question = Question::get("/a").by("acme").json();
    // The body is plain: what stands before this door may have read it so, or not.
    for encodings in [&["gzip"][..], &["identity"], &[""], &["br", "gzip"], &["gzip, identity"]] {
        let mut request = Request::post("/v1/check").header("content-type", "application/json");
        for encoding in encodings {
            request = request.header("content-encoding", *encoding);
        }
        let request = request.body(Full::from(question.clone())).unwrap();
        let answer = send(server.http, request).await;
        let problem = is_problem(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(problem["detail"].as_str().unwrap().contains("content-encoding"), "{problem}");
        assert_eq!(answer.headers["accept-encoding"], "identity");
    }
    let left = body(&server.post(&question).await);
    assert_eq!(left["remaining"], 0, "nothing was taken before: {left}");
}

#[tokio::test]
async fn probes_are_for_everyone_and_metrics_for_the_trusted() {
    let server = TestServer::start(LIMITS, |settings| settings.listeners.http.trust.clear());
    assert_eq!(server.get("/livez").await.body, "ok\n");
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(body(&ready), json!({"status": "ready"}), "no more than yes or no");
    server.lifecycle.advance(Phase::Draining);
    let draining = server.get("/readyz").await;
    assert_eq!(draining.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(&draining), json!({"status": "draining"}));
    is_problem(&server.get("/metrics").await, StatusCode::FORBIDDEN);
    let trusted = TestServer::start(LIMITS, |_| {});
    let ready = body(&trusted.get("/readyz").await);
    assert_eq!((&ready["status"], &ready["rejected_files"]), (&json!("ready"), &json!([])));
    assert_eq!(ready["policy_revision"].as_str().unwrap().len(), 16);
    let metrics = trusted.get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.body.ends_with("# EOF\n"), "{}", metrics.body);
}
