//! Patterns of endpoints: `METHOD /path`, and which of two is more specific.
//!
//! A segment of the path is a literal, `{param}` (any one segment, with a name for its reader),
//! `*` (any one segment) or, last only, `**` (zero or more segments). The method is a token in
//! upper case, or `*` for any; `GET` is `HEAD` too, since servers route it so. Literals are
//! spelled as requests' paths are ([`crate::attributes`]), so that both sides are compared in one
//! form. Where a slash at the end makes another path, it is an empty literal.

mod relation;

use std::fmt;

use crate::attributes::{Attributes, Paths, TrailingSlash, is_method, path};

/// The method whose patterns are about [`HEAD`] too.
pub(crate) const GET: &str = "GET";
/// The method that asks for the head of what [`GET`] would answer.
pub(crate) const HEAD: &str = "HEAD";

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 2_048;

/// Which requests a limit or a cost is about, by method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// `None` is any method.
    method: Option<Box<str>>,
    segments: Vec<Segment>,
    ranks: Box<[u8]>,
}

/// How specific a pattern is; the greater is the more specific.
///
/// The path counts first, segment by segment: literal > `{param}` > `*` > the end > `**`. Then a
/// named method is above any, and `HEAD` above the `GET` that covers it. Of two patterns that match
/// one request, neither is the more specific exactly where they have the same [`Pattern::shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity<'p>(&'p [u8]);

/// What one segment of a path has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Just this text.
    Literal(Box<str>),
    /// Any one segment; the name is for the reader.
    Param(Box<str>),
    /// Any one segment.
    Any,
    /// Zero or more segments; only the last.
    Rest,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPattern {
    /// Longer than [`MAX_PATTERN_BYTES`].
    TooLong,
    /// Not two words.
    NotTwoWords,
    /// The method is not an upper-case token.
    BadMethod(String),
    /// The path does not begin with `/`.
    NoLeadingSlash(String),
    /// `**` is not the last segment.
    RestNotLast,
    /// A wildcard or a brace is only a part of a segment, or a `{param}` has no proper name.
    BadWildcard(String),
    /// The segment would never be seen in a path: empty, `.`, `..`, with a query, a fragment, or
    /// what no path may have.
    NeverSeen(String),
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a pattern has at most {MAX_PATTERN_BYTES} bytes"),
            Self::NotTwoWords => {
                f.write_str("a pattern is a method and a path, as `GET /v1/users` or `* /v1/**`")
            }
            Self::BadMethod(word) => {
                write!(f, "`{word}` is not a method; methods are in upper case, `*` is any")
            }
            Self::NoLeadingSlash(path) => write!(f, "the path `{path}` does not begin with `/`"),
            Self::RestNotLast => f.write_str("`**` can only be the last segment; `*` is one"),
            Self::BadWildcard(segment) => {
                write!(f, "`{segment}` is not a whole segment: write `{{name}}`, `*` or `**`")
            }
            Self::NeverSeen(segment) => {
                write!(f, "`{segment}` is in no path once it is read, so nothing can match")
            }
        }
    }
}

impl std::error::Error for InvalidPattern {}

