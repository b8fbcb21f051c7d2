//! Rows that repeat a key.

use std::collections::BTreeMap;

use lake::maintain::{CompactOptions, DEDUP};
use lake::{Alter, Lake, TableSpec};
use proptest::prelude::*;

use super::{compact, full, merging, seen};
use crate::support::{NOVEMBER, batch, commit, head, key, lake, meta, spec};

async fn keyed(columns: &str) -> Lake {
    let lake = lake().await;
    let spec = TableSpec {
        properties: BTreeMap::from([(DEDUP.to_owned(), columns.to_owned())]),
        ..spec()
    };
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    lake
}

/// Commits rows of (pump, time), numbered by `n`.
async fn append(lake: &Lake, rows: &[(u8, i64)], n: &mut i64) {
    let pumps: Vec<String> = rows.iter().map(|row| format!("p{}", row.0)).collect();
    let rows = rows.iter().zip(&pumps).map(|((_, ts), pump)| {
        *n += 1;
        (Some(NOVEMBER + ts), Some(pump.as_str()), None, Some(*n))
    });
    let rows = batch(&rows.collect::<Vec<_>>());
    let appended = lake
        .append_batches("main", &key(), vec![rows], meta())
        .await;
    appended.unwrap();
}

#[tokio::test]
async fn the_row_committed_first_stays_also_where_the_key_is_not_the_order() {
    for options in [full(), merging()] {
        let lake = keyed("pump").await;
        let mut n = 0;
        append(&lake, &[(1, 50)], &mut n).await;
        append(&lake, &[(1, 10), (2, 20)], &mut n).await;
        let report = compact(&lake, &options).await;
        assert_eq!(report.repeated_rows, 1);
        let rows = seen(&lake, &head(&lake, &key()).await).await;
        let left: Vec<_> = rows.iter().map(|row| (row.1.as_str(), row.3)).collect();
        assert_eq!(left, [("p2", 3), ("p1", 1)]);
    }
}

#[tokio::test]
async fn files_around_a_large_one_do_not_pass_it() {
    let lake = keyed("pump").await;
    let mut n = 0;
    append(&lake, &[(1, 1)], &mut n).await;
    let large: Vec<(u8, i64)> = (0..4_000)
        .map(|ts| ((ts % 200) as u8, ts * 7_919))
        .collect();
    append(&lake, &large, &mut n).await;
    append(&lake, &[(201, 2)], &mut n).await;
    let before = head(&lake, &key()).await;
    let sizes = before.data_files().await.unwrap();
    let sizes: Vec<u64> = sizes
        .iter()
        .map(|file| file.file.file_size_in_bytes())
        .collect();
    let options = CompactOptions {
        target_file_bytes: sizes[0] * 2,
        ..full()
    };
    assert!(sizes[1] > sizes[0] * 2, "{sizes:?}");
    compact(&lake, &options).await;
    compact(&lake, &full()).await;
    let rows = seen(&lake, &head(&lake, &key()).await).await;
    let first = rows.iter().find(|row| row.1 == "p1").unwrap();
    assert_eq!(first.3, 1, "the row committed first stays");
}

#[tokio::test]
async fn the_key_follows_a_renamed_column_and_holds_a_dropped_one() {
    let lake = keyed("pump, ts").await;
    let table = head(&lake, &key()).await;
    let rename = Alter::RenameColumn {
        from: "pump".into(),
        to: "machine".into(),
    };
    let drop = |name: &str| Alter::DropColumn(name.into());
    let dropped = [rename.clone(), drop("machine")];
    let error = lake.stage_alter(&table, &dropped).await.unwrap_err();
    assert!(error.message().contains(DEDUP), "{error}");
    let alters = [rename, drop("pressure")];
    let staged = lake.stage_alter(&table, &alters).await.unwrap();
    commit(&lake, staged).await;
    let table = head(&lake, &key()).await;
    assert_eq!(table.metadata().properties()[DEDUP], "machine,ts");
}

#[tokio::test]
async fn a_null_is_equal_to_nothing_and_an_unknown_column_drops_no_row() {
    let rows = batch(&[
        (None, Some("p"), None, Some(1)),
        (None, Some("p"), None, Some(2)),
    ]);
    for columns in ["pump, ts", "pump,nothing", ""] {
        let lake = keyed(columns).await;
        for _ in 0..2 {
            let rows = vec![rows.clone()];
            let appended = lake.append_batches("main", &key(), rows, meta()).await;
            appended.unwrap();
        }
        let report = compact(&lake, &full()).await;
        assert_eq!(
            (report.repeated_rows, report.files_added),
            (0, 1),
            "{columns}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Compacted now and then, and all together at the end: of each key the first is left.
    #[test]
    fn of_each_key_the_first_is_left(
        commits in proptest::collection::vec(
            (proptest::collection::vec((0..3_u8, 0..6_i64), 3), any::<bool>()), 1..40),
        streamed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lake = keyed("pump,ts").await;
            let (mut n, mut first) = (0, BTreeMap::new());
            for (rows, then) in commits {
                for (at, (pump, ts)) in rows.iter().enumerate() {
                    // Keys of the time are that of the partition's day too.
                    first.entry((NOVEMBER + ts, format!("p{pump}"))).or_insert(n + 1 + at as i64);
                }
                append(&lake, &rows, &mut n).await;
                if then {
                    let memory_bytes = if streamed { 6_000 } else { 1 << 20 };
                    let options = CompactOptions { memory_bytes, ..CompactOptions::default() };
                    compact(&lake, &options).await;
                }
            }
            // A single file may hold a key twice; it is looked at once another comes.
            append(&lake, &[(9, 9)], &mut n).await;
            first.insert((NOVEMBER + 9, "p9".to_owned()), n);
            compact(&lake, &full()).await;
            let rows = seen(&lake, &head(&lake, &key()).await).await;
            let left: BTreeMap<_, _> = rows.iter().map(|row| ((row.0, row.1.clone()), row.3)).collect();
            assert_eq!(rows.len(), left.len(), "a key is there twice");
            assert_eq!(left, first);
        });
    }
}
