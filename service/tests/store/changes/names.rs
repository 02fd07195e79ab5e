//! Another name or key: new counters, unless `was` says what they were called.

use super::{ALGORITHMS, World, revision, tenants};

const LIMIT: &str = "limit: 10, window: 100d";

pub(super) async fn list(world: &World) {
    another_name_begins_anew_unless_it_was_that_limit(world).await;
    another_key_begins_anew_unless_it_was_that_key(world).await;
    a_limit_that_goes_and_comes_back_finds_its_counters(world).await;
}

async fn another_name_begins_anew_unless_it_was_that_limit(world: &World) {
    for says in ALGORITHMS {
        let caller = world.caller();
        assert!(caller.takes(&tenants(10, says), 6).await);
        let new = |more: &str| revision("n", &format!("key: tenant_id, limit: 10, {says}{more}"));
        assert_eq!(caller.left(&new("")).await, 10, "{says}: another name");
        let kept = new(", was: l");
        assert_eq!(caller.left(&kept).await, 4, "{says}: it was `l`");
        assert!(caller.takes(&kept, 1).await);
        assert_eq!(caller.left(&tenants(10, says)).await, 3, "{says}: both count the same");
        assert_eq!(caller.left(&new("")).await, 10, "{says}: without `was` it begins anew");
    }
}

async fn another_key_begins_anew_unless_it_was_that_key(world: &World) {
    let old = revision("l", &format!("key: [tenant_id, user_id], {LIMIT}"));
    let caller = world.caller();
    assert!(caller.takes(&old, 6).await);
    for key in ["tenant_id", "[user_id, tenant_id]", "[tenant_id, client_id]"] {
        let new = revision("l", &format!("key: {key}, {LIMIT}"));
        let fresh = world.caller();
        assert_eq!(caller.left(&new).await, 10, "{key}");
        assert_eq!(fresh.left(&new).await, 10, "{key}");
    }
    let was = "was: { name: l, key: [tenant_id, user_id] }";
    let new = revision("n", &format!("key: [tenant_id, client_id], {LIMIT}, {was}"));
    assert_eq!(caller.left(&new).await, 4, "the client has the value that the user had");
    assert_eq!(world.caller().left(&new).await, 10, "and another tenant has its own counter");
}

async fn a_limit_that_goes_and_comes_back_finds_its_counters(world: &World) {
    let caller = world.caller();
    let (old, none) = (tenants(10, "window: 100d"), tenants(10, "window: 100d, mode: disabled"));
    assert!(caller.takes(&old, 6).await);
    assert!(caller.takes(&none, 99).await, "no limit applies");
    let shadow = tenants(10, "window: 100d, mode: shadow");
    assert!(caller.takes(&shadow, 5).await, "a shadow denies nothing");
    assert!(caller.takes(&shadow, 1).await);
    assert_eq!(caller.left(&old).await, 3, "what fits a shadow is taken");
}
