//! Why a request with such a path cannot be decided.

use std::fmt;

use super::paths::PathSetting;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $has:literal, $help:literal;)*) => {
        /// What is wrong with a path. It tells what the path has, never the path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PathFault {
            /// It has several readings, and they differ in what they cost: the setting that would
            /// say which one it is.
            Ambiguous(PathSetting),
            $($(#[$doc])* $name,)*
        }

        impl PathFault {
            /// Those that no setting is about.
            pub const PLAIN: &'static [Self] = &[$(Self::$name),*];

            /// Its name in metrics.
            #[must_use]
            pub const fn cause(self) -> &'static str {
                match self {
                    Self::Ambiguous(setting) => setting.key(),
                    $(Self::$name => $word,)*
                }
            }

            /// What the path has, and what to send instead.
            const fn words(self) -> (&'static str, &'static str) {
                match self {
                    Self::Ambiguous(setting) => (setting.what(), ""),
                    $(Self::$name => ($has, $help),)*
                }
            }
        }
    };
}

faults! {
    /// It does not begin with a slash and is no HTTP URL, or is `*` and the method not `OPTIONS`.
    NoSlash = "no_slash", "no `/` at its beginning", "begin it with `/`";
    /// A backslash.
    Backslash = "backslash", "a backslash", "escape it";
    /// `%5C`, where `%2F` is a separator.
    EscapedBackslash = "escaped_backslash", "`%5C`, and `paths.encoded_slash` is `separator`",
        "leave it out";
    /// A control character, escaped or not.
    Control = "control", "a control character", "leave it out";
    /// A `%` without two hexadecimal digits.
    BrokenEscape = "broken_escape", "a `%` without two hexadecimal digits", "write it as `%25`";
    /// A longer form of UTF-8 than the character needs, or a byte that begins only such forms.
    Overlong = "overlong", "overlong UTF-8", "send each character in its shortest form";
    /// A fragment that goes on like a path, or that makes a difference.
    Fragment = "fragment", "a fragment", "leave out the `#`, or escape it";
    /// A `.` or `..` with parameters behind it, as `..;`.
    DotParams = "dot_params", "parameters behind `.` or `..`", "leave them out";
    /// A `..` behind an empty segment.
    UpFromEmpty = "up_from_empty", "a `..` behind two slashes", "leave out one of them";
    /// `%2F` among the parameters of a segment, which some strip before they decode it.
    SlashInParams = "slash_in_params", "`%2F` behind a `;`", "leave it out";
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (has, help) = self.words();
        write!(f, "the path has {has}, which servers read in different ways")?;
        match self {
            Self::Ambiguous(setting) => write!(
                f,
                ", and here they count differently: leave it out, or set `{setting}` to {}, as the \
                 upstream reads it",
                setting.answers()
            ),
            _ => write!(f, ": {help}"),
        }
    }
}
