//! Altering tables: field ids stay, files of older schemas and specs stay with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Error, ErrorKind};
use lake::{Alter, Lake, PartitionField, Table, TableSpec};

use crate::support::{NOVEMBER, commit, head, key, lake, meta, reopened, row, spec, totals};

const BLOOM: &str = "write.parquet.bloom-filter-enabled.column.";

async fn table(lake: &Lake) -> Table {
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    lake.append_batches("main", &key(), vec![row(NOVEMBER, "p1", 1)], meta())
        .await
        .unwrap();
    head(lake, &key()).await
}

async fn alter(lake: &Lake, alters: &[Alter]) -> Result<Table, Error> {
    let table = head(lake, &key()).await;
    commit(lake, lake.stage_alter(&table, alters).await?).await;
    Ok(head(&reopened(lake).await, &key()).await)
}

fn rename(from: &str, to: &str) -> Alter {
    let (from, to) = (from.to_owned(), to.to_owned());
    Alter::RenameColumn { from, to }
}

fn add(name: &str, data_type: DataType) -> Alter {
    let name = name.to_owned();
    Alter::AddColumn { name, data_type }
}

fn ids(table: &Table) -> Vec<(String, i32)> {
    let schema = table.metadata().current_schema();
    let fields = schema.as_struct().fields().iter();
    fields.map(|field| (field.name.clone(), field.id)).collect()
}

#[tokio::test]
async fn columns_keep_their_ids_and_what_is_set_for_them() {
    let lake = lake().await;
    table(&lake).await;
    let alters = [
        rename("pump", "device"),
        add("site", DataType::Utf8),
        Alter::DropColumn("pressure".into()),
        add("pressure", DataType::Int16),
        rename("cycles", "Cycles"),
    ];
    let altered = alter(&lake, &alters).await.unwrap();
    let expected = [
        ("ts", 1),
        ("device", 2),
        ("Cycles", 4),
        ("site", 5),
        ("pressure", 6),
    ];
    assert_eq!(
        ids(&altered),
        expected.map(|(name, id)| (name.to_owned(), id))
    );
    let properties = altered.metadata().properties();
    assert_eq!(properties[&format!("{BLOOM}device")], "true");
    assert!(!properties.contains_key(&format!("{BLOOM}pump")));
    assert_eq!(altered.metadata().last_column_id(), 6);
    assert_eq!(altered.data_files().await.unwrap().len(), 1);

    alter(
        &lake,
        &[rename("device", "pump"), rename("Cycles", "cycles")],
    )
    .await
    .unwrap();
    lake.append_batches("main", &key(), vec![row(NOVEMBER, "p1", 2)], meta())
        .await
        .unwrap_err();
    let rows = row(NOVEMBER, "p1", 2).project(&[0, 1, 3]).unwrap();
    lake.append_batches("main", &key(), vec![rows], meta())
        .await
        .unwrap();
    assert_eq!(totals(&lake, &head(&lake, &key()).await).await, (2, 3));
}

#[tokio::test]
async fn what_the_schema_does_not_allow_is_refused_with_the_column() {
    let lake = lake().await;
    let before = table(&lake).await;
    let widen = |name: &str, to| Alter::WidenColumn {
        name: name.into(),
        to,
    };
    let refused = [
        (rename("pmup", "x"), ErrorKind::InvalidInput, "pmup"),
        (rename("pump", "TS"), ErrorKind::AlreadyExists, "ts"),
        (rename("pump", ""), ErrorKind::InvalidInput, "empty"),
        (rename("pump", "ts_day"), ErrorKind::InvalidInput, "ts_day"),
        (
            add("pump", DataType::Utf8),
            ErrorKind::AlreadyExists,
            "pump",
        ),
        (add("l", DataType::Null), ErrorKind::Unsupported, "\"l\""),
        (
            Alter::DropColumn("ts".into()),
            ErrorKind::InvalidInput,
            "partitioned",
        ),
        (
            widen("cycles", DataType::Int32),
            ErrorKind::InvalidInput,
            "cycles",
        ),
        (
            widen("pump", DataType::Int64),
            ErrorKind::InvalidInput,
            "string",
        ),
        (
            Alter::SetPartition(vec![PartitionField::day("pump")]),
            ErrorKind::InvalidInput,
            "pump",
        ),
        (
            Alter::SetProperties(BTreeMap::from([("format-version".into(), "3".into())])),
            ErrorKind::InvalidInput,
            "format-version",
        ),
    ];
    for (alteration, kind, word) in refused {
        let error = lake.stage_alter(&before, std::slice::from_ref(&alteration));
        let error = error.await.unwrap_err();
        assert_eq!(error.kind(), kind, "{alteration:?}: {error}");
        assert!(error.message().contains(word), "{alteration:?}: {error}");
    }
}

#[tokio::test]
async fn a_dropped_sort_column_leaves_the_order_of_the_others() {
    let lake = lake().await;
    table(&lake).await;
    let altered = alter(&lake, &[Alter::DropColumn("pump".into())])
        .await
        .unwrap();
    let order = altered.metadata().default_sort_order();
    let sources: Vec<_> = order.fields.iter().map(|field| field.source_id).collect();
    assert_eq!((sources, order.order_id), (vec![1], 2));
    assert!(
        !altered
            .metadata()
            .properties()
            .contains_key(&format!("{BLOOM}pump"))
    );
}

#[tokio::test]
async fn required_columns_may_become_optional_and_properties_come_and_go() {
    let lake = lake().await;
    let schema = Schema::new(vec![Field::new("n", DataType::Int32, false)]);
    let spec = TableSpec {
        schema: Arc::new(schema),
        properties: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]),
        ..TableSpec::default()
    };
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    let alters = [
        Alter::DropNotNull("n".into()),
        Alter::SetProperties(BTreeMap::from([
            ("b".into(), "3".into()),
            ("c".into(), "4".into()),
        ])),
        Alter::RemoveProperties(vec!["a".into(), "absent".into()]),
    ];
    let altered = alter(&lake, &alters).await.unwrap();
    assert!(altered.arrow_schema().field(0).is_nullable());
    let properties = altered.metadata().properties();
    assert_eq!(
        (properties["b"].as_str(), properties["c"].as_str()),
        ("3", "4")
    );
    assert!(!properties.contains_key("a"));
    let only = alter(&lake, &[Alter::DropColumn("n".into())]).await;
    assert_eq!(only.unwrap_err().kind(), ErrorKind::InvalidInput);
}
