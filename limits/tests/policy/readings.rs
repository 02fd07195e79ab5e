//! Whichever way an upstream reads a path: a request is charged as that reading, or refused.
//!
//! An independent reader lists all paths that upstreams make of a target, and an independent
//! matcher says what each of them comes to.

use std::collections::BTreeSet;

use sluicegate_limits::attributes::{
    AttributesBuilder, Case, DotSegments, EmptySegments, EncodedSlash, MatrixParams, NonUtf8,
    Paths, TrailingSlash,
};
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::Timestamp;

use crate::{files, secret};

/// What targets are made of.
const PIECES: [&str; 18] = [
    "/", "/", "/", "a", "b", "A", "%61", ".", "..", "%2e", "%2f", "%2F", "%5c", ";", ";x", "//",
    "%e9", "é",
];

/// One part of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Letter(&'static str),
    Byte,
    Slash,
    EscapedSlash,
    EscapedBackslash,
    Semicolon,
}

/// How one upstream reads paths.
#[derive(Clone, Copy, Debug)]
struct Upstream {
    slash: bool,
    backslash: bool,
    /// 0: before it resolves and merges, 1: after, 2: in between.
    decodes: u8,
    strips: bool,
    resolves: bool,
    merges: bool,
    same_end: bool,
    latin1: bool,
    folds: bool,
}

fn tokens(target: &str) -> Vec<Token> {
    let mut rest = target;
    let mut tokens = Vec::new();
    let known = [
        ("/", Token::Slash),
        ("%2f", Token::EscapedSlash),
        ("%2F", Token::EscapedSlash),
        ("%5c", Token::EscapedBackslash),
        (";", Token::Semicolon),
        ("%61", Token::Letter("a")),
        ("%2e", Token::Letter(".")),
        ("%e9", Token::Byte),
        ("é", Token::Letter("é")),
        ("a", Token::Letter("a")),
        ("b", Token::Letter("b")),
        ("A", Token::Letter("A")),
        ("x", Token::Letter("x")),
        (".", Token::Letter(".")),
    ];
    while !rest.is_empty() {
        let (text, token) = known.iter().find(|(text, _)| rest.starts_with(text)).unwrap();
        tokens.push(*token);
        rest = &rest[text.len()..];
    }
    tokens
}

impl Upstream {
    /// All upstreams that may be behind these settings.
    fn all(paths: &Paths) -> Vec<Self> {
        let either = [false, true];
        let slash: &[bool] = match paths.encoded_slash {
            EncodedSlash::Refuse => &either,
            EncodedSlash::Data => &[false],
            EncodedSlash::Separator => &[true],
        };
        let decodes: &[u8] = match paths.encoded_slash {
            EncodedSlash::Refuse => &[0, 1, 2],
            _ => &[0],
        };
        let strips: &[bool] = match paths.matrix_params {
            MatrixParams::Refuse => &either,
            MatrixParams::Strip => &[true],
            MatrixParams::Keep => &[false],
        };
        let resolves: &[bool] = match paths.dot_segments {
            DotSegments::Refuse => &either,
            DotSegments::Resolve => &[true],
        };
        let merges: &[bool] = match paths.empty_segments {
            EmptySegments::Refuse => &either,
            EmptySegments::Merge => &[true],
            EmptySegments::Keep => &[false],
        };
        let same: &[bool] = match paths.trailing_slash {
            TrailingSlash::Refuse => &either,
            TrailingSlash::Same => &[true],
            TrailingSlash::Differs => &[false],
        };
        let latin1: &[bool] = if paths.non_utf8 == NonUtf8::Refuse { &either } else { &[false] };
        let folds = paths.case == Some(Case::Insensitive);
        let mut all = Vec::new();
        for (slash, backslash) in slash.iter().flat_map(|s| slash.iter().map(move |b| (*s, *b))) {
            for (decodes, strips) in product(decodes, strips) {
                for (resolves, merges) in product(resolves, merges) {
                    for (same_end, latin1) in product(same, latin1) {
                        all.push(Self {
                            slash,
                            backslash,
                            decodes,
                            strips,
                            resolves,
                            merges,
                            same_end,
                            latin1,
                            folds,
                        });
                    }
                }
            }
        }
        all
    }

