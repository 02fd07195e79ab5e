//! One policy over the log: its counters in virtual time, and the sums of what it decided.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::charge::Intent;
use sluicegate_limits::policy::condition::Condition;
use sluicegate_limits::policy::units::MAX_HOLD;
use sluicegate_limits::policy::{Algorithm, CostRule, Limit, MissingKey, Policy, UNAUTHENTICATED};
use sluicegate_limits::time::Timestamp;
use sluicegate_limits::trial::Trial;
use sluicegate_limits::verdict::{Reason, Verdict};

use super::format::Reader;
use super::mapping::DURATION;
use super::report::{ChangesReport, KeyReport, LimitChange, LimitReport, SideReport};
use super::running::Running;
use super::top::Top;
use super::{Entry, Plan};
use crate::settings::Unmatched;

/// How many denied keys are counted; exact as long as there are no more.
const COUNTED_KEYS: usize = 1_024;
/// How many of them are reported.
const REPORTED_KEYS: usize = 20;
/// The most characters of a value of a key.
const MAX_VALUE_CHARS: usize = 256;

/// A policy, its counters and its sums.
pub(super) struct Side<'p> {
    policy: &'p Policy,
    trial: Trial<'p>,
    /// What ends at its own time.
    running: Running<'p>,
    max_counters: usize,
    unmatched: Unmatched,
    index: HashMap<Arc<str>, usize>,
    allowed: u64,
    denied: u64,
    /// Requests that no enforcing limit applied to.
    without_limit: u64,
    reasons: BTreeMap<String, u64>,
    limits: Vec<Sums>,
    keys: Top<DeniedKey>,
}

/// What one limit did, in requests.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    applied: u64,
    denied: u64,
    exceeded: u64,
}

/// A key of a limit: the position of the limit, and the values of its key attributes.
type DeniedKey = (usize, Vec<String>);

/// What one policy does and the other did not.
pub(super) struct Changes {
    newly_denied: BTreeMap<Option<usize>, u64>,
    newly_allowed: BTreeMap<Option<usize>, u64>,
    keys: Top<DeniedKey>,
}

impl<'p> Side<'p> {
    pub(super) fn new(policy: &'p Policy, plan: &Plan<'_>) -> Self {
        let names = policy.limits().iter().map(|limit| Arc::clone(&limit.name));
        Self {
            policy,
            trial: Trial::bounded(policy, plan.max_counters),
            running: Running::new(),
            max_counters: plan.max_counters,
            unmatched: plan.unmatched,
            index: names.zip(0..).collect(),
            allowed: 0,
            denied: 0,
            without_limit: 0,
            reasons: BTreeMap::new(),
            limits: vec![Sums::default(); policy.limits().len()],
            keys: Top::new(COUNTED_KEYS),
        }
    }

    /// Decides a request at an instant that is not before that of the last one.
    pub(super) fn decide(&mut self, now: Timestamp, entry: &Entry) -> Verdict {
        self.running.end_until(now, &mut self.trial);
        // What ends at a known time is held until then, for as long as the limit allows.
        let intent = match entry.lasted {
            Some(_) => Intent::Hold { lasting: MAX_HOLD },
            None => Intent::Check,
        };
        let asked = self.trial.ask(now, &entry.attributes, entry.cost, intent);
        // Time does not go back here, so there is always a verdict.
        let (mut verdict, held) =
            asked.unwrap_or_else(|_| (Verdict::refused(Reason::InvalidRequest), None));
        if let (Some(held), Some(lasted)) = (held, entry.lasted)
            && !held.is_empty()
        {
            self.running.add(entry.at.after(lasted).max(now), held);
        }
        if verdict.binding.is_none() {
            self.without_limit += 1;
            if verdict.allowed && self.unmatched == Unmatched::Deny {
                verdict =
                    Verdict { limits: verdict.limits, ..Verdict::refused(Reason::NoLimitApplies) };
            }
        }
        self.count(&verdict, entry);
        verdict
    }

