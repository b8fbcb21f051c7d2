//! Nested columns: read by field id through every change of what is nested, beside hot
//! rows, and kept by statements that change other columns.
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::json::reader::{ReaderBuilder, infer_json_schema};
use iceberg::spec::{
    DataContentType, NestedField, PrimitiveType, Schema as IcebergSchema, Struct, StructType,
    TableMetadataBuilder, Type,
};
use lake::TableSpec;
use proptest::prelude::*;
use query::{Engine, SessionOptions};
use serde_json::{Value, json};

use crate::fixture::{VecBuffer, column, config, empty_lake, key, meta};
use crate::foreign_writer::ForeignWriter;

/// Rows as their JSON says, integers as longs.
fn rows(lines: &[Value]) -> RecordBatch {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (schema, _) = infer_json_schema(Cursor::new(&text), None).unwrap();
    let reader = ReaderBuilder::new(Arc::new(schema)).build(Cursor::new(&text));
    reader.unwrap().next().unwrap().unwrap()
}

/// `t.nested` with the columns of `first`, and `first` in it.
async fn table(first: &RecordBatch) -> ForeignWriter {
    let lake = empty_lake().await;
    let name = key("t.nested");
    let spec = TableSpec {
        schema: first.schema(),
        ..TableSpec::default()
    };
    lake.create_table("main", &name, &spec, meta("create"))
        .await
        .unwrap();
    let writer = ForeignWriter { lake, key: name };
    writer.add(first).await;
    writer
}

impl ForeignWriter {
    async fn add(&self, rows: &RecordBatch) {
        let (lake, key) = (&self.lake, &self.key);
        let schema = rows.schema();
        let evolved = lake.evolve("main", key, &schema, meta("evolve"));
        evolved.await.unwrap();
        let appended = lake.append_batches("main", key, vec![rows.clone()], meta("append"));
        appended.await.unwrap();
    }

    async fn answers(&self, answers: &[(&str, &[&str])]) {
        let engine = Engine::new(self.lake.clone(), None, config());
        for (sql, expected) in answers {
            assert_eq!(&column(&engine, sql).await, expected, "{sql}");
        }
    }
}

fn first() -> RecordBatch {
    rows(&[
        json!({"id": 1, "payload": {"motor": {"temp": 71.5, "rpm": 1500}, "tags": ["a", "b"],
            "parts": [{"n": 1}, {"n": 2}]}}),
        json!({"id": 2, "payload": {"motor": null, "tags": [], "parts": null}}),
        json!({"id": 3, "payload": null}),
    ])
}

#[tokio::test]
async fn fields_are_selected_filtered_and_grouped_by_path() {
    let table = table(&first()).await;
    table
        .answers(&[
            (
                "select payload.motor.temp from t.nested order by id",
                &["71.5", "null", "null"],
            ),
            (
                "select payload['motor']['rpm'] from t.nested where id = 1",
                &["1500"],
            ),
            (
                "select id from t.nested where payload.motor.rpm > 1000",
                &["1"],
            ),
            (
                "select id from t.nested where payload['motor'] is null order by id",
                &["2", "3"],
            ),
            ("select id from t.nested where payload is null", &["3"]),
            (
                "select count(*) from t.nested where payload.motor.temp is null",
                &["2"],
            ),
            ("select payload.tags[2] from t.nested where id = 1", &["b"]),
            (
                "select id from t.nested where array_has(payload.tags, 'a')",
                &["1"],
            ),
            (
                "select payload.parts[2]['n'] from t.nested where id = 1",
                &["2"],
            ),
            (
                "select max(payload.motor.temp) from t.nested group by payload.motor.rpm \
                 order by 1 nulls last",
                &["71.5", "null"],
            ),
            (
                "select arrow_typeof(payload.motor) from t.nested limit 1",
                &["Struct(\"rpm\": Int64, \"temp\": Float64)"],
            ),
        ])
        .await;
}

