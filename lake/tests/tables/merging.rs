//! Merging branches that changed one table: what goes together, and what is a conflict.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;
use catalog::{Content, Key, MergeOptions, MergeOutcome, Operation};
use futures::TryStreamExt;
use lake::{Alter, Lake, RewriteKind};
use object_store::ObjectStore;

use crate::branching::{
    add_column, alter, append, at, commit, compact, expect, files_of, merge, options, rewrite,
    rows, staged_rewrite, two_branches,
};
use crate::support::{NOVEMBER, key, meta, row, spec};

async fn paths(lake: &Lake, branch: &str) -> BTreeSet<String> {
    let files = at(lake, branch).await.data_files().await.unwrap();
    files.iter().map(|file| file.path.to_string()).collect()
}

async fn objects(lake: &Lake) -> usize {
    let store = lake.store().object_store();
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    all.len()
}

/// Expects a conflict on the table in which `ours` and `theirs` say these words, and that
/// nothing was merged.
async fn conflict(lake: &Lake, ours: &[&str], theirs: &[&str]) {
    let before = lake.catalog().head("main").await.unwrap().id();
    let report = merge(lake, "dev", "main").await;
    expect(&report, MergeOutcome::Conflicts);
    assert_eq!(report.conflicts.len(), 1);
    let found = &report.conflicts[0];
    assert_eq!(found.key, key());
    for word in ours {
        assert!(found.ours.contains(word), "{found:?} lacks {word:?}");
    }
    for word in theirs {
        assert!(found.theirs.contains(word), "{found:?} lacks {word:?}");
    }
    let after = lake.catalog().head("main").await.unwrap().id();
    assert_eq!(before, after, "nothing was merged");
}

#[tokio::test]
async fn appends_of_both_sides_become_one_snapshot_without_rewriting_a_file() {
    let lake = two_branches().await;
    append(&lake, "main", 10).await;
    for n in 20..=22 {
        append(&lake, "dev", n).await;
    }
    let all: BTreeSet<_> = &paths(&lake, "main").await | &paths(&lake, "dev").await;
    let snapshots = at(&lake, "main").await.metadata().snapshots().len();
    let source = lake.catalog().head("dev").await.unwrap().id();

    let report = merge(&lake, "dev", "main").await;
    expect(&report, MergeOutcome::Merged);
    assert_eq!(
        report.changes[0].how.as_deref(),
        Some("appended 3 files (3 rows)")
    );
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 20, 21, 22]);
    assert_eq!(paths(&lake, "main").await, all);

    let table = at(&lake, "main").await;
    assert_eq!(table.metadata().snapshots().len(), snapshots + 1);
    let current = table.metadata().current_snapshot().unwrap();
    assert_eq!(current.summary().operation.as_str(), "append");
    let summary = &current.summary().additional_properties;
    assert_eq!(summary["added-records"], "3");
    assert_eq!(summary["total-records"], "7");
    assert_eq!(summary["pumphouse.merge.source"], "dev");
    assert_eq!(summary["pumphouse.merge.source-commit"], source.to_string());
    let dev = at(&lake, "dev").await;
    let ids: Vec<_> = dev.metadata().history()[3..]
        .iter()
        .map(|log| log.snapshot_id.to_string())
        .collect();
    assert_eq!(
        summary["pumphouse.merge.source-snapshot-ids"],
        ids.join(",")
    );
    let merged = files_of(&lake, &table, &[20, 21, 22]).await;
    let newest = current.sequence_number();
    assert!(merged.iter().all(|file| file.sequence_number == newest));

    // And on: only what is new comes in the next time.
    append(&lake, "main", 11).await;
    append(&lake, "dev", 23).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 11, 20, 21, 22, 23]);
    expect(
        &merge(&lake, "main", "dev").await,
        MergeOutcome::FastForward,
    );
}

#[tokio::test]
async fn compaction_on_one_side_goes_with_appends_on_the_other() {
    for (compacting, appending) in [("main", "dev"), ("dev", "main")] {
        let lake = two_branches().await;
        compact(&lake, compacting, &[1, 2]).await;
        append(&lake, appending, 10).await;
        let report = merge(&lake, "dev", "main").await;
        expect(&report, MergeOutcome::Merged);
        assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10], "{compacting}");
        let table = at(&lake, "main").await;
        assert_eq!(table.data_files().await.unwrap().len(), 3);
        if compacting == "dev" {
            let how = report.changes[0].how.as_deref();
            assert_eq!(how, Some("compacted 2 files into 1"));
            let current = table.metadata().current_snapshot().unwrap();
            assert_eq!(current.summary().operation.as_str(), "replace");
        }
    }
}

