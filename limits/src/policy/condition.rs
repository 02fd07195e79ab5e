//! `when`: what has to hold for a limit to apply, typed, without negations but at its tests.
//!
//! A test whose attribute is missing, or is not what the test is about, *holds*, negated or not:
//! what nobody knows makes no limit go away. `has(x)` alone is always definite.

mod attribute;
mod decimal;
mod lower;
mod read;
mod spot;

use std::borrow::Cow;
use std::fmt;

pub use decimal::Decimal;
pub(super) use read::read;

/// What has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of these: at least two.
    All(Box<[Self]>),
    /// At least one of these: at least two.
    Any(Box<[Self]>),
    /// One test of one attribute.
    Test(Test),
}

/// One test of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The attribute's name in canonical form.
    pub attribute: Box<str>,
    /// What it has to be.
    pub is: Is,
}

/// What an attribute has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    /// There (`has(x)`), or absent.
    There(bool),
    /// `true` or `false`.
    Flag(bool),
    /// One of these texts, or none of them: sorted, in the attribute's canonical form.
    Text {
        /// The texts, at least one.
        among: Box<[Box<str>]>,
        /// Whether it must be none of them.
        negated: bool,
    },
    /// A text that begins so, or does not.
    Prefix {
        /// How it begins.
        text: Box<str>,
        /// Whether it must not.
        negated: bool,
    },
    /// A text that ends so, or does not.
    Suffix {
        /// How it ends.
        text: Box<str>,
        /// Whether it must not.
        negated: bool,
    },
    /// A number on one side of another.
    Number {
        /// Which side.
        order: Order,
        /// The other number.
        than: Decimal,
    },
    /// One of these numbers, or none of them: sorted.
    Numbers {
        /// The numbers, at least two.
        among: Box<[Decimal]>,
        /// Whether it must be none of them.
        negated: bool,
    },
}

/// How a number stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Equal.
    Equal,
    /// Not equal.
    Unequal,
    /// Below.
    Below,
    /// Below or equal.
    AtMost,
    /// Above.
    Above,
    /// Above or equal.
    AtLeast,
}

impl Condition {
    /// Whether it holds, given how to find the values of attributes.
    pub(crate) fn holds<'r>(&self, value: &impl Fn(&str) -> Option<Cow<'r, str>>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Test(test) => test.holds_for(value(&test.attribute).as_deref()),
        }
    }

    /// The first part that does not hold: an alternative as a whole, else a test.
    pub(crate) fn failing<'r>(
        &self,
        value: &impl Fn(&str) -> Option<Cow<'r, str>>,
    ) -> Option<&Self> {
        match self {
            Self::All(parts) => parts.iter().find_map(|part| part.failing(value)),
            Self::Any(_) | Self::Test(_) => (!self.holds(value)).then_some(self),
        }
    }

    /// The tests that hold only because nobody knows better, in the order of the text.
    pub(crate) fn unknown<'c, 'r>(
        &'c self,
        value: &impl Fn(&str) -> Option<Cow<'r, str>>,
        found: &mut Vec<&'c Test>,
    ) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.unknown(value, found));
            }
            Self::Test(test) => {
                if test.truth(value(&test.attribute).as_deref()).is_none() {
                    found.push(test);
                }
            }
        }
    }

    /// The tests that all have to hold.
    pub(crate) fn conjuncts(&self) -> impl Iterator<Item = &Test> {
        let parts = match self {
            Self::All(parts) => &**parts,
            Self::Any(_) | Self::Test(_) => std::slice::from_ref(self),
        };
        parts.iter().filter_map(|part| match part {
            Self::Test(test) => Some(test),
            Self::All(_) | Self::Any(_) => None,
        })
    }

    /// Whether it holds only where this attribute is there: `has(x)`.
    pub(crate) fn needs(&self, attribute: &str) -> bool {
        let mut tests = self.conjuncts();
        tests.any(|test| *test.attribute == *attribute && test.is == Is::There(true))
    }

    /// Every test, in the order of the text.
    pub(crate) fn tests(&self) -> Vec<&Test> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::tests).collect(),
            Self::Test(test) => vec![test],
        }
    }

    /// Every attribute that it asks for, in the order of the text; some more than once.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.tests().into_iter().map(|test| &*test.attribute)
    }

    /// One text for all conditions that are equal but for the order of their parts.
    pub(crate) fn canonical(&self) -> String {
        let (parts, word) = match self {
            Self::All(parts) => (parts, " && "),
            Self::Any(parts) => (parts, " || "),
            Self::Test(test) => return test.to_string(),
        };
        let mut texts: Vec<_> = parts.iter().map(Self::canonical).collect();
        texts.sort_unstable();
        texts.dedup();
        format!("({})", texts.join(word))
    }
}

