//! The log, and the trace context that a request brings.

use std::fmt;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::output::{Fields, JsonErrors, log_lines};
use crate::settings::{Log, LogFormat};

mod spans;

pub use spans::Spans;

/// The W3C trace context of a caller; [`TraceParent::NONE`] where it brought none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; 0 where there is none.
    pub trace_id: u128,
    /// The caller's span.
    pub span_id: u64,
    /// The flags; bit 0 says that the trace is sampled.
    pub flags: u8,
}

impl TraceParent {
    /// No context.
    pub const NONE: Self = Self { trace_id: 0, span_id: 0, flags: 0 };

    /// Reads a `traceparent` header. What is not valid is no context, as the standard asks for.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        Self::read(header.trim_ascii()).unwrap_or(Self::NONE)
    }

    fn read(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        // Version 255 is forbidden; only versions after 0 may have more parts.
        let good = version != 0xff && (version > 0 || parts.next().is_none());
        (good && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags })
    }

    /// Whether the caller brought a context.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.trace_id != 0
    }

    /// Whether the caller's trace is sampled.
    #[must_use]
    pub const fn sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Starts the log of this process on standard error.
///
/// # Errors
/// Where the process has a log already.
pub fn start_log(log: Log) -> Result<(), TryInitError> {
    let libraries = log.level.min(tracing::Level::WARN);
    let levels = Targets::new().with_default(libraries).with_target("sluicegate", log.level);
    let registry = tracing_subscriber::registry().with(levels);
    let layer = tracing_subscriber::fmt::layer();
    match log.format {
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_writer(|| JsonErrors);
            registry.with(layer).try_init()
        }
        LogFormat::Text => {
            let layer = layer.with_writer(log_lines).fmt_fields(Fields).with_target(false);
            registry.with(layer.with_ansi(false)).try_init()
        }
    }
}

/// Exactly `digits` lower-case hexadecimal digits, as the standard has them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == digits && text.bytes().all(lower))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_good_header_is_read_and_written_back() {
        let trace = TraceParent::parse(GOOD);
        assert!(trace.is_some() && trace.sampled());
        assert_eq!(trace.to_string(), GOOD);
        assert_eq!(TraceParent::parse(&format!(" {GOOD} ")), trace);
    }

    #[test]
    fn what_is_not_valid_is_no_context() {
        let zero_trace = GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        let more = format!("{GOOD}-x");
        let bad = [
            "",
            "00",
            "-",
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4", "ff-4"),
            &zero_trace,
            &zero_span,
            &more,
            "é",
            "00-+bf92f3577b34da6a3ce929d0e0e473-0-0",
        ];
        for header in bad {
            assert_eq!(TraceParent::parse(header), TraceParent::NONE, "{header}");
        }
        assert!(TraceParent::parse(&format!("{}-x", GOOD.replace("00-4", "01-4"))).is_some());
    }
}
