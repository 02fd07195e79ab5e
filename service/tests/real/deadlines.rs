//! A real Envoy that waits for an answer shorter than the replicas wait for their store: it says
//! so in `grpc-timeout`. Nobody passes for that, and the store is used on.

use futures_util::future::join_all;
use http::StatusCode;

use crate::calls::{call, until};
use crate::envoy::client;
use crate::fleet::Fleet;

/// Open without the store, so that every answer in its name would pass.
const LIMITS: &str = "\
rate_limits:
  few: { key: ip_address, limit: 5, window: 1h, on_store_failure: allow }
";
/// Longer than Envoy waits, by far.
const STORE_TIMEOUT_MS: u32 = 60_000;

#[tokio::test]
async fn what_the_gateway_does_not_wait_for_is_denied_and_says_nothing_about_the_store() {
    let shorter = |text: String| {
        assert_eq!(text.matches(" timeout: 60s\n").count(), 1);
        text.replace(" timeout: 60s\n", " timeout: 2s\n")
    };
    let fleet = Fleet::start("deadlines", LIMITS, STORE_TIMEOUT_MS, shorter).await;
    let ask = |host| call(client(host), fleet.gateway.address, "GET", "/v1/reports", &[]);
    // A replica without a connection would find that it gets none in the second that it tries.
    until("connections to the store", || async {
        ask(2).await.unwrap();
        let [one, other] = &fleet.replicas;
        let batches = "sluicegate_store_batches_total";
        (one.metric(batches).await > 0.0 && other.metric(batches).await > 0.0).then_some(())
    })
    .await;

    fleet.store.freeze();
    let overloaded = "sluicegate_decisions_total{door=\"ext_authz\",verdict=\"denied\",\
                      reason=\"overloaded\"}";
    // Envoy's own time-out is 2 ms later than the replicas' answer and may win on a busy machine:
    // then its client has the error of Envoy, which lets nobody pass either.
    until("denial by a replica", || async {
        for answer in join_all((0..8).map(|_| ask(3))).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        }
        (fleet.metric(overloaded).await > 0.0).then_some(())
    })
    .await;
    let degraded = "sluicegate_degraded_decisions_total{door=\"ext_authz\"}";
    assert_eq!(fleet.metric(degraded).await, 0.0);
    fleet.store.thaw();

    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(ask(4).await.unwrap().status == StatusCode::OK);
    }
    assert_eq!(passed, 5, "the limit of another client is exact");
    assert_eq!(fleet.metric("sluicegate_store_breaker_state").await, 0.0);
    assert_eq!(fleet.metric("sluicegate_store_errors_total{kind=\"timeout\"}").await, 0.0);
}
