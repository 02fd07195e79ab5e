//! Random conditions: whatever is written as `when` compiles or says why not, and means what it
//! prints.

use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::explain::explain;
use sluicegate_limits::time::Timestamp;

use crate::{compile, secret};

const NAMES: [&str; 9] = [
    "plan",
    "country",
    "user_id",
    "path",
    "endpoint",
    "cost",
    "authenticated",
    "claims.risk",
    "headers[\"x-a\"]",
];
const VALUES: [&str; 12] = [
    "\"free\"",
    "'ES'",
    "\"/v1/a\"",
    "\"GET /a\"",
    "70",
    "0.50",
    "-3",
    "true",
    "\"\\u0041\\\\\"",
    "\"(((\"",
    "1e3",
    "\"\"",
];
/// Pieces that the syntax gives a meaning to, or once did to somebody.
const PIECES: [&str; 32] = [
    " ", "\n", "(", ")", "[", "]", "{", "}", ",", ".", "!", "-", "?", ":", "&&", "||", "==", "!=",
    "<", ">=", " in ", "//", "\"", "'", "\\", "`", "r\"", "b'", "\"\"\"", "@", "\u{0}", "é",
];

fn pick<'a>(rng: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

/// Something that is mostly a condition.
fn phrase(rng: &mut fastrand::Rng, depth: u32) -> String {
    let name = pick(rng, &NAMES);
    let (a, b) = (pick(rng, &VALUES), pick(rng, &VALUES));
    let mut part = || phrase(rng, depth.saturating_sub(1));
    if depth > 0 {
        let (one, other) = (part(), part());
        return match rng.u8(..5) {
            0 => format!("{one} && {other}"),
            1 => format!("({one} || {other})"),
            2 => format!("!({one}) && {other}"),
            3 => format!("({one}) || !!{other}"),
            _ => one,
        };
    }
    match rng.u8(..8) {
        0 => format!("has({name})"),
        1 => format!("{name} in [{a}, {b}]"),
        2 => format!("{name}.startsWith({a})"),
        3 => format!("{name}.endsWith({a})"),
        4 => format!("{name} {} {a}", pick(rng, &["<", "<=", ">", ">="])),
        5 => name.to_owned(),
        _ => format!("{name} {} {a}", pick(rng, &["==", "!="])),
    }
}

fn file(when: &str) -> String {
    let when = serde_json::to_string(when).unwrap();
    format!("rate_limits:\n  a:\n    when: {when}\n    limit: 5\n    window: 1m\n    cost: 1\n")
}

#[test]
fn forty_thousand_random_conditions_compile_or_say_why_not() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..40_000 {
        let depth = rng.u32(..4);
        let mut when = phrase(&mut rng, depth);
        for _ in 0..rng.usize(..5).saturating_sub(2) {
            let places: Vec<_> = when.char_indices().map(|(at, _)| at).collect();
            let at = places[rng.usize(..places.len())];
            let times = if rng.u8(..10) == 0 { rng.usize(..1_000) } else { 1 };
            when.insert_str(at, &pick(&mut rng, &PIECES).repeat(times));
        }
        match compile(&file(&when)) {
            Ok(compiled) => {
                means_what_it_prints(&compiled.policy, &when, &mut rng);
                good += 1;
            }
            Err(problems) => {
                for problem in problems {
                    assert!(problem.line == 3 && problem.column >= 11, "{when}\n{problem}");
                    assert!(!problem.message.is_empty(), "{when}");
                }
                bad += 1;
            }
        }
    }
    assert!(good > 2_000 && bad > 2_000, "{good} good, {bad} bad: they say little");
}

/// The printed condition is the same one, the index finds what a scan finds, and no request makes
/// it fail.
fn means_what_it_prints(
    policy: &sluicegate_limits::policy::Policy,
    when: &str,
    rng: &mut fastrand::Rng,
) {
    let condition = policy.limits()[0].condition.as_ref().unwrap();
    let printed = condition.to_string();
    // Escapes make it longer than a condition may be.
    if printed.len() > 4_096 {
        return;
    }
    let again = compile(&file(&printed)).unwrap_or_else(|problems| {
        panic!("{when}\nprints\n{printed}\n{problems:#?}");
    });
    assert_eq!(again.policy.limits()[0].condition.as_ref(), Some(condition), "{when}\n{printed}");
    let mut facts = AttributesBuilder::new();
    for name in ["plan", "country", "user_id", "cost", "claims.risk", "headers.x-a"] {
        let values = ["", "free", "ES", "70", "0.5", "-3", "true", "A\\", "/v1/a"];
        facts.set(name, pick(rng, &values)).unwrap();
    }
    facts.set("path", pick(rng, &["", "/", "/v1/a", "/GET"])).unwrap();
    let facts = facts.finish();
    let charges = policy.charges(&facts, None, &secret(), Timestamp::ZERO).unwrap();
    let explained = explain(policy, &facts, None, Timestamp::ZERO).limits;
    assert_eq!(charges.len() == 1, explained[0].applies, "{when}");
}
