//! Which keys belong to which algorithm, and what the keys of quotas, penalties and renames accept.

use sluicegate_limits::counter::Terms;
use sluicegate_limits::policy::calendar::StartsOn;
use sluicegate_limits::policy::units::DEFAULT_HOLD;
use sluicegate_limits::policy::{Accuracy, Algorithm, Limit, Penalty, Period, Was};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::{compile, policy, request, secret};

/// Noon of 2026-11-24, UTC.
const NOON: Timestamp = Timestamp::new(1_795_521_600_000_000);

/// One limit with this text in its braces.
fn limit(text: &str) -> Limit {
    policy(&format!("rate_limits: {{ a: {{ limit: 5, {text} }} }}")).limits()[0].clone()
}

/// The problems of one limit with this text in its braces: code, and a part of message and help.
fn problems(text: &str) -> Vec<(String, String)> {
    let text = format!("rate_limits: {{ a: {{ {text} }} }}");
    let problems = compile(&text).err().unwrap_or_else(|| panic!("this is good: {text}"));
    let said = |p: &sluicegate_limits::policy::Problem| {
        assert!(p.line == 1 && p.column > 15, "{p}");
        (p.code.to_owned(), format!("{} ({})", p.message, p.help.clone().unwrap_or_default()))
    };
    problems.iter().map(said).collect()
}

