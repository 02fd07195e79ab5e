//! Two replicas, the real binary, on one real Valkey: hammered, and with the store taken away.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{Attribute, CheckRequest, CheckResponse, attribute::Value};
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::alone;
use crate::calls::until;
use crate::gate::{Gate, replica};
use crate::process::folder;
use crate::valkey::Valkey;

type Client = SluicegateClient<Channel>;

/// The limit of the hammered counter.
const LIMIT: u64 = 1_000;
/// Checks that are sent at it, from this many tasks.
const DEMAND: u64 = 3_000;
const TASKS: u64 = 32;
/// The deadline of each call under failures.
const DEADLINE: Duration = Duration::from_millis(200);

/// Answers of both replicas, counted.
#[derive(Default)]
struct Tally {
    admitted: AtomicU64,
    /// Answers that no debit in the store backs.
    degraded: AtomicU64,
    /// Answers that a debit in the store backs.
    backed: AtomicU64,
    /// Calls that ended with a status instead of an answer.
    failed: AtomicU64,
    /// The first such status.
    first_failure: std::sync::Mutex<Option<String>>,
}

impl Tally {
    fn add(&self, outcome: Result<CheckResponse, tonic::Status>) {
        let one = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(answer) => {
                one(if answer.degraded { &self.degraded } else { &self.backed });
                if answer.allowed {
                    one(&self.admitted);
                }
            }
            Err(status) => {
                one(&self.failed);
                self.first_failure.lock().unwrap().get_or_insert_with(|| format!("{status:?}"));
            }
        }
    }

    fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Two replicas and their store.
struct World {
    store: Valkey,
    clients: [Client; 2],
    _replicas: [Gate; 2],
    _alone: MutexGuard<'static, ()>,
}

impl World {
    async fn start(name: &str, timeout_ms: u32, limits: &str) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        let first = Gate::start(command(&folder, 0, limits), &store, timeout_ms).await;
        let second = Gate::start(command(&folder, 1, limits), &store, timeout_ms).await;
        let clients = [connect(&first).await, connect(&second).await];
        Self { store, clients, _replicas: [first, second], _alone: alone }
    }
}

/// The command of a replica of Compose with the limits of this test.
fn command(folder: &Path, rank: usize, limits: &str) -> Command {
    let file = folder.join("limits.yaml");
    std::fs::write(&file, limits).unwrap();
    let mut command = replica(folder, rank);
    command.arg("--limits").arg(file);
    command
}

async fn connect(gate: &Gate) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", gate.grpc)).unwrap();
    SluicegateClient::new(endpoint.connect().await.unwrap())
}

fn check(tenant: &str) -> CheckRequest {
    let value = Some(Value::Text(tenant.to_owned()));
    let attributes = vec![Attribute { name: "tenant_id".to_owned(), value }];
    CheckRequest { attributes, cost: None }
}

/// Sends `DEMAND` checks of one tenant to both replicas from many tasks.
async fn hammer(world: &World) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let mut client = world.clients[usize::from(task % 2 == 1)].clone();
        let tally = Arc::clone(&tally);
        let count = DEMAND / TASKS + u64::from(task < DEMAND % TASKS);
        tasks.spawn(async move {
            for _ in 0..count {
                let outcome = client.check(check("acme")).await;
                tally.add(outcome.map(tonic::Response::into_inner));
            }
        });
    }
    tasks.join_all().await;
    tally
}

const HAMMERED: &str = "\
rate_limits:
  hammered: { key: tenant_id, limit: 1000, window: 1h, on_store_failure: deny }
";

#[tokio::test]
async fn two_replicas_with_a_patient_store_admit_the_limit_exactly() {
    let world = World::start("exact", 5_000, HAMMERED).await;
    let tally = hammer(&world).await;
    assert_eq!(*tally.first_failure.lock().unwrap(), None);
    assert_eq!(Tally::get(&tally.degraded), 0);
    assert_eq!(Tally::get(&tally.admitted), LIMIT);
}

#[tokio::test]
async fn two_replicas_with_a_short_time_out_never_admit_more_and_lose_only_what_timed_out() {
    let world = World::start("short", 8, HAMMERED).await;
    let tally = hammer(&world).await;
    assert_eq!(*tally.first_failure.lock().unwrap(), None);
    let (admitted, timed_out) = (Tally::get(&tally.admitted), Tally::get(&tally.degraded));
    println!("admitted {admitted}, without the store {timed_out}");
    assert!(admitted <= LIMIT, "{admitted}");
    assert!(LIMIT <= admitted + timed_out, "{admitted} + {timed_out}");
}

/// Checks on both replicas with a deadline each, one after another, until they are stopped.
struct Load {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(world: &World) -> Self {
        let tally = Arc::new(Tally::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for task in 0..8_usize {
            let mut client = world.clients[task % 2].clone();
            let (tally, stop) = (Arc::clone(&tally), Arc::clone(&stop));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut request = tonic::Request::new(check(&format!("tenant-{task}")));
                    request.set_timeout(DEADLINE);
                    let outcome = client.check(request).await;
                    tally.add(outcome.map(tonic::Response::into_inner));
                }
            });
        }
        Self { tally, stop, tasks }
    }

    /// Waits until a hundred more answers are counted by one of the counters.
    async fn until_more(&self, what: &str, counter: impl Fn(&Tally) -> &AtomicU64) {
        let before = Tally::get(counter(&self.tally));
        until(what, || async { (Tally::get(counter(&self.tally)) >= before + 100).then_some(()) })
            .await;
    }

    async fn finish(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.tally
    }
}

const LOADED: &str = "\
rate_limits:
  loaded: { key: tenant_id, limit: 100_000_000, window: 1h }
";

#[tokio::test]
async fn every_call_is_answered_while_the_store_is_killed_restarted_stopped_and_continued() {
    let mut world = World::start("failures", 8, LOADED).await;
    let load = Load::start(&world);
    load.until_more("answers backed by the store", |t| &t.backed).await;
    world.store.kill();
    load.until_more("degraded answers after the kill", |t| &t.degraded).await;
    world.store.restart();
    load.until_more("backed answers after the restart", |t| &t.backed).await;
    world.store.freeze();
    load.until_more("degraded answers while the store is stopped", |t| &t.degraded).await;
    world.store.thaw();
    load.until_more("backed answers after it goes on", |t| &t.backed).await;
    let tally = load.finish().await;
    let failed = Tally::get(&tally.failed);
    assert_eq!(failed, 0, "calls without an answer; first: {:?}", tally.first_failure.lock());
}
