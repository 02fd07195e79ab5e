//! Plans, tenants and exceptions: which numbers count, when, and what every mistake says.

use sluicegate_limits::explain::explain;
use sluicegate_limits::policy::lint::Surroundings;
use sluicegate_limits::policy::{Layer, Policy};
use sluicegate_limits::time::{Micros, Timestamp};

use crate::{compile, files, policy, request, secret};

const LIMITS: &str = "\
rate_limits:
  search: { key: [tenant_id, user_id], algorithm: token_bucket, limit: 50, window: 1s, burst: 100 }
  exports: { key: tenant_id, limit: 20, window: 1h }
  all: { limit: 1000, window: 1s }
";
const TENANTS: &str = "\
plans:
  free: { description: for a try, limits: { search: { limit: 10 } } }
  paid: { limits: { search: { limit: 500, burst: 1000 }, exports: { limit: 40 } } }
tenants:
  acme:
    plan: paid
    limits:
      exports: { limit: 200, until: 2026-12-31T00:00:00Z, why: \"migration, ticket 4711\" }
  own: { limits: { search: { limit: 7 }, exports: { limit: 0, why: they asked } } }
  tried: { plan: free }
";
/// 2026-12-31T00:00:00Z.
const END: Timestamp = Timestamp::new(1_798_675_200_000_000);

fn both() -> Policy {
    Policy::compile(&files(&[("limits.yaml", LIMITS), ("tenants.yaml", TENANTS)])).unwrap().policy
}

/// The limit and burst that count for a request, and who says so.
fn numbers(
    policy: &Policy,
    limit: &str,
    facts: &[(&str, &str)],
    now: Timestamp,
) -> (u64, u64, String) {
    let facts = request(facts);
    let charges = policy.charges(&facts, None, &secret(), now).unwrap();
    let charge = charges.iter().find(|charge| *charge.limit.name == *limit).unwrap();
    let layer = match charge.layer {
        Layer::Limit => "limit".to_owned(),
        Layer::Plan(name) => format!("plan {name}"),
        Layer::Tenant { why } => format!("tenant {why:?}"),
        Layer::Exception { until, why } => format!("until {} {why:?}", until.get()),
    };
    assert_eq!(charge.terms, charge.limit.terms(&charge.numbers, now));
    (charge.numbers.limit.get(), charge.numbers.capacity().get(), layer)
}

#[test]
fn a_tenant_stands_above_its_plan_and_a_plan_above_the_limit() {
    let policy = both();
    let of = |limit, tenant, plan: &'static str| {
        let mut facts = vec![("tenant_id", tenant), ("user_id", "u")];
        facts.extend((!plan.is_empty()).then_some(("plan", plan)));
        let (limit, capacity, layer) = numbers(&policy, limit, &facts, Timestamp::ZERO);
        (limit, capacity, layer)
    };
    let is = |limit, capacity, layer: &str| (limit, capacity, layer.to_owned());
    assert_eq!(of("search", "other", ""), is(50, 100, "limit"));
    // The attribute fills in where the files say nothing; a plan without a burst has the limit.
    assert_eq!(of("search", "other", "free"), is(10, 10, "plan free"));
    assert_eq!(of("search", "other", "unheard_of"), is(50, 100, "limit"));
    assert_eq!(of("search", "tried", "paid"), is(10, 10, "plan free"));
    assert_eq!(of("search", "acme", "free"), is(500, 1000, "plan paid"));
    assert_eq!(of("exports", "own", "paid"), is(0, 0, "tenant Some(\"they asked\")"));
    assert_eq!(of("search", "own", "paid"), is(7, 7, "tenant None"));
    assert_eq!(of("all", "acme", ""), is(1000, 1000, "limit"));
    assert_eq!(of("exports", "acme", "").0, 200);
}

