//! Compaction of one table by one process.

use arrow::datatypes::DataType;
use iceberg::spec::Operation;
use lake::maintain::CompactOptions;
use lake::{Alter, Lake, PartitionField, Transform};

use super::{compact, full, merging, seen, seen_in, status};
use crate::support::{NOVEMBER, batch, commit, head, key, lake, meta, row, spec};

const DAY: i64 = 86_400_000_000;

async fn created() -> Lake {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    lake
}

async fn append(lake: &Lake, day: i64, n: i64) {
    let ts = NOVEMBER + day * DAY + n;
    let rows = vec![batch(&[
        (Some(ts), Some("p2"), Some(f64::NAN), Some(n)),
        (Some(ts), Some("p1"), None, Some(-n)),
    ])];
    let appended = lake.append_batches("main", &key(), rows, meta()).await;
    appended.unwrap();
}

#[tokio::test]
async fn a_tier_becomes_one_sorted_file_and_partitions_stay_apart() {
    for options in [CompactOptions::default(), merging()] {
        let lake = created().await;
        for n in 0..8 {
            append(&lake, 0, n).await;
            append(&lake, 1, n).await;
        }
        let before = seen(&lake, &head(&lake, &key()).await).await;
        let report = compact(&lake, &options).await;
        assert_eq!(
            (report.files_removed - report.files_added, report.conflicts),
            (14, 0)
        );
        let table = head(&lake, &key()).await;
        assert_eq!(seen(&lake, &table).await, before);
        let files = table.data_files().await.unwrap();
        assert_eq!(files.len(), 2);
        assert_ne!(files[0].file.partition(), files[1].file.partition());
        for file in files.iter() {
            let rows = seen_in(&lake, file).await;
            let order: Vec<_> = rows.iter().map(|row| (row.1.clone(), row.0)).collect();
            assert!(order.is_sorted(), "{order:?}");
            assert_eq!(file.file.sort_order_id(), Some(1));
            let pressure = table.metadata().current_schema().field_by_name("pressure");
            let id = pressure.unwrap().id;
            assert_eq!(file.file.nan_value_counts()[&id], 8);
            assert_eq!(file.file.null_value_counts()[&id], 8);
            assert!(
                !file.file.upper_bounds().contains_key(&id),
                "NaN has no bounds"
            );
        }
        let snapshot = table.metadata().current_snapshot().unwrap();
        assert_eq!(snapshot.summary().operation, Operation::Replace);
        assert_eq!(
            snapshot.summary().additional_properties["total-records"],
            "32"
        );
        assert_eq!(
            compact(&lake, &options).await.commits,
            0,
            "nothing is left to do"
        );
    }
}

#[tokio::test]
async fn seven_files_wait_for_the_eighth_unless_told_to_hurry() {
    let lake = created().await;
    for n in 0..7 {
        append(&lake, 0, n).await;
    }
    assert_eq!(compact(&lake, &CompactOptions::default()).await.commits, 0);
    assert_eq!(status(&lake, &key()).await.small_files, 7);
    assert_eq!(compact(&lake, &full()).await.commits, 1);
    assert_eq!(status(&lake, &key()).await.files, 1);
    assert_eq!(compact(&lake, &full()).await.commits, 0);
}

