//! Windows of rows that follow each other in a series.
use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use catalog::{Error, Result};

use super::samples::{self, Samples};
use crate::manifest::Manifest;

/// For each row that a whole window of its series ends at, that window: the rows of one series
/// have the same values in the group columns of the model, and follow each other by its time
/// column. Rows alike in both keep their order.
///
/// # Errors
/// `InvalidInput` where the rows lack one of these columns.
pub(super) fn windows(manifest: &Manifest, rows: &RecordBatch) -> Result<Vec<Vec<usize>>> {
    let signature = &manifest.signature;
    let groups = keys(manifest, rows, &signature.group)?;
    let times = keys(manifest, rows, manifest.lineage.time.as_slice())?;
    let mut series: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        series.entry(group).or_default().push(row);
    }
    let mut windows = Vec::new();
    for mut rows in series.into_values() {
        rows.sort_by_key(|row| &times[*row]);
        windows.extend(rows.windows(signature.length.max(1)).map(<[usize]>::to_vec));
    }
    Ok(windows)
}

/// The samples of a model over windows, where each row holds the numbers of one moment.
pub(crate) fn samples(
    manifest: &Manifest,
    rows: &RecordBatch,
    features: &[usize],
) -> Result<Samples> {
    let single = crate::manifest::Signature {
        length: 1,
        ..manifest.signature.clone()
    };
    let columns: Vec<ArrayRef> = features.iter().map(|at| rows.column(*at).clone()).collect();
    let width = columns.len();
    let all = samples::of_columns(&single, &columns, rows.num_rows(), None)?.values;
    let windows = windows(manifest, rows)?;
    let moments = windows.iter().flatten();
    let values = moments.flat_map(|row| &all[row * width..(row + 1) * width]);
    Ok(Samples {
        values: values.copied().collect(),
        rows: Some(
            windows
                .iter()
                .map(|window| window[window.len() - 1])
                .collect(),
        ),
    })
}

/// These columns of each row as bytes that compare as the values do.
fn keys(manifest: &Manifest, rows: &RecordBatch, names: &[String]) -> Result<Vec<Vec<u8>>> {
    let columns = names.iter().map(|name| {
        rows.column_by_name(name).cloned().ok_or_else(|| {
            Error::invalid(format!(
                "model {} reads windows along the column '{name}', which the rows do not have",
                manifest.model
            ))
            .with_hint(format!(
                "give it, or each feature as a list of {} values",
                manifest.signature.length
            ))
        })
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    if columns.is_empty() {
        return Ok(vec![Vec::new(); rows.num_rows()]);
    }
    let broken = |e| Error::invalid("the rows cannot be put in order").with_source(e);
    let kinds = columns.iter().map(|column| column.data_type().clone());
    let fields: Vec<SortField> = kinds.map(|kind: DataType| SortField::new(kind)).collect();
    let converter = RowConverter::new(fields).map_err(broken)?;
    let keys = converter.convert_columns(&columns).map_err(broken)?;
    Ok(keys.iter().map(|key| key.as_ref().to_vec()).collect())
}
