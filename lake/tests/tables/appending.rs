//! Commits: totals and bounds over many appends, concurrency, fencing, time travel.

use std::sync::Arc;

use catalog::{Catalog, ErrorKind, Operation};
use lake::{Append, Lake};

use crate::support::{NOVEMBER, batch, head, key, lake, meta, row, spec, totals};

async fn append_for(lake: &Lake, n: i64) -> Append {
    let table = head(lake, &key()).await;
    let batches = vec![row(NOVEMBER + n, "p1", n)];
    Append::to(&table, lake.write(&table, batches).await.unwrap())
}

#[tokio::test]
async fn a_hundred_and_twenty_appends_keep_totals_right_and_metadata_short() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let mut first = None;
    for n in 1..=120 {
        let batches = vec![row(NOVEMBER + n, "p1", n)];
        let snapshot = lake
            .append_batches("main", &key(), batches, meta())
            .await
            .unwrap();
        first.get_or_insert(snapshot.id());
        let table = lake.table(&snapshot, &key()).await.unwrap();
        let current = table.metadata().current_snapshot().unwrap();
        let summary = &current.summary().additional_properties;
        assert_eq!(summary["total-records"], n.to_string());
        assert_eq!(summary["total-data-files"], n.to_string());
        assert_eq!(summary["added-records"], "1");
        assert_eq!(current.sequence_number(), n);
    }

    // Another process sees the same, from the files alone.
    let fresh = Lake::new(Catalog::open(lake.store().clone()).await.unwrap());
    let table = head(&fresh, &key()).await;
    assert_eq!(totals(&fresh, &table).await, (120, 120 * 121 / 2));
    let files = table.data_files().await.unwrap();
    let numbers: Vec<i64> = files.iter().map(|file| file.sequence_number).collect();
    assert_eq!(
        numbers,
        (1..=120).collect::<Vec<_>>(),
        "merging keeps sequence numbers"
    );
    let metadata = table.metadata();
    assert!((100..=110).contains(&metadata.snapshots().len()));
    assert!(metadata.metadata_log().len() <= 20);
    assert!(manifests(&fresh, &table).await <= 32);

    let first = fresh.catalog().snapshot(first.unwrap()).await.unwrap();
    let past = fresh.table(&first, &key()).await.unwrap();
    assert_eq!(
        totals(&fresh, &past).await,
        (1, 1),
        "the first commit still has its row"
    );
}

async fn manifests(lake: &Lake, table: &lake::Table) -> usize {
    use iceberg::spec::{FormatVersion, ManifestList};
    use object_store::ObjectStoreExt;
    let list = table.metadata().current_snapshot().unwrap().manifest_list();
    let path = lake.store().path(list).unwrap();
    let bytes = lake
        .store()
        .object_store()
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let list = ManifestList::parse_with_version(&bytes, FormatVersion::V2).unwrap();
    list.entries().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_of_two_processes_all_land() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let other = Lake::new(Catalog::open(lake.store().clone()).await.unwrap());
    let tasks = (0..8).map(|task| {
        let lake = if task % 2 == 0 {
            lake.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            for n in 0..5 {
                let batches = vec![row(NOVEMBER + n, "p1", 10 * task + n)];
                lake.append_batches("main", &key(), batches, meta())
                    .await
                    .unwrap();
            }
        })
    });
    futures::future::try_join_all(tasks).await.unwrap();
    let table = head(&lake, &key()).await;
    let sum = (0..8)
        .flat_map(|task| (0..5).map(move |n| 10 * task + n))
        .sum();
    assert_eq!(totals(&lake, &table).await, (40, sum));
    let last = table.metadata().current_snapshot().unwrap();
    assert_eq!(last.summary().additional_properties["total-records"], "40");
    assert_eq!(last.sequence_number(), 40);
}

