//! The answer to a statement that returns no rows, as the one row that a query gets.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{CommitId, Error, Result};

/// Key in the schema's metadata that marks such an answer; the value is the session's ref.
const MARK: &str = "pumphouse.done-at";

/// `message, rows_affected, commit`
pub(crate) fn schema(reference: &str) -> SchemaRef {
    let metadata = HashMap::from([(MARK.to_owned(), reference.to_owned())]);
    let fields = vec![
        Field::new("message", DataType::Utf8, false),
        Field::new("rows_affected", DataType::Int64, true),
        Field::new("commit", DataType::Utf8, true),
    ];
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

/// The row, from a session that is at `reference` now.
pub(crate) fn batch(
    reference: &str,
    message: &str,
    rows: Option<u64>,
    commit: Option<CommitId>,
) -> Result<RecordBatch> {
    let rows = rows.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![message])),
        Arc::new(Int64Array::from(vec![rows])),
        Arc::new(StringArray::from(vec![commit.map(|id| id.to_string())])),
    ];
    RecordBatch::try_new(schema(reference), columns)
        .map_err(|error| Error::internal("cannot tell what was done").with_source(error))
}

/// What a statement did on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What was done, such as `INSERT 3`.
    pub message: String,
    /// The commit it made.
    pub commit: Option<String>,
    /// The ref of table names without one from now on.
    pub reference: String,
}

/// The ref in the mark of an answer; `None` for rows.
pub(crate) fn mark(schema: &Schema) -> Option<&str> {
    schema.metadata().get(MARK).map(String::as_str)
}

/// Reads such an answer back.
pub(crate) fn read(reference: &str, batch: &RecordBatch) -> Option<Done> {
    let text = |column: usize| {
        let column = batch.columns().get(column)?;
        let column = column.as_any().downcast_ref::<StringArray>()?;
        (column.len() == 1 && column.is_valid(0)).then(|| column.value(0).to_owned())
    };
    Some(Done {
        message: text(0)?,
        commit: text(2),
        reference: reference.to_owned(),
    })
}