#[tokio::test]
async fn older_files_lack_fields_that_were_added_within() {
    let table = table(&first()).await;
    table
        .add(&rows(&[
            json!({"id": 4, "payload": {"motor": {"oil": true, "bearing": {"wear": 0.5}},
                "parts": [{"m": "x"}]}}),
        ]))
        .await;
    table
        .answers(&[
            ("select id from t.nested where payload.motor.oil", &["4"]),
            (
                "select count(*) from t.nested where payload.motor.oil is null",
                &["3"],
            ),
            (
                "select payload.motor.bearing.wear from t.nested order by id",
                &["null", "null", "null", "0.5"],
            ),
            (
                "select payload.parts[1]['n'] from t.nested order by id",
                &["1", "null", "null", "null"],
            ),
            (
                "select payload.parts[1]['m'] from t.nested order by id",
                &["null", "null", "null", "x"],
            ),
            (
                "select payload.motor.rpm from t.nested where id in (1, 4) order by id",
                &["1500", "null"],
            ),
            ("select id from t.nested where payload is null", &["3"]),
            (
                "select id from t.nested where payload.motor is not null order by id",
                &["1", "4"],
            ),
        ])
        .await;
}

/// `{id, payload: {motor: {m: {temp, rpm, ...}}}}` with other names and types within.
fn with_motor(fields: &[(i32, &str, PrimitiveType)]) -> Vec<Arc<NestedField>> {
    fields
        .iter()
        .map(|(id, name, kind)| {
            Arc::new(NestedField::optional(
                *id,
                *name,
                Type::Primitive(kind.clone()),
            ))
        })
        .collect()
}

#[tokio::test]
async fn fields_renamed_and_exchanged_within_keep_their_values() {
    let batch = rows(&[
        json!({"motor": {"rpm": 1500, "temp": 71.5}}),
        json!({"motor": null}),
    ]);
    let table = table(&batch).await;
    let metadata = table.table().await.metadata().clone();
    let motor = metadata.current_schema().as_struct().fields()[0].id;
    let id = |path: &str| metadata.current_schema().field_by_name(path).unwrap().id;
    // temp is called rpm now, rpm speed, and there is a temp of its own.
    let fields = with_motor(&[
        (id("motor.temp"), "rpm", PrimitiveType::Double),
        (90, "temp", PrimitiveType::String),
        (id("motor.rpm"), "speed", PrimitiveType::Long),
    ]);
    let kind = Type::Struct(StructType::new(fields));
    let schema = IcebergSchema::builder()
        .with_fields([Arc::new(NestedField::optional(motor, "machine", kind))])
        .build()
        .unwrap();
    let built = TableMetadataBuilder::new_from_metadata(metadata, None)
        .add_current_schema(schema)
        .unwrap()
        .build()
        .unwrap();
    table.commit(&built.metadata).await;
    table
        .answers(&[
            ("select machine.rpm from t.nested", &["71.5", "null"]),
            (
                "select machine.speed from t.nested where machine.rpm > 70",
                &["1500"],
            ),
            ("select count(machine.temp) from t.nested", &["0"]),
            (
                "select count(*) from t.nested where machine is null",
                &["1"],
            ),
        ])
        .await;
}

