//! Patterns against a matcher that lists every request they mean, on small alphabets.

#![cfg(test)]

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use sluicegate_limits::attributes::{Attributes, AttributesBuilder, Case, Paths, TrailingSlash};
use sluicegate_limits::policy::pattern::{InvalidPattern, MAX_PATTERN_BYTES, Pattern, Segment};

const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Paths of the small world have at most this many segments.
const DEPTH: usize = 4;

fn request(method: &str, path: &str) -> Attributes {
    let mut builder = AttributesBuilder::new();
    builder.set("method", method).unwrap().set("path", path).unwrap();
    builder.finish()
}

/// Every way to go on from each of `paths` by one segment.
fn one_further(paths: &BTreeSet<String>) -> BTreeSet<String> {
    paths.iter().flat_map(|path| NAMES.map(|name| format!("{path}/{name}"))).collect()
}

/// The paths that a pattern's path means, without a leading `/` for the root.
fn listed(pattern: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::from([String::new()]);
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        paths = match segment {
            "**" => {
                let mut all = paths.clone();
                for _ in 0..DEPTH {
                    all.extend(one_further(&all));
                }
                all
            }
            "*" => one_further(&paths),
            _ if segment.starts_with('{') => one_further(&paths),
            literal => paths.iter().map(|path| format!("{path}/{literal}")).collect(),
        };
    }
    paths.retain(|path| path.matches('/').count() <= DEPTH);
    paths
}

/// Every pattern of up to three segments, the last of them `**` or not.
fn patterns() -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut all = paths.clone();
    for _ in 0..3 {
        let rests = paths.iter().map(|path| format!("{path}/**"));
        all.extend(rests.collect::<Vec<_>>());
        let kinds = ["a", "b", "{x}", "{y}", "*"];
        paths = paths.iter().flat_map(|path| kinds.map(|kind| format!("{path}/{kind}"))).collect();
        all.extend(paths.clone());
    }
    let full = |path: &String| if path.is_empty() { "/".to_owned() } else { path.clone() };
    let methods = ["GET", "HEAD", "POST", "*"];
    let with_methods = |path: &String| methods.map(|m| format!("{m} {}", full(path)));
    all.iter().flat_map(with_methods).collect()
}

fn world() -> Vec<(String, String)> {
    let paths = listed("/**");
    let all = |path: &String| METHODS.map(|method| (method.to_owned(), path.clone()));
    paths.iter().flat_map(all).collect()
}

#[test]
fn a_pattern_matches_just_what_it_lists() {
    let requests: Vec<_> = world()
        .into_iter()
        .map(|(method, path)| {
            let given = if path.is_empty() { "/" } else { &path };
            (request(&method, given), method, path)
        })
        .collect();
    let mut checked = 0_usize;
    for text in patterns() {
        let pattern = Pattern::parse(&text).unwrap();
        let (wanted, path) = text.split_once(' ').unwrap();
        let meant = listed(path);
        for (request, method, path) in &requests {
            let expected = means(wanted, method) && meant.contains(path);
            assert_eq!(pattern.matches(request), expected, "{text} {method} {path}");
            checked += 1;
        }
    }
    assert!(checked > 200_000, "{checked}");
}

/// Whether a pattern of one method is about requests of another: `GET` is about `HEAD`.
fn means(wanted: &str, method: &str) -> bool {
    wanted == "*" || wanted == method || (wanted == "GET" && method == "HEAD")
}

/// The ranks of the words of a pattern's path, the end included, then of its method.
fn ranks(text: &str) -> Vec<usize> {
    let (method, path) = text.split_once(' ').unwrap();
    let order = |segment: &str| match segment {
        "**" => 0,
        "*" => 2,
        _ if segment.starts_with('{') => 3,
        _ => 4,
    };
    let mut ranks: Vec<_> = path.split('/').filter(|s| !s.is_empty()).map(order).collect();
    let of_method = match method {
        "*" => 0,
        "GET" => 1,
        _ => 2,
    };
    ranks.extend([1, of_method]);
    ranks
}

