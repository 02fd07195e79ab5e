//! A folder with limits and a log, and the replay of it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::process;
use crate::service;

/// 2026-01-01, midnight UTC.
pub(crate) const START: u64 = 1_767_225_600;

pub(crate) struct World(PathBuf);

impl World {
    pub(crate) fn new(name: &str) -> Self {
        Self(process::folder(&format!("replay-{name}")))
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Runs the binary in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        service::run_in(&self.0, arguments)
    }

    /// Replays the file `log` through the file `new.yaml` and answers the report.
    pub(crate) fn replay(&self, arguments: &[&str]) -> Value {
        let all = [&["replay", "log", "--limits", "new.yaml", "-o", "json"], arguments].concat();
        let (code, out, err) = self.run(&all);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        serde_json::from_str(&out).unwrap()
    }

    /// The lines that `--decisions d` wrote.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        self.read("d").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
