//! A lake in memory, rows of pumps, and reading files back with Parquet's own reader.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use catalog::{Catalog, CommitMeta, Key, Operation, Snapshot, Store};
use lake::{Lake, PartitionField, ScanFile, Table, TableSpec};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// 2026-11-01T00:00:00Z in microseconds.
pub(crate) const NOVEMBER: i64 = 1_793_491_200_000_000;

pub(crate) async fn lake() -> Lake {
    Lake::new(Catalog::open(Store::memory()).await.unwrap())
}

pub(crate) fn key() -> Key {
    "pumps.telemetry".parse().unwrap()
}

pub(crate) fn meta() -> CommitMeta {
    CommitMeta::new("test", "test")
}

pub(crate) fn schema() -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("ts", utc, true),
        Field::new("pump", DataType::Utf8, true),
        Field::new("pressure", DataType::Float64, true),
        Field::new("cycles", DataType::Int64, true),
    ]))
}

pub(crate) fn spec() -> TableSpec {
    TableSpec {
        schema: schema(),
        partition: vec![PartitionField::day("ts")],
        sort: vec!["pump".into(), "ts".into()],
        bloom: vec!["pump".into()],
        ..TableSpec::default()
    }
}

/// A row: time in µs, pump, pressure, cycles.
pub(crate) type Row<'a> = (Option<i64>, Option<&'a str>, Option<f64>, Option<i64>);

pub(crate) fn batch(rows: &[Row<'_>]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times.with_timezone("UTC")),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.3))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// One row of pump `pump` at `ts`, whose cycles are `n`.
pub(crate) fn row(ts: i64, pump: &str, n: i64) -> RecordBatch {
    batch(&[(Some(ts), Some(pump), Some(n as f64), Some(n))])
}

pub(crate) async fn head(lake: &Lake, key: &Key) -> Table {
    let snapshot = lake.catalog().head("main").await.unwrap();
    lake.table(&snapshot, key).await.unwrap()
}

/// Commits a staged operation to `main`.
pub(crate) async fn commit(lake: &Lake, operation: Operation) -> Snapshot {
    let head = lake.catalog().head("main").await.unwrap();
    let committed = lake
        .catalog()
        .commit_operations("main", meta(), head.id(), vec![operation]);
    committed.await.unwrap()
}

/// A second lake on the same store, which has nothing in its caches.
pub(crate) async fn reopened(lake: &Lake) -> Lake {
    Lake::new(Catalog::open(lake.store().clone()).await.unwrap())
}

pub(crate) async fn bytes(lake: &Lake, file: &ScanFile) -> Bytes {
    let get = lake.store().object_store().get(&file.path).await;
    get.unwrap().bytes().await.unwrap()
}

pub(crate) async fn rows_of(lake: &Lake, file: &ScanFile) -> Vec<RecordBatch> {
    let bytes = bytes(lake, file).await;
    assert_eq!(bytes.len() as u64, file.file.file_size_in_bytes());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// Count of rows and sum of `cycles` over all files of a table.
pub(crate) async fn totals(lake: &Lake, table: &Table) -> (usize, i64) {
    let (mut count, mut sum) = (0, 0);
    for file in table.data_files().await.unwrap().iter() {
        for rows in rows_of(lake, file).await {
            count += rows.num_rows();
            let cycles = rows.column_by_name("cycles").unwrap();
            sum += cycles
                .as_primitive::<Int64Type>()
                .iter()
                .flatten()
                .sum::<i64>();
        }
    }
    (count, sum)
}
