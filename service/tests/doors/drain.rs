//! How a server ends.

use http::StatusCode;
use sluicegate::lifecycle::Phase;
use sluicegate::metrics::Metrics;
use sluicegate::server::Server;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http2::{Frame, GOAWAY, Raw};
use crate::server::{PATIENCE, TestServer};

const LIMITS: &str = "rate_limits: {default: {key: tenant_id, limit: 1, window: 1h}}";

#[tokio::test]
async fn a_draining_server_answers_and_says_that_it_is_going() {
    let server = TestServer::start(LIMITS, |_| {});
    server.lifecycle.advance(Phase::Draining);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.body.contains("draining"), "{}", ready.body);
    assert_eq!(server.get("/livez").await.status, StatusCode::OK);
    let answer = server.post(r#"{"attributes":{"tenant_id":"acme"}}"#).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_closing_server_finishes_what_is_in_flight() {
    let mut server = TestServer::start(LIMITS, |_| {});
    let mut raw = Raw::connect(server.grpc).await;
    raw.send([Frame::check_head(1)]).await;
    raw.settle().await;
    server.lifecycle.advance(Phase::Closing);
    let goaway = raw.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(goaway.code(4), 0);
    raw.send([Frame::empty_message(1)]).await;
    raw.until(|frame| frame.stream == 1 && frame.ends_stream()).await;
    raw.closed().await;
    timeout(PATIENCE, server.running.closed()).await.expect("every thread ends");
    assert!(TcpStream::connect(server.grpc).await.is_err());
    assert!(TcpStream::connect(server.http).await.is_err());
}

#[tokio::test]
async fn an_ending_server_waits_for_nobody() {
    let mut server = TestServer::start(LIMITS, |_| {});
    let mut raw = Raw::connect(server.grpc).await;
    raw.send([Frame::check_head(1)]).await;
    raw.settle().await;
    server.lifecycle.advance(Phase::Ending);
    timeout(PATIENCE, server.running.closed()).await.expect("every thread ends");
    raw.closed().await;
    assert_eq!(server.metrics.grpc.trusted.open.get(), 0);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let mut taken = None;
    let server = TestServer::start(LIMITS, |settings| taken = Some(settings.listeners.clone()));
    let mut listeners = taken.unwrap();
    listeners.http.address = server.http;
    let error = Server::bind(&listeners, &Metrics::new(1)).unwrap_err().to_string();
    let expected = format!("listeners.http.address: cannot listen on {}", server.http);
    assert!(error.starts_with(&expected), "{error}");
}
