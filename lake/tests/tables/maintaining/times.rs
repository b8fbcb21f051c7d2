//! When rows were committed, before and after compaction.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use lake::{COMMITTED_AT, Lake, Table};

use super::{compact, full, merging};
use crate::support::{NOVEMBER, head, key, lake, meta, row, spec};

async fn created(lake: &Lake) -> Table {
    let table = lake.create_table("main", &key(), &spec(), meta()).await;
    table.unwrap()
}

/// By cycles, the time each row was committed.
async fn times(lake: &Lake) -> BTreeMap<i64, i64> {
    let table = head(lake, &key()).await;
    let rows = lake.rows_with_times(&table, &["cycles"]).await.unwrap();
    let rows: Vec<_> = rows.try_collect().await.unwrap();
    let mut times = BTreeMap::new();
    for batch in &rows {
        assert_eq!(batch.schema().field(1).name(), COMMITTED_AT);
        let cycles = batch.column(0).as_primitive::<Int64Type>().values();
        let at = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for (cycles, at) in cycles.iter().zip(at.iter()) {
            assert!(times.insert(*cycles, at.unwrap()).is_none());
        }
    }
    times
}

#[tokio::test]
async fn compacted_rows_keep_the_time_of_their_commit() {
    for options in [full(), merging()] {
        let lake = lake().await;
        created(&lake).await;
        for n in 0..20 {
            let rows = vec![row(NOVEMBER + n, "p1", n)];
            let appended = lake.append_batches("main", &key(), rows, meta()).await;
            appended.unwrap();
            if n % 8 == 7 {
                compact(&lake, &options).await;
            }
        }
        let before = times(&lake).await;
        assert_eq!(before.len(), 20);
        let order: Vec<i64> = before.values().copied().collect();
        assert!(order.is_sorted(), "{order:?}");
        assert!(order[0] < order[19], "{order:?}");
        compact(&lake, &full()).await;
        let table = head(&lake, &key()).await;
        assert_eq!(table.data_files().await.unwrap().len(), 1);
        assert_eq!(times(&lake).await, before);
        let file = &table.data_files().await.unwrap()[0].file;
        assert_eq!(file.upper_bounds().len(), 4, "of the table's columns only");
    }
}

#[tokio::test]
async fn a_column_that_is_not_there_is_named() {
    let lake = lake().await;
    let table = created(&lake).await;
    let error = lake
        .rows_with_times(&table, &["cycle"])
        .await
        .err()
        .unwrap();
    assert!(error.message().contains("'cycle'"), "{error}");
    assert!(error.hint().unwrap().contains("cycles"), "{error}");
}
