//! Reading files of rows: CSV, sheets and JSON lines look alike from here on.

use std::collections::HashMap;

use catalog::{Error, Result};

use super::cell::Sink;
use super::format::Format;
use super::input::Input;
use super::options::LoadOptions;
use super::progress::Progress;
use super::{csv_file, jsonl, xlsx};

/// A row longer than this is none: a quote is not closed, or it is no text.
pub(super) const LONGEST_ROW: u64 = 64 << 20;

/// Hands every row of a file to `sink`.
///
/// # Errors
/// `InvalidInput` with file and line for what is no row, and the sink's own.
pub(super) fn read(
    input: &Input,
    format: Format,
    options: &LoadOptions,
    progress: &Progress,
    sink: &mut dyn Sink,
) -> Result<()> {
    let section = input.open(progress)?;
    let watched = section.clone();
    match format {
        Format::Csv => csv_file::read(input, section, options, sink)?,
        Format::Jsonl => jsonl::read(input, section, options, sink)?,
        Format::Xlsx => xlsx::read(input, section, options, sink)?,
        Format::Parquet => {
            return Err(Error::internal("a Parquet file is not read row by row"));
        }
    }
    input.check(&watched)
}

/// Where a row is, as messages say it.
pub(super) fn place(input: &Input, format: Format, at: u64) -> String {
    let unit = match format {
        Format::Xlsx => "row",
        _ => "line",
    };
    format!("{}, {unit} {at}", input.name)
}

/// The names of a header: trimmed, those missing made up.
///
/// # Errors
/// `InvalidInput` for a name that is there twice, and for a header that is none.
pub(super) fn header<'a>(place: &str, cells: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let cells: Vec<&str> = cells.map(str::trim).collect();
    let is_data = |cell: &&str| super::text::number(cell).is_some();
    if cells.iter().all(is_data) {
        return Err(
            Error::invalid(format!("{place}: this is no header but numbers"))
                .with_hint("give --no-header for files without one"),
        );
    }
    let mut seen = HashMap::new();
    let names = cells.iter().enumerate().map(|(at, cell)| match *cell {
        "" => column_name(at),
        name => name.to_owned(),
    });
    let names: Vec<String> = names.collect();
    for (at, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name.to_lowercase(), at) {
            return Err(Error::invalid(format!(
                "{place}: columns {} and {} are both named {name:?}",
                first + 1,
                at + 1
            ))
            .with_hint("names differ in more than upper and lower case: rename one"));
        }
    }
    Ok(names)
}

/// The name of a column that has none.
pub(super) fn column_name(at: usize) -> String {
    format!("column{}", at + 1)
}
