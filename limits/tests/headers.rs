//! The header fields of verdicts, in every style.

use sluicegate_limits::counter::Wait;
use sluicegate_limits::headers::{HeaderStyle, rate_limit_headers};
use sluicegate_limits::policy::{Algorithm, Mode};
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::{LimitVerdict, MAX_NAMED, Reason, Verdict};

fn limit(name: &str, limit: u64, window_ms: u64, remaining: u64) -> LimitVerdict {
    let window = Micros::new(window_ms * 1_000);
    LimitVerdict {
        name: name.into(),
        mode: Mode::Enforce,
        allowed: true,
        algorithm: Algorithm::SlidingWindow,
        limit: Tokens::new(limit),
        window,
        refill: window,
        remaining: Tokens::new(remaining),
        wait: Wait::None,
        full_in: Micros::new(36_000_001),
        degraded: false,
    }
}

fn denied(wait: Wait) -> Verdict {
    let mut burst = limit("burst", 100, 60_000, 3);
    (burst.allowed, burst.wait) = (false, wait);
    let daily = limit("daily", 1_000, 86_400_000, 400);
    let (reason, reason_text) = (Some(Reason::LimitExceeded), "limit_exceeded".into());
    let (binding, limits) = (Some(0), vec![burst, daily]);
    Verdict {
        allowed: false,
        reason,
        reason_text,
        detail: String::new(),
        binding,
        limits,
        degraded: false,
        alerts: Vec::new(),
    }
}

fn passed(limits: Vec<LimitVerdict>, binding: Option<usize>) -> Verdict {
    let (reason, reason_text) = (None, String::new());
    Verdict {
        allowed: true,
        reason,
        reason_text,
        detail: String::new(),
        binding,
        limits,
        degraded: false,
        alerts: Vec::new(),
    }
}

