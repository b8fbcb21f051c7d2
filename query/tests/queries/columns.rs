//! Columns are found by field id: after a rename, after another column took an old name,
//! and after a type was widened.
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use iceberg::spec::{
    DataContentType, NestedField, PrimitiveType, Schema as IcebergSchema, Struct, TableMetadata,
    TableMetadataBuilder, Type,
};
use lake::{Lake, TableSpec};
use query::Engine;

use crate::fixture::{column, config, empty_lake, key, meta};
use crate::foreign_writer::ForeignWriter;

/// Six rows, in row groups of three: n 0 to 5, x the same, s "s0" to "s5".
async fn written() -> ForeignWriter {
    let lake: Lake = empty_lake().await;
    let name = key("t.evolved");
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, true),
        Field::new("x", DataType::Float32, true),
        Field::new("s", DataType::Utf8, true),
    ]));
    let spec = TableSpec {
        schema,
        ..TableSpec::default()
    };
    lake.create_table("main", &name, &spec, meta("create"))
        .await
        .unwrap();
    let writer = ForeignWriter { lake, key: name };
    let schema = writer.table().await.arrow_schema();
    let file = writer
        .file(DataContentType::Data, &rows(&schema), Struct::empty())
        .await;
    writer.append(vec![file.build().unwrap()]).await;
    writer
}

fn rows(schema: &SchemaRef) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..6)),
        Arc::new(Float32Array::from_iter_values(
            (0..6).map(|n| n as f32 + 0.1),
        )),
        Arc::new(StringArray::from_iter_values(
            (0..6).map(|n| format!("s{n}")),
        )),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn with_columns(metadata: &TableMetadata, columns: &[(i32, &str, PrimitiveType)]) -> TableMetadata {
    let fields = columns.iter().map(|(id, name, kind)| {
        let kind = Type::Primitive(kind.clone());
        Arc::new(NestedField::optional(*id, *name, kind))
    });
    let schema = IcebergSchema::builder()
        .with_fields(fields)
        .build()
        .unwrap();
    TableMetadataBuilder::new_from_metadata(metadata.clone(), None)
        .add_current_schema(schema)
        .unwrap()
        .build()
        .unwrap()
        .metadata
}

async fn assert_answers(writer: &ForeignWriter, answers: &[(&str, &[&str])]) {
    let engine = Engine::new(writer.lake.clone(), None, config());
    for (sql, expected) in answers {
        assert_eq!(&column(&engine, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn renamed_exchanged_and_widened_columns_read_right() {
    let writer = written().await;
    let metadata = writer.table().await.metadata().clone();
    // n became m; a new n took its name; x and s changed places.
    let columns = [
        (1, "m", PrimitiveType::Long),
        (4, "n", PrimitiveType::Int),
        (2, "s", PrimitiveType::Double),
        (3, "x", PrimitiveType::String),
    ];
    writer.commit(&with_columns(&metadata, &columns)).await;
    assert_answers(
        &writer,
        &[
            (
                "select m from t.evolved where m >= 4 order by m",
                &["4", "5"],
            ),
            ("select m from t.evolved where m = 4294967296", &[]),
            ("select count(*) from t.evolved where n is null", &["6"]),
            ("select count(n) from t.evolved", &["0"]),
            ("select m from t.evolved where n = 3", &[]),
            ("select x from t.evolved where m = 2", &["s2"]),
            ("select m from t.evolved where x = 's5'", &["5"]),
            ("select m from t.evolved where x > 's4'", &["5"]),
            ("select round(s, 1) from t.evolved where x = 's1'", &["1.1"]),
            ("select count(*) from t.evolved where s > 3.05", &["3"]),
            ("select count(*) from t.evolved where s = 0.1", &["0"]),
            ("select arrow_typeof(m) from t.evolved limit 1", &["Int64"]),
            ("select max(m) from t.evolved", &["5"]),
            ("select m + length(x) from t.evolved where m = 5", &["7"]),
        ],
    )
    .await;
}

/// An equality delete may be by a column that the table dropped afterwards.
#[tokio::test]
async fn equality_deletes_by_a_dropped_or_renamed_column_still_apply() {
    let writer = written().await;
    let table = writer.table().await;
    let all = rows(&table.arrow_schema());
    for (columns, at) in [([2], 1), ([0], 4)] {
        let deleted = all.project(&columns).unwrap().slice(at, 1);
        let ids = [columns[0] as i32 + 1];
        let file = writer.equality(&deleted, &ids, Struct::empty()).await;
        writer.delete(vec![file.build().unwrap()], 0).await;
    }
    let metadata = writer.table().await.metadata().clone();
    // s is dropped, and another s is there.
    let columns = [(1, "m", PrimitiveType::Long), (5, "s", PrimitiveType::Int)];
    writer.commit(&with_columns(&metadata, &columns)).await;
    assert_answers(
        &writer,
        &[
            ("select m from t.evolved order by m", &["0", "2", "3", "5"]),
            (
                "select m from t.evolved where m < 3 order by m",
                &["0", "2"],
            ),
            ("select count(*) from t.evolved where s is null", &["4"]),
            ("select count(*) from t.evolved", &["4"]),
        ],
    )
    .await;
}

/// Files that were made elsewhere and only added to a table carry no field ids.
#[tokio::test]
async fn a_name_mapping_gives_files_without_ids_theirs() {
    let writer = written().await;
    let plain = Arc::new(Schema::new(vec![
        Field::new("old", DataType::Int32, true),
        Field::new("x", DataType::Float32, true),
        Field::new("s", DataType::Utf8, true),
    ]));
    let file = writer
        .file(DataContentType::Data, &rows(&plain), Struct::empty())
        .await;
    writer.append(vec![file.build().unwrap()]).await;
    assert_answers(&writer, &[("select count(n) from t.evolved", &["6"])]).await;
    let mapping = r#"[{"field-id": 1, "names": ["n", "old"]}, {"field-id": 3, "names": ["s"]}]"#;
    let properties = [("schema.name-mapping.default".to_owned(), mapping.to_owned())];
    let table = writer.table().await;
    let built = TableMetadataBuilder::new_from_metadata(table.metadata().clone(), None)
        .set_properties(properties.into())
        .unwrap()
        .build()
        .unwrap();
    writer.commit(&built.metadata).await;
    assert_answers(
        &writer,
        &[
            ("select count(n) from t.evolved", &["12"]),
            ("select count(x) from t.evolved", &["6"]),
            (
                "select count(*) from t.evolved where n = 3 and s = 's3'",
                &["2"],
            ),
        ],
    )
    .await;
}
