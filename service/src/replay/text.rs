//! The report for people at a terminal.

use super::report::{ChangesReport, KeyReport, LogReport, Report, SideReport};
use crate::output::{Page, shown};

/// How many columns the picture of time has.
const COLUMNS: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How many keys are listed.
const KEYS: usize = 10;

/// Fills the page.
pub(crate) fn fill(report: &Report, page: &mut Page) {
    head(&report.log, page);
    let verdict = |side: &SideReport| {
        let share = percent(report.denied_share(side));
        format!("{} would have been denied ({share})", grouped(side.denied))
    };
    let Report { policy, .. } = report;
    page.line(format_args!("policy {}: {}", policy.revision, verdict(policy)));
    if let (Some(old), Some(changes)) = (&report.against, &report.changes) {
        page.line(format_args!("against {}: {}", old.revision, verdict(old)));
        changed(changes, page);
    }
    limits(report, page);
    keys(&report.policy.keys, page);
    over_time(report, page);
    for warning in &report.warnings {
        page.end().line(format_args!("note: {warning}"));
    }
}

/// A number with a comma between thousands.
#[must_use]
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things.
#[must_use]
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A share from 0 to 1 as a percentage; what is there is never shown as nothing.
#[must_use]
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.01 {
        return "< 0.01 %".to_owned();
    }
    if percent > 99.99 && percent < 100.0 {
        return "> 99.99 %".to_owned();
    }
    format!("{percent:.2} %")
}

/// An instant for people: to the second, without the letters of RFC 3339.
#[must_use]
pub(crate) fn instant(rfc3339: &str) -> String {
    rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " ")
}

/// The key as `tenant_id=acme, user_id=7`, or `no user_id` where that is missing.
#[must_use]
pub(crate) fn key_text(key: &KeyReport) -> String {
    if key.key.is_empty() {
        return "all requests".to_owned();
    }
    let part = |(name, value): (&String, &String)| match value.as_str() {
        // A value that is there is never empty.
        "" => format!("no {name}"),
        value => format!("{name}={value}"),
    };
    key.key.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// A count of the most frequent, which may be too high.
#[must_use]
pub(crate) fn count_text(key: &KeyReport) -> String {
    match key.excess {
        0 => grouped(key.denied),
        excess => format!("{} to {}", grouped(key.denied - excess), grouped(key.denied)),
    }
}

fn head(log: &LogReport, page: &mut Page) {
    let (requests, lines) = (counted(log.requests, "request"), counted(log.lines, "line"));
    page.text(format_args!("{}: {requests} of {lines} ({})", log.name, log.format));
    if let (Some(first), Some(last)) = (&log.first_at, &log.last_at) {
        page.text(format_args!(", {} to {} UTC", instant(first), instant(last)));
    }
    page.end();
    if log.unreadable_lines > 0 {
        page.line(format_args!("{} could not be read:", counted(log.unreadable_lines, "line")));
        for unreadable in &log.unreadable {
            page.line(format_args!("  line {}: {}", unreadable.line, unreadable.why));
        }
    }
}

fn changed(changes: &ChangesReport, page: &mut Page) {
    for (what, sum, by) in [
        ("denied that passed before", changes.newly_denied, &changes.newly_denied_by),
        ("passed that were denied before", changes.newly_allowed, &changes.newly_allowed_by),
    ] {
        page.text(format_args!("  {} {what}", grouped(sum)));
        for (index, change) in by.iter().enumerate() {
            let limit = change.limit.as_deref().unwrap_or("no limit applies");
            let separator = if index == 0 { ": " } else { ", " };
            page.text(format_args!("{separator}{limit} {}", grouped(change.requests)));
        }
        page.end();
    }
}

fn limits(report: &Report, page: &mut Page) {
    let mut rows = vec![["LIMIT", "MODE", "APPLIED", "DENIED", "EXCEEDED"].map(str::to_owned)];
    for limit in &report.policy.limits {
        let [applied, denied, exceeded] =
            [limit.applied, limit.denied, limit.exceeded].map(grouped);
        rows.push([limit.name.clone(), limit.mode.to_owned(), applied, denied, exceeded]);
    }
    table(&rows, 2, page);
}

fn keys(keys: &[KeyReport], page: &mut Page) {
    let mut rows = vec![["DENIED MOST", "LIMIT", "DENIED"].map(str::to_owned)];
    for key in keys.iter().take(KEYS) {
        rows.push([key_text(key), key.limit.clone(), count_text(key)]);
    }
    if !keys.is_empty() {
        table(&rows, 2, page);
    }
}

/// Rows in columns, those from `right` on to the right, below an empty line.
fn table<const N: usize>(rows: &[[String; N]], right: usize, page: &mut Page) {
    let rows: Vec<[_; N]> = rows.iter().map(|row| row.each_ref().map(|c| shown(c))).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    page.end();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < right { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        page.line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// One line each for all requests and for the denied ones.
fn over_time(report: &Report, page: &mut Page) {
    let buckets = &report.over_time.buckets;
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return };
    let columns = COLUMNS.min(buckets.len());
    let mut sums = vec![(0, 0); columns];
    for (index, bucket) in buckets.iter().enumerate() {
        if let Some((requests, denied)) = sums.get_mut(index * columns / buckets.len()) {
            *requests += bucket.requests;
            *denied += bucket.denied;
        }
    }
    let most = sums.iter().map(|(requests, _)| *requests).max().unwrap_or(1);
    let line = |of: fn(&(u64, u64)) -> u64| -> String {
        sums.iter().map(|sum| bar(of(sum), most)).collect()
    };
    let (from, to) = (instant(&first.at), instant(&last.at));
    page.end().line(format_args!("OVER TIME ({from} to {to} UTC)"));
    page.line(format_args!("requests  {}", line(|sum| sum.0)));
    page.line(format_args!("denied    {}", line(|sum| sum.1)));
}

fn bar(count: u64, most: u64) -> char {
    let height = (u128::from(count) * BARS.len() as u128).div_ceil(u128::from(most.max(1)));
    let place = usize::try_from(height).unwrap_or_default().checked_sub(1);
    place.and_then(|place| BARS.get(place)).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_thousands() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_is_there_is_not_shown_as_nothing() {
        let cases = [
            (0.0, "0.00 %"),
            (0.000_001, "< 0.01 %"),
            (0.1234, "12.34 %"),
            (0.999_999, "> 99.99 %"),
            (1.0, "100.00 %"),
        ];
        for (share, text) in cases {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn bars_are_as_high_as_their_share() {
        let bars: String = [0, 1, 50, 100].iter().map(|count| bar(*count, 100)).collect();
        assert_eq!(bars, " ▁▄█");
    }
}
