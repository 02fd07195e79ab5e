//! Whether all that one limit's numbers let pass, another's would let pass too.

use crate::policy::{Algorithm, Limit, Numbers};

use super::Effect;

/// What a change of algorithm, numbers and window does to what can pass.
pub(super) fn effect(old: (&Limit, &Numbers), new: (&Limit, &Numbers)) -> Effect {
    match (within(new, old), within(old, new)) {
        (true, true) => Effect::None,
        (true, false) => Effect::Stricter,
        (false, true) => Effect::Looser,
        (false, false) => Effect::Neither,
    }
}

/// Whether every series of requests that `inner` lets pass, `outer` lets pass. `false` where that
/// cannot be told.
fn within(inner: (&Limit, &Numbers), outer: (&Limit, &Numbers)) -> bool {
    use Algorithm::{Calendar, Concurrency, FixedWindow, SlidingWindow, TokenBucket};
    let ((one, inner_numbers), (other, outer_numbers)) = (inner, outer);
    let capacity = u128::from(outer_numbers.capacity().get());
    if inner_numbers.capacity().get() == 0 {
        return true;
    }
    match (other.algorithm, one.algorithm) {
        (SlidingWindow, SlidingWindow | FixedWindow | TokenBucket) => {
            most(inner, other.window.get()) <= capacity
        }
        (FixedWindow, FixedWindow) => most_aligned(inner, other.window.get()) <= capacity,
        (FixedWindow, SlidingWindow | TokenBucket) => most(inner, other.window.get()) <= capacity,
        (TokenBucket, SlidingWindow | FixedWindow | TokenBucket) => {
            // The bucket's line lies above all steps exactly where it lies above the first, and
            // rises at least as fast.
            let (limit, window) = (u128::from(inner_numbers.limit.get()), one.window.get());
            let rate = u128::from(outer_numbers.limit.get()) * u128::from(window);
            at_once(inner) <= capacity && limit * u128::from(other.window.get()) <= rate
        }
        (Calendar, Calendar) => {
            let periods = |limit: &Limit| {
                let calendar = limit.calendar.as_ref()?;
                Some((calendar.period, calendar.zone().to_owned(), calendar.starts_on()))
            };
            periods(one) == periods(other) && inner_numbers.limit.get() <= outer_numbers.limit.get()
        }
        // Who never reports an end counts for the whole hold.
        (Concurrency, Concurrency) => {
            inner_numbers.limit.get() <= outer_numbers.limit.get() && one.hold >= other.hold
        }
        _ => false,
    }
}

/// The most tokens that pass in next to no time.
fn at_once((limit, numbers): (&Limit, &Numbers)) -> u128 {
    let tokens = u128::from(numbers.capacity().get());
    // Around an edge two windows' worth.
    if limit.algorithm == Algorithm::FixedWindow { tokens * 2 } else { tokens }
}

/// The most tokens that pass in any interval of this length, its end not included.
fn most((limit, numbers): (&Limit, &Numbers), interval: u64) -> u128 {
    let (tokens, window) = (u128::from(numbers.limit.get()), limit.window.get().max(1));
    match limit.algorithm {
        Algorithm::SlidingWindow => tokens * u128::from(interval.div_ceil(window)),
        // The interval may begin just before an edge.
        Algorithm::FixedWindow => {
            tokens * u128::from((interval.saturating_sub(1)).div_ceil(window) + 1)
        }
        _ => {
            let refill = tokens * u128::from(interval) / u128::from(window);
            u128::from(numbers.capacity().get()) + refill
        }
    }
}

