//! Limits that a client gets out of by leaving something out.

use super::reach::{Covering, covers};
use super::{Lint, Service, applies_with, code};
use crate::policy::{Limit, MissingKey, Mode};

/// What every request has.
const ALWAYS_THERE: [&str; 5] = ["ip_address", "method", "path", "host", "authenticated"];
/// What is there or not whatever a client leaves out: the policy, the operator, the service that
/// asks and the geography file say it.
const OF_OTHERS: [&str; 7] =
    ["endpoint", "plan", "cost", "grpc_method", "traffic_class", "country", "region"];
/// What comes with a proven identity, unless settings say otherwise; so do claims.
const PROVEN: [&str; 2] = ["tenant_id", "user_id"];

/// Who says an attribute, as far as lints know.
struct Sources<'s>(Option<&'s Service>);

impl Lint<'_> {
    /// Limits that do not apply to a request without some attribute of their key, where a client
    /// can leave that out and no other limit holds the request then. What was told of limits by
    /// what a caller chooses says as much.
    pub(super) fn may_be_missing(&mut self, service: Option<&Service>, chosen: &[usize]) {
        // Without any limit a request is denied then.
        if service.is_some_and(|service| service.denies_unmatched) {
            return;
        }
        let (policy, sources) = (self.policy, Sources(service));
        let enforcing = policy.limits.iter().enumerate();
        let enforcing: Vec<_> = enforcing.filter(|(_, l)| l.mode == Mode::Enforce).collect();
        let covering = Covering::new(enforcing.iter().copied());
        for (position, limit) in enforcing.into_iter().filter(|(at, _)| !chosen.contains(at)) {
            let open = sources.ways_out(limit).into_iter().find(|absent| {
                // Who has no identity is what `open_to_anyone` is about.
                let present = |name: &str| {
                    let in_key = || limit.key.iter().any(|other| other == name);
                    let there = ALWAYS_THERE.contains(&name) || sources.is_the_proof(name);
                    (there || in_key()) && !absent.contains(&name)
                };
                let others = covering.of(limit).filter(|other| *other != position);
                let mut others = others.filter_map(|other| policy.limits.get(other));
                !others.any(|other| {
                    !self.may_compare()
                        || (applies_with(other, limit)
                            && counts_with(other, present)
                            && covers(other, limit))
                })
            });
            let Some(name) = open.and_then(|absent| absent.first().copied()) else { continue };
            let message = format!(
                "a client can leave `{name}` out: then limit `{}` does not count the request, nor \
                 does another one for all of them",
                limit.name
            );
            let help = "say `missing_key: deny`, or `together` to count such requests as one; or \
                        add a limit for the same requests whose key they have; where those with \
                        it are meant alone, say so: `when: has(…)`";
            self.about(position, |places| places.key, code::MAY_BE_MISSING, message, help);
        }
    }
}

impl Sources<'_> {
    /// The attributes, alone or together, that a client can leave out so that a limit does not
    /// apply.
    fn ways_out<'l>(&self, limit: &'l Limit) -> Vec<Vec<&'l str>> {
        let key = || limit.key.iter().map(String::as_str);
        let is_asked_for =
            |name: &str| limit.condition.as_ref().is_some_and(|when| when.needs(name));
        let may_lack = |name: &&str| self.is_of_the_client(name) && !is_asked_for(name);
        match limit.missing_key {
            MissingKey::Skip => key().filter(may_lack).map(|name| vec![name]).collect(),
            MissingKey::Together if key().all(|name| may_lack(&name)) => vec![key().collect()],
            MissingKey::Together | MissingKey::Deny => Vec::new(),
        }
    }

    /// Whether a client can leave an attribute out and be somebody yet.
    fn is_of_the_client(&self, name: &str) -> bool {
        let of_others = ALWAYS_THERE.contains(&name)
            || OF_OTHERS.contains(&name)
            || name.starts_with("descriptors.")
            || self.is_the_proof(name);
        !of_others
            && match self.0.filter(|service| service.attributes.contains(name)) {
                Some(service) => !service.vouched_for.contains(name),
                None => !PROVEN.contains(&name) && !name.starts_with("claims."),
            }
    }

    /// Whether who lacks this attribute is not authenticated.
    fn is_the_proof(&self, name: &str) -> bool {
        self.0.and_then(|service| service.proof.as_deref()).unwrap_or("tenant_id") == name
    }
}

/// Whether a limit counts, or refuses, a request that is sure to have these attributes.
pub(super) fn counts_with(limit: &Limit, present: impl Fn(&str) -> bool) -> bool {
    let mut key = limit.key.iter().map(String::as_str);
    match limit.missing_key {
        MissingKey::Skip => key.all(present),
        MissingKey::Together => key.any(present),
        MissingKey::Deny => true,
    }
}
