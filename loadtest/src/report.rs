//! What a run has shown: counts, and latencies in an HDR histogram.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::caller::Answer;

/// The longest latency that is told apart, in microseconds; longer ones count as this.
const LONGEST_US: u64 = 60_000_000;
/// Latencies are kept to three digits.
const DIGITS: u8 = 3;
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Counts and latencies of the requests that were due while it was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) duration: Duration,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    /// Of the allowed and the denied.
    pub(crate) degraded: u64,
    pub(crate) errors: u64,
    /// What the first error said.
    pub(crate) error: Option<String>,
    /// In microseconds, of allowed and denied requests. `None` only where it cannot be made.
    latencies: Option<Histogram<u64>>,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(duration: Duration) -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok();
        Self { duration, latencies, ..Self::default() }
    }

    /// Adds one request.
    pub(crate) fn record(&mut self, latency: Duration, answer: Result<Answer, String>) {
        match answer {
            Ok(answer) => {
                self.allowed += u64::from(answer.allowed);
                self.denied += u64::from(!answer.allowed);
                self.degraded += u64::from(answer.degraded);
                if let Some(latencies) = &mut self.latencies {
                    let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
                    latencies.saturating_record(micros);
                }
            }
            Err(message) => {
                self.errors += 1;
                self.error.get_or_insert(message);
            }
        }
    }

    /// Requests that were decided.
    pub(crate) const fn answers(&self) -> u64 {
        self.allowed + self.denied
    }

    /// Decided requests per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.answers() as f64 / self.duration.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Names and latencies in microseconds.
    fn latencies(&self) -> Vec<(&'static str, u64)> {
        let Some(latencies) = self.latencies.as_ref().filter(|all| !all.is_empty()) else {
            return Vec::new();
        };
        let quantile = |(name, at)| (name, latencies.value_at_quantile(at));
        QUANTILES.map(quantile).into_iter().chain([("max", latencies.max())]).collect()
    }

    /// The report as one object.
    pub(crate) fn to_json(&self) -> Value {
        let latencies: serde_json::Map<String, Value> =
            self.latencies().into_iter().map(|(name, us)| (name.to_owned(), us.into())).collect();
        json!({
            "duration_ms": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "answers_per_second": self.per_second(),
            "allowed": self.allowed,
            "denied": self.denied,
            "degraded": self.degraded,
            "errors": self.errors,
            "first_error": self.error,
            "latency_us": latencies,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allowed, denied, degraded, errors, .. } = self;
        writeln!(f, "{:.0} answers per second for {:?}", self.per_second(), self.duration)?;
        writeln!(f, "allowed {allowed}, denied {denied}, degraded {degraded}, errors {errors}")?;
        if let Some(error) = &self.error {
            writeln!(f, "first error: {error}")?;
        }
        writeln!(f, "\nlatency from when each request was due")?;
        for (name, us) in self.latencies() {
            writeln!(f, "{name:>8} {:>12.3} ms", us as f64 / 1_000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_three_digits_and_errors_have_none() {
        let mut report = Report::new(Duration::from_secs(2));
        for micros in 1..=1_000 {
            let answer = Answer { allowed: micros % 2 == 0, degraded: micros == 7 };
            report.record(Duration::from_micros(micros), Ok(answer));
        }
        report.record(Duration::from_secs(9), Err("gone".to_owned()));
        let json = report.to_json();
        assert_eq!(json["latency_us"]["p50"], 500);
        assert_eq!(json["latency_us"]["p99.9"], 999);
        assert_eq!(json["latency_us"]["max"], 1_000);
        assert_eq!((&json["allowed"], &json["denied"]), (&500.into(), &500.into()));
        assert_eq!((&json["degraded"], &json["errors"]), (&1.into(), &1.into()));
        assert_eq!(json["answers_per_second"], 500.0);
        assert!(report.to_string().contains("    p50        0.500 ms"), "{report}");
    }
}
