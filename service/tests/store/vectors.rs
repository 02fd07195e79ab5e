//! The script against `limits::decide`: the same trace, verdicts and stored bytes after each step.
//!
//! `SLUICEGATE_SEED=N` repeats a failure, `SLUICEGATE_VECTOR_STEPS=N` runs longer.

mod client;
mod large;
mod seen;

use client::{Client, Fred, Redis};
use fastrand::Rng;
use seen::{COUNTERS, RECORDS, Seen};
use sluicegate::store::valkey::packing::{
    Answer, Undecided, counter_key, pack, record_key, unpack,
};
use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Plain, Stale, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::trace::Trace;
use crate::valkey::ValkeyServer;

const STEPS: u64 = 40_000;
const TRACE_STEPS: u64 = 500;

/// Says which trace failed when a comparison panics.
struct Running(u64);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the trace of SLUICEGATE_SEED={} failed", self.0);
        }
    }
}

/// Counters and records as `limits` keeps them, and the key in the store whose bytes were spoilt.
#[derive(Default)]
struct Model {
    plain: Plain,
    spoilt: Option<Vec<u8>>,
}

impl Model {
    fn decide(&mut self, check: &Check, now: Timestamp) -> Result<Outcome, Undecided> {
        if check.iter().any(|ask| ask.terms.is_stale(now)) {
            return Err(Undecided::Stale);
        }
        let mut keys: Vec<_> = check.iter().map(|ask| counter_key(&ask.key)).collect();
        keys.extend(check.once.iter().map(|once| record_key(&once.id)));
        if let Some(ask) = keys.iter().position(|key| Some(key) == self.spoilt.as_ref()) {
            return Err(Undecided::BadState { ask });
        }
        decide(&mut self.plain, check, now).map_err(|Stale| Undecided::Stale)
    }

    /// What the store has under the keys of these counters and records.
    fn expected(&self, counters: &[Key], records: &[Key]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let counter = |key| {
            let mut bytes = Vec::new();
            if let Some(counter) = self.plain.counters.get(key) {
                counter.encode(&mut bytes);
            }
            (counter_key(key), Some(bytes).filter(|bytes| !bytes.is_empty()))
        };
        let record = |key| {
            let record = self.plain.records.get(key).and_then(Option::as_ref);
            (record_key(key), record.map(|record| record.as_bytes().to_vec()))
        };
        counters.iter().map(counter).chain(records.iter().map(record)).collect()
    }
}

async fn compare(
    client: &mut impl Client,
    model: &mut Model,
    now: Timestamp,
    checks: &[Check],
    msetex: bool,
) -> Vec<Result<Outcome, Undecided>> {
    let packed = pack(checks.iter(), msetex);
    let answer = client.call(&packed, now).await;
    let answer = unpack(&answer, checks.iter()).expect("a readable answer");
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

async fn compare_bytes(client: &mut impl Client, model: &Model, counters: &[Key], ids: &[Key]) {
    let expected = model.expected(counters, ids);
    let keys: Vec<_> = expected.iter().map(|(key, _)| key.clone()).collect();
    for ((key, expected), stored) in expected.into_iter().zip(client.get(&keys).await) {
        if model.spoilt.as_ref() != Some(&key) {
            assert_eq!(stored, expected, "the bytes of {key:?}");
        }
    }
}

/// One trace of a few hundred steps over a few counters.
async fn run_trace(client: &mut impl Client, seed: u64, steps: u64, seen: &mut Seen) {
    let _running = Running(seed);
    let (mut trace, mut rng) = (Trace::new(seed), Rng::with_seed(!seed));
    let (mut model, counters) = (Model::default(), trace.keys());
    for _ in 0..steps {
        let (now, checks) = trace.step();
        let ids = trace.ids();
        let spoilt = (rng.u32(0..50) == 0).then(|| {
            let all = model.expected(&counters, &ids);
            all[rng.usize(0..all.len())].clone()
        });
        if let Some((key, _)) = &spoilt {
            let counter = rng.choice(COUNTERS).copied().unwrap_or(b"");
            let record = rng.choice(RECORDS).copied().unwrap_or(b"");
            let is_counter = counters.iter().any(|counter| counter_key(counter) == *key);
            client.set(key, Some(if is_counter { counter } else { record })).await;
            model.spoilt = Some(key.clone());
        }
        let decided = compare(client, &mut model, now, &checks, rng.bool()).await;
        compare_bytes(client, &model, &counters, &ids).await;
        if let Some((key, bytes)) = spoilt {
            client.set(&key, bytes.as_deref()).await;
            model.spoilt = None;
        }
        for (check, outcome) in checks.iter().zip(&decided) {
            if let Ok(outcome) = outcome {
                seen.count(check, outcome);
                trace.learn(check, outcome);
            }
        }
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
        let mut seen = Seen::default();
        if let Some(seed) = number("SLUICEGATE_SEED") {
            return run_trace(&mut client, seed, TRACE_STEPS, &mut seen).await;
        }
        let steps = number("SLUICEGATE_VECTOR_STEPS").unwrap_or(STEPS);
        println!("{steps} steps in traces of {TRACE_STEPS}, seeds from 1");
        for seed in 1..=steps.div_ceil(TRACE_STEPS) {
            run_trace(&mut client, seed, TRACE_STEPS, &mut seen).await;
        }
        println!("{seen:?}");
        assert!(seen.rarest() > steps / 100, "the traces no longer do everything");
    });
}

#[test]
fn another_client_sees_the_same() {
    let server = ValkeyServer::start(&[]);
    runtime().block_on(async {
        let mut client = Fred::connect(&server).await;
        for seed in 1_001..=1_004 {
            run_trace(&mut client, seed, TRACE_STEPS, &mut Seen::default()).await;
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
                compare_bytes(&mut client, &model, &[key], &[]).await;
                denied += u64::from(decided.iter().flatten().any(|outcome| !outcome.allowed));
            }
            assert!(denied > 0, "255 sums are the most");
            client.set(&counter_key(&Key { partition: 7, hash: [9; 16] }), None).await;
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
            compare_bytes(&mut client, &model, &[key], &[]).await;
        }
    });
}
