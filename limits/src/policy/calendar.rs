//! The periods of quotas: hours, days, weeks, months and years of a time zone, as instants.
//!
//! The data of all zones are part of the program; no file is read.

mod remembered;

use std::fmt;
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use super::kinds::Period;
use super::numbers::multiples;
use super::problem::nearest;
use crate::time::{Micros, Timestamp};
use remembered::Remembered;

/// The seconds of an hour.
const HOUR_SECONDS: i64 = 3_600;

/// The periods of a quota.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// How long its periods are.
    pub period: Period,
    zone: TimeZone,
    starts_on: StartsOn,
    remembered: Remembered,
}

/// The date that a month or a year begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartsOn {
    /// The month of the year, 1 to 12; months do not look at it.
    pub month: i8,
    /// The day of the month, 1 to 31; in a shorter month its last day.
    pub day: i8,
}

/// The database that is part of the program.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Default for StartsOn {
    fn default() -> Self {
        Self { month: 1, day: 1 }
    }
}

impl Period {
    /// Its longest length, to the nearest day; an hour is an hour. What daylight saving adds to
    /// single periods is not in it.
    #[must_use]
    pub const fn longest(self) -> Micros {
        match self {
            Self::Hour => Micros::HOUR,
            Self::Day => Micros::DAY,
            Self::Week => Micros::new(7 * Micros::DAY.get()),
            Self::Month => Micros::new(31 * Micros::DAY.get()),
            Self::Year => Micros::new(366 * Micros::DAY.get()),
        }
    }
}

impl Calendar {
    /// The periods of a zone.
    pub(crate) fn new(period: Period, zone: TimeZone, starts_on: StartsOn) -> Self {
        Self { period, zone, starts_on, remembered: Remembered::default() }
    }

    /// The name of the zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The date that its months or years begin on.
    #[must_use]
    pub const fn starts_on(&self) -> StartsOn {
        self.starts_on
    }

    /// The start of the period at an instant, its end, and the end of the one after it.
    ///
    /// An hour begins where the local clock shows a full hour, and where the zone's offset
    /// changes: an hour that is repeated is two periods. A longer period begins at the first
    /// instant of its first local date, whether or not that has a midnight.
    #[must_use]
    pub fn edges(&self, now: Timestamp) -> [Timestamp; 3] {
        self.remembered.edges(now).unwrap_or_else(|| {
            let edges = self.computed(now);
            self.remembered.note(edges);
            edges
        })
    }

    fn computed(&self, now: Timestamp) -> [Timestamp; 3] {
        let seconds = i64::try_from(now.get() / 1_000_000).unwrap_or(i64::MAX);
        let found = match self.period {
            Period::Hour => self.hours(seconds),
            _ => self.dates(seconds),
        };
        // The calendar goes on for longer than instants do: there always are edges.
        found.unwrap_or_else(|| multiples(self.period.longest(), now))
    }

    fn hours(&self, now: i64) -> Option<[Timestamp; 3]> {
        let offset = self.offset(now)?;
        let begin = now - (now + offset).rem_euclid(HOUR_SECONDS);
        let begin = if self.offset(begin)? == offset { begin } else { self.change(now)? };
        let end = self.end_of_hour(begin)?;
        Some([begin, end, self.end_of_hour(end)?].map(instant))
    }

    fn end_of_hour(&self, begin: i64) -> Option<i64> {
        let offset = self.offset(begin)?;
        let end = begin + HOUR_SECONDS - (begin + offset).rem_euclid(HOUR_SECONDS);
        if self.offset(end - 1)? == offset { Some(end) } else { self.change(end - 1) }
    }

    /// The last instant, not after `now`, at which the offset became what it is at `now`.
    fn change(&self, now: i64) -> Option<i64> {
        let mut changed = now;
        let offset = jiff::tz::Offset::from_seconds(i32::try_from(self.offset(now)?).ok()?).ok()?;
        // Some transitions change only the zone's abbreviation.
        for transition in self.zone.preceding(stamp(now + 1)?) {
            changed = transition.timestamp().as_second();
            let before = self.zone.to_offset(stamp(changed - 1)?);
            if before != offset {
                break;
            }
        }
        Some(changed)
    }

    fn offset(&self, at: i64) -> Option<i64> {
        Some(self.zone.to_offset(stamp(at)?).seconds().into())
    }

