//! The one table of metrics; `docs/observability.md` is tested against it.

/// What a metric counts or shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; its name ends in `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution in buckets.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name as it is scraped.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The unit of its value.
    pub unit: &'static str,
    /// The names of its labels. No label ever holds a value of a key.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Kind {
    /// The word in the page and in the scraped text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! table {
    ($($id:ident: $name:literal $kind:ident $unit:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $id: Row = Row {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &$labels, help: $help,
        };)*
        /// Every metric, in the order of the page.
        pub const TABLE: &[Row] = &[$($id),*];
    };
}

table! {
    BUILD: "sluicegate_build_info" Gauge "none" ["version"],
        "Always 1; the label is the version that runs.";
    DECISIONS: "sluicegate_decisions_total" Counter "requests" ["door", "verdict", "reason"],
        "Decisions by door, verdict (allowed or denied) and reason (none where allowed).";
    DEGRADED: "sluicegate_degraded_decisions_total" Counter "requests" ["door"],
        "Decisions that no debit in the store backs.";
    UNMATCHED: "sluicegate_unmatched_requests_total" Counter "requests" ["door"],
        "Requests that no enforcing limit applied to.";
    INVALID: "sluicegate_invalid_requests_total" Counter "requests" ["cause"],
        "Requests that the limits could not decide, by what was wrong with them.";
    DENIALS: "sluicegate_limit_denials_total" Counter "requests" ["limit"],
        "Denials by the limit that bound them.";
    WOULD_DENY: "sluicegate_shadow_would_deny_total" Counter "requests" ["limit"],
        "Requests that a limit in shadow mode would have denied.";
    ALERTS: "sluicegate_quota_alerts_total" Counter "alerts" ["limit", "threshold"],
        "Parts of quotas that were used up, by limit and its alert_at in percent.";
    DURATION: "sluicegate_decision_duration_seconds" Histogram "seconds" ["door"],
        "How long a decision took, from the decoded request to the verdict.";
    HELD_CALLS: "sluicegate_held_calls_total" Counter "calls" ["door", "method", "reason"],
        "Calls that settle, extend or release, by why they did nothing (none where they did).";
    OVERRUN: "sluicegate_overrun_tokens_total" Counter "tokens" [],
        "Tokens that requests did cost above what was reserved for them.";
    STORE_DURATION: "sluicegate_store_duration_seconds" Histogram "seconds" [],
        "How long a call to the store took, waiting for its batch included.";
    STORE_ERRORS: "sluicegate_store_errors_total" Counter "calls" ["kind"],
        "Calls to the store that gave no answer, by kind.";
    BATCHES: "sluicegate_store_batches_total" Counter "batches" [],
        "Calls of the script, each a batch of checks that waited together, answered or not.";
    BATCHED_CHECKS: "sluicegate_store_batched_checks_total" Counter "checks" [],
        "Checks in those batches; divided by the batches, how many share a call.";
    BREAKER: "sluicegate_store_breaker_state" Gauge "none" [],
        "0: the store is used; 1: it is being probed; 2: it is left alone.";
    GENERATIONS: "sluicegate_store_generation_changes_total" Counter "changes" [],
        "How often the store was found emptied.";
    STORE_MEMORY_USED: "sluicegate_store_memory_used_bytes" Gauge "bytes" [],
        "Memory that the shared store uses, as it says itself; 0 where it may not be asked.";
    STORE_MEMORY_MAX: "sluicegate_store_memory_max_bytes" Gauge "bytes" [],
        "Its maxmemory, above which it refuses every write; 0 where it has none.";
    MEMORY_COUNTERS: "sluicegate_memory_counters" Gauge "counters" [],
        "Counters in the embedded store.";
    MEMORY_MAX: "sluicegate_memory_max_counters" Gauge "counters" [],
        "The most counters that the embedded store keeps.";
    OVERFLOWS: "sluicegate_memory_overflows_total" Counter "charges" [],
        "Charges that shared an overflow counter because memory or max_keys was full.";
    POLICY: "sluicegate_policy_info" Gauge "none" ["revision"],
        "Always 1; the label is the policy revision in effect.";
    POLICY_LIMITS: "sluicegate_policy_limits" Gauge "limits" [],
        "Limits in the policy in effect.";
    RELOADS: "sluicegate_policy_reloads_total" Counter "reloads" ["result"],
        "Changes of the limits files, by result (accepted or rejected).";
    REJECTED_SINCE: "sluicegate_policy_rejected_since_seconds" Gauge "seconds since 1970" [],
        "Since when the limits files are rejected; 0 while they are good.";
    GEOGRAPHY_RELOADS: "sluicegate_geography_reloads_total" Counter "reloads" ["result"],
        "Changes of the geography file, by result (accepted or rejected).";
    GEOGRAPHY_BUILT: "sluicegate_geography_built_seconds" Gauge "seconds since 1970" [],
        "When the geography file in effect was built; 0 where there is none.";
    CONNECTIONS: "sluicegate_connections" Gauge "connections" ["listener", "caller"],
        "Open connections, by caller: trusted, or stranger.";
    REFUSED: "sluicegate_connections_refused_total" Counter "connections"
        ["listener", "caller"],
        "Connections closed at once, because the places of their kind were taken.";
    RECORDS: "sluicegate_decision_records_total" Counter "records" ["result"],
        "Decision records, by result (written, dropped or left_out).";
}
