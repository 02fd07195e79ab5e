//! Runs a case in virtual time, and says of the first step that got something else what it got.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::describe;
use super::{Action, Case, Expect, Step};
use crate::charge::Intent;
use crate::explain::Explanation;
use crate::policy::{Mode, Place, Policy};
use crate::time::Tokens;
use crate::trial::{Held, Trial};
use crate::verdict::{Reason, Verdict};

/// What a case that got what it expected has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The limits that it tests: those that its expectations name, and those that bound a denial
    /// that it expected.
    pub tested: HashSet<Arc<str>>,
}

/// A step got something else than it expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where the step is written.
    pub place: Place,
    /// Which step of the case, from 1.
    pub step: usize,
    /// Which repetition of it, from 1.
    pub time: u64,
    /// How often it is repeated.
    pub times: u64,
    /// When the step is, as its file writes it; empty where it writes nothing.
    pub at: String,
    /// What it must get.
    pub expected: String,
    /// What it got.
    pub got: String,
    /// Why it got that: the limits as they were for this request.
    pub explanation: Explanation,
}

impl Case {
    /// Runs it on fresh counters of the policy that it was read for. `progress` is told of
    /// requests that are done.
    ///
    /// # Errors
    /// The first step that gets something else than it expects.
    pub fn run(
        &self,
        policy: &Policy,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Passed, Box<Failure>> {
        let mut trial = Trial::new(policy);
        let mut passed = Passed::default();
        let mut held = HashMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            for time in 1..=step.times {
                let verdict = step.run(&mut trial, &mut held);
                if !step.expect.is_met_by(&verdict, time == step.times) {
                    return Err(failure(policy, step, number + 1, time, &verdict));
                }
                passed.learn(&step.expect, &verdict);
                progress(1);
            }
        }
        Ok(passed)
    }
}

impl Step {
    /// What it gets. Steps are in order of time, reading saw to it: none goes back.
    fn run<'p, 's>(
        &'s self,
        trial: &mut Trial<'p>,
        held: &mut HashMap<&'s str, Held<'p>>,
    ) -> Verdict {
        let nothing = || Verdict::of(&[], &[]);
        let mut ask = |intent| trial.ask(self.at, &self.attributes, self.cost, intent);
        match &self.action {
            Action::Check => ask(Intent::Check).map_or_else(|_| nothing(), |(verdict, _)| verdict),
            Action::Hold { name, intent } => {
                let (verdict, holds) = ask(*intent).unwrap_or_else(|_| (nothing(), None));
                held.remove(name.as_str());
                held.extend(holds.map(|holds| (name.as_str(), holds)));
                verdict
            }
            Action::End { name, ending } => {
                let held = held.get(name.as_str());
                let ended = held.map(|held| trial.end(self.at, held, *ending));
                let ended = ended.and_then(Result::ok).flatten();
                ended.unwrap_or_else(|| Verdict::refused(Reason::InvalidRequest))
            }
        }
    }
}

impl Passed {
    fn learn(&mut self, expect: &Expect, verdict: &Verdict) {
        let named = |name: &str| {
            let listed = expect.would_deny.iter().flatten();
            expect.limit.iter().chain(listed).any(|named| *named == *name)
        };
        let denied = verdict.limit_name().filter(|_| !verdict.allowed);
        for limit in &verdict.limits {
            if named(&limit.name) || denied == Some(&*limit.name) {
                self.tested.insert(Arc::clone(&limit.name));
            }
        }
    }
}

impl Expect {
    /// Whether a verdict is what was expected; `last` of the repetitions of its step.
    fn is_met_by(&self, verdict: &Verdict, last: bool) -> bool {
        let remaining = || self.about(verdict).map(|(_, remaining)| remaining.get());
        let names = |mode: Option<Mode>| -> Vec<&str> { names(verdict, mode) };
        let is_named = |name: &String| match self.allowed {
            true => verdict.limits.iter().any(|limit| *limit.name == **name),
            false => verdict.limit_name() == Some(name),
        };
        let wait = || verdict.retry_after().map(crate::counter::Wait::to_millis_up);
        self.allowed == verdict.allowed
            && self.limit.as_ref().is_none_or(is_named)
            && self.reason.as_ref().is_none_or(|reason| *reason == verdict.reason_text)
            && self.remaining.is_none_or(|expected| !last || remaining() == Some(expected))
            && self.retry_after_ms.is_none_or(|expected| wait() == Some(expected))
            && self.applies.as_ref().is_none_or(|applies| *applies == names(None))
            && self.would_deny.as_ref().is_none_or(|deny| *deny == names(Some(Mode::Shadow)))
    }

    /// The limit whose numbers are told, and the tokens left of it: the one that is named where it
    /// applies, else the one that binds.
    pub(super) fn about<'v>(&self, verdict: &'v Verdict) -> Option<(&'v str, Tokens)> {
        let named = self.limit.as_ref().filter(|_| self.allowed && verdict.allowed);
        let named =
            named.and_then(|name| verdict.limits.iter().find(|limit| *limit.name == **name));
        let limit = named.or_else(|| verdict.binding_limit());
        limit.map(|limit| (&*limit.name, limit.remaining))
    }
}

/// The limits that apply, or those of one mode that deny.
pub(super) fn names(verdict: &Verdict, denying: Option<Mode>) -> Vec<&str> {
    let wanted = |mode| denying.is_none_or(|denying| denying == mode);
    let limits = verdict.limits.iter();
    let limits = limits.filter(|limit| denying.is_none() || (wanted(limit.mode) && !limit.allowed));
    limits.map(|limit| &*limit.name).collect()
}

fn failure(
    policy: &Policy,
    step: &Step,
    number: usize,
    time: u64,
    verdict: &Verdict,
) -> Box<Failure> {
    Box::new(Failure {
        place: step.place.clone(),
        step: number,
        time,
        times: step.times,
        at: step.at_text.clone(),
        expected: describe::expected(&step.expect),
        got: describe::got(&step.expect, verdict),
        explanation: Explanation::of(policy, &step.attributes, step.cost, verdict, step.at),
    })
}
