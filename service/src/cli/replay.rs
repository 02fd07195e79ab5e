//! `sluicegate replay`: runs recorded traffic through a policy in virtual time.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sluicegate_limits::time::Micros;
use sluicegate_limits::trial::MAX_COUNTERS;

use super::{Exit, Output, check};
use crate::output::{Stream, print_json};
use crate::replay::report::Report;
use crate::replay::{self, Format, Plan, html, mapping, text};
use crate::settings::Unmatched;

/// How much of a log is looked at to find its format.
const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The log; - reads standard input
    log: PathBuf,
    /// Limits files or directories; may be repeated
    #[arg(long, value_name = "FILE_OR_DIR", required = true)]
    limits: Vec<PathBuf>,
    /// Compare with these limits files or directories; may be repeated
    #[arg(long, value_name = "FILE_OR_DIR")]
    against: Vec<PathBuf>,
    /// The format of the log; found out by default
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// ATTRIBUTE=FIELD of the log, or ATTRIBUTE=present:OTHER; may be repeated
    #[arg(long = "map", value_name = "ATTRIBUTE=FIELD")]
    maps: Vec<String>,
    /// Settings whose `attributes`, `paths`, `ip_prefix` and `unmatched` count
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How much later than newer ones a line may come, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(..=3_600))]
    late_seconds: u64,
    /// How many counters each policy keeps; keys beyond them share some
    #[arg(long, value_name = "COUNTERS", default_value_t = MAX_COUNTERS as u64,
          value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    max_counters: u64,
    /// Write every decision to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    /// Write a report to this file that a browser shows
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Why there is no answer.
struct Failed {
    exit: Exit,
    message: Option<String>,
}

pub(super) fn run(command: &Replay) -> Exit {
    match replay(command) {
        Ok(report) => show(command, &report),
        Err(failed) => {
            if let Some(message) = failed.message {
                Stream::Err.line(format_args!("error: {message}"));
            }
            failed.exit
        }
    }
}

fn show(command: &Replay, report: &Report) -> Exit {
    match command.output {
        Output::Json => print_json(report),
        Output::Text => Stream::Out.page(|page| text::fill(report, page)),
    }
    if report.log.requests == 0 {
        Stream::Err.line("error: no line of the log could be replayed");
        return Exit::No;
    }
    Exit::Yes
}

fn replay(command: &Replay) -> Result<Report, Failed> {
    let settings =
        check::of_file(command.config.as_deref()).map_err(|exit| Failed { exit, message: None })?;
    let mut mapped: mapping::Names =
        settings.iter().flat_map(|s| mapping::of_settings(&s.attributes)).collect();
    for map in &command.maps {
        let (attribute, source) = mapping::parse_map(map).map_err(Failed::usage)?;
        mapped.insert(attribute, source);
    }
    let conventions = check::conventions(settings.as_ref());
    let compile = |paths: &[PathBuf]| {
        let failed = Failed { exit: Exit::Configuration, message: None };
        check::policy(paths, conventions).ok_or(failed)
    };
    let policy = compile(&command.limits)?;
    let against = (!command.against.is_empty()).then(|| compile(&command.against)).transpose()?;
    let unmatched = settings.as_ref().map_or(Unmatched::Allow, |settings| settings.unmatched);
    let address = settings.and_then(|settings| settings.ip_address).unwrap_or_default();
    let (mut input, bytes) = open(&command.log)?;
    let beginning = input.fill_buf().map_err(|error| Failed::of(&command.log, &error))?;
    let format = command.format.unwrap_or_else(|| Format::detect(beginning));
    let plan = Plan {
        log: command.log.display().to_string(),
        format,
        mapped,
        address,
        policy: &policy,
        against: against.as_ref(),
        unmatched,
        window: Micros::new(command.late_seconds * Micros::SECOND.get()),
        max_counters: usize::try_from(command.max_counters).unwrap_or(MAX_COUNTERS),
        decisions: command.decisions.as_deref(),
    };
    let bar = bar(bytes);
    let report = replay::run(input, plan, |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let report = report.map_err(|error| Failed::of(&command.log, &error))?;
    if let Some(file) = &command.html {
        std::fs::write(file, html::page(&report)).map_err(|error| Failed::of(file, &error))?;
    }
    Ok(report)
}

/// The log, and its length where that is known.
fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failed> {
    if path == Path::new("-") {
        let input = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
        return Ok((Box::new(input), None));
    }
    let file = File::open(path).map_err(|error| Failed::of(path, &error))?;
    let bytes = file.metadata().ok().filter(|about| about.is_file()).map(|about| about.len());
    Ok((Box::new(BufReader::with_capacity(BUFFER_BYTES, file)), bytes))
}

/// A bar on a terminal, and nothing elsewhere.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let (Some(bytes), true) = (bytes, Stream::Err.is_terminal()) else {
        return ProgressBar::hidden();
    };
    let bar = ProgressBar::new(bytes);
    let form = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}

impl Failed {
    fn usage(message: String) -> Self {
        Self { exit: Exit::Usage, message: Some(message) }
    }

    /// A file cannot be read or written.
    fn of(path: &Path, error: &io::Error) -> Self {
        Self { exit: Exit::No, message: Some(format!("{}: {error}", path.display())) }
    }
}