#[test]
fn specificity_is_a_total_order_by_segments() {
    let texts = patterns();
    let all: Vec<_> = texts.iter().map(|text| (Pattern::parse(text).unwrap(), text)).collect();
    for (one, one_text) in &all {
        for (other, other_text) in &all {
            let order = one.specificity().cmp(&other.specificity());
            assert_eq!(order, ranks(one_text).cmp(&ranks(other_text)), "{one} {other}");
        }
    }
}

#[test]
fn only_patterns_of_one_shape_share_requests_and_rank() {
    // Fewer patterns, since every pair of them is compared by what it lists.
    let texts: Vec<_> =
        patterns().into_iter().filter(|text| text.matches('/').count() < 3).collect();
    let all: Vec<_> = texts
        .iter()
        .map(|text| {
            let (method, path) = text.split_once(' ').unwrap();
            (Pattern::parse(text).unwrap(), method, listed(path))
        })
        .collect();
    let mut equal = 0;
    for (one, one_method, one_paths) in &all {
        for (other, other_method, other_paths) in &all {
            let same_method = means(one_method, other_method) || means(other_method, one_method);
            let share = same_method && !one_paths.is_disjoint(other_paths);
            let same_rank = one.specificity() == other.specificity();
            assert_eq!(share && same_rank, one.shape() == other.shape(), "{one} | {other}");
            equal += usize::from(one.shape() == other.shape() && one != other);
        }
    }
    assert!(equal > 10, "{equal}");
}

#[test]
fn the_most_specific_of_the_matching_is_the_one_a_reader_expects() {
    let all = [
        "* /**",
        "POST /**",
        "POST /v1/**",
        "POST /v1/*",
        "POST /v1/{id}",
        "* /v1/search",
        "POST /v1/search",
        "POST /v1/search/**",
        "POST /v1/{id}/items",
        "POST /v1/search/{item}",
    ]
    .map(|text| Pattern::parse(text).unwrap());
    let best = |method: &str, path: &str| {
        let request = request(method, path);
        let matching = all.iter().filter(|pattern| pattern.matches(&request));
        matching.max_by_key(|pattern| pattern.specificity()).map(ToString::to_string)
    };
    for (path, expected) in [
        ("/", "POST /**"),
        ("/v1", "POST /v1/**"),
        ("/v1/users", "POST /v1/{id}"),
        ("/v1/search", "POST /v1/search"),
        ("/v1/search/items", "POST /v1/search/{item}"),
        ("/v1/users/items", "POST /v1/{id}/items"),
        ("/v1/search/a/b", "POST /v1/search/**"),
    ] {
        assert_eq!(best("POST", path).as_deref(), Some(expected), "{path}");
    }
    assert_eq!(best("GET", "/v1/search").as_deref(), Some("* /v1/search"));
    assert_eq!(best("GET", "/v1/users").as_deref(), Some("* /**"));
    // A HEAD is the GET that answers it, unless it has an entry of its own.
    let heads = ["* /a", "GET /a", "GET /b", "HEAD /b", "HEAD /**", "* /c/d"];
    let heads = heads.map(|text| Pattern::parse(text).unwrap());
    let best = |path: &str| {
        let matching = heads.iter().filter(|pattern| pattern.matches(&request("HEAD", path)));
        matching.max_by_key(|pattern| pattern.specificity()).unwrap().to_string()
    };
    assert_eq!(best("/a"), "GET /a");
    assert_eq!(best("/b"), "HEAD /b");
    assert_eq!(best("/c/d"), "* /c/d", "the path counts before the method");
    assert_eq!(best("/e"), "HEAD /**");
}

