//! Reservations and holds of the client on a real service.

#![cfg(test)]

#[allow(dead_code, reason = "it serves the tests of the doors first")]
#[path = "../../service/tests/support/server.rs"]
mod server;

use std::time::Duration;

use server::TestServer;
use sluicegate_client::{
    CheckError, Client, Grant, Hold, KnownReason, Reason, Request, RetryAfter, Tokens,
};

const LIMITS: &str = "
rate_limits:
  tokens: { match: 'POST /ai', key: tenant_id, limit: 1000, window: 1h, hold: 1m }
  streams: { match: 'POST /ai', key: tenant_id, algorithm: concurrency, limit: 9, hold: 1m,
    cost: 1 }
  exports: { match: 'POST /export', key: tenant_id, algorithm: concurrency, limit: 1, hold: 1m }
";
/// Long enough for any machine.
const WITHIN: Duration = Duration::from_secs(30);
const LASTING: Option<Duration> = Some(Duration::from_secs(20));

fn start() -> (TestServer, Client) {
    let server = TestServer::start(LIMITS, |_| {});
    let client = Client::connect(&format!("http://{}", server.grpc)).unwrap();
    (server, client)
}

fn request(path: &str) -> Request {
    Request::new().with("tenant_id", "acme").with("method", "POST").with("path", path)
}

async fn hold(client: &Client) -> Grant<Hold> {
    client.hold(&request("/export"), LASTING, WITHIN).await.unwrap()
}

#[tokio::test]
async fn a_stream_reserves_extends_and_settles_what_it_did_cost() {
    let (_server, client) = start();
    let estimated = request("/ai").costing(Tokens::new(600));
    let grant = client.reserve(&estimated, LASTING, WITHIN).await.unwrap();
    assert_eq!(grant.verdict.limits[0].remaining, Tokens::new(400));
    let mut reservation = grant.held.unwrap();
    let left = reservation.time_left();
    assert!(reservation.is_live() && left <= Duration::from_millis(19_980), "{left:?}");
    let denied = client.reserve(&estimated, LASTING, WITHIN).await.unwrap();
    assert!(!denied.verdict.allowed && denied.held.is_none());

    let longer = Some(Duration::from_secs(50));
    assert!(reservation.extend(longer, WITHIN).await.unwrap().done);
    assert!(reservation.time_left() > left);
    let settled = reservation.settle(Tokens::new(250), WITHIN).await.unwrap();
    assert!(settled.settled);
    assert_eq!((settled.overrun, settled.limits[0].remaining), (Tokens::ZERO, Tokens::new(750)));
    // Another process repeats it by the token.
    let again = client.settle(reservation.token(), Tokens::new(250), WITHIN).await.unwrap();
    assert_eq!((again.settled, &again.limits), (true, &settled.limits));
    let late = reservation.extend(longer, WITHIN).await.unwrap();
    assert_eq!((late.done, late.reason), (false, Some(Reason::Known(KnownReason::HoldExpired))));
}

#[tokio::test]
async fn more_than_the_estimate_is_told() {
    let (_server, client) = start();
    let estimated = request("/ai").costing(Tokens::new(10));
    let reservation = client.reserve(&estimated, None, WITHIN).await.unwrap().held.unwrap();
    assert!(reservation.time_left() > Duration::from_secs(50), "as long as the limits let");
    let settled = reservation.settle(Tokens::new(25), WITHIN).await.unwrap();
    assert_eq!(settled.overrun, Tokens::new(15));
}

#[tokio::test]
async fn a_slot_is_free_when_its_hold_is_released_or_dropped() {
    let (_server, client) = start();
    let mut first = hold(&client).await.held.unwrap();
    let denied = hold(&client).await;
    assert_eq!(denied.verdict.reason, Some(Reason::Known(KnownReason::ConcurrencyExceeded)));
    assert!(matches!(denied.verdict.retry_after, RetryAfter::For(_)), "{:?}", denied.verdict);
    assert!(first.release(WITHIN).await.unwrap().done);
    let second = hold(&client).await.held.unwrap();
    drop(second);
    // It is given back in the background.
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let free = async {
        while hold(&client).await.held.is_none() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(WITHIN, free).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_held_or_settled_is_told() {
    let (_server, client) = start();
    let short = Some(Duration::from_millis(1));
    let refused = client.reserve(&request("/ai"), short, WITHIN).await.unwrap();
    let invalid = Some(Reason::Known(KnownReason::InvalidRequest));
    assert_eq!((&refused.verdict.reason, refused.held.is_none()), (&invalid, true));
    let unknown = client.settle("a token of nobody", Tokens::ONE, WITHIN).await.unwrap();
    assert_eq!((unknown.settled, unknown.reason), (false, invalid));
    let endless = client.hold(&request("/export"), Some(Duration::MAX), WITHIN).await;
    assert!(matches!(endless, Err(CheckError::Refused { .. })), "{endless:?}");
}