    /// The path that it makes of a target; `None` where nobody should.
    fn read(&self, target: &[Token]) -> Option<String> {
        let is_slash = |token: Token| match token {
            Token::Slash => true,
            Token::EscapedSlash => self.slash && self.decodes == 0,
            Token::EscapedBackslash => self.backslash && self.decodes == 0,
            _ => false,
        };
        let latin1 = self.latin1 && target.contains(&Token::Byte);
        let mut segments: Vec<Vec<Token>> =
            target[1..].split(|token| is_slash(*token)).map(<[Token]>::to_vec).collect();
        if self.strips {
            for segment in &mut segments {
                let end = segment.iter().position(|token| *token == Token::Semicolon);
                segment.truncate(end.unwrap_or(segment.len()));
            }
        }
        let text = |token: &Token| match token {
            Token::Letter("é") if latin1 => "%C3%83%C2%A9".to_owned(),
            Token::Letter("é") => "%C3%A9".to_owned(),
            // Its second byte as Latin-1 is no capital letter.
            Token::Letter("A") if self.folds => "a".to_owned(),
            Token::Letter(text) => (*text).to_owned(),
            Token::Byte if latin1 => "%C3%A9".to_owned(),
            Token::Byte => "%E9".to_owned(),
            Token::Slash => unreachable!(),
            Token::EscapedSlash => "%2F".to_owned(),
            Token::EscapedBackslash => "%5C".to_owned(),
            Token::Semicolon => ";".to_owned(),
        };
        let segments: Vec<String> =
            segments.iter().map(|segment| segment.iter().map(text).collect()).collect();
        let mut segments = self.normal(segments)?;
        if self.decodes > 0 {
            let mut path = segments.join("/");
            if self.slash {
                path = path.replace("%2F", "/");
            }
            if self.backslash {
                path = path.replace("%5C", "/");
            }
            segments = path.split('/').map(ToOwned::to_owned).collect();
        }
        if self.decodes == 2 {
            segments = self.normal(segments)?;
        }
        let is_end = segments.len() > 1 && segments.last().is_some_and(String::is_empty);
        if self.same_end && is_end && !segments[segments.len() - 2].is_empty() {
            segments.pop();
        }
        Some(format!("/{}", segments.join("/")))
    }

    fn normal(&self, segments: Vec<String>) -> Option<Vec<String>> {
        let mut out: Vec<String> = Vec::new();
        let count = segments.len();
        for (at, segment) in segments.into_iter().enumerate() {
            let dots = self.resolves && (segment == "." || segment == "..");
            if dots && segment == ".." {
                if out.last().is_some_and(String::is_empty) {
                    return None;
                }
                out.pop();
            }
            if !dots {
                out.push(segment);
            } else if at + 1 == count {
                out.push(String::new());
            }
        }
        if self.merges {
            let last = out.pop().unwrap_or_default();
            out.retain(|segment| !segment.is_empty());
            out.push(last);
        }
        Some(out)
    }
}

fn product<A: Copy, B: Copy>(one: &[A], other: &[B]) -> Vec<(A, B)> {
    one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))).collect()
}

/// A condition on the path: as it is written, and what it means.
type When = (&'static str, fn(&str) -> bool);

/// A limit as it is written.
struct Limit {
    patterns: Vec<Vec<&'static str>>,
    by_path: bool,
    when: Option<When>,
}

/// Whether a path is meant by the segments of a pattern.
fn matches(pattern: &[&str], path: &str) -> bool {
    let segments: Vec<&str> = if path == "/" { Vec::new() } else { path[1..].split('/').collect() };
    let fits = |(wanted, given): (&&str, &&str)| match *wanted {
        "{x}" | "*" => !given.is_empty(),
        literal => literal == *given,
    };
    match pattern.split_last() {
        Some((&"**", before)) => {
            segments.len() >= before.len() && before.iter().zip(&segments).all(fits)
        }
        _ => segments.len() == pattern.len() && pattern.iter().zip(&segments).all(fits),
    }
}

fn random_pattern(random: &mut fastrand::Rng) -> Vec<&'static str> {
    let words = ["a", "b", "a", "b", "{x}", "*", "a%2Fb", "a;x"];
    let mut pattern: Vec<_> =
        (0..random.usize(..3)).map(|_| *random.choice(&words).unwrap()).collect();
    if random.u8(..3) == 0 {
        pattern.push("**");
    }
    pattern
}

