//! The limits file as it was written: every value typed, with its place, nothing decided yet.
//!
//! These types do not travel past `compile`. The tables in `keys` are what the language has.

mod limit;
mod quota;
mod tenants;

use super::keys::FILE_KEYS;
use super::problem::{At, Problems, code, shown};
use super::read::{self, Fields, Spanned};
use super::units::MAX_COST;
use super::yaml::{self, Node, Value};

pub(crate) use limit::{RawCost, RawLimit, RawWas, is_reason};
pub(crate) use quota::RawQuota;
pub(crate) use tenants::{RawNumbers, RawPlan, RawTenant};

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) endpoint_costs: Vec<(Spanned<String>, u64)>,
    /// What stands under `rate_limits`; none where the key is not there.
    pub(crate) limits: Option<Vec<RawLimit>>,
    /// The names of all limits, those that could not be read too.
    pub(crate) names: Vec<String>,
    pub(crate) plans: Vec<RawPlan>,
    pub(crate) tenants: Vec<RawTenant>,
}

/// Reads one file; what could not be read is reported and left out.
pub(crate) fn read(text: &str, problems: &mut Problems) -> Source {
    let mut source = Source::default();
    let before = problems.errors();
    let root = yaml::read(text, problems);
    let empty = |value: &Value<'_>| read::kind(value) == "nothing";
    let Some(root) = root.filter(|root| !empty(&root.value)) else {
        if problems.errors() == before {
            nothing(At::START, "the file is empty", problems);
        }
        return source;
    };
    let at = root.at;
    let owner = "a limits file".to_owned();
    let Some(mut fields) = Fields::of(root, owner, FILE_KEYS, problems) else {
        return source;
    };
    if let Some(node) = fields.take("version") {
        read::number(node, "`version`", (1, 1), problems);
    }
    let costs = fields.take("endpoint_costs");
    let mut has_other = costs.is_some();
    if let Some(node) = costs {
        source.endpoint_costs = endpoint_costs(node, problems);
    }
    if let Some(node) = fields.take("plans") {
        has_other = true;
        source.plans = tenants::plans(node, problems);
    }
    if let Some(node) = fields.take("tenants") {
        has_other = true;
        source.tenants = tenants::tenants(node, problems);
    }
    match fields.take("rate_limits") {
        // A file of its own for plans, tenants or costs: whether any has limits is asked later.
        None if has_other => {}
        None => nothing(at, "the file has no `rate_limits`", problems),
        Some(node) if empty(&node.value) => {
            nothing(node.at, "there is nothing under `rate_limits`", problems);
        }
        Some(node) => {
            let entries = read::entries(node, "`rate_limits`", problems).unwrap_or_default();
            source.names = entries.iter().map(|(name, _)| name.value.clone()).collect();
            let limits = entries.into_iter();
            let limits = limits.filter_map(|(name, node)| limit::read(name, node, problems));
            source.limits = Some(limits.collect());
        }
    }
    source
}

pub(crate) fn nothing(at: At, message: &str, problems: &mut Problems) {
    let help = "write `rate_limits:` and limits under it; `rate_limits: {}` has none on purpose";
    problems.error(at, code::EMPTY, message.to_owned(), help);
}

fn endpoint_costs(node: Node<'_>, problems: &mut Problems) -> Vec<(Spanned<String>, u64)> {
    let entries = read::entries(node, "`endpoint_costs`", problems).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(pattern, node)| {
            let what = format!("the cost of `{}`", shown(&pattern.value));
            let cost = read::number(node, &what, (0, MAX_COST), problems)?;
            Some((pattern, cost.value))
        })
        .collect()
}
