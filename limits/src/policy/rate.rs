//! Refill rates that can be counted exactly: whole tokens every whole ticks.
//!
//! A rate of `limit` tokens in `window` fits where, in lowest terms, l tokens come back in w
//! ticks and l * w is at most 2^52: then every product of the bucket's arithmetic stays below
//! 2^53, where the script's doubles are exact.

use crate::counter::Rate;
use crate::time::Micros;

use super::units::MAX_LIMIT;

/// The largest product of tokens and ticks of a rate.
const MAX_PRODUCT: u128 = 1 << 52;
/// The lengths of a tick, finest first.
const TICKS: [Micros; 3] = [Micros::new(1), Micros::MILLISECOND, Micros::SECOND];
/// The longest that a burst may take to come back: 100 years of 365.25 days.
const MAX_REFILL: u128 = 36_525 * Micros::DAY.get() as u128;

/// The rate of `limit` tokens in `window`: the finest tick that divides the window and fits.
/// `None` where no tick fits.
///
/// A limit of 0 gets the slowest rate of its window: its capacity is 0, so nothing passes, and
/// nothing divides by zero.
pub(crate) fn rate(limit: u64, window: Micros) -> Option<Rate> {
    let limit = limit.max(1);
    ticks(window).find_map(|(tick, ticks)| {
        let common = gcd(limit, ticks);
        let (tokens, ticks) = (limit / common, ticks / common);
        let fits = u128::from(tokens) * u128::from(ticks) <= MAX_PRODUCT;
        fits.then_some(Rate { tick, tokens, ticks })
    })
}

/// The largest limit that fits and is not above `limit`, with its rate.
pub(crate) fn largest_fit(limit: u64, window: Micros) -> (u64, Rate) {
    if let Some(rate) = rate(limit, window) {
        return (limit, rate);
    }
    let below = candidates(limit, window).map(|(below, _)| below).max().unwrap_or(1);
    match rate(below, window) {
        Some(rate) => (below, rate),
        // One token in a window always fits: the longest window has less than 2^52 ticks.
        None => (1, Rate { tick: Micros::new(1), tokens: 1, ticks: window.get().max(1) }),
    }
}

/// The limit nearest to `limit` that fits; the smaller of two that are equally near.
pub(crate) fn nearest_fit(limit: u64, window: Micros) -> u64 {
    let (below, _) = largest_fit(limit, window);
    let above = candidates(limit, window).filter_map(|(_, above)| above);
    let above = above.filter(|above| *above <= MAX_LIMIT).min();
    match above {
        Some(above) if above - limit < limit - below => above,
        _ => below,
    }
}

/// Whether a burst comes back within 100 years at `limit` tokens in `window`.
pub(crate) fn refills_in_time(limit: u64, burst: u64, window: Micros) -> bool {
    u128::from(burst) * u128::from(window.get()) <= MAX_REFILL * u128::from(limit)
}

/// For every way to split the window, the nearest limits at or below and above that fit it.
///
/// With ticks = m * w a limit that is a multiple of m is l = limit / m tokens in w ticks, and it
/// fits up to l = 2^52 / w. Every limit that fits is such a multiple for some divisor m.
fn candidates(limit: u64, window: Micros) -> impl Iterator<Item = (u64, Option<u64>)> {
    ticks(window).flat_map(|(_, ticks)| divisors(ticks).into_iter().map(move |m| (ticks, m))).map(
        move |(ticks, m)| {
            let most = u64::try_from(MAX_PRODUCT / u128::from(ticks / m)).unwrap_or(u64::MAX);
            let below = (limit / m).min(most);
            let above = below + 1;
            let above = (below == limit / m && above <= most).then(|| above.checked_mul(m));
            (below * m, above.flatten())
        },
    )
}

