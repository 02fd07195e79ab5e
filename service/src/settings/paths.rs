//! `paths:`: how the upstream reads what servers read in different ways.

use sluicegate_limits::attributes::{
    Case, DotSegments, EmptySegments, EncodedSlash, MatrixParams, NonUtf8, PathSetting, Paths,
    TrailingSlash,
};

use super::reader::Section;

/// Reads the whole section; nothing only after a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Paths> {
    let unset = Paths::default();
    let key = PathSetting::key;
    let encoded_slash = section.choice(
        key(PathSetting::EncodedSlash),
        unset.encoded_slash.as_str(),
        EncodedSlash::WORDS,
    );
    let dot_segments = section.choice(
        key(PathSetting::DotSegments),
        unset.dot_segments.as_str(),
        DotSegments::WORDS,
    );
    let matrix_params = section.choice(
        key(PathSetting::MatrixParams),
        unset.matrix_params.as_str(),
        MatrixParams::WORDS,
    );
    let empty_segments = section.choice(
        key(PathSetting::EmptySegments),
        unset.empty_segments.as_str(),
        EmptySegments::WORDS,
    );
    let trailing_slash = section.choice(
        key(PathSetting::TrailingSlash),
        unset.trailing_slash.as_str(),
        TrailingSlash::WORDS,
    );
    let non_utf8 =
        section.choice(key(PathSetting::NonUtf8), unset.non_utf8.as_str(), NonUtf8::WORDS);
    let case = section.optional_choice(key(PathSetting::Case), Case::WORDS);
    section.finish();
    Some(Paths {
        encoded_slash: encoded_slash?,
        dot_segments: dot_segments?,
        matrix_params: matrix_params?,
        empty_segments: empty_segments?,
        trailing_slash: trailing_slash?,
        non_utf8: non_utf8?,
        case,
    })
}
