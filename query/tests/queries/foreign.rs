//! What others write with other habits than ours: statistics that leave NaN out, no NaN
//! counts, files of other formats, SQL of other dialects.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Content, ErrorKind, Operation};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Struct};
use lake::{Append, Lake, Table, TableSpec, ViewSpec};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use query::Engine;

use crate::fixture::{column, config, empty_lake, key, meta};

async fn table(lake: &Lake) -> Table {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]));
    let spec = TableSpec {
        schema,
        sort: vec![],
        bloom: vec![],
        ..TableSpec::default()
    };
    let name = key("t.foreign");
    let created = lake.create_table("main", &name, &spec, meta("create"));
    created.await.unwrap()
}

/// Rows 1.0, 2.0 and NaN as parquet's writer leaves them by default: bounds 1.0 and 2.0.
async fn put_file(lake: &Lake, table: &Table, format: DataFileFormat) -> DataFile {
    let values: Float64Array = vec![1.0, 2.0, f64::NAN].into();
    let ids: Int64Array = vec![1, 2, 3].into();
    let rows = RecordBatch::try_new(table.arrow_schema(), vec![Arc::new(ids), Arc::new(values)]);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.arrow_schema(), None).unwrap();
    writer.write(&rows.unwrap()).unwrap();
    writer.close().unwrap();
    let size = bytes.len() as u64;
    let path = Path::from("t/foreign.parquet");
    lake.store()
        .object_store()
        .put(&path, bytes.into())
        .await
        .unwrap();
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(lake.store().location(&path))
        .file_format(format)
        .partition(Struct::empty())
        .record_count(3)
        .file_size_in_bytes(size)
        .value_counts(HashMap::from([(1, 3), (2, 3)]))
        .null_value_counts(HashMap::from([(1, 0), (2, 0)]))
        .lower_bounds(HashMap::from([
            (1, Datum::long(1)),
            (2, Datum::double(1.0)),
        ]))
        .upper_bounds(HashMap::from([
            (1, Datum::long(3)),
            (2, Datum::double(2.0)),
        ]))
        .build()
        .unwrap()
}

async fn append(lake: &Lake, table: &Table, format: DataFileFormat) {
    let file = put_file(lake, table, format).await;
    let change = Arc::new(lake.append(vec![Append::to(table, vec![file])]));
    let committed = lake.catalog().commit("main", meta("foreign"), change);
    committed.await.unwrap();
}

#[tokio::test]
async fn files_of_other_formats_are_refused_by_name() {
    for (format, name) in [(DataFileFormat::Orc, "orc"), (DataFileFormat::Avro, "avro")] {
        let lake = empty_lake().await;
        let table = table(&lake).await;
        append(&lake, &table, format).await;
        let engine = Engine::new(lake, None, config());
        let error = engine.collect("select id from t.foreign", None).await;
        let error = error.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for part in ["t.foreign", "t/foreign.parquet", name] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn a_view_in_another_dialect_is_not_run_as_ours() {
    let lake = empty_lake().await;
    let name = key("t.theirs");
    let head = lake.catalog().head("main").await.unwrap();
    let spec = ViewSpec {
        sql: "select 7 / 2 as x".into(),
        schema: Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)])),
        default_namespace: "t".into(),
        replace: false,
        properties: BTreeMap::new(),
    };
    let ours = lake.stage_view(&head, &name, spec).await.unwrap();
    let working = head.with(std::slice::from_ref(&ours)).unwrap();
    let view = lake.view(&working, &name).await.unwrap();
    let engine = Engine::new(lake.clone(), None, config());
    for (dialect, runs) in [("spark", false), ("DataFusion", true)] {
        let mut json = serde_json::to_value(view.metadata()).unwrap();
        json["versions"][0]["representations"][0]["dialect"] = dialect.into();
        let metadata = serde_json::from_value(json).unwrap();
        let content = Content::View {
            uuid: view.uuid,
            metadata_location: lake.write_view(&metadata, None).await.unwrap(),
        };
        let put = vec![Operation::Put {
            key: name.clone(),
            content,
        }];
        let base = lake.catalog().head("main").await.unwrap().id();
        let committed = lake
            .catalog()
            .commit_operations("main", meta(dialect), base, put);
        committed.await.unwrap();
        let answer = engine
            .collect("select x from t.theirs", None)
            .await
            .map(drop);
        match answer {
            Ok(()) => assert!(runs, "{dialect}"),
            Err(error) => {
                assert!(!runs, "{error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.message().contains("\"spark\""), "{error}");
                assert!(error.hint().unwrap().contains("CREATE OR REPLACE VIEW"));
            }
        }
    }
}

#[tokio::test]
async fn nan_that_no_statistics_show_is_found() {
    let lake = empty_lake().await;
    let table = table(&lake).await;
    append(&lake, &table, DataFileFormat::Parquet).await;
    for target_partitions in [1, 2] {
        let config = query::EngineConfig {
            target_partitions,
            ..config()
        };
        let engine = Engine::new(lake.clone(), None, config);
        for (sql, expected) in [
            ("select id from t.foreign where x > 100", vec!["3"]),
            (
                "select id from t.foreign order by x desc limit 1",
                vec!["3"],
            ),
            ("select max(x) from t.foreign", vec!["NaN"]),
            ("select id from t.foreign where id > 3", vec![]),
            ("select count(*) from t.foreign where x < 2", vec!["1"]),
        ] {
            assert_eq!(column(&engine, sql).await, expected, "{sql}");
        }
    }
}
