//! `sluicegate check`: every problem of limits files, with its place and what to write instead.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use sluicegate_limits::policy::lint::{Service, Surroundings};
use sluicegate_limits::policy::units::window_text;
use sluicegate_limits::policy::{
    Algorithm, Compiled, IpPrefix, Policy, Problem, Severity, SourceFile,
};

use super::{Exit, Output, complain, notes, print};
use crate::clock;
use crate::reload::Sources;
use crate::settings::{self, Overrides, Settings, Unmatched};

/// The most characters of a source line that are shown.
const MAX_SHOWN: usize = 160;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Limits files, or directories of them
    #[arg(required_unless_present = "config")]
    paths: Vec<PathBuf>,
    /// Settings that the limits are checked with; without files, the limits that these name
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Exit 1 where there is a warning
    #[arg(long)]
    deny_warnings: bool,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How a problem is painted; empty where the reader is no terminal.
struct Paint {
    error: &'static str,
    warning: &'static str,
    place: &'static str,
    off: &'static str,
}

pub(super) fn run(check: &Check) -> Exit {
    let settings = match of_file(check.config.as_deref()) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let paths = match &settings {
        Some(settings) if check.paths.is_empty() => &settings.limits,
        _ => &check.paths,
    };
    let sources = Sources::read(paths);
    let compiled = sources.compile(ip_prefix(settings.as_ref()));
    let (errors, warnings) = match &compiled {
        Ok(compiled) => (vec![], compiled.lints(&surroundings(settings.as_ref()))),
        Err(problems) => (problems.clone(), vec![]),
    };
    let exit = match &compiled {
        Err(_) => Exit::Configuration,
        Ok(_) if check.deny_warnings && !warnings.is_empty() => Exit::No,
        Ok(_) => Exit::Yes,
    };
    let notes = settings.as_ref().map(notes::of).unwrap_or_default();
    if check.output == Output::Json {
        print(&report(exit == Exit::Yes, &errors, &warnings, &notes));
    } else {
        show(&sources, &errors, &warnings);
        if let Ok(Compiled { policy, .. }) = &compiled {
            print(&summary(policy));
            notes.iter().for_each(|note| print(&format_args!("note: {note}")));
        }
    }
    exit
}

/// The settings of `-c`, or what is wrong with them on standard error. Their secrets are not read:
/// they belong to the machine that serves.
pub(super) fn of_file(file: Option<&Path>) -> Result<Option<Settings>, Exit> {
    let Some(file) = file else { return Ok(None) };
    let memory = Some("memory".to_owned());
    let overrides = Overrides { file: Some(file.into()), store: memory, ..Overrides::default() };
    settings::load(&overrides).map(Some).map_err(|error| {
        complain(&error);
        Exit::Configuration
    })
}

/// What counts as one address by the settings.
pub(super) fn ip_prefix(settings: Option<&Settings>) -> IpPrefix {
    settings.map(|settings| settings.ip_prefix).unwrap_or_default()
}

/// What lints know of the service.
pub(super) fn surroundings(settings: Option<&Settings>) -> Surroundings {
    let service = settings.map(|settings| Service {
        attributes: settings.attributes.keys().cloned().collect(),
        says_whose_address: settings.ip_address.is_some(),
        denies_unmatched: settings.unmatched == Unmatched::Deny,
    });
    Surroundings { now: clock::now(), service }
}

/// Prints problems for people, on standard error.
pub(super) fn show(sources: &Sources, errors: &[Problem], warnings: &[Problem]) {
    let paint = Paint::new(std::io::stderr().is_terminal());
    let files: HashMap<&str, &SourceFile> =
        sources.files.iter().map(|f| (f.name.as_str(), f)).collect();
    for problem in errors.iter().chain(warnings) {
        let line = files.get(problem.file.as_str()).and_then(|f| line(&f.text, problem.line));
        complain(&render(problem, line, &paint));
    }
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let real = errors.iter().filter(|p| p.severity == Severity::Error).count();
    if real > 0 {
        complain(&count(real, "error"));
    }
}

