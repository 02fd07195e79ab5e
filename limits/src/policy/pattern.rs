//! Patterns of endpoints: `METHOD /path`, and which of two is more specific.
//!
//! A segment of the path is a literal, `{param}` (any one segment, with a name for its reader),
//! `*` (any one segment) or, last only, `**` (zero or more segments). The method is a token in
//! upper case, or `*` for any; `GET` is `HEAD` too, since servers route it so. Literals are
//! spelled as requests' paths are ([`crate::attributes`]), so that both sides are compared in one
//! form.

mod relation;

use std::fmt;

use crate::attributes::{Attributes, is_method, path};

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
    /// The segment would never be seen in a normalised path: empty, `.`, `..`, with a query,
    /// fragment, `;params`, or with escapes that cannot be normalised.
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
                write!(f, "`{segment}` is in no path after normalisation, so nothing can match")
            }
        }
    }
}

impl std::error::Error for InvalidPattern {}

impl Pattern {
    /// Reads `METHOD /path`. A trailing slash means nothing, as in a request.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
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
        let segments = parse_path(path)?;
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

    /// Whether a request is meant. One without a path is not; one with an opaque path is, if the
    /// method fits; one without a method is only by a pattern of any method.
    #[must_use]
    pub fn matches(&self, request: &Attributes) -> bool {
        let Some(path) = request.get("path") else { return false };
        covers_method(self.method(), request.get("method")) && self.matches_path(path)
    }

    /// Whether a canonical path, as [`Attributes`] holds it, is meant; an opaque one always is.
    fn matches_path(&self, canonical: &str) -> bool {
        if canonical == path::OPAQUE {
            return true;
        }
        let path = canonical.strip_prefix('/').unwrap_or(canonical);
        let mut given = path.split('/').filter(|segment| !segment.is_empty());
        for wanted in &self.segments {
            let fits = match (wanted, given.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Literal(literal), Some(segment)) => **literal == *segment,
                (Segment::Param(_) | Segment::Any, Some(_)) => true,
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

fn parse_path(path: &str) -> Result<Vec<Segment>, InvalidPattern> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(InvalidPattern::NoLeadingSlash(path.to_owned()));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let segments = rest.split('/').map(parse_segment).collect::<Result<Vec<_>, _>>()?;
    match segments.split_last() {
        Some((_, before)) if before.contains(&Segment::Rest) => Err(InvalidPattern::RestNotLast),
        _ => Ok(segments),
    }
}

fn parse_segment(text: &str) -> Result<Segment, InvalidPattern> {
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
    let normalised = path::push_segment(text, &mut literal).is_some();
    if !normalised || text.contains([';', '?', '#']) || matches!(&*literal, "" | "." | "..") {
        return Err(InvalidPattern::NeverSeen(text.to_owned()));
    }
    Ok(Segment::Literal(literal.into()))
}
