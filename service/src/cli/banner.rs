//! What `serve` prints when it is ready: addresses, policy revision, and three lines to paste.

use std::net::SocketAddr;

use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::charge::{Intent, KeySecret, ask_all};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::{Limit, Mode, Policy, UNAUTHENTICATED};
use sluicegate_limits::time::Tokens;

use crate::clock;
use crate::output::Stream;
use crate::settings::{Settings, StoreSettings};
use crate::shell::quoted;

/// The endpoint of the examples.
const METHOD: &str = "GET";
const PATH: &str = "/v1/items";

/// A request that passes once, at the cost of a whole limit, and then not again.
struct Example {
    attributes: Attributes,
    cost: Tokens,
}

pub(super) fn print(settings: &Settings, policy: &Policy, grpc: SocketAddr, http: SocketAddr) {
    let store = match &settings.store {
        StoreSettings::Memory => "memory, in this process".to_owned(),
        StoreSettings::Valkey(valkey) => valkey.url.to_string(),
    };
    let (revision, limits) = (policy.revision(), policy.limits().len());
    let doors = "(sluicegate.v1, Envoy ext_authz, health, reflection)";
    Stream::Out.page(|page| {
        page.line(format_args!("sluicegate {} is ready", env!("CARGO_PKG_VERSION")))
            .line(format_args!("  grpc    {grpc}  {doors}"))
            .line(format_args!("  http    {http}  (/v1/check, /livez, /readyz, /metrics)"))
            .line(format_args!("  policy  {revision} ({limits} limits)"))
            .line(format_args!("  store   {store}"));
        if let Some(example) = Example::of(policy) {
            page.end().lines(example.lines(settings, http));
        }
    });
}

impl Example {
    /// The first limit, from the smallest, that an example shows well; tried out on an empty
    /// store.
    fn of(policy: &Policy) -> Option<Self> {
        let mut limits: Vec<&Limit> = policy.limits().iter().collect();
        limits
            .retain(|limit| limit.mode == Mode::Enforce && limit.numbers.capacity() > Tokens::ZERO);
        limits.sort_by_key(|limit| limit.numbers.capacity());
        limits.into_iter().find_map(|limit| {
            let mut facts = AttributesBuilder::new();
            facts.set("method", METHOD).ok()?.set("path", PATH).ok()?;
            let authenticated = if *limit.name == *UNAUTHENTICATED { "false" } else { "true" };
            facts.set("authenticated", authenticated).ok()?;
            for name in &limit.key {
                if !matches!(name.as_str(), "method" | "path" | "authenticated") {
                    facts.set(name, value(name)).ok()?;
                }
            }
            let example = Self { attributes: facts.finish(), cost: limit.numbers.capacity() };
            example.works(policy).then_some(example)
        })
    }

    /// Whether the first line really shows a pass, and the second a denial.
    fn works(&self, policy: &Policy) -> bool {
        let Ok(secret) = KeySecret::new(&[0; 32]) else { return false };
        let (now, memory) = (clock::now(), Memory::new(1_000));
        let passes = |cost| {
            let charges = policy.charges(&self.attributes, cost, &secret, now).ok()?;
            memory.decide(&ask_all(&charges, Intent::Check), now).ok().map(|o| o.allowed)
        };
        passes(Some(self.cost)) == Some(true) && passes(None) == Some(false)
    }

    fn lines(&self, settings: &Settings, http: SocketAddr) -> [String; 6] {
        let facts: serde_json::Map<_, _> = self
            .attributes
            .iter()
            .map(|(name, value)| {
                let value = match (name, value) {
                    ("authenticated", _) => (value == "true").into(),
                    _ => value.into(),
                };
                (name.to_owned(), value)
            })
            .collect();
        let check = |body: &serde_json::Value| {
            let json = "content-type: application/json";
            format!("curl -sw '\\n' http://{http}/v1/check -H '{json}' -d '{body}'")
        };
        let pass = serde_json::json!({"attributes": facts, "cost": self.cost.get()});
        let deny = serde_json::json!({"attributes": facts});
        let request = format!("'{METHOD} {PATH}'");
        let named = |(name, value)| format!(" {name}={value}");
        let skip = |(name, _): &(&str, &str)| !matches!(*name, "method" | "path");
        let facts: String = self.attributes.iter().filter(skip).map(named).collect();
        let limits = settings
            .limits
            .iter()
            .map(|p| format!(" --limits {}", quoted(&p.display().to_string())));
        let binary = std::env::args().next().unwrap_or_else(|| "sluicegate".to_owned());
        let binary = quoted(&binary);
        let limits = limits.collect::<String>();
        [
            "# a request that takes all of a limit passes:".to_owned(),
            check(&pass),
            "# the next one is denied:".to_owned(),
            check(&deny),
            "# and why, on fresh counters:".to_owned(),
            format!("{binary} explain {request}{facts}{limits}"),
        ]
    }
}

fn value(attribute: &str) -> &'static str {
    match attribute {
        "ip_address" => "203.0.113.7",
        "tenant_id" => "acme",
        "user_id" => "ada",
        _ => "example",
    }
}
