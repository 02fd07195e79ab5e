//! `when`: what is refused and where, what holds, and the same against a second evaluator.

use sluicegate_limits::explain::explain;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::Timestamp;

use crate::{compile, policy, request, secret};

/// A policy of one limit with this condition, in single quotes.
fn limits(when: &str) -> String {
    let quoted = when.replace('\'', "''");
    format!("rate_limits:\n  a:\n    when: '{quoted}'\n    limit: 5\n    window: 1m\n")
}

fn applies(policy: &Policy, facts: &[(&str, &str)]) -> bool {
    !policy.charges(&request(facts), None, &secret(), Timestamp::ZERO).unwrap().is_empty()
}

fn why(policy: &Policy, facts: &[(&str, &str)]) -> String {
    explain(policy, &request(facts), None, Timestamp::ZERO).limits[0].why.clone()
}

/// The one error of a condition: the column within it, from 1, its message and its help.
fn refused(when: &str) -> (u32, String, String) {
    let problems = compile(&limits(when)).expect_err(when);
    assert_eq!(problems.len(), 1, "{when}\n{problems:#?}");
    assert_eq!(problems[0].line, 3, "{when}");
    let problem = problems.into_iter().next().unwrap();
    // `    when: '` is before it.
    (problem.column - 11, problem.message, problem.help.unwrap_or_default())
}

/// A condition, the column of what is wrong in it, what is said, and a part of the hint.
const MISTAKES: &[(&str, u32, &str, &str)] = &[
    ("country = \"XX\"", 9, "`=` is not understood here", "did you mean `==`?"),
    ("country == \"XX\" and cost > 1", 17, "`and` is not understood here", "did you mean `&&`?"),
    ("not authenticated", 1, "`not` is not understood here", "did you mean `!`?"),
    ("country <> \"XX\"", 9, "`<>` is not understood here", "did you mean `!=`?"),
    ("country == \"XX", 12, "a text that does not end, or has an unknown escape", "close"),
    ("country == ", 11, "the condition ends too early", "a part is missing"),
    ("(country == \"XX\"", 17, "the condition ends too early", "a `)`"),
    ("country == \"xx\"", 12, "`country` is never \"xx\"", "did you mean \"XX\"?"),
    ("method == \"get\"", 11, "`method` is never \"get\"", "did you mean \"GET\"?"),
    ("country < 3", 11, "`country` is a text, and this is a number", "in quotes"),
    ("country < \"b\"", 11, "`<` compares numbers", "=="),
    ("!(country < \"b\")", 13, "`<` compares numbers", "=="),
    ("cost == \"3\"", 9, "`cost` is a number, and this is a text", "without quotes"),
    ("authenticated == 1", 18, "`authenticated` is true or false, and this is a number", "true"),
    ("tenant_id == 42", 14, "`tenant_id` is a text, and this is a number", "in quotes"),
    ("path.beginsWith(\"/v1\")", 6, "there is no function `beginsWith`", "has, startsWith"),
    ("path.startWith(\"/v1\")", 6, "there is no function `startWith`", "`startsWith`?"),
    ("has(user_id, tenant_id)", 1, "`has` is used in another way", "has(user_id)"),
    ("cost + 1 > 2", 6, "`+` is not part of the language", "startsWith"),
    ("cost % 2 == 0", 6, "`%` is not part of the language", "startsWith"),
    ("authenticated ? has(plan) : has(cost)", 15, "`?` is not part of the language", "startsWith"),
    ("user_id == tenant_id", 12, "two attributes cannot be compared", "a text or a number"),
    ("has(plan) == has(user_id)", 1, "`has` is used in another way", "has(user_id)"),
    ("plan == \"a\" == true", 6, "`==` cannot stand here", "compare one attribute"),
    ("1 == 1", 1, "two values are compared", "an attribute"),
    ("true", 1, "a value is not a condition", "plan == \"free\""),
    ("country", 1, "`country` is not true or false", "has(country)"),
    ("country in \"XX\"", 12, "`in` needs a list of values", "brackets"),
    ("country in []", 12, "an empty list: nothing is in it", "at least one"),
    ("claims.a in [1, \"b\"]", 13, "texts and numbers in one list", "one or the other"),
    ("headers == \"a\"", 1, "`headers` is a family of attributes", "headers.NAME"),
    ("user_id == \"\"", 12, "an empty text: no attribute is ever empty", "!has"),
    ("claims.a == null", 13, "`null` is not a value", "a number"),
    ("claims.a > 1e3", 12, "`1e3` is not a plain number", "a point"),
    ("claims.a > 0x10", 12, "`0x10` is not a plain number", "a point"),
    ("claims.a > 99999999999999999999", 12, "`99999999999999999999` is not a number that fits", ""),
    (
        "ip_address == \"2001:db8::/64\"",
        15,
        "`ip_address` is never \"2001:db8::/64\"",
        "IPv6 address",
    ),
    ("ip_address == \"10.0.0.256\"", 15, "`ip_address` is never \"10.0.0.256\"", "IPv4"),
    ("path == \"v1/a\"", 9, "`path` is never \"v1/a\"", "begins with `/`"),
    ("path == \"/a%zz\"", 9, "`path` is never \"/a%zz\"", "two hexadecimal digits"),
    ("path.startsWith(\"v1\")", 17, "`path` is never so: \"v1\"", "begins with `/`"),
    ("endpoint == \"/a\"", 13, "`endpoint` is never \"/a\"", "endpoint_costs"),
    (
        "has(user_id) && r\"a\" == plan",
        18,
        "bytes, raw texts and triple quotes are not used",
        "plain",
    ),
    ("((((((((( has(plan) )))))))))", 9, "brackets are nested too deep", "8 levels"),
    ("has(plan) @ has(cost)", 11, "`@` is not understood here", "as in"),
];

