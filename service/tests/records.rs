//! Decision records: which are written, what happens when the writer is slow, and at the end.

#![cfg(test)]

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::call::{Call, Decision, Door, Ending, Grant, Method};
use sluicegate::metrics::Metrics;
use sluicegate::record::{Recorder, Redactor, Writer};
use sluicegate::settings::{DecisionRecords, Redaction, RedactionMode, Reveal, Secret};
use sluicegate::telemetry::TraceParent;
use sluicegate_limits::alert::Alert;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::decide::Reply;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::{Reason, Verdict};

/// A place for records that a test can read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn read(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Says when it begins to write, and writes when it is let.
struct Slow {
    begun: Sender<()>,
    go_on: Receiver<()>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.begun.send(()).expect("the test listens");
        // The test that has ended lets everything through.
        let _ = self.go_on.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn start(
    sampled_share: f64,
    max_waiting: usize,
    out: impl Write + Send + 'static,
) -> (Recorder, Writer, Arc<Metrics>) {
    let also = ["tenant_id".to_owned()].into();
    let redaction = Redaction { mode: RedactionMode::Truncate, also };
    let redactor = Redactor::new(redaction, &Secret::new(&[1; 32]));
    let denials_per_second = 100;
    let settings = DecisionRecords { sampled_share, denials_per_second, max_waiting };
    let metrics = Metrics::new(1);
    let started = Recorder::start(settings, redactor, None, Arc::clone(&metrics), out);
    let (recorder, writer) = started.unwrap();
    (recorder, writer, metrics)
}

fn call() -> Call {
    call_of("acme-industries")
}

fn call_of(tenant: &str) -> Call {
    let mut facts = AttributesBuilder::new();
    facts.set("user_id", "ada.lovelace").unwrap().set("tenant_id", tenant).unwrap();
    facts.set("claims.email", "ada@example.org").unwrap();
    let trace = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    Call {
        attributes: facts.finish(),
        cost: None,
        deadline: None,
        door: Door::ExtAuthz,
        method: Method::Check,
        trace,
    }
}

fn decision(verdict: Verdict) -> Decision {
    let text = "rate_limits: {a: {key: tenant_id, limit: 5, window: 1m}}".to_owned();
    let policy = Policy::compile(&[SourceFile { name: "a".into(), text }]).unwrap().policy;
    Decision {
        id: uuid::Uuid::from_u128(7),
        verdict,
        policy: Arc::new(policy),
        now: Timestamp::new(1_795_518_296_000_000),
        store_time: Duration::from_micros(40),
        took: Duration::from_micros(90),
        reveal: Reveal::All,
        grant: None,
    }
}

/// A denial that this limit bound, so many seconds after the first.
fn denied_by(limit: &str, seconds: u64) -> Decision {
    let text = format!("rate_limits: {{{limit}: {{key: tenant_id, limit: 0, window: 1m}}}}");
    let policy = Policy::compile(&[SourceFile { name: "a".into(), text }]).unwrap().policy;
    let (secret, cost) = (KeySecret::new(&[1; 32]).unwrap(), None);
    let charges = policy.charges(&call().attributes, cost, &secret, Timestamp::ZERO).unwrap();
    let never = Reply::bare(false, Tokens::ZERO, Wait::Never);
    let verdict = Verdict::of(&charges, &vec![never; charges.len()]);
    assert_eq!(verdict.limit_name(), Some(limit));
    let denied = decision(verdict);
    Decision { now: Timestamp::new(denied.now.get() + seconds * 1_000_000), ..denied }
}

fn alert() -> Alert {
    Alert {
        limit: "a".into(),
        percent: 80,
        used: Tokens::new(4),
        quota: Tokens::new(5),
        ends: Timestamp::new(1_796_083_200_000_000),
    }
}

#[test]
fn a_part_of_a_quota_that_is_used_up_is_told() {
    let lines = Lines::default();
    let (recorder, writer, _) = start(0.0, 10, lines.clone());
    let mut verdict = Verdict::of(&[], &[]);
    verdict.alerts = vec![alert()];
    recorder.record(&call(), &decision(verdict));
    drop(writer);
    let expected = serde_json::json!({
        "target": "sluicegate::alert",
        "time": "2026-11-24T11:04:56.000000Z",
        "decision_id": uuid::Uuid::from_u128(7),
        "limit": "a",
        "threshold_percent": 80,
        "used": 4,
        "quota": 5,
        "period_ends": "2026-12-01T00:00:00.000000Z",
        "tenant_id": "acm…",
    });
    assert_eq!(lines.read(), [expected], "not sampled, and only the key of the limit");
}

#[test]
fn denials_are_always_recorded_and_the_rest_by_the_share() {
    for (share, records) in [(0.0, 1), (1.0, 2)] {
        let lines = Lines::default();
        let (recorder, writer, metrics) = start(share, 10, lines.clone());
        recorder.record(&call(), &decision(Verdict::of(&[], &[])));
        recorder.record(&call(), &decision(Verdict::refused(Reason::StoreUnavailable)));
        let peek = Call { method: Method::Peek, ..call() };
        recorder.record(&peek, &decision(Verdict::of(&[], &[])));
        recorder.record(&peek, &decision(Verdict::refused(Reason::StoreUnavailable)));
        drop(writer);
        let written = lines.read();
        assert_eq!((written.len(), metrics.records_written.get()), (records, records as u64));
        let denial = written.last().unwrap();
        assert_eq!(denial["target"], "sluicegate::decision");
        assert_eq!(denial["time"], "2026-11-24T11:04:56.000000Z");
        assert_eq!(denial["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((&denial["door"], &denial["allowed"]), (&"ext_authz".into(), &false.into()));
        assert_eq!(denial["reason"], "store_unavailable");
        assert_eq!(denial["response_code"], 503);
        assert_eq!((&denial["latency_us"], &denial["store_us"]), (&90.into(), &40.into()));
        // Personal by nature, and personal by setting.
        assert_eq!((&denial["user_id"], &denial["tenant_id"]), (&"ada…".into(), &"acm…".into()));
        assert!(!denial.to_string().contains("example.org"));
    }
}

#[test]
fn a_record_tells_what_a_replay_of_it_needs() {
    let lines = Lines::default();
    let (recorder, writer, _) = start(0.25, 10, lines.clone());
    let mut facts = AttributesBuilder::new();
    for (name, value) in [
        ("tenant_id", "acme-industries"),
        ("method", "POST"),
        ("path", "/v1/search?q=secret"),
        ("host", "API.example.org:443"),
        ("authenticated", "true"),
        ("country", "DE"),
        ("region", "DE-BE"),
        ("plan", "pro"),
        ("traffic_class", "partner"),
        ("request_size", "123"),
        ("on_behalf_of", "someone-else"),
    ] {
        facts.set(name, value).unwrap();
    }
    let cost = Some(Tokens::new(3));
    let asked = Call { attributes: facts.finish(), cost, ..call() };
    let text = "{endpoint_costs: {\"POST /v1/search\": 5}, \
                rate_limits: {a: {key: tenant_id, limit: 5, window: 1m}}}";
    let file = SourceFile { name: "a".into(), text: text.to_owned() };
    let policy = Arc::new(Policy::compile(&[file]).unwrap().policy);
    let refused = || decision(Verdict::refused(Reason::StoreUnavailable));
    recorder.record(&asked, &Decision { policy, ..refused() });
    recorder.record(&call(), &refused());
    drop(writer);
    let written = lines.read();
    for (field, value) in [
        ("method", "POST"),
        ("path", "/v1/search"),
        ("host", "api.example.org"),
        ("endpoint", "POST /v1/search"),
        ("authenticated", "true"),
        ("country", "DE"),
        ("region", "DE-BE"),
        ("plan", "pro"),
        ("traffic_class", "partner"),
        ("request_size", "123"),
        // Personal by setting and by nature: as long as keys stay apart, a replay can use them.
        ("tenant_id", "acm…"),
        ("on_behalf_of", "som…"),
    ] {
        assert_eq!(written[0][field], value, "{field}");
    }
    assert_eq!(written[0]["cost"], 3);
    assert!(!written[0].to_string().contains("secret"));
    // Every denial is there, so no share is told; what a request does not have is not either.
    assert_eq!(written[0].get("sampled_share"), None);
    for field in ["method", "path", "host", "endpoint", "cost", "plan", "request_size"] {
        assert_eq!(written[1].get(field), None, "{field}");
    }
}

#[test]
fn an_allowed_request_of_a_sample_tells_the_share() {
    let lines = Lines::default();
    let (recorder, writer, _) = start(0.5, 1_000, lines.clone());
    for _ in 0..200 {
        recorder.record(&call(), &decision(Verdict::of(&[], &[])));
    }
    drop(writer);
    let written = lines.read();
    assert!((50..150).contains(&written.len()), "{}", written.len());
    assert!(written.iter().all(|record| record["sampled_share"] == 0.5));
}

#[test]
fn what_becomes_of_a_reservation_is_recorded_as_its_beginning_is() {
    let lines = Lines::default();
    let (recorder, writer, _) = start(1.0, 10, lines.clone());
    let settle = Method::End(Ending::Settle { actual: Tokens::new(17) });
    let id = uuid::Uuid::from_u128(0xabc);
    let of = |method, token: &str, overrun| {
        let (token, lasts) = (token.to_owned(), Micros::SECOND);
        let grant = Some(Grant { id, token, lasts, overrun: Tokens::new(overrun) });
        let passed = decision(Verdict::of(&[], &[]));
        recorder.record(&Call { method, ..call() }, &Decision { grant, ..passed });
    };
    of(Method::Reserve { lasting: Micros::SECOND }, "a token", 0);
    of(settle, "", 7);
    drop(writer);
    let written = lines.read();
    let calls: Vec<_> = written.iter().map(|record| record["call"].as_str().unwrap()).collect();
    assert_eq!(calls, ["reserve", "settle"]);
    assert!(written.iter().all(|record| record["reservation"] == id.simple().to_string()));
    assert_eq!((written[0].get("overrun"), &written[1]["overrun"]), (None, &7.into()));
    assert!(!written[0].to_string().contains("a token"), "whoever has it may settle");
}

#[test]
fn a_slow_writer_stops_nobody_and_what_is_dropped_is_counted() {
    let ((begun, has_begun), (let_go, go_on)) = (channel(), channel());
    let (recorder, writer, metrics) = start(0.0, 2, Slow { begun, go_on });
    let denial = decision(Verdict::refused(Reason::Blocked));
    recorder.record(&call(), &denial);
    has_begun.recv().unwrap();
    // One is being written; of two that may wait everybody gets one.
    for _ in 0..5 {
        recorder.record(&call(), &denial);
    }
    assert_eq!(metrics.records_dropped.get(), 4);
    recorder.record(&call_of("globex"), &denial);
    assert_eq!(metrics.records_dropped.get(), 4);
    let mut verdict = Verdict::of(&[], &[]);
    verdict.alerts = vec![alert()];
    recorder.record(&call(), &decision(verdict));
    assert_eq!(metrics.records_dropped.get(), 4, "an alert has a place of its own");
    drop(let_go);
    drop(writer);
    assert_eq!(metrics.records_written.get(), 4);
}

#[test]
fn a_flood_of_denials_leaves_a_bounded_number_of_records_and_tells_the_rest() {
    let lines = Lines::default();
    let (recorder, writer, metrics) = start(0.0, 10_000, lines.clone());
    for _ in 0..1_000 {
        recorder.record(&call(), &denied_by("flooded", 0));
    }
    // One alone gets a quarter of 100 a second, and the others theirs, of this limit and others.
    assert_eq!(metrics.records_left_out.get(), 975);
    recorder.record(&call_of("globex"), &denied_by("flooded", 0));
    recorder.record(&call(), &denied_by("calm", 0));
    for _ in 0..1_000 {
        recorder.record(&call(), &decision(Verdict::refused(Reason::Overloaded)));
    }
    assert_eq!(metrics.records_left_out.get(), 2 * 975);
    assert_eq!(metrics.records_dropped.get(), 0);
    recorder.record(&call(), &denied_by("flooded", 1));
    recorder.record(&call(), &denied_by("flooded", 1));
    drop(writer);
    let written = lines.read();
    let told: Vec<_> =
        written.iter().filter_map(|line| Some((&line["limit"], line.get("left_out")?))).collect();
    assert_eq!(told, [(&"flooded".into(), &975.into())]);
    let of = |limit: &str| written.iter().filter(|line| line["limit"] == limit).count();
    assert_eq!((written.len(), of("flooded"), of("calm")), (54, 28, 1));
}
