//! The script against `limits::decide`: the same trace, verdicts and stored bytes after each step.
//!
//! `SLUICEGATE_SEED=N` repeats a failure, `SLUICEGATE_VECTOR_STEPS=N` runs longer.

use std::collections::HashMap;

use fastrand::Rng;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use sluicegate::store::valkey::SCRIPT;
use sluicegate::store::valkey::packing::{Answer, Packed, Undecided, counter_key, pack, unpack};
use sluicegate_limits::counter::{Counter, Op, Terms};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Stale, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::trace::Trace;
use crate::valkey::ValkeyServer;

const STEPS: u64 = 40_000;
const TRACE_STEPS: u64 = 500;

/// A client that can run the script on one connection.
trait Client {
    async fn call(&mut self, packed: &Packed, now: Timestamp) -> Vec<u8>;
    async fn get(&mut self, keys: &[Key]) -> Vec<Option<Vec<u8>>>;
    async fn set(&mut self, key: &Key, bytes: Option<&[u8]>);
}

struct Redis {
    connection: redis::aio::MultiplexedConnection,
    sha: String,
}

impl Redis {
    async fn connect(server: &ValkeyServer) -> Self {
        let mut connection = crate::world::direct(server).await;
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
        let sha = load.query_async(&mut connection).await.expect("loads the script");
        Self { connection, sha }
    }
}

impl Client for Redis {
    async fn call(&mut self, packed: &Packed, now: Timestamp) -> Vec<u8> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(packed.keys.len()).arg(&packed.keys);
        call.arg(&now.get().to_le_bytes()).arg(b"").arg(&packed.input);
        call.query_async(&mut self.connection).await.expect("the script answers")
    }

    async fn get(&mut self, keys: &[Key]) -> Vec<Option<Vec<u8>>> {
        let keys: Vec<_> = keys.iter().map(counter_key).collect();
        let get = redis::cmd("MGET").arg(keys).to_owned();
        get.query_async(&mut self.connection).await.expect("reads the counters")
    }

    async fn set(&mut self, key: &Key, bytes: Option<&[u8]>) {
        let command = match bytes {
            Some(bytes) => redis::cmd("SET").arg(counter_key(key)).arg(bytes).to_owned(),
            None => redis::cmd("DEL").arg(counter_key(key)).to_owned(),
        };
        let _: redis::Value =
            command.query_async(&mut self.connection).await.expect("writes a counter");
    }
}

/// The second, independent client: the same script, keys and bytes serve it.
struct Fred {
    client: fred::clients::Client,
    sha: String,
}

impl Fred {
    async fn connect(server: &ValkeyServer) -> Self {
        let server = fred::types::config::ServerConfig::new_centralized("127.0.0.1", server.port());
        let address = fred::types::config::Config { server, ..Default::default() };
        let client = fred::clients::Client::new(address, None, None, None);
        client.init().await.expect("connects");
        let sha = client.script_load(SCRIPT).await.expect("loads the script");
        Self { client, sha }
    }
}

impl Client for Fred {
    async fn call(&mut self, packed: &Packed, now: Timestamp) -> Vec<u8> {
        let now = now.get().to_le_bytes();
        let args = [&now[..], &[], &packed.input].map(fred::bytes::Bytes::copy_from_slice);
        let keys: Vec<fred::types::Key> =
            packed.keys.iter().map(|key| key.as_slice().into()).collect();
        let answer: fred::bytes::Bytes =
            self.client.evalsha(&self.sha, keys, args.to_vec()).await.expect("the script answers");
        answer.to_vec()
    }

    async fn get(&mut self, keys: &[Key]) -> Vec<Option<Vec<u8>>> {
        let keys: Vec<fred::types::Key> =
            keys.iter().map(|key| counter_key(key).as_slice().into()).collect();
        let stored: Vec<Option<fred::bytes::Bytes>> =
            self.client.mget(keys).await.expect("reads the counters");
        stored.into_iter().map(|bytes| bytes.map(|bytes| bytes.to_vec())).collect()
    }

