//! What a replay found: the documented JSON form, from which text and HTML are made.

use std::collections::BTreeMap;

use serde::Serialize;
use sluicegate_limits::time::Timestamp;

use super::Plan;
use super::format::{Format, Reader};
use super::mapping::Substitute;
use super::spans::Elsewhere;
use super::timeline::Timeline;
use crate::instant::rfc3339;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) log: LogReport,
    pub(crate) policy: SideReport,
    /// The policy that it is compared with.
    pub(crate) against: Option<SideReport>,
    pub(crate) changes: Option<ChangesReport>,
    pub(crate) over_time: OverTime,
    /// What makes the answers less than they seem.
    pub(crate) warnings: Vec<String>,
}

/// What was read.
#[derive(Debug, Default, Serialize)]
pub(crate) struct LogReport {
    pub(crate) name: String,
    pub(crate) format: &'static str,
    pub(crate) lines: u64,
    /// Lines that were replayed.
    pub(crate) requests: u64,
    /// Lines that are no requests: empty ones, a header, other lines of a service's log.
    pub(crate) other_lines: u64,
    pub(crate) unreadable_lines: u64,
    /// The first few of them.
    pub(crate) unreadable: Vec<Unreadable>,
    /// Requests older than the ones already decided; decided at the time of those.
    pub(crate) late: u64,
    pub(crate) first_at: Option<String>,
    pub(crate) last_at: Option<String>,
    #[serde(skip)]
    last: Timestamp,
}

/// A line that could not be read.
#[derive(Debug, Serialize)]
pub(crate) struct Unreadable {
    /// Its number, from 1.
    pub(crate) line: u64,
    pub(crate) why: String,
}

/// What a policy did.
#[derive(Debug, Serialize)]
pub(crate) struct SideReport {
    pub(crate) revision: String,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    /// Requests that no enforcing limit applied to.
    pub(crate) without_limit: u64,
    /// Denials by reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) limits: Vec<LimitReport>,
    /// The keys that were denied most often.
    pub(crate) keys: Vec<KeyReport>,
    /// How many times a limit was asked for a key that found no counter of its own.
    pub(crate) shared_counters: u64,
}

/// What a limit did, in requests.
#[derive(Debug, Serialize)]
pub(crate) struct LimitReport {
    pub(crate) name: String,
    pub(crate) mode: &'static str,
    /// It was about them.
    pub(crate) applied: u64,
    /// It bound their denial.
    pub(crate) denied: u64,
    /// It had no room for them, whichever limit bound the answer; also in shadow mode.
    pub(crate) exceeded: u64,
}

/// A key that was denied.
#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    pub(crate) limit: String,
    /// Values by name of attribute, as the log has them.
    pub(crate) key: BTreeMap<String, String>,
    pub(crate) denied: u64,
    /// By how much `denied` may be too high.
    pub(crate) excess: u64,
}

/// What changes from the one policy to the other, in requests.
#[derive(Debug, Serialize)]
pub(crate) struct ChangesReport {
    pub(crate) newly_denied: u64,
    pub(crate) newly_allowed: u64,
    /// By the limit that denies them now; `null`: none, by the setting `unmatched`.
    pub(crate) newly_denied_by: Vec<LimitChange>,
    /// By the limit that denied them before.
    pub(crate) newly_allowed_by: Vec<LimitChange>,
    pub(crate) newly_denied_keys: Vec<KeyReport>,
}

/// How many requests a limit changes.
#[derive(Debug, Serialize)]
pub(crate) struct LimitChange {
    pub(crate) limit: Option<String>,
    pub(crate) requests: u64,
}

/// What happened when.
#[derive(Debug, Serialize)]
pub(crate) struct OverTime {
    pub(crate) bucket_ms: u64,
    pub(crate) buckets: Vec<BucketReport>,
    /// Requests so far from all others that no step has them.
    pub(crate) elsewhere: u64,
}

/// What happened in one step of time, in requests.
#[derive(Debug, Serialize)]
pub(crate) struct BucketReport {
    /// When it begins.
    pub(crate) at: String,
    pub(crate) requests: u64,
    pub(crate) denied: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) newly_denied: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) newly_allowed: Option<u64>,
}

