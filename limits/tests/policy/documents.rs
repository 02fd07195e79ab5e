//! docs/limits.md says what the code does: its examples compile, and no key or code is missing.

use sluicegate_limits::policy::keys::{
    COST_KEYS, EXCEPTION_KEYS, FILE_KEYS, LIMIT_KEYS, PENALTY_KEYS, PLAN_KEYS, TENANT_KEYS,
    WAS_KEYS,
};
use sluicegate_limits::policy::{
    ATTRIBUTE_FAMILIES, Accuracy, Algorithm, KNOWN_ATTRIBUTES, MissingKey, Mode, OnStoreFailure,
    Period, Problem,
};

use crate::{compile, examples};

const PAGE: &str = include_str!("../../../docs/limits.md");

const README: &str = include_str!("../../../README.md");

/// The blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    blocks_of(PAGE, language)
}

fn blocks_of(page: &'static str, language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let bodies = page.split(begin.as_str()).skip(1);
    bodies.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_example_of_the_page_compiles() {
    let blocks = blocks("yaml");
    assert!(blocks.len() >= 4, "the page has lost its examples");
    for block in blocks {
        match compile(block) {
            Ok(compiled) => assert!(compiled.warnings.is_empty(), "{:#?}", compiled.warnings),
            Err(problems) => panic!("{block}\n{problems:#?}"),
        }
    }
}

#[test]
fn the_first_example_is_the_quickstart() {
    let (_, quickstart) =
        examples().into_iter().find(|(name, _)| name.ends_with("quickstart.yaml")).unwrap();
    let body: Vec<&str> = quickstart.lines().filter(|line| !line.starts_with('#')).collect();
    for page in [PAGE, README] {
        assert_eq!(blocks_of(page, "yaml")[0].trim(), body.join("\n").trim());
    }
}

#[test]
fn every_key_and_word_is_named() {
    let words = Algorithm::WORDS.map(|(word, _)| word).into_iter();
    let words = words.chain(Mode::WORDS.map(|(word, _)| word));
    let words = words.chain(OnStoreFailure::WORDS.map(|(word, _)| word));
    let words = words.chain(MissingKey::WORDS.map(|(word, _)| word));
    let words = words.chain(Period::WORDS.map(|(word, _)| word));
    let words = words.chain(Accuracy::WORDS.map(|(word, _)| word));
    for name in words.chain(KNOWN_ATTRIBUTES.iter().copied()) {
        assert!(PAGE.contains(&format!("`{name}`")), "the page does not name `{name}`");
    }
    for family in ATTRIBUTE_FAMILIES {
        assert!(PAGE.contains(&format!("`{family}NAME`")), "the page does not name {family}");
    }
    for key in FILE_KEYS.iter().chain(LIMIT_KEYS) {
        let name = key.name;
        assert!(PAGE.contains(&format!("\n| `{name}` | ")), "no row for `{name}`");
    }
    for key in PENALTY_KEYS.iter().chain(WAS_KEYS).chain(COST_KEYS) {
        assert!(PAGE.contains(&format!("`{}`", key.name)), "the page does not name {}", key.name);
    }
}

#[test]
fn the_table_of_codes_is_the_codes() {
    let (_, table) = PAGE.split_once("| code | meaning |\n| --- | --- |\n").unwrap();
    let expected: Vec<_> =
        Problem::CODES.iter().map(|(code, meaning)| format!("| `{code}` | {meaning} |")).collect();
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_shown_problem_is_what_the_compiler_says() {
    let problems = compile("rate_limits: {a: {key: tenant_id, limit: 5, windw: 1m}}").unwrap_err();
    let shown = problems[0].to_string().replace("a.yaml", "bad.yaml");
    assert_eq!(blocks("text")[0].trim(), shown);
}

/// One example shows every key of the language.
#[test]
fn the_examples_show_every_key() {
    let all: String = examples().into_iter().map(|(_, text)| text).collect();
    let of_limits = LIMIT_KEYS.iter().chain(PENALTY_KEYS).chain(WAS_KEYS).chain(COST_KEYS);
    let of_tenants = PLAN_KEYS.iter().chain(TENANT_KEYS).chain(EXCEPTION_KEYS);
    for key in FILE_KEYS.iter().chain(of_limits).chain(of_tenants) {
        assert!(all.contains(&format!("{}:", key.name)), "no example shows `{}`", key.name);
    }
}