    async fn set(&mut self, key: &Key, bytes: Option<&[u8]>) {
        let key = counter_key(key);
        let key = key.as_slice();
        let done: Result<(), _> = match bytes {
            Some(bytes) => self.client.set(key, bytes, None, None, false).await,
            None => self.client.del(key).await,
        };
        done.expect("writes a counter");
    }
}

/// Says which trace failed when a comparison panics.
struct Running(u64);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the trace of SLUICEGATE_SEED={} failed", self.0);
        }
    }
}

/// The counters as `limits` keeps them, and the keys whose bytes were spoilt.
#[derive(Default)]
struct Model {
    counters: HashMap<Key, Counter>,
    spoilt: Option<Key>,
}

impl Model {
    fn decide(&mut self, check: &Check, now: Timestamp) -> Result<Outcome, Undecided> {
        let spoilt = check.iter().position(|ask| Some(ask.key) == self.spoilt);
        if check.iter().any(|ask| ask.terms.is_stale(now)) {
            return Err(Undecided::Stale);
        }
        if let Some(ask) = spoilt {
            return Err(Undecided::BadState { ask });
        }
        let mut outcome =
            decide(&mut self.counters, check, now).map_err(|Stale| Undecided::Stale)?;
        // The script does not tell of what is booked yet.
        outcome.replies.iter_mut().for_each(|reply| reply.booked = [Tokens::ZERO; 2]);
        Ok(outcome)
    }

    fn bytes(&self, key: &Key) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.counters.get(key)?.encode(&mut bytes);
        (!bytes.is_empty()).then_some(bytes)
    }
}

async fn compare(
    client: &mut impl Client,
    model: &mut Model,
    now: Timestamp,
    checks: &[Check],
    msetex: bool,
) -> Vec<Result<Outcome, Undecided>> {
    let packed = pack(checks.iter().map(|check| &**check), msetex);
    let answer = client.call(&packed, now).await;
    let answer = unpack(&answer, checks.iter().map(|check| &**check)).expect("a readable answer");
    let Answer::Decided { now: answered, checks: decided, .. } = answer else {
        panic!("late without a deadline");
    };
    assert_eq!(answered, now);
    for (check, decided) in checks.iter().zip(&decided) {
        let expected = model.decide(check, now);
        assert_eq!(*decided, expected, "at {now} of {check:?}");
    }
    decided
}

async fn compare_bytes(client: &mut impl Client, model: &Model, keys: &[Key]) {
    for (key, stored) in keys.iter().zip(client.get(keys).await) {
        if model.spoilt != Some(*key) {
            assert_eq!(stored, model.bytes(key), "the bytes of {key:?}");
        }
    }
}

/// One trace of a few hundred steps over a few counters.
async fn run_trace(client: &mut impl Client, seed: u64, steps: u64) {
    let _running = Running(seed);
    let (mut trace, mut rng) = (Trace::new(seed), Rng::with_seed(!seed));
    let (mut model, keys) = (Model::default(), trace.keys());
    for _ in 0..steps {
        let (now, checks) = trace.step();
        if rng.u32(0..50) == 0 {
            let key = keys[rng.usize(0..keys.len())];
            client.set(&key, Some(spoilt(&mut rng))).await;
            model.spoilt = Some(key);
        }
        let decided = compare(client, &mut model, now, &checks, rng.bool()).await;
        compare_bytes(client, &model, &keys).await;
        if let Some(key) = model.spoilt.take() {
            client.set(&key, model.bytes(&key).as_deref()).await;
        }
        for (check, outcome) in checks.iter().zip(&decided) {
            if let Ok(outcome) = outcome {
                trace.learn(check, outcome);
            }
        }
    }
}

