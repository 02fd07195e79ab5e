//! What a caller holds: a reservation whose cost is settled later, or a slot while it runs.

use std::fmt;
use std::time::Duration;

use sluicegate_limits::time::Tokens;
use tokio::time::Instant;

use crate::clock;
use crate::error::CheckError;
use crate::remote::Client;
use crate::verdict::{LimitVerdict, Reason, Verdict};

/// How long a hold that is dropped may take to be given back, in the background.
const LAST_RELEASE: Duration = Duration::from_secs(1);

/// What was asked to begin: the verdict, and what is held where it may.
#[derive(Debug)]
pub struct Grant<H> {
    /// The answer.
    pub verdict: Verdict,
    /// What is held; `None` where the verdict is a denial.
    pub held: Option<H>,
}

/// Tokens set aside for a request whose cost is known only afterwards.
///
/// Settle it with what the request did cost, or with nothing to cancel it. One that is dropped
/// stays set aside until its end and is booked in full then.
pub struct Reservation(Held);

/// Slots of concurrency limits, held while a request runs.
///
/// Dropping it gives the slots back, in the background where there is a runtime, and waits for
/// nothing. Where that fails, they are free at their end.
pub struct Hold(Held);

/// A token and how long its holder may believe in it.
struct Held {
    client: Client,
    token: String,
    /// The holder's own deadline, which is never later than the end in the store: counted from
    /// before the request was sent, and a thousandth shorter, for a clock that runs slow.
    deadline: Instant,
    given_back: bool,
}

/// What became of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whether it is settled, by this call or by one before.
    pub settled: bool,
    /// Why not. After `store_unavailable` or `overloaded` the same call may be made again.
    pub reason: Option<Reason>,
    /// Tokens above what was reserved: they are booked all the same.
    pub overrun: Tokens,
    /// What each limit of the reservation says afterwards.
    pub limits: Vec<LimitVerdict>,
    /// Names this answer in records and traces.
    pub decision_id: String,
}

/// Whether an end was moved, or a hold given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whether it was.
    pub done: bool,
    /// Why not. After `store_unavailable` or `overloaded` the same call may be made again.
    pub reason: Option<Reason>,
}

impl Held {
    /// What was granted for at most `lasts`, of the `asked` where the caller said, by an answer to
    /// a request that was sent at `sent`.
    fn new(
        client: Client,
        token: String,
        sent: Instant,
        asked: Option<Duration>,
        lasts: Duration,
    ) -> Self {
        Self { client, token, deadline: deadline(sent, asked, lasts), given_back: false }
    }

    fn is_live(&self) -> bool {
        clock::instant() < self.deadline
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::instant())
    }

    async fn extend(
        &mut self,
        lasting: Option<Duration>,
        within: Duration,
    ) -> Result<Done, CheckError> {
        if !self.is_live() {
            return Ok(Done { done: false, reason: Some(Reason::expired()) });
        }
        let sent = clock::instant();
        let (done, lasts) = self.client.extend(&self.token, lasting, within).await?;
        if let Some(lasts) = lasts {
            // The end is never brought forward.
            self.deadline = self.deadline.max(deadline(sent, lasting, lasts));
        }
        Ok(done)
    }
}

/// When a holder stops to believe in what was granted.
fn deadline(sent: Instant, asked: Option<Duration>, lasts: Duration) -> Instant {
    let lasts = asked.map_or(lasts, |asked| asked.min(lasts));
    // A time that no clock reaches was granted by nobody.
    sent.checked_add(lasts / 1_000 * 999).unwrap_or(sent)
}

impl Reservation {
    pub(crate) fn new(
        client: Client,
        token: String,
        sent: Instant,
        asked: Option<Duration>,
        lasts: Duration,
    ) -> Self {
        Self(Held::new(client, token, sent, asked, lasts))
    }

