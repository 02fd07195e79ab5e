//! Logs of one JSON object a line: Envoy's access logs, and decision records.
//!
//! Only the fields that are wanted are kept; the rest of a line is skipped without storing it. A
//! field may stand at the top or in an object: `headers.x-team` is either.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason;

use super::super::mapping::{Mapping, Values};
use crate::call::Ending;

/// Denials of requests that no limit decided: they never reached one.
const BEFORE_LIMITS: [Reason; 4] =
    [Reason::InvalidRequest, Reason::UntrustedCaller, Reason::TenantBoundary, Reason::Overloaded];

/// The calls that end or extend what an earlier request was decided on: no requests themselves.
const ENDINGS: [Ending; 3] = [
    Ending::Settle { actual: Tokens::ZERO },
    Ending::Extend { lasting: Micros::ZERO },
    Ending::Release,
];

/// The fields that are read, as the objects that hold them.
#[derive(Default)]
pub(super) struct Fields {
    here: HashMap<Box<str>, Place>,
    /// The first slot that nobody uses.
    next: usize,
}

#[derive(Default)]
struct Place {
    slot: Option<usize>,
    within: Option<Box<Fields>>,
}

/// The slots that say what a decision record is about.
pub(super) struct RecordFields {
    target: usize,
    call: usize,
    reason: usize,
    path: Option<usize>,
    share: usize,
    left_out: usize,
    /// What the last record that is one of a sample says of its share.
    sampled_share: Option<String>,
    /// How many denials all records say were left out before them.
    denials_left_out: u64,
}

impl Fields {
    pub(super) fn new(mapping: &Mapping) -> Self {
        let mut fields = Self::default();
        for (name, slot) in mapping.slots() {
            fields.add(name, slot);
            fields.next = fields.next.max(slot + 1);
        }
        fields
    }

    /// Fills the values of a line.
    ///
    /// # Errors
    /// Where the line is no JSON object.
    pub(super) fn fill(&self, line: &str, values: &mut Values) -> Result<bool, String> {
        let mut json = serde_json::Deserializer::from_str(line);
        let read = Object { fields: self, values }.deserialize(&mut json);
        match read.and_then(|()| json.end()) {
            Ok(()) => Ok(true),
            Err(error) if error.is_data() => Err("it is not a JSON object".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        }
    }

    fn add(&mut self, name: &str, slot: usize) {
        self.here.entry(name.into()).or_default().slot = Some(slot);
        if let Some((outer, inner)) = name.split_once('.') {
            let place = self.here.entry(outer.into()).or_default();
            place.within.get_or_insert_default().add(inner, slot);
        }
    }
}

impl RecordFields {
    /// Reads these fields of records too.
    pub(super) fn add_to(fields: &mut Fields) -> Self {
        let mut own = |name| {
            let slot = fields.next;
            fields.add(name, slot);
            fields.next += 1;
            slot
        };
        let (target, call) = (own("target"), own("call"));
        let (reason, share, left_out) = (own("reason"), own("sampled_share"), own("left_out"));
        let path = fields.here.get("path").and_then(|place| place.slot);
        let (sampled_share, denials_left_out) = (None, 0);
        Self { target, call, reason, path, share, left_out, sampled_share, denials_left_out }
    }

    pub(super) fn sampled_share(&self) -> Option<&str> {
        self.sampled_share.as_deref()
    }

    pub(super) const fn denials_left_out(&self) -> u64 {
        self.denials_left_out
    }

    /// Fills the values of a line; `false` where it is no record of a request that reached the
    /// limits.
    ///
    /// # Errors
    /// Where the line looks like a record and is none.
    pub(super) fn fill(
        &mut self,
        fields: &Fields,
        line: &str,
        values: &mut Values,
    ) -> Result<bool, String> {
        if !line.contains(crate::record::TARGET) {
            return Ok(false);
        }
        fields.fill(line, values)?;
        let reason = values.get(self.reason).unwrap_or_default();
        let refused = BEFORE_LIMITS.iter().any(|early| early.as_str() == reason);
        let call = values.get(self.call).unwrap_or_default();
        let ends = ENDINGS.iter().any(|ending| ending.as_str() == call);
        if values.get(self.target) != Some(crate::record::TARGET) || refused || ends {
            return Ok(false);
        }
        if let Some(share) = values.get(self.share).filter(|share| !share.is_empty())
            && self.sampled_share.as_deref() != Some(share)
        {
            self.sampled_share = Some(share.to_owned());
        }
        let left_out = values.get(self.left_out).and_then(|count| count.parse().ok());
        self.denials_left_out = self.denials_left_out.saturating_add(left_out.unwrap_or(0));
        // A path that was made unreadable would be taken for another path.
        if let Some(slot) = self.path
            && values.get(slot).is_some_and(|path| !path.starts_with(['/', '*']))
        {
            values.set(slot, "");
        }
        Ok(true)
    }
}

/// An object whose fields are wanted.
struct Object<'f> {
    fields: &'f Fields,
    values: &'f mut Values,
}

/// The name of a field: where its value goes, if anywhere.
struct Name<'f>(&'f Fields);

/// A value that is wanted.
struct Wanted<'f> {
    place: &'f Place,
    values: &'f mut Values,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Name(self.fields))? {
            match place {
                Some(place) => map.next_value_seed(Wanted { place, values: self.values })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de, 'f> DeserializeSeed<'de> for Name<'f> {
    type Value = Option<&'f Place>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, 'f> Visitor<'de> for Name<'f> {
    type Value = Option<&'f Place>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.here.get(name))
    }
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Wanted<'_> {
    fn set<E>(self, value: impl fmt::Display) -> Result<(), E> {
        if let Some(slot) = self.place.slot {
            self.values.set(slot, value);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.set(text)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<(), E> {
        self.set(yes)
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.set(number)
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.set(number)
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        // The shortest text that means this number: the digits that the log wrote.
        self.set(number)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let none = Fields::default();
        let fields = self.place.within.as_deref().unwrap_or(&none);
        Object { fields, values: self.values }.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