    fn count(&mut self, verdict: &Verdict, entry: &Entry) {
        for said in &verdict.limits {
            let place = self.index.get(&said.name);
            if let Some(sums) = place.and_then(|place| self.limits.get_mut(*place)) {
                sums.applied += 1;
                sums.exceeded += u64::from(!said.allowed);
            }
        }
        if verdict.allowed {
            self.allowed += 1;
            return;
        }
        self.denied += 1;
        match self.reasons.get_mut(&verdict.reason_text) {
            Some(count) => *count += 1,
            None => drop(self.reasons.insert(verdict.reason_text.clone(), 1)),
        }
        let Some(place) = self.place(verdict) else { return };
        if let Some(sums) = self.limits.get_mut(place) {
            sums.denied += 1;
        }
        if let Some(key) = self.key(place, &entry.attributes) {
            self.keys.add(key);
        }
    }

    /// The position of the limit that bound a verdict.
    fn place(&self, verdict: &Verdict) -> Option<usize> {
        self.index.get(verdict.limit_name()?).copied()
    }

    /// The request's key of a limit.
    fn key(&self, place: usize, attributes: &Attributes) -> Option<DeniedKey> {
        let limit = self.policy.limits().get(place)?;
        let values = limit.key.iter().map(|name| {
            let value = self.policy.counted(attributes, name).unwrap_or_default();
            match value.char_indices().nth(MAX_VALUE_CHARS) {
                None => value.into_owned(),
                Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
            }
        });
        Some((place, values.collect()))
    }

    /// What makes the answers of this policy less than they seem.
    pub(super) fn warnings(&self, reader: &Reader) -> Vec<String> {
        let mut warnings = Vec::new();
        for (limit, sums) in self.policy.limits().iter().zip(&self.limits) {
            // The policy says the endpoint, and the plan may be that of the tenants' file.
            let unseen = |name: &&str| !reader.saw(name) && !["endpoint", "plan"].contains(name);
            warnings.extend(missing_key(limit, unseen, sums.applied));
            if let CostRule::Attribute { of, missing } = &limit.cost
                && unseen(&of.as_str())
                && sums.applied > 0
            {
                warnings.push(format!(
                    "no line has `{of}`: limit `{}` counts each request as {missing}; map it, as \
                     with --map {of}=FIELD",
                    limit.name
                ));
            }
            let condition = limit.condition.iter().flat_map(Condition::attributes);
            if let Some(missing) = condition.into_iter().find(unseen) {
                warnings.push(format!(
                    "limit `{}` has a condition on `{missing}`, which no line has: it holds or not \
                     as for requests without it",
                    limit.name
                ));
            }
            let runs = limit.algorithm == Algorithm::Concurrency && sums.applied > 0;
            if runs && !reader.saw(DURATION) {
                warnings.push(format!(
                    "no line says how long its request ran: limit `{}` counts each for its whole \
                     `hold`, as where nobody tells ends; map it, as with --map duration_ms=FIELD",
                    limit.name
                ));
            }
            if *limit.name == *UNAUTHENTICATED && !reader.saw("authenticated") {
                warnings.push(
                    "no line says whether its request was authenticated: all count as not; \
                     map it, as with --map authenticated=present:user_id"
                        .to_owned(),
                );
            }
        }
        warnings.extend(self.bounds());
        warnings
    }

    /// What does not fit into memory.
    pub(super) fn bounds(&self) -> Option<String> {
        let (shared, late) = (self.trial.shared(), self.running.left_out());
        if shared == 0 && late == 0 {
            return None;
        }
        let mut text = format!("policy {}: ", self.policy.revision());
        if shared > 0 {
            text += &format!(
                "{shared} times a key found no counter of its own, since {} counted something \
                 already, and shared one with others: this denies more than there would be; \
                 --max-counters keeps more",
                self.max_counters
            );
        }
        if late > 0 {
            let then = if shared > 0 { "; " } else { "" };
            text += &format!(
                "{then}{late} requests count for their whole `hold`, since too many ran at a time"
            );
        }
        Some(text)
    }

