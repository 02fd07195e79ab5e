//! Large policies: many limits of which one applies, and many tenants.

use std::fmt::Write as _;

use sluicegate_limits::policy::SourceFile;

/// By what all limits but one are ruled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuledOutBy {
    /// Each limit is about another path.
    Path,
    /// Each limit is for another tenant: `when` compares `tenant_id`.
    Tenant,
    /// A hundred paths, and tenants.
    Both,
    /// Each limit's key is another attribute, which the request does not have.
    KeyAttribute,
}

impl RuledOutBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Path, Self::Tenant, Self::Both, Self::KeyAttribute];

    /// What tables call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Tenant => "tenant",
            Self::Both => "path and tenant",
            Self::KeyAttribute => "key attribute",
        }
    }

    /// A file of so many limits; to a request of [`FACTS`] the seventh applies.
    #[must_use]
    pub fn limits(self, count: usize) -> SourceFile {
        let mut text = "rate_limits:\n".to_owned();
        for n in 0..count {
            let rest = match self {
                Self::Path => format!("match: \"GET /v1/items/{n}/{{id}}\", key: tenant_id"),
                Self::Tenant => format!("when: 'tenant_id == \"t{n}\"', key: tenant_id"),
                Self::Both => format!(
                    "match: \"GET /v1/items/{}/{{id}}\", when: 'tenant_id == \"t{n}\"', \
                     key: tenant_id",
                    n % 100
                ),
                Self::KeyAttribute => format!("key: headers.x-{n}"),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  l{n}: {{ {rest}, limit: 1_000_000, window: 1m }}");
        }
        SourceFile { name: "limits.yaml".to_owned(), text }
    }
}

/// The request of the benches of large policies.
pub const FACTS: [(&str, &str); 6] = [
    ("tenant_id", "t7"),
    ("user_id", "u1"),
    ("method", "GET"),
    ("path", "/v1/items/7/1"),
    ("headers.x-7", "a"),
    ("authenticated", "true"),
];

/// Files of so many tenants on three plans; each tenth has numbers of its own for the first limit.
#[must_use]
pub fn tenants(count: usize) -> Vec<SourceFile> {
    const OF_A_FILE: usize = 50_000;
    let plans = "plans:\n  free: { limits: { l0: { limit: 10 } } }\n  paid: { limits: { l0: { \
                 limit: 500 } } }\n  enterprise: { limits: { l0: { limit: 5000 } } }\n";
    let of_file = |file: usize| {
        let mut text = if file == 0 { plans.to_owned() } else { String::new() };
        text.push_str("tenants:\n");
        for n in file * OF_A_FILE..count.min((file + 1) * OF_A_FILE) {
            let plan = ["free", "paid", "enterprise"].get(n % 3).unwrap_or(&"free");
            let own = if n % 10 == 0 { ", limits: { l0: { limit: 77 } }" } else { "" };
            let _ = writeln!(text, "  t{n}: {{ plan: {plan}{own} }}");
        }
        SourceFile { name: format!("tenants-{file}.yaml"), text }
    };
    (0..count.div_ceil(OF_A_FILE)).map(of_file).collect()
}
