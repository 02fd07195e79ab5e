//! What a denial through the real Envoy carries, where very many limits have long names.

use std::fmt::Write;

use http::StatusCode;

use crate::calls::call;
use crate::envoy::{PATIENT_MS, client};
use crate::fleet::Fleet;

#[tokio::test]
async fn a_denial_by_very_many_limits_reaches_its_client_and_names_eight() {
    let name = |number| format!("limit_{number:03}_{}", "x".repeat(50));
    let mut limits = "rate_limits:\n".to_owned();
    for number in 0..250 {
        let window = if number == 200 { "2h" } else { "1h" };
        writeln!(limits, "  {}: {{ limit: 1, window: {window} }}", name(number)).unwrap();
    }
    let fleet = Fleet::start("denials", &limits, PATIENT_MS, |text| text).await;
    let ask = || call(client(2), fleet.gateway.address, "GET", "/v1/reports", &[]);
    assert_eq!(ask().await.unwrap().status, StatusCode::OK);
    let denied = ask().await.unwrap();
    assert_eq!(denied.status, StatusCode::TOO_MANY_REQUESTS, "{denied:?}");
    let expected = [200, 0, 1, 2, 3, 4, 5, 6].map(name);
    assert_eq!(denied.json()["violated-policies"], serde_json::json!(expected));
    let policies = denied.header("ratelimit-policy").split(", ");
    let named: Vec<_> = policies.map(|item| item.split('"').nth(1).unwrap()).collect();
    assert_eq!(named, expected);
    assert!(denied.header("ratelimit").starts_with(&format!("\"{}\"", name(200))), "{denied:?}");
}
