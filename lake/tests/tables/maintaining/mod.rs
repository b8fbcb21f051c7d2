//! Maintenance of tables: compaction, retention, expiry, and what they leave alone.

mod compacting;
mod keys;
mod many_commits;
mod property;
mod retaining;
mod times;
mod together;

use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use catalog::Key;
use futures::FutureExt;
use lake::maintain::{
    CompactOptions, CompactReport, ExpireOptions, MaintenanceStatus, RetainOptions,
};
use lake::{Lake, Table};

use crate::support::{head, key, rows_of};

/// A row as it is compared: time, pump, pressure as bits, cycles.
pub(crate) type Seen = (i64, String, Option<u64>, i64);

/// All rows of a table without delete files, sorted.
pub(crate) async fn seen(lake: &Lake, table: &Table) -> Vec<Seen> {
    let mut all = Vec::new();
    for file in table.data_files().await.unwrap().iter() {
        all.extend(seen_in(lake, file).await);
    }
    all.sort();
    all
}

/// The rows of one file, in its order.
pub(crate) async fn seen_in(lake: &Lake, file: &lake::ScanFile) -> Vec<Seen> {
    let mut all = Vec::new();
    for rows in rows_of(lake, file).await {
        let column = |name: &str| rows.column_by_name(name).unwrap();
        let times = column("ts").as_primitive::<TimestampMicrosecondType>();
        let pumps = column("pump").as_string::<i32>();
        let pressures = column("pressure").as_primitive::<Float64Type>();
        let cycles = column("cycles").as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let pressure = pressures
                .is_valid(row)
                .then(|| pressures.value(row).to_bits());
            let pump = pumps.value(row).to_owned();
            all.push((times.value(row), pump, pressure, cycles.value(row)));
        }
    }
    all
}

pub(crate) async fn compact(lake: &Lake, options: &CompactOptions) -> CompactReport {
    let go_on = || futures::future::ready(true).boxed();
    let done = lake.compact("main", &key(), options, "test", &go_on).await;
    done.unwrap()
}

pub(crate) fn full() -> CompactOptions {
    CompactOptions {
        full: true,
        ..CompactOptions::default()
    }
}

/// Options under which rows never fit in memory, so that files are merged as streams.
pub(crate) fn merging() -> CompactOptions {
    CompactOptions {
        memory_bytes: 1_000,
        ..full()
    }
}

pub(crate) async fn status(lake: &Lake, key: &Key) -> MaintenanceStatus {
    let table = head(lake, key).await;
    let expire = ExpireOptions {
        older_than: Duration::ZERO,
        keep: 1,
    };
    let options = CompactOptions::default();
    let status = lake.maintenance_status(&table, &options, expire, RetainOptions::default());
    status.await.unwrap()
}
