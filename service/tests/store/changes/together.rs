//! Replicas on two revisions at the same time: together they admit at most the larger limit.

use sluicegate_limits::policy::Policy;

use super::{ALGORITHMS, Caller, WINDOWS, World, revision, tenants};

pub(super) async fn list(world: &World) {
    two_limits_admit_the_larger(world).await;
    two_algorithms_admit_the_larger(world).await;
    two_names_admit_the_larger(world).await;
}

/// Requests in turns to replicas on two revisions until both deny; answers what passed.
async fn passed(caller: &Caller<'_>, revisions: [&Policy; 2]) -> u64 {
    let (mut sum, mut denied, mut cost) = (0, 0, 3);
    while denied < 2 {
        denied = 0;
        for policy in revisions {
            if caller.takes(policy, cost).await {
                sum += cost;
            } else {
                denied += 1;
            }
        }
        // Then whatever still fits.
        if denied == 2 && cost > 1 {
            (cost, denied) = (1, 0);
        }
    }
    sum
}

async fn two_limits_admit_the_larger(world: &World) {
    for says in ALGORITHMS {
        for other in [5, 17, 100] {
            let sum = passed(&world.caller(), [&tenants(20, says), &tenants(other, says)]).await;
            assert_eq!(sum, other.max(20), "{says}: {other}");
        }
    }
    let windows = [("window: 100d", "window: 50d"), ("window: 1d", "window: 366d")];
    for algorithm in ["", "algorithm: token_bucket, ", "algorithm: fixed_window, "] {
        for (one, other) in windows {
            let one = tenants(20, &format!("{algorithm}{one}"));
            let other = tenants(20, &format!("{algorithm}{other}"));
            assert_eq!(passed(&world.caller(), [&one, &other]).await, 20, "{algorithm}");
        }
    }
}

async fn two_algorithms_admit_the_larger(world: &World) {
    // Concurrency is left out: it bounds what runs at one time, and no window.
    for one in &ALGORITHMS[..WINDOWS] {
        for other in ALGORITHMS[..WINDOWS].iter().filter(|other| *other != one) {
            for limit in [20, 13] {
                let revisions = [&tenants(20, one), &tenants(limit, other)];
                assert_eq!(passed(&world.caller(), revisions).await, 20, "{one} and {other}");
            }
        }
    }
}

async fn two_names_admit_the_larger(world: &World) {
    for says in ALGORITHMS {
        let (old, was) = (tenants(20, says), format!("key: tenant_id, limit: 12, {says}, was: l"));
        let sum = passed(&world.caller(), [&old, &revision("n", &was)]).await;
        assert_eq!(sum, 20, "{says}");
    }
}
