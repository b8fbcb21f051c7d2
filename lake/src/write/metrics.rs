//! The column statistics of a data file, as Iceberg's manifests hold them.
//!
//! Bounds come from the Parquet footer. Iceberg's own writer skips a row group whose
//! bound was truncated and would so report bounds that do not enclose all values; here
//! truncated bounds count (they still enclose), and a column that lacks them in one row
//! group has none at all.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use catalog::Result;
use iceberg::spec::{Datum, PrimitiveType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use super::layout::Layout;
use crate::error;

/// Statistics of one file, by field id.
#[derive(Default)]
pub(super) struct Metrics {
    pub(super) column_sizes: HashMap<i32, u64>,
    pub(super) value_counts: HashMap<i32, u64>,
    pub(super) null_counts: HashMap<i32, u64>,
    pub(super) nan_counts: HashMap<i32, u64>,
    pub(super) lower_bounds: HashMap<i32, Datum>,
    pub(super) upper_bounds: HashMap<i32, Datum>,
}

impl Metrics {
    /// The statistics of the file that holds `rows` and has this footer.
    pub(super) fn of(
        layout: &Layout,
        rows: &RecordBatch,
        footer: &ParquetMetaData,
    ) -> Result<Self> {
        let mut metrics = Self::default();
        for (at, column) in layout.columns.iter().enumerate() {
            let (id, array) = (column.field.id, rows.column(at));
            let chunks = || {
                footer
                    .row_groups()
                    .iter()
                    .map(move |group| group.column(at))
            };
            let bytes = chunks().map(|chunk| chunk.compressed_size().unsigned_abs());
            metrics.column_sizes.insert(id, bytes.sum());
            metrics.value_counts.insert(id, array.len() as u64);
            metrics.null_counts.insert(id, array.null_count() as u64);
            if let Some(nans) = nan_count(array) {
                metrics.nan_counts.insert(id, nans);
            }
            if let Some((lower, upper)) = bounds(&column.kind, chunks())? {
                metrics.lower_bounds.insert(id, lower);
                metrics.upper_bounds.insert(id, upper);
            }
        }
        Ok(metrics)
    }
}

/// How many values are NaN; `None` for types that have no NaN.
pub(super) fn nan_count(column: &dyn Array) -> Option<u64> {
    let nans = match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().iter().flatten();
            values.filter(|value| value.is_nan()).count()
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().iter().flatten();
            values.filter(|value| value.is_nan()).count()
        }
        _ => return None,
    };
    Some(nans as u64)
}

/// The smallest lower and greatest upper bound of a column's chunks; `None` without
/// values or when a chunk with values has no bounds.
fn bounds<'a>(
    kind: &PrimitiveType,
    chunks: impl Iterator<Item = &'a ColumnChunkMetaData>,
) -> Result<Option<(Datum, Datum)>> {
    let mut all: Option<(Datum, Datum)> = None;
    for chunk in chunks {
        let Some(statistics) = chunk.statistics() else {
            return Ok(None);
        };
        let nulls = statistics.null_count_opt().unwrap_or(0);
        if nulls == chunk.num_values().unsigned_abs() {
            continue;
        }
        let (Some(lower), Some(upper)) = (
            datum(kind, statistics, statistics.min_bytes_opt())?,
            datum(kind, statistics, statistics.max_bytes_opt())?,
        ) else {
            return Ok(None);
        };
        all = Some(match all {
            None => (lower, upper),
            Some((least, most)) => (
                if lower < least { lower } else { least },
                if upper > most { upper } else { most },
            ),
        });
    }
    Ok(all)
}

/// Parquet's and Iceberg's bytes of single values agree, but for decimals: those are
/// big-endian in Iceberg, and small ones are integers in Parquet.
fn datum(
    kind: &PrimitiveType,
    statistics: &Statistics,
    bytes: Option<&[u8]>,
) -> Result<Option<Datum>> {
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let mut bytes = bytes.to_vec();
    let integer = matches!(statistics, Statistics::Int32(_) | Statistics::Int64(_));
    if integer && matches!(kind, PrimitiveType::Decimal { .. }) {
        bytes.reverse();
    }
    let datum = Datum::try_from_bytes(&bytes, kind.clone());
    datum
        .map(Some)
        .map_err(error::iceberg("could not take a column's bounds"))
}