/// The ticks that divide the window, with how many of them it has.
fn ticks(window: Micros) -> impl Iterator<Item = (Micros, u64)> {
    TICKS
        .into_iter()
        .filter(move |tick| window.get().is_multiple_of(tick.get()))
        .map(move |tick| (tick, window.get() / tick.get()))
}

/// Every divisor of `n`. Windows are at most 3.2 * 10^10 of a unit whose factors are 2, 3 and 5,
/// so what trial division has to search is small.
fn divisors(mut n: u64) -> Vec<u64> {
    let mut divisors = vec![1];
    let mut prime = 2;
    while n > 1 {
        if prime * prime > n {
            prime = n;
        }
        let before = divisors.len();
        let mut power = 1;
        while n.is_multiple_of(prime) {
            n /= prime;
            power *= prime;
            for at in 0..before {
                let with_power = divisors.get(at).copied().unwrap_or(1) * power;
                divisors.push(with_power);
            }
        }
        prime += if prime == 2 { 1 } else { 2 };
    }
    divisors
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::units::MAX_WINDOW;

    fn fits(limit: u64, window: u64) -> bool {
        rate(limit, Micros::new(window)).is_some()
    }

    #[test]
    fn the_finest_tick_that_fits_is_taken_in_lowest_terms() {
        let of = |limit, window| rate(limit, window).map(|r| (r.tick.get(), r.tokens, r.ticks));
        assert_eq!(of(50, Micros::SECOND), Some((1, 1, 20_000)));
        assert_eq!(of(1_200, Micros::MINUTE), Some((1, 1, 50_000)));
        assert_eq!(of(7, Micros::MINUTE), Some((1, 7, 60_000_000)));
        assert_eq!(of(1_000_000_007, Micros::HOUR), Some((1_000, 1_000_000_007, 3_600_000)));
        assert_eq!(of(0, Micros::SECOND), Some((1, 1, 1_000_000)));
        assert_eq!(of(1_000_000_007, MAX_WINDOW), None);
    }

    #[test]
    fn divisors_are_all_of_them() {
        let mut found = divisors(360);
        found.sort_unstable();
        assert_eq!(found, (1..=360).filter(|d| 360 % d == 0).collect::<Vec<u64>>());
        assert_eq!(divisors(1), [1]);
        let mut prime = divisors(2_147_483_647);
        prime.sort_unstable();
        assert_eq!(prime, [1, 2_147_483_647]);
    }

    /// Beside every limit that does not fit, no nearer one fits than the one that is named.
    #[test]
    fn the_nearest_fit_is_the_nearest() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut misfits = 0;
        while misfits < 200 {
            // A window of prime seconds and a limit just above what fits: neighbours are sparse.
            let window = Micros::new(rng.u64(1_000_000..31_622_400) * 1_000_000);
            let limit = (1 << 52) / (window.get() / 1_000_000) + rng.u64(1..100);
            if rate(limit, window).is_some() {
                continue;
            }
            misfits += 1;
            let nearest = nearest_fit(limit, window);
            assert!(fits(nearest, window.get()), "{limit} in {window} gave {nearest}");
            let (below, _) = largest_fit(limit, window);
            assert!(below < limit && fits(below, window.get()));
            let distance = nearest.abs_diff(limit).min(2_000);
            assert!(distance <= limit - below);
            for other in 1..distance {
                assert!(!fits(limit - other, window.get()), "{limit} - {other} in {window}");
                assert!(!fits(limit + other, window.get()), "{limit} + {other} in {window}");
            }
            for other in below + 1..limit.min(below + 2_000) {
                assert!(!fits(other, window.get()), "{other} above {below}");
            }
        }
    }

    #[test]
    fn a_burst_must_come_back_within_a_hundred_years() {
        assert!(refills_in_time(1, 36_525, Micros::DAY));
        assert!(!refills_in_time(1, 36_526, Micros::DAY));
        assert!(refills_in_time(0, 0, Micros::DAY));
        assert!(!refills_in_time(0, 1, Micros::DAY));
    }
}
