//! The attributes of a limit's key in a request, and what a limit makes of missing ones.

use super::Request;
use crate::policy::keys::MAX_KEY_ATTRIBUTES;
use crate::policy::{Limit, MissingKey};

/// The values of a limit's key attributes in a request, in the order of the key; `None` for one
/// that is missing and counts as a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyValues<'r> {
    values: [Option<&'r str>; MAX_KEY_ATTRIBUTES],
    len: usize,
}

impl Limit {
    /// What the request has of this limit's key.
    ///
    /// # Errors
    /// The first attribute that is missing, where the limit does not apply without it.
    pub(super) fn key_values<'r>(&self, request: &Request<'r>) -> Result<KeyValues<'r>, &str> {
        let mut values = [None; MAX_KEY_ATTRIBUTES];
        for (value, name) in values.iter_mut().zip(&self.key) {
            *value = request.counted(name);
        }
        let found = KeyValues { values, len: self.key.len() };
        let left_alone = match self.missing_key {
            MissingKey::Skip => true,
            MissingKey::Together => found.iter().all(|value| value.is_none()),
            MissingKey::Deny => false,
        };
        match self.missing(&found).next() {
            Some(name) if left_alone => Err(name),
            _ => Ok(found),
        }
    }

    /// The attributes of the key that the request does not have.
    pub(crate) fn missing<'l>(&'l self, values: &KeyValues<'_>) -> impl Iterator<Item = &'l str> {
        let each = self.key.iter().zip(values.values);
        each.filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str())
    }

    /// The attribute that the request must have for this limit and does not.
    pub(crate) fn needs<'l>(&'l self, values: &KeyValues<'_>) -> Option<&'l str> {
        let denies = self.missing_key == MissingKey::Deny;
        self.missing(values).next().filter(|_| denies)
    }
}

impl<'r> KeyValues<'r> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&'r str>> {
        self.values.into_iter().take(self.len)
    }
}
