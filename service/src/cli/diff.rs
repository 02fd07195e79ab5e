//! `sluicegate diff`: what changes in meaning from one set of limits to another.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use sluicegate_limits::diff::{Change, Detail, Difference, Effect, Kind, What, diff};
use sluicegate_limits::time::Timestamp;

use super::{Exit, Output, check};
use crate::output::{Colour, Page, Stream, print_json};
use crate::replay::text::{counted, grouped};
use crate::settings::Settings;
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
    /// Settings whose `paths` and `ip_prefix` count
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The settings as they are, where they change too
    #[arg(long, value_name = "FILE", requires = "config")]
    old_config: Option<PathBuf>,
    /// When exceptions are past their end or not, as RFC 3339; now by default
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    at: Option<Timestamp>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(command: &Diff) -> Exit {
    let config = command.config.as_deref();
    let old_config = command.old_config.as_deref().or(config);
    let (before, after) = match (check::of_file(old_config), check::of_file(config)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let policy = |path: &PathBuf, settings: Option<&Settings>| {
        check::policy(std::slice::from_ref(path), check::conventions(settings))
    };
    let (old, new) = (policy(&command.old, before.as_ref()), policy(&command.new, after.as_ref()));
    let (Some(old), Some(new)) = (old, new) else {
        return Exit::Configuration;
    };
    let difference = diff(&old, &new, command.at.unwrap_or_else(clock::now));
    match command.output {
        Output::Json => print_json(&difference),
        Output::Text => Stream::Out.page(|page| fill(&difference, page)),
    }
    if difference.equal { Exit::Yes } else { Exit::No }
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    instant::parse(text).map_err(|error| error.to_string())
}

fn fill(difference: &Difference, page: &mut Page) {
    let Difference { old_revision, new_revision, changes, .. } = difference;
    if difference.equal {
        page.line(format_args!("no change in meaning: policy revision {new_revision}"));
        return;
    }
    page.line(format_args!("policy revision {old_revision} to {new_revision}"));
    let (tenants, others): (Vec<_>, Vec<_>) =
        changes.iter().partition(|change| change.what == What::Tenants);
    for change in others.iter().chain(tenants.iter().take(SHOWN_GROUPS)) {
        one(change, page);
    }
    if let Some(more) = tenants.get(SHOWN_GROUPS..).filter(|more| !more.is_empty()) {
        let count = more.iter().map(|change| change.tenants.len() as u64).sum();
        let (count, ways) = (counted(count, "tenant"), grouped(more.len() as u64));
        page.end().line(format_args!("{count} change in {ways} more ways: -o json tells them"));
    }
}

fn one(change: &Change, page: &mut Page) {
    let (sign, word, colour) = match change.change {
        Kind::Added => ('+', "added", Colour::Red),
        Kind::Removed => ('-', "removed", Colour::Green),
        Kind::Tightened => ('~', "tightened", Colour::Red),
        Kind::Loosened => ('~', "loosened", Colour::Green),
        Kind::Changed => ('~', "changed", Colour::Yellow),
    };
    page.end().painted(colour, format_args!("{sign} {}", subject(change)));
    page.text(format_args!(": {word}"));
    if let Some(was) = &change.was {
        page.text(format_args!(", was {was}"));
    }
    page.end();
    for detail in &change.details {
        field(detail, page);
    }
}

/// What a change is about, as `limit api` or `4,711 tenants (acme, b, c and 4,708 more)`.
fn subject(change: &Change) -> String {
    let noun = match change.what {
        What::Limit => "limit",
        What::EndpointCost => "endpoint cost",
        What::Order => "order of limits",
        What::Paths => "reading of paths",
        What::Plan => "plan",
        What::Tenants if change.tenants.len() == 1 => "tenant",
        What::Tenants => return several(&change.tenants),
    };
    format!("{noun} {}", change.name)
}

fn several(tenants: &[String]) -> String {
    let shown: Vec<_> = tenants.iter().take(SHOWN_TENANTS).map(String::as_str).collect();
    let mut text = format!("{} ({}", counted(tenants.len() as u64, "tenant"), shown.join(", "));
    if let Some(more) = tenants.len().checked_sub(SHOWN_TENANTS).filter(|more| *more > 0) {
        let _ = write!(text, " and {} more", grouped(more as u64));
    }
    text + ")"
}

fn field(detail: &Detail, page: &mut Page) {
    let name = match (detail.field, &detail.after) {
        ("refuses", Some(_)) => "begins to refuse",
        ("refuses", None) => "no longer refuses",
        (field, _) => detail.limit.as_deref().unwrap_or(field),
    };
    page.text(format_args!("    {name}: "));
    match (&detail.before, &detail.after) {
        (None, Some(only)) | (Some(only), None) if is_whole(detail) => page.text(only),
        (before, after) => {
            let [before, after] = [before, after].map(|side| side.as_deref().unwrap_or("nothing"));
            page.text(format_args!("{before} -> {after}"))
        }
    };
    page.text("  (");
    match detail.effect {
        _ if detail.field == "counters" => page.painted(Colour::Yellow, "every key begins anew"),
        Effect::Stricter => page.painted(Colour::Red, "stricter"),
        Effect::Looser => page.painted(Colour::Green, "looser"),
        Effect::Neither => page.painted(Colour::Yellow, "neither stricter nor looser"),
        Effect::None => page.text("what can pass stays the same"),
    };
    page.line(")");
}

/// Whether a detail tells of all of a thing that is new or gone.
fn is_whole(detail: &Detail) -> bool {
    matches!(detail.field, "limit" | "refuses")
}