#[tokio::test]
async fn deleted_rows_on_one_side_go_with_appends_on_the_other() {
    let lake = two_branches().await;
    rewrite(&lake, "dev", &[1, 2], &[2]).await;
    append(&lake, "main", 10).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [2, 3, 10]);
}

#[tokio::test]
async fn rewrites_on_both_sides_conflict_and_say_what_each_did() {
    let lake = two_branches().await;
    rewrite(&lake, "main", &[1], &[]).await;
    rewrite(&lake, "dev", &[2, 3], &[3]).await;
    append(&lake, "dev", 20).await;
    conflict(
        &lake,
        &["deleted 1 file (1 row)"],
        &["replaced 2 files by 2"],
    )
    .await;
    for (side, expected) in [
        (catalog::Side::Ours, vec![2, 3]),
        (catalog::Side::Theirs, vec![1, 3, 20]),
    ] {
        let branch = format!("resolved-{}", expected.len());
        crate::branching::branch(&lake, &branch, "main").await;
        let resolved = MergeOptions {
            resolutions: BTreeMap::from([(key(), side)]),
            ..options()
        };
        let report = lake.merge("dev", &branch, &resolved).await.unwrap();
        expect(&report, MergeOutcome::Merged);
        assert_eq!(rows(&lake, &branch).await, expected);
    }
}

#[tokio::test]
async fn a_column_of_one_side_comes_with_its_field_id() {
    for adding in ["dev", "main"] {
        let lake = two_branches().await;
        alter(&lake, adding, &[add_column("x", DataType::Float64)]).await;
        append(&lake, "dev", 20).await;
        append(&lake, "main", 10).await;
        let report = merge(&lake, "dev", "main").await;
        expect(&report, MergeOutcome::Merged);
        assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 20]);
        let table = at(&lake, "main").await;
        let metadata = table.metadata();
        assert_eq!(metadata.current_schema().field_by_name("x").unwrap().id, 5);
        assert_eq!(metadata.last_column_id(), 5);
        if adding == "dev" {
            let how = report.changes[0].how.as_deref();
            assert_eq!(how, Some("appended 1 file (1 row), added column x double"));
        }
        // The next column gets the next id.
        alter(&lake, "main", &[add_column("y", DataType::Int64)]).await;
        let table = at(&lake, "main").await;
        assert_eq!(table.metadata().last_column_id(), 6);
    }
}

#[tokio::test]
async fn changes_of_different_columns_and_the_same_change_go_together() {
    let lake = two_branches().await;
    let same = add_column("x", DataType::Float64);
    let rename = Alter::RenameColumn {
        from: "pump".into(),
        to: "machine".into(),
    };
    alter(&lake, "main", &[same.clone(), rename]).await;
    alter(&lake, "dev", &[same, Alter::DropColumn("pressure".into())]).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    let table = at(&lake, "main").await;
    let names: Vec<_> = table
        .arrow_schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["ts", "machine", "cycles", "x"]);
}

#[tokio::test]
async fn clashing_columns_conflict_by_name() {
    let lake = two_branches().await;
    alter(&lake, "main", &[add_column("x", DataType::Float64)]).await;
    alter(&lake, "dev", &[add_column("y", DataType::Utf8)]).await;
    conflict(
        &lake,
        &["added column x double"],
        &["added column y string", "one field id"],
    )
    .await;

    // Also when one of them is gone again: files may hold its values under that id.
    let lake = two_branches().await;
    alter(&lake, "main", &[add_column("x", DataType::Float64)]).await;
    alter(&lake, "main", &[Alter::DropColumn("x".into())]).await;
    alter(&lake, "dev", &[add_column("y", DataType::Utf8)]).await;
    conflict(&lake, &[], &["x double and y string"]).await;

    let lake = two_branches().await;
    alter(&lake, "main", &[Alter::DropColumn("pressure".into())]).await;
    let rename = |to: &str| Alter::RenameColumn {
        from: "pressure".into(),
        to: to.into(),
    };
    alter(&lake, "dev", &[rename("bar")]).await;
    conflict(
        &lake,
        &["dropped column pressure"],
        &["renamed column pressure to bar"],
    )
    .await;
}

#[tokio::test]
async fn partitioning_and_properties_of_one_side_are_taken() {
    let lake = two_branches().await;
    let set = |name: &str, value: &str| {
        Alter::SetProperties(BTreeMap::from([(name.to_owned(), value.to_owned())]))
    };
    let unpartitioned = Alter::SetPartition(Vec::new());
    alter(
        &lake,
        "dev",
        &[unpartitioned, set("theirs", "1"), set("both", "2")],
    )
    .await;
    append(&lake, "dev", 20).await;
    alter(&lake, "main", &[set("ours", "1"), set("both", "2")]).await;
    append(&lake, "main", 10).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 20]);
    let table = at(&lake, "main").await;
    let metadata = table.metadata();
    for (name, value) in [("ours", "1"), ("theirs", "1"), ("both", "2")] {
        assert_eq!(metadata.properties()[name], value);
    }
    let spec_id = metadata.default_partition_spec_id();
    assert!(metadata.default_partition_spec().is_unpartitioned());
    for (rows, expected) in [([20], spec_id), ([10], 0)] {
        let files = files_of(&lake, &table, &rows).await;
        assert_eq!(files[0].partition_spec_id, expected);
    }

    alter(&lake, "dev", &[set("both", "3")]).await;
    alter(&lake, "main", &[set("both", "4")]).await;
    conflict(&lake, &["\"4\""], &["both sides changed property both"]).await;
}