/// Bytes that no version of this script wrote.
fn spoilt(rng: &mut Rng) -> &'static [u8] {
    const ZEROS: &[u8] = &[0; 40];
    match rng.u32(0..6) {
        0 => b"\x15\x00",
        1 => b"\x21\x00aaaaaaaabbbbbbbb",
        2 => b"\x11\x00aaaaaaaabbbbbbb",
        3 => b"\x13\x02aaaaaaaabbbbbbbb",
        4 => b"x",
        _ => ZEROS,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

#[test]
fn the_script_is_the_twin_of_decide() {
    let server = ValkeyServer::start(&[]);
    runtime().block_on(async {
        let mut client = Redis::connect(&server).await;
        if let Some(seed) = number("SLUICEGATE_SEED") {
            return run_trace(&mut client, seed, TRACE_STEPS).await;
        }
        let steps = number("SLUICEGATE_VECTOR_STEPS").unwrap_or(STEPS);
        println!("{steps} steps in traces of {TRACE_STEPS}, seeds from 1");
        for seed in 1..=steps.div_ceil(TRACE_STEPS) {
            run_trace(&mut client, seed, TRACE_STEPS).await;
        }
    });
}

#[test]
fn another_client_sees_the_same() {
    let server = ValkeyServer::start(&[]);
    runtime().block_on(async {
        let mut client = Fred::connect(&server).await;
        for seed in 1_001..=1_004 {
            run_trace(&mut client, seed, TRACE_STEPS).await;
        }
    });
}

/// A check with one ask on one counter that all share.
fn one(terms: Terms, op: Op, tokens: u64) -> Check {
    let key = Key { partition: 7, hash: [9; 16] };
    let (tokens, horizon) = (Tokens::new(tokens), Micros::HOUR);
    vec![Ask { key, limit_id: 0, max_keys: 1, terms, op, tokens, shadow: false, horizon }].into()
}

#[test]
fn the_256th_hold_is_denied_and_the_257th_entry_joins() {
    let server = ValkeyServer::start(&[]);
    runtime().block_on(async {
        let mut client = Redis::connect(&server).await;
        let start = 1_800_000_000_000_000;
        for terms in [
            Terms::Concurrency { limit: Tokens::new(1_000) },
            Terms::SlidingWindow { limit: Tokens::new(1_000), window: Micros::MINUTE },
        ] {
            let mut model = Model::default();
            let mut denied = 0;
            for turn in 0..300 {
                let lasting = Micros::new(1_000_000 + turn * 10);
                let check = one(terms, Op::Hold { lasting, quantum: Micros::ZERO }, 1);
                let now = Timestamp::new(start + turn % 2);
                let key = check[0].key;
                let decided = compare(&mut client, &mut model, now, &[check], turn % 2 == 0).await;
                compare_bytes(&mut client, &model, &[key]).await;
                denied += u64::from(decided.iter().flatten().any(|outcome| !outcome.allowed));
            }
            assert!(denied > 0, "255 sums are the most");
            client.set(&Key { partition: 7, hash: [9; 16] }, None).await;
        }
        let mut model = Model::default();
        let wide = Terms::SlidingWindow { limit: Tokens::new(1_000_000), window: Micros::HOUR };
        let exact = Terms::SlidingWindow { limit: Tokens::new(64), window: Micros::HOUR };
        for turn in 0..400_u64 {
            // Settling is debt: the only way to more entries than the limit has tokens.
            let op = Op::Settle { end: Timestamp::ZERO, held: Tokens::ZERO };
            let tokens = if turn % 97 == 0 { (1 << 52) - 5 } else { 1 };
            let check = one(if turn % 50 == 49 { wide } else { exact }, op, tokens);
            let now = Timestamp::new(start + turn);
            let key = check[0].key;
            compare(&mut client, &mut model, now, &[check], true).await;
            compare_bytes(&mut client, &model, &[key]).await;
        }
    });
}
