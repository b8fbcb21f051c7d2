//! The series that samples are of, for models that scale each series by itself.
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::manifest::Manifest;

/// The series of each of `rows` rows, as training named it: the values of the group columns
/// joined by `/`. Empty where the model does not ask, or the rows do not say.
pub(crate) fn of_rows(
    manifest: &Manifest,
    rows: usize,
    column: impl Fn(&str) -> Option<ArrayRef>,
) -> Vec<String> {
    if manifest.normalisation.groups.is_empty() {
        return Vec::new();
    }
    let names = manifest.signature.group.iter();
    let columns = names.map(|name| cast(&column(name)?, &DataType::Utf8).ok());
    let Some(columns) = columns.collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let columns: Vec<_> = columns.iter().map(|it| it.as_string::<i32>()).collect();
    let text = |row: usize| {
        let values: Vec<&str> = columns
            .iter()
            .map(|it| if it.is_valid(row) { it.value(row) } else { "" })
            .collect();
        values.join("/")
    };
    (0..rows).map(text).collect()
}

/// The series of each sample, given that of each row.
pub(crate) fn of_samples(of_rows: Vec<String>, rows: Option<&[usize]>) -> Vec<String> {
    match rows {
        Some(rows) if !of_rows.is_empty() => rows.iter().map(|row| of_rows[*row].clone()).collect(),
        _ => of_rows,
    }
}
