//! The client and a real service.

#![cfg(test)]

#[allow(dead_code, reason = "it serves the tests of the doors first")]
#[path = "../../service/tests/support/server.rs"]
mod server;

use std::time::Duration;

use server::TestServer;
use sluicegate_client::{
    CheckError, Client, KnownReason, Micros, Mode, Reason, Request, RetryAfter, Tokens,
};

const LIMITS: &str = "
rate_limits:
  default: { key: tenant_id, limit: 3, window: 1h }
  searches: { match: 'GET /search', key: tenant_id, limit: 1, window: 1h, reason: too_curious }
  trial: { key: tenant_id, limit: 2, window: 1h, mode: shadow }
";
/// Long enough for any machine.
const WITHIN: Duration = Duration::from_secs(30);

fn start() -> (TestServer, Client) {
    let server = TestServer::start(LIMITS, |_| {});
    let client = Client::connect(&format!("http://{}", server.grpc)).unwrap();
    (server, client)
}

fn request(path: &str) -> Request {
    Request::new().with("tenant_id", "acme").with("method", "GET").with("path", path)
}

#[tokio::test]
async fn a_verdict_says_what_every_limit_says() {
    let (_server, client) = start();
    let verdict = client.check(&request("/items"), WITHIN).await.unwrap();
    assert!(verdict.allowed && verdict.reason.is_none() && !verdict.degraded, "{verdict:?}");
    assert_eq!(verdict.limit_name.as_deref(), Some("default"));
    assert_eq!(verdict.remaining, Some(Tokens::new(2)));
    assert_eq!(verdict.retry_after, RetryAfter::None);
    assert!(verdict.reset.unwrap() > Micros::MINUTE, "{verdict:?}");
    assert_eq!((verdict.decision_id.len(), verdict.policy_revision.len()), (36, 16));
    let limits: Vec<_> = verdict.limits.iter().map(|l| (l.name.as_str(), l.mode)).collect();
    assert_eq!(limits, [("default", Mode::Enforce), ("trial", Mode::Shadow)]);
    let default = verdict.limits.first().unwrap();
    assert_eq!((default.limit, default.window), (Tokens::new(3), Micros::HOUR));
}

#[tokio::test]
async fn a_denial_names_its_reason_and_when_to_return() {
    let (_server, client) = start();
    let search = request("/search");
    assert!(client.check(&search, WITHIN).await.unwrap().allowed);
    let denied = client.check(&search, WITHIN).await.unwrap();
    assert_eq!(denied.reason, Some(Reason::Other("too_curious".to_owned())));
    assert_eq!(denied.limit_name.as_deref(), Some("searches"));
    assert!(matches!(denied.retry_after, RetryAfter::For(wait) if wait <= Micros::HOUR));

    let never = request("/items").costing(Tokens::new(4));
    let denied = client.check(&never, WITHIN).await.unwrap();
    assert_eq!(denied.reason, Some(Reason::Known(KnownReason::CostExceedsCapacity)));
    assert_eq!(denied.retry_after, RetryAfter::Never);

    let strange = client.check(&request("/items").with("path", "/b"), WITHIN).await.unwrap();
    assert_eq!(strange.reason, Some(Reason::Known(KnownReason::InvalidRequest)));
}

#[tokio::test]
async fn a_peek_takes_nothing_and_a_batch_takes_in_order() {
    let (_server, client) = start();
    let items = request("/items");
    for _ in 0..5 {
        assert!(client.peek(&items, WITHIN).await.unwrap().allowed);
    }
    let batch = vec![items.clone(); 4];
    let verdicts = client.check_batch(&batch, WITHIN).await.unwrap();
    let allowed: Vec<bool> = verdicts.iter().map(|verdict| verdict.allowed).collect();
    assert_eq!(allowed, [true, true, true, false]);
    assert!(client.check_batch(&[], WITHIN).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_sent() {
    let (_server, client) = start();
    let error = client.check(&request(&"/a".repeat(40_000)), WITHIN).await.unwrap_err();
    assert!(matches!(error, CheckError::TooLarge { .. }), "{error}");
    assert!(!error.may_have_charged());
}