impl Test {
    fn holds_for(&self, value: Option<&str>) -> bool {
        self.truth(value).unwrap_or(true)
    }

    /// Whether a value passes; `None` where it is absent or not what the test is about.
    fn truth(&self, value: Option<&str>) -> Option<bool> {
        if let Is::There(there) = self.is {
            return Some(value.is_some() == there);
        }
        let value = value?;
        match &self.is {
            Is::There(there) => Some(*there),
            Is::Flag(flag) => match value {
                "true" => Some(*flag),
                "false" => Some(!*flag),
                _ => None,
            },
            Is::Text { among, negated } => {
                let found = among.binary_search_by(|text| (**text).cmp(value)).is_ok();
                Some(found != *negated)
            }
            Is::Prefix { text, negated } => Some(value.starts_with(&**text) != *negated),
            Is::Suffix { text, negated } => Some(value.ends_with(&**text) != *negated),
            Is::Number { order, than } => {
                let found = decimal::Parts::parse(value)?.cmp(&than.parts());
                Some(match order {
                    Order::Equal => found.is_eq(),
                    Order::Unequal => found.is_ne(),
                    Order::Below => found.is_lt(),
                    Order::AtMost => found.is_le(),
                    Order::Above => found.is_gt(),
                    Order::AtLeast => found.is_ge(),
                })
            }
            Is::Numbers { among, negated } => {
                let number = decimal::Parts::parse(value)?;
                let found = among.iter().any(|one| one.parts() == number);
                Some(found != *negated)
            }
        }
    }
}

impl Order {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl fmt::Display for Condition {
    /// Writes it as `when` would, in the order of its parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::All(parts) => (parts, " && "),
            Self::Any(parts) => (parts, " || "),
            Self::Test(test) => return test.fmt(f),
        };
        for (at, part) in parts.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { word })?;
            match part {
                Self::Test(test) => test.fmt(f)?,
                nested => write!(f, "({nested})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Name(&self.attribute);
        match &self.is {
            Is::There(true) => write!(f, "has({name})"),
            Is::There(false) => write!(f, "!has({name})"),
            Is::Flag(flag) => write!(f, "{name} == {flag}"),
            Is::Text { among, negated } => match &**among {
                [text] => write!(f, "{name} {} {}", equality(*negated), Quoted(text)),
                _ => list(f, name, among.iter().map(|text| Quoted(text)), *negated),
            },
            Is::Prefix { text, negated } => {
                write!(f, "{}{name}.startsWith({})", not(*negated), Quoted(text))
            }
            Is::Suffix { text, negated } => {
                write!(f, "{}{name}.endsWith({})", not(*negated), Quoted(text))
            }
            Is::Number { order, than } => write!(f, "{name} {} {than}", order.as_str()),
            Is::Numbers { among, negated } => list(f, name, among.iter(), *negated),
        }
    }
}

/// An attribute as a condition writes it: `claims.tier`, `headers["x-team"]`.
struct Name<'n>(&'n str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_word = |word: &str| {
            !word.starts_with(|c: char| c.is_ascii_digit())
                && !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match self.0.split_once('.') {
            Some((family, rest)) if !rest.split('.').all(is_word) => {
                write!(f, "{family}[{}]", Quoted(rest))
            }
            _ => f.write_str(self.0),
        }
    }
}

/// A text in quotes.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    name: Name<'_>,
    items: impl Iterator<Item = impl fmt::Display>,
    negated: bool,
) -> fmt::Result {
    let items = items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    if negated { write!(f, "!({name} in [{items}])") } else { write!(f, "{name} in [{items}]") }
}

fn equality(negated: bool) -> &'static str {
    if negated { "!=" } else { "==" }
}

fn not(negated: bool) -> &'static str {
    if negated { "!" } else { "" }
}
