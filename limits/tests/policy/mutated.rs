//! No bytes, however broken, make the compiler panic or answer without a place.

use sluicegate_limits::cases::Suite;
use sluicegate_limits::policy::lint::{Service, Surroundings};
use sluicegate_limits::policy::{Policy, Problem, Severity, SourceFile};
use sluicegate_limits::time::Timestamp;

use crate::{example_cases, examples, policy};

/// Pieces that YAML and the language give a meaning to.
const PIECES: &[&str] = &[
    "\t",
    "\n",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!int ",
    "---\n",
    "...\n",
    "|\n",
    ">\n",
    "<<: ",
    "? ",
    "'",
    "\"",
    "#",
    "%",
    "0x10",
    "99999999999999999999",
    "1ms",
    "366d",
    "~",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "rate_limits:\n",
    "limit: 0\n",
    "**",
    "%2f",
    "algorithm: calendar\n    period: month\n    ",
    "algorithm: concurrency\n    hold: 5m\n    ",
    "timezone: Europe/Madrid\n    ",
    "starts_on: 31\n    ",
    "alert_at: [80%]\n    ",
    "was: old\n    ",
    "cost: { of: request_size, missing: 5 }\n    ",
    "missing_key: together\n    ",
    "penalty: { after: 1, within: 1m, block: 1m }\n    ",
];

#[test]
fn twenty_thousand_mutated_files_compile_or_say_why_not() {
    let mut rng = seeded();
    let examples = examples();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let compiled = mutated(&examples, &mut rng)
            .and_then(|file| Policy::compile(std::slice::from_ref(&file)));
        match compiled {
            Ok(compiled) => {
                let service = Some(Service::default());
                for problem in compiled.lints(&Surroundings { now: Timestamp::MAX, service }) {
                    assert!(problem.line >= 1 && problem.column >= 1, "{problem}");
                    assert_eq!(problem.severity, Severity::Warning, "{problem}");
                }
                good += 1;
            }
            Err(problems) => bad += told(&problems),
        }
    }
    assert!(good > 1_000 && bad > 1_000, "{good} good, {bad} bad: the mutations are too tame");
}

#[test]
fn ten_thousand_mutated_case_files_run_or_say_why_not() {
    let mut rng = seeded();
    let quickstart = include_str!("../../examples/quickstart.yaml");
    let policy = policy(quickstart);
    let examples: Vec<_> = example_cases()
        .into_iter()
        .filter(|(name, _)| name.ends_with("quickstart.test.yaml"))
        .collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..10_000 {
        match mutated(&examples, &mut rng).and_then(|file| Suite::read(&file, Some(&policy))) {
            Ok(suite) => {
                for case in suite.cases.iter().filter(|case| case.requests() < 10_000) {
                    // Whether it passes is not the question.
                    let _ = case.run(&policy, &mut |_| {});
                }
                good += 1;
            }
            Err(problems) => bad += told(&problems),
        }
    }
    assert!(good > 200 && bad > 1_000, "{good} good, {bad} bad: the mutations are too tame");
}

fn seeded() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// One of the examples with a few mutations.
fn mutated(
    examples: &[(String, String)],
    rng: &mut fastrand::Rng,
) -> Result<SourceFile, Vec<Problem>> {
    let mut bytes = examples[rng.usize(..examples.len())].1.clone().into_bytes();
    for _ in 0..rng.usize(1..6) {
        mutate(&mut bytes, rng);
    }
    SourceFile::from_bytes("m.yaml".into(), bytes).map_err(|problem| vec![problem])
}

/// Each problem has a place and says something.
fn told(problems: &[Problem]) -> u32 {
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(problem.line >= 1 && problem.column >= 1, "{problem}");
        assert!(!problem.message.is_empty() && problem.file == "m.yaml");
    }
    1
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let at = rng.usize(..=bytes.len());
    let end = (at + rng.usize(..40)).min(bytes.len());
    match rng.u8(..7) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.insert(at, rng.u8(..)),
        3 => drop(bytes.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = rng.usize(..=bytes.len());
            drop(bytes.splice(to..to, copy));
        }
        5 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *rng.choice(b"0123456789abcxyz _-:'\"{}[]*&#\n").unwrap();
            }
        }
    }
}
