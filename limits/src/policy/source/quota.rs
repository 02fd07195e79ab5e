//! The keys of a calendar as they were written.

use jiff::tz::TimeZone;

use super::limit::word;
use crate::policy::calendar::{self, StartsOn};
use crate::policy::keys::MAX_ALERTS;
use crate::policy::kinds::Period;
use crate::policy::problem::{Problems, code, shown};
use crate::policy::read::{self, Fields, Spanned};
use crate::policy::yaml::Node;

/// What the keys of a calendar say.
#[derive(Debug)]
pub(crate) struct RawQuota {
    pub(crate) period: Option<Period>,
    pub(crate) zone: Option<TimeZone>,
    pub(crate) starts_on: StartsOn,
    pub(crate) alert_at: Vec<u8>,
}

pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> RawQuota {
    let period = word(fields, "period", &Period::WORDS, problems);
    let zone = fields.take("timezone").and_then(|node| zone(node, problems));
    let starts_on = fields.take("starts_on").map(|node| starts_on(node, period, problems));
    let alerts = fields.take("alert_at");
    let alerts = alerts.and_then(|node| read::texts(node, "`alert_at`", MAX_ALERTS, problems));
    let alerts = alerts.unwrap_or_default();
    let mut alert_at: Vec<u8> = Vec::with_capacity(alerts.len());
    for text in alerts {
        let Some(percent) = percent(&text, problems) else { continue };
        if alert_at.contains(&percent) {
            let message = format!("`{percent}%` stands twice in `alert_at`");
            problems.error(text.at, code::REPEATED_KEY, message, "keep one of them");
        }
        alert_at.push(percent);
    }
    alert_at.sort_unstable();
    RawQuota { period, zone, starts_on: starts_on.flatten().unwrap_or_default(), alert_at }
}

fn zone(node: Node<'_>, problems: &mut Problems) -> Option<TimeZone> {
    let text = read::text(node, "`timezone`", problems)?;
    calendar::zone(&text.value)
        .map_err(|nearest| {
            let message = format!("`{}` is not a time zone", shown(&text.value));
            let help = match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "a name of the IANA time zone database: `Europe/Madrid`".to_owned(),
            };
            problems.error(text.at, code::BAD_TIMEZONE, message, &help);
        })
        .ok()
}

/// The day that a month, or the month and day that a year begins on.
fn starts_on(node: Node<'_>, period: Option<Period>, problems: &mut Problems) -> Option<StartsOn> {
    match period? {
        Period::Month => {
            let day = read::number(node, "`starts_on` of a month", (1, 31), problems)?;
            Some(StartsOn { day: i8::try_from(day.value).ok()?, ..StartsOn::default() })
        }
        Period::Year => {
            let text = read::text(node, "`starts_on` of a year", problems)?;
            let day = day_of_year(&text.value);
            if day.is_none() {
                let message = format!("`{}` is not a day of the year", shown(&text.value));
                problems.error(text.at, code::BAD_DAY, message, "a month and a day: `04-01`");
            }
            day
        }
        period @ (Period::Hour | Period::Day | Period::Week) => {
            let message = format!("`starts_on` is not for the period `{}`", period.as_str());
            let help = match period {
                Period::Week => "remove it: weeks start on Monday",
                _ => "remove it, or write `period: month` or `period: year`",
            };
            problems.error(node.at, code::MISPLACED_KEY, message, help);
            None
        }
    }
}

/// Reads `MM-DD`. The 29th of February is a day, if not of every year.
fn day_of_year(text: &str) -> Option<StartsOn> {
    let (month, day) = text.split_once('-')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<i8>().ok() } else { None }
    };
    let (month, day) = (two(month)?, two(day)?);
    // 2024 had a 29th of February.
    jiff::civil::Date::new(2024, month, day).ok().map(|_| StartsOn { month, day })
}

fn percent(text: &Spanned<String>, problems: &mut Problems) -> Option<u8> {
    let digits = text.value.strip_suffix('%').filter(|d| !d.starts_with('0') && d.len() <= 3);
    let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse().ok()).filter(|n| (1..=100).contains(n));
    if percent.is_none() {
        let message = format!("`{}` is not a part of a quota", shown(&text.value));
        problems.error(text.at, code::BAD_PERCENT, message, "a whole number of percent: `80%`");
    }
    percent
}
