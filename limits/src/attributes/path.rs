//! Reads the path of a request target, so that no spelling of a path gets around a limit.
//!
//! What servers agree on is folded away: query, escapes of characters that need none, the case of
//! escapes. What they read in different ways is read as the settings say ([`Paths`]); where those
//! say nothing, a path has several readings, and the policy decides whether they count alike. What
//! no setting can mend is a [`PathFault`].

mod fold;
mod spell;

use super::fault::PathFault;
use super::paths::{
    Case, DotSegments, EmptySegments, EncodedSlash, MatrixParams, NonUtf8, PathSetting, Paths,
    TrailingSlash,
};
use spell::Spelling;

/// The most readings of one path.
const MAX_READINGS: usize = 8;
/// Of how many things in one path nobody may know how the upstream reads them.
const MAX_UNKNOWNS: usize = 3;
/// The longest path with several readings, in bytes: each takes time.
const MAX_UNKNOWN_BYTES: usize = 8_192;
/// Which of the unknowns are read in their other way, first each alone.
const OTHERS: [usize; (1 << MAX_UNKNOWNS) - 1] = [0b001, 0b010, 0b100, 0b011, 0b101, 0b110, 0b111];

/// Another reading of a path than the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The path, in canonical form.
    pub path: Box<str>,
    /// Why it could be read so.
    pub fault: PathFault,
}

/// One way to read a path.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// How it is split and spelt.
    spelling: Spelling,
    /// `.` and `..` are steps.
    resolve: bool,
    /// Empty segments are none.
    merge: bool,
    /// A slash at the end is nothing.
    same_end: bool,
    /// A fragment is a part of the path.
    fragment: bool,
    /// When escaped slashes become such, where they do.
    order: Order,
}

/// When escaped slashes become slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Before anything is resolved or merged.
    First,
    /// After that.
    Last,
    /// After that, and then it is resolved and merged again.
    Between,
}

/// Something in a path that can be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
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

/// The path in a target.
struct Target<'t> {
    /// Without its leading slash.
    path: &'t str,
    fragment: Option<&'t str>,
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
    (before != b'/' || end == 1).then_some(end)
}

