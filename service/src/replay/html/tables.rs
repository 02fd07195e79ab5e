//! What each limit denied, and who was denied most.

use std::fmt::Write as _;

use super::{part, text};
use crate::replay::report::{KeyReport, LimitReport, Report};
use crate::replay::text::{count_text, grouped, key_text};

pub(super) fn limits(report: &Report) -> String {
    let old = report.against.as_ref().map(|old| old.limits.as_slice());
    let gone = old.unwrap_or_default().iter();
    let gone = gone.filter(|old| report.policy.limits.iter().all(|new| new.name != old.name));
    let mut rows: Vec<(&LimitReport, bool)> =
        report.policy.limits.iter().map(|limit| (limit, true)).collect();
    rows.sort_by_key(|(limit, _)| std::cmp::Reverse((limit.denied, limit.exceeded)));
    rows.extend(gone.map(|limit| (limit, false)));
    let most = rows.iter().map(|(limit, _)| limit.denied.max(limit.exceeded)).max().unwrap_or(1);
    let mut out = String::from(
        "<section>\n<h2>By limit</h2>\n<p class=\"hint\">Denied: the limit decided the denial. \
         Exceeded: it had no room, whichever limit decided; in shadow mode, what it would have \
         denied.</p>\n<div class=\"scroll wide\"><table>\n<tr><th>Limit</th>\
         <th class=\"number\">Applied to</th>",
    );
    if old.is_some() {
        out.push_str("<th class=\"number\">Denied before</th>");
    }
    out.push_str(
        "<th class=\"number\">Denied</th><th class=\"bar\"></th>\
         <th class=\"number\">Exceeded</th></tr>\n",
    );
    for (limit, is_new) in rows {
        let _ = write!(out, "<tr><td class=\"name\"><code>{}</code>", text(&limit.name));
        let tag = if is_new { limit.mode } else { "gone" };
        if tag != "enforce" {
            let _ = write!(out, "<span class=\"tag\">{tag}</span>");
        }
        out.push_str("</td>");
        let [applied, denied, exceeded] = [limit.applied, limit.denied, limit.exceeded]
            .map(|n| if is_new { count(n) } else { no() });
        out.push_str(&applied);
        if let Some(old) = old {
            let before = old.iter().find(|old| old.name == limit.name);
            out.push_str(&before.map_or_else(no, |before| count(before.denied)));
        }
        let (class, length) = match limit.mode {
            "shadow" => ("both", limit.exceeded),
            _ => ("denied", limit.denied),
        };
        out.push_str(&denied);
        out.push_str(&bar(class, if is_new { length } else { 0 }, most));
        let _ = writeln!(out, "{exceeded}</tr>");
    }
    out.push_str("</table></div>\n</section>\n");
    out
}

pub(super) fn keys(report: &Report) -> String {
    let mut out = String::new();
    if let Some(changes) = &report.changes {
        let hint = "Callers that pass with the old limits and are denied by the new ones.";
        out.push_str(&key_table("Newly denied most", hint, &changes.newly_denied_keys));
    }
    let hint = "The keys that were denied most often, by the limit that denied them.";
    out.push_str(&key_table("Denied most", hint, &report.policy.keys));
    out
}

fn key_table(title: &str, hint: &str, keys: &[KeyReport]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let most = keys.iter().map(|key| key.denied).max().unwrap_or(1);
    let mut out = format!(
        "<section>\n<h2>{title}</h2>\n<p class=\"hint\">{hint}</p>\n<div class=\"scroll\"><table>\n\
         <tr><th>Key</th><th>Limit</th><th class=\"number\">Denied</th><th></th></tr>\n"
    );
    for key in keys {
        let _ = write!(
            out,
            "<tr><td class=\"name\">{}</td><td class=\"name\"><code>{}</code></td>\
             <td class=\"number\">{}</td>",
            text(&key_text(key)),
            text(&key.limit),
            count_text(key)
        );
        let _ = writeln!(out, "{}</tr>", bar("denied", key.denied, most));
    }
    out.push_str("</table></div>\n</section>\n");
    out
}

fn count(number: u64) -> String {
    let class = if number == 0 { "number none" } else { "number" };
    format!("<td class=\"{class}\">{}</td>", grouped(number))
}

fn no() -> String {
    "<td class=\"number none\">–</td>".to_owned()
}

fn bar(class: &str, number: u64, most: u64) -> String {
    if number == 0 {
        return "<td class=\"bar\"></td>".to_owned();
    }
    format!(
        "<td class=\"bar\"><i class=\"{class}\" style=\"width:{:.1}%\"></i></td>",
        part(number, most)
    )
}
