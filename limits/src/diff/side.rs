//! The numbers of one limit that count for a plan or a tenant in one policy.

use std::fmt::Write as _;

use super::{Effect, capacity, words};

use crate::policy::tenants::{Own, Plan, Tenants};
use crate::policy::units::instant_text;
use crate::policy::{Limit, Mode, Numbers};
use crate::time::Timestamp;

/// What a policy says of a tenant, or of whoever is on a plan.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'p> {
    pub(super) plan: Option<&'p Plan>,
    pub(super) own: &'p [Own],
}

/// The numbers of a limit, from the lowest layer to the highest.
pub(super) struct Side<'p> {
    limit: &'p Limit,
    /// Those of the plan, with its name.
    plan: Option<(&'p Numbers, &'p str)>,
    /// Those of the tenant, whether or not they are past their end.
    own: Option<&'p Own>,
    at: Timestamp,
}

impl<'p> Said<'p> {
    pub(super) fn plan(of: &'p Tenants, name: &str) -> Option<Self> {
        let plan = of.plan_named(name).and_then(|at| of.plan(at))?;
        Some(Self { plan: Some(plan), own: &[] })
    }

    pub(super) fn tenant(of: &'p Tenants, id: &str) -> Option<Self> {
        let tenant = of.tenant(id)?;
        let plan = tenant.plan.and_then(|at| of.plan(at));
        Some(Self { plan, own: of.all_of(&tenant) })
    }

    /// The positions of the limits that there are numbers for, some twice.
    pub(super) fn limits(self) -> impl Iterator<Item = u32> {
        let plan = self.plan.map(Plan::limits).into_iter().flatten();
        plan.chain(self.own.iter().map(|own| own.limit))
    }

    /// The numbers of the limit at a position.
    pub(super) fn side(self, at: u32, limit: &'p Limit, now: Timestamp) -> Side<'p> {
        let of_plan = |plan: &'p Plan| Some((plan.numbers(at)?, &*plan.name));
        let own = self.own.iter().find(|own| own.limit == at);
        Side { limit, plan: self.plan.and_then(of_plan), own, at: now }
    }
}

impl<'p> Side<'p> {
    /// Whether the plan's own numbers differ, or mean something else.
    pub(super) fn differ_by_plan(old: Option<&Self>, new: Option<&Self>) -> bool {
        let plan = |side: Option<&Self>| {
            let side = side?;
            Some(side.means(side.plan?.0))
        };
        plan(old) != plan(new)
    }

    /// Whether the tenant's own numbers or their end differ, or mean something else.
    pub(super) fn differ_by_tenant(old: Option<&Self>, new: Option<&Self>) -> bool {
        let own = |side: Option<&Self>| {
            let (side, own) = (side?, side?.own?);
            Some((side.means(&own.numbers), own.until))
        };
        own(old) != own(new)
    }

    /// Whether a tenant that moves to another plan has other numbers then.
    pub(super) fn differ_by_both(old: Option<&Self>, new: Option<&Self>) -> bool {
        let moved = old
            .zip(new)
            .is_some_and(|(old, new)| old.means(old.numbers()) != new.means(new.numbers()));
        moved || Self::differ_by_tenant(old, new)
    }

    /// What the change does to what can pass.
    pub(super) fn effect(old: Option<&Self>, new: Option<&Self>) -> Effect {
        let enforces = |side: &Self| side.limit.mode == Mode::Enforce;
        if !old.is_some_and(enforces) && !new.is_some_and(enforces) {
            return Effect::None;
        }
        match (old, new) {
            (Some(old), Some(new)) => {
                capacity::effect((old.limit, old.numbers()), (new.limit, new.numbers()))
            }
            (None, _) => Effect::Stricter,
            (Some(_), None) => Effect::Looser,
        }
    }

    /// What counts, and why.
    pub(super) fn text(&self) -> String {
        let mut text = words::numbers(self.limit, self.numbers());
        match (self.own, self.plan) {
            (Some(own), _) if self.counts(own) => text.push_str(", its own"),
            (_, Some((_, plan))) => {
                let _ = write!(text, ", of plan {plan}");
            }
            _ => text.push_str(", the limit's own"),
        }
        let Some((own, until)) = self.own.and_then(|own| Some((own, own.until?))) else {
            return text;
        };
        let until = instant_text(until);
        if self.counts(own) {
            let _ = write!(text, " until {until}");
        } else {
            let numbers = words::numbers(self.limit, &own.numbers);
            let _ = write!(text, "; its own {numbers} ended {until}");
        }
        if let Some(why) = &own.why {
            let _ = write!(text, " ({why})");
        }
        text
    }

    fn counts(&self, own: &Own) -> bool {
        own.until.is_none_or(|until| self.at < until)
    }

    /// The numbers that count.
    fn numbers(&self) -> &'p Numbers {
        match (self.own, self.plan) {
            (Some(own), _) if self.counts(own) => &own.numbers,
            (_, Some((numbers, _))) => numbers,
            _ => &self.limit.numbers,
        }
    }

    /// What numbers mean with this limit.
    fn means(&self, numbers: &Numbers) -> (u64, u64, String) {
        let text = words::numbers(self.limit, numbers);
        (numbers.limit.get(), numbers.capacity().get(), text)
    }
}
