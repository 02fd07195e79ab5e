//! The rules about the lines of one file.

use super::Finding;

/// The longest that a source file may be, in lines.
const MAX_LINES: usize = 500;
/// The widest that a line may be, in characters.
const MAX_COLUMNS: usize = 100;
/// Protocol files that others wrote: they stay as they came.
const VENDORED: &str = "proto/vendor/";
/// Words that promise work instead of doing it. Split, so that this file passes its own rule.
const PROMISES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const IGNORED_TEST: &str = concat!("#[ign", "ore");
const ALLOWED_LINT: &str = concat!("#[al", "low(");
/// What prints: one file escapes what a terminal would obey, and no other prints.
const PRINTS: [&str; 6] =
    ["print!(", "println!(", "eprint!(", "eprintln!(", "io::stdout", "io::stderr"];
const PRINTER: &str = "service/src/output.rs";
/// The crates whose words a terminal shows.
const PRINTED: [&str; 3] = ["service/src/", "limits/src/", "proto/src/"];

/// What a file is, as far as these rules are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rust,
    Lua,
    Proto,
    /// Files whose comments begin with `#`.
    Hash,
    Markdown,
}

impl Kind {
    fn of(file: &str) -> Option<Self> {
        if file.starts_with(VENDORED) {
            return None;
        }
        let name = file.rsplit('/').next().unwrap_or(file);
        match name.rsplit('.').next().unwrap_or(name) {
            "rs" => Some(Self::Rust),
            "lua" => Some(Self::Lua),
            "proto" => Some(Self::Proto),
            "md" => Some(Self::Markdown),
            "yaml" | "yml" | "toml" | "sh" | "Dockerfile" => Some(Self::Hash),
            _ if file == ".ci/run" => Some(Self::Hash),
            _ => None,
        }
    }

    /// How its first line begins. The package manifests have a `description` instead, and the
    /// mission's own example stays as it is.
    fn purpose_mark(self, file: &str) -> Option<&'static str> {
        match self {
            Self::Rust => Some("//!"),
            Self::Lua => Some("--"),
            Self::Proto => Some("//"),
            Self::Hash if file.ends_with("Cargo.toml") => None,
            Self::Hash if file == "limits/examples/quickstart.yaml" => None,
            Self::Hash => Some("#"),
            Self::Markdown => None,
        }
    }

    fn is_source(self) -> bool {
        matches!(self, Self::Rust | Self::Lua | Self::Proto)
    }
}

/// Every broken rule in one file.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let Some(kind) = Kind::of(file) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut add = |line: usize, advice: String| {
        findings.push(Finding { file: file.to_owned(), line, advice });
    };
    let count = text.lines().count();
    if kind.is_source() && count > MAX_LINES {
        add(count, format!("{count} lines: split it, {MAX_LINES} is the most"));
    }
    if file.ends_with("/mod.rs") {
        add(1, "rename it to the name of its module: there is no mod.rs here".to_owned());
    }
    if let Some(mark) = kind.purpose_mark(file)
        && !first_line(text).starts_with(mark)
    {
        add(1, format!("begin with a line `{mark} …` that says what the file is for"));
    }
    if kind == Kind::Rust {
        for line in silenced_lints(text) {
            add(line, "say why: `#[expect(…, reason = \"…\")]`".to_owned());
        }
    }
    let mut fenced = false;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let is_fence = kind == Kind::Markdown && line.trim_start().starts_with("```");
        fenced ^= is_fence;
        let free = fenced || is_fence || may_be_wide(kind, line);
        let columns = line.chars().count();
        if columns > MAX_COLUMNS && !free {
            add(number, format!("{columns} columns: wrap it, {MAX_COLUMNS} is the most"));
        }
        check_words(kind, line).into_iter().for_each(|advice| add(number, advice));
    }
    let is_printed = PRINTED.iter().any(|folder| file.starts_with(folder));
    if is_printed && file != PRINTER && !file.ends_with("/tests.rs") {
        // What stands in a crate's own tests comes after its code.
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
        for (index, _) in code.filter(|(_, line)| PRINTS.iter().any(|word| line.contains(word))) {
            add(index + 1, format!("print through {PRINTER}: it escapes what terminals obey"));
        }
    }
    findings
}

/// What cannot be wrapped: a table's row, a link in Markdown, a type's name in Envoy's YAML.
fn may_be_wide(kind: Kind, line: &str) -> bool {
    match kind {
        Kind::Markdown => {
            line.trim_start().starts_with('|') || line.contains("](") || line.contains("://")
        }
        Kind::Hash => line.trim_start().starts_with("\"@type\": type.googleapis.com/"),
        Kind::Rust => line.starts_with("//! | ") || line.trim_start().starts_with("/// | "),
        Kind::Lua | Kind::Proto => false,
    }
}

