//! The dialogue on an HTTP/1.1 connection: its caller asks, we answer, its caller asks again.
//!
//! A connection is never closed between a request and its answer: what is too old, or is drained,
//! says `connection: close` on its next answer. So there is a bound for each step, and none that
//! cuts a connection whatever it is doing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, header};
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use super::with_jitter;
use crate::clock;
use crate::lifecycle::Phase;
use crate::settings::Listener;

/// How long a whole request may take to be answered and its caller to read that: longer than any
/// decision, and than the drain.
const ANSWER_AT_MOST: Duration = Duration::from_secs(30);
/// How a line about the length of a body begins, from the end of the line before.
const LENGTH_LINE: &[u8] = b"\ncontent-length";

/// Where one connection is, for what reads from it, answers on it and ends it.
#[derive(Clone, Debug)]
pub(super) struct Dialogue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    now: Mutex<Now>,
    times: Times,
    /// From when on an answer is the last one.
    old: Instant,
    phase: watch::Receiver<Phase>,
}

/// How long each step may last.
#[derive(Clone, Copy, Debug)]
struct Times {
    head: Duration,
    idle: Duration,
    answer: Duration,
}

/// What is going on.
#[derive(Debug)]
struct Now {
    step: Step,
    since: Instant,
    lengths: Lengths,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The first head of the connection is awaited, or the rest of a head.
    Head,
    /// An answer was given, and nothing has come since.
    Idle,
    /// A request is being answered.
    Answer,
}

/// The lines about lengths among all bytes so far, and those among them that were told of.
///
/// The library drops `Content-Length` beside `Transfer-Encoding`, as the standard allows. Whoever
/// stands before us may have believed the former, and then the two do not agree on where the next
/// request begins.
#[derive(Debug, Default)]
struct Lengths {
    /// How much of [`LENGTH_LINE`] the last bytes are.
    matched: usize,
    read: usize,
    told: usize,
}

/// The body of an answer; the step ends with it.
#[derive(Debug)]
pub(super) struct Said<B> {
    body: B,
    dialogue: Dialogue,
}

impl Dialogue {
    pub(super) fn new(bounds: &Listener, idle: Duration, phase: watch::Receiver<Phase>) -> Self {
        let since = clock::instant();
        let head = bounds.handshake_timeout;
        // Its body has the time of a head.
        let answer = head + ANSWER_AT_MOST;
        Self(Arc::new(Shared {
            now: Mutex::new(Now { step: Step::Head, since, lengths: Lengths::default() }),
            times: Times { head, idle, answer },
            old: since + with_jitter(bounds.max_connection_age),
            phase,
        }))
    }

    /// Bytes came.
    pub(super) fn heard(&self, bytes: &[u8]) {
        let mut now = self.0.now.lock();
        now.lengths.read(bytes);
        if now.step == Step::Idle {
            now.begin(Step::Head);
        }
    }

    /// A request came. Whether its body has one length; its connection ends where it has not.
    pub(super) fn asked(&self, headers: &HeaderMap) -> bool {
        let mut now = self.0.now.lock();
        now.begin(Step::Answer);
        now.lengths.tell(headers)
    }

    /// Whether the connection ends with the next answer.
    pub(super) fn is_last(&self) -> bool {
        clock::instant() >= self.0.old || *self.0.phase.borrow() >= Phase::Draining
    }

    /// The body of an answer; after it the caller may ask again.
    pub(super) fn say<B>(&self, body: B) -> Said<B> {
        Said { body, dialogue: self.clone() }
    }

    /// Resolves when a step lasts too long. A step can become shorter while this waits, but only
    /// when bytes have come: who polls the connection and then this misses nothing.
    pub(super) async fn overdue(&self) {
        let mut timer: Pin<Box<Sleep>> = Box::pin(sleep(self.0.times.head));
        std::future::poll_fn(|cx| self.poll_overdue(timer.as_mut(), cx)).await;
    }

    fn poll_overdue(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.due();
            if due < timer.deadline() {
                timer.as_mut().reset(due);
            }
            std::task::ready!(timer.as_mut().poll(cx));
            // A later step began meanwhile.
            if due <= timer.deadline() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }

    fn due(&self) -> tokio::time::Instant {
        let now = self.0.now.lock();
        let Times { head, idle, answer } = self.0.times;
        let at_most = match now.step {
            Step::Head => head,
            Step::Idle => idle,
            Step::Answer => answer,
        };
        (now.since + at_most).into()
    }
}

impl Now {
    fn begin(&mut self, step: Step) {
        self.step = step;
        self.since = clock::instant();
    }
}

impl Lengths {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // The pattern has its first byte nowhere else, so a mismatch begins anew or not at all.
            self.matched = match LENGTH_LINE.get(self.matched) {
                Some(wanted) if byte.eq_ignore_ascii_case(wanted) => self.matched + 1,
                _ => usize::from(*byte == b'\n'),
            };
            if self.matched == LENGTH_LINE.len() {
                self.matched = 0;
                self.read += 1;
            }
        }
    }

    /// Whether a request has no length but the one that it is read by. Lines that nobody was told
    /// of may also be those of the next request, where its caller does not await the answer: the
    /// error is to refuse.
    fn tell(&mut self, headers: &HeaderMap) -> bool {
        self.told += headers.get_all(header::CONTENT_LENGTH).iter().count();
        !headers.contains_key(TRANSFER_ENCODING) || self.told == self.read
    }
}

impl<B: Body + Unpin> Body for Said<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Said<B> {
    fn drop(&mut self) {
        self.dialogue.0.now.lock().begin(Step::Idle);
    }
}
