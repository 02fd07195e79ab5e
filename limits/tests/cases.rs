//! Runs every file of `cases/verdicts/`: a policy, requests at instants of virtual time, and
//! the verdicts that they must get.
//!
//! A step may be repeated (`times`); each repetition must get the same verdict. Time begins at a
//! midnight (UTC), so that the edges of fixed windows are at whole offsets.

#![cfg(test)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Key, decide};
use sluicegate_limits::policy::{Mode, Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::Verdict;

/// 2023-11-14, midnight.
const START: Timestamp = Timestamp::new(1_699_920_000_000_000);

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows.
    about: String,
    /// The limits, or the path of an example.
    policy: Option<String>,
    example: Option<String>,
    steps: Vec<Step>,
}

/// A request, how often, and what it must get.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Milliseconds since the start.
    at_ms: u64,
    #[serde(default = "one")]
    times: u32,
    #[serde(default)]
    request: BTreeMap<String, String>,
    cost: Option<u64>,
    expect: Expect,
}

/// What is left out is not compared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    allowed: bool,
    /// The limit that binds; `none` where no limit applies.
    limit_name: Option<String>,
    reason: Option<String>,
    remaining: Option<u64>,
    /// A number of milliseconds, or `never`.
    retry_after_ms: Option<String>,
    /// The limits that apply, in order.
    limits: Option<Vec<String>>,
    /// The shadow limits that would deny.
    would_deny: Option<Vec<String>>,
}

fn one() -> u32 {
    1
}

#[test]
fn every_case_gets_its_verdicts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/verdicts");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "cases are missing");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let case: Case = match serde_saphyr::from_str(&text) {
            Ok(case) => case,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        run(&case, &file.display().to_string());
    }
}

fn run(case: &Case, file: &str) {
    let policy = policy(case, file);
    let secret = KeySecret::new(&[9; 32]).unwrap();
    let mut counters: HashMap<Key, Counter> = HashMap::new();
    for (number, step) in case.steps.iter().enumerate() {
        let now = START.after(Micros::new(step.at_ms * 1_000));
        let facts = facts(&step.request);
        for time in 0..step.times {
            let charges = policy.charges(&facts, step.cost.map(Tokens::new), &secret, now);
            let check = charges.iter().map(|charge| charge.ask(Op::Take)).collect();
            let outcome = decide(&mut counters, &check, now).unwrap();
            let verdict = Verdict::of(&charges, &outcome.replies);
            assert_eq!(verdict.allowed, outcome.allowed);
            let place = format!("{file}: {}: step {}, time {}", case.about, number + 1, time + 1);
            compare(&step.expect, &verdict, &place);
        }
    }
}

fn policy(case: &Case, file: &str) -> Policy {
    let (name, text) = match (&case.policy, &case.example) {
        (Some(text), None) => (file.to_owned(), text.clone()),
        (None, Some(example)) => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
            (example.clone(), std::fs::read_to_string(folder.join(example)).unwrap())
        }
        _ => panic!("{file}: either `policy` or `example`"),
    };
    match Policy::compile(&[SourceFile { name, text }]) {
        Ok(compiled) => compiled.policy,
        Err(problems) => panic!("{file}: {problems:#?}"),
    }
}

fn facts(request: &BTreeMap<String, String>) -> Attributes {
    let mut builder = AttributesBuilder::new();
    for (name, value) in request {
        builder.set(name, value).unwrap();
    }
    builder.finish()
}

fn compare(expect: &Expect, verdict: &Verdict, place: &str) {
    let names = |which: &dyn Fn(Mode, bool) -> bool| -> Vec<String> {
        let limits = verdict.limits.iter().filter(|limit| which(limit.mode, limit.allowed));
        limits.map(|limit| limit.name.to_string()).collect()
    };
    assert_eq!(verdict.allowed, expect.allowed, "allowed, {place}");
    if let Some(name) = &expect.limit_name {
        assert_eq!(verdict.limit_name().unwrap_or("none"), name, "limit_name, {place}");
    }
    if let Some(reason) = &expect.reason {
        assert_eq!(&verdict.reason_text, reason, "reason, {place}");
    }
    if let Some(remaining) = expect.remaining {
        assert_eq!(verdict.remaining().map(Tokens::get), Some(remaining), "remaining, {place}");
    }
    if let Some(wait) = &expect.retry_after_ms {
        let found = match verdict.retry_after() {
            Some(Wait::Never) => "never".to_owned(),
            Some(Wait::For(wait)) => wait.to_millis_up().to_string(),
            Some(Wait::None) => "0".to_owned(),
            None => "none".to_owned(),
        };
        assert_eq!(&found, wait, "retry_after_ms, {place}");
    }
    if let Some(limits) = &expect.limits {
        assert_eq!(&names(&|_, _| true), limits, "limits, {place}");
    }
    if let Some(would_deny) = &expect.would_deny {
        let found = names(&|mode, allowed| mode == Mode::Shadow && !allowed);
        assert_eq!(&found, would_deny, "would_deny, {place}");
    }
}