#[test]
fn a_mistake_is_placed_at_the_very_spot_and_says_what_was_meant() {
    for (when, column, message, help) in MISTAKES {
        let (at, said, hint) = refused(when);
        assert_eq!((at, &*said), (*column, *message), "{when}");
        assert!(hint.contains(help), "{when}: {hint}");
    }
}

#[test]
fn what_the_parser_takes_for_no_text_hides_nothing_from_the_bounds() {
    let many = |unit: &str| unit.repeat(600);
    for (before, said) in [
        ("has(plan) // \\\"\\n && ", None),
        ("has(plan) // '\\n && ", None),
        ("plan == '\\\\q && ", Some("a text that does not end, or has an unknown escape")),
        ("plan == '\\\\x4 && ", Some("a text that does not end, or has an unknown escape")),
        ("plan == '\\\\u123 && ", Some("a text that does not end, or has an unknown escape")),
        ("plan == '\\\\09 && ", Some("a text that does not end, or has an unknown escape")),
        ("plan == '\\n && ", Some("a text that does not end, or has an unknown escape")),
    ] {
        for (rest, too_much) in [
            ("(".repeat(9), "brackets are nested too deep"),
            (many("!-"), "more than 512 operators"),
        ] {
            let when = format!("\"{before}{rest}a\"");
            let text = limits("X").replace("'X'", &when);
            let problems = compile(&text).unwrap_err();
            assert_eq!(problems[0].message, said.unwrap_or(too_much), "{when}");
        }
    }
    let said = refused(r#"plan == "\x41\u00e9\U0001F600\101\n\\" && country < 3"#);
    assert_eq!(said.1, refused("country < 3").1, "known escapes are fine");
}

#[test]
fn every_style_of_scalar_keeps_the_place() {
    let place = |when: &str| {
        let text = format!("rate_limits:\n  a:\n    when: {when}\n    limit: 5\n    window: 1m\n");
        let problems = compile(&text).unwrap_err();
        (problems[0].line, problems[0].column)
    };
    assert_eq!(place("country < 3"), (3, 21));
    assert_eq!(place("'plan == ''é'' && country < 3'"), (3, 39));
    assert_eq!(place("\"plan == \\\"\\u00e9\\\" && country < 3\""), (3, 44));
    assert_eq!(place("|\n      has(plan) &&\n        country < 3"), (5, 19));
    assert_eq!(place("&x \"country < 3\""), (3, 25));
}

#[test]
fn what_no_door_brings_is_warned_of_as_in_a_key() {
    let warnings = compile(&limits("contry == \"ES\" || claim.tier == \"a\"")).unwrap().warnings;
    let said: Vec<_> =
        warnings.iter().map(|w| (w.code, w.column, w.help.clone().unwrap())).collect();
    assert_eq!(
        said,
        [
            ("unmapped_attribute", 12, "did you mean `country`?".to_owned()),
            ("unmapped_attribute", 30, "did you mean `claims.…`?".to_owned()),
        ]
    );
}

#[test]
fn literals_are_compared_in_the_form_of_the_attribute() {
    for (when, name, value) in [
        ("host == \"API.Example:8443\"", "host", "api.example"),
        ("host.endsWith(\".EXAMPLE\")", "host", "api.example"),
        ("path == \"/v1//a/\"", "path", "/v1/%61"),
        ("ip_address == \"::ffff:10.0.0.1\"", "ip_address", "10.0.0.1"),
        ("ip_address == \"2001:DB8:0::7\"", "ip_address", "2001:db8::7"),
        ("ip_address == \"64:ff9b::8.8.8.8\"", "ip_address", "8.8.8.8"),
        ("ip_address in [\"10.0.0.1\", \"10.0.0.2\"]", "ip_address", "10.0.0.2"),
        ("headers[\"X-Team\"] == \"a\"", "headers.x-team", "a"),
        ("claims.a.b == \"\\u00e9\"", "claims.a.b", "é"),
        ("claims.n == 7", "claims.n", "007.0"),
        ("claims.n > -0.5", "claims.n", "-0.49"),
        ("claims.n in [0.1, 0.30]", "claims.n", "0.3"),
        ("0.1 < claims.n", "claims.n", "0.100000000000000000000000000000000000000000001"),
        ("claims.admin", "claims.admin", "true"),
    ] {
        let policy = policy(&limits(when));
        assert!(applies(&policy, &[(name, value)]), "{when}: {value}");
        assert!(!applies(&policy, &[(name, other(value))]), "{when}: {}", other(value));
    }
}

/// A value that no condition above takes.
fn other(value: &str) -> &'static str {
    match value {
        "true" => "false",
        _ if value.starts_with('/') => "/other",
        _ if value.parse::<std::net::IpAddr>().is_ok() => "192.0.2.1",
        "-0.49" => "-0.51",
        _ if value.starts_with('0') => "0.05",
        _ => "other",
    }
}

