//! What happened over time, as stacked bars. The scales are text beside the picture, so that they
//! stay legible however narrow the page is.

use std::fmt::Write as _;

use sluicegate_limits::time::Timestamp;

use super::text;
use crate::instant::{parse, rfc3339};
use crate::replay::report::{BucketReport, Report};
use crate::replay::text::{grouped, instant};

/// The steps between marks of time, in seconds.
const STEPS_S: [u64; 24] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800, 1_209_600, 2_419_200, 7_257_600, 31_536_000,
];
/// The most marks of time.
const MARKS: u64 = 9;
/// With more bars than this there is no gap between them.
const GAPPED: usize = 150;

/// One part of each bar: how it is painted, what it is, how many requests.
struct Series {
    class: &'static str,
    name: &'static str,
    of: fn(&BucketReport) -> u64,
}

/// The series from the ground up.
fn series(compared: bool) -> Vec<Series> {
    let newly = |b: &BucketReport| b.newly_denied.unwrap_or(0);
    let eased = |b: &BucketReport| b.newly_allowed.unwrap_or(0);
    if compared {
        vec![
            Series {
                class: "both",
                name: "denied, as before",
                of: |b| b.denied - b.newly_denied.unwrap_or(0),
            },
            Series { class: "denied", name: "newly denied", of: newly },
            Series { class: "eased", name: "newly allowed", of: eased },
            Series {
                class: "allowed",
                name: "allowed, as before",
                of: |b| b.requests - b.denied - b.newly_allowed.unwrap_or(0),
            },
        ]
    } else {
        vec![
            Series { class: "denied", name: "denied", of: |b| b.denied },
            Series { class: "allowed", name: "allowed", of: |b| b.requests - b.denied },
        ]
    }
}

pub(super) fn over_time(report: &Report) -> String {
    let buckets = &report.over_time.buckets;
    if buckets.is_empty() {
        return String::new();
    }
    let width = length(report.over_time.bucket_ms);
    let series = series(report.changes.is_some());
    let mut out = format!(
        "<section>\n<h2>Over time</h2>\n<p class=\"hint\">Requests in each {}; all times are \
         UTC.</p>\n",
        text(&width)
    );
    out.push_str("<div class=\"legend\">");
    for one in series.iter().rev() {
        let _ = write!(out, "<span><i class=\"{}\"></i>{}</span>", one.class, one.name);
    }
    out.push_str("</div>\n");
    out.push_str(&chart(report, &series, ""));
    // Few denials among many requests are seen on a scale of their own.
    let few = series.get(..series.len() - 1).unwrap_or_default();
    if buckets.iter().any(|bucket| few.iter().any(|one| (one.of)(bucket) > 0)) {
        let title = if report.changes.is_some() {
            "Without those that pass either way"
        } else {
            "Denied alone"
        };
        let _ = writeln!(out, "<h3>{title}</h3>");
        out.push_str(&chart(report, few, "low"));
    }
    out.push_str("</section>\n");
    out
}

/// A length of time in words, as in "each minute".
fn length(ms: u64) -> String {
    let units = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")];
    match units.into_iter().find(|(unit, _)| ms.is_multiple_of(*unit)) {
        Some((unit, word)) if ms == unit => word.to_owned(),
        Some((unit, word)) => format!("{} {word}s", ms / unit),
        None => format!("{ms} milliseconds"),
    }
}

/// One picture with its scales.
fn chart(report: &Report, series: &[Series], class: &str) -> String {
    let buckets = &report.over_time.buckets;
    let height = |bucket: &BucketReport| series.iter().map(|one| (one.of)(bucket)).sum::<u64>();
    let top = nice(buckets.iter().map(height).max().unwrap_or(1));
    let mut out = String::from("<div class=\"chart\">\n<div class=\"scale\">");
    let parts = [4, 5, 2].into_iter().find(|parts| top.is_multiple_of(*parts)).unwrap_or(1);
    let marks: Vec<(u64, u64)> =
        (0..=parts).map(|n| (100 - n * 100 / parts, top / parts * n)).collect();
    // The widest number keeps the room that the others need.
    let _ = write!(out, "<span>{}</span>", grouped(top));
    for (from_top, number) in &marks {
        let _ = write!(out, "<b style=\"top:{from_top}%\">{}</b>", grouped(*number));
    }
    let _ = write!(out, "</div>\n<div class=\"plot {class}\">");
    for (from_top, _) in marks.iter().filter(|(from_top, _)| *from_top < 100) {
        let _ = write!(out, "<u style=\"top:{from_top}%\"></u>");
    }
    let count = buckets.len();
    let _ = writeln!(
        out,
        "\n<svg viewBox=\"0 0 {count} 1000\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"requests over time\">"
    );
    out.push_str(&bars(buckets, series, top));
    out.push_str(&hovers(buckets, series));
    let _ = writeln!(out, "</svg></div>\n<div class=\"times\">{}</div>\n</div>", times(report));
    out
}