#[test]
fn an_exception_counts_until_its_end_by_the_time_of_the_request() {
    let policy = both();
    let of = |now| numbers(&policy, "exports", &[("tenant_id", "acme")], now);
    let layer = format!("until {} Some(\"migration, ticket 4711\")", END.get());
    assert_eq!(of(END.before(Micros::new(1))), (200, 200, layer));
    assert_eq!(of(END), (40, 40, "plan paid".to_owned()));
    assert!(policy.expired(END.before(Micros::new(1))).is_empty());
    let expired = policy.expired(END);
    assert_eq!(expired.len(), 1);
    assert_eq!(
        expired[0].to_string(),
        "warning[expired]: a tenant's numbers for `exports` are past their end\n  \
         --> tenants.yaml:8:7\n  = help: they do not count any more: remove them"
    );
    let compiled = compile(&format!("{TENANTS}{LIMITS}")).unwrap();
    let warns = |now| {
        let found = compiled.lints(&Surroundings { now, service: None });
        found.iter().filter(|problem| problem.code == "expired").count()
    };
    assert_eq!((warns(END.before(Micros::new(1))), warns(END)), (0, 1));
}

#[test]
fn conditions_and_keys_see_the_plan_by_the_files() {
    let text = format!(
        "{TENANTS}{LIMITS}  by_plan: {{ key: [tenant_id, plan], when: plan == 'paid',\n    \
         limit: 5, window: 1s }}\n"
    );
    let policy = policy(&text);
    let applies = |facts: &[(&str, &str)]| {
        let charges = policy.charges(&request(facts), None, &secret(), END).unwrap();
        charges.iter().find(|charge| *charge.limit.name == *"by_plan").map(|charge| charge.key)
    };
    let by_files = applies(&[("tenant_id", "acme"), ("plan", "free")]);
    assert!(by_files.is_some());
    assert_eq!(by_files, applies(&[("tenant_id", "acme")]));
    assert_eq!(applies(&[("tenant_id", "tried"), ("plan", "paid")]), None);
    assert!(applies(&[("tenant_id", "other"), ("plan", "paid")]).is_some());
    assert_eq!(applies(&[("tenant_id", "other")]), None);
}

#[test]
fn an_explanation_says_which_layer_a_number_comes_from() {
    let policy = both();
    let of = |tenant: &str, now| {
        let facts = request(&[("tenant_id", tenant), ("plan", "free"), ("user_id", "u")]);
        let explanation = explain(&policy, &facts, None, now);
        let json = serde_json::to_value(&explanation).unwrap();
        (json["limits"].clone(), explanation.to_string())
    };
    let (limits, text) = of("acme", Timestamp::ZERO);
    assert_eq!(limits[0]["layer"], "plan");
    assert_eq!(limits[0]["plan"], "paid");
    assert_eq!(limits[0]["limit"], 1000);
    assert_eq!(limits[1]["layer"], "exception");
    assert_eq!(limits[1]["until"], "2026-12-31T00:00:00Z");
    assert_eq!(limits[1]["layer_why"], "migration, ticket 4711");
    assert_eq!(limits[2]["layer"], "limit");
    assert!(limits[2].get("plan").is_none() && limits[2].get("until").is_none());
    assert!(text.contains("number  of the plan `paid`\n"), "{text}");
    let exception = "number  the tenant's own until 2026-12-31T00:00:00Z: migration, ticket 4711\n";
    assert!(text.contains(exception), "{text}");
    let (limits, text) = of("own", END);
    assert_eq!((&limits[1]["layer"], &limits[1]["limit"]), (&"tenant".into(), &0.into()));
    assert!(text.contains("number  the tenant's own: they asked\n"), "{text}");
}

