//! A real Envoy that waits for an answer shorter than the replicas wait for their store: it says
//! so in `grpc-timeout`. Nobody passes for that, and the store is used on.

use futures_util::future::join_all;
use http::StatusCode;

use crate::alone;
use crate::calls::{call, until};
use crate::envoy::{client, upstream};
use crate::gate::{Gate, replica};
use crate::gateway::Gateway;
use crate::process::folder;
use crate::valkey::Valkey;

/// Open without the store, so that every answer in its name would pass.
const LIMITS: &str = "\
rate_limits:
  few: { key: ip_address, limit: 5, window: 1h, on_store_failure: allow }
";
/// Longer than Envoy waits, by far.
const STORE_TIMEOUT_MS: u32 = 60_000;

#[tokio::test]
async fn what_the_gateway_does_not_wait_for_is_denied_and_says_nothing_about_the_store() {
    let _alone = alone().await;
    let folder = folder("deadlines");
    let store = Valkey::start(&folder);
    std::fs::write(folder.join("limits.yaml"), LIMITS).unwrap();
    let mut replicas = Vec::new();
    for rank in 0..2 {
        let mut serve = replica(&folder, rank);
        serve.arg("--limits").arg(folder.join("limits.yaml"));
        replicas.push(Gate::start(serve, &store, STORE_TIMEOUT_MS).await);
    }
    let doors = [replicas[0].grpc, replicas[1].grpc];
    let shorter = |text: String| text.replace("timeout: 5s", "timeout: 2s");
    let gateway = Gateway::start_with(&folder, upstream().await, doors, shorter).await;
    let ask = |host| call(client(host), gateway.address, "GET", "/v1/reports", &[]);
    // Until both replicas have a connection to the store.
    for _ in 0..5 {
        assert_eq!(ask(2).await.unwrap().status, StatusCode::OK);
    }
    let metric = async |beginning: &str| {
        join_all(replicas.iter().map(|gate| gate.metric(beginning))).await.iter().sum::<f64>()
    };
    let overloaded = "sluicegate_decisions_total{door=\"ext_authz\",verdict=\"denied\",\
                      reason=\"overloaded\"}";

    store.freeze();
    // Envoy's own time-out is 2 ms later than the replicas' answer and may win on a busy machine:
    // then its client has the error of Envoy, which lets nobody pass either.
    until("denial by a replica", || async {
        for answer in join_all((0..8).map(|_| ask(3))).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        }
        (metric(overloaded).await > 0.0).then_some(())
    })
    .await;
    assert_eq!(metric("sluicegate_degraded_decisions_total{door=\"ext_authz\"}").await, 0.0);
    store.thaw();

    let mut passed = 0;
    for _ in 0..10 {
        let answer = ask(4).await.unwrap();
        passed += usize::from(answer.status == StatusCode::OK);
    }
    assert_eq!(passed, 5, "the limit of another client is exact");
    assert_eq!(metric("sluicegate_store_breaker_state").await, 0.0);
    assert_eq!(metric("sluicegate_store_errors_total{kind=\"timeout\"}").await, 0.0);
}