#[tokio::test]
async fn hot_rows_take_the_nested_shape_of_their_table() {
    let table = table(&first()).await;
    let buffer = VecBuffer::of(&table.lake);
    buffer.push(
        &table.key,
        rows(&[json!({"id": 7, "payload": {"motor": {"rpm": 90}}})]),
    );
    // The table does not know `oil` yet, and takes no text for `rpm`.
    buffer.push(
        &table.key,
        rows(&[json!({"id": 8, "payload": {"motor": {"oil": true}, "parts": [{"n": 5}]}})]),
    );
    buffer.push(
        &table.key,
        rows(&[json!({"id": 9, "payload": {"motor": {"rpm": "fast"}}})]),
    );
    let engine = Engine::new(table.lake.clone(), Some(Arc::new(buffer)), config());
    for (sql, expected) in [
        (
            "select payload.motor.rpm from t.nested order by id",
            vec!["1500", "null", "null", "90", "null"],
        ),
        (
            "select id from t.nested where payload.motor.rpm < 100",
            vec!["7"],
        ),
        (
            "select payload.parts[1]['n'] from t.nested where id = 8",
            vec!["5"],
        ),
    ] {
        assert_eq!(column(&engine, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn statements_keep_and_make_nested_values() {
    let table = table(&first()).await;
    let engine = Engine::new(table.lake.clone(), None, config());
    let session = engine.session(SessionOptions::default());
    for sql in [
        "update t.nested set id = 10 where payload.motor.rpm = 1500",
        "delete from t.nested where payload is null",
        "insert into t.nested values (4, {motor: {rpm: 7}, tags: ['c']})",
        "insert into t.nested (id) values (5)",
        "update t.nested set payload = {motor: {temp: 1}} where id = 5",
        "create table t.copy as select id, {a: payload.motor.rpm, b: [1, 2]} as s from t.nested",
        "insert into t.copy values (6, null), (7, {a: null})",
        "create table t.typed (id bigint, s struct<a int, b struct<c varchar>>, l int[])",
        "insert into t.typed values (1, {b: {c: 'x'}, a: 3}, [1, 2])",
        "alter table t.typed add column more struct<x double>",
    ] {
        if let Err(error) = session.execute(sql, &[]).await {
            panic!("{sql}: {error}");
        }
    }
    table
        .answers(&[
            (
                "select id from t.nested order by id",
                &["2", "4", "5", "10"],
            ),
            (
                "select payload.motor.temp from t.nested order by id",
                &["null", "null", "1.0", "71.5"],
            ),
            (
                "select payload.parts[2]['n'] from t.nested where id = 10",
                &["2"],
            ),
            ("select payload.tags[1] from t.nested where id = 4", &["c"]),
            (
                "select s.a from t.copy order by id",
                &["null", "7", "null", "null", "null", "1500"],
            ),
            (
                "select s.b.c || s.a || l[2] from t.typed where more is null",
                &["x32"],
            ),
        ])
        .await;
    for sql in [
        "insert into t.nested values (4, {engine: 7})",
        "insert into t.nested values (4, {motor: {rpm: 7.5}})",
        "insert into t.nested values (4, 'text')",
        "insert into t.nested values (4, {motor: 'hot'})",
    ] {
        let error = session.execute(sql, &[]).await.map(drop).unwrap_err();
        assert_eq!(
            error.kind(),
            catalog::ErrorKind::InvalidInput,
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn row_level_deletes_of_others_hit_rows_with_nested_columns() {
    let table = table(&first()).await;
    let schema = table.table().await.arrow_schema();
    let all = rows(
        &(10..18)
            .map(|id| json!({"id": id, "payload": {"motor": {"rpm": id}}}))
            .collect::<Vec<_>>(),
    );
    let shape = lake::shape::Shape::by_name(all.column(1).data_type(), schema.field(1).data_type());
    let payload = shape
        .unwrap()
        .cast(all.column(1), schema.field(1).data_type());
    let all = RecordBatch::try_new(schema, vec![all.column(0).clone(), payload.unwrap()]).unwrap();
    let file = table
        .file(DataContentType::Data, &all, Struct::empty())
        .await;
    let path = table.append(vec![file.build().unwrap()]).await.remove(0);
    let gone = [(path.clone(), 1), (path, 6)];
    let positions = table.positions(&gone, Struct::empty());
    let positions = positions.await.build().unwrap();
    let gone = all.project(&[0]).unwrap().slice(3, 1);
    let by_id = table.equality(&gone, &[1], Struct::empty());
    let by_id = by_id.await.build().unwrap();
    table.delete(vec![positions], 0).await;
    table.delete(vec![by_id], 0).await;
    table
        .answers(&[
            (
                "select payload.motor.rpm from t.nested where id >= 10 order by id",
                &["10", "12", "14", "15", "17"],
            ),
            (
                "select id from t.nested where payload.motor.rpm between 11 and 14 order by id",
                &["12", "14"],
            ),
        ])
        .await;
}

#[tokio::test]
async fn a_branch_with_nested_fields_of_its_own_merges_and_is_diffed() {
    let table = table(&first()).await;
    let catalog = table.lake.catalog();
    catalog.create_branch("dev", "main", "test").await.unwrap();
    let more = rows(&[json!({"id": 4, "payload": {"motor": {"oil": true}}})]);
    table
        .lake
        .evolve("dev", &table.key, &more.schema(), meta("evolve"))
        .await
        .unwrap();
    table
        .lake
        .append_batches("dev", &table.key, vec![more], meta("append"))
        .await
        .unwrap();
    table
        .add(&rows(&[json!({"id": 5, "payload": {"motor": {"rpm": 5}}})]))
        .await;
    let engine = Engine::new(table.lake.clone(), None, config());
    let session = engine.session(SessionOptions::default());
    if let Err(error) = session.execute("merge branch dev into main", &[]).await {
        panic!("{error}");
    }
    table
        .answers(&[
            ("select id from t.nested where payload.motor.oil", &["4"]),
            ("select count(*) from t.nested", &["5"]),
        ])
        .await;
    let diff = engine.diff_rows(&table.key, "dev", "main").await.unwrap();
    let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(diff.stream)
        .await
        .unwrap();
    let shown = arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string();
    assert!(
        shown.contains("insert") && shown.contains("| 5 "),
        "{shown}"
    );
}

/// A value of a field: none, or as JSON.
fn value(depth: u32) -> BoxedStrategy<Value> {
    let plain = prop_oneof![Just(Value::Null), (0..9_i64).prop_map(|n| json!({"n": n}))];
    plain
        .prop_recursive(depth, 16, 3, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-c]", inner.clone(), 1..3)
                    .prop_map(|fields| json!(fields)),
                prop::collection::vec(inner, 0..3).prop_map(|mut all| {
                    all.retain(|value| !value.is_null());
                    json!({"list": all})
                }),
            ]
        })
        .boxed()
}

/// Without what is null or holds nothing but nulls, which are not told apart in JSON.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), bare(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
        }
        Value::Array(all) => all.iter().map(bare).collect(),
        other => other.clone(),
    }
}

async fn every_row_comes_back(batches: &[Vec<Value>]) {
    let mut expected = Vec::new();
    let mut made: Option<ForeignWriter> = None;
    for batch in batches {
        let lines = batch
            .iter()
            .enumerate()
            .map(|(at, value)| json!({"id": expected.len() + at, "v": value}));
        let lines: Vec<Value> = lines.collect();
        let Some(rows) = typed(&lines) else { continue };
        match &made {
            Some(table) => table.add(&rows).await,
            None => made = Some(table(&rows).await),
        }
        expected.extend(lines.iter().map(bare));
    }
    let Some(table) = made else { return };
    let engine = Engine::new(table.lake.clone(), None, config());
    let (_, read) = engine
        .collect("select * from t.nested order by id", None)
        .await
        .unwrap();
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    for batch in &read {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    let read = text
        .lines()
        .map(|line| bare(&serde_json::from_str(line).unwrap()));
    assert_eq!(read.collect::<Vec<_>>(), expected);
}

/// The rows, unless their values are nothing that a table can hold.
fn typed(lines: &[Value]) -> Option<RecordBatch> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (schema, _) = infer_json_schema(Cursor::new(&text), None).ok()?;
    lake_takes(&schema).then(|| rows(lines))
}

fn lake_takes(schema: &Schema) -> bool {
    use arrow::datatypes::DataType;
    fn takes(kind: &DataType) -> bool {
        match kind {
            DataType::Struct(fields) => {
                !fields.is_empty() && fields.iter().all(|field| takes(field.data_type()))
            }
            DataType::List(element) => takes(element.data_type()),
            kind => *kind != DataType::Null,
        }
    }
    schema.fields().iter().all(|field| takes(field.data_type()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However the shape of the rows grows from batch to batch, each row is read as it came.
    #[test]
    fn rows_of_growing_shape_come_back(
        batches in prop::collection::vec(prop::collection::vec(value(3), 1..4), 1..5)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(every_row_comes_back(&batches));
    }
}
