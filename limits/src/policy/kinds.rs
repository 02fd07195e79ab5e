//! The kinds of things that a limit says: its words, its cost, its penalty, its former name.

use std::sync::Arc;

use crate::time::{Micros, Tokens};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The words that files write, and what they mean.
            pub const WORDS: [(&'static str, Self); [$($word),*].len()] =
                [$(($word, Self::$variant)),*];
            /// The words that files write.
            pub const NAMES: &'static [&'static str] = &[$($word),*];

            /// The word that files write.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// What a denial by a limit does.
    Mode {
        /// It denies the request.
        #[default]
        Enforce = "enforce",
        /// It is reported, and the request passes.
        Shadow = "shadow",
        /// The limit is not looked at.
        Disabled = "disabled",
    }
}

words! {
    /// What a limit answers while the store does not.
    OnStoreFailure {
        /// Each replica counts its share alone.
        #[default]
        Local = "local",
        /// Everything passes.
        Allow = "allow",
        /// Nothing passes.
        Deny = "deny",
    }
}

words! {
    /// What a limit makes of a request without an attribute of its key.
    MissingKey {
        /// The limit does not apply.
        #[default]
        Skip = "skip",
        /// What is missing counts as one value, unlike any text; where nothing of the key is there
        /// the limit does not apply.
        Together = "together",
        /// The request is invalid.
        Deny = "deny",
    }
}

words! {
    /// How a limit counts.
    Algorithm {
        /// No interval as long as the window passes more than the limit, wherever it starts.
        #[default]
        SlidingWindow = "sliding_window",
        /// Tokens come back at a steady rate, up to the burst.
        TokenBucket = "token_bucket",
        /// The limit between one multiple of the window since 1970 and the next.
        FixedWindow = "fixed_window",
        /// The limit in each period of a calendar: a quota.
        Calendar = "calendar",
        /// The most tokens that are held at one time.
        Concurrency = "concurrency",
    }
}

words! {
    /// The periods of a calendar.
    Period {
        /// From one full hour of the local clock to the next.
        Hour = "hour",
        /// A local date.
        #[default]
        Day = "day",
        /// Seven local dates from a Monday on.
        Week = "week",
        /// From a day of the month to the same day of the next.
        Month = "month",
        /// From a day of the year to the same day of the next.
        Year = "year",
    }
}

words! {
    /// How near to the limit a replica may count by itself. Every limit is exact today.
    Accuracy {
        /// What suits the limit.
        #[default]
        Auto = "auto",
        /// Every request asks the store.
        Exact = "exact",
    }
}

/// How many tokens a request costs a limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CostRule {
    /// The cost that the request states, else that of its endpoint, else 1.
    Endpoint,
    /// Always this many.
    Number(Tokens),
    /// The number in an attribute, rounded up.
    Attribute {
        /// The attribute.
        of: String,
        /// What counts where the request does not have it.
        missing: Tokens,
    },
}

/// Who is denied too often is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    /// The denial of a key that blocks it, counted from 1.
    pub after: Tokens,
    /// The length of the windows, aligned to 1970, in which denials are counted.
    pub within: Micros,
    /// How long a block lasts.
    pub block: Micros,
}

/// What a limit was called before: its counters keep that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Was {
    /// The name that the counters have.
    pub name: Arc<str>,
    /// The attributes that name them, place by place those of the key; `None`: those of the key.
    pub key: Option<Vec<String>>,
}