#[test]
fn what_is_missing_or_malformed_holds_both_ways_and_has_is_definite() {
    let both = ["claims.risk <= 70", "!(claims.risk <= 70)", "claims.risk in [1, 2]"];
    for when in both.into_iter().chain(["claims.risk == true", "!claims.risk"]) {
        let policy = policy(&limits(when));
        for facts in [&[][..], &[("claims.risk", "high")]] {
            assert!(applies(&policy, facts), "{when}: {facts:?}");
        }
    }
    for when in ["country == \"ES\"", "!country.startsWith(\"E\")", "country in [\"ES\"]"] {
        assert!(applies(&policy(&limits(when)), &[]), "{when}");
    }
    assert!(!applies(&policy(&limits("has(country)")), &[]));
    assert!(applies(&policy(&limits("!has(country)")), &[]));
    for when in ["path == \"/a\"", "path != \"/a\"", "!path.startsWith(\"/a\")"] {
        assert!(applies(&policy(&limits(when)), &[]), "{when}: there is no path");
    }
}

#[test]
fn the_endpoint_is_the_one_of_the_policy_and_the_cost_the_one_that_is_stated() {
    let text = "endpoint_costs: { \"POST /v1/{x}\": 5 }\n".to_owned();
    let by_endpoint = policy(&(text + &limits("endpoint == \"POST /v1/{x}\"")));
    let facts = [("method", "POST"), ("path", "/v1/a"), ("endpoint", "GET /other")];
    assert!(applies(&by_endpoint, &facts));
    let by_cost = policy(&limits("cost > 10"));
    let stated = |tokens| {
        let cost = Some(sluicegate_limits::time::Tokens::new(tokens));
        by_cost
            .charges(&request(&[("cost", "11")]), cost, &secret(), Timestamp::ZERO)
            .unwrap()
            .len()
    };
    assert_eq!((stated(10), stated(11)), (0, 1));
    assert!(applies(&by_cost, &[("cost", "11")]));
    assert!(!applies(&by_cost, &[("cost", "10")]));
}

