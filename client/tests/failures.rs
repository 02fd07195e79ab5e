//! What the client says when the service does not answer.

#![cfg(test)]

use std::net::TcpListener;
use std::time::Duration;

use sluicegate_client::{CheckError, Client, MAX_BATCH, Request};

fn client(listener: &TcpListener) -> Client {
    Client::connect(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

#[tokio::test]
async fn a_silent_service_is_waited_for_until_the_deadline() {
    // The system accepts for it, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let within = Duration::from_millis(30);
    let error = client(&listener).check(&Request::new(), within).await.unwrap_err();
    assert!(
        matches!(error, CheckError::DeadlineExceeded { waited } if waited == within),
        "{error}"
    );
    assert!(error.may_have_charged());
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(&listener);
    drop(listener);
    let error = client.peek(&Request::new(), Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, CheckError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn too_long_a_batch_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let requests = vec![Request::new(); MAX_BATCH + 1];
    let error =
        client(&listener).check_batch(&requests, Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, CheckError::BatchTooLong { checks: 33 }), "{error}");
    assert!(!error.may_have_charged());
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused() {
    for endpoint in ["", "127.0.0.1:8081", "https://127.0.0.1:8081", "http://a/path", "http://"] {
        let error = Client::connect(endpoint).unwrap_err();
        assert!(error.to_string().contains("http://HOST:PORT"), "{endpoint}");
    }
}