#[tokio::test]
async fn columns_of_all_times_are_rewritten_as_the_tables_of_today() {
    for options in [full(), merging()] {
        let lake = created().await;
        for n in 0..3 {
            append(&lake, 0, n).await;
        }
        let table = head(&lake, &key()).await;
        let alters = [
            Alter::RenameColumn {
                from: "pressure".into(),
                to: "bar".into(),
            },
            Alter::AddColumn {
                name: "pressure".into(),
                data_type: DataType::Float64,
            },
        ];
        let staged = lake.stage_alter(&table, &alters).await.unwrap();
        commit(&lake, staged).await;
        for n in 3..6 {
            append(&lake, 0, n).await;
        }
        compact(&lake, &options).await;
        let table = head(&lake, &key()).await;
        let rows = seen(&lake, &table).await;
        // Of the old files the new column of the old name is null.
        let with = rows.iter().filter(|row| row.2.is_some()).count();
        assert_eq!((rows.len(), with), (12, 3));
        assert_eq!(table.data_files().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn files_of_an_old_partitioning_move_to_that_of_today() {
    let lake = created().await;
    for n in 0..4 {
        append(&lake, n % 2, n).await;
    }
    let table = head(&lake, &key()).await;
    let by = vec![PartitionField::new("pump", Transform::Identity)];
    let staged = lake.stage_alter(&table, &[Alter::SetPartition(by)]).await;
    commit(&lake, staged.unwrap()).await;
    append(&lake, 0, 9).await;
    let before = seen(&lake, &head(&lake, &key()).await).await;
    for _ in 0..3 {
        compact(&lake, &full()).await;
    }
    let table = head(&lake, &key()).await;
    assert_eq!(seen(&lake, &table).await, before);
    let files = table.data_files().await.unwrap();
    let spec = table.metadata().default_partition_spec_id();
    assert!(files.iter().all(|file| file.partition_spec_id == spec));
    assert_eq!(files.len(), 2, "one file for each pump");
}

#[tokio::test]
async fn a_tag_and_a_past_commit_read_as_before_and_a_shared_branch_keeps_its_files() {
    let lake = created().await;
    for n in 0..8 {
        append(&lake, 0, n).await;
    }
    lake.catalog()
        .create_branch("dev", "main", "test")
        .await
        .unwrap();
    let past = lake.catalog().head("main").await.unwrap();
    let before = seen(&lake, &lake.table(&past, &key()).await.unwrap()).await;
    compact(&lake, &full()).await;
    let rows = vec![row(NOVEMBER, "p9", 99)];
    let appended = lake.append_batches("dev", &key(), rows, meta()).await;
    appended.unwrap();
    assert_eq!(
        seen(&lake, &lake.table(&past, &key()).await.unwrap()).await,
        before
    );
    let dev = lake.catalog().head("dev").await.unwrap();
    assert_eq!(
        seen(&lake, &lake.table(&dev, &key()).await.unwrap())
            .await
            .len(),
        17
    );
    // What the branch appended comes in although its old files were compacted here.
    let report = lake
        .merge("dev", "main", &catalog::MergeOptions::default())
        .await;
    report.unwrap().into_result().unwrap();
    let table = head(&lake, &key()).await;
    assert_eq!(seen(&lake, &table).await.len(), 17);
    assert_eq!(table.data_files().await.unwrap().len(), 2);
}

/// Text that does not compress, of `length` bytes.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 40) as u8 % 90)
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn wide_rows_become_one_file_and_are_then_let_be() {
    let lake = created().await;
    for n in 0..8 {
        let texts: Vec<String> = (0..10).map(|at| noise(n * 10 + at + 1, 64 << 10)).collect();
        let rows = texts.iter();
        let rows: Vec<_> = rows
            .map(|text| (Some(NOVEMBER), Some(text.as_str()), None, Some(n as i64)))
            .collect();
        let rows = vec![batch(&rows)];
        let appended = lake.append_batches("main", &key(), rows, meta()).await;
        appended.unwrap();
    }
    // They do not fit, though the columns of known width would.
    let options = CompactOptions {
        memory_bytes: 12 << 20,
        settle_after: std::time::Duration::ZERO,
        ..CompactOptions::default()
    };
    let first = compact(&lake, &options).await;
    assert_eq!((first.files_removed, first.files_added), (8, 1));
    assert_eq!(compact(&lake, &options).await.commits, 0);
    assert_eq!(seen(&lake, &head(&lake, &key()).await).await.len(), 80);
}

#[tokio::test]
async fn an_order_that_transforms_columns_does_not_wear_files_out() {
    let lake = created().await;
    let table = head(&lake, &key()).await;
    let schema = table.metadata().current_schema();
    let field = iceberg::spec::SortField::builder()
        .source_id(schema.field_by_name("ts").unwrap().id)
        .transform(iceberg::spec::Transform::Day)
        .direction(iceberg::spec::SortDirection::Ascending)
        .null_order(iceberg::spec::NullOrder::First)
        .build();
    let order = iceberg::spec::SortOrder::builder()
        .with_sort_field(field)
        .build(schema);
    let location = table.metadata_location().to_owned();
    let builder = iceberg::spec::TableMetadataBuilder::new_from_metadata(
        table.metadata().clone(),
        Some(location.clone()),
    );
    let builder = builder.add_sort_order(order.unwrap()).unwrap();
    let built = builder.set_default_sort_order(-1).unwrap().build().unwrap();
    let written = lake.write_metadata(built.metadata, Some(&location)).await;
    let content = catalog::Content::IcebergTable {
        uuid: table.uuid(),
        metadata_location: written.unwrap(),
    };
    commit(
        &lake,
        catalog::Operation::Put {
            key: key(),
            content,
        },
    )
    .await;
    for n in 0..2 {
        append(&lake, 0, n).await;
    }
    assert_eq!(compact(&lake, &full()).await.commits, 1);
    assert_eq!(compact(&lake, &full()).await.commits, 0);
}
