//! The first reading of files of rows: how many there are, and what their columns hold.

use std::collections::{BTreeMap, HashMap};

use catalog::{Error, Result};

use super::cell::{Row, Sink};
use super::format::Format;
use super::input::Input;
use super::options::{Declared, LoadOptions};
use super::profile::Profile;
use super::progress::Progress;
use super::rows;

/// What files of rows hold.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The columns, in the order they were met.
    pub(super) profiles: Vec<Profile>,
    /// The rows of each file.
    pub(super) rows: Vec<u64>,
}

/// Reads all rows of all files.
///
/// # Errors
/// Those of reading; `InvalidInput` for a declared column that no file has.
pub(super) fn survey(
    files: &[(Input, Format)],
    options: &LoadOptions,
    progress: &Progress,
) -> Result<Survey> {
    let mut survey = Survey::default();
    let mut index = HashMap::new();
    for (input, format) in files {
        let mut surveyor = Surveyor {
            input,
            format: *format,
            options,
            profiles: &mut survey.profiles,
            index: &mut index,
            places: Vec::new(),
            rows: 0,
        };
        rows::read(input, *format, options, progress, &mut surveyor)?;
        survey.rows.push(surveyor.rows);
    }
    check_declared(&options.types, &survey.profiles)?;
    Ok(survey)
}

/// # Errors
/// `InvalidInput` for a declared column that is not there.
fn check_declared(types: &BTreeMap<String, Declared>, profiles: &[Profile]) -> Result<()> {
    let known = |name: &String| profiles.iter().any(|profile| profile.name == *name);
    match types.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => {
            let names: Vec<&str> = profiles.iter().map(|p| p.name.as_str()).collect();
            Err(no_column("--type", name, &names))
        }
    }
}

/// That no file has the column that a flag names.
pub(super) fn no_column(flag: &str, name: &str, there: &[&str]) -> Error {
    Error::invalid(format!("{flag}: no file has a column {name:?}"))
        .with_hint(format!("the columns are {}", there.join(", ")))
}

struct Surveyor<'s> {
    input: &'s Input,
    format: Format,
    options: &'s LoadOptions,
    profiles: &'s mut Vec<Profile>,
    index: &'s mut HashMap<String, usize>,
    /// Where the columns of this file stand among all.
    places: Vec<usize>,
    rows: u64,
}

impl Surveyor<'_> {
    /// The place of a column, which it gets when it is new.
    fn place(&mut self, name: &str) -> usize {
        if let Some(at) = self.index.get(name) {
            return *at;
        }
        let declared = self.options.types.get(name);
        self.profiles.push(Profile::new(name.to_owned(), declared));
        self.index.insert(name.to_owned(), self.profiles.len() - 1);
        self.profiles.len() - 1
    }
}

impl Sink for Surveyor<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        for name in &row.names[self.places.len()..] {
            let at = self.place(name);
            self.places.push(at);
        }
        self.rows += 1;
        let place = || rows::place(self.input, self.format, row.at);
        for (at, cell) in self.places.iter().zip(row.cells) {
            self.profiles[*at].add(cell, &self.options.notation, &place);
        }
        Ok(())
    }
}