fn random_limits(random: &mut fastrand::Rng) -> Vec<Limit> {
    let whens: [When; 3] = [
        ("path == \"/a/b\"", |path| path == "/a/b"),
        ("path.startsWith(\"/a\")", |path| path.starts_with("/a")),
        ("path != \"/b\"", |path| path != "/b"),
    ];
    let mut limit = || Limit {
        patterns: (0..random.usize(..3)).map(|_| random_pattern(random)).collect(),
        by_path: random.u8(..6) == 0,
        when: (random.u8(..6) == 0).then(|| *random.choice(&whens).unwrap()),
    };
    (0..3).map(|_| limit()).collect()
}

fn random_costs(random: &mut fastrand::Rng) -> Vec<(Vec<&'static str>, u64)> {
    let mut costs: Vec<(Vec<&str>, u64)> = Vec::new();
    for cost in 2..random.u64(2..5) {
        let pattern = random_pattern(random);
        if costs.iter().all(|(other, _)| *other != pattern) {
            costs.push((pattern, cost));
        }
    }
    costs
}

/// What a request by one path comes to: limits and costs, and the path where it is asked for.
fn outcome(
    limits: &[Limit],
    costs: &[(Vec<&str>, u64)],
    path: &str,
) -> (Vec<(usize, u64)>, String) {
    let rank = |segment: &&str| match *segment {
        "{x}" => 3,
        "*" => 2,
        "**" => 0,
        _ => 4,
    };
    let ranks = |pattern: &[&str]| pattern.iter().map(rank).chain([1]).collect::<Vec<u8>>();
    let entries = costs.iter().filter(|(pattern, _)| matches(pattern, path));
    let cost = entries.max_by_key(|(pattern, _)| ranks(pattern)).map_or(1, |(_, cost)| *cost);
    let (mut found, mut asked) = (Vec::new(), String::new());
    for (at, limit) in limits.iter().enumerate() {
        let meant = limit.patterns.is_empty() || limit.patterns.iter().any(|p| matches(p, path));
        if meant && limit.when.is_none_or(|(_, holds)| holds(path)) {
            found.push((at, cost));
            if limit.by_path || limit.when.is_some() {
                asked = path.to_owned();
            }
        }
    }
    (found, asked)
}

fn text(limits: &[Limit], costs: &[(Vec<&str>, u64)]) -> String {
    let pattern = |segments: &[&str]| format!("\"GET /{}\"", segments.join("/"));
    let costs: Vec<_> = costs.iter().map(|(p, cost)| format!("{}: {cost}", pattern(p))).collect();
    let mut text = format!("endpoint_costs: {{{}}}\nrate_limits:\n", costs.join(", "));
    for (at, limit) in limits.iter().enumerate() {
        let mut parts = vec!["limit: 1000, window: 1m".to_owned()];
        let patterns: Vec<_> = limit.patterns.iter().map(|p| pattern(p)).collect();
        if !patterns.is_empty() {
            parts.push(format!("match: [{}]", patterns.join(", ")));
        }
        parts.extend(limit.by_path.then(|| "key: path".to_owned()));
        parts.extend(limit.when.map(|(when, _)| format!("when: '{when}'")));
        text.push_str(&format!("  l{at}: {{{}}}\n", parts.join(", ")));
    }
    text
}

fn random_settings(random: &mut fastrand::Rng) -> Paths {
    fn one<T: Copy>(random: &mut fastrand::Rng, words: &[(&str, T)]) -> T {
        words[random.usize(..words.len())].1
    }
    Paths {
        encoded_slash: one(random, EncodedSlash::WORDS),
        dot_segments: one(random, DotSegments::WORDS),
        matrix_params: one(random, MatrixParams::WORDS),
        empty_segments: one(random, EmptySegments::WORDS),
        trailing_slash: one(random, TrailingSlash::WORDS),
        non_utf8: one(random, NonUtf8::WORDS),
        case: random.bool().then(|| one(random, Case::WORDS)),
    }
}

