//! The numbers that traces are made of: small, large and just beside every threshold.

use fastrand::Rng;
use sluicegate_limits::counter::Rate;
use sluicegate_limits::time::Micros;

/// The longest window, in µs.
pub(crate) const LONGEST_WINDOW: u64 = 366 * 86_400_000_000;
/// The longest refill of a whole burst that compiles: 100 years of 365 days, in µs.
const LONGEST_REFILL: u128 = 100 * 365 * 86_400_000_000;

/// One of the values given.
pub(crate) fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// A limit; 0 in one of thirty.
pub(crate) fn limit(rng: &mut Rng) -> u64 {
    if rng.u8(..30) == 0 {
        return 0;
    }
    let some = [1, 1, 2, 3, 5, 10, 20, 60, 63, 64, 65, 100, 1_000, 12_345, 1_000_000];
    if rng.u8(..20) == 0 {
        pick(rng, &[999_999_999_989, 1_000_000_000_000_000])
    } else {
        pick(rng, &some)
    }
}

/// The length of a window in µs.
pub(crate) fn window(rng: &mut Rng) -> u64 {
    let known = [
        1_000,
        64_000,
        1_000_000,
        10_000_000,
        60_000_000,
        3_600_000_000,
        86_400_000_000,
        LONGEST_WINDOW,
    ];
    if rng.u8(..4) == 0 { rng.u64(1_000..2_000_000) } else { pick(rng, &known) }
}

/// The rate of `limit` tokens in `window` µs: the finest tick that keeps the arithmetic exact.
pub(crate) fn rate(limit: u64, window: u64) -> Option<Rate> {
    [1, 1_000, 1_000_000].into_iter().filter(|tick| window.is_multiple_of(*tick)).find_map(|tick| {
        let shared = greatest_common_divisor(limit, window / tick).max(1);
        let (tokens, ticks) = (limit / shared, window / tick / shared);
        let exact = u128::from(tokens) * u128::from(ticks) <= 1 << 52;
        (exact && tokens > 0).then_some(Rate { tick: Micros::new(tick), tokens, ticks })
    })
}

/// A bucket that compiles: its rate and its burst.
pub(crate) fn bucket(rng: &mut Rng) -> (Rate, u64) {
    loop {
        let (tokens, length, burst) = (limit(rng), window(rng), limit(rng));
        let burst = if rng.bool() { burst } else { tokens };
        let Some(rate) = rate(tokens, length) else { continue };
        if refills(rate, burst) {
            return (rate, burst);
        }
    }
}

/// Whether this many tokens come back within 100 years.
pub(crate) fn refills(rate: Rate, tokens: u64) -> bool {
    let period = u128::from(rate.ticks) * u128::from(rate.tick.get());
    u128::from(tokens) * period <= LONGEST_REFILL * u128::from(rate.tokens)
}

/// What a request costs: mostly fits into `capacity` some times, now and then 0 or too much.
pub(crate) fn cost(rng: &mut Rng, capacity: u64) -> u64 {
    match rng.u8(..24) {
        0 => 0,
        1 => capacity,
        2 => capacity + 1,
        3 => pick(rng, &[1 << 32, (1 << 53) - 1]),
        4..=9 => 1,
        10..=12 => rng.u64(..=capacity),
        _ => rng.u64(..=capacity / 4) + 1,
    }
}

/// How long until the next event, in µs, where things happen on the scale of `window`.
pub(crate) fn gap(rng: &mut Rng, window: u64) -> u64 {
    match rng.u8(..32) {
        0..=7 => 0,
        8..=16 => rng.u64(..=window / 32),
        17..=22 => rng.u64(..=window / 8),
        23 | 24 => window / 64 + rng.u64(..3) - 1,
        25 => 1,
        26 | 27 => window + rng.u64(..3) - 1,
        28 => rng.u64(..=window),
        _ => rng.u64(window..=window * 20),
    }
}

/// The instant of the next event after `now`. A trace of the longest windows stops its clock in the
/// year 2112, far from the largest time.
pub(crate) fn later(rng: &mut Rng, now: u64, window: u64) -> u64 {
    let later = now + gap(rng, window);
    if later < 1 << 52 { later } else { now }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
