//! Numbers and windows as the files write them: `1_000_000`, `1m`.

use crate::time::{Micros, Timestamp, Tokens};

/// The largest limit and burst, in tokens.
pub const MAX_LIMIT: u64 = 1_000_000_000_000_000;
/// The largest cost of one request, in tokens, wherever one is stated: 10^15.
pub const MAX_COST: u64 = MAX_LIMIT;
/// What a larger cost counts as. No capacity holds it, so the answer is *never*.
pub const ABOVE_MAX_COST: Tokens = Tokens::new(MAX_COST + 1);
/// The shortest window.
pub const MIN_WINDOW: Micros = Micros::MILLISECOND;
/// The longest window: 366 days.
pub const MAX_WINDOW: Micros = Micros::new(366 * Micros::DAY.get());
/// The shortest time that `hold`, and the windows and blocks of a penalty, may last.
pub const MIN_HOLD: Micros = Micros::SECOND;
/// The longest `hold`.
pub const MAX_HOLD: Micros = Micros::HOUR;
/// How long tokens of a limit are held at most unless it says otherwise.
pub const DEFAULT_HOLD: Micros = Micros::new(5 * Micros::MINUTE.get());
/// The longest block of a penalty.
pub const MAX_BLOCK: Micros = Micros::new(7 * Micros::DAY.get());
/// The most denials that a penalty may wait for.
pub const MAX_STRIKES: u64 = 1_000_000;

/// The units of windows, with their length in microseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", Micros::MILLISECOND.get()),
    ("s", Micros::SECOND.get()),
    ("m", Micros::MINUTE.get()),
    ("h", Micros::HOUR.get()),
    ("d", Micros::DAY.get()),
];

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidNumber {
    /// Hex, octal, a sign, a point, an exponent, a stray `_`, or no digits at all.
    Form,
    /// Larger than this many tokens.
    Above(u64),
}

/// Why a text is not a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidWindow {
    /// Not an integer and one unit.
    Form,
    /// Digits without a unit.
    NoUnit,
    /// Shorter or longer than is accepted.
    Range,
}

/// Reads decimal digits, `_` between digits allowed, at most `most`.
///
/// # Errors
/// Another form, or a number above `most`.
pub(crate) fn number(text: &str, most: u64) -> Result<u64, InvalidNumber> {
    let digits = digits(text).ok_or(InvalidNumber::Form)?;
    match digits.parse() {
        Ok(value) if value <= most => Ok(value),
        // Only too many digits can fail here: above `most` all the same.
        _ => Err(InvalidNumber::Above(most)),
    }
}

/// Reads what a request is said to cost: digits with at most one point, rounded up; more than
/// [`MAX_COST`] is [`ABOVE_MAX_COST`]. `None` for every other form.
#[must_use]
pub fn cost(text: &str) -> Option<Tokens> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut digits = whole.bytes().chain(fraction.bytes()).peekable();
    digits.peek()?;
    if !digits.all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    // Where these are too many digits to be read it is more than the largest cost all the same.
    let number: u64 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let begun = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    Some(tokens(number.saturating_add(begun)))
}

/// A cost that is stated as a number; more than [`MAX_COST`] is [`ABOVE_MAX_COST`].
#[must_use]
pub fn tokens(stated: u64) -> Tokens {
    Tokens::new(stated).min(ABOVE_MAX_COST)
}

/// Reads an integer and a unit: `250ms`, `30s`, `5m`, `1h`, `30d`.
///
/// # Errors
/// Another form, or a time outside of `least` to `most`.
pub(crate) fn window(text: &str, (least, most): (Micros, Micros)) -> Result<Micros, InvalidWindow> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(match digits(text) {
        Some(_) => InvalidWindow::NoUnit,
        None => InvalidWindow::Form,
    })?;
    let (count, unit) = text.split_at(split);
    let count = digits(count).ok_or(InvalidWindow::Form)?;
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidWindow::Form)?;
    let micros = count.parse::<u64>().ok().and_then(|n| n.checked_mul(*length));
    match micros {
        Some(n) if n >= least.get() && n <= most.get() => Ok(Micros::new(n)),
        _ => Err(InvalidWindow::Range),
    }
}

/// An instant as RFC 3339 in UTC.
pub(crate) fn instant_text(instant: Timestamp) -> String {
    let micros = i64::try_from(instant.get()).ok();
    let instant = micros.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    instant.map_or_else(|| "the end of time".to_owned(), |instant| instant.to_string())
}

/// Reads an instant in the form of RFC 3339; `None` for another form, or one before 1970.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(instant.as_microsecond()).ok().map(Timestamp::new)
}

