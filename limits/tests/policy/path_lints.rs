//! Lints about paths, with settings that say how they are read.

use sluicegate_limits::attributes::{
    Case, EncodedSlash, MatrixParams, NonUtf8, Paths, TrailingSlash,
};
use sluicegate_limits::policy::Policy;
use sluicegate_limits::policy::lint::{Service, Surroundings};
use sluicegate_limits::time::Timestamp;

use crate::files;

/// The lints of a file, as `line:column code`.
fn with_paths(text: &str, paths: Paths) -> Vec<String> {
    let compiled = Policy::compile_for(&files(&[("a.yaml", text)]), paths).unwrap();
    let service = Some(Service { denies_unmatched: true, ..Service::default() });
    let found = compiled.lints(&Surroundings { now: Timestamp::ZERO, service });
    found.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.code)).collect()
}

#[test]
fn paths_that_the_settings_never_deliver_are_told() {
    let sensitive = Paths { case: Some(Case::Sensitive), ..Paths::default() };
    let data = Paths { encoded_slash: EncodedSlash::Data, ..sensitive };
    let separator = Paths { encoded_slash: EncodedSlash::Separator, ..sensitive };
    let limit = |patterns: &str| {
        format!("rate_limits:\n  a: {{ match: {patterns}, limit: 5, window: 1s }}")
    };
    let one = limit("\"GET /a%2Fb\"");
    assert_eq!(with_paths(&one, sensitive), ["2:15 undelivered_path"]);
    assert_eq!(with_paths(&one, separator), ["2:15 undelivered_path"]);
    assert_eq!(with_paths(&one, data), [""; 0]);
    // Both readings are of this limit: none is refused, and as a slash it is the other pattern.
    let both = limit("[\"GET /a%2Fb\", \"GET /a/b\"]");
    assert_eq!(with_paths(&both, sensitive), [""; 0]);
    assert_eq!(with_paths(&both, separator), ["2:16 undelivered_path"]);
    let bytes = limit("\"GET /%E9\"");
    assert_eq!(with_paths(&bytes, sensitive), ["2:15 undelivered_path"]);
    let raw = Paths { non_utf8: NonUtf8::Data, ..sensitive };
    assert_eq!(with_paths(&bytes, raw), [""; 0]);
    let params = limit("\"GET /a;v\"");
    for (matrix_params, found) in [(MatrixParams::Strip, 1), (MatrixParams::Keep, 0)] {
        let paths = Paths { matrix_params, ..sensitive };
        assert_eq!(with_paths(&params, paths).len(), found, "{matrix_params:?}");
    }
}

#[test]
fn settings_that_do_not_say_whether_case_matters_are_told_where_it_does() {
    let none = Paths::default();
    let limit = |rest: &str| format!("rate_limits:\n  a: {{ {rest}limit: 5, window: 1s }}");
    let named = limit("match: \"GET /a\", ");
    assert_eq!(with_paths(&named, none), ["2:15 unsaid_case"]);
    assert_eq!(with_paths(&limit("when: 'path == \"/a\"', "), none), ["2:14 unsaid_case"]);
    let cost = format!("endpoint_costs: {{ \"GET /a\": 2 }}\n{}", limit(""));
    assert_eq!(with_paths(&cost, none), ["1:19 unsaid_case"]);
    for case in [Case::Sensitive, Case::Insensitive] {
        assert_eq!(with_paths(&named, Paths { case: Some(case), ..none }), [""; 0]);
    }
    for other in ["match: \"* /**\", ", "match: \"GET /1/{x}\", ", ""] {
        assert_eq!(with_paths(&limit(other), none), [""; 0], "{other}");
    }
}

#[test]
fn two_entries_that_the_settings_make_one_are_an_error() {
    let text = "endpoint_costs: { \"GET /A\": 2, \"GET /a\": 3 }\nrate_limits: {}";
    let two = files(&[("a.yaml", text)]);
    assert!(Policy::compile(&two).is_ok());
    let folds = Paths { case: Some(Case::Insensitive), ..Paths::default() };
    assert_eq!(Policy::compile_for(&two, folds).unwrap_err()[0].code, "repeated_endpoint");
    let text = "endpoint_costs: { \"GET /a/\": 2, \"GET /a\": 3 }\nrate_limits: {}";
    let two = files(&[("a.yaml", text)]);
    assert_eq!(Policy::compile(&two).unwrap_err()[0].code, "repeated_endpoint");
    let differs = Paths { trailing_slash: TrailingSlash::Differs, ..Paths::default() };
    assert!(Policy::compile_for(&two, differs).is_ok());
}