#[test]
fn every_mistake_has_its_place() {
    let text = format!(
        "{LIMITS}plans:\n  a: {{ limits: {{ serach: {{ limit: 5 }}, all: {{ limit: 5 }} }} }}\n  \
         b: {{ limits: {{ exports: {{ limit: 5, burst: 6 }}, search: {{ burst: 5 }} }} }}\n  \
         c: {{ limits: {{ search: {{ limit: 90071992, until: 2026-01-01T00:00Z }} }}, x: 1 }}\n\
         tenants:\n  t: {{ plan: aa }}\n  \
         u: {{ plan: zzz, limits: {{ search: {{ limit: 1, until: 2026-01-01 }} }} }}\n  \
         t: {{ limits: {{ exports: {{ limit: 1 }}, exports: {{ limit: 2 }} }} }}\n  v:\n"
    );
    let problems = compile(&text).unwrap_err();
    let found: Vec<_> = problems
        .iter()
        .map(|p| {
            format!("{}:{} {} {}", p.line, p.column, p.code, p.help.clone().unwrap_or_default())
        })
        .collect();
    let expected = [
        "6:18 unknown_limit did you mean `search`?",
        "6:40 not_by_tenant add `tenant_id` to the limit's `key`, or remove these numbers",
        "7:46 misplaced_key remove it",
        "7:59 missing_key how many tokens pass: `limit: 100`",
        "8:45 unknown_key the numbers of `search` has `limit`, `burst`",
        "8:75 unknown_key plan `c` has `description`, `limits`",
        "10:14 unknown_plan did you mean `a`?",
        "11:14 unknown_plan name it under `plans`",
        "11:56 bad_instant RFC 3339",
        "12:3 repeated_tenant keep one of them",
        "12:41 repeated_key keep one of them",
        "13:4 wrong_type write `key: value` lines",
    ];
    let same = found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(same && found.len() == expected.len(), "{found:#?}");
}

#[test]
fn rates_of_plans_are_checked_as_those_of_limits() {
    let text = format!(
        "{LIMITS}plans:\n  \
         {{ a: {{ limits: {{ search: {{ limit: 9_007_199_254_740, burst: 5 }} }} }} }}\n"
    );
    let of = compile(&text).map(|_| ()).map_err(|problems| problems[0].code);
    let slow = text.replace("9_007_199_254_740, burst: 5", "1, burst: 999_999_999_999");
    assert_eq!(compile(&slow).unwrap_err()[0].code, "slow_refill");
    let base =
        LIMITS.replace("limit: 50, window: 1s, burst: 100", "limit: 9_007_199_254_740, window: 1s");
    let of_limit = compile(&base).map(|_| ()).map_err(|problems| problems[0].code);
    assert_eq!(of, of_limit);
}

#[test]
fn tenants_may_have_files_of_their_own_and_each_stands_once() {
    let others = "tenants: { acme: {} }\n";
    let named = [("a.yaml", others), ("limits.yaml", LIMITS), ("tenants.yaml", TENANTS)];
    let problems = Policy::compile(&files(&named)).unwrap_err();
    assert_eq!(problems.len(), 1);
    let said = (problems[0].file.as_str(), problems[0].line, problems[0].message.as_str());
    assert_eq!(said, ("tenants.yaml", 5, "tenant `acme` stands at a.yaml:1:12 too"));
    let alone = Policy::compile(&files(&[("tenants.yaml", TENANTS)])).unwrap_err();
    assert_eq!(alone[0].code, "empty", "{alone:#?}");
    let plans = "plans: { free: {} }\n";
    let twice =
        Policy::compile(&files(&[("l.yaml", LIMITS), ("p.yaml", plans), ("t.yaml", TENANTS)]));
    assert_eq!(twice.unwrap_err()[0].code, "repeated_plan");
}

#[test]
fn the_revision_is_of_what_plans_and_tenants_mean() {
    let of = |tenants: &str| {
        let files = files(&[("limits.yaml", LIMITS), ("tenants.yaml", tenants)]);
        Policy::compile(&files).unwrap().policy.revision().to_owned()
    };
    let first = of(TENANTS);
    let order =
        "tenants: {b: {plan: p}, a: {plan: q}}\nplans: {p: {}, q: {limits: {exports: {limit: 5}}}}";
    let other =
        "plans: {q: {limits: {exports: {limit: 5}}}, p: {}}\ntenants: {a: {plan: q}, b: {plan: p}}";
    assert_eq!(of(order), of(other));
    assert_eq!(of(&TENANTS.replace("they asked", "something else")), first);
    for (from, to) in [
        ("until: 2026-12-31", "until: 2026-12-30"),
        ("limit: 200", "limit: 201"),
        ("plan: paid", "plan: free"),
        ("tried: {", "tired: {"),
        ("burst: 1000", "burst: 1001"),
    ] {
        assert_ne!(of(&TENANTS.replace(from, to)), first, "{from}");
    }
}
