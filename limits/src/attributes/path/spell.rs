//! One spelling for the characters of a path, and where its segments end.
//!
//! Every escape is decoded, then what may not stand bare is escaped again, in upper case.

use smallvec::SmallVec;

use super::super::fault::PathFault;
use super::super::paths::{EncodedSlash, MatrixParams, Paths};

/// How a path is split and spelt.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that servers differ in")]
pub(super) struct Spelling {
    /// `%2F` ends a segment.
    pub(super) slash: bool,
    /// `%5C` ends a segment.
    pub(super) backslash: bool,
    /// What stands behind `;` in a segment is no part of it.
    pub(super) strip: bool,
    /// Bytes are characters of Latin-1 and not of UTF-8.
    pub(super) latin1: bool,
    /// Of the capital letters those of ASCII alone are small ones.
    pub(super) ascii_case: bool,
}

/// What a path has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// `%2F`.
    pub(super) slash: bool,
    /// `%5C`.
    pub(super) backslash: bool,
    /// `;`.
    pub(super) params: bool,
}

/// What the characters of a path have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spelt {
    /// Bytes that are not UTF-8.
    pub(super) bytes: bool,
    /// Capital letters beyond ASCII.
    pub(super) capitals: bool,
}

/// Looks through a path for what cannot be read at all.
///
/// # Errors
/// The first such thing.
pub(super) fn check(path: &str, paths: &Paths) -> Result<Seen, PathFault> {
    let mut seen = Seen::default();
    let (mut params, mut before) = (false, 0);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, escaped) = match byte {
            b'%' => (escape(&mut bytes).ok_or(PathFault::BrokenEscape)?, true),
            bare => (bare, false),
        };
        match (byte, escaped) {
            (b'/', true) => {
                seen.slash = true;
                let separator = paths.encoded_slash == EncodedSlash::Separator;
                if params && separator && paths.matrix_params != MatrixParams::Keep {
                    return Err(PathFault::SlashInParams);
                }
            }
            (b'/', false) => params = false,
            (b'\\', true) if paths.encoded_slash == EncodedSlash::Separator => {
                return Err(PathFault::EscapedBackslash);
            }
            (b'\\', true) => seen.backslash = true,
            (b'\\', false) => return Err(PathFault::Backslash),
            (b';', false) => (params, seen.params) = (true, true),
            (0..0x20 | 0x7f, _) => return Err(PathFault::Control),
            _ if is_overlong(before, byte) => return Err(PathFault::Overlong),
            _ => {}
        }
        before = byte;
    }
    Ok(seen)
}

/// Appends a path, given without its leading slash, as `/` and its segments. Nothing in it is
/// merged or resolved.
///
/// # Errors
/// Parameters behind `.` or `..`: some servers strip them and step up, others take it for a name.
pub(super) fn spell(
    path: &str,
    paths: &Paths,
    how: Spelling,
    out: &mut String,
) -> Result<Spelt, PathFault> {
    let mut spelt = Spelt::default();
    let (mut rest, mut stripping, mut segment) = (path, false, out.len() + 1);
    out.push('/');
    loop {
        let (run, delimiter, after) = cut(rest);
        let before = out.len();
        push_run(run, paths, how, out, &mut spelt);
        if stripping {
            out.truncate(before);
        }
        if has_params_of_dots(out.get(segment..).unwrap_or_default(), delimiter) {
            return Err(PathFault::DotParams);
        }
        let ends = match delimiter {
            "" => return Ok(spelt),
            "/" => true,
            "%2F" => how.slash,
            "%5C" => how.backslash,
            _ => false,
        };
        if ends {
            out.push('/');
            (stripping, segment) = (false, out.len());
        } else {
            stripping |= delimiter == ";" && how.strip;
            if !stripping {
                out.push_str(delimiter);
            }
        }
        rest = after;
    }
}