/// Appends the canonical path of a target (`/a?b` or `http://host/a?b`) to `out`, and answers its
/// other readings: none where the settings leave one.
///
/// # Errors
/// Where it cannot be read, or in more ways than are compared.
pub(super) fn read(
    target: &str,
    paths: &Paths,
    out: &mut String,
) -> Result<Vec<Reading>, PathFault> {
    let target = Target::of(target)?;
    let way = Way::known(paths);
    let mut text = String::with_capacity(target.path.len() + 16);
    let unknowns = target.unknowns(paths, &mut text)?;
    let Some(first) = unknowns.first() else {
        fold::fold(&mut text, way)?;
        fold::end(&mut text, way);
        out.push_str(&text);
        return Ok(Vec::new());
    };
    if unknowns.len() > MAX_UNKNOWNS || target.path.len() > MAX_UNKNOWN_BYTES {
        return Err(first.fault());
    }
    text = target.read(paths, way)?;
    out.push_str(&text);
    let others = target.others(paths, way, &unknowns, &text)?;
    if others.len() < MAX_READINGS { Ok(others) } else { Err(first.fault()) }
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

impl<'t> Target<'t> {
    fn of(target: &'t str) -> Result<Self, PathFault> {
        let before_query = target.split_once('?').map_or(target, |(path, _)| path);
        let (path, fragment) = match before_query.split_once('#') {
            Some((path, fragment)) => (path, Some(fragment)),
            None => (before_query, None),
        };
        // A fragment has no place in a request, and some servers take it for a part of the path.
        if fragment.is_some_and(|fragment| fragment.contains(['/', '\\', '%'])) {
            return Err(PathFault::Fragment);
        }
        if path.is_empty() {
            return Ok(Self { path, fragment });
        }
        if let Some(path) = path.strip_prefix('/') {
            return Ok(Self { path, fragment });
        }
        let (scheme, rest) = path.split_once("://").ok_or(PathFault::NoSlash)?;
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(PathFault::NoSlash);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('\\') {
            return Err(PathFault::Backslash);
        }
        Ok(Self { path, fragment })
    }

    /// What may be read in two ways. Appends the path as it is where nothing is: split wherever it
    /// may be, since what is not in that reading is in none.
    fn unknowns(&self, paths: &Paths, text: &mut String) -> Result<Vec<Unknown>, PathFault> {
        let seen = spell::check(self.path, paths)?;
        let slashes = paths.encoded_slash != EncodedSlash::Data;
        let strip = paths.matrix_params != MatrixParams::Keep;
        let finest = Spelling { slash: slashes, backslash: slashes, strip, ..Spelling::default() };
        let spelt = spell::spell(self.path, paths, finest, text)?;
        let refused = paths.encoded_slash == EncodedSlash::Refuse;
        // But for what an escaped slash saves from being stripped.
        let mut coarser = Vec::new();
        if seen.params && (seen.slash || seen.backslash) && refused {
            for (slash, backslash) in [(false, false), (true, false), (false, true)] {
                let mut text = String::with_capacity(self.path.len() + 16);
                spell::spell(self.path, paths, Spelling { slash, backslash, ..finest }, &mut text)?;
                coarser.push(text);
            }
        }
        let some = |is: fn(&str) -> bool| is(text) || coarser.iter().any(|text| is(text));
        let there = |unknown: &Unknown| match unknown {
            Unknown::Slash => seen.slash && refused,
            Unknown::Backslash => seen.backslash && refused,
            Unknown::Dots => paths.dot_segments == DotSegments::Refuse && some(fold::has_dots),
            Unknown::Params => seen.params && paths.matrix_params == MatrixParams::Refuse,
            Unknown::Empty => {
                paths.empty_segments == EmptySegments::Refuse && some(fold::has_empty)
            }
            Unknown::End => paths.trailing_slash == TrailingSlash::Refuse && some(fold::has_end),
            Unknown::Bytes => spelt.bytes && paths.non_utf8 == NonUtf8::Refuse,
            Unknown::Capitals => spelt.capitals && paths.folds_case(),
            Unknown::Fragment => self.fragment.is_some(),
        };
        Ok(Unknown::ALL.into_iter().filter(there).collect())
    }

    /// The canonical path, read in one way.
    fn read(&self, paths: &Paths, way: Way) -> Result<String, PathFault> {
        let Spelling { slash, backslash, .. } = way.spelling;
        let spelling = match way.order {
            Order::First => way.spelling,
            Order::Last | Order::Between => {
                Spelling { slash: false, backslash: false, ..way.spelling }
            }
        };
        let mut text = String::with_capacity(self.path.len() + 16);
        match self.fragment.filter(|_| way.fragment) {
            Some(fragment) => {
                let path = format!("{}%23{fragment}", self.path);
                spell::check(&path, paths)?;
                spell::spell(&path, paths, spelling, &mut text)?;
            }
            None => drop(spell::spell(self.path, paths, spelling, &mut text)?),
        }
        fold::fold(&mut text, way)?;
        if way.order != Order::First {
            text = if slash { text.replace("%2F", "/") } else { text };
            text = if backslash { text.replace("%5C", "/") } else { text };
        }
        if way.order == Order::Between {
            fold::fold(&mut text, way)?;
        }
        fold::end(&mut text, way);
        Ok(text)
    }

    /// All readings but `first`, which is the one in which nothing unknown is assumed.
    fn others(
        &self,
        paths: &Paths,
        way: Way,
        unknowns: &[Unknown],
        first: &str,
    ) -> Result<Vec<Reading>, PathFault> {
        let mut others: Vec<Reading> = Vec::new();
        for assumed in OTHERS.into_iter().filter(|assumed| *assumed < 1 << unknowns.len()) {
            let assumed = unknowns.iter().zip(0..).filter(|(_, at)| assumed >> at & 1 == 1);
            let assumed: Vec<Unknown> = assumed.map(|(unknown, _)| *unknown).collect();
            let fault = assumed.first().map_or(PathFault::NoSlash, |unknown| unknown.fault());
            let slashes =
                assumed.iter().any(|one| matches!(one, Unknown::Slash | Unknown::Backslash));
            let orders = [Order::First, Order::Last, Order::Between];
            for order in orders.into_iter().filter(|order| slashes || *order == Order::First) {
                let way = assumed.iter().fold(Way { order, ..way }, |way, one| way.assuming(*one));
                let path = self.read(paths, way)?;
                if path != first && others.iter().all(|other| *other.path != path) {
                    others.push(Reading { path: path.into(), fault });
                }
            }
        }
        Ok(others)
    }
}

impl Way {
    /// The way that the settings say, and what they leave open read as it stands.
    fn known(paths: &Paths) -> Self {
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
    fn assuming(mut self, unknown: Unknown) -> Self {
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
    const ALL: [Self; 9] = [
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

    const fn fault(self) -> PathFault {
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
