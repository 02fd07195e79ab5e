//! The calls about reservations and holds.

use std::time::Duration;

use sluicegate_limits::time::Tokens;
use sluicegate_proto::v1;

use super::{Client, bounded, with_deadline};
use crate::clock;
use crate::error::CheckError;
use crate::held::{Done, Grant, Hold, Reservation, Settled};
use crate::request::Request;
use crate::verdict::{LimitVerdict, Reason, Verdict, bad};

impl Client {
    /// Asks whether a request whose cost is known only afterwards may begin, and sets aside what
    /// it is estimated to cost, [`Request::costing`]: of every limit that applies, or nothing. It
    /// is set aside for at most `lasting`, or as long as its limits let.
    ///
    /// # Errors
    /// Where there is no verdict; see [`CheckError`]. What may be set aside then is booked at its
    /// end.
    pub async fn reserve(
        &self,
        request: &Request,
        lasting: Option<Duration>,
        within: Duration,
    ) -> Result<Grant<Reservation>, CheckError> {
        let v1::CheckRequest { attributes, cost: estimate } = request.as_message().clone();
        let message =
            v1::ReserveRequest { attributes, estimate, lasting: lasting.map(stated).transpose()? };
        let (mut inner, sent) = (self.inner.clone(), clock::instant());
        let answer = bounded(inner.reserve(with_deadline(message, within)?), within).await?;
        let v1::ReserveResponse { decision, reservation, lasts } = answer;
        let (verdict, held) = granted(decision, reservation, lasts)?;
        let held =
            held.map(|(token, lasts)| Reservation::new(self.clone(), token, sent, lasting, lasts));
        Ok(Grant { verdict, held })
    }

    /// Asks whether a request may begin, holds a slot of every concurrency limit that applies, and
    /// takes from the other limits as [`Self::check`] does. The slots are held for at most
    /// `lasting`, or as long as their limits let.
    ///
    /// # Errors
    /// Where there is no verdict; see [`CheckError`]. Slots that may be held then are free at
    /// their end.
    pub async fn hold(
        &self,
        request: &Request,
        lasting: Option<Duration>,
        within: Duration,
    ) -> Result<Grant<Hold>, CheckError> {
        let v1::CheckRequest { attributes, cost } = request.as_message().clone();
        let message =
            v1::HoldRequest { attributes, cost, lasting: lasting.map(stated).transpose()? };
        let (mut inner, sent) = (self.inner.clone(), clock::instant());
        let answer = bounded(inner.hold(with_deadline(message, within)?), within).await?;
        let v1::HoldResponse { decision, hold, lasts } = answer;
        let (verdict, held) = granted(decision, hold, lasts)?;
        let held = held.map(|(token, lasts)| Hold::new(self.clone(), token, sent, lasting, lasts));
        Ok(Grant { verdict, held })
    }

    /// Settles a reservation by its token, as [`Reservation::settle`] does.
    ///
    /// # Errors
    /// Where there is no answer: it may be settled nevertheless, and the same call may be made
    /// again.
    pub async fn settle(
        &self,
        reservation: &str,
        actual: Tokens,
        within: Duration,
    ) -> Result<Settled, CheckError> {
        let message =
            v1::SettleRequest { reservation: reservation.to_owned(), actual: actual.get() };
        let mut inner = self.inner.clone();
        let answer = bounded(inner.settle(with_deadline(message, within)?), within).await?;
        let limits = answer.limits.into_iter().map(LimitVerdict::try_from);
        Ok(Settled {
            settled: answer.settled,
            reason: Reason::unless(answer.settled, answer.reason)?,
            overrun: Tokens::new(answer.overrun),
            limits: limits.collect::<Result<_, _>>()?,
            decision_id: answer.decision_id,
        })
    }

    /// Answers how long all of it is held from before the call on, where it was extended.
    pub(crate) async fn extend(
        &self,
        held: &str,
        lasting: Option<Duration>,
        within: Duration,
    ) -> Result<(Done, Option<Duration>), CheckError> {
        let lasting = lasting.map(stated).transpose()?;
        let message = v1::ExtendRequest { held: held.to_owned(), lasting };
        let mut inner = self.inner.clone();
        let answer = bounded(inner.extend(with_deadline(message, within)?), within).await?;
        let done = answer.extended;
        let lasts = answer.lasts.filter(|_| done).map(duration).transpose()?;
        Ok((Done { done, reason: Reason::unless(done, answer.reason)? }, lasts))
    }

    pub(crate) async fn release(&self, hold: &str, within: Duration) -> Result<Done, CheckError> {
        let message = v1::ReleaseRequest { hold: hold.to_owned() };
        let mut inner = self.inner.clone();
        let answer = bounded(inner.release(with_deadline(message, within)?), within).await?;
        let done = answer.released;
        Ok(Done { done, reason: Reason::unless(done, answer.reason)? })
    }
}

/// The verdict, and the token with how long it lasts where it is allowed.
fn granted(
    decision: Option<v1::CheckResponse>,
    token: String,
    lasts: Option<prost_types::Duration>,
) -> Result<(Verdict, Option<(String, Duration)>), CheckError> {
    let decision = decision.ok_or_else(|| bad("there is no decision"))?;
    let verdict = Verdict::try_from(decision)?;
    if !verdict.allowed {
        return Ok((verdict, None));
    }
    let lasts = lasts.map(duration).transpose()?;
    match lasts {
        Some(lasts) if !token.is_empty() => Ok((verdict, Some((token, lasts)))),
        _ => Err(bad("an allowed request has no token or no end")),
    }
}

fn stated(lasting: Duration) -> Result<prost_types::Duration, CheckError> {
    prost_types::Duration::try_from(lasting).map_err(|_| CheckError::Refused {
        code: tonic::Code::InvalidArgument,
        message: "a time of that length cannot be said".to_owned(),
    })
}

fn duration(lasts: prost_types::Duration) -> Result<Duration, CheckError> {
    Duration::try_from(lasts).map_err(|_| bad("a duration is negative"))
}
