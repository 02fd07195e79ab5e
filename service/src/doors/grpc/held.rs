//! The calls about reservations and holds in the words of `sluicegate.v1`.

use prost_types::Duration;
use sluicegate_limits::policy::units::tokens;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_proto::v1::{
    ExtendRequest, ExtendResponse, HoldRequest, HoldResponse, ReleaseRequest, ReleaseResponse,
    ReserveRequest, ReserveResponse, SettleRequest, SettleResponse,
};

use super::super::desk::{Desk, Named, Wanted, actual, lasting};
use super::{encode, facts};
use crate::call::{Ending, Method};
use crate::reveal::Revealed;

pub(super) async fn reserve(desk: Desk<'_>, request: ReserveRequest) -> ReserveResponse {
    let wanted = || {
        let lasting = stated(request.lasting)?;
        let (facts, cost) = (facts(request.attributes)?, request.estimate.map(tokens));
        Ok(Wanted { facts, cost, method: Method::Reserve { lasting } })
    };
    let kind = Method::Reserve { lasting: Micros::ZERO };
    let decision = &desk.decide(kind, wanted).await;
    let decision = Revealed::of(decision);
    let (reservation, lasts) = granted(decision);
    let decision = Some(encode::response(decision));
    ReserveResponse { decision, reservation, lasts }
}

pub(super) async fn hold(desk: Desk<'_>, request: HoldRequest) -> HoldResponse {
    let wanted = || {
        let lasting = stated(request.lasting)?;
        let (facts, cost) = (facts(request.attributes)?, request.cost.map(tokens));
        Ok(Wanted { facts, cost, method: Method::Hold { lasting } })
    };
    let kind = Method::Hold { lasting: Micros::ZERO };
    let decision = &desk.decide(kind, wanted).await;
    let decision = Revealed::of(decision);
    let (hold, lasts) = granted(decision);
    HoldResponse { decision: Some(encode::response(decision)), hold, lasts }
}

pub(super) async fn settle(desk: Desk<'_>, request: SettleRequest) -> SettleResponse {
    let named = || {
        let ending = Ending::Settle { actual: actual(request.actual)? };
        Ok(Named { token: request.reservation, ending })
    };
    let decision = &desk.end(Ending::Settle { actual: Tokens::ZERO }, named).await;
    let decision = Revealed::of(decision);
    SettleResponse {
        settled: decision.allowed(),
        reason: decision.reason_text().to_owned(),
        overrun: decision.grant().map_or(0, |grant| grant.overrun.get()),
        limits: decision.limits().map(encode::limit).collect(),
        decision_id: decision.id().to_string(),
        policy_revision: decision.policy_revision().to_owned(),
        detail: decision.detail().to_owned(),
    }
}

pub(super) async fn extend(desk: Desk<'_>, request: ExtendRequest) -> ExtendResponse {
    let named = || {
        let ending = Ending::Extend { lasting: stated(request.lasting)? };
        Ok(Named { token: request.held, ending })
    };
    let decision = &desk.end(Ending::Extend { lasting: Micros::ZERO }, named).await;
    let decision = Revealed::of(decision);
    let lasts = decision.grant().filter(|_| decision.allowed());
    ExtendResponse {
        extended: decision.allowed(),
        reason: decision.reason_text().to_owned(),
        lasts: lasts.map(|grant| encode::duration(grant.lasts)),
        decision_id: decision.id().to_string(),
        policy_revision: decision.policy_revision().to_owned(),
        detail: decision.detail().to_owned(),
    }
}

pub(super) async fn release(desk: Desk<'_>, request: ReleaseRequest) -> ReleaseResponse {
    let named = || Ok(Named { token: request.hold, ending: Ending::Release });
    let decision = &desk.end(Ending::Release, named).await;
    let decision = Revealed::of(decision);
    ReleaseResponse {
        released: decision.allowed(),
        reason: decision.reason_text().to_owned(),
        decision_id: decision.id().to_string(),
        policy_revision: decision.policy_revision().to_owned(),
        detail: decision.detail().to_owned(),
    }
}

/// The token and how long it lasts, where something was granted.
fn granted(decision: Revealed<'_>) -> (String, Option<Duration>) {
    let grant = decision.grant();
    let token = grant.map(|grant| grant.token.clone()).unwrap_or_default();
    (token, grant.map(|grant| encode::duration(grant.lasts)))
}

/// How long a caller wants something to be held; what is no length of time is out of bounds.
fn stated(duration: Option<Duration>) -> Result<Micros, String> {
    let micros = |Duration { seconds, nanos }| {
        let (seconds, nanos) = (u64::try_from(seconds).ok()?, u64::try_from(nanos).ok()?);
        seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)
    };
    lasting("lasting", duration.map(|duration| micros(duration).unwrap_or(0)))
}
