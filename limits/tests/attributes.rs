//! Attributes against the corpus of tricks with paths and addresses, and against random input.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sluicegate_limits::attributes::{
    Attributes, AttributesBuilder, Case, DotSegments, EmptySegments, EncodedSlash,
    InvalidAttribute, MAX_ATTRIBUTES, MAX_NAME_BYTES, MAX_VALUE_BYTES, MatrixParams, NonUtf8,
    PathFault, PathSetting, Paths, TRAFFIC_CLASSES, TrailingSlash, canonical_name,
};
use sluicegate_limits::policy::{Policy, SourceFile};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathCase {
    given: String,
    #[serde(default)]
    with: BTreeMap<String, String>,
    path: Option<String>,
    #[serde(default)]
    or: Vec<String>,
    by: Option<String>,
    fault: Option<String>,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressCase {
    given: String,
    address: Option<String>,
    key: Option<String>,
    #[serde(default)]
    why: String,
}

/// The canonical value of one attribute.
fn canonical(name: &str, value: &str) -> Result<String, InvalidAttribute> {
    let mut builder = AttributesBuilder::new();
    builder.set(name, value)?;
    Ok(builder.finish().get(name).unwrap_or_default().to_owned())
}

/// The settings of a case, by their keys and words.
fn paths(with: &BTreeMap<String, String>) -> Paths {
    fn word<T: Copy>(words: &[(&str, T)], word: &str) -> T {
        words.iter().find(|(known, _)| *known == word).unwrap_or_else(|| panic!("{word}")).1
    }
    let mut paths = Paths::default();
    for (key, text) in with {
        match key.as_str() {
            "encoded_slash" => paths.encoded_slash = word(EncodedSlash::WORDS, text),
            "dot_segments" => paths.dot_segments = word(DotSegments::WORDS, text),
            "matrix_params" => paths.matrix_params = word(MatrixParams::WORDS, text),
            "empty_segments" => paths.empty_segments = word(EmptySegments::WORDS, text),
            "trailing_slash" => paths.trailing_slash = word(TrailingSlash::WORDS, text),
            "non_utf8" => paths.non_utf8 = word(NonUtf8::WORDS, text),
            "case" => paths.case = Some(word(Case::WORDS, text)),
            other => panic!("no setting {other}"),
        }
    }
    paths
}

/// The request of a target.
fn request(method: &str, target: &str, paths: &Paths) -> Attributes {
    let mut builder = AttributesBuilder::new();
    builder.set("path", target).unwrap();
    builder.set("method", method).unwrap();
    builder.finish_for(paths)
}

#[test]
fn targets_are_read_as_the_settings_say() {
    let cases: Vec<PathCase> = serde_saphyr::from_str(include_str!("cases/paths.yaml")).unwrap();
    for PathCase { given, with, path, or, by, fault, why } in cases {
        let about = format!("{given:?} {with:?} {why}");
        let settings = paths(&with);
        let facts = request("GET", &given, &settings);
        let readings: Vec<_> =
            facts.readings().iter().map(|other| other.path.to_string()).collect();
        let cause = facts.readings().first().map(|other| other.fault.cause());
        assert_eq!(facts.get("path"), path.as_deref(), "{about}");
        assert_eq!(facts.path_fault().map(PathFault::cause), fault.as_deref(), "{about}");
        assert_eq!(readings, or, "{about}");
        assert_eq!(cause, by.as_deref(), "{about}");
        // What is canonical is read as what it was.
        let Some(path) = facts.get("path") else { continue };
        let again = request("GET", path, &settings);
        assert_eq!(again.get("path"), Some(path), "{about}");
    }
}

#[test]
fn only_the_server_itself_and_a_tunnel_have_no_path() {
    let paths = Paths::default();
    for (method, target) in [("OPTIONS", "*"), ("CONNECT", "host:443"), ("CONNECT", "[::1]:443")] {
        let facts = request(method, target, &paths);
        assert_eq!((facts.get("path"), facts.path_fault()), (None, None), "{method} {target}");
    }
    let refused = [("GET", "*"), ("OPTIONS", "a"), ("OPTIONS", "*?a"), ("CONNECT", "/%zz")];
    for (method, target) in refused {
        let facts = request(method, target, &paths);
        assert!(facts.path_fault().is_some() && facts.get("path").is_none(), "{method} {target}");
    }
    assert_eq!(request("CONNECT", "/chat", &paths).get("path"), Some("/chat"), "it has one here");
}

#[test]
fn every_fault_says_what_to_do_and_never_the_path() {
    let settings = PathSetting::ALL.iter().map(|setting| PathFault::Ambiguous(*setting));
    for fault in PathFault::PLAIN.iter().copied().chain(settings) {
        let text = fault.to_string();
        assert!(text.starts_with("the path has ") && text.contains(": "), "{text}");
    }
    let text = PathFault::Ambiguous(PathSetting::EncodedSlash).to_string();
    assert!(text.contains("set `paths.encoded_slash` to `data` or `separator`"), "{text}");
}

#[test]
fn addresses_have_one_spelling_and_count_by_their_network() {
    let text = include_str!("cases/addresses.yaml");
    let cases: Vec<AddressCase> = serde_saphyr::from_str(text).unwrap();
    let limits = "rate_limits: { a: { key: ip_address, limit: 1, window: 1s } }";
    let file = SourceFile { name: "test.yaml".into(), text: limits.into() };
    let policy = Policy::compile(&[file]).unwrap().policy;
    for AddressCase { given, address, key, why } in cases {
        let found = canonical("ip_address", &given).ok();
        assert_eq!(found, address, "{given:?} {why}");
        let Some(found) = found else { continue };
        assert_eq!(canonical("ip_address", &found).unwrap(), found, "{given:?} {why}");
        let mut facts = AttributesBuilder::new();
        facts.set("ip_address", &given).unwrap();
        let facts = facts.finish();
        let counted = policy.counted(&facts, "ip_address").unwrap();
        assert_eq!(counted, key.unwrap_or(found), "{given:?} {why}");
    }
}

#[test]
fn hosts_have_one_spelling() {
    for (given, host) in [
        ("Api.Example.COM", Some("api.example.com")),
        ("api.example.com:8443", Some("api.example.com")),
        ("api.example.com.:80", Some("api.example.com")),
        ("api.example.com:", Some("api.example.com")),
        ("my_host-1", Some("my_host-1")),
        ("192.0.2.1:80", Some("192.0.2.1")),
        ("[2001:DB8::0:1]:443", Some("[2001:db8::1]")),
        ("[::1]", Some("[::1]")),
        ("::1", None),
        ("[::1", None),
        ("[::1]80", None),
        ("[v1.a]", None),
        ("user@host", None),
        ("host/path", None),
        ("a[b", None),
        ("..", None),
        ("host:80:81", None),
        ("host:http", None),
        ("a b", None),
        ("a\0", None),
        ("é.example", None),
        (".", None),
        (":80", None),
    ] {
        assert_eq!(canonical("host", given).ok().as_deref(), host, "{given:?}");
    }
}

#[test]
fn methods_are_upper_case_tokens() {
    for method in ["GET", "M-SEARCH", "X_1", "!#$%&'*+-.^_`|~"] {
        assert_eq!(canonical("method", method).as_deref(), Ok(method));
    }
    for method in ["get", "Get", "GET ", " ", "GET/", "G\0", "GÉT", "GET,POST"] {
        let refused = InvalidAttribute::BadValue {
            name: "method".into(),
            expected: "an upper-case HTTP method",
        };
        assert_eq!(canonical("method", method), Err(refused), "{method:?}");
    }
}

#[test]
fn a_traffic_class_is_one_of_four_words() {
    for class in TRAFFIC_CLASSES {
        assert_eq!(canonical("traffic_class", class).as_deref(), Ok(class));
    }
    for value in ["partnr", "PARTNER", " partner", "public"] {
        assert!(canonical("traffic_class", value).is_err(), "{value}");
    }
}

#[test]
fn places_are_in_upper_case() {
    assert_eq!(canonical("country", "es").as_deref(), Ok("ES"));
    assert_eq!(canonical("region", "Es-md").as_deref(), Ok("ES-MD"));
}

#[test]
fn authenticated_is_always_set() {
    assert_eq!(Attributes::default().get("authenticated"), Some("false"));
    assert_eq!(canonical("authenticated", "true").as_deref(), Ok("true"));
    assert_eq!(canonical("authenticated", "").as_deref(), Ok("false"));
    for value in ["True", "yes", "1", " true"] {
        assert!(canonical("authenticated", value).is_err(), "{value}");
    }
}

#[test]
fn facts_are_sorted_by_name_and_found_again() {
    let mut builder = AttributesBuilder::new();
    builder.set("tenant_id", "acme").unwrap().set("claims.plan", "gold").unwrap();
    builder.set("path", "/a//b").unwrap().set("headers.X-Team", "Blue").unwrap();
    let facts = builder.finish();
    let all: Vec<_> = facts.iter().collect();
    let expected = [
        ("authenticated", "false"),
        ("claims.plan", "gold"),
        ("headers.x-team", "Blue"),
        ("path", "/a/b"),
        ("tenant_id", "acme"),
    ];
    assert_eq!(all, expected);
    assert!(expected.iter().all(|(name, value)| facts.get(name) == Some(value)));
    assert_eq!(facts.get("tenant"), None);
}

#[test]
fn equal_facts_are_equal_in_any_order() {
    let facts = |pairs: [(&str, &str); 2]| {
        let mut builder = AttributesBuilder::new();
        for (name, value) in pairs {
            builder.set(name, value).unwrap();
        }
        builder.finish()
    };
    assert_eq!(facts([("a", "1"), ("b", "2")]), facts([("b", "2"), ("a", "1")]));
    assert_ne!(facts([("a", "1"), ("b", "2")]), facts([("a", "2"), ("b", "1")]));
}

#[test]
fn a_refused_fact_leaves_the_others_as_they_were() {
    let mut builder = AttributesBuilder::new();
    builder.set("tenant_id", "acme").unwrap();
    let repeated = Err(InvalidAttribute::Repeated("tenant_id".into()));
    assert_eq!(builder.set("tenant_id", "other").map(drop), repeated);
    assert!(builder.set("ip_address", "nowhere").is_err());
    assert!(builder.set("host", "a b").is_err());
    builder.set("ip_address", "192.0.2.1").unwrap();
    let facts = builder.finish();
    assert_eq!(facts.get("tenant_id"), Some("acme"));
    assert_eq!(facts.get("ip_address"), Some("192.0.2.1"));
    assert_eq!(facts.iter().count(), 3);
}

#[test]
fn an_empty_value_is_an_absent_attribute() {
    let mut builder = AttributesBuilder::new();
    for name in ["tenant_id", "path", "ip_address", "host", "method"] {
        builder.set(name, "").unwrap();
    }
    builder.set("tenant_id", "acme").unwrap();
    let facts = builder.finish();
    assert_eq!(facts.iter().count(), 2);
    assert_eq!(facts.path_fault(), None);
}

#[test]
fn names_and_numbers_are_bounded() {
    for name in ["", "a b", "a:b", "é", "a\0", &"x".repeat(MAX_NAME_BYTES + 1)] {
        assert_eq!(canonical(name, "v"), Err(InvalidAttribute::BadName), "{name:?}");
    }
    assert!(canonical(&"x".repeat(MAX_NAME_BYTES), "v").is_ok());
    assert!(canonical("tenant_id", &"v".repeat(MAX_VALUE_BYTES)).is_ok());
    assert!(canonical("tenant_id", &"v".repeat(MAX_VALUE_BYTES + 1)).is_err());

    let mut builder = AttributesBuilder::new();
    for number in 1..MAX_ATTRIBUTES {
        builder.set(&format!("claims.{number}"), "v").unwrap();
    }
    assert_eq!(builder.set("one_more", "v").map(drop), Err(InvalidAttribute::TooMany));
    builder.set("authenticated", "true").unwrap();
    assert_eq!(builder.finish().iter().count(), MAX_ATTRIBUTES);
}

/// The settings of an upstream that resolves, merges and strips all that it can.
fn folding() -> Paths {
    Paths {
        dot_segments: DotSegments::Resolve,
        matrix_params: MatrixParams::Strip,
        ..Paths::default()
    }
}

#[test]
fn long_paths_are_kept_whole() {
    let read = |target: &str| request("GET", target, &folding()).get("path").map(str::len);
    assert_eq!(read(&format!("/{}", "a/".repeat(32_000))), Some(64_000));
    let deep = format!("/{}{}", "a/".repeat(16_000), "../".repeat(10_000));
    assert_eq!(read(&deep), Some(12_000));
    assert_eq!(read(&"/".repeat(65_000)), Some(1));
    let many = request("GET", &"/%e9;x%2fb".repeat(740), &Paths::default());
    assert_eq!(many.readings().len(), 7);
    let more = request("GET", &"/%e9;x%2fb".repeat(6_000), &Paths::default());
    assert_eq!(more.path_fault(), Some(PathFault::Ambiguous(PathSetting::EncodedSlash)));
}

#[test]
fn errors_and_debug_text_show_no_value() {
    let error = canonical("ip_address", "secret-value").unwrap_err();
    let mut builder = AttributesBuilder::new();
    builder.set("user_id", "secret-value").unwrap();
    let shown = format!("{error} {error:?} {builder:?} {:?}", builder.clone().finish());
    assert!(!shown.contains("secret-value"), "{shown}");
    assert!(shown.contains("ip_address") && shown.contains("user_id"), "{shown}");
    assert_eq!(canonical_name("claims.Sub").as_deref(), Ok("claims.Sub"));
}

/// Random texts of the pieces that tricks are made of, with random bytes among them.
fn random_text(random: &mut fastrand::Rng, pieces: &[&str]) -> String {
    let mut text = Vec::new();
    for _ in 0..random.usize(0..12) {
        match random.u8(0..8) {
            0 => text.push(random.u8(..)),
            1 => text.extend(random.char(..).to_string().bytes()),
            2 => text.extend(format!("%{:02x}", random.u8(..)).bytes()),
            _ => text.extend(random.choice(pieces).into_iter().flat_map(|piece| piece.bytes())),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Random settings.
fn random_paths(random: &mut fastrand::Rng) -> Paths {
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

#[test]
fn canonical_text_stays_as_it_is_and_nothing_panics() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let pieces = [
        "/",
        "/",
        "//",
        ".",
        "..",
        "/../",
        "a",
        "b",
        "%2e",
        "%2f",
        "%",
        "%25",
        ";",
        "\\",
        "?",
        "#",
        "*",
        "http://",
        "é",
        ":",
        "::",
        "[",
        "]",
        "1",
        "255",
        "ffff",
        "/64",
        "%eth0",
        "2002:",
        "64:ff9b::",
    ];
    for _ in 0..200_000 {
        let text = random_text(&mut random, &pieces);
        for name in ["ip_address", "host", "method", "authenticated", "tenant_id"] {
            let Ok(once) = canonical(name, &text) else { continue };
            assert_eq!(canonical(name, &once), Ok(once.clone()), "{name} {text:?} seed {seed}");
        }
        let _ = AttributesBuilder::new().set(&text, &text);
    }
}

#[test]
fn canonical_paths_stay_as_they_are_and_nothing_panics() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let pieces = [
        "/", "/", "//", ".", "..", "/../", "a", "B", "%2e", "%2f", "%5c", "%25", ";", ";x", "É",
        "%e9", "%3b", "#", "?", "\\", "%", "*", "http://", "é",
    ];
    let (mut one, mut several, mut faults) = (0, 0, 0);
    for _ in 0..200_000 {
        let text = format!("/{}", random_text(&mut random, &pieces));
        let paths = random_paths(&mut random);
        let facts = request("GET", &text, &paths);
        let about = format!("{text:?} {paths:?} seed {seed}");
        let Some(path) = facts.get("path") else {
            assert!(facts.path_fault().is_some() && facts.readings().is_empty(), "{about}");
            faults += 1;
            continue;
        };
        *if facts.readings().is_empty() { &mut one } else { &mut several } += 1;
        assert!(facts.path_fault().is_none() && facts.readings().len() < 8, "{about}");
        let all = facts.readings().iter().map(|reading| &*reading.path).chain([path]);
        for path in all.clone() {
            assert!(path.starts_with('/') && path.is_ascii(), "{about}");
            assert!(paths.case != Some(Case::Insensitive) || !has_capitals(path), "{about}");
        }
        assert_eq!(all.clone().collect::<BTreeSet<_>>().len(), all.count(), "{about}");
        // What was stripped may have been a slash.
        if paths.matrix_params == MatrixParams::Strip && paths.encoded_slash == EncodedSlash::Refuse
        {
            continue;
        }
        let again = request("GET", path, &paths);
        assert_eq!(again.get("path"), Some(path), "{about}");
    }
    assert!(one > 20_000 && several > 20_000 && faults > 20_000, "{one} {several} {faults}");
}

/// Whether there is a capital letter outside of escapes.
fn has_capitals(path: &str) -> bool {
    let plain =
        path.split('%').enumerate().map(|(at, part)| if at > 0 { &part[2..] } else { part });
    plain.into_iter().any(|part| part.bytes().any(|byte| byte.is_ascii_uppercase()))
}

/// A spelling of the same path that no reader takes for another one.
fn respell(random: &mut fastrand::Rng, path: &str) -> String {
    let mut text = String::new();
    for segment in path.split('/').skip(1) {
        text.push('/');
        match random.u8(0..6) {
            0 => text.push('/'),
            1 => text.push_str("./"),
            2 => text.push_str("x/../"),
            3 => text.push_str("x/%2E%2e/"),
            _ => {}
        }
        for byte in segment.bytes() {
            match random.u8(0..3) {
                0 => text.push_str(&format!("%{byte:02x}")),
                1 => text.push_str(&format!("%{byte:02X}")),
                _ => text.push(char::from(byte)),
            }
        }
        if random.bool() {
            text.push_str(";v=1");
        }
    }
    let ends = ["", "/", "?q=1", "/?a/b", "//", "/./"];
    random.choice(ends).map_or(text.clone(), |end| text + end)
}

#[test]
fn every_spelling_of_a_path_is_the_same_path() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..50_000 {
        let letters = random.usize(1..5);
        let path: String =
            (0..letters).map(|_| ["/v1", "/reports", "/e:x"][random.usize(0..3)]).collect();
        let spelled = respell(&mut random, &path);
        let facts = request("GET", &spelled, &folding());
        assert_eq!(facts.get("path"), Some(&*path), "{spelled:?} seed {seed}");
        assert!(facts.readings().is_empty(), "{spelled:?} seed {seed}");
    }
}
