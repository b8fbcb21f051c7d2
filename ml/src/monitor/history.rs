//! What the `ml.*` tables of `main` remember: monitoring and retraining keep nothing else, so
//! that a restart forgets nothing and nodes know of each other.
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use catalog::{Error, Key, MAIN, Result};
use chrono::{DateTime, Utc};
use query::Engine;

/// Rows found, read by column name.
pub(crate) struct Found(Option<RecordBatch>);

/// Runs `sql`, which reads `tables`, on `main`; nothing is found while one of them is missing.
pub(crate) async fn find(engine: &Engine, tables: &[&str], sql: &str) -> Result<Found> {
    let head = engine.lake().catalog().head(MAIN).await?;
    for table in tables {
        if !head.contains(&table.parse::<Key>()?)? {
            return Ok(Found(None));
        }
    }
    let reference = head.id().to_string();
    let (schema, batches) = engine.collect(sql, Some(&reference)).await?;
    let rows = concat_batches(&schema, &batches)
        .map_err(|e| Error::internal("the rows of a table do not fit together").with_source(e))?;
    Ok(Found(Some(rows)))
}

impl Found {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// A value as text.
    pub(crate) fn text(&self, row: usize, column: &str) -> Option<String> {
        let values = self.column(row, column, &DataType::Utf8)?;
        Some(values.as_string::<i32>().value(row).to_owned())
    }

    /// A value as a number.
    pub(crate) fn number(&self, row: usize, column: &str) -> Option<f64> {
        let values = self.column(row, column, &DataType::Float64)?;
        Some(values.as_primitive::<Float64Type>().value(row))
    }

    /// A value as a time.
    pub(crate) fn time(&self, row: usize, column: &str) -> Option<DateTime<Utc>> {
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let values = self.column(row, column, &kind)?;
        DateTime::from_timestamp_micros(
            values.as_primitive::<TimestampMicrosecondType>().value(row),
        )
    }

    /// The column as `kind`, where it has a value in that row.
    fn column(&self, row: usize, name: &str, kind: &DataType) -> Option<ArrayRef> {
        let column = self.0.as_ref()?.column_by_name(name)?;
        let values = cast(column, kind).ok()?;
        (row < values.len() && values.is_valid(row)).then_some(values)
    }
}

/// `text` as a literal of SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `name` as an identifier of SQL.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