    /// Whether the tokens are still set aside. Spend none of them after this is false: they are
    /// booked then, and others may take what comes back.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.is_live()
    }

    /// How long that stays so.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.0.time_left()
    }

    /// What names it to the service: another process may settle it with
    /// [`Client::settle`](crate::Client::settle).
    #[must_use]
    pub fn token(&self) -> &str {
        &self.0.token
    }

    /// Moves its end to `lasting` from now; as far as its limits let where that is absent. After
    /// its own deadline it refuses without asking: then what was set aside may be gone.
    ///
    /// # Errors
    /// Where there is no answer: it may have been extended nevertheless, and counts as if not.
    pub async fn extend(
        &mut self,
        lasting: Option<Duration>,
        within: Duration,
    ) -> Result<Done, CheckError> {
        self.0.extend(lasting, within).await
    }

    /// Books what the request did cost, and gives the rest back. After its end nothing is given
    /// back any more, and what is above is still owed. It happens once: without an answer, make
    /// the same call again.
    ///
    /// # Errors
    /// Where there is no answer: it may be settled nevertheless.
    pub async fn settle(&self, actual: Tokens, within: Duration) -> Result<Settled, CheckError> {
        self.0.client.settle(&self.0.token, actual, within).await
    }
}

impl Hold {
    pub(crate) fn new(
        client: Client,
        token: String,
        sent: Instant,
        asked: Option<Duration>,
        lasts: Duration,
    ) -> Self {
        Self(Held::new(client, token, sent, asked, lasts))
    }

    /// Whether the slots are still held. Stop the work when this is false: another may have begun.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.is_live()
    }

    /// How long that stays so.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.0.time_left()
    }

    /// Moves its end to `lasting` from now; as far as its limits let where that is absent. After
    /// its own deadline it refuses without asking: another may have the slots.
    ///
    /// # Errors
    /// Where there is no answer: it may have been extended nevertheless, and counts as if not.
    pub async fn extend(
        &mut self,
        lasting: Option<Duration>,
        within: Duration,
    ) -> Result<Done, CheckError> {
        self.0.extend(lasting, within).await
    }

    /// Gives the slots back. Without an answer, make the same call again, or leave it to the end.
    ///
    /// # Errors
    /// Where there is no answer: they may be given back nevertheless.
    pub async fn release(&mut self, within: Duration) -> Result<Done, CheckError> {
        let done = self.0.client.release(&self.0.token, within).await?;
        self.0.given_back = done.done;
        Ok(done)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.given_back || !self.is_live() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, token) = (self.0.client.clone(), std::mem::take(&mut self.0.token));
        drop(runtime.spawn(async move { client.release(&token, LAST_RELEASE).await }));
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("time_left", &self.time_left()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("time_left", &self.time_left()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(asked: Option<u64>, lasts: u64) -> Held {
        // Nobody listens on port 1, and nothing here is sent.
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        let asked = asked.map(Duration::from_secs);
        Held::new(client, String::new(), clock::instant(), asked, Duration::from_secs(lasts))
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_believes_for_999_thousandths_of_the_shorter_time() {
        for (asked, lasts) in [(None, 10), (Some(10), 16), (Some(60), 10)] {
            let held = hold(asked, lasts);
            assert_eq!(held.time_left(), Duration::from_millis(9_990));
            tokio::time::advance(Duration::from_millis(9_989)).await;
            assert!(held.is_live());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!held.is_live());
            assert_eq!(held.time_left(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_counts_from_before_the_request_was_sent() {
        let sent = clock::instant();
        tokio::time::advance(Duration::from_secs(11)).await;
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        let mut late = Held::new(client, String::new(), sent, None, Duration::from_secs(10));
        assert!(!late.is_live(), "the answer came too late to be believed");
        let refused = late.extend(None, Duration::from_secs(1)).await.unwrap();
        assert_eq!(refused, Done { done: false, reason: Some(Reason::expired()) });
    }
}
