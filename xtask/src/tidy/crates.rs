//! The rule of which crate of ours may depend on which.

use super::Finding;
use crate::workspace::Package;

/// What a crate may depend on, in code and besides in its tests.
struct Row {
    name: &'static str,
    code: &'static [&'static str],
    tests: &'static [&'static str],
}

const LIMITS: &str = "sluicegate-limits";
const PROTO: &str = "sluicegate-proto";
const SERVICE: &str = "sluicegate";
const CLIENT: &str = "sluicegate-client";
const LOADTEST: &str = "sluicegate-loadtest";

/// The table of `ARCHITECTURE.md`. The tests of the client and of loadtest run a real service.
const TABLE: [Row; 7] = [
    Row { name: LIMITS, code: &[], tests: &[] },
    Row { name: PROTO, code: &[], tests: &[] },
    Row { name: SERVICE, code: &[LIMITS, PROTO], tests: &[] },
    Row { name: CLIENT, code: &[LIMITS, PROTO], tests: &[SERVICE] },
    Row { name: LOADTEST, code: &[CLIENT, PROTO], tests: &[SERVICE, LIMITS] },
    Row {
        name: "sluicegate-benches",
        code: &[LIMITS, PROTO, SERVICE, CLIENT, LOADTEST],
        tests: &[],
    },
    Row { name: "xtask", code: &[], tests: &[] },
];

/// Every dependency between crates of ours that the table does not have.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(check_one).collect()
}

fn check_one(package: &Package) -> Vec<Finding> {
    let finding = |advice: String| Finding { file: package.manifest.clone(), line: 1, advice };
    let Some(row) = TABLE.iter().find(|row| row.name == package.name) else {
        return vec![finding(format!(
            "add `{}` to the table in xtask/src/tidy/crates.rs",
            package.name
        ))];
    };
    let ours = package.dependencies.iter().filter(|d| TABLE.iter().any(|row| row.name == d.name));
    ours.filter(|dependency| {
        let name = dependency.name.as_str();
        let in_tests = dependency.dev && row.tests.contains(&name);
        !row.code.contains(&name) && !in_tests && name != row.name
    })
    .map(|dependency| {
        finding(format!("`{}` must not depend on `{}`: remove it", package.name, dependency.name))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|&(name, dev)| Dependency { name: name.to_owned(), dev })
            .collect();
        Package { name: name.to_owned(), manifest: "some/Cargo.toml".to_owned(), dependencies }
    }

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let found = check(&[package(LIMITS, &[("serde", false), (PROTO, false)])]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file, "some/Cargo.toml");
        assert!(found[0].advice.contains("must not depend on `sluicegate-proto`"));
    }

    #[test]
    fn tests_of_the_client_may_run_the_service_and_its_code_may_not() {
        assert_eq!(check(&[package(CLIENT, &[(LIMITS, false), (SERVICE, true)])]), []);
        assert_eq!(check(&[package(CLIENT, &[(SERVICE, false)])]).len(), 1);
        assert_eq!(check(&[package(SERVICE, &[(CLIENT, true)])]).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        assert_eq!(check(&[package("sluicegate-new", &[])]).len(), 1);
    }
}
