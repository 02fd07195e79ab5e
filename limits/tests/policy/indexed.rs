//! What the index finds is what a scan of all limits finds, over random policies and requests.

use sluicegate_limits::explain::explain;
use sluicegate_limits::time::Timestamp;

use crate::{policy, request, secret};

const PATHS: [&str; 8] =
    ["/", "/a", "/a/b", "/a/{x}", "/{x}/b", "/a/**", "/*/b/**", "/a/b/c/d/e/f/g/h/i/j"];
const TARGETS: [&str; 9] = [
    "/",
    "/a",
    "/a/b",
    "/b/b",
    "/c/b/d",
    "/a/b/c/d/e/f/g/h/i/j",
    "/a/b/c/d/e/f/g/h/i/k",
    "/a%20b",
    "/z",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "*"];
const NAMES: [&str; 6] = ["tenant_id", "user_id", "plan", "endpoint", "headers.x-a", "claims.b"];
const VALUES: [&str; 4] = ["1", "2", "3", "4"];

fn pick<'a>(rng: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn test(rng: &mut fastrand::Rng) -> String {
    let name = pick(rng, &["tenant_id", "user_id", "plan", "headers[\"x-a\"]", "claims.b"]);
    let (a, b) = (pick(rng, &VALUES), pick(rng, &VALUES));
    match rng.u32(..7) {
        0..3 => format!("{name} == \"{a}\""),
        3 => format!("{name} in [\"{a}\", \"{b}\"]"),
        4 => format!("{name} != \"{a}\""),
        5 => format!("(has({name}) || {name} == \"{b}\")"),
        _ => "endpoint == \"GET /a/{x}\"".to_owned(),
    }
}

fn limit(rng: &mut fastrand::Rng) -> String {
    let mut lines = vec!["limit: 5, window: 1m".to_owned()];
    if rng.u32(..3) > 0 {
        let pattern =
            |rng: &mut fastrand::Rng| format!("\"{} {}\"", pick(rng, &METHODS), pick(rng, &PATHS));
        lines.push(format!("match: [{}, {}]", pattern(rng), pattern(rng)));
    }
    if rng.bool() {
        let tests: Vec<_> = (0..rng.u32(1..4)).map(|_| test(rng)).collect();
        lines.push(format!("when: '{}'", tests.join(" && ")));
    }
    let mut key: Vec<&str> = NAMES.into_iter().filter(|_| rng.u32(..4) == 0).collect();
    rng.shuffle(&mut key);
    if !key.is_empty() {
        lines.push(format!("key: [{}]", key.join(", ")));
        lines.push(format!("missing_key: {}", pick(rng, &["skip", "together", "deny"])));
    }
    // In shadow, a missing key makes no request invalid.
    lines.push(format!("mode: {}", if rng.u32(..8) == 0 { "disabled" } else { "shadow" }));
    format!("{{{}}}", lines.join(", "))
}

#[test]
fn random_policies_apply_the_same_limits_by_index_and_by_scan() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut applied = 0;
    for _ in 0..200 {
        let limits: String =
            (0..rng.u32(1..40)).map(|n| format!("  l{n}: {}\n", limit(&mut rng))).collect();
        let text = format!(
            "endpoint_costs: {{\"GET /a/{{x}}\": 2, \"* /a/**\": 3}}\nplans: {{\"1\": {{}}}}\n\
             tenants: {{\"1\": {{plan: \"1\"}}, \"2\": {{}}}}\nrate_limits:\n{limits}"
        );
        let policy = policy(&text);
        for _ in 0..50 {
            let mut facts = Vec::new();
            if rng.u32(..5) > 0 {
                facts.push(("path", pick(&mut rng, &TARGETS)));
            }
            if rng.u32(..5) > 0 {
                facts.push(("method", pick(&mut rng, &["GET", "HEAD", "POST", "PUT"])));
            }
            facts.extend(NAMES.into_iter().filter(|_| rng.bool()).map(|name| (name, "")));
            for (_, value) in facts.iter_mut().filter(|(_, value)| value.is_empty()) {
                *value = pick(&mut rng, &VALUES);
            }
            let facts = request(&facts);
            let charges = policy.charges(&facts, None, &secret(), Timestamp::ZERO).unwrap();
            let indexed: Vec<&str> = charges.iter().map(|charge| &*charge.limit.name).collect();
            // An explanation asks every limit.
            let explained = explain(&policy, &facts, None, Timestamp::ZERO).limits;
            let scanned: Vec<&str> =
                explained.iter().filter(|l| l.applies).map(|l| l.name.as_str()).collect();
            assert_eq!(indexed, scanned, "{text}\n{:?}", facts.iter().collect::<Vec<_>>());
            applied += indexed.len();
        }
    }
    assert!(applied > 10_000, "{applied} charges are too few to say much");
}
