//! How a request came in, and the body of its answer, which holds its share of the budget.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use super::budget::Share;

/// How a request came in: an extension of every request.
#[derive(Clone, Debug)]
pub struct Entry {
    trusted: bool,
    share: Arc<Share>,
}

/// The body of an answer. The request has its share of the budget until this is sent.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _share: Arc<Share>,
}

impl Entry {
    pub(super) const fn new(trusted: bool, share: Arc<Share>) -> Self {
        Self { trusted, share }
    }

    /// Whether the address of the caller is one that the listener trusts.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether there is no room for the request beside all others.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.share.is_overloaded()
    }
}

impl Answer {
    pub(super) const fn new(body: Body, share: Arc<Share>) -> Self {
        Self { body, _share: share }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
