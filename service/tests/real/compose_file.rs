//! What docker-compose.yml says, and the files of its containers laid out in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::repository;

/// One service of the file.
pub(crate) struct Service {
    pub(crate) name: String,
    /// Its command line, or its entry point where it has no command.
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// From the file of the repository to the path in the container.
    pub(crate) mounts: Vec<(PathBuf, String)>,
    /// From the name of a volume to the path in the container.
    pub(crate) volumes: BTreeMap<String, String>,
}

/// Every service, in no order that matters.
pub(crate) fn services() -> Vec<Service> {
    let all = file()["services"].as_object().unwrap().clone();
    all.into_iter().map(|(name, service)| read(name, &service)).collect()
}

/// The whole file.
pub(crate) fn file() -> Value {
    let text = std::fs::read_to_string(repository("docker-compose.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn read(name: String, service: &Value) -> Service {
    let words = |list: &Value| list.as_array().map(|l| l.iter().map(text).collect::<Vec<_>>());
    let command = words(&service["command"]).or_else(|| words(&service["entrypoint"]));
    let environment = service["environment"].as_object().cloned().unwrap_or_default();
    let environment = environment.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let volumes = words(&service["volumes"]).unwrap_or_default();
    let parts = |volume: &String| {
        let mut parts = volume.split(':').map(str::to_owned);
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let (files, named): (Vec<_>, Vec<_>) =
        volumes.iter().map(parts).partition(|(from, _)| from.starts_with('.'));
    let mounts = files.into_iter().map(|(from, to)| (repository(&from), to)).collect();
    let volumes = named.into_iter().collect();
    Service { name, command: command.unwrap(), environment, mounts, volumes }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}

impl Service {
    /// Copies what the service mounts to the same paths below `folder`; volumes are folders there.
    pub(crate) fn lay_out(&self, folder: &Path) {
        for to in self.volumes.values() {
            std::fs::create_dir_all(below(folder, to)).unwrap();
        }
        for (from, to) in &self.mounts {
            let to = below(folder, to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        }
    }

    /// The command line with `program` in place of its first word, and every path below `folder`.
    pub(crate) fn command_in(&self, folder: &Path, program: &Path) -> Command {
        let mut command = Command::new(program);
        for word in self.command.iter().skip(1) {
            if word.starts_with('/') {
                command.arg(below(folder, word));
            } else {
                command.arg(word);
            }
        }
        command.envs(&self.environment);
        command
    }
}

/// The service of that name.
pub(crate) fn service(name: &str) -> Service {
    services().into_iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no service {name}"))
}

/// A path of a container, below `folder`.
pub(crate) fn below(folder: &Path, path: &str) -> PathBuf {
    folder.join(path.trim_start_matches('/'))
}
