//! Structs, lists and maps: their ids, what files and manifests hold of them, how they grow.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array};
use arrow::array::{RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::json::reader::{ReaderBuilder, infer_json_schema};
use catalog::ErrorKind;
use lake::{Datum, Lake, Table, TableSpec};
use serde_json::{Value, json};

use crate::support::{head, key, lake, meta, rows_of};

/// Rows as their JSON says, integers as longs.
pub(crate) fn rows(lines: &[Value]) -> RecordBatch {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (schema, _) = infer_json_schema(Cursor::new(&text), None).unwrap();
    let reader = ReaderBuilder::new(Arc::new(schema)).build(Cursor::new(&text));
    reader.unwrap().next().unwrap().unwrap()
}

pub(crate) fn payloads() -> RecordBatch {
    rows(&[
        json!({"cycles": 1, "payload": {"motor": {"temp": 71.5, "rpm": 1500}, "tags": ["a"]}}),
        json!({"cycles": 2, "payload": {"motor": null, "tags": ["b", null]}}),
        json!({"cycles": 3, "payload": null}),
        json!({"cycles": 4, "payload": {"motor": {"temp": 70.5, "rpm": null}, "tags": null}}),
    ])
}

async fn made(lake: &Lake, first: &RecordBatch) -> Table {
    let spec = TableSpec {
        schema: first.schema(),
        bloom: vec!["cycles".to_owned()],
        ..TableSpec::default()
    };
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    append(lake, first).await.unwrap();
    head(lake, &key()).await
}

async fn append(lake: &Lake, rows: &RecordBatch) -> catalog::Result<()> {
    let key = key();
    let appended = lake.append_batches("main", &key, vec![rows.clone()], meta());
    appended.await.map(drop)
}

fn id(table: &Table, path: &str) -> i32 {
    let schema = table.metadata().current_schema();
    schema
        .field_by_name(path)
        .unwrap_or_else(|| panic!("{path}"))
        .id
}

#[tokio::test]
async fn fields_of_structs_have_counts_and_bounds_and_elements_only_counts() {
    let lake = lake().await;
    let table = made(&lake, &payloads()).await;
    let file = &table.data_files().await.unwrap()[0].file;
    let [temp, rpm] = ["payload.motor.temp", "payload.motor.rpm"].map(|path| id(&table, path));
    assert_eq!(file.value_counts()[&temp], 4);
    assert_eq!(file.null_value_counts()[&temp], 2);
    assert_eq!(file.null_value_counts()[&rpm], 3);
    assert_eq!(file.nan_value_counts()[&temp], 0);
    assert_eq!(file.lower_bounds()[&temp], Datum::double(70.5));
    assert_eq!(file.upper_bounds()[&rpm], Datum::long(1500));
    let element = id(&table, "payload.tags.element");
    assert!(file.value_counts().contains_key(&element));
    assert!(!file.lower_bounds().contains_key(&element));
    assert!(!file.null_value_counts().contains_key(&element));
    assert!(!file.value_counts().contains_key(&id(&table, "payload")));
}

#[tokio::test]
async fn files_hold_nested_values_with_their_ids() {
    let lake = lake().await;
    let table = made(&lake, &payloads()).await;
    let file = &table.data_files().await.unwrap()[0];
    let read = &rows_of(&lake, file).await[0];
    let payload = read.column_by_name("payload").unwrap();
    assert!(payload.is_null(2) && payload.is_valid(1));
    let DataType::Struct(fields) = payload.data_type() else {
        panic!("payload is a struct");
    };
    let motor = fields.find("motor").unwrap().1;
    let expected = id(&table, "payload.motor").to_string();
    assert_eq!(motor.metadata()["PARQUET:field_id"], expected);
    let tags = payload.as_struct().column_by_name("tags").unwrap();
    assert_eq!(tags.as_list::<i32>().value(1).null_count(), 1);
}

#[tokio::test]
async fn nan_within_a_struct_has_no_bounds() {
    let lake = lake().await;
    let temp: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let field: FieldRef = Arc::new(Field::new("temp", DataType::Float64, true));
    let motor: ArrayRef = Arc::new(StructArray::from(vec![(field, temp)]));
    let rows = RecordBatch::try_from_iter([
        ("cycles", Arc::new(Int32Array::from(vec![1, 2])) as _),
        ("motor", motor),
    ]);
    let table = made(&lake, &rows.unwrap()).await;
    let file = &table.data_files().await.unwrap()[0].file;
    let temp = id(&table, "motor.temp");
    assert_eq!(file.nan_value_counts()[&temp], 1);
    assert!(!file.upper_bounds().contains_key(&temp));
}

#[tokio::test]
async fn evolving_adds_fields_within_and_widens_them() {
    let lake = lake().await;
    let of = |speed: ArrayRef, heat: ArrayRef| {
        let field =
            |name: &str, of: &ArrayRef| Arc::new(Field::new(name, of.data_type().clone(), true));
        let fields = vec![
            (field("speed", &speed), speed),
            (field("heat", &heat), heat),
        ];
        let motor: ArrayRef = Arc::new(StructArray::from(fields));
        let cycles: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let columns = [("cycles", cycles, true), ("motor", motor, true)];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    let narrow = of(
        Arc::new(Int32Array::from(vec![1])),
        Arc::new(Float32Array::from(vec![0.5])),
    );
    made(&lake, &narrow).await;
    let wide = rows(&[json!({"cycles": 5_000_000_000_i64,
        "motor": {"speed": 7, "heat": 0.1, "oil": {"level": 3}, "parts": [{"n": 1}]}})]);
    let evolved = lake
        .evolve("main", &key(), &wide.schema(), meta())
        .await
        .unwrap();
    let shown = evolved.metadata().current_schema().as_struct().to_string();
    assert!(
        shown.contains("long") && shown.contains("double") && !shown.contains("float"),
        "{shown}"
    );
    append(&lake, &wide).await.unwrap();
    // A narrower one needs nothing, and is stored as the wider type.
    append(&lake, &narrow).await.unwrap();
    let grown = rows(&[json!({"motor": {"parts": [{"n": 1, "m": "x"}]}})]);
    let refused = append(&lake, &grown).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let evolved = lake
        .evolve("main", &key(), &grown.schema(), meta())
        .await
        .unwrap();
    id(&evolved, "motor.parts.element.m");
    append(&lake, &grown).await.unwrap();
    let again = lake
        .evolve("main", &key(), &grown.schema(), meta())
        .await
        .unwrap();
    assert_eq!(
        again.metadata_location(),
        head(&lake, &key()).await.metadata_location()
    );
}

#[tokio::test]
async fn clashes_within_name_the_path() {
    let lake = lake().await;
    made(&lake, &payloads()).await;
    for (wanted, path) in [
        (
            json!({"payload": {"motor": {"temp": "hot"}}}),
            "payload.motor.temp",
        ),
        (json!({"payload": {"motor": 7}}), "payload.motor"),
        (
            json!({"payload": {"tags": [{"a": 1}]}}),
            "payload.tags.element",
        ),
        (json!({"payload": {"Motor": {"temp": 1}}}), "payload.Motor"),
    ] {
        let wanted = rows(&[wanted]).schema();
        let error = lake
            .evolve("main", &key(), &wanted, meta())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.message().contains(&format!("{path:?}")), "{error}");
    }
}
