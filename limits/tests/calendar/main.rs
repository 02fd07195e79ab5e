//! The calendar against a table that another program made, and against itself at random instants.

#![cfg(test)]

use std::fmt::Write as _;

use jiff::tz::TimeZoneDatabase;
use sluicegate_limits::policy::calendar::Calendar;
use sluicegate_limits::policy::{Period, Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp};

/// Made by periods.py, which looks at local clocks instant by instant.
const TABLE: &str = include_str!("periods.txt");
/// How many instants the calendar is asked for in every test run.
const INSTANTS: u64 = 1_000_000;
/// The first instant of 2100.
const END_SECONDS: u64 = 4_102_444_800;

/// The calendars of quotas with these keys.
fn calendars(keys: impl IntoIterator<Item = String>) -> Vec<Calendar> {
    let mut text = "rate_limits:\n".to_owned();
    for (number, keys) in keys.into_iter().enumerate() {
        let _ = writeln!(text, "  q{number}: {{ algorithm: calendar, limit: 1, {keys} }}");
    }
    let file = SourceFile { name: "a.yaml".to_owned(), text };
    let policy = Policy::compile(&[file]).unwrap().policy;
    policy.limits().iter().map(|limit| limit.calendar.clone().unwrap()).collect()
}

/// The keys of a calendar; `starts_on` is `MM-DD`.
fn keys(zone: &str, period: &str, starts_on: &str) -> String {
    let starts_on = match (period, starts_on.split_once('-')) {
        ("month", Some((_, day))) => format!(", starts_on: {}", day.trim_start_matches('0')),
        ("year", _) => format!(", starts_on: {starts_on}"),
        _ => String::new(),
    };
    format!("period: {period}, timezone: {zone}{starts_on}")
}

fn instant(text: &str) -> Timestamp {
    let micros = text.trim().parse::<jiff::Timestamp>().unwrap().as_microsecond();
    Timestamp::new(micros.try_into().unwrap())
}

fn back(at: Timestamp) -> Timestamp {
    at.before(Micros::new(1))
}

/// The table's cases: the calendar, and the edges that follow each other.
fn table() -> Vec<(String, Calendar, Vec<Timestamp>)> {
    let mut cases: Vec<(String, Vec<Timestamp>)> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        match cases.last_mut() {
            Some((_, edges)) if line.starts_with(' ') => edges.push(instant(line)),
            _ => cases.push((line.to_owned(), Vec::new())),
        }
    }
    let of = |case: &str| {
        let words: Vec<&str> = case.split(' ').collect();
        keys(words[0], words[1], words[2])
    };
    let calendars = calendars(cases.iter().map(|(case, _)| of(case)));
    cases.into_iter().zip(calendars).map(|((case, edges), c)| (case, c, edges)).collect()
}

/// The edges at an instant, without those that were asked for last.
fn edges(calendar: &Calendar, now: Timestamp) -> [Timestamp; 3] {
    let elsewhere = now.after(Micros::new(1_000 * Micros::DAY.get()));
    assert!(calendar.edges(elsewhere)[0] > now);
    calendar.edges(now)
}

#[test]
fn the_edges_are_those_of_the_table() {
    let mut compared = 0;
    for (case, calendar, all) in table() {
        assert!(all.len() >= 4, "{case} has lost its edges");
        for expected in all.windows(3) {
            let &[start, end, after] = expected else { panic!("windows of 3") };
            // Every quarter of an hour, or a thousand times in a longer period; and both ends.
            let step = Micros::new((end.since(start).get() / 1_000).max(900_000_000));
            let mut at = start;
            while at < end {
                assert_eq!(edges(&calendar, at), [start, end, after], "{case} at {at}");
                at = at.after(step);
                compared += 1;
            }
            assert_eq!(edges(&calendar, back(end)), [start, end, after], "{case} before {end}");
            // And those that were asked for last are the same.
            assert_eq!(calendar.edges(start), [start, end, after], "{case} at {start}");
        }
    }
    assert!(compared > 50_000, "only {compared} instants were compared");
}

#[test]
fn a_period_that_began_before_1970_begins_there() {
    let edges = |period, zone| calendars([keys(zone, period, "01-01")])[0].edges(Timestamp::ZERO);
    assert_eq!(edges("year", "UTC")[0], Timestamp::ZERO);
    // New York was five hours behind, on the last day of 1969.
    let [start, end, after] = edges("year", "America/New_York");
    assert_eq!(start, Timestamp::ZERO);
    assert_eq!((end, after), (instant("1970-01-01T05:00:00Z"), instant("1971-01-01T05:00:00Z")));
}

/// Whatever the zone, the periods follow each other without a gap, and each instant is in its own.
#[test]
fn periods_follow_each_other_in_every_zone() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let zones = TimeZoneDatabase::bundled();
    let mut all = Vec::new();
    for zone in zones.available() {
        for (period, _) in Period::WORDS {
            let month = rng.u8(1..=12);
            let last = match month {
                _ if period == "month" => 31,
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            // One in three begins on one of the days that not every month has.
            let day = if rng.u8(..3) == 0 { rng.u8(29..=last) } else { rng.u8(1..=28) };
            all.push(keys(zone.as_str(), period, &format!("{month:02}-{day:02}")));
        }
    }
    let calendars = calendars(all.iter().cloned());
    assert!(calendars.len() > 2_500, "zones are missing");
    for _ in 0..INSTANTS {
        let which = rng.usize(..calendars.len());
        let (calendar, keys) = (&calendars[which], &all[which]);
        let now = Timestamp::new(rng.u64(..END_SECONDS * 1_000_000));
        let [start, end, after] = calendar.edges(now);
        let said = || format!("{keys} at {now}: {start} {end} {after}");
        assert!(start <= now && now < end && end < after, "{}", said());
        let next = calendar.edges(end);
        assert_eq!((next[0], next[1]), (end, after), "{}", said());
        let edge = rng.bool().then_some(start).filter(|start| *start > Timestamp::ZERO);
        if let Some(start) = edge {
            assert_eq!(calendar.edges(start), [start, end, after], "{}", said());
            assert_eq!(calendar.edges(back(start))[1], start, "{}", said());
        }
        let most = calendar.period.longest().get();
        // A zone may set its clocks back by hours: Antarctica/Vostok did by seven.
        let back = if calendar.period == Period::Hour { 0 } else { Micros::DAY.get() };
        assert!(end.since(start).get() <= most + back, "too long: {}", said());
    }
}

#[test]
fn no_instant_makes_it_panic() {
    let calendars =
        calendars(Period::WORDS.map(|(period, _)| keys("Pacific/Kiritimati", period, "12-31")));
    for calendar in calendars {
        for now in [Timestamp::ZERO, Timestamp::new(1), back(Timestamp::MAX), Timestamp::MAX] {
            let [start, end, after] = calendar.edges(now);
            assert!(start <= now && start <= end && end <= after);
        }
    }
}
