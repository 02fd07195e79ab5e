//! The case files and what they are about: found, read, compiled, every mistake kept.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use sluicegate_limits::cases::{Case, LimitsPath, Suite, is_case_file, limits_of};
use sluicegate_limits::policy::problem::code;
use sluicegate_limits::policy::{Policy, Problem, Severity, SourceFile};

use crate::reload::Sources;
use crate::settings::Conventions;

/// All that there is to run.
pub(super) struct Loaded {
    pub(super) suites: Vec<Loading>,
    /// Limits files that stand in a folder that was named; tested or not.
    pub(super) limits: Vec<SourceFile>,
    /// What is wrong; nothing is run then.
    pub(super) problems: Vec<Problem>,
    /// The texts that the problems are about.
    pub(super) sources: Sources,
}

/// The cases of a file, and their policy.
pub(super) struct Loading {
    pub(super) cases: Vec<Case>,
    pub(super) policy: Rc<Policy>,
}

/// The policies that case files name, each compiled once.
struct Policies {
    conventions: Conventions,
    compiled: HashMap<Vec<PathBuf>, Option<Rc<Policy>>>,
}

impl Loaded {
    /// Reads case files, and in directories those whose name says that they are; not recursive.
    pub(super) fn read(paths: &[PathBuf], conventions: Conventions) -> Self {
        let paths: Vec<PathBuf> = paths.iter().map(|path| plain(path)).collect();
        let cases = Sources::read_cases(&paths);
        let folders: Vec<PathBuf> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
        let limits = Sources::read(&folders).files;
        let mut loaded =
            Self { suites: vec![], limits, problems: cases.problems, sources: Sources::default() };
        let mut policies = Policies { conventions, compiled: HashMap::new() };
        for file in cases.files {
            loaded.suite(&file, &mut policies);
            loaded.sources.files.push(file);
        }
        loaded
    }

    fn suite(&mut self, file: &SourceFile, policies: &mut Policies) {
        let folder = Path::new(&file.name).parent().unwrap_or(Path::new(""));
        let limits = limits_of(file);
        let missing: Vec<_> =
            limits.iter().filter_map(|limits| missing(folder, limits, &file.name)).collect();
        let paths: BTreeSet<_> =
            limits.iter().map(|limits| plain(&folder.join(&limits.path))).collect();
        let found = missing.is_empty() && !paths.is_empty();
        let policy = found.then(|| policies.get(paths.into_iter().collect(), self)).flatten();
        self.problems.extend(missing);
        match (Suite::read(file, policy.as_deref()), policy) {
            (Ok(Suite { cases }), Some(policy)) => self.suites.push(Loading { cases, policy }),
            (Ok(_), None) => {}
            (Err(problems), _) => self.problems.extend(problems),
        }
    }
}

impl Policies {
    /// The policy of these files; nothing where it has errors, which are told once.
    fn get(&mut self, paths: Vec<PathBuf>, loaded: &mut Loaded) -> Option<Rc<Policy>> {
        if let Some(known) = self.compiled.get(&paths) {
            return known.clone();
        }
        let sources = Sources::read(&paths);
        let policy = match sources.compile(self.conventions) {
            Ok(compiled) => Some(Rc::new(compiled.policy)),
            Err(problems) => {
                loaded.problems.extend(problems);
                None
            }
        };
        loaded.sources.files.extend(sources.files);
        self.compiled.insert(paths, policy.clone());
        policy
    }
}

/// A path that names nothing, as a problem of the file that writes it.
fn missing(folder: &Path, limits: &LimitsPath, file: &str) -> Option<Problem> {
    let help = "a path from the folder of this file: `limits: api.yaml`".to_owned();
    let what = match folder.join(&limits.path) {
        path if !path.exists() => "there is no file",
        _ if is_case_file(&limits.path) => "a case file is no limits file:",
        _ => return None,
    };
    Some(Problem {
        severity: Severity::Error,
        code: code::UNREADABLE,
        message: format!("{what} `{}`", limits.path),
        file: file.to_owned(),
        line: limits.line,
        column: limits.column,
        help: Some(help),
    })
}

/// The path without `.` and, where that is plain, without `..`: one file, one name.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        let below = matches!(out.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if below => drop(out.pop()),
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}
