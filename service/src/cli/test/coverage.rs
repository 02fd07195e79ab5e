//! Which limits the cases tested.

use std::collections::BTreeMap;

use sluicegate_limits::cases::{LimitName, Passed, limit_names};
use sluicegate_limits::policy::{Limit, Mode, Place, Policy};

use super::files::Loaded;

/// The limits by file and line, and whether each is tested.
#[derive(Default)]
pub(super) struct Coverage(BTreeMap<(String, u32), (String, bool)>);

impl Coverage {
    /// The limits that the case files are about, and those of the folders that were named, but
    /// for disabled ones; none is tested yet.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let mut all = Self::default();
        let policies = loaded.suites.iter().flat_map(|suite| suite.policy.limits());
        for limit in policies.filter(|limit| limit.mode != Mode::Disabled) {
            all.0.insert(at(&limit.place), (limit.name.to_string(), false));
        }
        for LimitName { name, place } in loaded.limits.iter().flat_map(limit_names) {
            all.0.insert(at(&place), (name, false));
        }
        all
    }

    /// Takes in what a case tested.
    pub(super) fn learn(&mut self, policy: &Policy, passed: &Passed) {
        let tested = |limit: &&Limit| passed.tested.contains(&limit.name);
        for limit in policy.limits().iter().filter(tested) {
            if let Some((_, tested)) = self.0.get_mut(&at(&limit.place)) {
                *tested = true;
            }
        }
    }

    pub(super) fn total(&self) -> usize {
        self.0.len()
    }

    pub(super) fn tested(&self) -> usize {
        self.0.values().filter(|(_, tested)| *tested).count()
    }

    /// Whether at least so many of a hundred limits are tested.
    pub(super) fn reaches(&self, percent: u8) -> bool {
        self.tested() * 100 >= self.total() * usize::from(percent)
    }

    /// Names and places of the limits that are not tested.
    pub(super) fn untested(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        let untested = self.0.iter().filter(|(_, (_, tested))| !tested);
        untested.map(|((file, line), (name, _))| (name.as_str(), file.as_str(), *line))
    }
}

fn at(place: &Place) -> (String, u32) {
    (place.file.clone(), place.line)
}