/// Whether the settings leave open at most three things of a target: then it has at most eight
/// readings but for the order in which they are made.
fn is_known(paths: &Paths, target: &str) -> bool {
    let slash = paths.encoded_slash == EncodedSlash::Refuse;
    let unknown = [
        slash && target.to_ascii_lowercase().contains("%2f"),
        slash && target.contains("%5c"),
        paths.matrix_params == MatrixParams::Refuse && target.contains(';'),
        paths.dot_segments == DotSegments::Refuse && target.contains(['.', 'e']),
        paths.empty_segments == EmptySegments::Refuse,
        paths.trailing_slash == TrailingSlash::Refuse,
        paths.non_utf8 == NonUtf8::Refuse && target.contains("%e9"),
    ];
    unknown.into_iter().filter(|unknown| *unknown).count() <= 3
}

/// Whether a target is refused whatever counts alike.
fn is_refused(paths: &Paths, target: &[Token]) -> bool {
    let finest = Upstream {
        slash: paths.encoded_slash != EncodedSlash::Data,
        backslash: paths.encoded_slash != EncodedSlash::Data,
        decodes: 0,
        strips: false,
        resolves: false,
        merges: false,
        same_end: false,
        latin1: false,
        folds: false,
    };
    let path = finest.read(target).unwrap();
    let dots = |segment: &str| segment.starts_with(".;") || segment.starts_with("..;");
    let separator = paths.encoded_slash == EncodedSlash::Separator;
    let escaped = |token: &Token| *token == Token::EscapedBackslash;
    let in_params = target.split(|token| *token == Token::Slash).any(|segment| {
        let params = segment.iter().position(|token| *token == Token::Semicolon);
        params.is_some_and(|at| segment[at..].contains(&Token::EscapedSlash))
    });
    path.split('/').any(dots)
        || separator && target.iter().any(escaped)
        || separator && paths.matrix_params != MatrixParams::Keep && in_params
}

#[test]
fn a_request_is_charged_as_its_upstream_reads_it_or_refused() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut charged, mut refused, mut several) = (0, 0, 0);
    for _ in 0..400 {
        let paths = random_settings(&mut random);
        let upstreams = Upstream::all(&paths);
        let (limits, costs) = (random_limits(&mut random), random_costs(&mut random));
        let file = text(&limits, &costs);
        let policy = match Policy::compile_for(&files(&[("a.yaml", &file)]), paths) {
            Ok(compiled) => compiled.policy,
            Err(problems) => panic!("{file}\n{problems:#?}"),
        };
        for _ in 0..60 {
            let mut target = "/".to_owned();
            (0..random.usize(..9)).for_each(|_| target.push_str(random.choice(&PIECES).unwrap()));
            let tokens = tokens(&target);
            let read: BTreeSet<_> = upstreams.iter().map(|up| up.read(&tokens)).collect();
            let all: Option<BTreeSet<String>> = read.iter().cloned().collect();
            let outcomes: BTreeSet<_> =
                all.iter().flatten().map(|path| outcome(&limits, &costs, path)).collect();
            let mut facts = AttributesBuilder::new();
            facts.set("method", "GET").unwrap().set("path", &target).unwrap();
            let facts = facts.finish_for(&paths);
            let about = format!("{target}\n{file}{paths:?}\n{read:?}\nseed {seed}");
            match policy.charges(&facts, None, &secret(), Timestamp::ZERO) {
                Ok(charges) => {
                    let found = charges.iter().map(|charge| {
                        let name = charge.limit.name.strip_prefix('l').unwrap();
                        (name.parse().unwrap(), charge.tokens.get())
                    });
                    let found: Vec<(usize, u64)> = found.collect();
                    let expected: Vec<_> = outcomes.iter().map(|(found, _)| found).collect();
                    assert!(all.is_some(), "{about}");
                    assert_eq!(expected, [&found], "{about}");
                    assert_eq!(outcomes.len(), 1, "it is counted by its path: {about}");
                    charged += 1;
                    several += usize::from(read.len() > 1);
                }
                Err(error) => {
                    let reason = all.is_none() || outcomes.len() > 1;
                    let reason = reason || is_refused(&paths, &tokens);
                    // What has more readings than are compared may be refused for that.
                    let bounded = is_known(&paths, &target) && read.len() <= 8;
                    assert!(reason || !bounded, "{error}: {about}");
                    refused += 1;
                }
            }
        }
    }
    let enough = charged > 5_000 && refused > 3_000 && several > 500;
    assert!(enough, "{charged} charged, {several} of several readings, {refused} refused");
}