/// RFC 3986's characters of a segment (`pchar`), without `%` and without `;`, which begins
/// parameters.
pub(super) const fn stands_bare(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!'
        | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

/// A text with small letters, its escapes as they are.
pub(super) fn lower_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('%');
    out.push_str(&parts.next().unwrap_or_default().to_ascii_lowercase());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        out.push('%');
        out.push_str(digits);
        out.push_str(&rest.to_ascii_lowercase());
    }
    out
}

/// The text up to the next character that may end a segment or begin parameters, that one, and
/// what follows.
fn cut(path: &str) -> (&str, &'static str, &str) {
    let mut rest = path.as_bytes();
    loop {
        let (delimiter, length) = match rest {
            [] => return (path, "", ""),
            [b'/', ..] => ("/", 1),
            [b';', ..] => (";", 1),
            [b'%', b'2', b'f' | b'F', ..] => ("%2F", 3),
            [b'%', b'5', b'c' | b'C', ..] => ("%5C", 3),
            [_, after @ ..] => {
                rest = after;
                continue;
            }
        };
        let at = path.len() - rest.len();
        let after = path.get(at + length..).unwrap_or_default();
        return (path.get(..at).unwrap_or_default(), delimiter, after);
    }
}

/// Whether a segment, as far as it was spelt, is `.` or `..` with parameters.
fn has_params_of_dots(segment: &str, delimiter: &str) -> bool {
    let behind = segment.strip_prefix("..").or_else(|| segment.strip_prefix('.'));
    behind.is_some_and(|rest| rest.starts_with(';') || (rest.is_empty() && delimiter == ";"))
}

/// Appends characters that neither end a segment nor begin parameters.
fn push_run(run: &str, paths: &Paths, how: Spelling, out: &mut String, spelt: &mut Spelt) {
    if !paths.folds_case() && run.bytes().all(stands_bare) {
        return out.push_str(run);
    }
    let bytes = unescaped(run);
    let folding = |spelt: &mut Spelt, c: char, out: &mut String| {
        if !paths.folds_case() || c.is_ascii() {
            let c = if paths.folds_case() { c.to_ascii_lowercase() } else { c };
            return push_char(c, paths, out);
        }
        spelt.capitals |= !c.to_lowercase().eq([c]);
        match how.ascii_case {
            true => push_char(c, paths, out),
            false => c.to_lowercase().for_each(|c| push_char(c, paths, out)),
        }
    };
    if how.latin1 {
        return bytes.into_iter().for_each(|byte| folding(spelt, char::from(byte), out));
    }
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| folding(spelt, c, out));
        spelt.bytes |= !chunk.invalid().is_empty();
        chunk.invalid().iter().for_each(|byte| push_escape(*byte, out));
    }
}

fn push_char(c: char, paths: &Paths, out: &mut String) {
    match u8::try_from(c) {
        Ok(byte) if stands_bare(byte) => out.push(c),
        // Where it begins no parameters it is a character like any other.
        Ok(b';') if paths.matrix_params == MatrixParams::Keep => out.push(c),
        _ => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_escape(byte, out)),
    }
}

fn push_escape(byte: u8, out: &mut String) {
    out.push('%');
    out.push(upper_hex(byte >> 4));
    out.push(upper_hex(byte & 15));
}

/// The bytes of a text; [`check`] found its escapes whole.
fn unescaped(run: &str) -> SmallVec<[u8; 64]> {
    let mut bytes = run.bytes();
    let mut decoded = SmallVec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => decoded.extend(escape(&mut bytes)),
            bare => decoded.push(bare),
        }
    }
    decoded
}

/// The byte of an escape behind its `%`.
fn escape(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?)
}

/// Whether two bytes in a row begin a form of UTF-8 that is longer than its character needs, or
/// the second one begins only such forms.
const fn is_overlong(before: u8, byte: u8) -> bool {
    matches!(
        (before, byte),
        (_, 0xc0 | 0xc1)
            | (0xe0, 0x80..=0x9f)
            | (0xf0, 0x80..=0x8f)
            | (0xf8, 0x80..=0x87)
            | (0xfc, 0x80..=0x83)
    )
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn upper_hex(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0').to_ascii_uppercase()
}