    pub(super) fn report(&self) -> SideReport {
        let limits = self.policy.limits().iter().zip(&self.limits);
        SideReport {
            revision: self.policy.revision().to_owned(),
            allowed: self.allowed,
            denied: self.denied,
            without_limit: self.without_limit,
            reasons: self.reasons.clone(),
            limits: limits
                .map(|(limit, sums)| LimitReport {
                    name: limit.name.to_string(),
                    mode: limit.mode.as_str(),
                    applied: sums.applied,
                    denied: sums.denied,
                    exceeded: sums.exceeded,
                })
                .collect(),
            keys: self.reported(&self.keys),
            shared_counters: self.trial.shared(),
        }
    }

    fn reported(&self, keys: &Top<DeniedKey>) -> Vec<KeyReport> {
        let most = keys.most(REPORTED_KEYS);
        let report = |counted: super::top::Counted<DeniedKey>| {
            let (place, values) = counted.key;
            let limit = self.policy.limits().get(place)?;
            let key = limit.key.iter().cloned().zip(values).collect();
            let (limit, denied) = (limit.name.to_string(), counted.count);
            Some(KeyReport { limit, key, denied, excess: counted.excess })
        };
        most.into_iter().filter_map(report).collect()
    }

    fn name(&self, place: Option<usize>) -> Option<String> {
        let limit: Option<&Limit> = place.and_then(|place| self.policy.limits().get(place));
        limit.map(|limit| limit.name.to_string())
    }
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            newly_denied: BTreeMap::new(),
            newly_allowed: BTreeMap::new(),
            keys: Top::new(COUNTED_KEYS),
        }
    }

    /// Counts a request that one policy denies and the other does not.
    pub(super) fn add(
        &mut self,
        new: &Side<'_>,
        verdict: &Verdict,
        old: &Side<'_>,
        before: &Verdict,
        entry: &Entry,
    ) {
        match (before.allowed, verdict.allowed) {
            (true, false) => {
                let place = new.place(verdict);
                *self.newly_denied.entry(place).or_default() += 1;
                if let Some(key) = place.and_then(|place| new.key(place, &entry.attributes)) {
                    self.keys.add(key);
                }
            }
            (false, true) => *self.newly_allowed.entry(old.place(before)).or_default() += 1,
            _ => {}
        }
    }

    pub(super) fn report(&self, new: &Side<'_>, old: &Side<'_>) -> ChangesReport {
        let by = |side: &Side<'_>, sums: &BTreeMap<Option<usize>, u64>| -> Vec<LimitChange> {
            let limit = |(place, requests): (&Option<usize>, &u64)| LimitChange {
                limit: side.name(*place),
                requests: *requests,
            };
            let mut all: Vec<_> = sums.iter().map(limit).collect();
            all.sort_by_key(|change| std::cmp::Reverse(change.requests));
            all
        };
        ChangesReport {
            newly_denied: self.newly_denied.values().sum(),
            newly_allowed: self.newly_allowed.values().sum(),
            newly_denied_by: by(new, &self.newly_denied),
            newly_allowed_by: by(old, &self.newly_allowed),
            newly_denied_keys: new.reported(&self.keys),
        }
    }
}

/// What a limit makes of a log without an attribute of its key.
fn missing_key(limit: &Limit, unseen: impl Fn(&&str) -> bool, applied: u64) -> Option<String> {
    let missing = limit.key.iter().map(String::as_str).find(|name| unseen(name))?;
    let name = &limit.name;
    match limit.missing_key {
        MissingKey::Skip if applied > 0 => None,
        MissingKey::Skip => Some(format!(
            "limit `{name}` applied to nothing: no line has its key attribute `{missing}`"
        )),
        MissingKey::Together => Some(format!(
            "no line has `{missing}`: limit `{name}` counts all requests as those without it"
        )),
        MissingKey::Deny => Some(format!(
            "no line has `{missing}`: limit `{name}` refuses every request that it is about; map \
             it, as with --map {missing}=FIELD"
        )),
    }
}
