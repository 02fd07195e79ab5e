//! `sluicegate test`: runs case files in virtual time, and says what failed and what is untested.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, Output, check};
use crate::output::{Stream, print_json};
use coverage::Coverage;
use files::Loaded;
use report::{Outcome, Report};

mod coverage;
mod files;
mod junit;
mod report;

/// With fewer requests than this there is nothing to wait for.
const LONG_REQUESTS: u64 = 200_000;

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Case files (NAME.test.yaml), or directories of them and of their limits
    #[arg(value_name = "FILE_OR_DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Settings whose `paths` and `ip_prefix` count
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Write a JUnit report to this file too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fail if less than this share of the limits is tested
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_threshold: Option<u8>,
}

pub(super) fn run(test: &Test) -> Exit {
    let settings = match check::of_file(test.config.as_deref()) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let loaded = Loaded::read(&test.paths, check::conventions(settings.as_ref()));
    if !loaded.problems.is_empty() {
        match test.output {
            Output::Json => print_json(&Report::default().json(&loaded.problems)),
            Output::Text => check::show(&loaded.sources, &loaded.problems, &[]),
        }
        return Exit::Configuration;
    }
    let report = run_all(&loaded);
    let enough = test.coverage_threshold.is_none_or(|least| report.coverage.reaches(least));
    match test.output {
        Output::Json => print_json(&report.json(&[])),
        Output::Text => Stream::Out.page(|page| report.fill(page)),
    }
    if let (false, Some(least)) = (enough, test.coverage_threshold) {
        Stream::Err.line(format_args!("fewer than {least} % of the limits are tested"));
    }
    if let Some(path) = &test.junit
        && let Err(error) = junit::write(path, &report)
    {
        Stream::Err.line(format_args!("error: {}: {error}", path.display()));
        return Exit::No;
    }
    if report.failed() == 0 && enough { Exit::Yes } else { Exit::No }
}

fn run_all(loaded: &Loaded) -> Report {
    let mut coverage = Coverage::of(loaded);
    let bar = progress(loaded);
    let mut outcomes = Vec::new();
    for suite in &loaded.suites {
        for case in &suite.cases {
            let result = case.run(&suite.policy, &mut |done| bar.inc(done));
            let failure = match result {
                Ok(passed) => {
                    coverage.learn(&suite.policy, &passed);
                    None
                }
                Err(failure) => Some(failure),
            };
            outcomes.push(Outcome { name: case.name.clone(), place: case.place.clone(), failure });
        }
    }
    bar.finish_and_clear();
    Report { outcomes, coverage }
}

/// A bar on standard error where that is a terminal and there is something to wait for.
fn progress(loaded: &Loaded) -> ProgressBar {
    let cases = loaded.suites.iter().flat_map(|suite| &suite.cases);
    let requests = cases.map(sluicegate_limits::cases::Case::requests).sum();
    let long = NonZeroU64::new(requests).filter(|requests| requests.get() >= LONG_REQUESTS);
    let Some(requests) = long else { return ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {percent} % of {len} requests, {eta} left");
    ProgressBar::new(requests.get())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
