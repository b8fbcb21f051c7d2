//! Rows still in ingest's buffer, given the shape of the table they will be committed to.
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use lake::hot::HotRows;

/// A scan of `rows` as columns `projection` of `schema`: matched by name, cast where the
/// type differs, null where the rows lack a column, spread over at most `partitions`.
///
/// # Errors
/// When a value cannot be cast to the table's type.
pub(crate) fn scan(
    rows: &HotRows,
    schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let shape = match projection {
        Some(indices) => Arc::new(schema.project(indices)?),
        None => Arc::clone(schema),
    };
    let mut parts: Vec<Vec<RecordBatch>> =
        vec![Vec::new(); partitions.clamp(1, rows.batches.len().max(1))];
    let count = parts.len();
    for (index, batch) in rows.batches.iter().enumerate() {
        parts[index % count].push(shaped(batch, &shape)?);
    }
    Ok(MemorySourceConfig::try_new_exec(&parts, shape, None)?)
}

fn shaped(batch: &RecordBatch, shape: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(shape.fields().len());
    for field in shape.fields() {
        let column = match batch.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), batch.num_rows()),
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => cast_with_options(column, field.data_type(), &options)?,
        };
        columns.push(column);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(shape),
        columns,
        &rows,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float64Array, Int64Array, StringArray};
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

    #[test]
    fn no_columns_keeps_the_count() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(Int64Array::from(vec![1, 2, 3]))],
        )
        .unwrap();
        assert_eq!(
            shaped(&batch, &Arc::new(Schema::empty()))
                .unwrap()
                .num_rows(),
            3
        );
    }
}
