//! The doors: they decode a request into a [`Call`](crate::call::Call), ask the limiter, and
//! encode its decision. Nothing is decided here but who may ask.
//!
//! Everyone may ask for health, readiness and the shapes that reflection shows; decisions and
//! metrics are for callers inside the listener's `trust`. A refusal has a reason, and each door
//! says it in its own protocol: [`status`] is the one table of the answers that HTTP knows.

use std::sync::Arc;

use ::http::header::CONTENT_TYPE;
use ::http::{Extensions, HeaderMap, HeaderName};
use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::counter::Wait;
use sluicegate_limits::headers::HeaderStyle;
use sluicegate_limits::time::Tokens;
use sluicegate_limits::verdict::Reason;

use crate::call::{Call, Door, Method};
use crate::geography::Geography;
use crate::lifecycle::Lifecycle;
use crate::limiter::Limiter;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::reload::ReloadState;
use crate::reveal::Revealed;
use crate::server::{Entry, Routers};
use crate::settings::{Listener, Paths, Settings, TrafficClass};
use crate::telemetry::TraceParent;

mod deadline;
mod desk;
mod ext_authz;
mod grpc;
mod health;
mod http;
mod problem;
pub(crate) mod status;

/// What the doors of all cores share.
#[derive(Debug)]
pub struct Common {
    grpc: Listener,
    http: Listener,
    origin: Origin,
    paths: Paths,
    geography: Option<Arc<Geography>>,
    header_style: HeaderStyle,
    retry_after_jitter: bool,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
    reload: Arc<ReloadState>,
    watches: Arc<tokio::sync::Semaphore>,
    reflection: axum::Router,
}

/// The headers that are read of a gRPC call, by us and by its library.
static GRPC_HEADERS: [HeaderName; 6] = [
    CONTENT_TYPE,
    HeaderName::from_static("te"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
];

/// The caller's end of one request.
#[derive(Clone, Copy, Debug)]
struct Caller {
    trusted: bool,
    /// There is no room for the request beside all others.
    overloaded: bool,
    deadline: Option<std::time::Instant>,
    trace: TraceParent,
}

impl Common {
    /// Takes what the doors need of the settings.
    ///
    /// # Errors
    /// Where the description of the gRPC services cannot be read, which is a fault of the build.
    pub fn new(
        settings: &Settings,
        metrics: Arc<Metrics>,
        lifecycle: Lifecycle,
        reload: Arc<ReloadState>,
        geography: Option<Arc<Geography>>,
    ) -> Result<Arc<Self>, ReflectionError> {
        Ok(Arc::new(Self {
            grpc: settings.listeners.grpc.clone(),
            http: settings.listeners.http.clone(),
            origin: Origin::new(settings),
            paths: settings.paths,
            geography,
            header_style: settings.rate_limit_headers,
            retry_after_jitter: settings.retry_after_jitter,
            metrics,
            lifecycle,
            reload,
            watches: Arc::new(tokio::sync::Semaphore::new(health::MAX_WATCHES)),
            reflection: grpc::reflection(settings.listeners.grpc.max_message_bytes)?,
        }))
    }

    /// Adds to the facts of a request what its listener and the geography file tell of it, and
    /// reads its path.
    ///
    /// A class that a gateway's route sets is closer to the request than the listener's; callers
    /// that state their own attributes cannot leave the class of their listener.
    fn complete(&self, door: Door, mut facts: AttributesBuilder) -> Result<Attributes, String> {
        let listener = if door == Door::Http { &self.http } else { &self.grpc };
        let class = listener.traffic_class.map(TrafficClass::as_str);
        match (class, facts.get("traffic_class")) {
            (Some(class), None) => {
                facts.set("traffic_class", class).map_err(|error| error.to_string())?;
            }
            (Some(class), Some(stated)) if stated != class && door != Door::ExtAuthz => {
                return Err(format!("attribute traffic_class is `{class}` for this listener"));
            }
            _ => {}
        }
        if let Some(geography) = &self.geography {
            geography.fill(&mut facts).map_err(|error| error.to_string())?;
        }
        Ok(facts.finish_for(&self.paths))
    }

    /// Seconds to add to `Retry-After`: at most a tenth of the wait and at most 5.
    fn retry_after_jitter(&self, answer: Revealed<'_>) -> u64 {
        match answer.retry_after() {
            Some(Wait::For(wait)) if self.retry_after_jitter => {
                fastrand::u64(0..=(wait.to_seconds_up() / 10).min(5))
            }
            _ => 0,
        }
    }
}

/// The doors of one core.
#[must_use]
pub fn routers(limiter: &Limiter, common: &Arc<Common>) -> Routers {
    Routers {
        grpc: grpc::router(limiter, common),
        http: http::router(limiter.clone(), Arc::clone(common)),
        grpc_headers: &GRPC_HEADERS,
    }
}

/// The description of the gRPC services cannot be read.
pub use tonic_reflection::server::Error as ReflectionError;

impl Caller {
    /// Somebody whose question could not be read.
    const UNKNOWN: Self =
        Self { trusted: false, overloaded: false, deadline: None, trace: TraceParent::NONE };

    fn new(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let entry = extensions.get::<Entry>();
        Self {
            trusted: entry.is_some_and(Entry::is_trusted),
            overloaded: entry.is_some_and(Entry::is_overloaded),
            deadline: None,
            trace: text("traceparent").map(TraceParent::parse).unwrap_or_default(),
        }
    }

    /// A caller by gRPC, which says until when it waits.
    fn of_grpc(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let timeout = headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
        let deadline = timeout.and_then(deadline::of);
        Self { deadline, ..Self::new(headers, extensions) }
    }

    /// Why the call is refused whatever it says, so that nothing of it needs to be read.
    const fn refusal(self) -> Option<Reason> {
        match self {
            Self { trusted: false, .. } => Some(Reason::UntrustedCaller),
            Self { overloaded: true, .. } => Some(Reason::Overloaded),
            _ => None,
        }
    }

    /// A request with what it states, and what else is known of it.
    fn call(
        self,
        common: &Common,
        door: Door,
        facts: AttributesBuilder,
        cost: Option<Tokens>,
    ) -> Result<Call, String> {
        let attributes = common.complete(door, facts)?;
        let Self { deadline, trace, .. } = self;
        Ok(Call { attributes, cost, deadline, door, method: Method::Check, trace })
    }

    /// A request of which nothing is known but the caller, and how it came.
    fn unread(self, common: &Common, door: Door) -> Call {
        let Self { deadline, trace, .. } = self;
        // An empty one has room for what the listener tells.
        let attributes = common.complete(door, AttributesBuilder::new()).unwrap_or_default();
        Call { attributes, cost: None, deadline, door, method: Method::Check, trace }
    }
}
