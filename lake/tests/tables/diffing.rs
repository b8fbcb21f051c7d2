//! What differs between two states of a table.

use arrow::datatypes::DataType;
use lake::ColumnChange;

use crate::branching::{add_column, alter, append, at, compact, rewrite, two_branches};

#[tokio::test]
async fn files_rows_and_columns_that_differ_are_named() {
    let lake = two_branches().await;
    append(&lake, "dev", 20).await;
    append(&lake, "dev", 21).await;
    rewrite(&lake, "dev", &[1], &[]).await;
    alter(&lake, "dev", &[add_column("x", DataType::Float64)]).await;
    let (main, dev) = (at(&lake, "main").await, at(&lake, "dev").await);
    let diff = lake.diff_table(Some(&main), Some(&dev)).await.unwrap();
    assert_eq!((diff.files_added.len(), diff.rows_added), (2, 2));
    assert_eq!((diff.files_removed.len(), diff.rows_removed), (1, 1));
    let added = ColumnChange::Added {
        column: "x".into(),
        data_type: "double".into(),
    };
    assert_eq!(diff.columns, [added]);
    let json = serde_json::to_value(&diff.columns).unwrap();
    assert_eq!(json[0]["change"], "added");

    let back = lake.diff_table(Some(&dev), Some(&main)).await.unwrap();
    assert_eq!((back.rows_added, back.rows_removed), (1, 2));
    let same = lake.diff_table(Some(&dev), Some(&dev)).await.unwrap();
    assert!(same.files_added.is_empty() && same.columns.is_empty());
}

#[tokio::test]
async fn compacted_files_differ_though_their_rows_do_not() {
    let lake = two_branches().await;
    compact(&lake, "dev", &[1, 2, 3]).await;
    let (main, dev) = (at(&lake, "main").await, at(&lake, "dev").await);
    let diff = lake.diff_table(Some(&main), Some(&dev)).await.unwrap();
    assert_eq!(diff.summary(), "compacted 3 files into 1");
    assert_eq!((diff.rows_added, diff.rows_removed), (3, 3));
}

#[tokio::test]
async fn a_table_only_one_side_has_differs_by_all_its_rows() {
    let lake = two_branches().await;
    let main = at(&lake, "main").await;
    let created = lake.diff_table(None, Some(&main)).await.unwrap();
    assert_eq!(
        (created.rows_added, created.summary()),
        (3, "created with 3 rows")
    );
    let dropped = lake.diff_table(Some(&main), None).await.unwrap();
    assert_eq!(
        (dropped.rows_removed, dropped.summary()),
        (3, "dropped with 3 rows")
    );
}
