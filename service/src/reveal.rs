//! What the caller learns of a decision: the one place between a decision and the doors.
//!
//! Doors write what [`Revealed`] tells, never the decision itself; only what goes to somebody else
//! than the caller (records, metrics, a gateway's metadata) has all of it.

use sluicegate_limits::counter::Wait;
use sluicegate_limits::explain::LimitExplanation;
use sluicegate_limits::headers::{HeaderStyle, rate_limit_headers};
use sluicegate_limits::policy::{Mode, Place};
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::{LimitVerdict, Reason, Verdict};
use uuid::Uuid;

use crate::call::{Decision, Grant};
use crate::settings::Reveal;

/// A decision as its caller may see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revealed<'d>(&'d Decision);

impl<'d> Revealed<'d> {
    /// What the caller of this decision may see of it.
    pub(crate) const fn of(decision: &'d Decision) -> Self {
        Self(decision)
    }

    const fn verdict(self) -> &'d Verdict {
        &self.0.verdict
    }

    /// Whether limits are named at all.
    fn names_limits(self) -> bool {
        self.0.reveal >= Reveal::Applied
    }

    pub(crate) const fn id(self) -> Uuid {
        self.0.id
    }

    pub(crate) fn policy_revision(self) -> &'d str {
        self.0.policy.revision()
    }

    pub(crate) const fn allowed(self) -> bool {
        self.0.verdict.allowed
    }

    pub(crate) const fn reason(self) -> Option<Reason> {
        self.0.verdict.reason
    }

    /// The word for why not, which may be a limit's own; empty where the request passes.
    pub(crate) fn reason_text(self) -> &'d str {
        &self.verdict().reason_text
    }

    /// What is wrong with the request; empty where nothing is.
    pub(crate) fn detail(self) -> &'d str {
        &self.verdict().detail
    }

    pub(crate) const fn degraded(self) -> bool {
        self.0.verdict.degraded
    }

    pub(crate) fn retry_after(self) -> Option<Wait> {
        self.verdict().retry_after()
    }

    pub(crate) fn limit_name(self) -> Option<&'d str> {
        self.verdict().limit_name().filter(|_| self.names_limits())
    }

    pub(crate) fn remaining(self) -> Option<Tokens> {
        self.verdict().remaining().filter(|_| self.names_limits())
    }

    pub(crate) fn reset(self) -> Option<Micros> {
        self.verdict().reset().filter(|_| self.names_limits())
    }

    /// What is set aside, or was until now.
    pub(crate) const fn grant(self) -> Option<&'d Grant> {
        self.0.grant.as_ref()
    }

    /// What each limit says.
    pub(crate) fn limits(self) -> impl Iterator<Item = &'d LimitVerdict> {
        let shown = move |limit: &&LimitVerdict| match self.0.reveal {
            Reveal::All => true,
            Reveal::Applied => limit.mode == Mode::Enforce,
            Reveal::Verdict => false,
        };
        self.verdict().limits.iter().filter(shown)
    }

    /// The limits that an answer through a gateway names.
    pub(crate) fn named(self) -> Vec<&'d LimitVerdict> {
        if self.names_limits() { self.verdict().named() } else { Vec::new() }
    }

    /// The header fields about the limits.
    pub(crate) fn headers(
        self,
        style: HeaderStyle,
        retry_after_jitter: u64,
    ) -> Vec<(&'static str, String)> {
        let style = if self.names_limits() { style } else { HeaderStyle::None };
        rate_limit_headers(self.verdict(), style, retry_after_jitter)
    }

    /// What a Peek explains. Why a limit applies, and where it is written, can tell of others.
    pub(crate) fn explained(self, limits: Vec<LimitExplanation>) -> Vec<LimitExplanation> {
        let enforces = |limit: &LimitExplanation| limit.applies && limit.mode == *"enforce";
        match self.0.reveal {
            Reveal::All => limits,
            Reveal::Applied => limits.into_iter().filter(enforces).map(without_reasons).collect(),
            Reveal::Verdict => Vec::new(),
        }
    }

    /// Whether the caller may know how many limits the policy has.
    pub(crate) fn shows_policy(self) -> bool {
        self.0.reveal == Reveal::All
    }
}

fn without_reasons(limit: LimitExplanation) -> LimitExplanation {
    let source = Place { file: String::new(), line: 0 };
    LimitExplanation {
        why: String::new(),
        layer_why: None,
        on_store_failure: None,
        source,
        ..limit
    }
}
