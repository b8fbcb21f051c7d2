//! Properties that clients set on tables, and those they may not.

use std::collections::HashMap;

use catalog::{Error, Result};
use iceberg::spec::FormatVersion;
use lake::{GC_ENABLED, Lake};

use super::check::{check_version, folder};

/// Properties that say where an engine puts files.
const PATHS: [&str; 4] = [
    "write.data.path",
    "write.metadata.path",
    "write.object-storage.path",
    "write.folder-storage.path",
];
/// Properties that say in which format an engine writes files.
const FORMATS: [&str; 2] = ["write.format.default", "write.delete.format.default"];
const FORMAT_VERSION: &str = "format-version";

/// The properties of a new table, of those that a client asks for.
pub(super) fn of_new(
    lake: &Lake,
    mut properties: HashMap<String, String>,
) -> Result<HashMap<String, String>> {
    set(lake, &mut properties)?;
    properties
        .entry(GC_ENABLED.to_owned())
        .or_insert_with(|| "false".to_owned());
    Ok(properties)
}

/// Refuses properties that cannot be set, and takes out the one that is none.
pub(super) fn set(lake: &Lake, properties: &mut HashMap<String, String>) -> Result<()> {
    check(lake, properties)?;
    if properties
        .get(GC_ENABLED)
        .is_some_and(|value| !is_off(value))
    {
        return Err(collected_by_others());
    }
    take_version(properties)
}

/// Refuses to remove what every table must have.
pub(super) fn remove(names: &[String]) -> Result<()> {
    match names.iter().any(|name| name == GC_ENABLED) {
        true => Err(collected_by_others()),
        false => Ok(()),
    }
}

/// Whether other engines are told to delete no files of a table with `properties`.
pub(super) fn keeps_files(properties: &HashMap<String, String>) -> bool {
    properties
        .get(GC_ENABLED)
        .is_some_and(|value| is_off(value))
}

fn is_off(value: &str) -> bool {
    value.eq_ignore_ascii_case("false")
}

fn collected_by_others() -> Error {
    let message = format!(
        "{GC_ENABLED} must stay \"false\": other branches and past commits may need the files \
         that an engine would delete"
    );
    Error::invalid(message).with_hint("`pumphouse gc` removes what nothing needs")
}

/// What must hold of the properties of every table.
pub(super) fn check(lake: &Lake, properties: &HashMap<String, String>) -> Result<()> {
    let given = |name: &'static str| Some((name, properties.get(name)?));
    for (name, path) in PATHS.into_iter().filter_map(given) {
        folder(lake, path).map_err(|e| e.context(format!("property {name}")))?;
    }
    for (name, format) in FORMATS.into_iter().filter_map(given) {
        if !format.eq_ignore_ascii_case("parquet") {
            let message = format!("property {name} is {format:?}, and only Parquet files are read");
            return Err(Error::invalid(message).with_hint("set it to parquet, or leave it out"));
        }
    }
    Ok(())
}

/// The format version may be asked for as a property, but is none.
fn take_version(properties: &mut HashMap<String, String>) -> Result<()> {
    match properties.remove(FORMAT_VERSION).as_deref() {
        None | Some("2") => Ok(()),
        Some("1") => check_version(FormatVersion::V1),
        Some("3") => check_version(FormatVersion::V3),
        Some(other) => Err(Error::invalid(format!(
            "there is no format version {other:?}"
        ))),
    }
}
