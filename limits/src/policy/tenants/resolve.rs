//! Plans and tenants as they were written to what they mean, once all files were read: they may
//! name limits and plans of any file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Own, Plan, Tenant, Tenants};
use crate::policy::compile::numbers;
use crate::policy::problem::{At, Problems, code, nearest, shown};
use crate::policy::read::Spanned;
use crate::policy::source::{RawNumbers, RawPlan, RawTenant};
use crate::policy::{Algorithm, Limit, Numbers};

/// The attribute that names a tenant.
const TENANT: &str = "tenant_id";
/// How many names are looked through for the one that was meant.
const MAX_NEAREST: usize = 1_000;

/// The plans and tenants of all files, as they were written.
#[derive(Default)]
pub(in crate::policy) struct Written {
    /// The names of all limits, those that could not be read too.
    names: HashSet<String>,
    files: Vec<(Arc<str>, Vec<RawPlan>, Vec<RawTenant>)>,
}

/// What is known while plans and tenants are resolved.
struct Resolving<'w> {
    limits: &'w [Limit],
    positions: HashMap<&'w str, u32>,
    names: HashSet<String>,
    tenants: Tenants,
    plan_places: HashMap<String, String>,
    /// The file and place of each tenant.
    tenant_places: HashMap<Box<str>, (Arc<str>, At)>,
}

impl Written {
    pub(in crate::policy) fn add(
        &mut self,
        file: &str,
        names: Vec<String>,
        plans: Vec<RawPlan>,
        tenants: Vec<RawTenant>,
    ) {
        self.names.extend(names);
        if !(plans.is_empty() && tenants.is_empty()) {
            self.files.push((file.into(), plans, tenants));
        }
    }

    /// Resolves every name, or reports it.
    pub(in crate::policy) fn resolve(self, limits: &[Limit], problems: &mut Problems) -> Tenants {
        let positions = limits.iter().zip(0..).map(|(limit, at)| (&*limit.name, at)).collect();
        let mut resolving = Resolving {
            limits,
            positions,
            names: self.names,
            tenants: Tenants::default(),
            plan_places: HashMap::new(),
            tenant_places: HashMap::new(),
        };
        let mut tenants = Vec::with_capacity(self.files.len());
        for (file, plans, of_file) in self.files {
            problems.begin(&file);
            plans.into_iter().for_each(|plan| resolving.plan(&file, plan, problems));
            tenants.push((file, of_file));
        }
        resolving.tenants.plans.sort_by(|a, b| a.name.cmp(&b.name));
        for (file, of_file) in tenants {
            problems.begin(&file);
            of_file.into_iter().for_each(|tenant| resolving.tenant(&file, tenant, problems));
        }
        let mut tenants = resolving.tenants;
        tenants.own.shrink_to_fit();
        tenants.by_id.shrink_to_fit();
        tenants
    }
}

impl Resolving<'_> {
    fn plan(&mut self, file: &str, raw: RawPlan, problems: &mut Problems) {
        let RawPlan { name, numbers } = raw;
        let here = format!("{file}:{}:{}", name.at.line, name.at.column);
        if let Some(other) = self.plan_places.get(&name.value) {
            let message = format!("plan `{}` stands at {other} too", shown(&name.value));
            problems.error(name.at, code::REPEATED_PLAN, message, "keep one of them");
            return;
        }
        self.plan_places.insert(name.value.clone(), here);
        let numbers = numbers.iter().filter_map(|raw| self.numbers(raw, problems));
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_by_key(|(limit, _)| *limit);
        self.tenants.plans.push(Plan { name: name.value.into(), numbers });
    }

    fn tenant(&mut self, file: &Arc<str>, raw: RawTenant, problems: &mut Problems) {
        let RawTenant { id, plan, numbers } = raw;
        let name: Box<str> = id.value.into();
        if let Some((file, At { line, column })) = self.tenant_places.get(&name) {
            let message = format!("tenant `{}` stands at {file}:{line}:{column} too", shown(&name));
            problems.error(id.at, code::REPEATED_TENANT, message, "keep one of them");
            return;
        }
        self.tenant_places.insert(name.clone(), (Arc::clone(file), id.at));
        let plan = plan.and_then(|plan| self.plan_named(&plan, problems));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let first = self.tenants.own.len();
        for raw in numbers {
            let Some((limit, numbers)) = self.numbers(&raw, problems) else { continue };
            let file = raw.until.as_ref().map(|_| Arc::clone(file));
            let until = raw.until.map(|until| until.value);
            let why = raw.why.map(Into::into);
            self.tenants.own.push(Own { limit, numbers, until, why, file, at: raw.of.at });
        }
        if let Some(own) = self.tenants.own.get_mut(first..) {
            own.sort_by_key(|own| own.limit);
        }
        let len = count(self.tenants.own.len() - first);
        self.tenants.by_id.insert(name, Tenant { plan, first: count(first), len });
    }

    fn plan_named(&self, name: &Spanned<String>, problems: &mut Problems) -> Option<u32> {
        if let Some(at) = self.tenants.plan_named(&name.value) {
            return Some(at);
        }
        let plans = &self.tenants.plans;
        let message = format!("there is no plan `{}`", shown(&name.value));
        let help = match meant(&name.value, plans.iter().map(|plan| &*plan.name), problems) {
            Some(plan) => format!("did you mean `{plan}`?"),
            None => "name it under `plans`".to_owned(),
        };
        problems.error(name.at, code::UNKNOWN_PLAN, message, &help);
        None
    }

    /// Numbers for a limit, with its position.
    fn numbers(&self, raw: &RawNumbers, problems: &mut Problems) -> Option<(u32, Numbers)> {
        let name = raw.of.value.as_str();
        let Some(at) = self.positions.get(name) else {
            // A limit that could not be read was reported as that.
            if !self.names.contains(name) {
                let message = format!("there is no limit `{}`", shown(name));
                let known = self.limits.iter().map(|limit| &*limit.name);
                let help = match meant(name, known, problems) {
                    Some(limit) => format!("did you mean `{limit}`?"),
                    None => "name a limit of `rate_limits`".to_owned(),
                };
                problems.error(raw.of.at, code::UNKNOWN_LIMIT, message, &help);
            }
            return None;
        };
        let limit = self.limits.get(*at as usize)?;
        if !limit.key.iter().any(|attribute| attribute == TENANT) {
            let message = format!("the counters of `{name}` are not kept by tenant");
            let help = "add `tenant_id` to the limit's `key`, or remove these numbers";
            problems.error(raw.of.at, code::NOT_BY_TENANT, message, help);
            return None;
        }
        if let Some(burst) = &raw.burst
            && limit.algorithm != Algorithm::TokenBucket
        {
            let message = format!("`{name}` is a {} and has no burst", limit.algorithm.as_str());
            problems.error(burst.at, code::MISPLACED_KEY, message, "remove it");
            return None;
        }
        let numbers =
            numbers(limit.algorithm, limit.window, &raw.limit, raw.burst.as_ref(), problems);
        Some((*at, numbers))
    }
}

/// The name that was likely meant, where it would be listed at all.
fn meant<'w>(
    name: &str,
    known: impl Iterator<Item = &'w str>,
    problems: &Problems,
) -> Option<&'w str> {
    problems.has_room().then(|| nearest(name, known.take(MAX_NEAREST))).flatten()
}