/// The most tokens that fixed windows let pass in a fixed window of another length.
fn most_aligned((limit, numbers): (&Limit, &Numbers), outer: u64) -> u128 {
    let (tokens, window) = (u128::from(numbers.limit.get()), limit.window.get().max(1));
    if outer.is_multiple_of(window) {
        tokens * u128::from(outer / window)
    } else if window.is_multiple_of(outer) {
        tokens
    } else {
        most((limit, numbers), outer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, SourceFile};

    /// The effect of a change from one limit to another, written as the inside of a mapping.
    fn change(old: &str, new: &str) -> Effect {
        let policy = |text: &str| {
            let text = format!("rate_limits: {{a: {{key: tenant_id, {text}}}}}");
            let file = SourceFile { name: "a".into(), text };
            Policy::compile(&[file]).map(|compiled| compiled.policy).unwrap()
        };
        let (old, new) = (policy(old), policy(new));
        let of = |policy: &Policy| (policy.limits()[0].clone(), policy.limits()[0].numbers);
        let (old, new) = (of(&old), of(&new));
        effect((&old.0, &old.1), (&new.0, &new.1))
    }

    #[test]
    fn changes_of_numbers_are_stricter_looser_or_neither() {
        use Effect::{Looser, Neither, None, Stricter};
        let sliding = [
            ("limit: 60, window: 1m", "limit: 50, window: 1m", Stricter),
            ("limit: 60, window: 1m", "limit: 60, window: 2m", Stricter),
            ("limit: 60, window: 1m", "limit: 1, window: 1s", Stricter),
            ("limit: 60, window: 1m", "limit: 3600, window: 1h", Looser),
            ("limit: 60, window: 1m", "limit: 2, window: 1s", Neither),
            ("limit: 60, window: 1m", "limit: 0, window: 1s", Stricter),
            ("limit: 0, window: 1m", "limit: 0, window: 1s", None),
            // Up to 90 in some minutes, and never more than 45 at once.
            ("limit: 60, window: 1m", "limit: 45, window: 40s", Neither),
        ];
        let (bucket, fixed) = ("algorithm: token_bucket", "algorithm: fixed_window");
        let others = [
            (format!("{bucket}, limit: 10, window: 1s, burst: 50"), Stricter),
            (format!("{bucket}, limit: 9, window: 1s, burst: 200"), Neither),
            (format!("{bucket}, limit: 1000, window: 100s, burst: 100"), None),
            (format!("{bucket}, limit: 20, window: 1s, burst: 200"), Looser),
            // Never above the line that begins at 100 and rises by 10 a second.
            ("limit: 100, window: 10s".to_owned(), Stricter),
            (format!("{fixed}, limit: 50, window: 10s"), Stricter),
            (format!("{fixed}, limit: 51, window: 10s"), Neither),
        ];
        for (old, new, effect) in sliding {
            assert_eq!(change(old, new), effect, "{old} to {new}");
        }
        let old = format!("{bucket}, limit: 10, window: 1s, burst: 100");
        for (new, effect) in others {
            assert_eq!(change(&old, &new), effect, "{old} to {new}");
        }
        let to_sliding = ("algorithm: fixed_window, limit: 9, window: 1m", "limit: 9, window: 1m");
        assert_eq!(change(to_sliding.0, to_sliding.1), Stricter);
        assert_eq!(change(to_sliding.1, to_sliding.0), Looser);
        let hours =
            (format!("{fixed}, limit: 60, window: 1h"), format!("{fixed}, limit: 1, window: 1m"));
        assert_eq!(change(&hours.0, &hours.1), Stricter);
    }

    #[test]
    fn quotas_and_concurrency_are_compared_with_their_own_kind() {
        use Effect::{Looser, Neither, Stricter};
        let month = "algorithm: calendar, period: month, limit: ";
        let running = "algorithm: concurrency, limit: ";
        let cases = [
            (format!("{month}100"), format!("{month}90"), Stricter),
            (format!("{month}100"), format!("{month}100, starts_on: 15"), Neither),
            (format!("{month}100"), format!("{month}0, starts_on: 15"), Stricter),
            (format!("{month}100"), "limit: 100, window: 31d".to_owned(), Neither),
            (format!("{running}4, hold: 1m"), format!("{running}5, hold: 1m"), Looser),
            (format!("{running}4, hold: 1m"), format!("{running}4, hold: 5m"), Stricter),
            (format!("{running}4, hold: 1m"), format!("{running}5, hold: 5m"), Neither),
        ];
        for (old, new, effect) in cases {
            assert_eq!(change(&old, &new), effect, "{old} to {new}");
        }
    }
}
