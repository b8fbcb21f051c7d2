//! Views: versions, replacement, and SQL of other engines.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Content, ErrorKind, Key, Operation};
use lake::{Lake, View, ViewSpec};

use crate::support::{commit, key, lake, meta, reopened, spec};

fn name() -> Key {
    "pumps.hourly".parse().unwrap()
}

fn view(sql: &str, replace: bool) -> ViewSpec {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    ViewSpec {
        sql: sql.to_owned(),
        schema: Arc::new(Schema::new(vec![
            Field::new("pump", DataType::Utf8, true),
            Field::new("all", list, true),
        ])),
        default_namespace: "pumps".into(),
        replace,
        properties: BTreeMap::from([("owner".to_owned(), "me".to_owned())]),
    }
}

async fn put(lake: &Lake, spec: ViewSpec) -> View {
    let head = lake.catalog().head("main").await.unwrap();
    let staged = lake.stage_view(&head, &name(), spec).await.unwrap();
    let after = commit(lake, staged).await;
    reopened(lake).await.view(&after, &name()).await.unwrap()
}

#[tokio::test]
async fn a_replaced_view_keeps_its_uuid_and_last_versions() {
    let lake = lake().await;
    let first = put(&lake, view("select 1", false)).await;
    assert_eq!(
        (first.sql.as_str(), first.dialect.as_str()),
        ("select 1", "datafusion")
    );
    assert_eq!(first.default_namespace, "pumps");
    assert_eq!(first.schema.field(0).name(), "pump");
    assert_eq!(first.metadata().properties()["owner"], "me");
    let mut last = None;
    for n in 2..=14 {
        last = Some(put(&lake, view(&format!("select {n}"), true)).await);
    }
    let last = last.unwrap();
    assert_eq!((last.uuid, last.sql.as_str()), (first.uuid, "select 14"));
    assert_eq!(last.metadata().versions().len(), 10);
    assert_eq!(
        last.metadata().schemas_iter().len(),
        1,
        "the same columns are one schema"
    );
    assert_eq!(last.metadata().location(), first.metadata().location());
    assert!(last.metadata_location().contains("/metadata/00013-"));
}

#[tokio::test]
async fn names_are_taken_once_and_found_by_kind() {
    let lake = lake().await;
    put(&lake, view("select 1", false)).await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let head = lake.catalog().head("main").await.unwrap();
    for (key, replace) in [(name(), false), (key(), true)] {
        let error = lake
            .stage_view(&head, &key, view("select 2", replace))
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    let error = lake.view(&head, &key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = lake
        .view(&head, &"pumps.hourli".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("pumps.hourly"), "{error}");
    let error = lake.table(&head, &name()).await.unwrap_err();
    assert!(error.message().contains("view"), "{error}");
}

#[tokio::test]
async fn sql_of_another_engine_comes_with_its_dialect_until_replaced() {
    let lake = lake().await;
    let ours = put(&lake, view("select 1", false)).await;
    let mut json = serde_json::to_value(ours.metadata()).unwrap();
    json["versions"][0]["representations"][0]["dialect"] = "spark".into();
    let theirs = serde_json::from_value(json).unwrap();
    let metadata_location = lake
        .write_view(&theirs, Some(ours.metadata_location()))
        .await
        .unwrap();
    let content = Content::View {
        uuid: ours.uuid,
        metadata_location,
    };
    let after = commit(
        &lake,
        Operation::Put {
            key: name(),
            content,
        },
    )
    .await;
    let read = lake.view(&after, &name()).await.unwrap();
    assert_eq!(
        (read.sql.as_str(), read.dialect.as_str()),
        ("select 1", "spark")
    );

    let replaced = put(&lake, view("select 2", true)).await;
    assert_eq!(
        (replaced.sql.as_str(), replaced.dialect.as_str()),
        ("select 2", "datafusion")
    );
    assert_eq!(
        replaced.metadata().properties().len(),
        1,
        "what allowed it is gone again"
    );
}
