//! The JSON of `POST /v1/check`, and of `held`. Its form is stable: fields are added, never
//! changed.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::policy::units;
use sluicegate_limits::time::Tokens;
use sluicegate_limits::verdict::LimitVerdict;
use uuid::Uuid;

use super::super::desk::Wanted;
use crate::call::Method;
use crate::reveal::Revealed;

pub(super) mod held;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    attributes: Stated,
    cost: Option<Cost>,
}

/// The attributes as they are built; a map would forget that a name came twice.
struct Stated(AttributesBuilder);

/// The value of an attribute as text.
struct Value(String);

/// A stated cost: a whole number, however large.
struct Cost(u64);

#[derive(Serialize)]
struct Answer<'a> {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    limit_name: Option<&'a str>,
    remaining: Option<u64>,
    /// Absent, unless a limit denies; `null` is *never*.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<Option<u64>>,
    reset_ms: Option<u64>,
    decision_id: Uuid,
    policy_revision: &'a str,
    degraded: bool,
    limits: Vec<OneLimit<'a>>,
}

#[derive(Serialize)]
struct OneLimit<'a> {
    name: &'a str,
    mode: &'static str,
    allowed: bool,
    limit: u64,
    window_ms: u64,
    remaining: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<Option<u64>>,
}

pub(super) fn check(body: &[u8]) -> Result<Wanted, String> {
    let Question { attributes: Stated(facts), cost: stated } = read(body)?;
    Ok(Wanted { facts, cost: stated.map(Cost::tokens), method: Method::Check })
}

/// Reads an object, or says what is wrong with it without repeating its values.
fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    // Serde would take the fields from a list in their order too.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err("expected an object".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| without_value(&error.to_string()))
}

/// Serde says what it found before what it expected; what it found may be personal.
fn without_value(error: &str) -> String {
    match error.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => format!("expected {expected}"),
        _ => error.to_owned(),
    }
}

/// Writes the answer to a decided request.
pub(super) fn encode(decision: Revealed<'_>) -> String {
    text(&answer(decision))
}

/// Text, numbers and truth values always have a JSON form.
fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap_or_default()
}

fn answer(decision: Revealed<'_>) -> Answer<'_> {
    Answer {
        allowed: decision.allowed(),
        reason: (!decision.allowed()).then_some(decision.reason_text()),
        limit_name: decision.limit_name(),
        remaining: decision.remaining().map(Tokens::get),
        retry_after_ms: decision.retry_after().map(Wait::to_millis_up),
        reset_ms: decision.reset().map(|reset| reset.to_millis_up()),
        decision_id: decision.id(),
        policy_revision: decision.policy_revision(),
        degraded: decision.degraded(),
        limits: decision.limits().map(one_limit).collect(),
    }
}

fn one_limit(limit: &LimitVerdict) -> OneLimit<'_> {
    OneLimit {
        name: &limit.name,
        mode: limit.mode.as_str(),
        allowed: limit.allowed,
        limit: limit.limit.get(),
        window_ms: limit.window.to_millis_up(),
        remaining: limit.remaining.get(),
        retry_after_ms: (!limit.allowed).then(|| limit.wait.to_millis_up()),
    }
}

impl<'de> Deserialize<'de> for Stated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Stated;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of attributes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stated, A::Error> {
                let mut attributes = AttributesBuilder::new();
                while let Some((name, Value(value))) = map.next_entry::<String, Value>()? {
                    attributes.set(&name, &value).map_err(A::Error::custom)?;
                }
                Ok(Stated(attributes))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

impl Cost {
    fn tokens(self) -> Tokens {
        units::tokens(self.0)
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Cost;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number that is not negative")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Cost, E> {
                Ok(Cost(value))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Cost, E> {
                // Digits beyond 64 bits come so, and are above every cost all the same.
                let is_large = value >= u64::MAX as f64;
                // The default would repeat the number.
                is_large
                    .then_some(Cost(u64::MAX))
                    .ok_or_else(|| E::custom("a cost is a whole number"))
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, true, false or a whole number")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
                Ok(Value(value.to_owned()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
                // The default would repeat the number.
                Err(E::custom("an attribute cannot be a fraction"))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}