/// A path for each series.
fn bars(buckets: &[BucketReport], series: &[Series], top: u64) -> String {
    let (left, width) = if buckets.len() > GAPPED { (0.0, 1.0) } else { (0.07, 0.86) };
    let scale = |number: u64| number as f64 * 1_000.0 / top as f64;
    let mut below = vec![0; buckets.len()];
    let mut out = String::new();
    for one in series {
        let _ = write!(out, "<path class=\"{}\" d=\"", one.class);
        for ((bucket, below), number) in buckets.iter().zip(&mut below).zip(0_u32..) {
            let requests = (one.of)(bucket);
            if requests > 0 {
                let (x, y) = (f64::from(number) + left, 1_000.0 - scale(*below));
                // What is there is seen: at least three thousandths of the height.
                let up = scale(requests).max(3.0);
                let _ = write!(out, "M{x:.2} {y:.1}h{width}v-{up:.1}h-{width}z");
            }
            *below += requests;
        }
        out.push_str("\"/>\n");
    }
    out
}

/// What each bar says under the pointer.
fn hovers(buckets: &[BucketReport], series: &[Series]) -> String {
    let mut out = String::new();
    for (bucket, number) in buckets.iter().zip(0..) {
        if series.iter().all(|one| (one.of)(bucket) == 0) {
            continue;
        }
        let _ = write!(
            out,
            "<rect class=\"hover\" x=\"{number}\" y=\"0\" width=\"1\" height=\"1000\">\
             <title>{} UTC",
            text(&instant(&bucket.at))
        );
        for one in series.iter().rev() {
            let _ = write!(out, "\n{}: {}", one.name, grouped((one.of)(bucket)));
        }
        out.push_str("</title></rect>\n");
    }
    out
}

/// Marks at round times.
fn times(report: &Report) -> String {
    let buckets = &report.over_time.buckets;
    let bucket = report.over_time.bucket_ms.saturating_mul(1_000).max(1);
    let start = buckets.first().and_then(|first| parse(&first.at).ok()).unwrap_or_default().get();
    let span = bucket.saturating_mul(buckets.len() as u64);
    let fits = |step: &&u64| span / (**step * 1_000_000) < MARKS;
    let step = STEPS_S.iter().find(fits).map_or(3_153_600_000_000_000, |s| s * 1_000_000);
    let mut out = String::new();
    let mut at = start.div_ceil(step) * step;
    // One that stands at the very end would leave the page.
    while at < start + span - span / 40 {
        let from_left = (at - start) as f64 * 100.0 / span as f64;
        let mark = mark(Timestamp::new(at), step);
        let _ = write!(out, "<b style=\"left:{from_left:.2}%\">{}</b>", text(&mark));
        at += step;
    }
    out
}

/// An instant as short as the step allows: a day, hours and minutes, or seconds too.
fn mark(at: Timestamp, step: u64) -> String {
    let whole = rfc3339(at);
    let cut = |from: usize, to: usize| whole.get(from..to).unwrap_or_default().to_owned();
    match step / 1_000_000 {
        step if step >= 86_400 => cut(0, 10),
        step if step >= 60 && cut(11, 16) == "00:00" => cut(5, 10),
        step if step >= 60 => cut(11, 16),
        _ => cut(11, 19),
    }
}

/// The next number that is 1, 2, 4, 5 or 8 times a power of ten.
fn nice(number: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        let found = [1, 2, 4, 5, 8].into_iter().map(|n| power.saturating_mul(n));
        match found.into_iter().find(|n| *n >= number) {
            Some(nice) => return nice,
            None => power = power.saturating_mul(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        let cases = [(0, 1), (1, 1), (3, 4), (6, 8), (9, 10), (99, 100), (123_456, 200_000)];
        for (number, top) in cases {
            assert_eq!(nice(number), top);
        }
        assert_eq!(nice(u64::MAX), u64::MAX);
    }

    #[test]
    fn lengths_are_words() {
        let cases = [(250, "250 milliseconds"), (60_000, "minute"), (21_600_000, "6 hours")];
        for (ms, words) in cases {
            assert_eq!(length(ms), words);
        }
    }

    #[test]
    fn marks_are_as_short_as_their_step_allows() {
        let at = Timestamp::new(1_767_312_000_000_000);
        let half_past = Timestamp::new(1_767_313_800_000_000);
        assert_eq!(mark(at, 86_400_000_000), "2026-01-02");
        assert_eq!(mark(at, 3_600_000_000), "01-02");
        assert_eq!(mark(half_past, 1_800_000_000), "00:30");
        assert_eq!(mark(half_past, 5_000_000), "00:30:00");
    }
}
