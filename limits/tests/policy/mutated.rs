//! No bytes, however broken, make the compiler panic or answer without a place.

use sluicegate_limits::policy::{Policy, SourceFile};

use crate::examples;

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
];

#[test]
fn twenty_thousand_mutated_files_compile_or_say_why_not() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let examples: Vec<Vec<u8>> =
        examples().into_iter().map(|(_, text)| text.into_bytes()).collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = examples[rng.usize(..examples.len())].clone();
        for _ in 0..rng.usize(1..6) {
            mutate(&mut bytes, &mut rng);
        }
        let file = match SourceFile::from_bytes("m.yaml".into(), bytes) {
            Ok(file) => file,
            Err(problem) => {
                assert!(problem.line >= 1 && problem.column >= 1);
                bad += 1;
                continue;
            }
        };
        match Policy::compile(std::slice::from_ref(&file)) {
            Ok(_) => good += 1,
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in &problems {
                    assert!(problem.line >= 1 && problem.column >= 1, "{problem}");
                    assert!(!problem.message.is_empty() && problem.file == "m.yaml");
                }
                bad += 1;
            }
        }
    }
    assert!(good > 1_000 && bad > 1_000, "{good} good, {bad} bad: the mutations are too tame");
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
