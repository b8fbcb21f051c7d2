//! Merges of what was picked, rewritten or resolved before: nothing comes twice, no value
//! is read as another column's, and nothing is lost without a word.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use catalog::{ErrorKind, MergeOptions, MergeOutcome, Side};
use lake::{Alter, Append, Lake};
use object_store::ObjectStoreExt;

use crate::branching::{
    add_column, alter, append, at, commit, compact, expect, merge, options, rewrite, rows,
    two_branches,
};
use crate::support::{NOVEMBER, key, meta, reopened, row};

async fn pick(lake: &Lake, commit: &str, branch: &str) -> catalog::MergeReport {
    lake.cherry_pick(commit, branch, &options()).await.unwrap()
}

#[track_caller]
fn refused(report: &catalog::MergeReport, word: &str) {
    expect(report, MergeOutcome::Conflicts);
    assert!(report.conflicts[0].theirs.contains(word), "{report:#?}");
}

async fn add(lake: &Lake, branch: &str, column: &str) {
    alter(lake, branch, &[add_column(column, DataType::Float64)]).await;
}

#[tokio::test]
async fn values_of_one_column_never_become_those_of_another() {
    let lake = two_branches().await;
    add(&lake, "dev", "x").await;
    append(&lake, "dev", 20).await;
    // The column is not there at all: its values would vanish, and its id be given out.
    refused(&pick(&lake, "dev", "main").await, "lacks: x");
    add(&lake, "main", "y").await;
    refused(&pick(&lake, "dev", "main").await, "under one field id");
    let table = at(&lake, "dev").await;
    let files = lake.write(&table, vec![row(NOVEMBER, "p1", 21)]).await;
    let change = lake.append(vec![Append::to(&table, files.unwrap())]);
    let committed = lake.catalog().commit("main", meta(), Arc::new(change));
    let error = committed.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("column x"), "{error}");

    let ours = MergeOptions {
        resolve_rest: Some(Side::Ours),
        ..options()
    };
    let resolved = lake.merge("dev", "main", &ours).await.unwrap();
    expect(&resolved, MergeOutcome::Merged);
    append(&lake, "dev", 22).await;
    append(&lake, "main", 10).await;
    refused(&merge(&lake, "dev", "main").await, "under one field id");
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10]);
}

#[tokio::test]
async fn a_column_that_came_and_went_keeps_its_field_id() {
    let lake = two_branches().await;
    add(&lake, "dev", "x").await;
    append(&lake, "dev", 20).await;
    alter(&lake, "dev", &[Alter::DropColumn("x".into())]).await;
    append(&lake, "main", 10).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    add(&lake, "main", "y").await;
    let table = at(&lake, "main").await;
    let schema = table.metadata().current_schema();
    assert_eq!(schema.field_by_name("y").unwrap().id, 6);
    assert!(schema.field_by_name("x").is_none());
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 20]);
}

/// Stages a reload on `base`: all rows go, and `n` comes, unless it is none.
async fn reload(lake: &Lake, base: &catalog::Snapshot, n: Option<i64>) -> catalog::Operation {
    let table = lake.table(base, &key()).await.unwrap();
    let truncate = lake.stage_truncate(&table).await.unwrap();
    let Some(n) = n else {
        return truncate;
    };
    let working = base.with(&[truncate]).unwrap();
    let table = lake.table(&working, &key()).await.unwrap();
    let files = lake.write(&table, vec![row(NOVEMBER, "p1", n)]).await;
    let staged = lake.stage_append(&table, files.unwrap(), BTreeMap::new());
    staged.await.unwrap()
}

#[tokio::test]
async fn two_reloads_do_not_give_every_row_twice() {
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    for (branch, n) in [("main", 10), ("dev", 10)] {
        commit(&lake, branch, reload(&lake, &base, Some(n)).await).await;
    }
    refused(&merge(&lake, "dev", "main").await, "replaced meanwhile");
    let late = reload(&lake, &base, Some(10)).await;
    let error = lake.commit("main", meta(), &base, vec![late]).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(rows(&lake, "main").await, [10]);

    // Where nothing came in their place both did the same.
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    for branch in ["main", "dev"] {
        commit(&lake, branch, reload(&lake, &base, None).await).await;
    }
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    let late = reload(&lake, &base, None).await;
    lake.commit("main", meta(), &base, vec![late])
        .await
        .unwrap();
    assert!(rows(&lake, "main").await.is_empty());
}

