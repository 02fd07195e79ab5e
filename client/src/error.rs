//! Why there is no verdict.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};

/// A check was not answered with a verdict. A denial is no error: it is a verdict.
#[derive(Clone, Debug)]
pub enum CheckError {
    /// The deadline passed before the answer came. The request may have been charged.
    DeadlineExceeded {
        /// How long was waited.
        waited: Duration,
    },
    /// The service was not reached, or the connection broke. Where it broke after the request was
    /// sent, the request may have been charged.
    Unreachable {
        /// What the transport says.
        message: String,
    },
    /// The service took no decision on this request and charged nothing, by this status.
    Refused {
        /// The status.
        code: Code,
        /// What the service says.
        message: String,
    },
    /// The service failed, or answered something that is no answer to the request. The request may
    /// have been charged.
    BadAnswer {
        /// What is wrong with it.
        message: String,
    },
    /// Nothing was sent: a batch may have at most [`MAX_BATCH`](crate::MAX_BATCH) checks.
    BatchTooLong {
        /// How many it has.
        checks: usize,
    },
    /// Nothing was sent: a message may have at most
    /// [`MAX_REQUEST_BYTES`](crate::MAX_REQUEST_BYTES).
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
}

/// An endpoint was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint {
    pub(crate) endpoint: String,
}

impl CheckError {
    /// Whether the service may have charged the request nevertheless.
    #[must_use]
    pub const fn may_have_charged(&self) -> bool {
        match self {
            Self::DeadlineExceeded { .. } | Self::Unreachable { .. } | Self::BadAnswer { .. } => {
                true
            }
            Self::Refused { .. } | Self::BatchTooLong { .. } | Self::TooLarge { .. } => false,
        }
    }

    pub(crate) fn of(status: &Status, waited: Duration) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::DeadlineExceeded => Self::DeadlineExceeded { waited },
            // The transport reads the deadline too, and may be a moment earlier than we are.
            Code::Cancelled if timed_out(status) => Self::DeadlineExceeded { waited },
            Code::Unavailable => Self::Unreachable { message: with_causes(status) },
            Code::InvalidArgument
            | Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::Unimplemented => Self::Refused { code: status.code(), message },
            _ if status.source().is_some() => Self::Unreachable { message: with_causes(status) },
            code => Self::BadAnswer { message: format!("{code:?}: {message}") },
        }
    }
}

fn timed_out(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), |cause| (*cause).source());
    causes.into_iter().any(|cause| cause.is::<TimeoutExpired>())
}

/// The message with those of its causes: "transport error" alone helps nobody.
fn with_causes(status: &Status) -> String {
    let mut message = status.message().to_owned();
    for cause in std::iter::successors(status.source(), |cause| (*cause).source()) {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
    }
    message
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadlineExceeded { waited } => write!(f, "no answer within {waited:?}"),
            Self::Unreachable { message } => write!(f, "the service is unreachable: {message}"),
            Self::Refused { code, message } => {
                write!(f, "the service refused the request as {code:?}: {message}")
            }
            Self::BadAnswer { message } => write!(f, "no usable answer: {message}"),
            Self::BatchTooLong { checks } => {
                write!(f, "{checks} checks in one batch: at most {} fit", crate::MAX_BATCH)
            }
            Self::TooLarge { bytes } => {
                write!(f, "a message of {bytes} bytes: at most {} fit", crate::MAX_REQUEST_BYTES)
            }
        }
    }
}

impl Error for CheckError {}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no endpoint: expected http://HOST:PORT", self.endpoint)
    }
}

impl Error for InvalidEndpoint {}
