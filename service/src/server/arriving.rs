//! A request body that has to arrive in time and to fit beside all others. A caller that stalls
//! would hold a stream for good.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::budget::Share;

/// A body with an end to waiting for it, and to its length.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    share: Arc<Share>,
    at_most: Duration,
    /// Made when there is something to wait for: most bodies come with their heads.
    late: Option<Pin<Box<Sleep>>>,
}

/// Why a body is no whole one.
#[derive(Debug)]
pub(super) enum Incomplete {
    /// It did not arrive in time.
    Late,
    /// There is no room for it.
    TooMuch,
    /// The connection or the stream broke.
    Broken(hyper::Error),
}

impl Arriving {
    pub(super) const fn new(body: Incoming, share: Arc<Share>, at_most: Duration) -> Self {
        Self { body, share, at_most, late: None }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Incomplete;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Incomplete>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| match frame.map_err(Incomplete::Broken)? {
                data if self.share.grow(length(&data)) => Ok(data),
                _ => Err(Incomplete::TooMuch),
            }));
        }
        let at_most = self.at_most;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(at_most)));
        late.as_mut().poll(cx).map(|()| Some(Err(Incomplete::Late)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn length(frame: &Frame<Bytes>) -> usize {
    frame.data_ref().map_or(0, Bytes::len)
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("the body did not arrive in time"),
            Self::TooMuch => f.write_str("there is no room for the body"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Incomplete {}
