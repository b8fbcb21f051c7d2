//! Reading settings: the file, then the environment over it, then the flags.

use std::path::{Path, PathBuf};

use catalog::{Error, Result};
use serde_json::Value;

use super::Settings;
use super::again::Origin;

/// File read when it is there and no other is named.
pub(super) const DEFAULT_FILE: &str = "pumphouse.toml";
const PREFIX: &str = "PUMPHOUSE_";
/// What the project's own tests read.
const TEST_PREFIX: &str = "PUMPHOUSE_TEST_";
/// Variables with our prefix that are read elsewhere: by the command line, the
/// set-up scripts and the search for XGBoost.
const OTHER_VARIABLES: [&str; 3] = [
    "PUMPHOUSE_CONFIG",
    "PUMPHOUSE_TOOLS",
    "PUMPHOUSE_XGBOOST_LIBRARY",
];

/// A setting given on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// As the user typed it (`--lake`), for messages.
    pub(crate) name: &'static str,
    /// Path of the setting (`lake.url`).
    pub(crate) path: &'static str,
    /// Its value as text; lists are separated by commas.
    pub(crate) value: String,
}

impl Flag {
    /// The flag as a setting, when it was given.
    pub(crate) fn given<T: ToString>(
        name: &'static str,
        path: &'static str,
        value: Option<&T>,
    ) -> Option<Self> {
        value.map(|value| Self {
            name,
            path,
            value: value.to_string(),
        })
    }
}

/// Name of the environment variable of the setting at `path`.
pub(crate) fn env_name(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}

/// Those of `names` that look like settings and are none: most likely misspelt.
pub(crate) fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<_> = setting_paths().iter().map(|path| env_name(path)).collect();
    names
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .filter(|name| !OTHER_VARIABLES.contains(&name.as_str()) && !name.starts_with(TEST_PREFIX))
        .collect()
}

impl Settings {
    /// Loads the settings of this process.
    ///
    /// `config` is the file named by `--config` or `PUMPHOUSE_CONFIG`; without one
    /// `./pumphouse.toml` is read if it is there. `env` looks up a variable.
    /// Errors: `InvalidInput` naming file, line and column, or the variable or flag.
    pub(crate) fn load(
        config: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: &[Flag],
    ) -> Result<Self> {
        let (mut settings, text) = match find_file(config)? {
            Some(path) => {
                let (settings, text) = read_file(&path)?;
                (settings, Some(text))
            }
            None => (Self::default(), None),
        };
        for path in setting_paths() {
            let name = env_name(&path);
            if let Some(value) = env(&name) {
                settings = settings.with(&path, &value, &name)?;
            }
        }
        for flag in flags {
            settings = settings.with(flag.path, &flag.value, flag.name)?;
        }
        settings.validate()?;
        settings.origin = Some(Origin {
            config: config.map(Path::to_owned),
            flags: flags.to_vec(),
            text,
        });
        Ok(settings)
    }

    /// These settings with the one at `path` replaced; `source` names the giver.
    fn with(self, path: &str, raw: &str, source: &str) -> Result<Self> {
        let wrong = |reason: String| {
            Error::invalid(format!("{source}: {reason}")).with_hint(format!(
                "correct {source} or unset it; `{path}` is described in pumphouse.example.toml"
            ))
        };
        let streams = self.streams.clone();
        if path == "stream" {
            let streams = serde_json::from_str(raw)
                .map_err(|e| wrong(format!("not a JSON list of streams: {e}")))?;
            return Ok(Self { streams, ..self });
        }
        let mut tree = tree(&self);
        let pointer = format!("/{}", path.replace('.', "/"));
        let leaf = tree
            .pointer_mut(&pointer)
            .ok_or_else(|| Error::internal(format!("no setting {path}")))?;
        *leaf = typed_like(leaf, raw);
        let changed: Self = serde_json::from_value(tree).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { streams, ..changed })
    }
}

fn find_file(config: Option<&Path>) -> Result<Option<PathBuf>> {
    match config {
        Some(path) if path.exists() => Ok(Some(path.to_owned())),
        Some(path) => Err(Error::not_found(format!("no configuration file {}", path.display()))
            .with_hint("check --config or PUMPHOUSE_CONFIG; pumphouse.example.toml is a file to start from")),
        None => Ok(Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists())),
    }
}

/// The settings in the file, and its text.
fn read_file(path: &Path) -> Result<(Settings, Vec<u8>)> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!("cannot read {}", path.display()))
            .with_hint("is it a readable text file in UTF-8?")
            .with_source(e)
    })?;
    let settings = toml::from_str(&text).map_err(|e| {
        let place = e.span().map_or_else(String::new, |span| {
            let (line, column) = line_and_column(&text, span.start);
            format!(":{line}:{column}")
        });
        Error::invalid(format!("{}{place}: {}", path.display(), e.message().trim())).with_hint(
            "correct that line; pumphouse.example.toml shows every setting and how it is written",
        )
    })?;
    Ok((settings, text.into_bytes()))
}

/// One-based line and column of a byte offset, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// The settings as a tree; its leaves are the settings there are.
pub(super) fn tree(settings: &Settings) -> Value {
    serde_json::to_value(settings).expect("settings are plain data with text keys")
}

/// Paths of all settings, such as `lake.s3.region`.
pub(super) fn setting_paths() -> Vec<String> {
    fn walk(prefix: &str, value: &Value, paths: &mut Vec<String>) {
        let Value::Object(fields) = value else {
            return paths.push(prefix.to_owned());
        };
        for (name, field) in fields {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            walk(&path, field, paths);
        }
    }
    let mut paths = vec!["stream".to_owned()];
    walk("", &tree(&Settings::default()), &mut paths);
    paths
}

/// `raw` as the kind of value that stands there now; a wrong one stays text, and
/// the reader says what it expected.
fn typed_like(current: &Value, raw: &str) -> Value {
    match current {
        Value::Number(_) => raw
            .trim()
            .parse::<u64>()
            .map(Value::from)
            .or_else(|_| raw.trim().parse::<f64>().map(Value::from))
            .unwrap_or_else(|_| raw.into()),
        // A list of tables is written as JSON.
        Value::Array(_) if raw.trim_start().starts_with('[') => {
            serde_json::from_str(raw).unwrap_or_else(|_| raw.into())
        }
        Value::Array(_) => raw
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect(),
        _ => raw.into(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
