//! How the upstream reads paths that servers read in different ways: the settings' `paths:`.
//!
//! Where nothing is said, a path is refused if its readings would not count alike.

use std::fmt;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $default:ident {
        $($(#[$of:meta])* $value:ident = $word:literal,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $name { $($(#[$of])* $value,)* }

            impl $name {
                /// The words of the setting.
                pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$value)),*];

                /// The word for it.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self { $(Self::$value => $word,)* }
                }
            }

            impl Default for $name {
                fn default() -> Self { Self::$default }
            }
        )*

        /// One of the settings of `paths:`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PathSetting { $($(#[$doc])* $name,)* }

        impl PathSetting {
            /// Every setting, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its key below `paths`.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// Its words.
            fn words(self) -> Vec<&'static str> {
                match self { $(Self::$name => $name::WORDS.iter().map(|(w, _)| *w).collect(),)* }
            }
        }
    };
}

settings! {
    /// What `%2F` is, and with it `%5C`.
    EncodedSlash = "encoded_slash", Refuse {
        /// Nobody knows.
        Refuse = "refuse",
        /// A part of the segment.
        Data = "data",
        /// The end of the segment, as `/`; a path with `%5C` is refused.
        Separator = "separator",
    }
    /// What `.` and `..` are.
    DotSegments = "dot_segments", Refuse {
        /// Nobody knows.
        Refuse = "refuse",
        /// Steps, taken before the path is routed.
        Resolve = "resolve",
    }
    /// What `;x` behind a segment is.
    MatrixParams = "matrix_params", Refuse {
        /// Nobody knows.
        Refuse = "refuse",
        /// Parameters, which routing does not look at.
        Strip = "strip",
        /// A part of the segment.
        Keep = "keep",
    }
    /// What `//` is.
    EmptySegments = "empty_segments", Merge {
        /// Nobody knows.
        Refuse = "refuse",
        /// One slash.
        Merge = "merge",
        /// An empty segment.
        Keep = "keep",
    }
    /// What a slash at the end is.
    TrailingSlash = "trailing_slash", Same {
        /// Nobody knows.
        Refuse = "refuse",
        /// Nothing.
        Same = "same",
        /// Another path.
        Differs = "differs",
    }
    /// What bytes are that are not UTF-8.
    NonUtf8 = "non_utf8", Refuse {
        /// Nobody knows.
        Refuse = "refuse",
        /// Bytes like any other.
        Data = "data",
    }
    /// Whether capital letters differ from small ones.
    Case = "case", Sensitive {
        /// They do.
        Sensitive = "sensitive",
        /// They do not.
        Insensitive = "insensitive",
    }
}

/// How the upstream reads paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// What `%2F` is.
    pub encoded_slash: EncodedSlash,
    /// What `.` and `..` are.
    pub dot_segments: DotSegments,
    /// What `;x` behind a segment is.
    pub matrix_params: MatrixParams,
    /// What `//` is.
    pub empty_segments: EmptySegments,
    /// What a slash at the end is.
    pub trailing_slash: TrailingSlash,
    /// What bytes are that are not UTF-8.
    pub non_utf8: NonUtf8,
    /// Whether capital letters differ; `None` where nobody says, and they do.
    pub case: Option<Case>,
}

impl Paths {
    /// What a setting means, said or not.
    pub(crate) fn meaning(&self, setting: PathSetting) -> &'static str {
        self.value(setting).unwrap_or(Case::Sensitive.as_str())
    }

    /// What a setting is set to; `None` where nobody says.
    #[must_use]
    pub fn value(&self, setting: PathSetting) -> Option<&'static str> {
        Some(match setting {
            PathSetting::EncodedSlash => self.encoded_slash.as_str(),
            PathSetting::DotSegments => self.dot_segments.as_str(),
            PathSetting::MatrixParams => self.matrix_params.as_str(),
            PathSetting::EmptySegments => self.empty_segments.as_str(),
            PathSetting::TrailingSlash => self.trailing_slash.as_str(),
            PathSetting::NonUtf8 => self.non_utf8.as_str(),
            PathSetting::Case => self.case?.as_str(),
        })
    }
}

impl PathSetting {
    /// What a path has that this setting is about.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::EncodedSlash => "`%2F` or `%5C`",
            Self::DotSegments => "a segment `.` or `..`",
            Self::MatrixParams => "a `;`",
            Self::EmptySegments => "two slashes in a row",
            Self::TrailingSlash => "a slash at its end",
            Self::NonUtf8 => "bytes that are not UTF-8",
            Self::Case => "capital letters beyond A to Z",
        }
    }

    /// The words that say how the upstream reads it, for people.
    #[must_use]
    pub fn answers(self) -> String {
        let words = self.words().into_iter().filter(|word| *word != "refuse");
        let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
        words.join(" or ")
    }
}

impl fmt::Display for PathSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paths.{}", self.key())
    }
}
