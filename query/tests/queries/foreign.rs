//! Files of writers with other habits than ours: statistics that leave NaN out, no NaN counts.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Struct};
use lake::{Append, Lake, Table, TableSpec};
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
async fn put_file(lake: &Lake, table: &Table) -> DataFile {
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
        .file_format(DataFileFormat::Parquet)
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

#[tokio::test]
async fn nan_that_no_statistics_show_is_found() {
    let lake = empty_lake().await;
    let table = table(&lake).await;
    let append = Append::to(&table, vec![put_file(&lake, &table).await]);
    let change = Arc::new(lake.append(vec![append]));
    lake.catalog()
        .commit("main", meta("foreign"), change)
        .await
        .unwrap();
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
