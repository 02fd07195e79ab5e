//! What each request leaves behind: a decision record, and a span where spans are exported.
//!
//! Denials are recorded, so many a second of each limit, and a sampled share of the rest; a Peek
//! decides nothing and leaves only a span. A part of a quota that was used up is a record of its
//! own. A request builds its record and hands it to a thread that writes; where too many wait, the
//! record is dropped and counted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde::Serialize;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::time::Tokens;

use crate::call::{Call, Decision, Method};
use crate::doors::status;
use crate::instant::rfc3339;
use crate::metrics::Metrics;
use crate::settings::DecisionRecords;
use crate::telemetry::Spans;

mod alert;
mod denials;
mod queue;
mod redact;

use alert::AlertRecord;
use denials::Denials;
use queue::{Kind, Place, Queue};
pub use redact::Redactor;

/// The target of the records among the lines of the log.
pub(crate) const TARGET: &str = "sluicegate::decision";
/// The most bytes of lines that are written as one.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// Takes what requests leave behind. A clone hands it to the same thread.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    settings: DecisionRecords,
    redactor: Redactor,
    spans: Option<Spans>,
    metrics: Arc<Metrics>,
    /// Numbers owners; nobody who sends requests can aim at a number.
    owners: RandomState,
    denials: Mutex<Denials>,
    queue: Arc<Queue>,
    /// Bounded by `queue`.
    lines: Sender<Message>,
}

/// The thread that writes. Dropping it writes what waits, and ends it.
#[derive(Debug)]
pub struct Writer {
    lines: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Write(Line, Place),
    Stop,
}

/// What is written.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Decision(Box<Record>),
    Alert(Box<AlertRecord>),
}

/// One decision, as a line of JSON. Personal values in it are redacted already.
#[derive(Debug, Serialize)]
struct Record {
    target: &'static str,
    time: String,
    decision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    door: &'static str,
    call: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<String>,
    /// Who asked for what.
    #[serde(flatten)]
    who: BTreeMap<&'static str, String>,
    /// What the request stated to cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<u64>,
    allowed: bool,
    /// Which share of the allowed requests is recorded, where it is not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How many denials of the same limit were left out since its last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    limit: Option<String>,
    response_code: u16,
    remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrun: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    would_deny: Vec<String>,
    policy_revision: String,
    degraded: bool,
    latency_us: u64,
    store_us: u64,
}

/// The attributes that a record shows where the request has them: who asked for what, and what a
/// replay of the records needs to ask again.
const SHOWN: [&str; 15] = [
    "authenticated",
    "country",
    "host",
    "path",
    "plan",
    "region",
    "tenant_id",
    "client_id",
    "on_behalf_of",
    "user_id",
    "ip_address",
    "method",
    "grpc_method",
    "request_size",
    "traffic_class",
];

impl Recorder {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        settings: DecisionRecords,
        redactor: Redactor,
        spans: Option<Spans>,
        metrics: Arc<Metrics>,
        out: impl Write + Send + 'static,
    ) -> std::io::Result<(Self, Writer)> {
        let (lines, written) = channel();
        let queue = Arc::new(Queue::new(settings.max_waiting));
        let (places, counted) = (Arc::clone(&queue), Arc::clone(&metrics));
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || write(&written, out, &places, &counted))?;
        let writer = Writer { lines: lines.clone(), thread: Some(thread) };
        let denials = Mutex::new(Denials::new(settings.denials_per_second));
        let owners = RandomState::new();
        let inner = Inner { settings, redactor, spans, metrics, owners, denials, queue, lines };
        Ok((Self(Arc::new(inner)), writer))
    }

    /// Takes what this decision leaves behind. Never waits.
    pub fn record(&self, call: &Call, decision: &Decision) {
        let inner = &*self.0;
        let mut trace_id = call.trace.trace_id;
        if let Some(spans) = &inner.spans {
            trace_id = spans.export(call, decision, &inner.redactor);
        }
        let owner = || inner.owners.hash_one(call.owner());
        for alert in &decision.verdict.alerts {
            let record = AlertRecord::of(alert, call, decision, &inner.redactor);
            let place = Place { kind: Kind::Alert, owner: owner() };
            inner.send(place, || Line::Alert(Box::new(record)));
        }
        let record = || Record::of(call, decision, trace_id, &inner.redactor);
        match decision.verdict.allowed {
            _ if call.method == Method::Peek => {}
            true => inner.allowed(owner, record),
            false => inner.denied(owner(), decision, record),
        }
    }
}

