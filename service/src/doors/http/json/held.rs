//! The JSON of the calls about reservations and holds.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::super::desk::{Named, Wanted, actual, lasting};
use super::{Answer, Cost, OneLimit, Stated, answer, one_limit, read, text};
use crate::call::{Ending, Method};
use crate::reveal::Revealed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserve {
    attributes: Stated,
    estimate: Option<Cost>,
    lasting_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    attributes: Stated,
    cost: Option<Cost>,
    lasting_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    reservation: String,
    actual: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extend {
    held: String,
    lasting_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    hold: String,
}

/// The answer of a check, and what was granted.
#[derive(Serialize)]
struct Granted<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasts_ms: Option<u64>,
}

/// What became of something held; one of the truth values is there.
#[derive(Serialize)]
struct Ended<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrun: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasts_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Vec<OneLimit<'a>>>,
    decision_id: Uuid,
    policy_revision: &'a str,
}

pub(in super::super) fn reserve(body: &[u8]) -> Result<Wanted, String> {
    let Reserve { attributes: Stated(facts), estimate, lasting_ms } = read(body)?;
    let method = Method::Reserve { lasting: lasting("lasting_ms", micros(lasting_ms))? };
    Ok(Wanted { facts, cost: estimate.map(Cost::tokens), method })
}

pub(in super::super) fn hold(body: &[u8]) -> Result<Wanted, String> {
    let Hold { attributes: Stated(facts), cost: stated, lasting_ms } = read(body)?;
    let method = Method::Hold { lasting: lasting("lasting_ms", micros(lasting_ms))? };
    Ok(Wanted { facts, cost: stated.map(Cost::tokens), method })
}

pub(in super::super) fn settle(body: &[u8]) -> Result<Named, String> {
    let Settle { reservation, actual: stated } = read(body)?;
    Ok(Named { token: reservation, ending: Ending::Settle { actual: actual(stated)? } })
}

pub(in super::super) fn extend(body: &[u8]) -> Result<Named, String> {
    let Extend { held, lasting_ms } = read(body)?;
    let ending = Ending::Extend { lasting: lasting("lasting_ms", micros(lasting_ms))? };
    Ok(Named { token: held, ending })
}

pub(in super::super) fn release(body: &[u8]) -> Result<Named, String> {
    let Release { hold } = read(body)?;
    Ok(Named { token: hold, ending: Ending::Release })
}

pub(in super::super) fn reserved(decision: Revealed<'_>) -> String {
    let reservation = token(decision);
    text(&Granted { reservation, hold: None, lasts_ms: lasts(decision), answer: answer(decision) })
}

pub(in super::super) fn held(decision: Revealed<'_>) -> String {
    let hold = token(decision);
    text(&Granted { reservation: None, hold, lasts_ms: lasts(decision), answer: answer(decision) })
}

pub(in super::super) fn settled(decision: Revealed<'_>) -> String {
    let overrun = decision.grant().map_or(0, |grant| grant.overrun.get());
    text(&Ended {
        settled: Some(decision.allowed()),
        overrun: Some(overrun),
        limits: Some(decision.limits().map(one_limit).collect()),
        ..ended(decision)
    })
}

pub(in super::super) fn extended(decision: Revealed<'_>) -> String {
    let extended = Some(decision.allowed());
    text(&Ended { extended, lasts_ms: lasts(decision), ..ended(decision) })
}

pub(in super::super) fn released(decision: Revealed<'_>) -> String {
    text(&Ended { released: Some(decision.allowed()), ..ended(decision) })
}

fn ended(decision: Revealed<'_>) -> Ended<'_> {
    Ended {
        settled: None,
        extended: None,
        released: None,
        reason: (!decision.allowed()).then_some(decision.reason_text()),
        overrun: None,
        lasts_ms: None,
        limits: None,
        decision_id: decision.id(),
        policy_revision: decision.policy_revision(),
    }
}

fn token(decision: Revealed<'_>) -> Option<&str> {
    decision.grant().map(|grant| &*grant.token)
}

/// Rounded down: a holder must not believe in more than it has.
fn lasts(decision: Revealed<'_>) -> Option<u64> {
    let grant = decision.grant().filter(|_| decision.allowed());
    grant.map(|grant| grant.lasts.get() / 1_000)
}

fn micros(millis: Option<u64>) -> Option<u64> {
    millis.map(|millis| millis.saturating_mul(1_000))
}