/// Compiles limits, to count so much of an address as one; or prints what is wrong with them.
pub(super) fn policy(paths: &[PathBuf], ip_prefix: IpPrefix) -> Option<Policy> {
    let sources = Sources::read(paths);
    match sources.compile(ip_prefix) {
        Ok(compiled) => Some(compiled.policy),
        Err(problems) => {
            show(&sources, &problems, &[]);
            None
        }
    }
}

/// The JSON form: `{ok, errors, warnings, notes}`.
fn report(ok: bool, errors: &[Problem], warnings: &[Problem], notes: &[String]) -> String {
    let of = |severity| -> Vec<Value> {
        let all = errors.iter().chain(warnings);
        all.filter(|p| p.severity == severity).map(entry).collect()
    };
    super::json(&json!({
        "ok": ok, "errors": of(Severity::Error), "warnings": of(Severity::Warning),
        "notes": notes,
    }))
}

/// One problem in the JSON form.
pub(super) fn entry(p: &Problem) -> Value {
    json!({"code": p.code, "message": p.message, "file": p.file, "line": p.line,
           "column": p.column, "help": p.help})
}

/// One problem with its source line and a caret under the place.
fn render(problem: &Problem, line: Option<&str>, paint: &Paint) -> String {
    let Paint { error, warning, place, off } = paint;
    let colour = if problem.severity == Severity::Error { error } else { warning };
    let Problem { code, message, file, line: number, column, .. } = problem;
    let gutter = number.to_string().len();
    let mut text = format!("{colour}{}[{code}]{off}: {message}\n", problem.severity.as_str());
    let _ = writeln!(text, "{place}{:gutter$}-->{off} {file}:{number}:{column}", "");
    if let Some(line) = line {
        let before = usize::try_from(*column).unwrap_or(1).saturating_sub(1);
        let start = before.saturating_sub(MAX_SHOWN / 2);
        let shown: String = line.chars().skip(start).take(MAX_SHOWN).collect();
        let indent = before - start;
        let _ = writeln!(text, "{place}{:gutter$} |{off}", "");
        let _ = writeln!(text, "{place}{number} |{off} {shown}");
        let _ = writeln!(text, "{place}{:gutter$} |{off} {:indent$}{colour}^{off}", "", "");
    }
    if let Some(help) = &problem.help {
        let _ = writeln!(text, "{place}{:gutter$} ={off} help: {help}", "");
    }
    text
}

/// The line of a text; not one with control characters, which terminals would obey.
fn line(text: &str, number: u32) -> Option<&str> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    text.lines().nth(index).filter(|line| !line.contains(char::is_control))
}

/// A short table of the limits.
fn summary(policy: &Policy) -> String {
    let mut rows = vec![["LIMIT", "ALLOWS", "KEY", "ALGORITHM", "MODE"].map(str::to_owned)];
    for limit in policy.limits() {
        let key = if limit.key.is_empty() { "-".to_owned() } else { limit.key.join(", ") };
        let most = limit.numbers.limit;
        let allows = match (limit.algorithm, &limit.calendar) {
            (Algorithm::Concurrency, _) => format!("{most} at once"),
            (_, Some(calendar)) => format!("{most} per {}", calendar.period.as_str()),
            (_, None) => format!("{most} per {}", window_text(limit.window)),
        };
        let words = [limit.algorithm.as_str(), limit.mode.as_str()].map(str::to_owned);
        let [algorithm, mode] = words;
        rows.push([limit.name.to_string(), allows, key, algorithm, mode]);
    }
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let limits = policy.limits().len();
    let _ = write!(text, "ok: {limits} limits, policy revision {}", policy.revision());
    text
}

impl Paint {
    const fn new(colours: bool) -> Self {
        if colours {
            Self { error: "\x1b[1;31m", warning: "\x1b[1;33m", place: "\x1b[34m", off: "\x1b[0m" }
        } else {
            Self { error: "", warning: "", place: "", off: "" }
        }
    }
}
