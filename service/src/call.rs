//! What passes between the doors, the limiter and what can be seen: a request decoded, and the
//! decision on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::Verdict;
use uuid::Uuid;

pub use sluicegate_limits::charge::Ending;

use crate::random::Random;
use crate::settings::{Reveal, TrafficClass};
use crate::telemetry::TraceParent;

/// Through which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Native gRPC.
    Grpc,
    /// Envoy ext_authz.
    ExtAuthz,
    /// JSON over HTTP.
    Http,
}

/// Which method a caller called; Envoy's door has `Check` alone, the one for JSON neither
/// `CheckBatch` nor `Peek`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Decides, and takes what the request costs.
    Check,
    /// Decides as one of several, and takes what the request costs.
    CheckBatch,
    /// Tells what `Check` would answer: it decides nothing and takes nothing.
    Peek,
    /// Decides, and sets aside what the request is estimated to cost.
    Reserve {
        /// For how long; no limit holds longer than it says itself.
        lasting: Micros,
    },
    /// Decides, holds slots of concurrency limits, and takes from the others.
    Hold {
        /// For how long; no limit holds longer than it says itself.
        lasting: Micros,
    },
    /// Ends what was set aside, or moves its end.
    End(Ending),
}

/// One request, decoded by a door.
#[derive(Clone, Debug)]
pub struct Call {
    /// The facts about it.
    pub attributes: Attributes,
    /// What it states to cost.
    pub cost: Option<Tokens>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Through which door it came.
    pub door: Door,
    /// By which of its methods.
    pub method: Method,
    /// The caller's trace context.
    pub trace: TraceParent,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Names this answer in records, traces and denial bodies: a UUIDv7.
    pub id: Uuid,
    /// What was decided, and why.
    pub verdict: Verdict,
    /// The policy that decided.
    pub policy: Arc<Policy>,
    /// When it was decided, by this replica's clock.
    pub now: Timestamp,
    /// How long the store took.
    pub store_time: Duration,
    /// How long all of it took.
    pub took: Duration,
    /// How much of this its caller learns.
    pub reveal: Reveal,
    /// What is set aside, or was until now.
    pub grant: Option<Grant>,
}

/// What a decision sets aside, or what it does with what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The same for all calls about it.
    pub id: Uuid,
    /// What the caller names it by; empty unless this decision granted it.
    pub token: String,
    /// How long it is held from the decision on.
    pub lasts: Micros,
    /// Tokens of the actual cost above what was reserved.
    pub overrun: Tokens,
}

/// Attributes that tell on whose account a request is, the nearest first.
const OWNERS: [&str; 4] = ["tenant_id", "client_id", "user_id", "ip_address"];

impl Call {
    /// On whose account it is, where something that all share is divided: its tenant, or else who
    /// is known of it, as the attribute and its value.
    #[must_use]
    pub fn owner(&self) -> Option<(&'static str, &str)> {
        OWNERS.iter().find_map(|name| Some((*name, self.attributes.get(name)?)))
    }

    /// Where it comes from.
    #[must_use]
    pub fn traffic_class(&self) -> Option<TrafficClass> {
        self.attributes.get("traffic_class").and_then(TrafficClass::of)
    }
}

impl Door {
    /// Its name in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::ExtAuthz => "ext_authz",
            Self::Http => "http",
        }
    }
}

impl Method {
    /// Its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::CheckBatch => "check_batch",
            Self::Peek => "peek",
            Self::Reserve { .. } => "reserve",
            Self::Hold { .. } => "hold",
            Self::End(ending) => ending.as_str(),
        }
    }
}

/// A UUIDv7.
pub(crate) fn decision_id(now: Timestamp, random: &Random) -> Uuid {
    let [random @ .., _, _, _, _, _, _] = random.bytes();
    uuid::Builder::from_unix_timestamp_millis(now.get() / 1_000, &random).into_uuid()
}
