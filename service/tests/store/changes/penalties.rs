//! Another penalty: strikes and blocks are kept, and no block is longer than it would be now.

use sluicegate_limits::charge::Intent;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::Micros;

use super::{Answer, Caller, World, tenants};

pub(super) async fn list(world: &World) {
    strikes_count_for_another_penalty(world).await;
    a_block_is_cut_to_what_it_would_be_now(world).await;
    a_penalty_that_goes_and_comes_back_remembers(world).await;
    another_limit_and_algorithm_leave_the_strikes_alone(world).await;
}

/// A limit that only denies, so that each request is a strike.
fn struck(penalty: &str) -> Policy {
    tenants(0, &format!("window: 100d{penalty}"))
}

fn penalty(after: u32, within: &str, block: &str) -> String {
    format!(", penalty: {{ after: {after}, within: {within}, block: {block} }}")
}

/// One more request; what its only charge was answered.
async fn strike(caller: &Caller<'_>, policy: &Policy) -> (bool, Wait) {
    let Answer { allowed, replies } = caller.request(policy, 1, Intent::Check).await;
    assert!(!allowed);
    (replies[0].blocked, replies[0].wait)
}

/// How long a blocked key waits; what the limit itself says is left out.
async fn blocked_for(caller: &Caller<'_>, penalty: &str) -> Option<Micros> {
    let open = tenants(1_000, &format!("window: 100d{penalty}"));
    let answer = caller.request(&open, 1, Intent::Look).await;
    match answer.replies[0].wait {
        Wait::For(wait) if answer.replies[0].blocked => Some(wait),
        _ => None,
    }
}

async fn strikes_count_for_another_penalty(world: &World) {
    let old = struck(&penalty(5, "100d", "1h"));
    for (after, within, more) in [(5, "100d", 2), (8, "100d", 5), (4, "366d", 1), (2, "50d", 1)] {
        let caller = world.caller();
        for _ in 0..3 {
            strike(&caller, &old).await;
        }
        let says = penalty(after, within, "1h");
        let new = struck(&says);
        for number in 1..=more {
            assert_eq!(blocked_for(&caller, &says).await, None, "{says}: strike {number}");
            strike(&caller, &new).await;
        }
        assert!(blocked_for(&caller, &says).await.is_some(), "{says}: after {more} more");
    }
}

async fn a_block_is_cut_to_what_it_would_be_now(world: &World) {
    let caller = world.caller();
    let long = penalty(1, "100d", "7d");
    strike(&caller, &struck(&long)).await;
    let week = Micros::new(7 * Micros::DAY.get());
    let wait = blocked_for(&caller, &long).await.expect("it is blocked");
    assert!(wait <= week && wait > Micros::DAY);
    let short = penalty(1, "100d", "1h");
    assert!(blocked_for(&caller, &short).await.expect("still") <= Micros::HOUR);
    let (blocked, _) = strike(&caller, &struck(&long)).await;
    assert!(blocked, "it was cut for good, and is no longer again");
    assert!(blocked_for(&caller, &long).await.expect("still") <= Micros::HOUR);
}

async fn a_penalty_that_goes_and_comes_back_remembers(world: &World) {
    let caller = world.caller();
    let says = penalty(1, "100d", "1h");
    strike(&caller, &struck(&says)).await;
    let without = tenants(10, "window: 100d");
    assert!(caller.takes(&without, 1).await, "nothing blocks without a penalty");
    assert!(blocked_for(&caller, &says).await.is_some());
}

async fn another_limit_and_algorithm_leave_the_strikes_alone(world: &World) {
    let caller = world.caller();
    let says = penalty(2, "100d", "1h");
    strike(&caller, &struck(&says)).await;
    let bucket = tenants(1, &format!("algorithm: token_bucket, window: 100d{says}"));
    assert!(caller.takes(&bucket, 1).await, "a request that passes is no strike");
    assert!(!caller.takes(&bucket, 1).await);
    assert!(blocked_for(&caller, &says).await.is_some(), "the second strike");
}
