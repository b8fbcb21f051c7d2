//! The rows that differ between two refs, from the files that differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use catalog::{ErrorKind, Operation};
use futures::TryStreamExt;
use lake::{Alter, Lake, Rewrite, RewriteKind, Table, TableSpec};
use query::Engine;

use crate::fixture::{config, empty_lake, key, meta};

fn batch(rows: &[(&str, i64)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    let names: StringArray = rows.iter().map(|row| Some(row.0)).collect();
    let numbers: Int64Array = rows.iter().map(|row| Some(row.1)).collect();
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(names), Arc::new(numbers)]).unwrap()
}

/// `t.t` with a file of these rows, alike on `main` and `dev`.
async fn bench(rows: &[(&str, i64)]) -> (Lake, Engine) {
    let lake = empty_lake().await;
    let spec = TableSpec {
        schema: batch(&[]).schema(),
        ..TableSpec::default()
    };
    let table = key("t.t");
    let created = lake.create_table("main", &table, &spec, meta("create"));
    created.await.unwrap();
    append(&lake, "main", rows).await;
    let branched = lake.catalog().create_branch("dev", "main", "test").await;
    branched.unwrap();
    let engine = Engine::new(lake.clone(), None, config());
    (lake, engine)
}

async fn append(lake: &Lake, branch: &str, rows: &[(&str, i64)]) {
    let (table, batches) = (key("t.t"), vec![batch(rows)]);
    let appended = lake.append_batches(branch, &table, batches, meta("append"));
    appended.await.unwrap();
}

async fn change(lake: &Lake, branch: &str, stage: impl AsyncFnOnce(&Table) -> Operation) {
    let head = lake.catalog().head(branch).await.unwrap();
    let table = lake.table(&head, &key("t.t")).await.unwrap();
    let operations = vec![stage(&table).await];
    let committed = lake.commit(branch, meta("change"), &head, operations).await;
    committed.unwrap();
}

/// Puts `rows` in the place of all files.
async fn replace(lake: &Lake, branch: &str, rows: &[(&str, i64)]) {
    change(lake, branch, async |table: &Table| {
        let rewrite = Rewrite {
            removed: table.data_files().await.unwrap().to_vec(),
            added: lake.write(table, vec![batch(rows)]).await.unwrap(),
            kind: RewriteKind::Overwrite,
            summary: BTreeMap::new(),
        };
        lake.stage_rewrite(table, rewrite).await.unwrap()
    })
    .await;
}

async fn diff(engine: &Engine, from: &str, to: &str) -> Vec<String> {
    let result = engine.diff_rows(&key("t.t"), from, to).await.unwrap();
    assert_eq!(result.schema.field(0).name(), "_change");
    let batches: Vec<_> = result.stream.try_collect().await.unwrap();
    let table = pretty_format_batches(&batches).unwrap().to_string();
    let lines = table.lines().skip(3).filter(|line| line.starts_with('|'));
    let cells = lines.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        cells.join(" ").trim_end().to_owned()
    });
    cells.collect()
}

#[tokio::test]
async fn a_rewritten_file_differs_by_the_rows_that_changed_however_often_they_are_there() {
    let (lake, engine) = bench(&[("a", 1), ("b", 2), ("b", 2), ("c", 3)]).await;
    assert!(diff(&engine, "main", "dev").await.is_empty());
    let rows = [("a", 1), ("b", 2), ("c", 4), ("d", 5), ("d", 5)];
    replace(&lake, "dev", &rows).await;
    let expected = [
        "delete b 2",
        "delete c 3",
        "insert c 4",
        "insert d 5",
        "insert d 5",
    ];
    assert_eq!(diff(&engine, "main", "dev").await, expected);
    let back = [
        "insert b 2",
        "insert c 3",
        "delete c 4",
        "delete d 5",
        "delete d 5",
    ];
    assert_eq!(diff(&engine, "dev", "main").await, back);
    replace(&lake, "dev", &[("c", 3), ("b", 2), ("a", 1), ("b", 2)]).await;
    assert!(diff(&engine, "main", "dev").await.is_empty());
}

#[tokio::test]
async fn rows_are_shown_in_the_newer_columns() {
    let (lake, engine) = bench(&[("a", 1), ("b", 2)]).await;
    let alters = [
        Alter::RenameColumn {
            from: "name".to_owned(),
            to: "pump".to_owned(),
        },
        Alter::AddColumn {
            name: "power".to_owned(),
            data_type: DataType::Float64,
        },
    ];
    change(&lake, "dev", async |table: &Table| {
        lake.stage_alter(table, &alters).await.unwrap()
    })
    .await;
    assert!(
        diff(&engine, "main", "dev").await.is_empty(),
        "no row differs"
    );
    append(&lake, "main", &[("c", 3)]).await;
    assert_eq!(diff(&engine, "main", "dev").await, ["delete c 3"]);
    let result = engine.diff_rows(&key("t.t"), "main", "dev").await.unwrap();
    let names: Vec<_> = result.schema.fields().iter().map(|f| f.name()).collect();
    assert_eq!(names, ["_change", "pump", "n", "power"]);
}

#[tokio::test]
async fn a_table_of_one_side_differs_by_all_its_rows() {
    let (lake, engine) = bench(&[("a", 1)]).await;
    change(&lake, "dev", async |_: &Table| Operation::Delete {
        key: key("t.t"),
    })
    .await;
    assert_eq!(diff(&engine, "main", "dev").await, ["delete a 1"]);
    assert_eq!(diff(&engine, "dev", "main").await, ["insert a 1"]);
    let none = engine.diff_rows(&key("t.none"), "main", "dev").await;
    assert_eq!(none.map(drop).unwrap_err().kind(), ErrorKind::NotFound);
}
