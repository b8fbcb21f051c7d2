//! What manifests say about each data file, as DataFusion statistics, and the pruning on it.
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use lake::{DataFile, Datum, PrimitiveLiteral};

/// The columns of a table with their Iceberg field ids.
pub(crate) struct Columns {
    schema: SchemaRef,
    ids: Vec<Option<i32>>,
}

impl Columns {
    /// `ids` stand beside the fields of `schema`.
    pub(crate) fn new(schema: SchemaRef, ids: Vec<Option<i32>>) -> Self {
        Columns { schema, ids }
    }

    /// The statistics of `file` for the columns at `wanted`; other columns stay unknown.
    ///
    /// Row and null counts are exact. Bounds of whole numbers, dates and times are exact;
    /// those of strings (truncated) and floats are only bounds. A float column that may
    /// hold NaN has none, since NaN is outside every bound and above every number.
    pub(crate) fn statistics(&self, file: &DataFile, wanted: &[usize]) -> Statistics {
        let mut columns = Statistics::unknown_column(&self.schema);
        for &index in wanted {
            if let Some(id) = self.ids[index] {
                columns[index] = column_statistics(file, id, self.schema.field(index));
            }
        }
        Statistics {
            num_rows: Precision::Exact(usize::try_from(file.record_count()).unwrap_or(usize::MAX)),
            total_byte_size: Precision::Absent,
            column_statistics: columns,
        }
    }

    /// Whether the Parquet statistics of `file` may leave NaN out of a column at `wanted`,
    /// so that the reader must not prune row groups or pages by them.
    ///
    /// Some writers skip NaN, others (ours) give a column with NaN no statistics at all; the
    /// manifest's bounds tell, which come from those statistics.
    pub(crate) fn may_hide_nan(&self, file: &DataFile, wanted: &[usize]) -> bool {
        wanted.iter().any(|&index| {
            self.schema.field(index).data_type().is_floating()
                && self.ids[index].is_some_and(|id| nan_hidden(file, id))
        })
    }
}

fn nan_hidden(file: &DataFile, id: i32) -> bool {
    let bounded = file.lower_bounds().contains_key(&id) || file.upper_bounds().contains_key(&id);
    nan_possible(file, id) && (bounded || file.value_counts().is_empty())
}

fn column_statistics(file: &DataFile, id: i32, field: &Field) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    if let Some(nulls) = file.null_value_counts().get(&id) {
        let nulls = usize::try_from(*nulls).unwrap_or(usize::MAX);
        statistics.null_count = Precision::Exact(nulls);
    }
    let data_type = field.data_type();
    if data_type.is_floating() && nan_possible(file, id) {
        return statistics;
    }
    let bound = |datum: Option<&Datum>| datum.and_then(|datum| scalar(datum.literal(), data_type));
    let lower = bound(file.lower_bounds().get(&id)).map(|value| widen_zero(value, true));
    let upper = bound(file.upper_bounds().get(&id)).map(|value| widen_zero(value, false));
    statistics.min_value = precision(lower, data_type);
    statistics.max_value = precision(upper, data_type);
    statistics
}

/// No when the manifest counts zero NaN, when every value is null, and when the column is
/// younger than the file (its id is above all ids the file has metrics for).
fn nan_possible(file: &DataFile, id: i32) -> bool {
    if let Some(count) = file.nan_value_counts().get(&id) {
        return *count > 0;
    }
    if file.null_value_counts().get(&id) == Some(&file.record_count()) {
        return false;
    }
    match file.value_counts().keys().max() {
        Some(youngest) => id <= *youngest,
        None => true,
    }
}

/// Arrow orders -0.0 below 0.0; writers may give either as the bound of both.
fn widen_zero(value: ScalarValue, lower: bool) -> ScalarValue {
    match value {
        ScalarValue::Float32(Some(0.0)) => {
            ScalarValue::Float32(Some(if lower { -0.0 } else { 0.0 }))
        }
        ScalarValue::Float64(Some(0.0)) => {
            ScalarValue::Float64(Some(if lower { -0.0 } else { 0.0 }))
        }
        other => other,
    }
}

fn precision(value: Option<ScalarValue>, data_type: &DataType) -> Precision<ScalarValue> {
    match value {
        None => Precision::Absent,
        Some(value) if data_type.is_floating() || *data_type == DataType::Utf8 => {
            Precision::Inexact(value)
        }
        Some(value) => Precision::Exact(value),
    }
}

/// A manifest bound as a value of the column's type; `None` for types not pruned on.
fn scalar(literal: &PrimitiveLiteral, data_type: &DataType) -> Option<ScalarValue> {
    let value = match (data_type, literal) {
        (DataType::Boolean, PrimitiveLiteral::Boolean(v)) => ScalarValue::Boolean(Some(*v)),
        (DataType::Int32, PrimitiveLiteral::Int(v)) => ScalarValue::Int32(Some(*v)),
        (DataType::Int64, PrimitiveLiteral::Long(v)) => ScalarValue::Int64(Some(*v)),
        // A file written before the column was widened has bounds of the narrower type.
        (DataType::Int64, PrimitiveLiteral::Int(v)) => ScalarValue::Int64(Some(i64::from(*v))),
        (DataType::Float32, PrimitiveLiteral::Float(v)) => ScalarValue::Float32(Some(v.0)),
        (DataType::Float64, PrimitiveLiteral::Double(v)) => ScalarValue::Float64(Some(v.0)),
        (DataType::Float64, PrimitiveLiteral::Float(v)) => {
            ScalarValue::Float64(Some(f64::from(v.0)))
        }
        (DataType::Date32, PrimitiveLiteral::Int(v)) => ScalarValue::Date32(Some(*v)),
        (DataType::Timestamp(TimeUnit::Microsecond, zone), PrimitiveLiteral::Long(v)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        (DataType::Utf8, PrimitiveLiteral::String(v)) => ScalarValue::Utf8(Some(v.clone())),
        _ => return None,
    };
    Some(value)
}

/// Bounds of many files, for a `PruningPredicate`. Unlike DataFusion's own
/// `PrunableStatistics` it prunes on inexact bounds too: every value lies within them.
pub(crate) struct FileBounds<'a> {
    files: &'a [Arc<Statistics>],
    schema: &'a Schema,
}

impl<'a> FileBounds<'a> {
    /// One container per entry of `files`, whose columns are those of `schema`.
    pub(crate) fn new(files: &'a [Arc<Statistics>], schema: &'a Schema) -> Self {
        FileBounds { files, schema }
    }

    fn values(
        &self,
        column: &Column,
        bound: impl Fn(&ColumnStatistics) -> &Precision<ScalarValue>,
    ) -> Option<ArrayRef> {
        let index = self.schema.index_of(column.name()).ok()?;
        let unknown = ScalarValue::try_new_null(self.schema.field(index).data_type()).ok()?;
        let values = self.files.iter().map(|file| {
            let value = bound(&file.column_statistics[index]).get_value();
            value.unwrap_or(&unknown).clone()
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |statistics| &statistics.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |statistics| &statistics.max_value)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.schema.index_of(column.name()).ok()?;
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|file| count(&file.column_statistics[index].null_count))
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self, _column: &Column) -> Option<ArrayRef> {
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|file| count(&file.num_rows))
            .collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

fn count(value: &Precision<usize>) -> Option<u64> {
    value
        .get_value()
        .and_then(|count| u64::try_from(*count).ok())
}
