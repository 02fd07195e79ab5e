//! Another limit, burst, window or algorithm: what is used stays used.

use super::{ALGORITHMS, WINDOWS, World, compiled, tenants};

pub(super) async fn list(world: &World) {
    another_limit_keeps_what_is_used(world).await;
    another_window_keeps_what_is_used(world).await;
    another_burst_keeps_what_is_used(world).await;
    another_period_keeps_what_is_used(world).await;
    another_algorithm_books_what_is_used(world).await;
    another_plan_keeps_what_is_used(world).await;
}

async fn another_limit_keeps_what_is_used(world: &World) {
    for says in ALGORITHMS {
        for (limit, left) in [(20, 14), (10, 4), (7, 1), (6, 0), (3, 0)] {
            let caller = world.caller();
            assert!(caller.takes(&tenants(10, says), 6).await);
            let new = tenants(limit, says);
            assert_eq!(caller.left(&new).await, left, "{says}: {limit}");
            assert!(!caller.takes(&new, left + 1).await, "{says}: {limit}");
            assert_eq!(caller.takes(&new, left.max(1)).await, left > 0, "{says}: {limit}");
            // And back: what both revisions passed is what is used.
            assert_eq!(caller.left(&tenants(100, says)).await, 94 - left, "{says}: {limit}");
        }
        let caller = world.caller();
        assert!(caller.takes(&tenants(10, says), 6).await);
        assert!(!caller.takes(&tenants(0, says), 1).await, "{says}: a limit of 0 denies");
        assert_eq!(caller.left(&tenants(10, says)).await, 4, "{says}: and takes nothing");
    }
}

async fn another_window_keeps_what_is_used(world: &World) {
    for algorithm in ["", "algorithm: token_bucket, ", "algorithm: fixed_window, "] {
        for days in [1, 50, 99, 101, 366] {
            let caller = world.caller();
            assert!(caller.takes(&tenants(10, &format!("{algorithm}window: 100d")), 6).await);
            let new = tenants(10, &format!("{algorithm}window: {days}d"));
            assert_eq!(caller.left(&new).await, 4, "{algorithm}{days}");
            assert!(!caller.takes(&new, 5).await && caller.takes(&new, 4).await);
        }
    }
}

async fn another_burst_keeps_what_is_used(world: &World) {
    let burst =
        |burst| tenants(10, &format!("algorithm: token_bucket, window: 100d, burst: {burst}"));
    for (new, left) in [(40, 28), (20, 8), (13, 1), (12, 0), (5, 0)] {
        let caller = world.caller();
        assert!(caller.takes(&burst(20), 12).await);
        assert_eq!(caller.left(&burst(new)).await, left, "{new}");
        assert!(!caller.takes(&burst(new), left + 1).await);
        assert_eq!(caller.left(&burst(20)).await, 8, "a denial takes nothing");
    }
}

async fn another_period_keeps_what_is_used(world: &World) {
    let old = tenants(10, "algorithm: calendar, period: year");
    for says in [
        "period: year, timezone: Asia/Tokyo",
        "period: year, starts_on: 03-01",
        "period: month",
        "period: month, starts_on: 31, timezone: Europe/Madrid",
        "period: week",
    ] {
        let caller = world.caller();
        assert!(caller.takes(&old, 6).await);
        let new = tenants(10, &format!("algorithm: calendar, {says}"));
        assert_eq!(caller.left(&new).await, 4, "{says}");
        assert!(!caller.takes(&new, 5).await && caller.takes(&new, 4).await, "{says}");
    }
}

async fn another_algorithm_books_what_is_used(world: &World) {
    for (from, old) in ALGORITHMS.iter().enumerate() {
        for (to, new) in ALGORITHMS.iter().enumerate().filter(|(to, _)| *to != from) {
            let caller = world.caller();
            assert!(caller.takes(&tenants(10, old), 6).await);
            let new_says = *new;
            let new = tenants(10, new);
            // What runs goes on running; what was taken is nothing that runs.
            let left = if to < WINDOWS { 4 } else { 10 };
            assert!(!caller.takes(&new, left + 1).await, "{old} to {new_says}: denied first");
            assert_eq!(caller.left(&new).await, left, "{old} to {new_says}");
            assert!(caller.takes(&new, left).await, "{old} to {new_says}");
            assert!(!caller.takes(&new, 1).await, "{old} to {new_says}");
        }
    }
}

async fn another_plan_keeps_what_is_used(world: &World) {
    for says in ALGORITHMS {
        let caller = world.caller();
        let tenant = caller.attributes.get("tenant_id").expect("a caller has a tenant");
        let of = |plan: u64, own: &str| {
            compiled(format!(
                "plans: {{ free: {{ limits: {{ l: {{ limit: {plan} }} }} }} }}\n\
                 tenants: {{ {tenant}: {{ plan: free{own} }} }}\n\
                 rate_limits: {{ l: {{ key: tenant_id, limit: 8, {says} }} }}\n",
            ))
        };
        assert!(caller.takes(&of(10, ""), 6).await, "{says}");
        assert_eq!(caller.left(&of(20, "")).await, 14, "{says}: the plan has more");
        assert_eq!(caller.left(&of(5, "")).await, 0, "{says}: the plan has less");
        assert_eq!(
            caller.left(&of(5, ", limits: { l: { limit: 9 } }")).await,
            3,
            "{says}: its own"
        );
        assert_eq!(caller.left(&tenants(8, says)).await, 2, "{says}: no plan any more");
        assert!(!caller.takes(&of(20, ""), 15).await && caller.takes(&of(20, ""), 14).await);
    }
}