#[tokio::test]
async fn a_second_writer_of_one_ingester_is_fenced_off() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let first = lake
        .append(vec![append_for(&lake, 1).await])
        .with_watermark("i1", None, 10);
    let second = lake
        .append(vec![append_for(&lake, 2).await])
        .with_watermark("i1", None, 12);
    let third = lake
        .append(vec![append_for(&lake, 3).await])
        .with_watermark("i1", Some(10), 30);
    let catalog = lake.catalog();

    let snapshot = catalog
        .commit("main", meta(), Arc::new(first))
        .await
        .unwrap();
    assert_eq!(snapshot.watermark("i1"), Some(10));
    let fenced = catalog
        .commit("main", meta(), Arc::new(second))
        .await
        .unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Conflict);
    assert!(
        fenced.hint().unwrap().contains("another process"),
        "{fenced}"
    );
    let snapshot = catalog
        .commit("main", meta(), Arc::new(third))
        .await
        .unwrap();
    assert_eq!(snapshot.watermark("i1"), Some(30));
    let table = lake.table(&snapshot, &key()).await.unwrap();
    assert_eq!(
        totals(&lake, &table).await,
        (2, 4),
        "the fenced row is not there"
    );

    let nothing = lake.append(vec![]).with_watermark("i1", Some(30), 40);
    let snapshot = catalog
        .commit("main", meta(), Arc::new(nothing))
        .await
        .unwrap();
    assert_eq!(
        snapshot.watermark("i1"),
        Some(40),
        "a watermark moves without rows too"
    );
}

#[tokio::test]
async fn one_commit_changes_several_tables_or_none() {
    let lake = lake().await;
    let other = "pumps.alarms".parse().unwrap();
    let table = lake
        .create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let alarms = lake
        .create_table("main", &other, &spec(), meta())
        .await
        .unwrap();
    let before = lake.catalog().head("main").await.unwrap();
    let append = async |table: &lake::Table| {
        let rows = vec![row(NOVEMBER, "p1", 7)];
        Append::to(table, lake.write(table, rows).await.unwrap())
    };
    let change = lake.append(vec![append(&table).await, append(&alarms).await]);
    let after = lake
        .catalog()
        .commit("main", meta(), Arc::new(change))
        .await
        .unwrap();
    assert_eq!(after.commit().parent, Some(before.id()));
    assert_eq!(after.commit().operations.len(), 2);

    let mut wrong = append(&alarms).await;
    wrong.table_uuid = table.uuid();
    let change = lake.append(vec![append(&table).await, wrong]);
    let error = lake
        .catalog()
        .commit("main", meta(), Arc::new(change))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let now = lake.catalog().head("main").await.unwrap();
    assert_eq!(now.id(), after.id());
}

#[tokio::test]
async fn files_of_a_dropped_table_do_not_enter_its_successor() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let stale = lake.append(vec![append_for(&lake, 1).await]);
    let head = lake.catalog().head("main").await.unwrap();
    let drop = vec![Operation::Delete { key: key() }];
    lake.catalog()
        .commit_operations("main", meta(), head.id(), drop)
        .await
        .unwrap();
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let error = lake
        .catalog()
        .commit("main", meta(), Arc::new(stale))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("dropped"), "{error}");
}

#[tokio::test]
async fn an_unknown_table_is_answered_with_near_names() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let head = lake.catalog().head("main").await.unwrap();
    let typo = "pumps.telemtry".parse().unwrap();
    let error = lake.table(&head, &typo).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("pumps.telemtry"), "{error}");
    assert!(error.hint().unwrap().contains("pumps.telemetry"), "{error}");

    let again = lake.create_table("main", &key(), &spec(), meta()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn appending_no_rows_commits_nothing() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let before = lake.catalog().head("main").await.unwrap();
    let after = lake
        .append_batches("main", &key(), vec![batch(&[])], meta())
        .await
        .unwrap();
    assert_eq!(before.id(), after.id());
}

#[tokio::test]
async fn a_lost_metadata_file_is_reported_as_damage() {
    use object_store::ObjectStoreExt;
    let lake = lake().await;
    let table = lake
        .create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let path = lake.store().path(table.metadata_location()).unwrap();
    lake.store().object_store().delete(&path).await.unwrap();
    let fresh = Lake::new(Catalog::open(lake.store().clone()).await.unwrap());
    let head = fresh.catalog().head("main").await.unwrap();
    let error = fresh.table(&head, &key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("metadata"), "{error}");
}