#[test]
fn a_slash_at_the_end_is_a_part_of_a_pattern_only_where_it_makes_another_path() {
    let differs = Paths { trailing_slash: TrailingSlash::Differs, ..Paths::default() };
    let read = |text| Pattern::parse_for(text, &differs).unwrap();
    let request = |path: &str| {
        let mut builder = AttributesBuilder::new();
        builder.set("method", "GET").unwrap().set("path", path).unwrap();
        builder.finish_for(&differs)
    };
    let (with, without, below) = (read("GET /a/"), read("GET /a"), read("GET /a/**"));
    assert!(with.matches(&request("/a/")) && !with.matches(&request("/a")));
    assert!(without.matches(&request("/a")) && !without.matches(&request("/a/")));
    assert!(below.matches(&request("/a")) && below.matches(&request("/a/")));
    assert!(!read("GET /a/{x}").matches(&request("/a/")), "nothing is no parameter");
    assert!(below.covers(&with) && !read("GET /a/*").covers(&with));
    assert!(!with.overlaps(&without) && !with.overlaps(&read("GET /a/{x}")));
    assert_eq!((with.to_string(), read("GET /").to_string()), ("GET /a/".into(), "GET /".into()));
    assert_eq!(Pattern::parse("GET /a/"), Pattern::parse("GET /a"), "else it means nothing");
}

#[test]
fn literals_are_in_small_letters_where_requests_are() {
    let folds = Paths { case: Some(Case::Insensitive), ..Paths::default() };
    let pattern = Pattern::parse_for("GET /V1/{Id}/Ä%7B", &folds).unwrap();
    assert_eq!(pattern.to_string(), "GET /v1/{Id}/%C3%A4%7B");
}

#[test]
fn what_is_absent_matches_no_name() {
    let mut builder = AttributesBuilder::new();
    builder.set("method", "GET").unwrap();
    let no_path = builder.finish();
    let mut builder = AttributesBuilder::new();
    builder.set("path", "/a").unwrap();
    let no_method = builder.finish();
    let pattern = |text| Pattern::parse(text).unwrap();
    assert!(!pattern("* /**").matches(&no_path));
    assert!(pattern("* /a").matches(&no_method));
    assert!(!pattern("GET /a").matches(&no_method));
}

#[test]
fn literals_are_spelled_as_requests_are() {
    for (text, path) in [
        ("GET /café", "/caf%c3%a9"),
        ("GET /caf%c3%a9", "/café"),
        ("GET /v1/%72eports", "/v1/reports"),
        ("GET /reports:export", "/reports%3aexport"),
        ("GET /a%20b", "/a%20b"),
        ("GET /%7bid%7d", "/{id}"),
        ("GET /%2a", "/*"),
        ("GET /%2a", "/%2A"),
        ("GET /a/", "/a"),
        ("GET /a", "/a/"),
        ("GET /a%3bb", "/a%3Bb"),
        ("GET /@a%2Fb", "/@a%2fb"),
        ("GET /a;b", "/a;b"),
        ("GET /a%e9", "/a%E9"),
    ] {
        assert!(Pattern::parse(text).unwrap().matches(&request("GET", path)), "{text} {path}");
    }
    assert!(!Pattern::parse("GET /%2a").unwrap().matches(&request("GET", "/a")));
    assert!(!Pattern::parse("GET /Reports").unwrap().matches(&request("GET", "/reports")));
}

#[test]
fn a_pattern_reads_back_what_it_writes() {
    for (text, canonical) in [
        ("GET /", "GET /"),
        ("  GET \t /a/  ", "GET /a"),
        ("* /**", "* /**"),
        ("M-SEARCH /{item_id}/*/x", "M-SEARCH /{item_id}/*/x"),
        ("GET /%2a/%2A%2a/%7e", "GET /%2A/%2A%2A/~"),
    ] {
        let pattern = Pattern::parse(text).unwrap();
        assert_eq!(pattern.to_string(), canonical);
        assert_eq!(Pattern::parse(canonical).as_ref(), Ok(&pattern));
    }
    let pattern = Pattern::parse("GET /a/{id}/*/**").unwrap();
    let segments =
        [Segment::Literal("a".into()), Segment::Param("id".into()), Segment::Any, Segment::Rest];
    assert_eq!((pattern.method(), pattern.segments()), (Some("GET"), &segments[..]));
    assert_eq!(Pattern::parse("* /").unwrap().method(), None);
}

