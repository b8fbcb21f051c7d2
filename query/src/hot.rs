//! Rows still in ingest's buffer, given the shape of the table they will be committed to.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::kernels::nullif::nullif;
use arrow::compute::{and, can_cast_types, cast, filter, is_not_null, not};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use lake::hot::HotRows;
use lake::shape::Shape;

use crate::fit::fit;

/// A scan of `rows` as columns `projection` of `schema`: matched by name, cast where the
/// type differs, null where the rows lack a column, spread over at most `partitions`.
///
/// Rows that the table no longer takes are left out: its type of a column is another than
/// their value's, or it requires a column that they lack. Ingest makes dead letters of them.
///
/// # Errors
/// When the columns make no batch, which is a fault of this crate.
pub(crate) fn scan(
    rows: &HotRows,
    schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let projection = projection.unwrap_or(&all);
    let shape = Arc::new(schema.project(projection)?);
    let mut parts: Vec<Vec<RecordBatch>> =
        vec![Vec::new(); partitions.clamp(1, rows.batches.len().max(1))];
    let count = parts.len();
    for (index, batch) in rows.batches.iter().enumerate() {
        let batch = shaped(batch, schema)?.project(projection)?;
        parts[index % count].push(batch);
    }
    Ok(MemorySourceConfig::try_new_exec(&parts, shape, None)?)
}

/// The rows of `batch` that a table of this shape takes, in that shape.
fn shaped(batch: &RecordBatch, shape: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(shape.fields().len());
    let mut taken: Option<BooleanArray> = None;
    for field in shape.fields() {
        let (column, fit) = match batch.column_by_name(field.name()) {
            None => (new_null_array(field.data_type(), batch.num_rows()), None),
            Some(column) if column.data_type() == field.data_type() => (Arc::clone(column), None),
            Some(column) => converted(column, field.data_type())?,
        };
        let there = match field.is_nullable() || column.null_count() == 0 {
            true => None,
            false => Some(is_not_null(&column)?),
        };
        for mask in fit.into_iter().chain(there) {
            taken = Some(match &taken {
                Some(taken) => and(taken, &mask)?,
                None => mask,
            });
        }
        columns.push(column);
    }
    if let Some(taken) = taken {
        let kept = columns.iter().map(|column| filter(column, &taken));
        columns = kept.collect::<Result<_, _>>()?;
        return batch_of(shape, columns, taken.true_count());
    }
    batch_of(shape, columns, batch.num_rows())
}

fn batch_of(shape: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let rows = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(shape), columns, &rows);
    Ok(batch?)
}

/// The column as another type, and which rows have a value that type has.
fn converted(column: &ArrayRef, into: &DataType) -> Result<(ArrayRef, Option<BooleanArray>)> {
    let taken = fit(column, into)?;
    let Ok(shape) = Shape::by_name(column.data_type(), into) else {
        return Ok((new_null_array(into, column.len()), taken));
    };
    let left = match &taken {
        Some(taken) => &nullif(column, &not(taken)?)?,
        None => column,
    };
    let converted = shape.apply(left, into, &|values, into| match can_cast_types(
        values.data_type(),
        into,
    ) {
        true => cast(values, into),
        false => Ok(new_null_array(into, values.len())),
    });
    Ok((converted?, taken))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn rows_take_the_shape_of_the_table() {
        let old = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("pump", DataType::Utf8, true),
        ]));
        let batch = RecordBatch::try_new(
            old,
            vec![
                Arc::new(Int64Array::from(vec![1, 2])),
                Arc::new(StringArray::from(vec!["a", "b"])),
            ],
        )
        .unwrap();
        let table: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("pump", DataType::Utf8, true),
            Field::new("flow", DataType::Float64, true),
            Field::new("n", DataType::Float64, true),
        ]));
        let batch = shaped(&batch, &table).unwrap();
        assert_eq!(batch.schema(), table);
        assert_eq!(batch.column(1).null_count(), 2);
        let n = batch
            .column(2)
            .as_any()
            .downcast_ref::<Float64Array>()
            .unwrap();
        assert_eq!(n.values(), &[1.0, 2.0]);
    }

    /// The first column of `rows` in a table with a column `n` of this type.
    fn in_table(rows: ArrayRef, n: Field) -> RecordBatch {
        let rows = RecordBatch::try_from_iter_with_nullable([("n", rows, true)]).unwrap();
        shaped(&rows, &Arc::new(Schema::new(vec![n]))).unwrap()
    }

    #[test]
    fn rows_that_the_table_no_longer_takes_are_left_out() {
        let halves: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(1.5), None]));
        let long = in_table(halves.clone(), Field::new("n", DataType::Int64, true));
        let n = long.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(n.iter().collect::<Vec<_>>(), [Some(1), None]);
        let text = in_table(halves.clone(), Field::new("n", DataType::Utf8, true));
        assert_eq!((text.num_rows(), text.column(0).null_count()), (1, 1));
        let required = in_table(halves.clone(), Field::new("n", DataType::Float64, false));
        assert_eq!(required.num_rows(), 2);
        let lacking = in_table(halves, Field::new("m", DataType::Utf8, false));
        assert_eq!(lacking.num_rows(), 0);
    }

    #[test]
    fn no_columns_keeps_the_count() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(Int64Array::from(vec![1, 2, 3]))],
        )
        .unwrap();
        let none = shaped(&batch, &schema).unwrap().project(&[]).unwrap();
        assert_eq!(none.num_rows(), 3);
    }
}
