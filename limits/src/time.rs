//! The three quantities that everything is counted in: instants, durations and tokens.
//!
//! All are whole numbers below 2^53, the largest range in which Lua's doubles are exact, so that
//! the in-process arithmetic and the script in the store cannot differ by rounding.

/// The first value that a quantity may not reach: 2^53.
pub(crate) const EXACT: u64 = 1 << 53;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest value, 2^53 - 1.
            pub const MAX: Self = Self(EXACT - 1);

            /// Takes a number; one above [`Self::MAX`] becomes `MAX`.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                if value < EXACT { Self(value) } else { Self::MAX }
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity! {
    /// An instant: microseconds since 1970 on the store's clock.
    Timestamp
}
quantity! {
    /// A duration in microseconds.
    Micros
}
quantity! {
    /// An amount of tokens: what requests cost and counters count.
    Tokens
}

impl Timestamp {
    /// The instant `wait` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn after(self, wait: Micros) -> Self {
        Self::new(self.0.saturating_add(wait.0))
    }

    /// The instant `wait` earlier, at least 0.
    #[must_use]
    pub const fn before(self, wait: Micros) -> Self {
        Self(self.0.saturating_sub(wait.0))
    }

    /// How long after `earlier` this is; zero where it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }

    /// This instant rounded up to a multiple of `quantum` since 1970; a zero quantum leaves it.
    #[must_use]
    pub const fn round_up(self, quantum: Micros) -> Self {
        match self.0.checked_rem(quantum.0) {
            None | Some(0) => self,
            Some(over) => Self::new(self.0.saturating_add(quantum.0 - over)),
        }
    }
}

impl Micros {
    /// One millisecond.
    pub const MILLISECOND: Self = Self(1_000);
    /// One second.
    pub const SECOND: Self = Self(1_000_000);
    /// One minute.
    pub const MINUTE: Self = Self(60 * 1_000_000);
    /// One hour.
    pub const HOUR: Self = Self(3_600 * 1_000_000);
    /// One day of 24 hours.
    pub const DAY: Self = Self(86_400 * 1_000_000);

    /// The sum, at most [`Micros::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::new(self.0.saturating_add(other.0))
    }

    /// Whole milliseconds, rounded up.
    #[must_use]
    pub const fn to_millis_up(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    /// Whole seconds, rounded up.
    #[must_use]
    pub const fn to_seconds_up(self) -> u64 {
        self.0.div_ceil(1_000_000)
    }
}

impl Tokens {
    /// One token.
    pub const ONE: Self = Self(1);

    /// The sum, at most [`Tokens::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::new(self.0.saturating_add(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_up_keeps_multiples_and_never_goes_back() {
        let at = |n| Timestamp::new(n);
        assert_eq!(at(100).round_up(Micros::new(10)), at(100));
        assert_eq!(at(101).round_up(Micros::new(10)), at(110));
        assert_eq!(at(101).round_up(Micros::ZERO), at(101));
        assert_eq!(Timestamp::MAX.round_up(Micros::new(10)), Timestamp::MAX);
    }

    #[test]
    fn milliseconds_and_seconds_round_up() {
        assert_eq!(Micros::new(1).to_millis_up(), 1);
        assert_eq!(Micros::new(1_000_001).to_seconds_up(), 2);
        assert_eq!(Micros::ZERO.to_seconds_up(), 0);
    }
}