#[test]
fn what_is_no_pattern_is_refused_with_its_reason() {
    use InvalidPattern::{BadMethod, BadWildcard, NeverSeen, NoLeadingSlash};
    for text in ["", " ", "GET", "/v1/users", "GET /a b", "GET /a POST /b"] {
        assert_eq!(Pattern::parse(text), Err(InvalidPattern::NotTwoWords), "{text:?}");
    }
    for method in ["get", "Get", "G(T", "GET,POST", "GÉT"] {
        let refused = Err(BadMethod(method.into()));
        assert_eq!(Pattern::parse(&format!("{method} /a")), refused);
    }
    for path in ["a", "*", "**", "http://host/a", "\\a"] {
        assert_eq!(Pattern::parse(&format!("GET {path}")), Err(NoLeadingSlash(path.into())));
    }
    for path in ["/**/a", "/**/**", "/a/**/*"] {
        let refused = Err(InvalidPattern::RestNotLast);
        assert_eq!(Pattern::parse(&format!("GET {path}")), refused, "{path}");
    }
    for segment in ["a*", "*a", "***", "{id}.json", "{", "}", "{}", "{a-b}", "{*}", "a{b}"] {
        let refused = Pattern::parse(&format!("GET /x/{segment}/y")).unwrap_err();
        assert_eq!(refused, BadWildcard(segment.into()));
    }
    for segment in ["", ".", "..", "%2e", "..;", "a?b", "a#b", "%zz", "%", "a\\b", "%00", "%c0%af"]
    {
        let refused = Pattern::parse(&format!("GET /x/{segment}/y"));
        assert_eq!(refused, Err(NeverSeen(segment.into())), "{segment}");
    }
    let long = format!("GET /{}", "a".repeat(MAX_PATTERN_BYTES));
    assert_eq!(Pattern::parse(&long), Err(InvalidPattern::TooLong));
}

#[test]
fn no_text_panics_and_what_is_read_is_read_back() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let pieces = [
        "GET ", "* ", "/", "/", "a", "*", "**", "{", "}", "{id}", "%2a", "%", "..", ";", " ", "é",
        "\\", "\0", "?",
    ];
    let rest = Pattern::parse("GET /**").unwrap();
    let mut read: BTreeMap<bool, usize> = BTreeMap::new();
    for _ in 0..200_000 {
        let mut text = String::from(if random.u8(0..4) > 0 { "GET /" } else { "" });
        for _ in 0..random.usize(0..8) {
            match random.u8(0..10) {
                0 => text.push(random.char(..)),
                _ => text.extend(random.choice(pieces)),
            }
        }
        let pattern = Pattern::parse(&text);
        *read.entry(pattern.is_ok()).or_default() += 1;
        let Ok(pattern) = pattern else { continue };
        let again = Pattern::parse(&pattern.to_string()).unwrap();
        assert_eq!(again, pattern, "{text:?} seed {seed}");
        assert_eq!(again.specificity().cmp(&pattern.specificity()), Ordering::Equal);
        assert_eq!(again.shape(), pattern.shape());
        let request = request("GET", text.trim_start().trim_start_matches(|c| c != '/'));
        assert_eq!(again.matches(&request), pattern.matches(&request), "{text:?} seed {seed}");
        let has_path = request.get("path").is_some();
        assert_eq!(rest.matches(&request), has_path, "{text:?} seed {seed}");
    }
    assert!(read.values().all(|count| *count > 10_000), "{read:?}");
}
