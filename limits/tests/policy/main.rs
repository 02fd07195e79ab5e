//! Limits files from the outside: what compiles, what is charged, what every mistake says.

#![cfg(test)]

mod addresses;
mod charges;
mod conditions;
mod documents;
mod explained;
mod indexed;
mod intents;
mod keys;
mod lints;
mod missing;
mod mutated;
mod path_lints;
mod phrases;
mod problems;
mod readings;
mod shares;
mod tenants;

use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::cases::is_case_file;
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::policy::{Compiled, Policy, Problem, SourceFile};

/// Files of these names and texts.
fn files(texts: &[(&str, &str)]) -> Vec<SourceFile> {
    let file = |(name, text): &(&str, &str)| SourceFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    texts.iter().map(file).collect()
}

/// One file, `a.yaml`, compiled.
fn compile(text: &str) -> Result<Compiled, Vec<Problem>> {
    Policy::compile(&files(&[("a.yaml", text)]))
}

/// One file that has to be good.
fn policy(text: &str) -> Policy {
    match compile(text) {
        Ok(compiled) => compiled.policy,
        Err(problems) => panic!("{text}\n{problems:#?}"),
    }
}

fn secret() -> KeySecret {
    KeySecret::new(&[7; 32]).unwrap()
}

fn request(pairs: &[(&str, &str)]) -> Attributes {
    let mut builder = AttributesBuilder::new();
    for (name, value) in pairs {
        builder.set(name, value).unwrap();
    }
    builder.finish()
}

/// Every example that people copy, with its name; not the tests of them.
fn examples() -> Vec<(String, String)> {
    let (cases, limits): (Vec<_>, Vec<_>) =
        example_files().into_iter().partition(|(name, _)| is_case_file(name));
    assert!(limits.len() >= 3 && !cases.is_empty(), "examples are missing");
    limits
}

/// The tests of the examples, with their names.
fn example_cases() -> Vec<(String, String)> {
    example_files().into_iter().filter(|(name, _)| is_case_file(name)).collect()
}

fn example_files() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}
