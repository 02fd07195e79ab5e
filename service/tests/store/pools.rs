//! What all share in the embedded store: one limit's keys, or one tenant's reservations, leave the
//! others their part.

use std::sync::Arc;

use sluicegate::call::{Call, Decision, Ending, Method};
use sluicegate::limiter::{Limiter, Shared};
use sluicegate::metrics::Metrics;
use sluicegate::store::Store;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason;

use crate::replica::{call, call_of, end, policy, seconds, token};
use crate::server::{settings, shared};
use crate::world::run;

/// A replica whose embedded store has so many places, and what its cores share.
fn replica(limits: &str, places: usize) -> (Limiter, Arc<Memory>, Arc<Shared>) {
    let (memory, metrics) = (Arc::new(Memory::new(places)), Metrics::new(places));
    let (shared, _) = shared(limits, &settings(), &memory, &metrics);
    let limiter = Limiter::new(Arc::clone(&shared), Store::Memory(Arc::clone(&memory)));
    (limiter, memory, shared)
}

#[test]
fn a_flood_of_one_limits_keys_makes_no_fresh_tenant_of_another_overflow() {
    const LIMITS: &str = "
rate_limits:
  anonymous: { key: ip_address, limit: 2, window: 1h }
  default: { key: tenant_id, limit: 5, window: 1h }
";
    const OTHERS: &str = "rate_limits: { other: { limit: 1, window: 1h, mode: shadow } }";
    // From the start, or after a change of the policy.
    run(flooded(replica(LIMITS, 10_000)));
    let (limiter, memory, shared) = replica(OTHERS, 10_000);
    shared.set_policy(policy(LIMITS));
    run(flooded((limiter, memory, shared)));
}

async fn flooded((limiter, memory, _): (Limiter, Arc<Memory>, Arc<Shared>)) {
    for number in 0..30_000_u32 {
        let mut facts = AttributesBuilder::new();
        let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + number).to_string();
        facts.set("ip_address", &address).unwrap();
        let call = Call { attributes: facts.finish(), ..call("/", Method::Check) };
        limiter.check(call).await;
    }
    let overflowed = memory.overflowed();
    assert!(overflowed > 0, "it was no flood");
    for tenant in 0..2_000 {
        let first = call_of(&format!("tenant-{tenant}"), "/", Method::Check);
        let verdict = limiter.check(first).await.verdict;
        assert!(verdict.allowed, "{tenant}: {verdict:?}");
        assert_eq!(verdict.remaining(), Some(Tokens::new(4)), "{tenant}");
    }
    assert_eq!(memory.overflowed(), overflowed);
}

/// Reserves so many tokens for a tenant and settles what it did cost.
async fn settled(limiter: &Limiter, tenant: &str, estimate: u64, actual: u64) -> Decision {
    let lasting: Micros = seconds(60);
    let reserve = call_of(tenant, "/", Method::Reserve { lasting });
    let cost = Some(Tokens::new(estimate));
    let reserved = limiter.check(Call { cost, ..reserve }).await;
    end(limiter, &token(&reserved), Ending::Settle { actual: Tokens::new(actual) }).await
}

const RESERVED: &str = "
rate_limits:
  everybody: { limit: 1_000_000, window: 1h }
  default: { key: tenant_id, limit: 1_000_000, window: 1h }
  users: { key: [tenant_id, user_id], limit: 1_000_000, window: 1h }
";

#[test]
fn one_tenants_settlements_refuse_no_other_tenants() {
    run(async {
        let (limiter, ..) = replica(RESERVED, 1_000);
        let mut kept = 0;
        while settled(&limiter, "flood", 1, 1).await.verdict.allowed {
            kept += 1;
        }
        assert_eq!(kept, 250, "a quarter of the places");
        let refused = settled(&limiter, "flood", 1, 1).await.verdict;
        assert_eq!(refused.reason, Some(Reason::Overloaded));
        for tenant in 0..100 {
            let other = settled(&limiter, &format!("tenant-{tenant}"), 1, 1).await;
            assert!(other.verdict.allowed, "{tenant}: {:?}", other.verdict);
        }
    });
}

#[test]
fn a_reservation_of_nothing_leaves_no_record() {
    run(async {
        let (limiter, ..) = replica(RESERVED, 8);
        for _ in 0..1_000 {
            assert!(settled(&limiter, "acme", 0, 0).await.verdict.allowed);
        }
        assert!(settled(&limiter, "acme", 1, 1).await.verdict.allowed, "all places are free");
    });
}
