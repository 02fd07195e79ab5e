//! Reads limits files within bounds: which files there are, their text, and what cannot be read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use sluicegate_limits::cases::is_case_file;
use sluicegate_limits::policy::problem::code;
use sluicegate_limits::policy::yaml::MAX_FILE_BYTES;
use sluicegate_limits::policy::{Compiled, Policy, Problem, SourceFile};

use crate::settings::Conventions;

/// The most limits files.
pub const MAX_FILES: usize = 1_000;
/// The most bytes of all limits files together.
pub const MAX_TOTAL_BYTES: usize = 64 << 20;

/// What was found at the paths of the limits.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The files that could be read, sorted by path.
    pub files: Vec<SourceFile>,
    /// What could not be read, and why.
    pub problems: Vec<Problem>,
}

/// Which files are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Limits,
    Cases,
    Both,
}

impl Sources {
    /// Reads every limits file, and in every directory each `*.yaml` and `*.yml` whose name does
    /// not begin with a dot; not recursive. Tests of limits are left out, named or not.
    #[must_use]
    pub fn read(paths: &[PathBuf]) -> Self {
        Self::read_kind(paths, Kind::Limits)
    }

    /// Reads tests of limits in the same way: the case files of directories, and every file.
    #[must_use]
    pub fn read_cases(paths: &[PathBuf]) -> Self {
        Self::read_kind(paths, Kind::Cases)
    }

    /// Reads limits files and tests of them in the same way.
    #[must_use]
    pub fn read_both(paths: &[PathBuf]) -> Self {
        Self::read_kind(paths, Kind::Both)
    }

    fn read_kind(paths: &[PathBuf], kind: Kind) -> Self {
        let mut sources = Self::default();
        let mut total = 0;
        for path in sources.list(paths, kind) {
            match read_one(&path) {
                Ok(file) => {
                    total += file.text.len();
                    sources.files.push(file);
                }
                Err(problem) => sources.problems.push(problem),
            }
            if total > MAX_TOTAL_BYTES {
                let message = format!("the limits files have more than {MAX_TOTAL_BYTES} bytes");
                let help = "serve fewer of them, or let one limit do the work of many";
                sources.problems.push(about(&path, code::TOO_LARGE, message, help));
                break;
            }
        }
        if let ([], [], Some(path)) = (&*sources.files, &*sources.problems, paths.first()) {
            let (message, help) = match kind {
                Kind::Limits | Kind::Both => (
                    "there is no limits file here",
                    "a name that ends in .yaml or .yml, not in .test.yaml, and begins with no dot",
                ),
                Kind::Cases => (
                    "there is no case file here",
                    "a name that ends in .test.yaml and begins with no dot",
                ),
            };
            let message = message.to_owned();
            sources.problems.push(about(path, code::EMPTY, message, help));
        }
        sources
    }

    /// Compiles what was read as the settings say; a file that could not be read is an error like
    /// any other.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn compile(&self, conventions: Conventions) -> Result<Compiled, Vec<Problem>> {
        // With no file to read, the only thing worth saying is why.
        let compiled = match (self.files.is_empty(), self.problems.is_empty()) {
            (true, false) => return Err(self.problems.clone()),
            _ => Policy::compile_for(&self.files, conventions.paths),
        };
        match compiled {
            Ok(mut compiled) if self.problems.is_empty() => {
                compiled.policy = compiled.policy.with_ip_prefix(conventions.ip_prefix);
                Ok(compiled)
            }
            Ok(_) => Err(self.problems.clone()),
            Err(more) => Err(self.problems.iter().cloned().chain(more).collect()),
        }
    }

    /// Names this content: equal exactly where nothing changed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        for file in &self.files {
            part(&file.name);
            part(&file.text);
        }
        for problem in &self.problems {
            part(&problem.file);
            part(&problem.message);
        }
        hash.finalize().into()
    }

    fn list(&mut self, paths: &[PathBuf], kind: Kind) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for path in paths {
            if !path.is_dir() {
                // Who names a file as a test of limits means it, whatever its name.
                let meant = kind != Kind::Limits || kind.has(path);
                found.extend(meant.then(|| path.clone()));
                continue;
            }
            let entries = match fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) => {
                    self.problems.push(unreadable(path, &error.to_string()));
                    continue;
                }
            };
            let files = entries.flatten().map(|entry| match entry.path() {
                // `./a.yaml` is `a.yaml`: one file, one name.
                path if path.starts_with(".") => path.components().skip(1).collect(),
                path => path,
            });
            found.extend(files.filter(|path| is_yaml(path) && kind.has(path)));
            if found.len() > MAX_FILES {
                let message = format!("there are more than {MAX_FILES} limits files");
                let help = "put more limits into one file";
                self.problems.push(about(path, code::TOO_MANY_FILES, message, help));
                found.clear();
            }
        }
        found
    }
}

impl Kind {
    fn has(self, path: &Path) -> bool {
        self == Self::Both || is_case_file(&path.to_string_lossy()) == (self == Self::Cases)
    }
}

/// Whether a file of a directory is one to look at.
fn is_yaml(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    yaml && !hidden
}

fn read_one(path: &Path) -> Result<SourceFile, Problem> {
    let failed = |error: std::io::Error| unreadable(path, &error.to_string());
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unreadable(path, "it is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    SourceFile::from_bytes(path.display().to_string(), bytes)
}

fn unreadable(path: &Path, why: &str) -> Problem {
    let help = "name a file or a folder that this process may read";
    about(path, code::UNREADABLE, format!("cannot be read: {why}"), help)
}

fn about(path: &Path, code: &'static str, message: String, help: &str) -> Problem {
    Problem::about_file(code, &path.display().to_string(), message, help)
}
