//! Schema evolution: added columns, clashes, races, and files of older schemas.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::ErrorKind;

use crate::support::{NOVEMBER, head, key, lake, meta, row, rows_of, spec, totals};

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

#[tokio::test]
async fn a_new_column_is_nullable_and_older_rows_stay() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    lake.append_batches("main", &key(), vec![row(NOVEMBER, "p1", 1)], meta())
        .await
        .unwrap();
    let wanted = schema(vec![
        Field::new("pump", DataType::Utf8, true),
        Field::new("site", DataType::Utf8, false),
    ]);
    let table = lake.evolve("main", &key(), &wanted, meta()).await.unwrap();
    let arrow = table.arrow_schema();
    let site = arrow.field_with_name("site").unwrap();
    assert!(site.is_nullable());
    assert_eq!(site.metadata()["PARQUET:field_id"], "5");

    let columns: [(&str, ArrayRef); 2] = [
        ("site", Arc::new(StringArray::from(vec!["north"]))),
        ("cycles", Arc::new(Int32Array::from(vec![2]))),
    ];
    let partial = RecordBatch::try_from_iter(columns).unwrap();
    lake.append_batches("main", &key(), vec![partial], meta())
        .await
        .unwrap();
    let table = head(&lake, &key()).await;
    assert_eq!(totals(&lake, &table).await, (2, 3));
    let files = table.data_files().await.unwrap();
    let newest = &rows_of(&lake, &files[1]).await[0];
    assert_eq!(newest.column_by_name("ts").unwrap().null_count(), 1);
    assert!(files[1].path.as_ref().contains("/ts_day=null/"));
}

#[tokio::test]
async fn nothing_to_add_commits_nothing() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let before = lake.catalog().head("main").await.unwrap();
    let wanted = schema(vec![
        Field::new("pressure", DataType::Float32, true),
        Field::new("cycles", DataType::Int16, true),
    ]);
    lake.evolve("main", &key(), &wanted, meta()).await.unwrap();
    let after = lake.catalog().head("main").await.unwrap();
    assert_eq!(before.id(), after.id());
}

#[tokio::test]
async fn a_clashing_type_names_column_and_both_types() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let wanted = schema(vec![
        Field::new("fresh", DataType::Boolean, true),
        Field::new("cycles", DataType::Utf8, true),
    ]);
    let error = lake
        .evolve("main", &key(), &wanted, meta())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for word in ["cycles", "long", "string", "pumps.telemetry"] {
        assert!(error.message().contains(word), "{error}");
    }
    let table = head(&lake, &key()).await;
    assert!(table.arrow_schema().field_with_name("fresh").is_err());

    let taken = schema(vec![Field::new("ts_day", DataType::Int32, true)]);
    let error = lake
        .evolve("main", &key(), &taken, meta())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("ts_day"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_writers_add_one_column_once() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let tasks = (0..4).map(|n| {
        let lake = lake.clone();
        tokio::spawn(async move {
            let own = Field::new(format!("own{n}"), DataType::Int32, true);
            let shared = Field::new("shared", DataType::Int32, true);
            lake.evolve("main", &key(), &schema(vec![own, shared]), meta())
                .await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    let table = head(&lake, &key()).await;
    assert_eq!(table.arrow_schema().fields().len(), 4 + 4 + 1);
    assert_eq!(table.metadata().last_column_id(), 9);
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused_with_the_column() {
    let lake = lake().await;
    let table = lake
        .create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let write = async |name: &str, column: ArrayRef| {
        let batch = RecordBatch::try_from_iter([(name, column)]).unwrap();
        lake.write(&table, vec![batch]).await.unwrap_err()
    };
    let error = write("cycles", Arc::new(Float32Array::from(vec![1.5]))).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("cycles"), "{error}");
    let error = write("unknown", Arc::new(Float32Array::from(vec![1.5]))).await;
    assert!(error.message().contains("unknown"), "{error}");
    assert!(error.hint().unwrap().contains("evolve"));
}