#[test]
fn unauthenticated_with_its_own_when_is_a_limit_like_any_other() {
    let text =
        |when: &str| format!("rate_limits: {{unauthenticated: {{{when}limit: 5, window: 1m}}}}");
    let known = [("authenticated", "true"), ("plan", "free")];
    assert!(!applies(&policy(&text("")), &known));
    let own = policy(&text("when: plan == 'free', "));
    assert!(applies(&own, &known));
    assert!(!applies(&own, &[("plan", "paid")]));
    assert!(why(&own, &known).contains("its `when` holds: `plan == \"free\"`"));
}

#[test]
fn an_explanation_names_the_part_that_failed_and_what_was_missing() {
    let policy = policy(&limits(
        "country != \"XX\" && (plan == \"free\" || claims.risk > 70) && \
         method in [\"PUT\", \"GET\"]",
    ));
    let of = |facts| why(&policy, facts);
    assert_eq!(of(&[("country", "XX")]), "its `when` does not hold: `country != \"XX\"`");
    assert_eq!(
        of(&[("plan", "paid"), ("claims.risk", "70")]),
        "its `when` does not hold: `plan == \"free\" || claims.risk > 70`"
    );
    assert_eq!(
        of(&[("plan", "free"), ("claims.risk", "high"), ("method", "GET")]),
        "it has no match, so it is for every request; its `when` holds: `country != \"XX\" && \
         (plan == \"free\" || claims.risk > 70) && method in [\"GET\", \"PUT\"]` (`country` is \
         missing, so `country != \"XX\"` holds) (`claims.risk` is not a value that can be \
         compared so, so `claims.risk > 70` holds); it has no key: one counter for all"
    );
}

#[test]
fn equal_meaning_is_an_equal_revision() {
    let of = |when: &str| policy(&limits(when)).revision().to_owned();
    let first = of("plan == \"a\" && (cost > 1 || has(user_id))");
    for same in [
        "(has(user_id) || cost > 1.0) && \"a\" == plan",
        "!(plan != \"a\" || (cost <= 1 && !has(user_id)))",
        "plan in [\"a\", \"a\"] && (cost > 01 || has(user_id))",
    ] {
        assert_eq!(of(same), first, "{same}");
    }
    for other in ["plan == \"a\" && cost > 1", "plan == \"a\" || (cost > 1 || has(user_id))"] {
        assert_ne!(of(other), first, "{other}");
    }
}

/// Random conditions over a few attributes, with what they mean by the rules of the page.
mod model {
    use super::*;

