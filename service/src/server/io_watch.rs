//! A connection that is read in turns, and that notices whether its caller has said enough to be
//! taken seriously, or too much.
//!
//! The HTTP libraries read as long as there is something to read, and only then look at what came.
//! A turn bounds what they gather meanwhile.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::bounds::Bounds;

/// The least that an HTTP/2 client says by itself: the preface of 24 bytes and the head of its
/// settings.
const GREETING_BYTES: u64 = 24 + 9;

/// A TCP stream that counts its bytes.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    came: u64,
    most: u64,
    reading: Reading,
}

/// What is known outside of what is read of a connection, and the say in it.
#[derive(Clone, Debug)]
pub(super) struct Reading(Arc<State>);

#[derive(Debug)]
struct State {
    greeted: AtomicBool,
    turn_bytes: usize,
    left_of_turn: AtomicUsize,
}

impl Reading {
    /// Whether the greeting has come.
    pub(super) fn is_greeted(&self) -> bool {
        self.0.greeted.load(Relaxed)
    }

    /// Begins the next turn: each time that the connection is polled.
    pub(super) fn begin_turn(&self) {
        self.0.left_of_turn.store(self.0.turn_bytes, Relaxed);
    }

    fn is_turn_over(&self) -> bool {
        self.0.left_of_turn.load(Relaxed) == 0
    }

    fn took(&self, bytes: usize) {
        let left = self.0.left_of_turn.load(Relaxed).saturating_sub(bytes);
        self.0.left_of_turn.store(left, Relaxed);
    }
}

impl Watched {
    pub(super) fn new(stream: TcpStream, bounds: &Bounds) -> (Self, Reading) {
        let reading = Reading(Arc::new(State {
            greeted: AtomicBool::new(false),
            turn_bytes: bounds.turn_bytes,
            left_of_turn: AtomicUsize::new(bounds.turn_bytes),
        }));
        (Self { stream, came: 0, most: bounds.max_bytes, reading: reading.clone() }, reading)
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.reading.took(bytes);
        let greeted_before = self.came >= GREETING_BYTES;
        self.came = self.came.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if !greeted_before && self.came >= GREETING_BYTES {
            self.reading.0.greeted.store(true, Relaxed);
        }
        if self.came > self.most {
            return Err(io::Error::other("a stranger has said too much"));
        }
        Ok(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reading.is_turn_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.count(buf.filled().len().saturating_sub(before)))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