fn check_words(kind: Kind, line: &str) -> Option<String> {
    if kind == Kind::Markdown {
        return None;
    }
    if let Some(word) = PROMISES.iter().find(|word| line.contains(**word)) {
        return Some(format!("do it now or write an issue: no {word} in the code"));
    }
    if kind != Kind::Rust {
        return None;
    }
    if line.contains(IGNORED_TEST) {
        return Some("let the test run or delete it: no test is ignored".to_owned());
    }
    None
}

/// The lines on which a lint is silenced without a reason.
fn silenced_lints(text: &str) -> impl Iterator<Item = usize> {
    let silent = text.match_indices(ALLOWED_LINT).filter(|(at, _)| {
        let attribute = text.split_at(*at).1.split(")]").next().unwrap_or_default();
        !attribute.contains("reason = ")
    });
    silent.map(|(at, _)| text.split_at(at).0.lines().count() + 1)
}

/// The first line that is not the one that names the interpreter.
fn first_line(text: &str) -> &str {
    let is_attribute = |line: &str| line.starts_with("#![");
    text.lines().find(|line| !line.starts_with("#!") || is_attribute(line)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines with findings, and the beginning of each advice.
    fn found(file: &str, text: &str) -> Vec<(usize, String)> {
        let short = |advice: String| advice.chars().take(12).collect();
        check(file, text).into_iter().map(|f| (f.line, short(f.advice))).collect()
    }

    #[test]
    fn a_clean_file_has_no_findings() {
        assert_eq!(found("a/b.rs", "//! Purpose.\n\nfn f() {}\n"), []);
        assert_eq!(found(".ci/run", "#!/usr/bin/env bash\n# Purpose.\n"), []);
        assert_eq!(found("a.lua", "#!lua\n-- Purpose.\n"), []);
        assert_eq!(found("a/Cargo.toml", "[package]\n"), []);
        assert_eq!(found("logo.png", "anything"), []);
    }

    #[test]
    fn a_missing_purpose_line_is_found_in_every_format() {
        let advice = vec![(1, "begin with a".to_owned())];
        for file in ["a.rs", "a.lua", "proto/sluicegate.proto", "a.yaml", "b.toml", "c.sh"] {
            assert_eq!(found(file, "x\n"), advice, "{file}");
        }
        assert_eq!(found("proto/vendor/envoy/config/a.proto", "x\n"), []);
        assert_eq!(found("limits/examples/quickstart.yaml", "rate_limits: {}\n"), []);
    }

    #[test]
    fn a_long_file_is_found_unless_others_wrote_it() {
        let text = format!("// Purpose.\n{}", "x\n".repeat(500));
        assert_eq!(found("proto/a.proto", &text), [(501, "501 lines: s".to_owned())]);
        assert_eq!(found("proto/vendor/google/a.proto", &text), []);
    }

    #[test]
    fn a_wide_line_is_found_and_tables_links_and_transcripts_may_be_wide() {
        let wide = "é".repeat(101);
        let rust = format!("//! Purpose.\n{wide}\n{}\n", "é".repeat(100));
        assert_eq!(found("a.rs", &rust), [(2, "101 columns:".to_owned())]);
        let table = format!("//! Purpose.\n//! | {wide} |\nfn f() {{\n    /// | {wide} |\n}}\n");
        assert_eq!(found("a.rs", &table), []);
        let page = format!("| {wide} |\n[{wide}](a)\n```\n{wide}\n```\n{wide}\n");
        assert_eq!(found("a.md", &page), [(6, "101 columns:".to_owned())]);
        let envoy = format!("# Purpose.\n\"@type\": type.googleapis.com/{wide}\na: {wide}\n");
        assert_eq!(found("a.yaml", &envoy), [(3, "104 columns:".to_owned())]);
    }

    #[test]
    fn promises_ignored_tests_and_silenced_lints_are_found() {
        let text = format!(
            "//! Purpose.\n// {}: later\n{}]\n{}dead_code)]\n{}\n  x,\n  reason = \"y\")]\n",
            PROMISES[0], IGNORED_TEST, ALLOWED_LINT, ALLOWED_LINT
        );
        let mut lines: Vec<usize> =
            found("a.rs", &text).into_iter().map(|(line, _)| line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [2, 3, 4]);
        assert_eq!(found("src/a/mod.rs", "//! Purpose.\n"), [(1, "rename it to".to_owned())]);
    }

    #[test]
    fn one_file_prints() {
        let text = "//! Purpose.\nprintln!(\"x\");\nio::stderr()\n#[cfg(test)]\nprintln!(\"x\");\n";
        let advice = "print throug".to_owned();
        assert_eq!(found("service/src/a.rs", text), [(2, advice.clone()), (3, advice)]);
        assert_eq!(found(PRINTER, text), []);
        assert_eq!(found("loadtest/src/a.rs", text), []);
    }
}
