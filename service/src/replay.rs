//! Recorded traffic through a policy in virtual time: what would have been denied, by which
//! limit, for whom and when, and what another policy would have done with the same requests.
//!
//! A line becomes a request ([`format`], [`mapping`]), waits for earlier ones ([`reorder`]), is
//! decided on counters of its own ([`side`]) and is summed. All of it takes bounded memory, however
//! long the log is.

use std::io::{self, BufRead};
use std::path::Path;

use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::settings::{AddressSource, Unmatched};

mod decisions;
mod format;
pub(crate) mod html;
mod lines;
pub(crate) mod mapping;
mod reorder;
pub(crate) mod report;
mod running;
mod side;
mod spans;
pub(crate) mod text;
mod timeline;
mod top;

pub(crate) use format::Format;

use decisions::Decisions;
use format::{Read, Reader};
use lines::{Line, Lines};
use mapping::Names;
use reorder::{Reorder, Waiting};
use report::{LogReport, Report, Unreadable};
use side::{Changes, Side};
use spans::Spans;
use timeline::Bucket;

/// How many unreadable lines are shown.
const SHOWN_UNREADABLE: usize = 5;

/// A request of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When it came.
    at: Timestamp,
    attributes: Attributes,
    /// What it stated to cost.
    cost: Option<Tokens>,
    /// How long it ran.
    lasted: Option<Micros>,
}

/// What to replay, and how.
pub(crate) struct Plan<'p> {
    /// How the report names the log.
    pub(crate) log: String,
    pub(crate) format: Format,
    /// The fields of attributes, where they are not the format's own.
    pub(crate) mapped: Names,
    /// Where the address of a gateway's client comes from.
    pub(crate) address: AddressSource,
    pub(crate) policy: &'p Policy,
    /// The policy that it is compared with.
    pub(crate) against: Option<&'p Policy>,
    pub(crate) unmatched: Unmatched,
    /// How much later than others a line may come.
    pub(crate) window: Micros,
    /// How many counters each policy keeps.
    pub(crate) max_counters: usize,
    /// Where every decision is written.
    pub(crate) decisions: Option<&'p Path>,
}

/// A replay under way.
struct Replay<'p> {
    new: Side<'p>,
    old: Option<Side<'p>>,
    changes: Changes,
    spans: Spans,
    decisions: Option<Decisions>,
    now: Timestamp,
    log: LogReport,
}

/// Replays a log to its end; `progress` is told how many bytes were read, now and then.
///
/// # Errors
/// Where the log cannot be read on, or the decisions cannot be written.
pub(crate) fn run(
    input: impl BufRead,
    plan: Plan<'_>,
    mut progress: impl FnMut(u64),
) -> io::Result<Report> {
    let policies = || std::iter::once(plan.policy).chain(plan.against);
    let (mapped, paths) = (plan.mapped.clone(), plan.policy.paths());
    let mut reader = Reader::new(plan.format, policies(), mapped, &plan.address, paths);
    let mut lines = Lines::new(input);
    let mut reorder = Reorder::new(plan.window);
    let mut replay = Replay::new(&plan)?;
    loop {
        let number = lines.number() + 1;
        let Some(line) = lines.next()? else { break };
        match line {
            Line::Text(text) => match reader.read(text) {
                Read::Request(entry) => reorder.push(entry),
                Read::Other => replay.log.other_lines += 1,
                Read::Unreadable(why) => replay.unreadable(number, why),
            },
            Line::TooLong => {
                let why = format!("it has more than {} bytes", lines::MAX_LINE_BYTES);
                replay.unreadable(number, why);
            }
            Line::NotText => replay.unreadable(number, "it is not UTF-8".to_owned()),
        }
        while let Some(next) = reorder.ready() {
            replay.decide(next)?;
        }
        if number.is_multiple_of(4_096) {
            progress(lines.bytes());
        }
    }
    while let Some(next) = reorder.rest() {
        replay.decide(next)?;
    }
    progress(lines.bytes());
    replay.log.lines = lines.number();
    replay.log.end();
    replay.report(&plan, &reader)
}

impl<'p> Replay<'p> {
    fn new(plan: &Plan<'p>) -> io::Result<Self> {
        Ok(Self {
            new: Side::new(plan.policy, plan),
            old: plan.against.map(|policy| Side::new(policy, plan)),
            changes: Changes::new(),
            spans: Spans::new(),
            decisions: plan.decisions.map(Decisions::create).transpose()?,
            now: Timestamp::ZERO,
            log: LogReport::new(&plan.log, plan.format.as_str()),
        })
    }

    fn unreadable(&mut self, line: u64, why: String) {
        self.log.unreadable_lines += 1;
        if self.log.unreadable.len() < SHOWN_UNREADABLE {
            self.log.unreadable.push(Unreadable { line, why });
        }
    }

    fn decide(&mut self, next: Waiting) -> io::Result<()> {
        let Waiting { entry, number } = next;
        // Virtual time does not go back: what comes too late is decided now.
        self.log.late += u64::from(entry.at < self.now);
        self.now = self.now.max(entry.at);
        self.log.came(self.now);
        let verdict = self.new.decide(self.now, &entry);
        let mut bucket = Bucket { requests: 1, ..Bucket::default() };
        bucket.denied = u64::from(!verdict.allowed);
        if let Some(old) = &mut self.old {
            let before = old.decide(self.now, &entry);
            bucket.newly_denied = u64::from(before.allowed && !verdict.allowed);
            bucket.newly_allowed = u64::from(!before.allowed && verdict.allowed);
            self.changes.add(&self.new, &verdict, old, &before, &entry);
        }
        self.spans.add(self.now, &bucket);
        match &mut self.decisions {
            Some(decisions) => decisions.write(number, entry.at, &verdict),
            None => Ok(()),
        }
    }

    fn report(mut self, plan: &Plan<'_>, reader: &Reader) -> io::Result<Report> {
        let out_of_order = self.decisions.take().map_or(Ok(0), Decisions::finish)?;
        let mut warnings = report::warnings(&self.log, plan, reader);
        if out_of_order > 0 {
            warnings.push(format!(
                "{out_of_order} decisions stand after others that came later in the log"
            ));
        }
        warnings.extend(self.new.warnings(reader));
        warnings.extend(self.old.as_ref().and_then(Side::bounds));
        let (timeline, elsewhere) = self.spans.timeline();
        warnings.extend(report::elsewhere(&elsewhere));
        let compared = self.old.as_ref();
        let changes = compared.map(|old| self.changes.report(&self.new, old));
        Ok(Report {
            policy: self.new.report(),
            against: compared.map(Side::report),
            changes,
            over_time: report::over_time(&timeline, &elsewhere, compared.is_some()),
            log: self.log,
            warnings,
        })
    }
}
