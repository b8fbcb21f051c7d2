//! What leaves the engine: plain Arrow types that every client reads.
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

/// `schema` without view, dictionary and run-end types: many clients cannot read views, and
/// dictionaries may differ from batch to batch.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new(fields))
}

/// `stream` with every batch of exactly `schema`.
pub(crate) fn conform(
    stream: SendableRecordBatchStream,
    schema: SchemaRef,
) -> SendableRecordBatchStream {
    let shape = Arc::clone(&schema);
    let batches = stream.map(move |batch| conform_batch(&batch?, &shape));
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

fn conform_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(Arc::clone(column))
        } else {
            Ok(cast(column, field.data_type())?)
        }
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &rows,
    )?)
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    let plain = Field::new(field.name(), data_type, field.is_nullable());
    Arc::new(plain.with_metadata(field.metadata().clone()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(plain_field(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(field, sorted) => DataType::Map(plain_field(field), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, DictionaryArray, StringViewArray, StructArray};
    use arrow::datatypes::Int8Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_plain_at_any_depth() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("a long enough string view"),
            None,
        ]));
        let words: DictionaryArray<Int8Type> = vec!["x", "y"].into_iter().collect();
        let words: ArrayRef = Arc::new(words);
        let inner = Arc::new(Field::new("v", DataType::Utf8View, true));
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(inner, Arc::clone(&views))]));
        let batch =
            RecordBatch::try_from_iter([("v", views), ("d", words), ("s", nested)]).unwrap();
        let schema = plain_schema(&batch.schema());
        let plain = conform_batch(&batch, &schema).unwrap();
        assert_eq!(plain.schema(), schema);
        assert_eq!(plain.column(0).data_type(), &DataType::Utf8);
        assert_eq!(plain.column(1).data_type(), &DataType::Utf8);
        assert_eq!(plain.column(0).null_count(), 1);
        let DataType::Struct(fields) = plain.column(2).data_type() else {
            panic!("not a struct");
        };
        assert_eq!(fields[0].data_type(), &DataType::Utf8);
    }
}
