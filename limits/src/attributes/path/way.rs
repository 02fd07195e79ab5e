//! The ways to read a path, and what in one nobody may know how to read.

use super::super::fault::PathFault;
use super::super::paths::{
    DotSegments, EmptySegments, EncodedSlash, MatrixParams, PathSetting, Paths, TrailingSlash,
};
use super::spell::Spelling;

/// One way to read a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// How it is split and spelt.
    pub(super) spelling: Spelling,
    /// `.` and `..` are steps.
    pub(super) resolve: bool,
    /// Empty segments are none.
    pub(super) merge: bool,
    /// A slash at the end is nothing.
    pub(super) same_end: bool,
    /// A fragment is a part of the path.
    pub(super) fragment: bool,
    /// When escaped slashes become such, where they do.
    pub(super) order: Order,
}

/// When escaped slashes become slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Before anything is resolved or merged.
    First,
    /// After that.
    Last,
    /// After that, and then it is resolved and merged again.
    Between,
}

/// Something in a path that can be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    Slash,
    Backslash,
    Dots,
    Params,
    Empty,
    End,
    Bytes,
    Capitals,
    Fragment,
}

impl Way {
    /// The way that the settings say, and what they leave open read as it stands.
    pub(super) fn known(paths: &Paths) -> Self {
        let separator = paths.encoded_slash == EncodedSlash::Separator;
        Self {
            spelling: Spelling {
                slash: separator,
                backslash: separator,
                strip: paths.matrix_params == MatrixParams::Strip,
                latin1: false,
                ascii_case: false,
            },
            resolve: paths.dot_segments == DotSegments::Resolve,
            merge: paths.empty_segments == EmptySegments::Merge,
            same_end: paths.trailing_slash == TrailingSlash::Same,
            fragment: false,
            order: Order::First,
        }
    }

    /// This way, but for one thing.
    pub(super) fn assuming(mut self, unknown: Unknown) -> Self {
        let spelling = &mut self.spelling;
        let assumed = match unknown {
            Unknown::Slash => &mut spelling.slash,
            Unknown::Backslash => &mut spelling.backslash,
            Unknown::Dots => &mut self.resolve,
            Unknown::Params => &mut spelling.strip,
            Unknown::Empty => &mut self.merge,
            Unknown::End => &mut self.same_end,
            Unknown::Bytes => &mut spelling.latin1,
            Unknown::Capitals => &mut spelling.ascii_case,
            Unknown::Fragment => &mut self.fragment,
        };
        *assumed = true;
        self
    }
}

impl Unknown {
    pub(super) const ALL: [Self; 9] = [
        Self::Slash,
        Self::Backslash,
        Self::Dots,
        Self::Params,
        Self::Empty,
        Self::End,
        Self::Bytes,
        Self::Capitals,
        Self::Fragment,
    ];

    pub(super) const fn fault(self) -> PathFault {
        PathFault::Ambiguous(match self {
            Self::Slash | Self::Backslash => PathSetting::EncodedSlash,
            Self::Dots => PathSetting::DotSegments,
            Self::Params => PathSetting::MatrixParams,
            Self::Empty => PathSetting::EmptySegments,
            Self::End => PathSetting::TrailingSlash,
            Self::Bytes => PathSetting::NonUtf8,
            Self::Capitals => PathSetting::Case,
            Self::Fragment => return PathFault::Fragment,
        })
    }
}