    fn dates(&self, now: i64) -> Option<[Timestamp; 3]> {
        let mut date = self.first_date(self.zone.to_datetime(stamp(now)?).date())?;
        let mut start = self.first_instant(date)?;
        // A period whose dates were all skipped does not take place.
        let mut next_after = |edge: i64| loop {
            date = self.next_date(date)?;
            let begin = self.first_instant(date)?;
            if begin > edge {
                return Some(begin);
            }
        };
        let mut end = next_after(start)?;
        // Where the clock goes back over midnight, the next date has begun already.
        while end <= now {
            (start, end) = (end, next_after(end)?);
        }
        Some([start, end, next_after(end)?].map(instant))
    }

    /// The first date of the period that a date is in.
    fn first_date(&self, date: Date) -> Option<Date> {
        let StartsOn { month, day } = self.starts_on;
        match self.period {
            Period::Hour | Period::Day => Some(date),
            Period::Week => {
                let days = date.weekday().since(Weekday::Monday);
                date.checked_sub(jiff::SignedDuration::from_hours(24 * i64::from(days))).ok()
            }
            Period::Month => {
                let begin = clipped(date.year(), date.month(), day)?;
                if begin <= date { Some(begin) } else { self.shifted(begin, -1) }
            }
            Period::Year => {
                let begin = clipped(date.year(), month, day)?;
                if begin <= date { Some(begin) } else { self.shifted(begin, -1) }
            }
        }
    }

    /// The first date of the next period.
    fn next_date(&self, first: Date) -> Option<Date> {
        match self.period {
            Period::Hour | Period::Day => first.tomorrow().ok(),
            Period::Week => first.checked_add(jiff::SignedDuration::from_hours(24 * 7)).ok(),
            Period::Month | Period::Year => self.shifted(first, 1),
        }
    }

    /// The first date of a month or year, so many of them later.
    fn shifted(&self, first: Date, by: i16) -> Option<Date> {
        if self.period == Period::Year {
            return clipped(first.year().checked_add(by)?, first.month(), self.starts_on.day);
        }
        let months = i16::from(first.month()) - 1 + by;
        let year = first.year().checked_add(months.div_euclid(12))?;
        let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
        clipped(year, month, self.starts_on.day)
    }

    /// The first instant whose local date is this one or later, in seconds.
    fn first_instant(&self, date: Date) -> Option<i64> {
        let midnight = self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        let at = |offset: jiff::tz::Offset| {
            offset.to_timestamp(date.at(0, 0, 0, 0)).ok().map(jiff::Timestamp::as_second)
        };
        match midnight.offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            // A midnight that comes twice: the first one.
            AmbiguousOffset::Fold { before, .. } => at(before),
            // No midnight: the clock jumps over it.
            AmbiguousOffset::Gap { before, .. } => self.change(at(before)?),
        }
    }
}

impl fmt::Display for Calendar {
    /// Its periods for people: "month from day 15 in Europe/Madrid".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StartsOn { month, day } = self.starts_on;
        f.write_str(self.period.as_str())?;
        match self.period {
            _ if self.starts_on == StartsOn::default() => {}
            Period::Year => write!(f, " from {month:02}-{day:02}")?,
            _ => write!(f, " from day {day}")?,
        }
        write!(f, " in {}", self.zone())
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        let parts = |c: &Self| (c.period, c.starts_on);
        parts(self) == parts(other) && self.zone() == other.zone()
    }
}

impl Eq for Calendar {}

/// The zone of a name; else the name that was likely meant.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Option<String>> {
    ZONES.get(name).map_err(|_| {
        let names: Vec<_> = ZONES.available().map(|name| name.as_str().to_owned()).collect();
        nearest(name, names.iter().map(String::as_str)).map(ToOwned::to_owned)
    })
}

/// A date, or the last one of a month that has no such day.
fn clipped(year: i16, month: i8, day: i8) -> Option<Date> {
    let first = Date::new(year, month, 1).ok()?;
    Date::new(year, month, day.min(first.days_in_month())).ok()
}

fn stamp(seconds: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(seconds).ok()
}

/// An instant that may lie before 1970, where ours begin.
fn instant(seconds: i64) -> Timestamp {
    Timestamp::new(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))
}
