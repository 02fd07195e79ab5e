//! `sluicegate fmt`: one layout for limits files and their tests; comments stay.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use pretty_yaml::config::{FormatOptions, LayoutOptions};
use serde_json::json;
use sluicegate_limits::policy::problem::code;
use sluicegate_limits::policy::{Problem, SourceFile, yaml};

use super::{Exit, Output, check};
use crate::output::{Stream, print_json};
use crate::reload::Sources;

/// The widest line that a list or map in brackets may fill.
const WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Fmt {
    /// Limits files and tests of limits, or directories of them
    #[arg(value_name = "FILE_OR_DIR", required = true)]
    paths: Vec<PathBuf>,
    /// Write nothing; name the files that would change, and fail if there are any
    #[arg(long)]
    check: bool,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(fmt: &Fmt) -> Exit {
    let mut sources = Sources::read_both(&fmt.paths);
    let mut problems = std::mem::take(&mut sources.problems);
    let mut differing = Vec::new();
    for file in &sources.files {
        match formatted(file) {
            Ok(text) if text == file.text => {}
            Ok(text) => differing.push((file, text)),
            Err(problem) => problems.push(problem),
        }
    }
    if !fmt.check {
        // A file that cannot be laid out does not keep the others from it.
        for (file, text) in &differing {
            if let Err(error) = replace(Path::new(&file.name), text) {
                let message = format!("cannot be written: {error}");
                let help = "name files that this process may write";
                problems.push(Problem::about_file(code::UNREADABLE, &file.name, message, help));
            }
        }
    }
    let exit = match (problems.is_empty(), fmt.check && !differing.is_empty()) {
        (false, _) => Exit::Configuration,
        (true, true) => Exit::No,
        (true, false) => Exit::Yes,
    };
    let names: Vec<&str> = differing.iter().map(|(file, _)| file.name.as_str()).collect();
    if fmt.output == Output::Json {
        let errors: Vec<_> = problems.iter().map(check::entry).collect();
        let ok = exit == Exit::Yes;
        print_json(&json!({"ok": ok, "differing": names, "errors": errors}));
        return exit;
    }
    match exit {
        Exit::Configuration => check::show(&sources, &problems, &[]),
        _ => Stream::Out.page(|page| {
            page.lines(names);
        }),
    }
    if exit == Exit::No {
        Stream::Err.line("`sluicegate fmt` would change what is listed");
    }
    exit
}

/// The text in the one layout, and certainly with the same meaning.
fn formatted(file: &SourceFile) -> Result<String, Problem> {
    let text = file.text.as_str();
    let about = |code, message| Problem::about_file(code, &file.name, message, "it stays as it is");
    yaml::check(text).map_err(|stopped| about(code::SYNTAX, stopped))?;
    let layout = LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() };
    let options = FormatOptions { layout, ..FormatOptions::default() };
    let laid_out = pretty_yaml::format_text(text, &options)
        .map_err(|error| about(code::SYNTAX, error.to_string()))?;
    if !yaml::same(text, &laid_out) {
        let message = "the layout would change what the file says".to_owned();
        return Err(about(code::UNSUPPORTED_YAML, message));
    }
    Ok(laid_out)
}

/// Replaces a file as a whole: a reader sees the old text or the new, never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays a link to the same file.
    let path = fs::canonicalize(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    // A name that the limits' watcher does not look at.
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: String) -> SourceFile {
        SourceFile { name: "a.yaml".into(), text }
    }

    /// Every example and its tests.
    fn examples() -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../limits/examples");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn the_examples_have_the_layout() {
        for text in examples() {
            assert_eq!(formatted(&file(text.clone())).unwrap(), text);
        }
    }

    #[test]
    fn the_layout_keeps_comments_and_meaning() {
        let ugly = "# head\n\n\nrate_limits:\n    a:   {key:   t,limit: 5,   window: 1m}   # why\n\
                    \x20   b:\n      match: [ 'GET /x',\n       \"POST /y\" ]\n      # inside\n\
                    \x20     limit:    1_000\n      window:  1m\n";
        let laid_out = "# head\n\nrate_limits:\n  a: { key: t, limit: 5, window: 1m } # why\n  b:\n\
                        \x20   match: [\"GET /x\", \"POST /y\"]\n    # inside\n    limit: 1_000\n\
                        \x20   window: 1m\n";
        assert_eq!(formatted(&file(ugly.to_owned())).unwrap(), laid_out);
        let message = formatted(&file("a: [".to_owned())).unwrap_err().message;
        assert!(message.contains("line 1"), "{message}");
    }

    #[test]
    fn what_is_laid_out_stays_so_and_means_the_same() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let examples = examples();
        let (mut changed, mut refused) = (0, 0);
        for _ in 0..600 {
            let mut text = random.choice(&examples).unwrap().clone();
            for _ in 0..random.usize(1..4) {
                mutate(&mut text, &mut random);
            }
            let Ok(once) = formatted(&file(text.clone())) else {
                refused += 1;
                continue;
            };
            assert!(yaml::same(&text, &once));
            let comments = |text: &str| text.matches('#').count();
            assert_eq!(comments(&text), comments(&once), "{text}\n---\n{once}");
            let twice = formatted(&file(once.clone())).unwrap();
            assert_eq!(twice, once, "{text}");
            changed += u32::from(text != once);
        }
        assert!(changed > 100 && refused > 20, "{changed} changed, {refused} refused");
    }

    /// Changes the layout, or now and then what stands there.
    fn mutate(text: &mut String, random: &mut fastrand::Rng) {
        let places: Vec<usize> = text.match_indices([' ', '\n']).map(|(at, _)| at).collect();
        let Some(&at) = random.choice(&places) else { return };
        let more = ["  ", "\n\n", " # why\n", "\n# alone\n", ",", "[", "'", "\t", "- ", "x"];
        let piece = if random.u8(..4) > 0 { " " } else { random.choice(more).unwrap() };
        text.insert_str(at, piece);
    }
}
