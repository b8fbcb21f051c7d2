//! When rows were committed, for data sets that may not know more than one knew then.
//!
//! The rows of a file were committed with the snapshot that added it. Compaction would put one
//! time in place of many, so it writes each row's time beside it, in a column that is none of the
//! table's: readers find columns by field id and pass over it. Its id is one of those that the
//! Iceberg specification reserves for metadata columns (spec, "Reserved Field IDs") and gives to
//! none.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use catalog::{Error, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::TableMetadata;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use uuid::Uuid;

use crate::error;
use crate::lake::Lake;
use crate::read::{Gone, Reader, RowStream};
use crate::table::{ScanFile, Table};

/// The column with the time a row was committed, a timestamp in microseconds, UTC.
pub const COMMITTED_AT: &str = "_committed_at";

/// Its field id in data files.
pub(crate) const COMMITTED_AT_ID: i32 = 2_147_483_500;

/// What the deletes of one file may take in memory.
const DELETES_BYTES: u64 = 256 << 20;

fn field() -> Field {
    let zone = Some("+00:00".into());
    let id = COMMITTED_AT_ID.to_string();
    Field::new(
        COMMITTED_AT,
        DataType::Timestamp(TimeUnit::Microsecond, zone),
        true,
    )
    .with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id)]))
}

/// `columns` and the time they were committed; none when a column has that name already.
pub(crate) fn with_time(columns: &Schema) -> Option<SchemaRef> {
    if columns.index_of(COMMITTED_AT).is_ok() {
        return None;
    }
    let mut fields = columns.fields().to_vec();
    fields.push(Arc::new(field()));
    Some(Arc::new(Schema::new(fields)))
}

/// When the rows of `file` were committed, in microseconds since 1970, for those that do not say
/// so themselves.
///
/// Of a snapshot that has expired it is known when its file was begun, by the file's name; or at
/// least that it was before all that are left.
pub(crate) fn committed_at(metadata: &TableMetadata, file: &ScanFile) -> i64 {
    let snapshot = file.snapshot_id.and_then(|id| metadata.snapshot_by_id(id));
    let millis = snapshot
        .map(|snapshot| snapshot.timestamp_ms())
        .or_else(|| begun(file.file.file_path()))
        .or_else(|| metadata.snapshots().map(|s| s.timestamp_ms()).min())
        .unwrap_or_else(|| metadata.last_updated_ms());
    millis.saturating_mul(1_000)
}

/// The time in the name of a file, which is a version 7 UUID (RFC 9562, section 5.7).
fn begun(location: &str) -> Option<i64> {
    let name = location.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (seconds, nanos) = Uuid::parse_str(name).ok()?.get_timestamp()?.to_unix();
    let millis = seconds.checked_mul(1_000)? + u64::from(nanos / 1_000_000);
    i64::try_from(millis).ok()
}

/// The rows of a file that were read with [`with_time`]'s columns: `micros` where the last one,
/// the time, is null.
pub(crate) fn filled(rows: RowStream, micros: i64) -> RowStream {
    rows.map(move |batch| fill(&batch?, micros)).boxed()
}

fn fill(batch: &RecordBatch, micros: i64) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    let Some(times) = columns.last_mut().filter(|times| times.null_count() > 0) else {
        return Ok(batch.clone());
    };
    let known = times.as_primitive::<TimestampMicrosecondType>();
    let known: TimestampMicrosecondArray = known.iter().map(|at| at.or(Some(micros))).collect();
    *times = Arc::new(known.with_timezone("+00:00")) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns)
        .map_err(error::arrow("could not tell when rows were committed"))
}

impl Lake {
    /// All rows of `table`, its columns `names` and last [`COMMITTED_AT`], in the order of their
    /// files. Rows that were changed count as committed by that change.
    ///
    /// # Errors
    /// `InvalidInput` for a column the table lacks, or one with that very name; those of reading
    /// files.
    pub async fn rows_with_times(
        &self,
        table: &Table,
        names: &[&str],
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let columns = columns(table, names)?;
        let reader = Reader::new(self.store(), table);
        let files = table.data_files().await?;
        let files: Vec<ScanFile> = files.iter().cloned().collect();
        let (lake, table) = (self.clone(), table.clone());
        let rows = futures::stream::iter(files).then(move |file| {
            let (lake, table) = (lake.clone(), table.clone());
            let (reader, columns) = (reader.clone(), Arc::clone(&columns));
            async move {
                let files = std::slice::from_ref(&file);
                let gone = match file.deletes.is_empty() {
                    true => Gone::default(),
                    false => Gone::of(&reader, lake.store(), &table, files, DELETES_BYTES).await?,
                };
                let rows = reader.rows(&file, &columns, &Arc::new(gone)).await?;
                Ok::<_, Error>(filled(rows, committed_at(table.metadata(), &file)))
            }
        });
        Ok(rows.try_flatten().boxed())
    }
}

fn columns(table: &Table, names: &[&str]) -> Result<SchemaRef> {
    let all = table.arrow_schema();
    let positions = names.iter().map(|name| {
        all.index_of(name).map_err(|_| {
            let known: Vec<&str> = all.fields().iter().map(|f| f.name().as_str()).collect();
            Error::invalid(format!("table {} has no column '{name}'", table.key()))
                .with_hint(format!("its columns are {}", known.join(", ")))
        })
    });
    let positions = positions.collect::<Result<Vec<_>>>()?;
    let chosen = all.project(&positions);
    let chosen = chosen.map_err(error::arrow("could not choose columns"))?;
    with_time(&chosen).ok_or_else(|| {
        Error::invalid(format!(
            "table {} has a column '{COMMITTED_AT}', which is where the time of its commits goes",
            table.key()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_when_it_was_begun() {
        let before = chrono::Utc::now().timestamp_millis();
        let location = format!(
            "file:///t/data/ts_day=2026-11-01/{}.parquet",
            Uuid::now_v7()
        );
        let begun_at = begun(&location).unwrap();
        assert!((before..=chrono::Utc::now().timestamp_millis()).contains(&begun_at));
        assert_eq!(begun(&format!("s3://b/{}.parquet", Uuid::new_v4())), None);
        assert_eq!(begun("00000-0-abc.parquet"), None);
    }
}