#[test]
fn each_algorithm_has_its_own_keys() {
    for (text, expected) in [
        ("limit: 5", "missing_key limit `a` has no `window`"),
        ("window: 1m", "missing_key limit `a` has no `limit`"),
        ("limit: 5, algorithm: calendar", "missing_key limit `a` has no `period`"),
        ("limit: 5, algorithm: concurrency", "missing_key limit `a` has no `hold`"),
        ("limit: 5, window: 1m, period: day", "misplaced_key `sliding_window` has no `period`"),
        ("limit: 5, window: 1m, timezone: UTC", "misplaced_key"),
        ("limit: 5, window: 1m, starts_on: 3", "misplaced_key"),
        ("limit: 5, window: 1m, alert_at: 80%", "misplaced_key"),
        ("limit: 5, window: 1m, burst: 5", "misplaced_key `sliding_window` has no `burst`"),
        ("limit: 5, algorithm: calendar, period: day, window: 1m", "misplaced_key"),
        ("limit: 5, algorithm: calendar, period: day, burst: 5", "misplaced_key"),
        ("limit: 5, algorithm: concurrency, hold: 5m, window: 1m", "misplaced_key"),
        ("limit: 5, algorithm: concurrency, hold: 5m, period: day", "misplaced_key"),
        ("limit: 5, algorithm: calendr, period: day", "bad_word"),
        ("limit: 5, algorithm: calendar, periode: day", "unknown_key"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let (code, said) = &found[0];
        assert!(format!("{code} {said}").starts_with(expected), "{text}: {found:?}");
    }
    let help = &problems("limit: 5, window: 1m, burst: 5")[0].1;
    assert!(help.contains("remove it, or choose the algorithm `token_bucket`"), "{help}");
    let help = &problems("limit: 5, algorithm: calendar")[0].1;
    assert!(help.contains("period: hour"), "{help}");
}

#[test]
fn the_keys_of_quotas_penalties_and_renames_check_their_values() {
    let calendar = "limit: 5, algorithm: calendar, period: ";
    let penalty = "limit: 5, window: 1m, penalty: ";
    let renamed = "limit: 5, window: 1m, key: [tenant_id, user_id], was: ";
    for (text, code, help) in [
        (format!("{calendar}moth"), "bad_word", "did you mean `month`?"),
        (format!("{calendar}day, timezone: Europe/Madird"), "bad_timezone", "`Europe/Madrid`?"),
        (format!("{calendar}day, timezone: [UTC]"), "wrong_type", "a text"),
        (format!("{calendar}day, timezone: ../etc/passwd"), "bad_timezone", "IANA"),
        (format!("{calendar}day, starts_on: 3"), "misplaced_key", "`period: month`"),
        (format!("{calendar}week, starts_on: monday"), "misplaced_key", "weeks start on Monday"),
        (format!("{calendar}month, starts_on: 0"), "out_of_range", "1 to 31"),
        (format!("{calendar}month, starts_on: 32"), "out_of_range", "1 to 31"),
        (format!("{calendar}month, starts_on: 01-01"), "bad_number", "digits"),
        (format!("{calendar}year, starts_on: 4-1"), "bad_day", "`04-01`"),
        (format!("{calendar}year, starts_on: 02-30"), "bad_day", "`04-01`"),
        (format!("{calendar}year, starts_on: 13-01"), "bad_day", "`04-01`"),
        (format!("{calendar}year, starts_on: +1--1"), "bad_day", "`04-01`"),
        (format!("{calendar}day, alert_at: 80"), "bad_percent", "`80%`"),
        (format!("{calendar}day, alert_at: 0%"), "bad_percent", "`80%`"),
        (format!("{calendar}day, alert_at: 101%"), "bad_percent", "`80%`"),
        (format!("{calendar}day, alert_at: 080%"), "bad_percent", "`80%`"),
        (format!("{calendar}day, alert_at: 8_0%"), "bad_percent", "`80%`"),
        (format!("{calendar}day, alert_at: [80%, 80%]"), "repeated_key", "keep one"),
        (format!("{calendar}day, alert_at: []"), "out_of_range", "1 to 8"),
        (format!("{calendar}day, alert_at: [1%,2%,3%,4%,5%,6%,7%,8%,9%]"), "out_of_range", "8"),
        ("limit: 5, window: 1m, hold: 1h1m".to_owned(), "bad_window", "an integer"),
        ("limit: 5, window: 1m, hold: 61m".to_owned(), "out_of_range", "1s to 1h"),
        ("limit: 5, window: 1m, hold: 999ms".to_owned(), "out_of_range", "1s to 1h"),
        ("limit: 5, window: 1m, accuracy: fast".to_owned(), "bad_word", "`auto`, `exact`"),
        (format!("{penalty}{{ after: 1, within: 1m }}"), "missing_key", "`block: 5m`"),
        (format!("{penalty}{{ after: 0, within: 1m, block: 1m }}"), "out_of_range", "1 to"),
        (format!("{penalty}{{ after: 1, within: 1ms, block: 1m }}"), "out_of_range", "1s to 366d"),
        (format!("{penalty}{{ after: 1, within: 1m, block: 8d }}"), "out_of_range", "1s to 7d"),
        (format!("{penalty}{{ after: 1, within: 1m, blok: 1d }}"), "unknown_key", "`block`?"),
        (format!("{penalty}5"), "wrong_type", "a map"),
        (format!("{renamed}'a b'"), "bad_name", "1 to 128"),
        (format!("{renamed}{{ key: user_id }}"), "missing_key", "name"),
        (format!("{renamed}{{ name: b, key: user_id }}"), "bad_was", "name by name"),
        (format!("{renamed}{{ name: b, key: [user_id, client_id] }}"), "bad_was", "same place"),
        (format!("{renamed}{{ name: b, key: [tenant_id, 'a b'] }}"), "bad_name", "1 to 128"),
    ] {
        let found = problems(&text);
        let (found_code, said) = &found[0];
        assert_eq!(found_code, code, "{text}: {found:?}");
        assert!(said.contains(help), "{text}: {found:?}");
    }
}

#[test]
fn a_quota_has_the_edges_of_its_period() {
    let madrid = limit(
        "algorithm: calendar, period: month, timezone: europe/madrid, starts_on: 15, \
         alert_at: [95%, 80%]",
    );
    let calendar = madrid.calendar.clone().unwrap();
    assert_eq!(madrid.algorithm, Algorithm::Calendar);
    assert_eq!((calendar.period, calendar.zone()), (Period::Month, "Europe/Madrid"));
    assert_eq!(calendar.starts_on(), StartsOn { month: 1, day: 15 });
    assert_eq!(madrid.alert_at, [80, 95]);
    assert_eq!(madrid.window, Micros::new(31 * Micros::DAY.get()));
    // 15 November, December and January, 00:00 in Madrid, an hour before UTC.
    let edges =
        [1_794_697_200, 1_797_289_200, 1_799_967_600].map(|s| Timestamp::new(s * 1_000_000));
    let limit = Tokens::new(5);
    assert_eq!(madrid.terms(&madrid.numbers, NOON), Terms::AlignedWindow { limit, edges });
    let share = madrid.share(&madrid.numbers, &[0; 16], Some(0), 5, NOON);
    assert_eq!(share, Terms::AlignedWindow { limit: Tokens::ONE, edges });
}

#[test]
fn concurrency_has_a_hold_and_no_window() {
    let running = limit("algorithm: concurrency, hold: 90s");
    assert_eq!(running.hold, Micros::new(90 * Micros::SECOND.get()));
    assert_eq!(running.window, running.hold);
    let terms = Terms::Concurrency { limit: Tokens::new(5) };
    assert_eq!(running.terms(&running.numbers, NOON), terms);
    let share = |rank| running.share(&running.numbers, &[0; 16], Some(rank), 3, NOON).capacity();
    assert_eq!([0, 1, 2].map(share).map(Tokens::get).iter().sum::<u64>(), 5);
}

#[test]
fn what_is_not_set_has_its_default() {
    let plain = limit("window: 1m");
    assert_eq!((plain.hold, plain.accuracy), (DEFAULT_HOLD, Accuracy::Auto));
    assert_eq!((plain.penalty, plain.was, plain.calendar), (None, None, None));
    assert!(plain.alert_at.is_empty());
    let set =
        limit("window: 1m, hold: 1h, accuracy: exact, penalty: {after: 3, within: 1m, block: 7d}");
    assert_eq!((set.hold, set.accuracy), (Micros::HOUR, Accuracy::Exact));
    let block = Micros::new(7 * Micros::DAY.get());
    assert_eq!(set.penalty, Some(Penalty { after: Tokens::new(3), within: Micros::MINUTE, block }));
    let year = limit("algorithm: calendar, period: year, starts_on: 02-29").calendar.unwrap();
    assert_eq!((year.zone(), year.starts_on()), ("UTC", StartsOn { month: 2, day: 29 }));
}

/// The counters of a limit in a request with these three attributes.
fn counter(limit: &str) -> (u8, [u8; 16], u64) {
    let policy = policy(&format!("rate_limits: {{ {limit} }}"));
    let request = request(&[("tenant_id", "a"), ("user_id", "b"), ("client_id", "c")]);
    let charges = policy.charges(&request, None, &secret(), NOON).unwrap();
    (charges[0].key.partition, charges[0].key.hash, charges[0].limit.id)
}

#[test]
fn a_renamed_limit_counts_on_the_counters_that_it_had() {
    let old = counter("old: { limit: 5, window: 1m, key: [tenant_id, user_id] }");
    let renamed = "{ limit: 5, window: 1m, key: [tenant_id, user_id], was: old }";
    assert_eq!(counter(&format!("new: {renamed}")), old);
    assert_ne!(counter("new: { limit: 5, window: 1m, key: [tenant_id, user_id] }"), old);

    let old = counter("old: { limit: 5, window: 1m, key: user_id }");
    let mapped = "{ name: old, key: client_id }";
    let new = counter(&format!("new: {{ limit: 5, window: 1m, key: user_id, was: {mapped} }}"));
    let former = counter("old: { limit: 5, window: 1m, key: client_id }");
    assert_ne!(new, former, "the values are those of the new key");
    assert_eq!(new.2, former.2, "one limit to the embedded store");
    assert_ne!(new, old);

    let was = Was { name: "old".into(), key: Some(vec!["client_id".to_owned()]) };
    let text = format!("window: 1m, key: user_id, was: {mapped}");
    assert_eq!(limit(&text).was, Some(was));
}

#[test]
fn two_limits_have_no_counters_in_common() {
    let limits = |a: &str, b: &str| {
        compile(&format!(
            "rate_limits:\n  a: {{ limit: 5, window: 1m{a} }}\n  b: {{ limit: 5, window: 1m{b} }}"
        ))
    };
    assert!(limits(", was: b", ", was: a").is_ok(), "names may be swapped");
    for (a, b, line) in [(", was: b", "", 3), ("", ", was: a", 3), (", was: c", ", was: c", 3)] {
        let problems = limits(a, b).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!((problems[0].code, problems[0].line), ("repeated_counter", line));
        assert!(problems[0].message.contains("a.yaml:2:"), "{}", problems[0]);
    }
    let thrice = "rate_limits:".to_owned() + &"\n  a: { limit: 5, window: 1m }".repeat(3);
    let problems = compile(&thrice).unwrap_err();
    let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["repeated_limit"; 2], "told as what it is, and nothing else");
}

#[test]
fn the_revision_knows_every_key() {
    let base = "algorithm: calendar, period: month";
    let revision = |text: &str| {
        let text = format!("rate_limits: {{ a: {{ limit: 5, key: user_id, {text} }} }}");
        policy(&text).revision().to_owned()
    };
    let same = revision(base);
    for equal in ["timezone: UTC", "starts_on: 1", "hold: 5m", "accuracy: auto", "was: a"] {
        assert_eq!(revision(&format!("{base}, {equal}")), same, "{equal}");
    }
    let mut all = vec![same];
    for other in [
        "timezone: Europe/Madrid",
        "starts_on: 2",
        "alert_at: 80%",
        "hold: 6m",
        "accuracy: exact",
        "penalty: { after: 1, within: 1m, block: 1m }",
        "penalty: { after: 2, within: 1m, block: 1m }",
        "was: b",
        "was: { name: a, key: client_id }",
    ] {
        all.push(revision(&format!("{base}, {other}")));
    }
    all.push(revision("algorithm: calendar, period: year"));
    all.push(revision("algorithm: calendar, period: year, starts_on: 02-01"));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "two policies have one revision");
}
