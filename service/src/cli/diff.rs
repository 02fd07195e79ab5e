//! `sluicegate diff`: what changes in meaning from one set of limits to another.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use sluicegate_limits::diff::{Change, Detail, Difference, Effect, Kind, What, diff};
use sluicegate_limits::policy::IpPrefix;
use sluicegate_limits::time::Timestamp;

use super::{Exit, Output, check, print};
use crate::replay::text::{counted, grouped, plain};
use crate::{clock, instant};

/// How many groups of tenants people are shown, and how many tenants of each.
const SHOWN_GROUPS: usize = 20;
const SHOWN_TENANTS: usize = 3;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The limits as they are: a file, or a directory of them
    old: PathBuf,
    /// The limits as they will be
    new: PathBuf,
    /// When exceptions are past their end or not, as RFC 3339; now by default
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    at: Option<Timestamp>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How a change is painted; empty where the reader is no terminal.
struct Paint {
    stricter: &'static str,
    looser: &'static str,
    other: &'static str,
    off: &'static str,
}

pub(super) fn run(command: &Diff) -> Exit {
    let policy = |path: &PathBuf| check::policy(std::slice::from_ref(path), IpPrefix::default());
    let (Some(old), Some(new)) = (policy(&command.old), policy(&command.new)) else {
        return Exit::Configuration;
    };
    let difference = diff(&old, &new, command.at.unwrap_or_else(clock::now));
    match command.output {
        Output::Json => print(&super::json(&difference)),
        Output::Text => print(&text(&difference, &Paint::new(std::io::stdout().is_terminal()))),
    }
    if difference.equal { Exit::Yes } else { Exit::No }
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    instant::parse(text).map_err(|error| error.to_string())
}

/// The page, without a line end.
fn text(difference: &Difference, paint: &Paint) -> String {
    let Difference { old_revision, new_revision, changes, .. } = difference;
    if difference.equal {
        return format!("no change in meaning: policy revision {new_revision}");
    }
    let mut page = format!("policy revision {old_revision} to {new_revision}\n");
    let (tenants, others): (Vec<_>, Vec<_>) =
        changes.iter().partition(|change| change.what == What::Tenants);
    for change in others.iter().chain(tenants.iter().take(SHOWN_GROUPS)) {
        page.push_str(&one(change, paint));
    }
    if let Some(more) = tenants.get(SHOWN_GROUPS..).filter(|more| !more.is_empty()) {
        let count = more.iter().map(|change| change.tenants.len() as u64).sum();
        let _ = writeln!(
            page,
            "\n{} change in {} more ways: -o json tells them",
            counted(count, "tenant"),
            grouped(more.len() as u64)
        );
    }
    page.trim_end().to_owned()
}

fn one(change: &Change, paint: &Paint) -> String {
    let (sign, word, colour) = match change.change {
        Kind::Added => ('+', "added", paint.stricter),
        Kind::Removed => ('-', "removed", paint.looser),
        Kind::Tightened => ('~', "tightened", paint.stricter),
        Kind::Loosened => ('~', "loosened", paint.looser),
        Kind::Changed => ('~', "changed", paint.other),
    };
    let mut text = format!("\n{colour}{sign} {}{}: {word}", subject(change), paint.off);
    if let Some(was) = &change.was {
        let _ = write!(text, ", was {was}");
    }
    text.push('\n');
    for detail in &change.details {
        text.push_str(&field(detail, paint));
    }
    text
}

/// What a change is about, as `limit api` or `4,711 tenants (acme, b, c and 4,708 more)`.
fn subject(change: &Change) -> String {
    let noun = match change.what {
        What::Limit => "limit",
        What::EndpointCost => "endpoint cost",
        What::Order => "order of limits",
        What::Plan => "plan",
        What::Tenants if change.tenants.len() == 1 => "tenant",
        What::Tenants => return several(&change.tenants),
    };
    format!("{noun} {}", plain(&change.name))
}

fn several(tenants: &[String]) -> String {
    let shown: Vec<_> = tenants.iter().take(SHOWN_TENANTS).map(|id| plain(id)).collect();
    let mut text = format!("{} ({}", counted(tenants.len() as u64, "tenant"), shown.join(", "));
    if let Some(more) = tenants.len().checked_sub(SHOWN_TENANTS).filter(|more| *more > 0) {
        let _ = write!(text, " and {} more", grouped(more as u64));
    }
    text + ")"
}

fn field(detail: &Detail, paint: &Paint) -> String {
    let nothing = || "nothing".to_owned();
    let mut text = format!("    {}: ", detail.limit.as_deref().unwrap_or(detail.field));
    text.push_str(&match (&detail.before, &detail.after) {
        (None, Some(only)) | (Some(only), None) if is_whole(detail) => only.clone(),
        (before, after) => {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(nothing);
            format!("{} -> {}", side(before), side(after))
        }
    });
    let (word, colour) = match detail.effect {
        _ if detail.field == "counters" => ("every key begins anew", paint.other),
        Effect::Stricter => ("stricter", paint.stricter),
        Effect::Looser => ("looser", paint.looser),
        Effect::Neither => ("neither stricter nor looser", paint.other),
        Effect::None => ("what can pass stays the same", ""),
    };
    let _ = writeln!(text, "  ({colour}{word}{})", paint.off);
    text
}

/// Whether a detail tells of all of a thing that is new or gone.
fn is_whole(detail: &Detail) -> bool {
    matches!(detail.field, "limit")
}

impl Paint {
    const fn new(colours: bool) -> Self {
        if colours {
            let (stricter, looser) = ("\x1b[31m", "\x1b[32m");
            Self { stricter, looser, other: "\x1b[33m", off: "\x1b[0m" }
        } else {
            Self { stricter: "", looser: "", other: "", off: "" }
        }
    }
}
