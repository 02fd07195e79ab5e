//! Explanations as trees for people: the verdict, the limits that apply, then those that do not.
//!
//! Lines are wrapped, so that a terminal of 100 columns shows the tree whole.

use std::fmt;

use super::{Explanation, LimitExplanation};
use crate::policy::Algorithm;
use crate::policy::units::window_text;
use crate::time::Micros;

/// The widest line, in characters.
const WIDTH: usize = 100;
/// How many cells the bar of a limit has.
const BAR_CELLS: u64 = 20;

/// A line and what hangs from it.
struct Branch {
    title: String,
    /// Lines below the title that have no branches of their own.
    notes: Vec<String>,
    branches: Vec<Branch>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl Explanation {
    /// The tree line by line; what stands in a line may have ends of lines in it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.verdict()];
        lines.extend(self.detail.iter().flat_map(|detail| wrap(detail, WIDTH, 0)));
        let degraded = if self.degraded { ", degraded: without the store" } else { "" };
        let fresh = if self.fresh { ", fresh counters" } else { "" };
        lines.push(format!("policy {}{fresh}{degraded}", self.policy_revision));
        let (apply, not): (Vec<_>, Vec<_>) = self.limits.iter().partition(|limit| limit.applies);
        let binds = |limit: &LimitExplanation| self.limit_name.as_deref() == Some(&*limit.name);
        let groups = [
            ("applies", apply.into_iter().map(|limit| limit.applying(binds(limit))).collect()),
            ("does not apply", not.into_iter().map(LimitExplanation::other).collect()),
        ];
        let groups = groups.into_iter().filter(|(_, limits): &(_, Vec<_>)| !limits.is_empty());
        let groups = groups.map(|(title, branches)| Branch {
            title: format!("{title} ({})", branches.len()),
            notes: Vec::new(),
            branches,
        });
        grow(&mut lines, &groups.collect::<Vec<_>>(), "");
        lines
    }

    fn verdict(&self) -> String {
        let Some(reason) = &self.reason else {
            return match (&self.limit_name, self.remaining) {
                (Some(name), left) => {
                    let left = left.unwrap_or_default();
                    format!("✓ allowed: `{name}` binds, {left} left after this request")
                }
                (None, _) => "✓ allowed: no limit applies".to_owned(),
            };
        };
        let by = self.limit_name.as_ref().map(|name| format!(" by `{name}`")).unwrap_or_default();
        let wait = match self.retry_after_ms {
            Some(Some(wait)) => format!(", passes in {}", wait_text(wait)),
            Some(None) => ", never passes".to_owned(),
            None => String::new(),
        };
        format!("✗ denied: {reason}{by}{wait}")
    }
}

impl LimitExplanation {
    fn applying(&self, binds: bool) -> Branch {
        let Self { name, limit, algorithm, mode, .. } = self;
        let time = window_text(Micros::new(self.window_ms.saturating_mul(1_000)));
        let numbers = match (&self.period, self.refill) {
            (Some(period), _) => format!("{limit} per {period}"),
            (None, Some(refill)) => format!("{refill} in {time}, burst {limit}"),
            (None, None) if *algorithm == Algorithm::Concurrency.as_str() => {
                format!("{limit} at a time, each for at most {time}")
            }
            (None, None) => format!("{limit} in {time}"),
        };
        let binds = if binds { ", binds" } else { "" };
        let title = format!("{name}: {numbers}, {algorithm}, {mode}{binds}");
        let mut notes = Vec::new();
        if let Some(left) = self.remaining {
            let used = self.used.map(|used| format!(", {used} used before")).unwrap_or_default();
            notes.push(format!("{}{left} of {limit} left{used}", self.bar()));
        }
        if let Some(from) = &self.cost_from {
            let cost = self.cost.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
            notes.push(format!("cost    {cost}: {from}"));
        }
        notes.extend(self.layer_text().map(|layer| format!("number  {layer}")));
        notes.push(format!("why     {}", self.why));
        notes.extend(self.on_store_failure.iter().map(|rule| format!("failure {rule}")));
        notes.push(format!("source  {}:{}", self.source.file, self.source.line));
        Branch { title, notes, branches: Vec::new() }
    }