#[tokio::test]
async fn a_table_dropped_here_and_changed_there_is_a_conflict() {
    let lake = two_branches().await;
    commit(&lake, "dev", Operation::Delete { key: key() }).await;
    append(&lake, "main", 10).await;
    conflict(&lake, &["changed: appended 1 file (1 row)"], &["deleted"]).await;

    let lake = two_branches().await;
    for branch in ["main", "dev"] {
        commit(&lake, branch, Operation::Delete { key: key() }).await;
        lake.create_table(branch, &key(), &spec(), meta())
            .await
            .unwrap();
    }
    conflict(&lake, &["created anew"], &["created anew"]).await;
}

#[tokio::test]
async fn a_dry_run_tells_all_and_writes_nothing() {
    let lake = two_branches().await;
    append(&lake, "main", 10).await;
    append(&lake, "dev", 20).await;
    let before = objects(&lake).await;
    let dry = MergeOptions {
        dry_run: true,
        ..options()
    };
    let report = lake.merge("dev", "main", &dry).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    assert_eq!(report.commit, None);
    assert_eq!(report.changes.len(), 1);
    assert_eq!(
        report.changes[0].how.as_deref(),
        Some("appended 1 file (1 row)")
    );
    assert_eq!(objects(&lake).await, before);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10]);
}

#[tokio::test]
async fn namespaces_merge_by_property() {
    let lake = two_branches().await;
    let pumps = Key::of_namespace("pumps").unwrap();
    let put = |properties: &[(&str, &str)]| {
        let properties = properties.iter();
        let properties = properties.map(|(name, value)| (name.to_string(), value.to_string()));
        Operation::Put {
            key: pumps.clone(),
            content: Content::Namespace {
                properties: properties.collect(),
            },
        }
    };
    commit(&lake, "main", put(&[("owner", "ada"), ("site", "north")])).await;
    commit(&lake, "dev", put(&[("owner", "ada"), ("since", "2026")])).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    let head = lake.catalog().head("main").await.unwrap();
    let Some(Content::Namespace { properties }) = head.get(&pumps).unwrap() else {
        panic!("no namespace");
    };
    let names: Vec<_> = properties.keys().map(String::as_str).collect();
    assert_eq!(names, ["owner", "since", "site"]);
}

#[tokio::test]
async fn many_tables_merge_at_once() {
    let lake = crate::support::lake().await;
    let keys: Vec<Key> = (0..40)
        .map(|n| Key::new("t", format!("t{n}")).unwrap())
        .collect();
    for key in &keys {
        lake.create_table("main", key, &spec(), meta())
            .await
            .unwrap();
    }
    crate::branching::branch(&lake, "dev", "main").await;
    for (branch, n) in [("main", 1), ("dev", 2)] {
        for key in &keys {
            let batches = vec![row(NOVEMBER, "p1", n)];
            lake.append_batches(branch, key, batches, meta())
                .await
                .unwrap();
        }
    }
    let report = merge(&lake, "dev", "main").await;
    expect(&report, MergeOutcome::Merged);
    assert_eq!(report.changes.len(), keys.len());
    let head = lake.catalog().head("main").await.unwrap();
    for key in &keys {
        let table = lake.table(&head, key).await.unwrap();
        assert_eq!(table.data_files().await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_staged_rewrite_keeps_what_its_own_summary_said() {
    let lake = two_branches().await;
    let table = at(&lake, "main").await;
    let base = lake.catalog().head("main").await.unwrap();
    let staged = staged_rewrite(&lake, &table, &[1], &[], RewriteKind::Delete).await;
    append(&lake, "main", 10).await;
    let committed = lake.commit("main", meta(), &base, vec![staged]).await;
    committed.unwrap();
    assert_eq!(rows(&lake, "main").await, [2, 3, 10]);
    let table = at(&lake, "main").await;
    let summary = table.metadata().current_snapshot().unwrap().summary();
    assert_eq!(summary.operation.as_str(), "delete");
    let lineage = "pumphouse.merge.source";
    assert!(!summary.additional_properties.contains_key(lineage));
}
