//! What a key has used carries over when a limit changes: the whole matrix, on every store, from
//! one revision of YAML to the next.
//!
//! Windows are so long that nothing comes back and no window ends while a test runs.

mod names;
mod numbers;
mod penalties;
mod together;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use sluicegate::store::Store;
use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::charge::{Intent, KeySecret, ask_all, merge_all};
use sluicegate_limits::decide::Reply;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::Tokens;

use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, run, store};

/// What a limit of each algorithm says beside its `limit`.
const ALGORITHMS: [&str; 5] = [
    "window: 100d",
    "algorithm: token_bucket, window: 100d",
    "algorithm: fixed_window, window: 100d",
    "algorithm: calendar, period: year",
    "algorithm: concurrency, hold: 1h",
];
/// How many of them count what passes in a window; the last counts what runs.
const WINDOWS: usize = 4;

/// Runs the matrix on one store.
async fn list(store: &Store) {
    let world = &World { store: store.clone(), keys: AtomicU32::new(0) };
    numbers::list(world).await;
    names::list(world).await;
    penalties::list(world).await;
    together::list(world).await;
}

#[test]
fn memory_carries_over() {
    run(list(&Store::Memory(Arc::new(Memory::new(100_000)))));
}

#[test]
fn valkey_carries_over() {
    let server = ValkeyServer::start(&[]);
    run(async { list(&store(server.port(), PATIENCE)).await });
}

/// A store, and keys that nobody has used.
struct World {
    store: Store,
    keys: AtomicU32,
}

/// A caller of the limits, with counters of its own.
struct Caller<'w> {
    world: &'w World,
    attributes: Attributes,
}

/// What one request was answered.
#[derive(Debug)]
struct Answer {
    allowed: bool,
    /// One for each charge.
    replies: Vec<Reply>,
}

impl World {
    fn caller(&self) -> Caller<'_> {
        let tenant = format!("tenant-{}", self.keys.fetch_add(1, Relaxed));
        let mut attributes = AttributesBuilder::new();
        for (name, value) in [("tenant_id", tenant.as_str()), ("user_id", "u"), ("client_id", "u")]
        {
            attributes.set(name, value).expect("a good attribute");
        }
        Caller { world: self, attributes: attributes.finish() }
    }
}

impl Caller<'_> {
    /// One request of this cost to a replica on this revision.
    async fn request(&self, policy: &Policy, cost: u64, intent: Intent) -> Answer {
        let store = &self.world.store;
        let secret = KeySecret::new(&[7; 32]).expect("long enough");
        let cost = Some(Tokens::new(cost));
        let charges = policy.charges(&self.attributes, cost, &secret, store.now()).unwrap();
        let check = ask_all(&charges, intent);
        let outcome = store.decide(check, None).await.expect("the store answers").outcome;
        let replies = merge_all(&charges, outcome.replies);
        Answer { allowed: outcome.allowed, replies }
    }

    async fn takes(&self, policy: &Policy, cost: u64) -> bool {
        self.request(policy, cost, Intent::Check).await.allowed
    }

    /// What is left of the only limit that applies.
    async fn left(&self, policy: &Policy) -> u64 {
        let answer = self.request(policy, 1, Intent::Look).await;
        assert_eq!(answer.replies.len(), 1, "one limit applies");
        answer.replies[0].left.get()
    }
}

/// A revision with one limit of this name that says this.
fn revision(name: &str, says: &str) -> Policy {
    compiled(format!("rate_limits: {{ {name}: {{ {says} }} }}\n"))
}

fn compiled(text: String) -> Policy {
    let file = SourceFile { name: "limits.yaml".into(), text: text.clone() };
    let compiled = Policy::compile(&[file]);
    compiled.unwrap_or_else(|problems| panic!("{text}{problems:?}")).policy
}

/// A revision with one limit per tenant.
fn tenants(limit: u64, says: &str) -> Policy {
    revision("l", &format!("key: tenant_id, limit: {limit}, {says}"))
}
