//! The report as one page for a browser: no scripts, and nothing that is loaded from elsewhere.

use std::fmt::Write as _;

use super::report::{Report, SideReport};
use super::text::{counted, grouped, instant, percent};
use crate::output::shown;

mod chart;
mod tables;

const STYLE: &str = include_str!("html/page.css");

/// The whole page.
#[must_use]
pub(crate) fn page(report: &Report) -> String {
    let title = format!("Replay of {}", report.log.name);
    let mut page = String::with_capacity(128 * 1024);
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    let _ = writeln!(page, "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>", text(&title));
    page.push_str("<body>\n<main>\n");
    page.push_str(&head(report));
    page.push_str(&cards(report));
    page.push_str(&chart::over_time(report));
    page.push_str(&tables::limits(report));
    page.push_str(&tables::keys(report));
    page.push_str(&notes(report));
    let _ = writeln!(
        page,
        "<footer>Made by <code>sluicegate replay</code>. Each request was decided at its own time, \
         on counters that began empty. Keys are shown as the log has them.</footer>"
    );
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Text of the log, as text of the page.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for character in shown(raw).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A share of a whole in percent, for widths and heights.
fn part(of: u64, whole: u64) -> f64 {
    of as f64 * 100.0 / whole.max(1) as f64
}

fn head(report: &Report) -> String {
    let (log, policy) = (&report.log, &report.policy);
    let mut head = String::from("<header>\n<p class=\"eyebrow\">Sluicegate replay</p>\n");
    let all = grouped(log.requests);
    let _ = match policy.denied {
        0 => writeln!(head, "<h1>None of {all} requests would have been denied</h1>"),
        denied => writeln!(
            head,
            "<h1><em>{}</em> of {all} requests would have been denied ({})</h1>",
            grouped(denied),
            text(&percent(report.denied_share(policy)))
        ),
    };
    let mut about = format!("{} ({})", text(&log.name), log.format);
    if let (Some(first), Some(last)) = (&log.first_at, &log.last_at) {
        let _ = write!(about, ", {} to {} UTC", instant(first), instant(last));
    }
    let _ = write!(about, "; policy <code>{}</code>", text(&policy.revision));
    if let Some(old) = &report.against {
        let _ = write!(about, " against <code>{}</code>", text(&old.revision));
    }
    let _ = writeln!(head, "<p class=\"about\">{about}</p>\n{}</header>", whole(report));
    head
}

/// One bar for all requests.
fn whole(report: &Report) -> String {
    let all = report.log.requests;
    let mut bar = String::from("<div class=\"whole\" role=\"presentation\">");
    for (class, count) in shares(report) {
        if count > 0 {
            let _ =
                write!(bar, "<i class=\"{class}\" style=\"width:{:.3}%\"></i>", part(count, all));
        }
    }
    bar.push_str("</div>\n");
    bar
}

/// The requests by what becomes of them, in the order of the stacks; those that pass in any case
/// are the rest.
fn shares(report: &Report) -> Vec<(&'static str, u64)> {
    match &report.changes {
        None => vec![("denied", report.policy.denied)],
        Some(changes) => vec![
            ("both", report.policy.denied - changes.newly_denied),
            ("denied", changes.newly_denied),
            ("eased", changes.newly_allowed),
        ],
    }
}

fn cards(report: &Report) -> String {
    let mut cards = String::from("<section class=\"cards\">\n");
    let mut card = |class: &str, number: String, what: &str| {
        let (number, what) = (text(&number), text(what));
        let _ =
            writeln!(cards, "<div class=\"card {class}\"><b>{number}</b><span>{what}</span></div>");
    };
    let share = |side: &SideReport| percent(report.denied_share(side));
    card("", grouped(report.log.requests), "requests");
    let denied = format!("denied, {}", share(&report.policy));
    match (&report.against, &report.changes) {
        (Some(old), Some(changes)) => {
            card("", grouped(old.denied), &format!("denied by the old limits, {}", share(old)));
            card(
                "",
                grouped(report.policy.denied),
                &format!("denied by the new, {}", share(&report.policy)),
            );
            card("denied", grouped(changes.newly_denied), "passed before, denied now");
            card("eased", grouped(changes.newly_allowed), "denied before, pass now");
        }
        _ => {
            card("denied", grouped(report.policy.denied), &denied);
            card("", grouped(report.policy.allowed), "would have passed");
        }
    }
    card("", grouped(report.policy.without_limit), "without any limit");
    cards.push_str("</section>\n");
    cards
}

fn notes(report: &Report) -> String {
    let log = &report.log;
    if report.warnings.is_empty() && log.unreadable_lines == 0 {
        return String::new();
    }
    let mut notes = String::from("<section>\n<h2>Worth knowing</h2>\n<ul>\n");
    for warning in &report.warnings {
        let _ = writeln!(notes, "<li>{}</li>", text(warning));
    }
    if log.unreadable_lines > 0 {
        let _ = write!(notes, "<li>{} could not be read: ", counted(log.unreadable_lines, "line"));
        for (index, unreadable) in log.unreadable.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let _ = write!(notes, "{separator}line {}, {}", unreadable.line, text(&unreadable.why));
        }
        notes.push_str("</li>\n");
    }
    notes.push_str("</ul>\n</section>\n");
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_log_is_markup() {
        let raw = "<script>alert('x')</script>&\"\u{1b}[31m\u{202e}";
        let escaped =
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\\u{1b}[31m\\u{202e}";
        assert_eq!(text(raw), escaped);
    }
}
