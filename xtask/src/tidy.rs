//! `cargo xtask tidy`: the rules of the house that rustfmt and clippy do not check.

mod crates;
mod lines;

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::workspace::Workspace;

/// The longest that `ARCHITECTURE.md` may be, in lines.
const MAX_ARCHITECTURE_LINES: usize = 150;
/// Where YAML that people copy lives: every such file must at least parse.
const YAML_TO_PARSE: [&str; 4] =
    ["limits/examples/", "deploy/envoy/", "deploy/compose/", "docker-compose.yml"];

/// A broken rule: where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) advice: String,
}

/// Prints every finding; one is enough to fail.
pub(crate) fn command() -> Outcome<()> {
    let workspace = Workspace::find()?;
    let mut findings = crates::check(&workspace.packages);
    let files = files(&workspace.root)?;
    for file in &files {
        // A file that is not text (an image) has no lines to check.
        if let Ok(text) = std::fs::read_to_string(workspace.root.join(file)) {
            findings.extend(check_file(file, &text));
        }
    }
    for finding in &findings {
        eprintln!("{}:{}: {}", finding.file, finding.line, finding.advice);
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing to do", files.len());
            Ok(())
        }
        count => Err(format!("{count} findings")),
    }
}

/// The files of the project: tracked, or new and not ignored.
fn files(root: &Path) -> Outcome<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root);
    let output = git.output().map_err(|error| format!("cannot run git ls-files: {error}"))?;
    if !output.status.success() {
        return Err("git ls-files failed: tidy needs a git checkout".to_owned());
    }
    let list = String::from_utf8_lossy(&output.stdout);
    Ok(list.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// All rules about one file.
fn check_file(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = lines::check(file, text);
    let count = text.lines().count();
    if file == "ARCHITECTURE.md" && count >= MAX_ARCHITECTURE_LINES {
        let advice = format!("{count} lines: keep it under {MAX_ARCHITECTURE_LINES}");
        findings.push(Finding { file: file.to_owned(), line: count, advice });
    }
    if YAML_TO_PARSE.iter().any(|place| file.starts_with(place)) && is_yaml(file) {
        findings.extend(parse_yaml(file, text));
    }
    findings
}

fn is_yaml(file: &str) -> bool {
    file.ends_with(".yaml") || file.ends_with(".yml")
}

fn parse_yaml(file: &str, text: &str) -> Option<Finding> {
    let error = serde_saphyr::from_str::<serde_json::Value>(text).err()?;
    let line = error.location().map_or(1, |place| place.line());
    let line = usize::try_from(line).unwrap_or(1);
    Some(Finding { file: file.to_owned(), line, advice: format!("mend the YAML: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_architecture_page_is_found() {
        assert_eq!(check_file("ARCHITECTURE.md", &"line\n".repeat(149)), []);
        let found = check_file("ARCHITECTURE.md", &"line\n".repeat(150));
        assert_eq!(found.len(), 1);
        assert_eq!(check_file("docs/limits.md", &"line\n".repeat(150)), []);
    }

    #[test]
    fn broken_yaml_is_found_at_its_line_and_only_where_people_copy_it() {
        let broken = "# Purpose.\na: 1\nb: [1,\nc: 2\n";
        let found = check_file("limits/examples/a.yaml", broken);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].line >= 3, "{found:?}");
        assert_eq!(check_file("limits/tests/cases/broken.yaml", broken), []);
        assert_eq!(check_file("limits/examples/a.yaml", "# Purpose.\na: {b: [1, 2]}\n"), []);
    }

    #[test]
    fn the_repository_itself_has_files() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(files(root).unwrap().iter().any(|file| file == "xtask/Cargo.toml"));
    }
}