impl Pattern {
    /// Reads `METHOD /path`, for an upstream of which nobody says how it reads paths.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        Self::parse_for(text, &Paths::default())
    }

    /// Reads `METHOD /path`, for an upstream that reads paths so. A trailing slash means nothing
    /// unless there it makes another path.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse_for(text: &str, paths: &Paths) -> Result<Self, InvalidPattern> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(InvalidPattern::TooLong);
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
            return Err(InvalidPattern::NotTwoWords);
        };
        if !is_method(method) {
            return Err(InvalidPattern::BadMethod(method.to_owned()));
        }
        let method = (method != "*").then(|| Box::from(method));
        let segments = parse_path(path, paths)?;
        // The end is a segment of its own, so that `/a` is more specific than `/a/**`.
        let ranks = segments.iter().map(Segment::rank).chain([1, method_rank(method.as_deref())]);
        Ok(Self { method, ranks: ranks.collect(), segments })
    }

    /// The method; `None` is any.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The segments of the path; none is the root.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether a request is meant, as the attribute `path` says its path. One without a path is
    /// not; one without a method is only by a pattern of any method.
    #[must_use]
    pub fn matches(&self, request: &Attributes) -> bool {
        self.matches_route(request.get("method"), request.get("path"))
    }

    /// Whether a method and a canonical path are meant.
    pub(crate) fn matches_route(&self, method: Option<&str>, path: Option<&str>) -> bool {
        covers_method(self.method(), method) && path.is_some_and(|path| self.matches_path(path))
    }

    /// Whether a canonical path, as [`Attributes`] holds it, is meant.
    fn matches_path(&self, canonical: &str) -> bool {
        // What only stands for a path has none.
        let Some(path) = canonical.strip_prefix('/') else { return false };
        let mut given = (!path.is_empty()).then(|| path.split('/')).into_iter().flatten();
        for wanted in &self.segments {
            let fits = match (wanted, given.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Literal(literal), Some(segment)) => **literal == *segment,
                // No server takes nothing for the value of a parameter.
                (Segment::Param(_) | Segment::Any, Some(segment)) => !segment.is_empty(),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        given.next().is_none()
    }

    /// How specific this pattern is.
    #[must_use]
    pub fn specificity(&self) -> Specificity<'_> {
        Specificity(&self.ranks)
    }

    /// The pattern without the names of its `{params}`: patterns of one shape match the same
    /// requests with the same specificity.
    #[must_use]
    pub fn shape(&self) -> String {
        let nameless = |segment: &Segment| match segment {
            Segment::Param(_) => Segment::Param("".into()),
            other => other.clone(),
        };
        let segments = self.segments.iter().map(nameless).collect();
        Self { segments, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Pattern {
    /// Writes the canonical form, which reads back as the same pattern.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method().unwrap_or("*"))?;
        if self.segments.is_empty() {
            f.write_str("/")?;
        }
        self.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl Segment {
    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 4,
            Self::Param(_) => 3,
            Self::Any => 2,
            Self::Rest => 0,
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A bare `*` would be read as a wildcard.
            Self::Literal(literal) => f.write_str(&literal.replace('*', "%2A")),
            Self::Param(name) => write!(f, "{{{name}}}"),
            Self::Any => f.write_str("*"),
            Self::Rest => f.write_str("**"),
        }
    }
}

/// Whether a pattern's method means that of a request or of another pattern; `None` is any. Servers
/// answer `HEAD` by what handles `GET`.
fn covers_method(pattern: Option<&str>, other: Option<&str>) -> bool {
    pattern.is_none() || pattern == other || matches!((pattern, other), (Some(GET), Some(HEAD)))
}

/// Of patterns that mean one method, the greater is the more specific.
fn method_rank(method: Option<&str>) -> u8 {
    match method {
        None => 0,
        Some(GET) => 1,
        Some(_) => 2,
    }
}

fn parse_path(path: &str, paths: &Paths) -> Result<Vec<Segment>, InvalidPattern> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(InvalidPattern::NoLeadingSlash(path.to_owned()));
    };
    let (rest, slash) = rest.strip_suffix('/').map_or((rest, false), |rest| (rest, true));
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let segments = rest.split('/').map(|text| parse_segment(text, paths));
    let mut segments = segments.collect::<Result<Vec<_>, _>>()?;
    if slash && paths.trailing_slash == TrailingSlash::Differs {
        segments.push(Segment::Literal("".into()));
    }
    match segments.split_last() {
        Some((_, before)) if before.contains(&Segment::Rest) => Err(InvalidPattern::RestNotLast),
        _ => Ok(segments),
    }
}

fn parse_segment(text: &str, paths: &Paths) -> Result<Segment, InvalidPattern> {
    match text {
        "*" => return Ok(Segment::Any),
        "**" => return Ok(Segment::Rest),
        _ => {}
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
        && !name.is_empty()
        && name.bytes().all(letter)
    {
        return Ok(Segment::Param(name.into()));
    }
    if text.contains(['{', '}', '*']) {
        return Err(InvalidPattern::BadWildcard(text.to_owned()));
    }
    let mut literal = String::new();
    let read = path::push_literal(text, paths, &mut literal).is_ok();
    if !read || text.contains(['?', '#']) || matches!(&*literal, "" | "." | "..") {
        return Err(InvalidPattern::NeverSeen(text.to_owned()));
    }
    Ok(Segment::Literal(literal.into()))
}
