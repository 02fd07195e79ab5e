//! Instants as text: RFC 3339 in UTC where we write them, RFC 3339 or Unix seconds where we read.

use std::fmt;

use sluicegate_limits::time::Timestamp;

/// Why a text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidInstant {
    /// Neither RFC 3339 nor Unix seconds.
    Form,
    /// Before 1970 or after 2255, which is as far as instants go.
    Range,
}

impl fmt::Display for InvalidInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not RFC 3339 or Unix seconds (with a fraction, no exponent)",
            Self::Range => "not between 1970 and 2255; Unix times are in seconds",
        })
    }
}

impl std::error::Error for InvalidInstant {}

/// The instant as RFC 3339 in UTC with microseconds.
#[must_use]
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let micros = i64::try_from(at.get()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.6}")
}

/// Reads RFC 3339 with any offset, or Unix seconds; what is finer than a microsecond is cut.
///
/// # Errors
/// Another form, or an instant that we cannot count.
pub(crate) fn parse(text: &str) -> Result<Timestamp, InvalidInstant> {
    let micros = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        unix(text)?
    } else {
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidInstant::Form)?;
        u64::try_from(time.as_microsecond()).map_err(|_| InvalidInstant::Range)?
    };
    if micros > Timestamp::MAX.get() {
        return Err(InvalidInstant::Range);
    }
    Ok(Timestamp::new(micros))
}

/// Microseconds out of seconds with a fraction, digit by digit: no rounding.
fn unix(text: &str) -> Result<u64, InvalidInstant> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if seconds.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(InvalidInstant::Form);
    }
    let seconds: u64 = seconds.parse().map_err(|_| InvalidInstant::Range)?;
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let whole = seconds.checked_mul(1_000_000).ok_or(InvalidInstant::Range)?;
    whole.checked_add(micros).ok_or(InvalidInstant::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
            (1_795_518_296_000_000, "2026-11-24T11:04:56.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(rfc3339(Timestamp::new(micros)), text);
            assert_eq!(parse(text), Ok(Timestamp::new(micros)));
        }
    }

    #[test]
    fn instants_are_read_in_two_forms() {
        let cases = [
            ("2026-11-24T12:04:56.5+01:00", 1_795_518_296_500_000),
            ("2026-11-24T11:04:56Z", 1_795_518_296_000_000),
            ("1795518296", 1_795_518_296_000_000),
            ("1795518296.000001", 1_795_518_296_000_001),
            ("1795518296.1234567", 1_795_518_296_123_456),
            ("0.5", 500_000),
        ];
        for (text, micros) in cases {
            assert_eq!(parse(text), Ok(Timestamp::new(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        use InvalidInstant::{Form, Range};
        let cases = [
            ("", Form),
            (".", Form),
            ("1.", Form),
            (".5", Form),
            ("1.2.3", Form),
            ("-1", Form),
            ("1e9", Form),
            ("yesterday", Form),
            ("2026-11-24T11:04:56", Form),
            ("1969-12-31T23:59:59Z", Range),
            ("1795518296000", Range),
            ("99999999999999999999", Range),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
