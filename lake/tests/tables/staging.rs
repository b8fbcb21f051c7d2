//! Staged changes of rows, read back from the manifests: what stays keeps its numbers.

use std::collections::BTreeMap;

use catalog::ErrorKind;
use iceberg::spec::{FormatVersion, Manifest, ManifestContentType, ManifestList, ManifestStatus};
use lake::{DataFile, Lake, Rewrite, RewriteKind, ScanFile, Table};
use object_store::ObjectStoreExt;

use crate::support::{NOVEMBER, commit, head, key, lake, meta, reopened, row, spec, totals};

/// A table of three files with 1, 2 and 3 as `cycles`.
async fn three_files(lake: &Lake) -> Table {
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    for n in 1..=3 {
        append(lake, n).await;
    }
    head(lake, &key()).await
}

async fn append(lake: &Lake, n: i64) {
    let table = head(lake, &key()).await;
    let files = written(lake, &table, n).await;
    let staged = lake.stage_append(&table, files, BTreeMap::new()).await;
    commit(lake, staged.unwrap()).await;
}

async fn written(lake: &Lake, table: &Table, n: i64) -> Vec<DataFile> {
    let rows = vec![row(NOVEMBER + n, "p1", n)];
    lake.write(table, rows).await.unwrap()
}

fn rewrite(removed: &[ScanFile], added: Vec<DataFile>, kind: RewriteKind) -> Rewrite {
    Rewrite {
        removed: removed.to_vec(),
        added,
        kind,
        summary: BTreeMap::from([("why".to_owned(), "test".to_owned())]),
    }
}

/// Status, snapshot id, data and file sequence number of every entry of a content.
async fn entries(
    lake: &Lake,
    table: &Table,
) -> Vec<(ManifestStatus, Option<i64>, Option<i64>, Option<i64>)> {
    let bytes = async |location: &str| {
        let path = lake.store().path(location).unwrap();
        let get = lake.store().object_store().get(&path).await.unwrap();
        get.bytes().await.unwrap()
    };
    let list = table.metadata().current_snapshot().unwrap().manifest_list();
    let list = ManifestList::parse_with_version(&bytes(list).await, FormatVersion::V2).unwrap();
    let mut all = Vec::new();
    for manifest in list.entries() {
        assert_eq!(manifest.content, ManifestContentType::Data);
        let read = Manifest::parse_avro(&bytes(&manifest.manifest_path).await).unwrap();
        all.extend(read.entries().iter().map(|entry| {
            (
                entry.status(),
                entry.snapshot_id(),
                entry.sequence_number(),
                entry.file_sequence_number,
            )
        }));
    }
    all.sort_by_key(|entry| entry.2);
    all
}

fn summary(table: &Table) -> &std::collections::HashMap<String, String> {
    let snapshot = table.metadata().current_snapshot().unwrap();
    &snapshot.summary().additional_properties
}

