//! Reads the path of a request target, so that no spelling of a path gets around a limit.
//!
//! What servers agree on is folded away: query, escapes of characters that need none, the case of
//! escapes. What they read in different ways is read as the settings say ([`Paths`]); where those
//! say nothing, a path has several readings, and the policy decides whether they count alike. What
//! no setting can mend is a [`PathFault`].

mod fold;
mod spell;
mod target;
mod way;

use super::fault::PathFault;
use super::paths::{Case, EncodedSlash, MatrixParams, NonUtf8, Paths, TrailingSlash};
use spell::Spelling;
use target::{MAX_UNKNOWNS, Target};
use way::Way;

/// The most readings of one path.
const MAX_READINGS: usize = 8;
/// The longest path with several readings, in bytes: each takes time.
const MAX_UNKNOWN_BYTES: usize = 8_192;

/// Another reading of a path than the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The path, in canonical form.
    pub path: Box<str>,
    /// Why it could be read so.
    pub fault: PathFault,
}

/// Where the path of a target ends that every server reads as it stands; `None` for other targets.
pub(super) fn plain_end(target: &str, paths: &Paths) -> Option<usize> {
    let mut bytes = target.bytes();
    if bytes.next() != Some(b'/') {
        return None;
    }
    let capitals = !paths.folds_case();
    let (mut end, mut before) = (1, b'/');
    for byte in bytes {
        let plain = match byte {
            b'?' => break,
            // The beginning of a segment may be a step, or nothing.
            b'/' | b'.' => before != b'/',
            b'A'..=b'Z' => capitals,
            _ => spell::stands_bare(byte),
        };
        if !plain {
            return None;
        }
        before = byte;
        end += 1;
    }
    match paths.trailing_slash {
        _ if before != b'/' || end == 1 => Some(end),
        TrailingSlash::Same => Some(end - 1),
        TrailingSlash::Differs => Some(end),
        TrailingSlash::Refuse => None,
    }
}

/// The canonical path of a target (`/a?b` or `http://host/a?b`), and its other readings: none where
/// the settings leave one.
///
/// # Errors
/// Where it cannot be read, or in more ways than are compared.
pub(super) fn read(target: &str, paths: &Paths) -> Result<(String, Vec<Reading>), PathFault> {
    let target = Target::of(target)?;
    let way = Way::known(paths);
    let mut text = String::with_capacity(target.path.len() + 16);
    let unknowns = target.unknowns(paths, &mut text)?;
    let Some(first) = unknowns.first() else {
        fold::fold(&mut text, way)?;
        fold::end(&mut text, way);
        return Ok((text, Vec::new()));
    };
    if unknowns.len() > MAX_UNKNOWNS || target.path.len() > MAX_UNKNOWN_BYTES {
        return Err(first.fault());
    }
    text = target.read(paths, way)?;
    let others = target.others(paths, way, &unknowns, &text)?;
    if others.len() < MAX_READINGS { Ok((text, others)) } else { Err(first.fault()) }
}

/// Appends a segment of a policy as requests spell it.
///
/// # Errors
/// What no path has, however it is read.
pub(crate) fn push_literal(
    segment: &str,
    paths: &Paths,
    out: &mut String,
) -> Result<(), PathFault> {
    let paths = paths.of_literals();
    spell::check(segment, &paths)?;
    // Without the slash that begins a path.
    let mut text = String::with_capacity(segment.len() + 1);
    spell::spell(segment, &paths, Spelling::default(), &mut text)?;
    out.push_str(text.strip_prefix('/').unwrap_or_default());
    Ok(())
}

/// A whole path of a policy as requests spell it.
///
/// # Errors
/// What no path has, however it is read.
pub(crate) fn literal(path: &str, paths: &Paths) -> Result<String, PathFault> {
    let paths = paths.of_literals();
    let target = Target::of(path)?;
    spell::check(target.path, &paths)?;
    target.read(&paths, Way::known(&paths))
}

/// The beginning or the end of a path in a policy, in the case that requests have.
pub(crate) fn affix(text: &str, paths: &Paths) -> String {
    if paths.folds_case() { spell::lower_case(text) } else { text.to_owned() }
}

impl Paths {
    /// How texts of a policy are read: what a policy spells, it means. The slash at the end alone
    /// means nothing there, unless it does in requests.
    fn of_literals(&self) -> Self {
        let trailing_slash = match self.trailing_slash {
            TrailingSlash::Refuse => TrailingSlash::Same,
            known => known,
        };
        let matrix_params = match self.matrix_params {
            MatrixParams::Strip => MatrixParams::Refuse,
            known => known,
        };
        let (encoded_slash, non_utf8) = (EncodedSlash::Data, NonUtf8::Data);
        Self { encoded_slash, non_utf8, matrix_params, trailing_slash, ..*self }
    }

    /// Whether capital letters are read as small ones.
    pub(crate) fn folds_case(&self) -> bool {
        self.case == Some(Case::Insensitive)
    }
}
