//! `sluicegate diff`: what changes in meaning from one set of limits to another.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use sluicegate_limits::diff::{Change, Detail, Difference, Effect, Kind, What, diff};
use sluicegate_limits::policy::Policy;

use super::{Exit, Output, check, print};
use crate::reload::Sources;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The limits as they are: a file, or a directory of them
    old: PathBuf,
    /// The limits as they will be
    new: PathBuf,
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
    let (Some(old), Some(new)) = (compile(&command.old), compile(&command.new)) else {
        return Exit::Configuration;
    };
    let difference = diff(&old, &new);
    match command.output {
        Output::Json => print(&super::json(&difference)),
        Output::Text => print(&text(&difference, &Paint::new(std::io::stdout().is_terminal()))),
    }
    if difference.equal { Exit::Yes } else { Exit::No }
}

/// Compiles limits, or prints what is wrong with them.
fn compile(path: &Path) -> Option<Policy> {
    let sources = Sources::read(&[path.to_owned()]);
    match sources.compile() {
        Ok(compiled) => Some(compiled.policy),
        Err(problems) => {
            check::show(&sources, &problems, &[]);
            None
        }
    }
}

/// The page, without a line end.
fn text(difference: &Difference, paint: &Paint) -> String {
    let Difference { old_revision, new_revision, changes, .. } = difference;
    if difference.equal {
        return format!("no change in meaning: policy revision {new_revision}");
    }
    let mut page = format!("policy revision {old_revision} to {new_revision}\n");
    for change in changes {
        page.push_str(&one(change, paint));
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
    let (what, off) = (noun(change.what), paint.off);
    let mut text = format!("\n{colour}{sign} {what} {}{off}: {word}", change.name);
    if let Some(was) = &change.was {
        let _ = write!(text, ", was {was}");
    }
    text.push('\n');
    for detail in &change.details {
        text.push_str(&field(detail, paint));
    }
    text
}

fn noun(what: What) -> &'static str {
    match what {
        What::Limit => "limit",
        What::EndpointCost => "endpoint cost",
        What::Order => "order of limits",
    }
}

fn field(detail: &Detail, paint: &Paint) -> String {
    let nothing = || "nothing".to_owned();
    let mut text = format!("    {}: ", detail.field);
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