impl LogReport {
    pub(super) fn new(name: &str, format: &'static str) -> Self {
        Self { name: name.to_owned(), format, ..Self::default() }
    }

    /// Counts a request that is decided at this instant.
    pub(super) fn came(&mut self, now: Timestamp) {
        self.requests += 1;
        if self.first_at.is_none() {
            self.first_at = Some(rfc3339(now));
        }
        self.last = now;
    }

    /// Says when the last request came.
    pub(super) fn end(&mut self) {
        self.last_at = self.first_at.is_some().then(|| rfc3339(self.last));
    }
}

impl Report {
    /// The share of the requests that was denied, from 0 to 1.
    pub(crate) fn denied_share(&self, side: &SideReport) -> f64 {
        side.denied as f64 / self.log.requests.max(1) as f64
    }
}

/// What to say of requests that are far from all others.
pub(super) fn elsewhere(elsewhere: &Elsewhere) -> Option<String> {
    let Elsewhere { requests, first } = elsewhere;
    (*requests > 0).then(|| {
        format!(
            "{requests} requests are more than a day away from nearly all others, the first at \
             {}: they were decided, and are left out of what happened over time",
            rfc3339(*first)
        )
    })
}

pub(super) fn over_time(timeline: &Timeline, elsewhere: &Elsewhere, compared: bool) -> OverTime {
    let report = |(start, bucket): (Timestamp, super::timeline::Bucket)| BucketReport {
        at: rfc3339(start),
        requests: bucket.requests,
        denied: bucket.denied,
        newly_denied: compared.then_some(bucket.newly_denied),
        newly_allowed: compared.then_some(bucket.newly_allowed),
    };
    let buckets = timeline.buckets().map(report).collect();
    let bucket_ms = timeline.width().to_millis_up();
    OverTime { bucket_ms, buckets, elsewhere: elsewhere.requests }
}

/// What the log itself leaves open.
pub(super) fn warnings(log: &LogReport, plan: &Plan<'_>, reader: &Reader) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(share) = reader.sampled_share() {
        warnings.push(format!(
            "the records hold a share of {share} of the allowed requests (and every denial): \
             the real traffic was larger, and this replay denies less than it would; \
             record all with decision_records.sampled_share: 1"
        ));
    }
    if reader.denials_left_out() > 0 {
        warnings.push(format!(
            "{} denials are not among the records, which had too many of one limit in a second: \
             this replay sees fewer requests than there were; \
             decision_records.denials_per_second allows more",
            reader.denials_left_out()
        ));
    }
    if plan.format == Format::Records && !reader.saw("path") && log.requests > 0 {
        warnings.push("no record has a path: limits and costs with a `match` do not apply".into());
    }
    warnings.extend(addresses(plan, reader));
    if log.late > 0 {
        warnings.push(format!(
            "{} requests were older than the {} s that lines may be late: they count as if they \
             had come with the ones before them; --late-seconds allows more",
            log.late,
            plan.window.get() / 1_000_000
        ));
    }
    warnings
}

/// Which other fields or values stood for the address that is meant, where a limit speaks of it.
fn addresses(plan: &Plan<'_>, reader: &Reader) -> Vec<String> {
    let mut policies = std::iter::once(plan.policy).chain(plan.against);
    if !policies.any(|policy| policy.attributes().any(|name| name == "ip_address")) {
        return Vec::new();
    }
    if plan.format == Format::Records && reader.saw("ip_address") {
        let text = "the records hold addresses that cannot be read any more: `ip_prefix` cuts none \
                    of them, so those of one network are several keys";
        return vec![text.to_owned()];
    }
    let warning = |Substitute { meant, field, requests }: Substitute<'_>| {
        let place = match field.from_right {
            0 => String::new(),
            n => format!("entry {n} from the right of "),
        };
        format!(
            "{requests} requests have no `{meant}`: their `ip_address` is {place}`{}`, which may \
             be another one; log what is meant, or name a field with --map ip_address=FIELD",
            field.name
        )
    };
    reader.substitutes("ip_address").into_iter().map(warning).collect()
}