/// The fields as lines of a response.
fn lines(verdict: &Verdict, style: HeaderStyle, jitter: u64) -> Vec<String> {
    let fields = rate_limit_headers(verdict, style, jitter);
    fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn a_denial_in_every_style() {
    let verdict = denied(Wait::For(Micros::new(12_000_001)));
    let of = |style| lines(&verdict, style, 0);
    assert_eq!(
        of(HeaderStyle::Draft11),
        [
            r#"ratelimit-policy: "burst";q=100;w=60, "daily";q=1000;w=86400"#,
            r#"ratelimit: "burst";r=3;t=13"#,
            "retry-after: 13",
        ]
    );
    assert_eq!(
        of(HeaderStyle::Draft03),
        [
            "ratelimit-limit: 100, 100;w=60, 1000;w=86400",
            "ratelimit-remaining: 3",
            "ratelimit-reset: 13",
            "retry-after: 13",
        ]
    );
    assert_eq!(
        of(HeaderStyle::Legacy),
        [
            "x-ratelimit-limit: 100",
            "x-ratelimit-remaining: 3",
            "x-ratelimit-reset: 13",
            "retry-after: 13",
        ]
    );
    assert_eq!(of(HeaderStyle::None), ["retry-after: 13"]);
}

#[test]
fn jitter_only_adds_to_retry_after() {
    let verdict = denied(Wait::For(Micros::new(1)));
    let fields = lines(&verdict, HeaderStyle::Draft11, 4);
    assert_eq!(fields[1..], [r#"ratelimit: "burst";r=3;t=1"#, "retry-after: 5"]);
    assert_eq!(
        lines(&denied(Wait::For(Micros::MAX)), HeaderStyle::None, u64::MAX),
        [format!("retry-after: {}", u64::MAX)]
    );
}

#[test]
fn who_can_never_pass_is_not_told_to_retry() {
    let fields = lines(&denied(Wait::Never), HeaderStyle::Draft11, 4);
    assert_eq!(fields[1..], [r#"ratelimit: "burst";r=3;t=37"#]);
    assert_eq!(lines(&denied(Wait::Never), HeaderStyle::None, 4), [""; 0]);
}

#[test]
fn a_pass_tells_what_is_left_and_when_all_is_back() {
    let verdict = passed(vec![limit("api", 5, 1_500, 4)], Some(0));
    let expected = [r#"ratelimit-policy: "api";q=5;w=2"#, r#"ratelimit: "api";r=4;t=37"#];
    assert_eq!(lines(&verdict, HeaderStyle::Draft11, 4), expected);
}

#[test]
fn concurrency_has_no_window() {
    let algorithm = Algorithm::Concurrency;
    let mut running = LimitVerdict { algorithm, ..limit("running", 4, 90_000, 0) };
    (running.allowed, running.wait) = (false, Wait::For(Micros::new(1_500_000)));
    let verdict = Verdict { limits: vec![running], ..denied(Wait::None) };
    let draft11 = lines(&verdict, HeaderStyle::Draft11, 0);
    let policy = r#"ratelimit-policy: "running";q=4"#;
    assert_eq!(draft11, [policy, r#"ratelimit: "running";r=0"#, "retry-after: 2"]);
    let draft03 = lines(&verdict, HeaderStyle::Draft03, 0);
    assert_eq!(draft03[..2], ["ratelimit-limit: 4, 4", "ratelimit-remaining: 0"]);
}

#[test]
fn a_bucket_tells_its_burst_and_in_what_time_it_refills() {
    let bucket = LimitVerdict { refill: Micros::new(2_000_000), ..limit("b", 100, 1_000, 100) };
    let fields = lines(&passed(vec![bucket], Some(0)), HeaderStyle::Draft11, 0);
    assert_eq!(fields[0], r#"ratelimit-policy: "b";q=100;w=2"#);
}

#[test]
fn shadow_limits_are_not_the_clients_business() {
    let shadow = LimitVerdict { mode: Mode::Shadow, ..limit("new", 1, 1_000, 0) };
    let verdict = passed(vec![shadow.clone(), limit("api", 5, 1_000, 4)], Some(1));
    for style in [HeaderStyle::Draft11, HeaderStyle::Draft03, HeaderStyle::Legacy] {
        let fields = lines(&verdict, style, 0).join("\n");
        assert!(!fields.contains("new") && fields.contains('5'), "{fields}");
        assert!(lines(&passed(vec![shadow.clone()], None), style, 0).is_empty());
        assert!(lines(&Verdict::refused(Reason::InvalidRequest), style, 3).is_empty());
    }
}

#[test]
fn long_lists_are_cut_but_keep_the_binding_limit() {
    let mut limits: Vec<_> =
        (0..1_000).map(|n| limit(&format!("limit-{n}"), 5, 1_000, 4)).collect();
    let fields = rate_limit_headers(&passed(limits.clone(), Some(700)), HeaderStyle::Draft11, 0);
    let policy = &fields[0].1;
    assert_eq!(policy.matches("q=5").count(), MAX_NAMED);
    assert!(policy.starts_with(r#""limit-700";q=5;w=1, "limit-0";q=5;w=1, "#), "{policy}");
    // On denial those that deny come before those that only apply.
    for at in [300, 600, 700] {
        limits[at].allowed = false;
    }
    let denied = Verdict { limits, binding: Some(700), ..denied(Wait::None) };
    let names: Vec<_> = denied.named().iter().map(|limit| limit.name.to_string()).collect();
    let expected = [700, 300, 600, 0, 1, 2, 3, 4].map(|n| format!("limit-{n}"));
    assert_eq!(names, expected);
}

#[test]
fn integers_stay_in_the_range_of_structured_fields() {
    let verdict = passed(vec![limit("all", 1_000_000_000_000_000, 1_000, u64::MAX)], Some(0));
    let fields = lines(&verdict, HeaderStyle::Draft11, 0);
    assert_eq!(fields[0], r#"ratelimit-policy: "all";q=999999999999999;w=1"#);
    assert_eq!(fields[1], r#"ratelimit: "all";r=999999999999999;t=37"#);
}

/// Reads an item of a structured field: a String, and what follows it.
fn read_string(field: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = field.strip_prefix('"')?.char_indices();
    while let Some((at, letter)) = rest.next() {
        match letter {
            '"' => return Some((text, &field[at + 2..])),
            '\\' => text.push(rest.next().map(|(_, next)| next).filter(|c| "\"\\".contains(*c))?),
            ' '..='~' => text.push(letter),
            _ => return None,
        }
    }
    None
}

#[test]
fn any_name_is_written_as_a_string_that_reads_back() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let name: String = (0..random.usize(0..8))
            .map(|_| if random.bool() { random.char('\0'..='\u{7f}') } else { random.char(..) })
            .collect();
        let verdict = passed(vec![limit(&name, 5, 1_000, 4)], Some(0));
        let fields = rate_limit_headers(&verdict, HeaderStyle::Draft11, 0);
        let (read, rest) = read_string(&fields[1].1).unwrap();
        assert_eq!(rest, ";r=4;t=37", "{name:?} seed {seed}");
        if name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            assert_eq!(read, name, "seed {seed}");
        }
    }
    let odd = passed(vec![limit("a\"b\\c\r\né", 5, 1_000, 4)], Some(0));
    let fields = lines(&odd, HeaderStyle::Draft11, 0);
    assert_eq!(fields[1], r#"ratelimit: "a\"b\\c%0D%0A%C3%A9";r=4;t=37"#);
}
