//! Writes one table through everything it can go through, and prints what each stage
//! must read back as, for checking with other Iceberg readers:
//!
//! `cargo run -p lake --example stages -- FOLDER`
//!
//! A line is JSON: metadata location, Iceberg snapshot id, row count, the sum of `n`,
//! and the rows whose `value` is NaN.

#![allow(clippy::print_stdout)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use catalog::{Catalog, CommitMeta, Error, Key, Result, Store, StoreConfig};
use lake::{Lake, PartitionField, TableSpec};

const DAY: i64 = 86_400_000_000;
const START: i64 = 1_793_491_200_000_000;
const DEVICES: [&str; 5] = ["p1", "pümpe-ß", "水泵 7", "a/b %41+c", "日本"];

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args()
        .nth(1)
        .ok_or_else(|| Error::invalid("name a folder"))?;
    let config = StoreConfig {
        url,
        ..StoreConfig::default()
    };
    let lake = Lake::new(Catalog::open(Store::open(&config).await?).await?);
    let key: Key = "pumps.telemetry".parse()?;
    let meta = || CommitMeta::new("stages", "a stage");
    let spec = TableSpec {
        schema: rows(0, false)?.schema(),
        partition: vec![PartitionField::day("ts")],
        sort: vec!["pump".into(), "ts".into()],
        bloom: vec!["pump".into()],
        ..TableSpec::default()
    };
    lake.create_table("main", &key, &spec, meta()).await?;
    let mut stage = Stage::default();
    for n in 0..140 {
        let evolved = n >= 70;
        let batch = rows(n, evolved)?;
        if n == 70 {
            lake.evolve("main", &key, &batch.schema(), meta()).await?;
        }
        stage.count(n);
        let snapshot = lake
            .append_batches("main", &key, vec![batch], meta())
            .await?;
        let table = lake.table(&snapshot, &key).await?;
        stage.print(&table);
    }
    Ok(())
}

#[derive(Default)]
struct Stage {
    rows: i64,
    sum: i64,
    nans: i64,
}

impl Stage {
    fn count(&mut self, n: i64) {
        self.rows += DEVICES.len() as i64;
        self.sum += n * (DEVICES.len() as i64 - 1);
        self.nans += i64::from(n % 3 == 0);
    }

    fn print(&self, table: &lake::Table) {
        let snapshot = table.metadata().current_snapshot_id().unwrap_or_default();
        println!(
            r#"{{"metadata": "{}", "snapshot": {snapshot}, "rows": {}, "sum": {}, "nans": {}}}"#,
            table.metadata_location(),
            self.rows,
            self.sum,
            self.nans,
        );
    }
}

/// A row a device: across midnight of day `n / 10`, some before 1970, with a null, a NaN
/// every third time, and a string longer than Parquet's bounds.
fn rows(n: i64, evolved: bool) -> Result<RecordBatch> {
    let count = DEVICES.len() as i64;
    let time = |i: i64| match (n % 20, i) {
        (7, 0) => Some(-DAY * n - 1),
        (9, 0) => None,
        _ => Some(START + n / 10 * DAY + (i - 2) * 1_000_000 + n),
    };
    let times = TimestampMicrosecondArray::from_iter((0..count).map(time));
    let nan = |i: i64| n % 3 == 0 && i == 1;
    let value = |i: i64| {
        if nan(i) {
            f64::NAN
        } else {
            (i + n) as f64 / 4.0
        }
    };
    let note = |i: i64| format!("{}{}", "lång ".repeat(20), i + n);
    let decimals = Decimal128Array::from_iter((0..count).map(|i| Some(i128::from(i - 3 + n))));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(times.with_timezone("UTC"))),
        ("pump", Arc::new(StringArray::from_iter_values(DEVICES))),
        (
            "n",
            Arc::new(Int64Array::from_iter(
                (0..count).map(|i| (i > 0).then_some(n)),
            )),
        ),
        (
            "value",
            Arc::new(Float64Array::from_iter((0..count).map(|i| Some(value(i))))),
        ),
        (
            "note",
            Arc::new(StringArray::from_iter_values((0..count).map(note))),
        ),
        (
            "on",
            Arc::new(BooleanArray::from_iter(
                (0..count).map(|i| Some(i % 2 == 0)),
            )),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter(
                (0..count).map(|i| Some((i - n) as i32)),
            )),
        ),
        (
            "raw",
            Arc::new(BinaryArray::from_iter_values(
                (0..count).map(|i| [0xff, i as u8]),
            )),
        ),
        (
            "price",
            Arc::new(decimals.with_precision_and_scale(9, 2).map_err(failed)?),
        ),
    ];
    if evolved {
        let site = (0..count).map(|i| (i != 2).then(|| format!("site {n}")));
        columns.push(("site", Arc::new(StringArray::from_iter(site))));
    }
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
}

fn failed(error: arrow::error::ArrowError) -> Error {
    Error::internal("could not make the rows").with_source(error)
}