    /// A condition as it was made: not lowered, negations where they stand.
    enum Made {
        Not(Box<Made>),
        And(Vec<Made>),
        Or(Vec<Made>),
        Has(&'static str),
        Test(&'static str, String, Eval, String),
    }

    /// What a test says of a value and its operand; `None` where it cannot say.
    type Eval = fn(&str, &str) -> Option<bool>;

    const NAMES: [&str; 4] = ["plan", "claims.n", "claims.t", "headers[\"x-y\"]"];
    const VALUES: [&str; 8] = ["a", "ab", "b", "1", "2", "1.5", "true", "false"];

    fn number(text: &str) -> Option<f64> {
        // The values above are exact as floats.
        text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().unwrap())
    }

    fn made(rng: &mut fastrand::Rng, depth: u32) -> Made {
        let some =
            |rng: &mut fastrand::Rng| (0..rng.u32(2..4)).map(|_| made(rng, depth - 1)).collect();
        match rng.u32(..if depth == 0 { 8 } else { 12 }) {
            0 => Made::Has(NAMES[rng.usize(..4)]),
            1..8 => test(rng),
            8 => Made::Not(Box::new(made(rng, depth - 1))),
            9 | 10 => Made::And(some(rng)),
            _ => Made::Or(some(rng)),
        }
    }

    fn test(rng: &mut fastrand::Rng) -> Made {
        let text = VALUES[rng.usize(..3)].to_owned();
        let digits = VALUES[3 + rng.usize(..3)].to_owned();
        // `plan` is a text; the others are whatever they hold.
        let kinds = rng.usize(..9);
        let name = NAMES[if kinds < 4 { rng.usize(..4) } else { rng.usize(1..4) }];
        let compared = |eval: Eval| (eval, digits.clone());
        let (form, (eval, operand)): (&str, (Eval, String)) = match kinds {
            0 => ("N == \"V\"", (|v, o| Some(v == o), text)),
            1 => ("N != \"V\"", (|v, o| Some(v != o), text)),
            2 => ("N.startsWith(\"V\")", (|v, o| Some(v.starts_with(o)), text)),
            3 => ("N in [\"V\", \"b\"]", (|v, o| Some(v == o || v == "b"), text)),
            4 => ("N <= V", compared(|v, o| Some(number(v)? <= number(o)?))),
            5 => ("N > V", compared(|v, o| Some(number(v)? > number(o)?))),
            6 => ("N == V", compared(|v, o| Some((number(v)? - number(o)?).abs() < 1e-9))),
            7 => (
                "N in [V, 2]",
                compared(|v, o| {
                    Some((number(v)? - number(o)?).abs() < 1e-9 || (number(v)? - 2.0).abs() < 1e-9)
                }),
            ),
            _ => ("N == true", (|v, _| v.parse().ok(), String::new())),
        };
        let written = form.replace('N', name).replace('V', &operand);
        Made::Test(name, written, eval, operand)
    }

    impl Made {
        fn text(&self) -> String {
            let join = |parts: &[Self], word| {
                let parts: Vec<_> = parts.iter().map(|part| format!("({})", part.text())).collect();
                parts.join(word)
            };
            match self {
                Self::Not(inner) => format!("!({})", inner.text()),
                Self::And(parts) => join(parts, " && "),
                Self::Or(parts) => join(parts, " || "),
                Self::Has(name) => format!("has({name})"),
                Self::Test(_, written, ..) => written.clone(),
            }
        }

        /// Whether it can hold and whether it can fail, whatever nobody knows may be: each
        /// unknown test on its own. The limit applies where it can hold.
        fn possible(&self, facts: &[(&str, &str)]) -> (bool, bool) {
            let value = |name: &str| {
                let name = name.replace("[\"", ".").replace("\"]", "");
                facts.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
            };
            match self {
                Self::Not(inner) => {
                    let (holds, fails) = inner.possible(facts);
                    (fails, holds)
                }
                Self::And(parts) => {
                    let parts: Vec<_> = parts.iter().map(|part| part.possible(facts)).collect();
                    (parts.iter().all(|p| p.0), parts.iter().any(|p| p.1))
                }
                Self::Or(parts) => {
                    let parts: Vec<_> = parts.iter().map(|part| part.possible(facts)).collect();
                    (parts.iter().any(|p| p.0), parts.iter().all(|p| p.1))
                }
                Self::Has(name) => (value(name).is_some(), value(name).is_none()),
                Self::Test(name, _, eval, operand) => {
                    match value(name).and_then(|value| eval(value, operand)) {
                        Some(holds) => (holds, !holds),
                        None => (true, true),
                    }
                }
            }
        }
    }