/// A window as the files would write it, in the largest unit that divides it.
#[must_use]
pub fn window_text(window: Micros) -> String {
    UNITS
        .iter()
        .rev()
        .find(|(_, length)| window.get() > 0 && window.get().is_multiple_of(*length))
        .map_or_else(
            || format!("{}us", window.get()),
            |(unit, length)| format!("{}{unit}", window.get() / length),
        )
}

/// The digits of a number without `_`, or nothing where it has another form. A leading zero is
/// another form: YAML readers disagree on what `010` means.
fn digits(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for part in text.split('_') {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        out.push_str(part);
    }
    (out.len() == 1 || !out.starts_with('0')).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_digits() {
        assert_eq!(number("0", MAX_LIMIT), Ok(0));
        assert_eq!(number("1_000_000", MAX_LIMIT), Ok(1_000_000));
        assert_eq!(number("1000000000000000", MAX_LIMIT), Ok(MAX_LIMIT));
        for above in ["1000000000000001", "99999999999999999999999999999"] {
            assert_eq!(number(above, MAX_LIMIT), Err(InvalidNumber::Above(MAX_LIMIT)), "{above}");
        }
        for bad in [
            "", "0x10", "0o17", "0b1", "010", "+5", "-5", "1.5", "1e3", "_1", "1_", "1__0", "~",
            "null", "1 0", "١", "٣", ".inf",
        ] {
            assert_eq!(number(bad, MAX_LIMIT), Err(InvalidNumber::Form), "{bad}");
        }
    }

    fn window(text: &str) -> Result<Micros, InvalidWindow> {
        super::window(text, (MIN_WINDOW, MAX_WINDOW))
    }

    #[test]
    fn a_cost_is_rounded_up_and_counts_in_full_up_to_the_largest() {
        for (text, tokens) in [
            ("0", 0),
            ("00", 0),
            ("0.0", 0),
            ("0.2", 1),
            ("1", 1),
            ("007", 7),
            ("1500.0", 1_500),
            ("1500.000001", 1_501),
            (".5", 1),
            ("5.", 5),
            ("4294967297", 4_294_967_297),
            ("999999999999999.5", MAX_COST),
            ("1000000000000000", MAX_COST),
            ("1000000000000000.0", MAX_COST),
            ("1000000000000000.1", MAX_COST + 1),
            ("1000000000000001", MAX_COST + 1),
            ("18446744073709551616", MAX_COST + 1),
            ("99999999999999999999999999999999999999.9", MAX_COST + 1),
        ] {
            assert_eq!(cost(text), Some(Tokens::new(tokens)), "{text}");
        }
        for bad in
            ["", ".", "-1", "-0", "+1", "1e3", "1.2.3", "1,5", "1_0", " 1", "١", "NaN", "0x1"]
        {
            assert_eq!(cost(bad), None, "{bad}");
        }
        assert_eq!(tokens(u64::MAX), ABOVE_MAX_COST);
        assert_eq!(tokens(MAX_COST), Tokens::new(MAX_COST));
    }

    #[test]
    fn windows_are_an_integer_and_a_unit() {
        assert_eq!(window("1ms"), Ok(Micros::MILLISECOND));
        assert_eq!(window("1_500ms"), Ok(Micros::new(1_500_000)));
        assert_eq!(window("1m"), Ok(Micros::MINUTE));
        assert_eq!(window("366d"), Ok(MAX_WINDOW));
        assert_eq!(window("60"), Err(InvalidWindow::NoUnit));
        for out in ["0s", "0ms", "367d", "8785h", "99999999999999999999d"] {
            assert_eq!(window(out), Err(InvalidWindow::Range), "{out}");
        }
        for bad in ["", "m", "1", "1M", "1 m", "1.5h", "1h30m", "-1m", "1us", "1min", "01m"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_are_those_of_rfc_3339_since_1970() {
        let at = |seconds: u64| Some(Timestamp::new(seconds * 1_000_000));
        assert_eq!(instant("1970-01-01T00:00:00Z"), at(0));
        assert_eq!(instant("2026-01-01T00:00:00Z"), at(1_767_225_600));
        assert_eq!(
            instant("2026-01-01T01:00:00.5+01:00").map(Timestamp::get).unwrap() % 1_000_000,
            500_000
        );
        for bad in ["", "2026-01-01", "2026-01-01T00:00:00", "1969-12-31T23:59:59Z", "0s", "now"] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_window_is_shown_as_it_is_written() {
        for text in ["1ms", "1500ms", "1s", "90s", "1m", "1h", "1d", "366d"] {
            assert_eq!(window(text).map(window_text), Ok(text.to_owned()));
        }
        assert_eq!(window_text(Micros::new(7)), "7us");
    }
}
