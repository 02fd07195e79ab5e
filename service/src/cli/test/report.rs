//! What the cases showed: for people, and for programs.

use std::fmt;

use serde_json::json;
use sluicegate_limits::cases::Failure;
use sluicegate_limits::policy::{Place, Problem};

use super::coverage::Coverage;
use crate::cli::check;

/// What became of one case.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) failure: Option<Box<Failure>>,
}

/// What became of all of them, file by file.
#[derive(Default)]
pub(super) struct Report {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) coverage: Coverage,
}

impl Report {
    pub(super) fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some()).count()
    }

    /// The outcomes of each file, in their order.
    pub(super) fn files(&self) -> impl Iterator<Item = &[Outcome]> {
        self.outcomes.chunk_by(|one, next| one.place.file == next.place.file)
    }

    /// The JSON form; `problems` of files that could not be used, where nothing was run.
    pub(super) fn json(&self, problems: &[Problem]) -> String {
        let case = |outcome: &Outcome| {
            let failure = outcome.failure.as_deref();
            json!({
                "name": outcome.name,
                "ok": failure.is_none(),
                "expected": failure.map(|failure| &failure.expected),
                "got": failure.map(|failure| &failure.got),
                "source": failure.map_or(&outcome.place, |failure| &failure.place),
                "step": failure.map(|failure| failure.step),
            })
        };
        let untested = self.coverage.untested().map(
            |(name, file, line)| json!({"name": name, "source": {"file": file, "line": line}}),
        );
        let failed = self.failed();
        crate::cli::json(&json!({
            "passed": self.outcomes.len() - failed,
            "failed": failed,
            "cases": self.outcomes.iter().map(case).collect::<Vec<_>>(),
            "coverage": {
                "limits_total": self.coverage.total(),
                "limits_tested": self.coverage.tested(),
                "untested": untested.collect::<Vec<_>>(),
            },
            "errors": problems.iter().map(check::entry).collect::<Vec<_>>(),
        }))
    }
}

/// What a step expected and got, and where, in lines.
pub(super) fn told(failure: &Failure) -> String {
    let Failure { place, step, time, times, at, expected, got, .. } = failure;
    let at = if at.is_empty() { String::new() } else { format!(", at {at}") };
    let times = if *times > 1 { format!(", time {time} of {times}") } else { String::new() };
    format!(
        "  --> {}:{}, step {step}{at}{times}\n  expected  {expected}\n  got       {got}",
        place.file, place.line
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcomes in self.files() {
            let failures =
                || outcomes.iter().filter_map(|one| Some((one, one.failure.as_deref()?)));
            let file = outcomes.first().map_or("", |outcome| &outcome.place.file);
            let failed = failures().count();
            let word = if failed == 0 { "ok" } else { "FAILED" };
            writeln!(
                f,
                "{word:6}  {file}: {} of {} cases",
                outcomes.len() - failed,
                outcomes.len()
            )?;
            for (outcome, failure) in failures() {
                writeln!(f, "\nFAILED  {}\n{}\n", outcome.name.escape_debug(), told(failure))?;
                for line in failure.explanation.to_string().lines() {
                    writeln!(f, "{}", format!("  {line}").trim_end())?;
                }
                writeln!(f)?;
            }
        }
        let failed = self.failed();
        let (tested, total) = (self.coverage.tested(), self.coverage.total());
        let width = self.coverage.untested().map(|(name, ..)| name.len()).max().unwrap_or(0);
        if width > 0 {
            writeln!(f, "\nno case tests")?;
        }
        for (name, file, line) in self.coverage.untested() {
            writeln!(f, "  {name:width$}  {file}:{line}")?;
        }
        writeln!(f)?;
        let percent = (tested * 100).checked_div(total).unwrap_or(100);
        writeln!(f, "{tested} of {total} limits tested ({percent} %)")?;
        write!(f, "{} passed, {failed} failed", self.outcomes.len() - failed)
    }
}