    #[test]
    fn random_conditions_mean_what_a_second_evaluator_says() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut held, mut failed) = (0, 0);
        for _ in 0..1_000 {
            let made = made(&mut rng, 2);
            let policy = policy(&limits(&made.text()));
            for _ in 0..20 {
                let mut facts = Vec::new();
                for name in ["plan", "claims.n", "claims.t", "headers.x-y"] {
                    if rng.bool() {
                        facts.push((name, VALUES[rng.usize(..VALUES.len())]));
                    }
                }
                let expected = made.possible(&facts).0;
                let found = applies(&policy, &facts);
                assert_eq!(found, expected, "{} with {facts:?}", made.text());
                if found { held += 1 } else { failed += 1 }
            }
        }
        assert!(held > 1_000 && failed > 1_000, "{held} held, {failed} failed");
    }
}

const SEEDS: [&str; 4] = [
    "country != \"XX\" && claims.risk_score <= 70",
    "method in [\"GET\", \"POST\"] || !has(user_id)",
    "headers[\"x-y\"].startsWith(\"a\") && !(plan == 'free' || cost >= 1.5)",
    "a.b.c == true && -1 < claims.é && \"\\u00e9\" == plan",
];
const PIECES: [&str; 40] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    "==",
    "!=",
    "<",
    "<=",
    "&&",
    "||",
    "!",
    "-",
    "\"",
    "'",
    "`",
    "\\",
    "\\x",
    "\\u12",
    "r'",
    "b\"",
    "'''",
    "has(",
    "in",
    "startsWith(",
    "?",
    ":",
    "0x",
    "1e9",
    "0.7",
    "\n",
    "\t",
    "é",
    "\u{1f600}",
    "\0",
    "true",
    "//",
    "@",
];

fn mutated(rng: &mut fastrand::Rng, most: usize) -> String {
    let mut when = SEEDS[rng.usize(..SEEDS.len())].to_owned();
    for _ in 0..rng.usize(..most) {
        let ends: Vec<usize> = when.char_indices().map(|(at, _)| at).chain([when.len()]).collect();
        let (a, b) = (ends[rng.usize(..ends.len())], ends[rng.usize(..ends.len())]);
        match rng.u32(..4) {
            0 | 1 => when.insert_str(a, PIECES[rng.usize(..PIECES.len())]),
            2 if a < b && b - a < 20 => drop(when.drain(a..b)),
            2 if when.len() < 4_000 => {
                let copied = when[a.min(b)..a.max(b)].to_owned();
                when.insert_str(a, &copied);
            }
            _ => when.insert(a, rng.char(..)),
        }
    }
    when
}

/// Random and mutated conditions: a policy or problems with a place, and never a panic.
#[test]
fn broken_conditions_say_where() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let when = mutated(&mut rng, if round % 100 == 0 { 300 } else { 5 });
        let json = serde_json::to_string(&when).unwrap();
        let text = format!("rate_limits: {{a: {{limit: 5, window: 1m, when: {json}}}}}");
        match compile(&text) {
            Ok(_) => good += 1,
            Err(problems) => {
                assert!(problems.iter().all(|p| p.line >= 1 && p.column >= 1), "{when}");
                bad += 1;
            }
        }
    }
    assert!(good > 100 && bad > 1_000, "{good} good, {bad} bad");
}
