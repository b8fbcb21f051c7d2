//! What the merge tests share: changes of one table on a branch, and its rows.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use catalog::{MergeOptions, MergeOutcome, MergeReport, Operation, Snapshot};
use lake::{Alter, Lake, Rewrite, RewriteKind, ScanFile, Table};

use crate::support::{NOVEMBER, key, lake, meta, row, rows_of, spec};

/// A lake whose table has the rows 1, 2 and 3, a file each, on `main` and `dev`.
pub(crate) async fn two_branches() -> Lake {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    for n in 1..=3 {
        append(&lake, "main", n).await;
    }
    branch(&lake, "dev", "main").await;
    lake
}

pub(crate) async fn branch(lake: &Lake, name: &str, from: &str) {
    let created = lake.catalog().create_branch(name, from, "test").await;
    created.unwrap();
}

pub(crate) async fn at(lake: &Lake, spec: &str) -> Table {
    let snapshot = lake.catalog().resolve(spec).await.unwrap();
    lake.table(&snapshot, &key()).await.unwrap()
}

/// Commits what was staged on the head of `branch`.
pub(crate) async fn commit(lake: &Lake, branch: &str, operation: Operation) -> Snapshot {
    let head = lake.catalog().head(branch).await.unwrap();
    let committed = lake.commit(branch, meta(), &head, vec![operation]).await;
    committed.unwrap()
}

/// Appends a file with the row `n`.
pub(crate) async fn append(lake: &Lake, branch: &str, n: i64) -> Snapshot {
    let rows = vec![row(NOVEMBER + n, "p1", n)];
    let appended = lake.append_batches(branch, &key(), rows, meta()).await;
    appended.unwrap()
}

/// The files of `branch` whose row is one of `rows`.
pub(crate) async fn files_of(lake: &Lake, table: &Table, rows: &[i64]) -> Vec<ScanFile> {
    let mut found = Vec::new();
    for file in table.data_files().await.unwrap().iter() {
        let held = cycles(lake, file).await;
        if held.iter().any(|row| rows.contains(row)) {
            found.push(file.clone());
        }
    }
    found
}

/// Replaces the files that hold `gone` by one with `new`; by none when that is empty.
pub(crate) async fn staged_rewrite(
    lake: &Lake,
    table: &Table,
    gone: &[i64],
    new: &[i64],
    kind: RewriteKind,
) -> Operation {
    let batches = new.iter().map(|n| row(NOVEMBER, "p1", *n)).collect();
    let rewrite = Rewrite {
        removed: files_of(lake, table, gone).await,
        added: lake.write(table, batches).await.unwrap(),
        kind,
        summary: BTreeMap::new(),
    };
    lake.stage_rewrite(table, rewrite).await.unwrap()
}

pub(crate) async fn rewrite(lake: &Lake, branch: &str, gone: &[i64], new: &[i64]) -> Snapshot {
    let table = at(lake, branch).await;
    let staged = staged_rewrite(lake, &table, gone, new, RewriteKind::Overwrite).await;
    commit(lake, branch, staged).await
}

/// Removes all rows.
pub(crate) async fn truncate(lake: &Lake, branch: &str) -> Snapshot {
    let staged = lake.stage_truncate(&at(lake, branch).await).await;
    commit(lake, branch, staged.unwrap()).await
}

/// Puts the rows of several files into one.
pub(crate) async fn compact(lake: &Lake, branch: &str, rows: &[i64]) -> Snapshot {
    let table = at(lake, branch).await;
    let staged = staged_rewrite(lake, &table, rows, rows, RewriteKind::Replace).await;
    commit(lake, branch, staged).await
}

pub(crate) async fn alter(lake: &Lake, branch: &str, alters: &[Alter]) -> Snapshot {
    let table = at(lake, branch).await;
    let staged = lake.stage_alter(&table, alters).await.unwrap();
    commit(lake, branch, staged).await
}

pub(crate) fn add_column(name: &str, data_type: DataType) -> Alter {
    Alter::AddColumn {
        name: name.to_owned(),
        data_type,
    }
}

async fn cycles(lake: &Lake, file: &ScanFile) -> Vec<i64> {
    let mut rows = Vec::new();
    for batch in rows_of(lake, file).await {
        let column = batch.column_by_name("cycles").unwrap();
        rows.extend(column.as_primitive::<Int64Type>().iter().flatten());
    }
    rows
}

/// The rows of the table on `branch`, read from the files alone, sorted.
pub(crate) async fn rows(lake: &Lake, branch: &str) -> Vec<i64> {
    let fresh = crate::support::reopened(lake).await;
    let mut rows = Vec::new();
    for file in at(&fresh, branch).await.data_files().await.unwrap().iter() {
        rows.extend(cycles(&fresh, file).await);
    }
    rows.sort_unstable();
    rows
}

/// Merges and expects `outcome`.
#[track_caller]
pub(crate) fn expect(report: &MergeReport, outcome: MergeOutcome) {
    assert_eq!(report.outcome, outcome, "{report:#?}");
}

pub(crate) async fn merge(lake: &Lake, source: &str, target: &str) -> MergeReport {
    lake.merge(source, target, &options()).await.unwrap()
}

pub(crate) fn options() -> MergeOptions {
    MergeOptions {
        author: "test".to_owned(),
        ..MergeOptions::default()
    }
}
