//! Where settings come from: the file, then the environment, then the command line.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{Config, Environment, FileFormat, Format, Map, Source, Value};

use sluicegate_limits::policy::yaml;

use super::Settings;
use super::reader::Walk;

/// The place of what a flag sets.
pub(super) const COMMAND_LINE: &str = "command line";
/// What the `config` crate calls the place of an environment variable.
pub(super) const ENVIRONMENT: &str = "the environment";
/// The file that is read where none is named and it exists.
pub const DEFAULT_FILE: &str = "sluicegate.yaml";
/// The most bytes of a settings file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// One thing that is wrong with the settings. It never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    /// The file, the environment variable or the command line.
    pub place: String,
    /// The full dotted key; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub Vec<SettingsProblem>);

/// What the command line sets, above the file and the environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The settings file.
    pub file: Option<PathBuf>,
    /// The limits files and directories; they replace those of the file.
    pub limits: Vec<PathBuf>,
    /// `memory` or a store URL.
    pub store: Option<String>,
    /// The address of the gRPC door.
    pub grpc_address: Option<String>,
    /// The address of the HTTP door.
    pub http_address: Option<String>,
    /// The environment to read instead of the process's own.
    pub environment: Option<Map<String, String>>,
}

/// The text of the settings file as a source of the `config` crate, under its own name.
#[derive(Clone, Debug)]
struct YamlText {
    name: String,
    text: String,
}

/// Reads all settings.
///
/// # Errors
/// Every problem of the file, the environment and the command line, at once.
pub fn load(overrides: &Overrides) -> Result<Settings, SettingsError> {
    let file = overrides.file.clone().or_else(|| {
        let default = PathBuf::from(DEFAULT_FILE);
        default.exists().then_some(default)
    });
    let name = file.as_deref().map(|f| f.display().to_string()).unwrap_or_default();
    let walk = Walk::new(&name);
    let table = collect(file.as_deref(), &name, overrides).map_err(|message| {
        let place = if name.is_empty() { "settings".to_owned() } else { name.clone() };
        SettingsError(vec![SettingsProblem { place, key: String::new(), message, help: None }])
    })?;
    super::parse::parse(&walk, table).ok_or_else(|| SettingsError(walk.problems.take()))
}

fn collect(
    file: Option<&Path>,
    name: &str,
    overrides: &Overrides,
) -> Result<Map<String, Value>, String> {
    let mut builder = Config::builder();
    if let Some(file) = file {
        let text = read_bounded(file)?;
        builder = builder.add_source(YamlText { name: name.to_owned(), text });
    }
    let variables = overrides.environment.clone().map_or_else(variables, Ok)?;
    let environment = Environment::with_prefix("SLUICEGATE")
        .prefix_separator("__")
        .separator("__")
        .source(Some(variables));
    // The address of another store keeps what else is set for it: a flag cannot name a secret.
    let store = if overrides.store.as_deref() == Some("memory") { "store" } else { "store.url" };
    let mut built = builder
        .add_source(environment)
        .set_override_option(store, overrides.store.clone())
        .and_then(|b| {
            b.set_override_option("listeners.grpc.address", overrides.grpc_address.clone())
        })
        .and_then(|b| {
            b.set_override_option("listeners.http.address", overrides.http_address.clone())
        });
    if !overrides.limits.is_empty() {
        let paths: Vec<String> =
            overrides.limits.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        built = built.and_then(|b| b.set_override("limits", paths));
    }
    built.and_then(|b| b.build()).and_then(|c| c.collect()).map_err(|e| e.to_string())
}

/// The environment of this process, as far as it is ours. The `config` crate would show the value
/// of a variable that is not UTF-8, which may be a password.
fn variables() -> Result<Map<String, String>, String> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        name.to_ascii_uppercase().starts_with("SLUICEGATE__").then_some((name, value))
    });
    let text = |(name, value): (String, std::ffi::OsString)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(format!("the environment variable {name} is not UTF-8")),
    };
    ours.map(text).collect()
}

fn read_bounded(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|e| format!("cannot be read: {e}"))?;
    opened
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|e| format!("cannot be read: {e}"))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("has more than {MAX_FILE_BYTES} bytes"));
    }
    // The `config` crate follows aliases without end.
    yaml::check(&text)?;
    Ok(text)
}

impl Source for YamlText {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        FileFormat::Yaml.parse(Some(&self.name), &self.text).map_err(config::ConfigError::Foreign)
    }
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
            problem.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}
