//! The facts about one request, canonical by construction.
//!
//! Doors build [`Attributes`] with [`AttributesBuilder`]; nothing else can. A value is text:
//! booleans are `true` and `false`, numbers are decimal digits.

/// The most attributes that one request may carry.
pub const MAX_ATTRIBUTES: usize = 64;
/// The longest name of an attribute, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Why an attribute was refused. Names the attribute, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidAttribute {
    /// The attribute was given twice.
    Repeated(String),
    /// The name is empty, too long, or has a character outside `[A-Za-z0-9_.-]`.
    BadName,
    /// The value does not have the form that the attribute needs; says what was expected.
    BadValue {
        /// The attribute.
        name: String,
        /// What its value should have been.
        expected: &'static str,
    },
    /// More than [`MAX_ATTRIBUTES`].
    TooMany,
}

/// The facts about one request, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    entries: Vec<(Box<str>, Box<str>)>,
}

/// Collects facts into [`Attributes`].
#[derive(Debug, Default)]
pub struct AttributesBuilder {
    entries: Vec<(Box<str>, Box<str>)>,
}
