//! What the cases showed: for people, and for programs.

use serde_json::{Value, json};
use sluicegate_limits::cases::Failure;
use sluicegate_limits::policy::{Place, Problem};

use super::coverage::Coverage;
use crate::cli::check;
use crate::output::Page;

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

    /// The page for people.
    pub(super) fn fill(&self, page: &mut Page) {
        for outcomes in self.files() {
            let failures =
                || outcomes.iter().filter_map(|one| Some((one, one.failure.as_deref()?)));
            let file = outcomes.first().map_or("", |outcome| &outcome.place.file);
            let failed = failures().count();
            let word = if failed == 0 { "ok" } else { "FAILED" };
            let (passed, all) = (outcomes.len() - failed, outcomes.len());
            page.line(format_args!("{word:6}  {file}: {passed} of {all} cases"));
            for (outcome, failure) in failures() {
                page.end().line(format_args!("FAILED  {}", outcome.name));
                page.lines(told(failure)).end();
                for line in failure.explanation.lines() {
                    page.line(format!("  {line}").trim_end());
                }
                page.end();
            }
        }
        let failed = self.failed();
        let (tested, total) = (self.coverage.tested(), self.coverage.total());
        let width = self.coverage.untested().map(|(name, ..)| name.len()).max().unwrap_or(0);
        if width > 0 {
            page.end().line("no case tests");
        }
        for (name, file, line) in self.coverage.untested() {
            page.line(format_args!("  {name:width$}  {file}:{line}"));
        }
        let percent = (tested * 100).checked_div(total).unwrap_or(100);
        page.end().line(format_args!("{tested} of {total} limits tested ({percent} %)"));
        page.line(format_args!("{} passed, {failed} failed", self.outcomes.len() - failed));
    }

    /// The JSON form; `problems` of files that could not be used, where nothing was run.
    pub(super) fn json(&self, problems: &[Problem]) -> Value {
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
        json!({
            "passed": self.outcomes.len() - failed,
            "failed": failed,
            "cases": self.outcomes.iter().map(case).collect::<Vec<_>>(),
            "coverage": {
                "limits_total": self.coverage.total(),
                "limits_tested": self.coverage.tested(),
                "untested": untested.collect::<Vec<_>>(),
            },
            "errors": problems.iter().map(check::entry).collect::<Vec<_>>(),
        })
    }
}

/// What a step expected and got, and where, in lines.
pub(super) fn told(failure: &Failure) -> [String; 3] {
    let Failure { place, step, time, times, at, expected, got, .. } = failure;
    let at = if at.is_empty() { String::new() } else { format!(", at {at}") };
    let times = if *times > 1 { format!(", time {time} of {times}") } else { String::new() };
    [
        format!("  --> {}:{}, step {step}{at}{times}", place.file, place.line),
        format!("  expected  {expected}"),
        format!("  got       {got}"),
    ]
}
