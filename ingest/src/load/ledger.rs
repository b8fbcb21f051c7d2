//! Which files a table has been loaded with.
//!
//! Each loaded file leaves its SHA-256 in the commit's properties, for people and programs that
//! read the history, and in a property of the table, where it is found in one look however long
//! the history is. A table's properties are part of its content: a branch has them, a merge
//! brings them, a revert takes them away with the rows, a drop with the table. Squashing and
//! collecting old commits does not touch them.
//!
//! The property's value names the load. So where two loads of one file meet, in a race for a
//! branch or in a merge of two branches, both have set the same property to different values,
//! which the three-way merge refuses.

use std::collections::BTreeMap;

use catalog::Key;
use lake::TableMetadata;

use super::input::Input;

/// Table properties with this prefix name the files that were loaded.
const LOADED: &str = "pumphouse.load.";
/// Digits of the hash in a property's name: 128 bits, so that no two files share one, and
/// short, because each further commit to the table writes its properties again.
const DIGITS: usize = 32;

/// The table property of a loaded file.
pub(super) fn property(input: &Input) -> String {
    let digits = input.hash.get(..DIGITS).unwrap_or(&input.hash);
    format!("{LOADED}{digits}")
}

/// The load that brought the file into the table, if one did.
pub(super) fn loaded_by<'t>(table: &'t TableMetadata, input: &Input) -> Option<&'t str> {
    table.properties().get(&property(input)).map(String::as_str)
}

/// The table properties that `load` leaves for its files.
pub(super) fn table_properties<'i>(
    inputs: impl Iterator<Item = &'i Input>,
    load: &str,
) -> BTreeMap<String, String> {
    inputs
        .map(|input| (property(input), load.to_owned()))
        .collect()
}

/// The commit properties of a load: `load.<sha256>` is a file's name.
pub(super) fn commit_properties<'i>(
    inputs: impl Iterator<Item = &'i Input>,
    load: &str,
    key: &Key,
) -> BTreeMap<String, String> {
    let files = inputs.map(|input| (format!("load.{}", input.hash), input.name.clone()));
    let own = [
        ("load.id", load.to_owned()),
        ("load.table", key.to_string()),
    ];
    let own = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    files.chain(own).collect()
}
