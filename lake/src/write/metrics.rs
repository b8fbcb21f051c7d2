//! The column statistics of a data file, as Iceberg's manifests hold them.
//!
//! Bounds come from the Parquet footer. Iceberg's own writer skips a row group whose
//! bound was truncated and would so report bounds that do not enclose all values; here
//! truncated bounds count (they still enclose), and a column that lacks them in one row
//! group has none at all.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use catalog::Result;
use iceberg::spec::{Datum, PrimitiveType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use super::layout::{Layout, Leaf};
use super::leaves::leaf_values;
use crate::error;
use crate::recorded::COMMITTED_AT_ID;

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
        metrics.count(layout, rows);
        metrics.bound(layout, footer)?;
        Ok(metrics)
    }

    /// Counts the nulls and NaN of rows that are written. They are kept for what a row has
    /// once, as other writers do: a query cannot pass over a file by the elements of its
    /// lists.
    pub(super) fn count(&mut self, layout: &Layout, rows: &RecordBatch) {
        let leaves = layout.leaves.iter().zip(leaf_values(rows));
        let counted = |leaf: &Leaf| !leaf.repeated && leaf.id != COMMITTED_AT_ID;
        for (leaf, values) in leaves.filter(|(leaf, _)| counted(leaf)) {
            *self.null_counts.entry(leaf.id).or_default() += values.null_count() as u64;
            if let Some(nans) = values.nan_count() {
                *self.nan_counts.entry(leaf.id).or_default() += nans;
            }
        }
    }

    /// Takes sizes, counts and bounds from the footer of the file that was written.
    pub(super) fn bound(&mut self, layout: &Layout, footer: &ParquetMetaData) -> Result<()> {
        let leaves = layout.leaves.iter().enumerate();
        // Manifests know of the table's columns only.
        for (at, leaf) in leaves.filter(|(_, leaf)| leaf.id != COMMITTED_AT_ID) {
            let groups = footer.row_groups().iter();
            let chunks: Vec<_> = groups.map(|group| group.column(at)).collect();
            self.add(leaf, &chunks)?;
        }
        Ok(())
    }

    /// Bounds, too, are kept for what a row has once only.
    fn add(&mut self, leaf: &Leaf, chunks: &[&ColumnChunkMetaData]) -> Result<()> {
        let sum = |of: fn(&ColumnChunkMetaData) -> i64| {
            let all = chunks.iter().map(|chunk| of(chunk).unsigned_abs());
            all.sum::<u64>()
        };
        let sizes = sum(ColumnChunkMetaData::compressed_size);
        self.column_sizes.insert(leaf.id, sizes);
        let counts = sum(ColumnChunkMetaData::num_values);
        self.value_counts.insert(leaf.id, counts);
        if leaf.repeated {
            return Ok(());
        }
        if let Some((lower, upper)) = bounds(&leaf.kind, chunks.iter().copied())? {
            self.lower_bounds.insert(leaf.id, lower);
            self.upper_bounds.insert(leaf.id, upper);
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, StringArray};
    use iceberg::spec::PrimitiveLiteral;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};

    use super::*;

    /// The bounds of `column` written in row groups of two.
    fn bounds_of(kind: &PrimitiveType, column: ArrayRef, on: bool) -> Option<(Datum, Datum)> {
        let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let statistics = match on {
            true => EnabledStatistics::Page,
            false => EnabledStatistics::None,
        };
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(2))
            .set_statistics_enabled(statistics)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        let footer = writer.close().unwrap();
        let chunks = footer.row_groups().iter().map(|group| group.column(0));
        bounds(kind, chunks).unwrap()
    }

    #[test]
    fn truncated_bounds_of_one_row_group_still_enclose_its_values() {
        let long = "z".repeat(100);
        let values = vec![Some("b"), Some("c"), None, None, Some("a"), Some(&long)];
        let column: ArrayRef = Arc::new(StringArray::from(values));
        let kind = PrimitiveType::String;
        let (lower, upper) = bounds_of(&kind, Arc::clone(&column), true).unwrap();
        assert_eq!(lower, Datum::string("a"));
        assert!(upper >= Datum::string(&long), "{upper}");
        assert!(bounds_of(&kind, column, false).is_none());
        let nulls: ArrayRef = Arc::new(StringArray::new_null(3));
        assert!(bounds_of(&kind, nulls, true).is_none());
    }

    #[test]
    fn decimals_keep_their_sign_in_every_physical_form() {
        for precision in [9, 18, 38] {
            let column = Decimal128Array::from(vec![-5, 7, 300])
                .with_precision_and_scale(precision, 2)
                .unwrap();
            let kind = PrimitiveType::Decimal {
                precision: precision.into(),
                scale: 2,
            };
            let (lower, upper) = bounds_of(&kind, Arc::new(column), true).unwrap();
            assert_eq!(lower.literal(), &PrimitiveLiteral::Int128(-5));
            assert_eq!(upper.literal(), &PrimitiveLiteral::Int128(300));
        }
    }
}
