//! Plans and tenants as they were written.

use crate::policy::keys::{
    EXCEPTION_KEYS, Key, MAX_DESCRIPTION_BYTES, MAX_TENANT_BYTES, MAX_WHY_BYTES, PLAN_KEYS,
    PLAN_LIMIT_KEYS, TENANT_KEYS,
};
use crate::policy::kinds::Algorithm;
use crate::policy::problem::{Problems, code, shown};
use crate::policy::read::{self, Fields, Spanned};
use crate::policy::units::MAX_LIMIT;
use crate::policy::yaml::Node;
use crate::time::Timestamp;

/// What one plan says.
#[derive(Debug)]
pub(crate) struct RawPlan {
    pub(crate) name: Spanned<String>,
    pub(crate) numbers: Vec<RawNumbers>,
}

/// What is said of one tenant.
#[derive(Debug)]
pub(crate) struct RawTenant {
    pub(crate) id: Spanned<String>,
    pub(crate) plan: Option<Spanned<String>>,
    pub(crate) numbers: Vec<RawNumbers>,
}

/// Other numbers for one limit.
#[derive(Debug)]
pub(crate) struct RawNumbers {
    pub(crate) of: Spanned<String>,
    pub(crate) limit: Spanned<u64>,
    pub(crate) burst: Option<Spanned<u64>>,
    pub(crate) until: Option<Spanned<Timestamp>>,
    pub(crate) why: Option<String>,
}

pub(super) fn plans(node: Node<'_>, problems: &mut Problems) -> Vec<RawPlan> {
    let entries = read::entries(node, "`plans`", problems).unwrap_or_default();
    let plan = |(name, node): (Spanned<String>, Node<'_>)| {
        super::limit::name_for("a plan", &name, problems);
        let owner = format!("plan `{}`", shown(&name.value));
        let mut fields = Fields::of(node, owner, PLAN_KEYS, problems)?;
        short(&mut fields, "description", MAX_DESCRIPTION_BYTES, problems);
        let numbers = numbers(&mut fields, PLAN_LIMIT_KEYS, problems);
        Some(RawPlan { name, numbers })
    };
    entries.into_iter().filter_map(plan).collect()
}

pub(super) fn tenants(node: Node<'_>, problems: &mut Problems) -> Vec<RawTenant> {
    let entries = read::entries(node, "`tenants`", problems).unwrap_or_default();
    let tenant = |(id, node): (Spanned<String>, Node<'_>)| {
        check_id(&id, problems);
        let owner = format!("tenant `{}`", shown(&id.value));
        let mut fields = Fields::of(node, owner, TENANT_KEYS, problems)?;
        let plan = fields.take("plan").and_then(|node| read::text(node, "`plan`", problems));
        let numbers = numbers(&mut fields, EXCEPTION_KEYS, problems);
        Some(RawTenant { id, plan, numbers })
    };
    entries.into_iter().filter_map(tenant).collect()
}

fn check_id(id: &Spanned<String>, problems: &mut Problems) {
    if id.value == "<<" {
        let message = "merge keys (`<<`) are not part of the language".to_owned();
        problems.error(id.at, code::UNSUPPORTED_YAML, message, "repeat the keys");
    } else if id.value.is_empty() || id.value.len() > MAX_TENANT_BYTES {
        let message = format!("a tenant of {} bytes", id.value.len());
        let help = format!("a value of `tenant_id`, 1 to {MAX_TENANT_BYTES} bytes");
        problems.error(id.at, code::OUT_OF_RANGE, message, &help);
    }
}

/// The `limits` of a plan or tenant.
fn numbers(
    fields: &mut Fields<'_>,
    keys: &'static [Key],
    problems: &mut Problems,
) -> Vec<RawNumbers> {
    let Some(node) = fields.take("limits") else { return Vec::new() };
    let entries = read::entries(node, "`limits`", problems).unwrap_or_default();
    let mut all: Vec<RawNumbers> = Vec::with_capacity(entries.len());
    for (of, node) in entries {
        if all.iter().any(|other| other.of.value == of.value) {
            let message = format!("`{}` stands twice in `limits`", shown(&of.value));
            problems.error(of.at, code::REPEATED_KEY, message, "keep one of them");
            continue;
        }
        all.extend(number(of, node, keys, problems));
    }
    all
}

fn number(
    of: Spanned<String>,
    node: Node<'_>,
    keys: &'static [Key],
    problems: &mut Problems,
) -> Option<RawNumbers> {
    let owner = format!("the numbers of `{}`", shown(&of.value));
    let mut fields = Fields::of(node, owner, keys, problems)?;
    fields.suit(Algorithm::default(), problems);
    let tokens =
        |node, what, problems: &mut Problems| read::number(node, what, (0, MAX_LIMIT), problems);
    let limit = fields.take("limit").and_then(|node| tokens(node, "`limit`", problems));
    let burst = fields.take("burst").and_then(|node| tokens(node, "`burst`", problems));
    let until = fields.take("until").and_then(|node| read::instant(node, "`until`", problems));
    let why = short(&mut fields, "why", MAX_WHY_BYTES, problems);
    Some(RawNumbers { of, limit: limit?, burst, until, why })
}

/// A text for people.
fn short(
    fields: &mut Fields<'_>,
    key: &str,
    most: usize,
    problems: &mut Problems,
) -> Option<String> {
    let text = read::text(fields.take(key)?, &format!("`{key}`"), problems)?;
    if text.value.len() > most {
        let message = format!("`{key}` has {} bytes", text.value.len());
        problems.error(text.at, code::OUT_OF_RANGE, message, &format!("at most {most} bytes"));
    }
    Some(text.value)
}
