//! Reading the dead-letter tables, file by file.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use bytes::Bytes;
use catalog::{Content, Error, Key, Result, Snapshot};
use lake::{Datum, Lake, PrimitiveLiteral, ScanFile, Table};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::decode;
use crate::decoding::stand_ins;

/// The metadata of a Parquet column that names the table's.
const FIELD_ID: &str = "PARQUET:field_id";

/// A message that could not become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// When it arrived, in microseconds since the epoch.
    pub received: i64,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// Why it could not.
    pub reason: String,
    /// The stream whose topic it has, if there is one.
    pub stream: Option<String>,
}

/// The dead-letter tables there are: the configured one and its stand-ins.
pub(super) async fn tables(lake: &Lake, at: &Snapshot, configured: &Key) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for key in stand_ins(configured) {
        if !matches!(at.get(&key)?, Some(Content::IcebergTable { .. })) {
            continue;
        }
        let table = lake.table(at, &key).await?;
        let schema = table.arrow_schema();
        let wanted = decode::dead_letter_schema();
        let has = |field: &Arc<Field>| schema.field_with_name(field.name()).is_ok();
        if wanted.fields().iter().all(has) {
            tables.push(table);
        }
    }
    Ok(tables)
}

/// The rows of one file, with the columns that the table has now.
///
/// # Errors
/// `Unsupported` where another engine has marked rows as deleted.
pub(super) async fn rows(lake: &Lake, table: &Table, file: &ScanFile) -> Result<Vec<RecordBatch>> {
    if !file.deletes.is_empty() {
        return Err(Error::unsupported(format!(
            "{} has rows that another engine marked as deleted",
            table.key()
        ))
        .with_hint("compact the table first, and run again"));
    }
    let bytes = lake.store().object_store().get(&file.path).await?;
    let bytes = bytes.bytes().await?;
    let path = file.path.clone();
    let unreadable = move |error: &dyn std::fmt::Display| {
        Error::corrupt(format!("the data file {path} is not readable: {error}"))
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| unreadable(&e))?;
    let reader = reader.build().map_err(|e| unreadable(&e))?;
    let schema = table.arrow_schema();
    let batches = reader.map(|batch| renamed(&batch.map_err(|e| unreadable(&e))?, &schema));
    batches.collect()
}

/// The columns of a file under the names that they have now.
fn renamed(batch: &RecordBatch, table: &Schema) -> Result<RecordBatch> {
    let id = |field: &Field| field.metadata().get(FIELD_ID).cloned();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let mut now = table.fields().iter();
        if let Some(now) = now.find(|now| id(now).is_some() && id(now) == id(field)) {
            fields.push(Field::new(now.name(), column.data_type().clone(), true));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| Error::internal("columns do not make a record batch").with_source(e))
}

/// The letters in a batch; a letter without topic or payload has empty ones.
pub(super) fn letters(batch: &RecordBatch) -> Result<Vec<Letter>> {
    let column = |name: &str, as_type: DataType| {
        let column = batch.column_by_name(name);
        let column = column.map(|column| cast(column, &as_type)).transpose();
        column.map_err(|e| {
            Error::invalid(format!(
                "column {name} does not hold what dead letters have"
            ))
            .with_source(e)
        })
    };
    let received = column(decode::RECEIVED_AT, micros())?;
    let texts = [
        column("topic", DataType::Utf8)?,
        column("reason", DataType::Utf8)?,
        column("stream", DataType::Utf8)?,
    ];
    let payload = column("payload", DataType::Binary)?;
    let text = |at: usize, row: usize| {
        let array = texts[at].as_ref()?.as_string::<i32>();
        array.is_valid(row).then(|| array.value(row).to_owned())
    };
    let letter = |row: usize| Letter {
        received: received.as_ref().map_or(0, |array| {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            if array.is_valid(row) {
                array.value(row)
            } else {
                0
            }
        }),
        topic: text(0, row).unwrap_or_default(),
        reason: text(1, row).unwrap_or_default(),
        stream: text(2, row),
        payload: payload.as_ref().map_or_else(Bytes::new, |array| {
            Bytes::copy_from_slice(array.as_binary::<i32>().value(row))
        }),
    };
    Ok((0..batch.num_rows()).map(letter).collect())
}

fn micros() -> DataType {
    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)
}

/// Whether all letters of the file are older than `since`.
pub(super) fn is_older(table: &Table, file: &ScanFile, since: Option<i64>) -> bool {
    let schema = table.metadata().current_schema();
    let id = schema.field_id_by_name(decode::RECEIVED_AT);
    let newest = id.and_then(|id| file.file.upper_bounds().get(&id));
    match (since, newest.map(Datum::literal)) {
        (Some(since), Some(PrimitiveLiteral::Long(newest))) => *newest < since,
        _ => false,
    }
}
