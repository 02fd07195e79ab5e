//! The way of one request: policy, charges, store, fallback, verdict, record.

mod backing;
mod ending;
mod grant;
mod spend;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use arc_swap::ArcSwap;
use sluicegate_limits::charge::{Intent, InvalidSecret, KeySecret};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::{Mode, Policy};
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::call::{Call, Decision, Method, decision_id};
use crate::clock;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::record::Recorder;
use crate::reservation::{MAX_HELD, Seal};
use crate::settings::{ClassRules, Replicas, Secret, Settings, TrafficClasses, Unmatched};
use crate::store::Store;
use backing::{Losses, Seen};
use spend::{Spent, Wish};

/// The most requests that one replica decides at the same time; further ones are `overloaded`.
const MAX_IN_FLIGHT: usize = 16_384;

/// Decides requests. One for each core, since its store connection belongs to that core's
/// runtime; all of them share the policy and the counters of this process.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
    store: Store,
    seen: Arc<Seen>,
    /// The ids that it gives.
    random: Arc<Random>,
}

/// What the settings say about decisions.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many replicas share the limits while the store is away, and which this one is.
    pub replicas: Replicas,
    /// The answer to a request that no enforcing limit applies to.
    pub unmatched: Unmatched,
    /// What a request's traffic class decides.
    pub classes: TrafficClasses,
}

/// What all cores share.
pub struct Shared {
    policy: ArcSwap<Policy>,
    secrets: Secrets,
    /// Names this process in what it grants.
    process: u64,
    random: Random,
    /// Counts the local share where the store does not answer.
    local: Arc<Memory>,
    rules: Rules,
    losses: Losses,
    in_flight: AtomicUsize,
    metrics: Arc<Metrics>,
    recorder: Recorder,
}

impl From<&Settings> for Rules {
    fn from(settings: &Settings) -> Self {
        let Settings { replicas, unmatched, traffic_classes: classes, .. } = *settings;
        Self { replicas, unmatched, classes }
    }
}

/// What is derived from the key secret for deciding.
#[derive(Clone, Debug)]
pub struct Secrets {
    keys: KeySecret,
    seal: Seal,
}

impl Secrets {
    /// Derives each use from the secret.
    ///
    /// # Errors
    /// Where the secret is too short.
    pub fn new(secret: &Secret) -> Result<Self, InvalidSecret> {
        Ok(Self { keys: KeySecret::new(secret.expose())?, seal: Seal::new(secret) })
    }
}

impl Shared {
    /// Puts the parts together; `local` counts the shares, or everything where it is the store.
    #[must_use]
    pub fn new(
        policy: Arc<Policy>,
        secrets: Secrets,
        local: Arc<Memory>,
        rules: Rules,
        metrics: Arc<Metrics>,
        recorder: Recorder,
        random: Random,
    ) -> Arc<Self> {
        local.set_families(policy.families());
        Arc::new(Self {
            policy: ArcSwap::new(policy),
            secrets,
            process: random.number(),
            random,
            local,
            rules,
            losses: Losses::default(),
            in_flight: AtomicUsize::new(0),
            metrics,
            recorder,
        })
    }

    /// Puts another policy in force; requests under way end on the one they began with (G1).
    pub fn set_policy(&self, policy: Arc<Policy>) {
        self.local.set_families(policy.families());
        self.policy.store(policy);
    }
}

impl Limiter {
    /// A limiter over one core's store.
    #[must_use]
    pub fn new(shared: Arc<Shared>, store: Store) -> Self {
        let random = Arc::new(shared.random.split());
        Self { shared, store, seen: Arc::default(), random }
    }

    /// Decides one request and takes what it costs: all of its charges, or none. A Peek gets the
    /// same answer and takes nothing; only its `reset` is that of before the request.
    pub async fn check(&self, call: Call) -> Decision {
        let began = clock::instant();
        let policy = self.policy();
        let spent = match InFlight::enter(&self.shared.in_flight) {
            Some(_place) => self.judge(&policy, &call).await,
            None => Spent::refused(Reason::Overloaded),
        };
        self.answer(&call, policy, spent, began)
    }

    /// A refusal that no limit decided: a bad request, or a caller that is not trusted. `detail`
    /// says to the caller what is wrong with the request; empty where nothing is.
    #[must_use]
    pub fn refuse(&self, reason: Reason, detail: String, call: &Call) -> Decision {
        let began = clock::instant();
        let verdict = Verdict { detail, ..Verdict::refused(reason) };
        self.answer(call, self.policy(), Spent::without_asking(verdict), began)
    }

    /// What the traffic class of a request decides.
    pub(crate) fn class_rules(&self, call: &Call) -> ClassRules {
        self.shared.rules.classes.rules(call.traffic_class())
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.shared.policy.load_full()
    }

    /// What the request owes, and whether all of it can be taken.
    async fn judge(&self, policy: &Policy, call: &Call) -> Spent {
        let charges =
            |now| policy.charges(&call.attributes, call.cost, &self.shared.secrets.keys, now);
        let now = self.store.now();
        let owed = match charges(now) {
            Ok(owed) => owed,
            Err(invalid) => {
                if call.method != Method::Peek {
                    self.shared.metrics.invalid(&invalid);
                }
                return Spent::without_asking(Verdict::invalid(invalid));
            }
        };
        let (intent, holds) = match call.method {
            Method::Peek => (Intent::Look, false),
            Method::Reserve { lasting } => (Intent::Reserve { lasting }, true),
            Method::Hold { lasting } => (Intent::Hold { lasting }, true),
            Method::Check | Method::CheckBatch | Method::End(_) => (Intent::Check, false),
        };
        if holds && owed.len() > MAX_HELD {
            let detail = format!("more than {MAX_HELD} limits apply, the most that can be held");
            return Spent::without_asking(Verdict::invalid(detail));
        }
        let unmatched = owed.iter().all(|charge| charge.limit.mode == Mode::Shadow);
        if unmatched && self.shared.rules.unmatched == Unmatched::Deny {
            return Spent::refused(Reason::NoLimitApplies);
        }
        let otherwise = self.class_rules(call).on_store_failure;
        let (deadline, owner) = (call.deadline, call.owner());
        let wish = Wish { intent, otherwise, deadline, owner };
        self.spend(owed, now, charges, wish).await
    }

    /// Gives the answer its id, and leaves behind what its method does.
    fn answer(&self, call: &Call, policy: Arc<Policy>, spent: Spent, began: Instant) -> Decision {
        let now = clock::now();
        let Spent { verdict, store_time, grant } = spent;
        let took = clock::instant().saturating_duration_since(began);
        let (id, reveal) = (decision_id(now, &self.random), self.class_rules(call).reveal);
        let decision = Decision { id, verdict, policy, now, store_time, took, reveal, grant };
        match call.method {
            Method::Peek => {}
            Method::End(ending) => self.shared.metrics.ended(call.door, ending, &decision),
            _ => self.shared.metrics.decided(call.door, &decision),
        }
        self.shared.recorder.record(call, &decision);
        decision
    }
}

/// A place among the requests in flight, given back when dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Relaxed) < MAX_IN_FLIGHT).then_some(place)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
