//! Where the workspace is, where it builds, and which crates it has, as Cargo tells it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;

/// One dependency of a crate of ours.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether it is a dependency of tests and benches only.
    pub(crate) dev: bool,
}

/// One crate of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its manifest, relative to the root.
    pub(crate) manifest: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What Cargo says about the workspace.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// The target directory; follows `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

impl Workspace {
    /// Asks Cargo.
    pub(crate) fn find() -> Outcome<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata ended with {}", output.status));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
        Self::read(&metadata).ok_or_else(|| "cargo metadata lacks a field".to_owned())
    }

    /// Reads the answer of `cargo metadata --no-deps`.
    pub(crate) fn read(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata.get("workspace_root")?.as_str()?);
        let target = PathBuf::from(metadata.get("target_directory")?.as_str()?);
        let packages = metadata.get("packages")?.as_array()?;
        let packages = packages.iter().map(|p| read_package(p, &root)).collect::<Option<_>>()?;
        Some(Self { root, target, packages })
    }
}

/// The Cargo that started this command.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command with this terminal as its own; its failure is an error that names it.
pub(crate) fn run(command: &mut Command, what: &str) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("cannot run {what}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} ended with {status}")) }
}

fn read_package(package: &Value, root: &std::path::Path) -> Option<Package> {
    let manifest = PathBuf::from(package.get("manifest_path")?.as_str()?);
    let manifest = manifest.strip_prefix(root).unwrap_or(&manifest).display().to_string();
    let dependencies = package.get("dependencies")?.as_array()?;
    let dependencies = dependencies
        .iter()
        .map(|dependency| {
            Some(Dependency {
                name: dependency.get("name")?.as_str()?.to_owned(),
                dev: dependency.get("kind")?.as_str() == Some("dev"),
            })
        })
        .collect::<Option<_>>()?;
    Some(Package { name: package.get("name")?.as_str()?.to_owned(), manifest, dependencies })
}
