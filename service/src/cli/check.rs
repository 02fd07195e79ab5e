//! `sluicegate check`: every problem of limits files, with its place and what to write instead.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use sluicegate_limits::policy::lint::{Service, Surroundings};
use sluicegate_limits::policy::units::window_text;
use sluicegate_limits::policy::{Algorithm, Compiled, Policy, Problem, Severity, SourceFile};

use super::{Exit, Output, notes};
use crate::clock;
use crate::output::{Colour, Page, Stream, print_json, shown};
use crate::reload::Sources;
use crate::settings::{
    self, AttributeSource, Conventions, Overrides, Settings, SettingsError, Unmatched,
};

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
    let compiled = sources.compile(conventions(settings.as_ref()));
    let (errors, warnings) = match &compiled {
        Ok(compiled) => (vec![], compiled.lints(&surroundings(settings.as_ref()))),
        Err(problems) => (problems.clone(), vec![]),
    };
    let exit = match &compiled {
        Err(_) => Exit::Configuration,
        Ok(_) if check.deny_warnings && !warnings.is_empty() => Exit::No,
        Ok(_) => Exit::Yes,
    };
    let mut notes = settings.as_ref().map(notes::of).unwrap_or_default();
    if let (Ok(Compiled { policy, .. }), Some(_)) = (&compiled, &settings) {
        notes.extend(policy.assumptions().iter().map(ToString::to_string));
    }
    if check.output == Output::Json {
        print_json(&report(exit == Exit::Yes, &errors, &warnings, &notes));
    } else {
        show(&sources, &errors, &warnings);
        if let Ok(Compiled { policy, .. }) = &compiled {
            Stream::Out.page(|page| {
                summary(policy, page);
                page.lines(notes.iter().map(|note| format!("note: {note}")));
            });
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
        settings_refused(&error);
        Exit::Configuration
    })
}

/// What the settings decide about what limits mean.
pub(super) fn conventions(settings: Option<&Settings>) -> Conventions {
    settings.map(Settings::conventions).unwrap_or_default()
}

/// Prints what is wrong with the settings.
pub(super) fn settings_refused(error: &SettingsError) {
    Stream::Err.page(|page| {
        for problem in &error.0 {
            page.line(problem);
            page.lines(problem.help.iter().map(|help| format!("  help: {help}")));
        }
    });
}

/// What lints know of the service.
pub(super) fn surroundings(settings: Option<&Settings>) -> Surroundings {
    use AttributeSource::{Claim, Context, Present};
    let is_vouched_for = |source| matches!(source, &Claim(_) | &Context(_) | &Present(_));
    let service = settings.map(|settings| Service {
        attributes: settings.attributes.keys().cloned().collect(),
        says_whose_address: settings.ip_address.is_some(),
        vouched_for: settings
            .attributes
            .iter()
            .filter(|(_, source)| is_vouched_for(source))
            .map(|(name, _)| name.clone())
            .collect(),
        proof: settings.attributes.get("authenticated").and_then(|source| match source {
            Present(of) => Some(of.clone()),
            _ => None,
        }),
        denies_unmatched: settings.unmatched == Unmatched::Deny,
    });
    Surroundings { now: clock::now(), service }
}

/// Prints problems for people, on standard error.
pub(super) fn show(sources: &Sources, errors: &[Problem], warnings: &[Problem]) {
    let files: HashMap<&str, &SourceFile> =
        sources.files.iter().map(|f| (f.name.as_str(), f)).collect();
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let real = errors.iter().filter(|p| p.severity == Severity::Error).count();
    Stream::Err.page(|page| {
        for problem in errors.iter().chain(warnings) {
            let line = files.get(problem.file.as_str()).and_then(|f| line(&f.text, problem.line));
            render(problem, line, page);
        }
        if real > 0 {
            page.line(count(real, "error"));
        }
    });
}

/// Compiles limits as the settings say, or prints what is wrong with them.
pub(super) fn policy(paths: &[PathBuf], conventions: Conventions) -> Option<Policy> {
    let sources = Sources::read(paths);
    match sources.compile(conventions) {
        Ok(compiled) => Some(compiled.policy),
        Err(problems) => {
            show(&sources, &problems, &[]);
            None
        }
    }
}

/// The JSON form: `{ok, errors, warnings, notes}`.
fn report(ok: bool, errors: &[Problem], warnings: &[Problem], notes: &[String]) -> Value {
    let of = |severity| -> Vec<Value> {
        let all = errors.iter().chain(warnings);
        all.filter(|p| p.severity == severity).map(entry).collect()
    };
    json!({
        "ok": ok, "errors": of(Severity::Error), "warnings": of(Severity::Warning),
        "notes": notes,
    })
}

/// One problem in the JSON form.
pub(super) fn entry(p: &Problem) -> Value {
    json!({"code": p.code, "message": p.message, "file": p.file, "line": p.line,
           "column": p.column, "help": p.help})
}

/// One problem with its source line and a caret under the place.
fn render(problem: &Problem, line: Option<&str>, page: &mut Page) {
    let error = problem.severity == Severity::Error;
    let colour = if error { Colour::BoldRed } else { Colour::BoldYellow };
    let Problem { code, message, file, line: number, column, .. } = problem;
    let gutter = number.to_string().len();
    page.painted(colour, format_args!("{}[{code}]", problem.severity.as_str()));
    page.line(format_args!(": {message}"));
    page.painted(Colour::Blue, format_args!("{:gutter$}-->", ""));
    page.line(format_args!(" {file}:{number}:{column}"));
    if let Some(line) = line {
        let before = usize::try_from(*column).unwrap_or(1).saturating_sub(1);
        let (start, part) = around(line, before);
        let indent = part.chars().take(before - start).collect::<String>();
        page.painted(Colour::Blue, format_args!("{:gutter$} |", "")).end();
        page.painted(Colour::Blue, format_args!("{number} |"));
        page.line(format_args!(" {part}"));
        page.painted(Colour::Blue, format_args!("{:gutter$} |", ""));
        page.text(format_args!("{:1$}", "", 1 + shown(&indent).chars().count()));
        page.painted(colour, "^").end();
    }
    if let Some(help) = &problem.help {
        page.painted(Colour::Blue, format_args!("{:gutter$} =", ""));
        page.line(format_args!(" help: {help}"));
    }
    page.end();
}

/// The part of a line around the character of this number, and the number of its first.
fn around(line: &str, at: usize) -> (usize, String) {
    let start = at.saturating_sub(MAX_SHOWN / 2);
    (start, line.chars().skip(start).take(MAX_SHOWN).collect())
}

/// A line of a text.
fn line(text: &str, number: u32) -> Option<&str> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    text.lines().nth(index)
}

/// A short table of the limits.
fn summary(policy: &Policy, page: &mut Page) {
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
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        page.line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let limits = policy.limits().len();
    page.line(format_args!("ok: {limits} limits, policy revision {}", policy.revision()));
}