impl Inner {
    /// Records an allowed request, where it is one of the sample.
    fn allowed(&self, owner: impl FnOnce() -> u64, record: impl FnOnce() -> Record) {
        let share = self.settings.sampled_share;
        if fastrand::f64() >= share {
            return;
        }
        self.send(Place { kind: Kind::Record, owner: owner() }, || {
            let sampled_share = (share < 1.0).then_some(share);
            Line::Decision(Box::new(Record { sampled_share, ..record() }))
        });
    }

    /// Records a denial, unless there are too many of its limit.
    fn denied(&self, owner: u64, decision: &Decision, record: impl FnOnce() -> Record) {
        let Some(before) = self.denials.lock().admit(decision, owner) else {
            self.metrics.records_left_out.inc();
            return;
        };
        let sent = self.send(Place { kind: Kind::Record, owner }, || {
            let left_out = (before > 0).then_some(before);
            Line::Decision(Box::new(Record { left_out, ..record() }))
        });
        if !sent {
            self.denials.lock().leave_out(decision, before + 1);
        }
    }

    /// Hands a line to the thread that writes, unless too many wait; answers whether it did.
    fn send(&self, place: Place, line: impl FnOnce() -> Line) -> bool {
        let sent = self.queue.take(place) && self.lines.send(Message::Write(line(), place)).is_ok();
        if !sent {
            self.metrics.records_dropped.inc();
        }
        sent
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.lines.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Record {
    fn of(call: &Call, decision: &Decision, trace_id: u128, redactor: &Redactor) -> Self {
        let verdict = &decision.verdict;
        let mut who: BTreeMap<_, _> = redactor.shown(&call.attributes, &SHOWN).collect();
        if let Some(endpoint) = decision.policy.value(&call.attributes, "endpoint") {
            who.insert("endpoint", redactor.show("endpoint", endpoint).into_owned());
        }
        let overrun = decision.grant.as_ref().map(|grant| grant.overrun.get());
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            target: TARGET,
            time: rfc3339(decision.now),
            decision_id: decision.id.to_string(),
            trace_id: (trace_id != 0).then(|| format!("{trace_id:032x}")),
            door: call.door.as_str(),
            call: call.method.as_str(),
            reservation: decision.grant.as_ref().map(|grant| grant.id.simple().to_string()),
            who,
            cost: call.cost.map(Tokens::get),
            allowed: verdict.allowed,
            sampled_share: None,
            left_out: None,
            reason: (!verdict.allowed).then(|| verdict.reason_text.clone()),
            limit: verdict.limit_name().map(str::to_owned),
            response_code: status::answered(call.door, verdict.reason).as_u16(),
            remaining: verdict.remaining().map(Tokens::get),
            retry_after_ms: verdict.retry_after().and_then(Wait::to_millis_up),
            overrun: overrun.filter(|overrun| *overrun > 0),
            would_deny: verdict.would_deny().map(|limit| limit.name.to_string()).collect(),
            policy_revision: decision.policy.revision().to_owned(),
            degraded: verdict.degraded,
            latency_us: micros(decision.took),
            store_us: micros(decision.store_time),
        }
    }
}

/// Writes records until it is told to stop, which is the last message: what waits is written.
/// What waits at one time goes as one write, whole lines, so that a flood of denials costs few
/// system calls and lines of other writers never get in between.
fn write(lines: &Receiver<Message>, mut out: impl Write, queue: &Queue, metrics: &Metrics) {
    let mut text = Vec::new();
    let mut running = true;
    while running {
        let mut count = 0;
        // Waits for the first, then takes what is there.
        let mut next = lines.recv().ok().or(Some(Message::Stop));
        while let Some(message) = next {
            let Message::Write(line, place) = message else {
                running = false;
                break;
            };
            queue.give_back(place);
            count += 1;
            // A line is text and numbers, which JSON can always say.
            let _ = serde_json::to_writer(&mut text, &line);
            text.push(b'\n');
            next = (text.len() < MAX_WRITE_BYTES).then(|| lines.try_recv().ok()).flatten();
        }
        let written = out.write_all(&text).is_ok();
        let counter = if written { &metrics.records_written } else { &metrics.records_dropped };
        counter.inc_by(count);
        text.clear();
    }
    let _ = out.flush();
}