#[tokio::test]
async fn an_overwrite_exchanges_files_and_counts_both_ways() {
    let lake = lake().await;
    let before = three_files(&lake).await;
    let files = before.data_files().await.unwrap();
    let added = written(&lake, &before, 20).await;
    let change = rewrite(&files[1..2], added, RewriteKind::Overwrite);
    let staged = lake.stage_rewrite(&before, change).await.unwrap();
    assert_eq!(
        totals(&lake, &head(&lake, &key()).await).await,
        (3, 6),
        "nothing is committed"
    );
    commit(&lake, staged).await;

    let fresh = reopened(&lake).await;
    let table = head(&fresh, &key()).await;
    assert_eq!(totals(&fresh, &table).await, (3, 24));
    let snapshot = table.metadata().current_snapshot().unwrap();
    assert_eq!(snapshot.summary().operation.as_str(), "overwrite");
    let summary = summary(&table);
    for (name, value) in [
        ("added-data-files", "1"),
        ("deleted-data-files", "1"),
        ("added-records", "1"),
        ("deleted-records", "1"),
        ("changed-partition-count", "1"),
        ("total-data-files", "3"),
        ("total-records", "3"),
        ("total-delete-files", "0"),
        ("why", "test"),
    ] {
        assert_eq!(summary[name], value, "{name}");
    }
    let size: u64 = table
        .data_files()
        .await
        .unwrap()
        .iter()
        .map(|f| f.file.file_size_in_bytes())
        .sum();
    assert_eq!(summary["total-files-size"], size.to_string());

    let id = Some(snapshot.snapshot_id());
    let ids: Vec<_> = before
        .metadata()
        .history()
        .iter()
        .map(|log| Some(log.snapshot_id))
        .collect();
    let expected = [
        (ManifestStatus::Added, id, None, None),
        (ManifestStatus::Added, ids[0], None, None),
        (ManifestStatus::Added, ids[2], None, None),
        (ManifestStatus::Deleted, id, Some(2), Some(2)),
    ];
    let mut found = entries(&fresh, &table).await;
    found.sort_by_key(|entry| (entry.2, expected.iter().position(|e| e == entry)));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_replace_keeps_the_sequence_number_and_a_missing_file_conflicts() {
    let lake = lake().await;
    let before = three_files(&lake).await;
    let files = before.data_files().await.unwrap();
    let added = written(&lake, &before, 3).await;
    let change = rewrite(&files[..2], added, RewriteKind::Replace);
    let staged = lake.stage_rewrite(&before, change.clone()).await.unwrap();
    commit(&lake, staged).await;
    let table = head(&lake, &key()).await;
    assert_eq!(totals(&lake, &table).await, (2, 6));
    let numbers: Vec<_> = table
        .data_files()
        .await
        .unwrap()
        .iter()
        .map(|f| f.sequence_number)
        .collect();
    assert_eq!(numbers, [3, 3], "deletes that come later still apply");
    let snapshot = table.metadata().current_snapshot().unwrap();
    assert_eq!(
        (
            snapshot.sequence_number(),
            snapshot.summary().operation.as_str()
        ),
        (4, "replace")
    );

    let error = lake.stage_rewrite(&table, change).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.message().contains("removed from the table"),
        "{error}"
    );

    append(&lake, 9).await;
    let fresh = reopened(&lake).await;
    assert_eq!(totals(&fresh, &head(&fresh, &key()).await).await, (3, 15));
}

#[tokio::test]
async fn a_truncated_table_is_empty_and_takes_rows_again() {
    let lake = lake().await;
    let before = three_files(&lake).await;
    let staged = lake.stage_truncate(&before).await.unwrap();
    commit(&lake, staged).await;
    let table = head(&lake, &key()).await;
    assert!(table.data_files().await.unwrap().is_empty());
    assert_eq!(summary(&table)["deleted-records"], "3");
    assert_eq!(summary(&table)["total-records"], "0");
    assert_eq!(summary(&table)["total-files-size"], "0");
    append(&lake, 5).await;
    let table = head(&lake, &key()).await;
    assert_eq!(totals(&lake, &table).await, (1, 5));
    assert_eq!(
        entries(&lake, &table).await.len(),
        1,
        "manifests without live files go"
    );
}

#[tokio::test]
async fn a_rollback_brings_an_older_snapshot_back_with_rising_numbers() {
    let lake = lake().await;
    let before = three_files(&lake).await;
    let first = before.metadata().history()[0].snapshot_id;
    let staged = lake.stage_rollback(&before, first).await.unwrap();
    commit(&lake, staged).await;
    let table = head(&lake, &key()).await;
    assert_eq!(totals(&lake, &table).await, (1, 1));
    assert_eq!(table.metadata().current_snapshot_id(), Some(first));
    let error = lake.stage_rollback(&table, first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    append(&lake, 7).await;
    let table = head(&lake, &key()).await;
    let current = table.metadata().current_snapshot().unwrap();
    assert_eq!(current.parent_snapshot_id(), Some(first));
    assert_eq!(current.sequence_number(), 4);
    assert_eq!(summary(&table)["total-records"], "2");
    assert_eq!(totals(&lake, &table).await, (2, 8));

    let error = lake.stage_rollback(&table, 12).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.hint().unwrap().contains(&first.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_staged_table_comes_with_its_commit() {
    let lake = lake().await;
    let before = lake.catalog().head("main").await.unwrap();
    let staged = lake.stage_create(&before, &key(), &spec()).await.unwrap();
    let after = commit(&lake, staged).await;
    let table = lake.table(&after, &key()).await.unwrap();
    assert_eq!(table.arrow_schema().fields().len(), 4);
    let error = lake
        .stage_create(&after, &key(), &spec())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}
