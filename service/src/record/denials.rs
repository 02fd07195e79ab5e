//! Which denials are recorded: so many a second of each limit, and nobody's flood keeps the
//! others' out. What is left out is told by the next record of that limit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluicegate_limits::fair::Fair;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::call::Decision;

/// The denials of this second.
#[derive(Debug)]
pub(super) struct Denials {
    each_second: usize,
    /// The policy whose limits are counted here.
    revision: String,
    counts: HashMap<Cause, Count>,
}

/// What denials are counted by.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Cause {
    /// The limit that bound them.
    Limit(Arc<str>),
    /// Why, where no limit did.
    Reason(Option<Reason>),
}

#[derive(Debug)]
struct Count {
    /// In seconds since 1970.
    second: u64,
    recorded: Fair<u64>,
    left_out: u64,
}

impl Denials {
    /// Lets so many of each limit be recorded in a second.
    pub(super) fn new(each_second: usize) -> Self {
        Self { each_second, revision: String::new(), counts: HashMap::new() }
    }

    /// Whether a denial on somebody's account is recorded: then how many of its limit were left out
    /// before it.
    pub(super) fn admit(&mut self, decision: &Decision, owner: u64) -> Option<u64> {
        let count = self.count(decision);
        let second = decision.now.get() / 1_000_000;
        if count.second != second {
            count.second = second;
            count.recorded.clear();
        }
        if !count.recorded.take(&owner) {
            count.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut count.left_out))
    }

    /// So many more denials of its limit are left out.
    pub(super) fn leave_out(&mut self, decision: &Decision, more: u64) {
        self.count(decision).left_out += more;
    }

    fn count(&mut self, decision: &Decision) -> &mut Count {
        if self.revision != decision.policy.revision() {
            self.follow(&decision.policy);
        }
        let recorded = || Fair::new(self.each_second);
        let new = || Count { second: 0, recorded: recorded(), left_out: 0 };
        self.counts.entry(Cause::of(&decision.verdict)).or_insert_with(new)
    }

    /// Forgets the limits that are gone, so that what is kept is bounded by the policy.
    fn follow(&mut self, policy: &Policy) {
        self.revision = policy.revision().to_owned();
        let known: HashSet<&str> = policy.limits().iter().map(|limit| &*limit.name).collect();
        self.counts.retain(|cause, _| match cause {
            Cause::Limit(name) => known.contains(&**name),
            Cause::Reason(_) => true,
        });
    }
}

impl Cause {
    fn of(verdict: &Verdict) -> Self {
        match verdict.binding_limit() {
            Some(limit) => Self::Limit(Arc::clone(&limit.name)),
            None => Self::Reason(verdict.reason),
        }
    }
}
