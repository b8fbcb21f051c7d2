//! Cherry-picks and reverts of commits that changed tables.

use arrow::datatypes::DataType;
use catalog::{MergeOptions, MergeOutcome};

use crate::branching::{
    add_column, alter, append, at, compact, expect, merge, options, rewrite, rows, two_branches,
};

#[tokio::test]
async fn what_was_picked_does_not_come_twice() {
    let lake = two_branches().await;
    append(&lake, "main", 10).await;
    append(&lake, "dev", 20).await;
    let picked = append(&lake, "dev", 21).await.id().to_string();
    let report = lake.cherry_pick(&picked, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 21]);
    let again = lake.cherry_pick(&picked, "main", &options()).await.unwrap();
    expect(&again, MergeOutcome::AlreadyUpToDate);
    append(&lake, "dev", 22).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 20, 21, 22]);
}

#[tokio::test]
async fn a_picked_rewrite_and_later_appends_merge_without_doubling() {
    let lake = two_branches().await;
    let picked = rewrite(&lake, "dev", &[1, 2], &[2]).await.id().to_string();
    append(&lake, "main", 10).await;
    let report = lake.cherry_pick(&picked, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    append(&lake, "dev", 20).await;
    expect(&merge(&lake, "dev", "main").await, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [2, 3, 10, 20]);
}

#[tokio::test]
async fn reverting_an_append_takes_its_rows_while_more_arrive() {
    let lake = two_branches().await;
    let bad = append(&lake, "main", 10).await.id().to_string();
    append(&lake, "main", 11).await;
    let report = lake.revert(&bad, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    let how = report.changes[0].how.as_deref();
    assert_eq!(how, Some("deleted 1 file (1 row)"));
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 11]);
    append(&lake, "main", 12).await;
    // The revert can be reverted.
    let revert = report.commit.unwrap().to_string();
    let report = lake.revert(&revert, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10, 11, 12]);
}

#[tokio::test]
async fn reverting_what_was_compacted_since_is_a_conflict_not_a_silent_nothing() {
    let lake = two_branches().await;
    let bad = append(&lake, "main", 10).await.id().to_string();
    compact(&lake, "main", &[3, 10]).await;
    let report = lake.revert(&bad, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Conflicts);
    let conflict = &report.conflicts[0];
    assert!(
        conflict.ours.contains("compacted 2 files into 1"),
        "{conflict:?}"
    );
    assert!(
        conflict.theirs.contains("replaced meanwhile"),
        "{conflict:?}"
    );
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10]);
}

#[tokio::test]
async fn reverting_a_delete_brings_the_same_files_back() {
    let lake = two_branches().await;
    let files = async || {
        let table = at(&lake, "main").await;
        let files = table.data_files().await.unwrap();
        let files = files
            .iter()
            .map(|file| (file.path.clone(), file.sequence_number));
        let mut files: Vec<_> = files.collect();
        files.sort();
        files
    };
    let before = files().await;
    let bad = rewrite(&lake, "main", &[1, 2], &[]).await.id().to_string();
    let report = lake.revert(&bad, "main", &options()).await.unwrap();
    expect(&report, MergeOutcome::Merged);
    assert_eq!(files().await, before, "with their sequence numbers");
}

#[tokio::test]
async fn reverting_an_added_column_drops_it_and_its_id_is_not_used_again() {
    let lake = two_branches().await;
    let column = add_column("x", DataType::Float64);
    let bad = alter(&lake, "main", &[column]).await.id().to_string();
    append(&lake, "main", 10).await;
    let dry = MergeOptions {
        dry_run: true,
        ..options()
    };
    let report = lake.revert(&bad, "main", &dry).await.unwrap();
    assert_eq!(report.changes[0].how.as_deref(), Some("dropped column x"));
    lake.revert(&bad, "main", &options()).await.unwrap();
    let table = at(&lake, "main").await;
    assert!(
        table
            .metadata()
            .current_schema()
            .field_by_name("x")
            .is_none()
    );
    alter(&lake, "main", &[add_column("y", DataType::Int64)]).await;
    let table = at(&lake, "main").await;
    let schema = table.metadata().current_schema();
    assert_eq!(schema.field_by_name("y").unwrap().id, 6);
    assert_eq!(rows(&lake, "main").await, [1, 2, 3, 10]);
}