    fn other(&self) -> Branch {
        let title = format!("{}: {}", self.name, self.why);
        Branch { title, notes: Vec::new(), branches: Vec::new() }
    }

    /// What was used before, what this request takes, and what is left, as a bar; nothing where
    /// nobody knows what was used.
    fn bar(&self) -> String {
        let (Some(used), Some(left)) = (self.used, self.remaining) else { return String::new() };
        let taken = self.limit.saturating_sub(left).saturating_sub(used);
        let cells = |tokens: u64| {
            let share = u128::from(tokens) * u128::from(BAR_CELLS);
            let cells = share.div_ceil(u128::from(self.limit.max(1)));
            u64::try_from(cells).unwrap_or(BAR_CELLS).min(BAR_CELLS)
        };
        // A part that is not nothing has a cell.
        let filled = cells(used);
        let taken = cells(used.saturating_add(taken)).saturating_sub(filled);
        let taken = if self.remaining.unwrap_or(0) + used < self.limit { taken.max(1) } else { 0 };
        let filled = filled.min(BAR_CELLS - taken);
        let mut bar = String::new();
        for (cell, times) in [('█', filled), ('▓', taken), ('░', BAR_CELLS - filled - taken)]
        {
            (0..times).for_each(|_| bar.push(cell));
        }
        bar + "  "
    }
}

/// Adds the lines of branches, one below the other; `stem` stands before each of them.
fn grow(lines: &mut Vec<String>, branches: &[Branch], stem: &str) {
    let last = branches.len().saturating_sub(1);
    for (number, branch) in branches.iter().enumerate() {
        let (fork, below) = if number == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let below = format!("{stem}{below}");
        let wrapped = wrap(&branch.title, WIDTH - stem.chars().count() - 3, 2);
        for (line, text) in wrapped.iter().enumerate() {
            let before = if line == 0 { format!("{stem}{fork}") } else { below.clone() };
            lines.push(format!("{before}{text}"));
        }
        for note in &branch.notes {
            let wrapped = wrap(note, WIDTH - below.chars().count(), 8);
            lines.extend(wrapped.iter().map(|text| format!("{below}{text}")));
        }
        grow(lines, &branch.branches, &below);
    }
}

/// Breaks a text at its spaces into lines of at most `width` characters; the further ones are
/// indented.
fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let length = line.chars().count();
        if length > indent && length + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            line.push_str(word);
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.push(line);
    lines
}

/// A wait as people say it: its two largest units; milliseconds only below a minute.
fn wait_text(wait_ms: u64) -> String {
    if wait_ms < 60_000 {
        let (seconds, millis) = (wait_ms / 1_000, wait_ms % 1_000);
        return match (seconds, millis) {
            (_, 0) => format!("{seconds}s"),
            (0, _) => format!("{millis}ms"),
            _ => format!("{seconds}.{millis:03}s"),
        };
    }
    let seconds = wait_ms.div_ceil(1_000);
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        parts.push((left / length, unit));
        left %= length;
    }
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(0);
    let shown = parts.iter().skip(first).take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_shown_in_their_two_largest_units() {
        for (wait_ms, text) in [
            (0, "0s"),
            (7, "7ms"),
            (1_500, "1.500s"),
            (59_000, "59s"),
            (3_000_000, "50m"),
            (3_599_001, "1h"),
            (3_661_000, "1h 1m"),
            (86_405_000, "1d"),
            (176_400_000, "2d 1h"),
        ] {
            assert_eq!(wait_text(wait_ms), text);
        }
    }

    #[test]
    fn long_texts_are_wrapped_and_lose_no_word() {
        let text = "one two three four five six seven";
        let lines = wrap(text, 12, 2);
        assert_eq!(lines, ["one two", "  three four", "  five six", "  seven"]);
        assert_eq!(wrap("a-word-that-is-too-long", 5, 2), ["a-word-that-is-too-long"]);
    }
}