#[tokio::test]
async fn what_was_picked_and_then_rewritten_does_not_come_again() {
    let lake = two_branches().await;
    let picked = append(&lake, "dev", 20).await.id().to_string();
    append(&lake, "main", 10).await;
    expect(&pick(&lake, &picked, "main").await, MergeOutcome::Merged);
    compact(&lake, "main", &[10, 20]).await;
    append(&lake, "dev", 21).await;
    for report in [
        merge(&lake, "dev", "main").await,
        pick(&lake, &picked, "main").await,
    ] {
        refused(&report, "had files of it before");
    }
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 20]);

    let own = append(&lake, "main", 11).await.id().to_string();
    rewrite(&lake, "main", &[11], &[12]).await;
    let again = pick(&lake, &own, "main").await;
    expect(&again, MergeOutcome::AlreadyUpToDate);
}

#[tokio::test]
async fn what_was_reverted_and_picked_again_stays_as_it_is() {
    let lake = two_branches().await;
    let bad = append(&lake, "main", 10).await.id().to_string();
    append(&lake, "main", 11).await;
    let report = lake.revert(&bad, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    append(&lake, "main", 12).await;
    for report in [
        lake.revert(&bad, "main", &options()).await.unwrap(),
        pick(&lake, &bad, "main").await,
    ] {
        expect(&report, MergeOutcome::AlreadyUpToDate);
    }
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 11, 12]);
}

#[tokio::test]
async fn a_merge_that_cannot_be_explained_has_merged() {
    let lake = two_branches().await;
    let base = at(&lake, "main").await;
    append(&lake, "dev", 20).await;
    let path = lake.store().path(base.metadata_location()).unwrap();
    lake.store().object_store().delete(&path).await.unwrap();
    let cold = reopened(&lake).await;
    let report = merge(&cold, "dev", "main").await;
    expect(&report, MergeOutcome::FastForward);
    assert_eq!(report.changes[0].how, None);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 20]);
}

/// Drops all snapshots of main's table but the current one.
async fn expire(lake: &Lake) {
    let options = lake::maintain::ExpireOptions {
        older_than: std::time::Duration::ZERO,
        keep: 1,
    };
    // Snapshots of this very millisecond are not older than that.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let report = lake.expire("main", &key(), options, "test").await.unwrap();
    assert!(report.snapshots > 0);
}

#[tokio::test]
async fn what_was_picked_and_rewritten_is_known_though_snapshots_expired() {
    let lake = two_branches().await;
    let picked = append(&lake, "dev", 20).await.id().to_string();
    append(&lake, "main", 10).await;
    let before = at(&lake, "main").await.metadata_location().to_owned();
    expect(&pick(&lake, &picked, "main").await, MergeOutcome::Merged);
    compact(&lake, "main", &[10, 20]).await;
    append(&lake, "main", 11).await;
    expire(&lake).await;
    append(&lake, "dev", 21).await;
    refused(&merge(&lake, "dev", "main").await, "had files of it before");
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 11, 20]);
    // Nor is it taken for granted when the versions that knew are gone as well.
    let table = at(&lake, "main").await;
    let log = table.metadata().metadata_log().iter();
    let since = log.skip_while(|version| version.metadata_file != before);
    for version in since {
        let path = lake.store().path(&version.metadata_file).unwrap();
        lake.store().object_store().delete(&path).await.unwrap();
    }
    let cold = reopened(&lake).await;
    refused(
        &merge(&cold, "dev", "main").await,
        "could have had these rows",
    );
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 11, 20]);
}

#[tokio::test]
async fn a_delete_merges_while_the_other_side_only_compacted_other_files() {
    let lake = two_branches().await;
    for n in 10..12 {
        append(&lake, "main", n).await;
    }
    rewrite(&lake, "dev", &[1, 2], &[2]).await;
    compact(&lake, "main", &[3, 10, 11]).await;
    expire(&lake).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [2, 3, 10, 11]);

    let lake = two_branches().await;
    rewrite(&lake, "dev", &[1, 2], &[2]).await;
    compact(&lake, "main", &[2, 3]).await;
    refused(&merge(&lake, "dev", "main").await, "replaced meanwhile");
}
