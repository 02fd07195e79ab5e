//! Fires requests at a pace and measures each from the instant at which it was due.
//!
//! In an open loop nothing waits for an answer before the next request goes out, and a request
//! that goes out late is measured from when it should have gone out: a stalled server cannot hide
//! the requests that it kept from being sent ("coordinated omission").

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use crate::caller::{Caller, Shape};
use crate::clock;
use crate::report::Report;

/// The most requests without an answer; further ones are not sent, and counted as errors.
const MAX_IN_FLIGHT: usize = 10_000;
const REDRAW: Duration = Duration::from_millis(100);

/// What to fire, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) pace: Pace,
    /// Fired before, not measured.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// Of each request.
    pub(crate) deadline: Duration,
    /// Whether a bar is drawn.
    pub(crate) progress: bool,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At a fixed rate.
    Open { per_second: u32 },
    /// Each caller asks again as soon as it has its answer.
    Closed { callers: u32 },
}

/// What the requests of one run share.
struct Run {
    plan: Plan,
    start: Instant,
    /// From here on it is measured.
    begin: Instant,
    end: Instant,
    report: RefCell<Report>,
    tenants: RefCell<fastrand::Rng>,
}

/// Fires over these connections until the plan is done and every answer is in.
pub(crate) async fn run(callers: &[Caller], plan: &Plan) -> Report {
    let start = clock::instant();
    let begin = start + plan.warm_up;
    let run = Rc::new(Run {
        plan: plan.clone(),
        start,
        begin,
        end: begin + plan.duration,
        report: RefCell::new(Report::new(plan.duration)),
        tenants: RefCell::new(fastrand::Rng::with_seed(4)),
    });
    let local = LocalSet::new();
    local
        .run_until(async {
            let bar = tokio::task::spawn_local(draw(Rc::clone(&run)));
            match plan.pace {
                Pace::Open { per_second } => open(callers, &run, per_second).await,
                Pace::Closed { callers: count } => closed(callers, &run, count).await,
            }
            bar.abort();
        })
        .await;
    run.report.take()
}

/// Sends each request when it is due.
async fn open(callers: &[Caller], run: &Rc<Run>, per_second: u32) {
    let (due, mut dues) = mpsc::unbounded_channel();
    let (start, end) = (run.start, run.end);
    // A thread of its own wakes up far more exactly than the timer of the runtime.
    let pacer = std::thread::spawn(move || pace(start, end, per_second, &due));
    let mut in_flight = JoinSet::new();
    let mut turns = callers.iter().cycle();
    while let Some(due) = dues.recv().await {
        while in_flight.try_join_next().is_some() {}
        let Some(caller) = turns.next() else { break };
        if in_flight.len() >= MAX_IN_FLIGHT {
            run.record(due, Err(format!("not sent: {MAX_IN_FLIGHT} requests are in flight")));
            continue;
        }
        let (caller, run) = (caller.clone(), Rc::clone(run));
        in_flight.spawn_local(async move { run.ask(&caller, due).await });
    }
    while in_flight.join_next().await.is_some() {}
    // It has ended: the channel is closed.
    let _ = pacer.join();
}

/// Says of each request when it is due, at that instant.
fn pace(start: Instant, end: Instant, per_second: u32, due: &mpsc::UnboundedSender<Instant>) {
    let mut count: u64 = 0;
    loop {
        let nanos = count.saturating_mul(1_000_000_000) / u64::from(per_second);
        let at = start + Duration::from_nanos(nanos);
        if at >= end {
            return;
        }
        if let Some(rest) = at.checked_duration_since(clock::instant()) {
            std::thread::sleep(rest);
        }
        if due.send(at).is_err() {
            return;
        }
        count += 1;
    }
}

/// Lets each caller ask one request after the other.
async fn closed(callers: &[Caller], run: &Rc<Run>, count: u32) {
    let mut asking = JoinSet::new();
    for (caller, _) in callers.iter().cycle().zip(0..count) {
        let (caller, run) = (caller.clone(), Rc::clone(run));
        asking.spawn_local(async move {
            loop {
                let due = clock::instant();
                if due >= run.end {
                    break;
                }
                run.ask(&caller, due).await;
            }
        });
    }
    while asking.join_next().await.is_some() {}
}

impl Run {
    async fn ask(&self, caller: &Caller, due: Instant) {
        let tenant = self.tenants.borrow_mut().u64(..self.plan.shape.keys);
        let answer = caller.ask(&self.plan.shape, tenant, self.plan.deadline).await;
        self.record(due, answer);
    }

    fn record(&self, due: Instant, answer: Result<crate::caller::Answer, String>) {
        if due >= self.begin {
            let latency = clock::instant().saturating_duration_since(due);
            self.report.borrow_mut().record(latency, answer);
        }
    }
}

/// Draws how far the run is, until it is aborted. Nothing is drawn where nobody looks.
async fn draw(run: Rc<Run>) {
    if !run.plan.progress {
        return;
    }
    let whole = run.plan.warm_up + run.plan.duration;
    let bar = ProgressBar::new(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {elapsed} {msg}") {
        bar.set_style(style);
    }
    loop {
        tokio::time::sleep(REDRAW).await;
        let left = run.end.saturating_duration_since(clock::instant());
        let done = whole.saturating_sub(left);
        bar.set_position(u64::try_from(done.as_millis()).unwrap_or(u64::MAX));
        let report = run.report.borrow();
        bar.set_message(format!("{} answers, {} errors", report.answers(), report.errors));
    }
}
