//! The deadline that a gRPC caller states: the header `grpc-timeout`.

use std::time::{Duration, Instant};

use crate::clock;

/// When the caller stops waiting; `None` where the header is not one.
pub(super) fn of(header: &str) -> Option<Instant> {
    clock::instant().checked_add(timeout(header)?)
}

/// At most eight digits and a unit, as the gRPC protocol has it.
fn timeout(header: &str) -> Option<Duration> {
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let micros = |header| timeout(header).map(|timeout| timeout.as_micros());
        assert_eq!(micros("2H"), Some(7_200_000_000));
        assert_eq!(micros("3M"), Some(180_000_000));
        assert_eq!(micros("99999999S"), Some(99_999_999_000_000));
        assert_eq!(micros("200m"), Some(200_000));
        assert_eq!(micros("20u"), Some(20));
        assert_eq!(micros("3000n"), Some(3));
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for header in ["", "m", "1", "1x", "-1m", "+1m", "1.5S", "123456789m", "1é", "é", "1 m"] {
            assert_eq!(timeout(header), None, "{header}");
        }
    }
}
