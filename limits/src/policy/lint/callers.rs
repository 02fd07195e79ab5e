//! What callers can get around: no limit without an identity, keys that they choose, addresses
//! that are not theirs.

use std::borrow::Cow;

use super::missing::counts_with;
use super::reach::{Covering, covers};
use super::{At, Finding, Lint, Service, Spot, applies_with, code};
use crate::policy::pattern::Pattern;
use crate::policy::{Limit, Mode};

/// What is known of a request whose caller nobody knows.
const OF_ANYBODY: [&str; 5] = ["ip_address", "method", "path", "host", "authenticated"];
/// What a caller writes as it likes, besides `headers.` and what [`chosen`] looks at.
const OF_THE_CALLER: [&str; 4] = ["host", "grpc_method", "request_size", "cost"];

impl Lint<'_> {
    /// Limits whose counter a caller chooses, where no other limit holds that caller; answers
    /// which.
    pub(super) fn chosen_keys(&mut self) -> Vec<usize> {
        let mut told = Vec::new();
        let policy = self.policy;
        let enforcing = |limit: &Limit| limit.mode == Mode::Enforce;
        let safe = policy.limits.iter().enumerate();
        let safe = Covering::new(safe.filter(|(_, l)| enforcing(l) && chosen(l).is_none()));
        for (position, limit) in policy.limits.iter().enumerate() {
            let Some(attribute) = chosen(limit).filter(|_| enforcing(limit)) else { continue };
            let held = safe.of(limit).filter_map(|other| policy.limits.get(other)).any(|other| {
                !self.may_compare() || (applies_with(other, limit) && covers(other, limit))
            });
            if !held {
                let message = format!(
                    "the caller chooses `{attribute}`, and with each value gets another counter of \
                     limit `{}`",
                    limit.name
                );
                let help = "add a limit for the same requests by what callers cannot choose, as \
                            `tenant_id` or `ip_address`";
                self.about(position, |places| places.key, code::CHOSEN_KEY, message, help);
                told.push(position);
            }
        }
        told
    }

    /// Requests of which nobody knows more than the address, and that no limit is for.
    pub(super) fn anonymous(&mut self, service: Option<&Service>) {
        let policy = self.policy;
        let denied = service.is_some_and(|service| service.denies_unmatched);
        if denied || policy.limits.is_empty() {
            return;
        }
        let open = |limit: &&Limit| {
            let known = counts_with(limit, |name| OF_ANYBODY.contains(&name));
            let condition = limit.condition.as_ref();
            limit.mode == Mode::Enforce && known && condition.is_none_or(|c| c.holds(&anybody))
        };
        let everywhere = |limit: &Limit| {
            let mut patterns = limit.patterns.iter();
            let mut unknown = Vec::new();
            limit.condition.iter().for_each(|c| c.unknown(&anybody, &mut unknown));
            let any = |pattern: &Pattern| pattern.method().is_none() && pattern.is_any_path();
            unknown.is_empty() && (limit.patterns.is_empty() || patterns.any(any))
        };
        let some: Vec<&Limit> = policy.limits.iter().filter(open).collect();
        let message = match some.as_slice() {
            [] => "no limit is for requests without an identity",
            some if some.iter().any(|limit| everywhere(limit)) => return,
            _ => "requests without an identity have limits in some cases only",
        };
        let spot = Spot { file: self.places.first_file.clone(), at: At::START };
        let help = "add `unauthenticated: { key: ip_address, limit: 60, window: 1m }`; or set \
                    `unmatched: deny`, and check with those settings";
        self.found.push(Finding {
            spot,
            code: code::OPEN_TO_ANYONE,
            message: message.to_owned(),
            help: help.to_owned(),
        });
    }

    /// Limits by address, where nobody says whether a proxy is in front of the gateway.
    pub(super) fn addresses(&mut self, service: Option<&Service>) {
        let unsaid =
            |service: &&Service| !service.attributes.is_empty() && !service.says_whose_address;
        if service.filter(unsaid).is_none() {
            return;
        }
        let by_address: Vec<usize> = self
            .limits()
            .filter(|(_, limit)| limit.key.iter().any(|name| name == "ip_address"))
            .map(|(position, _)| position)
            .collect();
        for position in by_address {
            let message = "the address is that of who connects to the gateway, and the settings \
                           do not say whether that is the client: behind a load balancer all \
                           clients count as one"
                .to_owned();
            let help = "`attributes: { ip_address: peer }` where clients connect themselves, else \
                        as `{ trusted_hops: 1 }`, `{ trusted_proxies: [\"10.0.0.0/8\"] }` or \
                        `{ header: x-envoy-external-address }`";
            self.about(position, |places| places.key, code::PROXIED_ADDRESS, message, help);
        }
    }
}

/// What conditions know of a request whose caller nobody knows: its values differ.
fn anybody(attribute: &str) -> Option<Cow<'static, str>> {
    (attribute == "authenticated").then_some(Cow::Borrowed("false"))
}

/// The first attribute of a limit's key that a caller writes as it likes.
fn chosen(limit: &Limit) -> Option<&str> {
    let patterns = &limit.patterns;
    let one_path = !patterns.is_empty() && patterns.iter().all(|p| p.is_one_path());
    let named_method = !patterns.is_empty() && patterns.iter().all(|p| p.method().is_some());
    limit.key.iter().map(String::as_str).find(|name| match *name {
        "path" => !one_path,
        "method" => !named_method,
        name => name.starts_with("headers.") || OF_THE_CALLER.contains(&name),
    })
}
