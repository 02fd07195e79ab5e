//! What passes between the doors, the limiter and what can be seen: a request decoded, and the
//! decision on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::{Timestamp, Tokens};
use sluicegate_limits::verdict::Verdict;
use uuid::Uuid;

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

/// Which method a caller called; Envoy's door and the one for JSON have `Check` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Decides, and takes what the request costs.
    Check,
    /// Decides as one of several, and takes what the request costs.
    CheckBatch,
    /// Tells what `Check` would answer: it decides nothing and takes nothing.
    Peek,
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
}

impl Call {
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

/// A UUIDv7. It names an answer and proves nothing, so fast random bits will do.
pub(crate) fn decision_id(now: Timestamp) -> Uuid {
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.get() / 1_000, &random).into_uuid()
}
