//! Decimal numbers compared exactly, digit by digit, without rounding.

use std::cmp::Ordering;
use std::fmt;

/// The most digits of a number in a condition.
pub(super) const MAX_DIGITS: usize = 64;

/// The most characters of a number in a request: a caller chooses them, and each is looked at.
const MAX_CHARS: usize = 128;

/// A decimal number in its shortest form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(Box<str>);

/// A decimal number as its digits: no leading zeros in the whole part, no trailing ones in the
/// fraction, and 0 is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl Decimal {
    /// Reads digits, and a point and digits after it; `negative` puts a minus before them.
    /// `None` where the text is anything else.
    pub(super) fn new(negative: bool, digits: &str) -> Option<Self> {
        if digits.len() > MAX_DIGITS || digits.starts_with('-') {
            return None;
        }
        let parts = Parts::parse(digits)?;
        let zero = parts.whole.is_empty() && parts.fraction.is_empty();
        Some(Self(Parts { negative: negative && !zero, ..parts }.to_string().into()))
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts::parse(&self.0).unwrap_or(Parts { negative: false, whole: "", fraction: "" })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'t> Parts<'t> {
    /// Reads `-12.50`; `None` for every other form, also signs, exponents and bare points, and for
    /// more than 128 characters.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: digits.len() < text.len() && !zero, whole, fraction })
    }

    fn size(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len());
        whole.then_with(|| self.whole.cmp(other.whole)).then_with(|| {
            // Digits compare as text does, and a number is above any that it only continues.
            self.fraction.cmp(other.fraction)
        })
    }
}

impl Ord for Parts<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.size(other),
            (true, true) => other.size(self),
        }
    }
}

impl PartialOrd for Parts<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minus = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { self.whole };
        let point = if self.fraction.is_empty() { "" } else { "." };
        write!(f, "{minus}{whole}{point}{}", self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly_and_other_forms_are_none() {
        let parts = |text| Parts::parse(text).unwrap_or_else(|| panic!("{text} is a number"));
        let rising =
            ["-10", "-9.5", "-0.01", "0", "0.001", "0.1", "0.11", "9", "9.99", "10", "100"];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(parts(a).cmp(&parts(b)), i.cmp(&j), "{a} and {b}");
            }
        }
        for (a, b) in [("-0", "0"), ("007", "7"), ("1.50", "1.5"), ("-0.0", "00")] {
            assert_eq!(parts(a).cmp(&parts(b)), Ordering::Equal, "{a} and {b}");
        }
        for text in ["", "-", ".5", "5.", "+5", "1e3", " 1", "1_0", "0x1", "1.2.3", "--1", "١"] {
            assert_eq!(Parts::parse(text), None, "{text}");
        }
        assert!(Parts::parse(&"9".repeat(MAX_CHARS)).is_some());
        assert_eq!(Parts::parse(&"9".repeat(MAX_CHARS + 1)), None);
    }
}
