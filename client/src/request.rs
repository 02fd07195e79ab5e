//! What a caller says about one request.

use std::fmt;

use sluicegate_limits::time::Tokens;
use sluicegate_proto::v1;

/// The facts about one request, and what it costs.
///
/// Attributes travel as they are given; the service brings them into canonical form and answers
/// `invalid_request` for one that is repeated or malformed.
#[derive(Clone, Default, PartialEq)]
pub struct Request {
    message: v1::CheckRequest,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
}

impl Request {
    /// A request that nothing is known of.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact. Each name may be given once.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        use v1::attribute::Value::{Flag, Number, Text};
        let value = match value.into() {
            Value::Text(text) => Text(text),
            Value::Flag(flag) => Flag(flag),
            Value::Number(number) => Number(number),
        };
        self.message.attributes.push(v1::Attribute { name: name.into(), value: Some(value) });
        self
    }

    /// States what the request costs. Without it, the limits decide.
    #[must_use]
    pub const fn costing(mut self, cost: Tokens) -> Self {
        self.message.cost = Some(cost.get());
        self
    }

    /// The message that travels.
    #[must_use]
    pub const fn as_message(&self) -> &v1::CheckRequest {
        &self.message
    }
}

impl fmt::Debug for Request {
    /// Names only: a value may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.message.attributes.iter().map(|a| a.name.as_str()).collect();
        f.debug_struct("Request").field("names", &names).field("cost", &self.message.cost).finish()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}
