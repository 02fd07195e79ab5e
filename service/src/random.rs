//! Ids that nobody can guess: of processes, decisions, reservations and holds.
//!
//! The system's random source is asked once, for a key; then a pseudorandom function (SipHash-2-4
//! with 128 bits) of a counter answers, which takes a tenth of the time of a call into the kernel
//! for each request. No two draws are of one number, and no two processes have one key.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use siphasher::sip128::SipHasher24;

/// A stream of random bytes.
pub struct Random {
    keyed: SipHasher24,
    drawn: AtomicU64,
}

/// Bytes from the system's random source.
///
/// # Errors
/// Where the system has none to give.
pub(crate) fn system<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

impl Random {
    /// A stream with a key of its own.
    ///
    /// # Errors
    /// Where the system has no random bytes to give.
    pub fn from_system() -> io::Result<Self> {
        Ok(Self::keyed(&system()?))
    }

    /// A stream of its own for another core, so that none waits for the counter of another.
    #[must_use]
    pub(crate) fn split(&self) -> Self {
        Self::keyed(&self.bytes())
    }

    /// The next 16 bytes.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        let number = self.drawn.fetch_add(1, Relaxed);
        self.keyed.hash(&number.to_le_bytes()).as_bytes()
    }

    /// The next number.
    pub(crate) fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn keyed(key: &[u8; 16]) -> Self {
        Self { keyed: SipHasher24::new_with_key(key), drawn: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_draws_and_no_two_streams_are_equal() {
        let streams = [Random::from_system().unwrap(), Random::from_system().unwrap()];
        let split = streams.each_ref().map(Random::split);
        let all = streams.iter().chain(&split);
        let draws: HashSet<[u8; 16]> =
            all.flat_map(|stream| (0..1_000).map(|_| stream.bytes())).collect();
        assert_eq!(draws.len(), 4_000);
    }

    #[test]
    fn every_bit_is_one_about_as_often_as_not() {
        let stream = Random::from_system().unwrap();
        let mut ones = [0_u32; 128];
        for _ in 0..4_096 {
            let bits = u128::from_le_bytes(stream.bytes());
            ones.iter_mut().enumerate().for_each(|(bit, n)| *n += u32::from(bits >> bit & 1 == 1));
        }
        // Ten standard deviations: not once in 10^20 runs.
        assert!(ones.iter().all(|n| (1_728..=2_368).contains(n)), "{ones:?}");
    }
}
