//! Runs the tests of the workspace against the real parts.

use std::process::{Command, Stdio};

use crate::Outcome;
use crate::parts::{PARTS, get_all};
use crate::workspace::{Workspace, cargo, run};

/// `cargo xtask test`: doc tests first, so that the runner's summary is what is printed last.
pub(crate) fn test(args: &[String]) -> Outcome<()> {
    let workspace = Workspace::find()?;
    let exports = exports(&workspace)?;
    let with_nextest = has_nextest();
    let scope = if names_package(args) { None } else { Some("--workspace") };
    if with_nextest && args.is_empty() {
        println!("test: doc tests with cargo test --doc");
        let mut doc = cargo();
        doc.args(["test", "--workspace", "--doc", "--quiet"]).envs(exports.clone());
        run(doc.current_dir(&workspace.root), "cargo test --doc")?;
    }
    let mut tests = cargo();
    if with_nextest {
        println!("test: cargo nextest run (cargo-nextest is installed)");
        tests.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        println!("test: cargo test (cargo-nextest is not installed)");
        tests.args(["test", "--no-fail-fast"]);
    }
    tests.args(scope).args(args).envs(exports);
    run(tests.current_dir(&workspace.root), "the test runner")
}

/// Runs some tests of `service/tests/real`, one after the other, and shows what they print.
pub(crate) fn real_test(filter: &str, build: &[&str], counts: &[(&str, &str)]) -> Outcome<()> {
    let workspace = Workspace::find()?;
    let mut tests = cargo();
    tests.args(["test", "--package", "sluicegate", "--test", "real"]).args(build);
    tests.args(["--", "--nocapture", "--test-threads=1", filter]);
    tests.envs(counts.iter().copied()).envs(exports(&workspace)?);
    run(tests.current_dir(&workspace.root), filter.trim_end_matches(':'))
}

/// The environment that tells the tests where the parts are; gets the parts first.
fn exports(workspace: &Workspace) -> Outcome<Vec<(&'static str, std::path::PathBuf)>> {
    Ok(PARTS.iter().map(|part| part.variable).zip(get_all(workspace)?).collect())
}

fn has_nextest() -> bool {
    let mut probe: Command = cargo();
    probe.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Whether the caller chose packages: Cargo ignores `-p` beside `--workspace`.
fn names_package(args: &[String]) -> bool {
    args.iter().any(|arg| {
        arg == "--package"
            || arg.starts_with("--package=")
            || (arg.starts_with("-p") && !arg.starts_with("--"))
    })
}

#[cfg(test)]
mod tests {
    use super::names_package;

    #[test]
    fn a_package_argument_replaces_the_whole_workspace() {
        let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(names_package(&args("-p sluicegate name")));
        assert!(names_package(&args("-psluicegate")));
        assert!(names_package(&args("--package=sluicegate")));
        assert!(!names_package(&args("name --profile ci")));
    }
}
