//! The path in a request target, and all that servers make of it.

use super::super::fault::PathFault;
use super::super::paths::{
    DotSegments, EmptySegments, EncodedSlash, MatrixParams, NonUtf8, Paths, TrailingSlash,
};
use super::spell::Spelling;
use super::way::{Order, Unknown, Way};
use super::{Reading, fold, spell};

/// Of how many things in one path nobody may know how the upstream reads them.
pub(super) const MAX_UNKNOWNS: usize = 3;
/// Which of the unknowns are read in their other way, first each alone.
const OTHERS: [usize; (1 << MAX_UNKNOWNS) - 1] = [0b001, 0b010, 0b100, 0b011, 0b101, 0b110, 0b111];

/// The path in a target.
pub(super) struct Target<'t> {
    /// Without its leading slash.
    pub(super) path: &'t str,
    pub(super) fragment: Option<&'t str>,
}

impl<'t> Target<'t> {
    pub(super) fn of(target: &'t str) -> Result<Self, PathFault> {
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
    pub(super) fn unknowns(
        &self,
        paths: &Paths,
        text: &mut String,
    ) -> Result<Vec<Unknown>, PathFault> {
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
    pub(super) fn read(&self, paths: &Paths, way: Way) -> Result<String, PathFault> {
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
    pub(super) fn others(
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
