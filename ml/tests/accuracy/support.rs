//! Where the public data lies, and a lake with a file of it in a table.
#![allow(dead_code)]
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};
use ml::{TrainOutcome, TrainSpec};
use query::{Engine, EngineConfig};
use tempfile::TempDir;

/// The file `path` of the folder `PUMPHOUSE_DATA` names, else of `shared/data` beside the
/// checkout. None, with a word on stderr, where it is absent.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("PUMPHOUSE_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => workspace().join("../shared/data"),
    };
    let file = folder.join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("{} is absent, so nothing is checked on it", file.display());
    None
}

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// A column of a table in the making.
pub(crate) enum Column {
    Number(Vec<f64>),
    Text(Vec<String>),
}

/// The rows of a file with a header; a column is of numbers where all its fields are.
pub(crate) fn csv(path: &Path, delimiter: u8) -> Vec<(String, Column)> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_path(path)
        .unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
    let mut fields = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, field) in fields.iter_mut().zip(record.unwrap().iter()) {
            column.push(field.to_owned());
        }
    }
    let columns = fields.into_iter().map(|fields| {
        let numbers: Result<Vec<f64>, _> = fields.iter().map(|f| f.trim().parse()).collect();
        numbers.map_or(Column::Text(fields), Column::Number)
    });
    let plain = |name: &String| name.trim_start_matches('\u{feff}').to_owned();
    names.iter().map(plain).zip(columns).collect()
}

/// A lake in a folder that goes with it.
pub(crate) struct Plant {
    pub(crate) lake: Lake,
    pub(crate) engine: Engine,
    _folder: TempDir,
}

impl Plant {
    pub(crate) async fn new() -> Plant {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            url: folder.path().to_str().unwrap().to_owned(),
            ..StoreConfig::default()
        };
        let store = Store::open(&config).await.unwrap();
        let lake = Lake::new(Catalog::open(store).await.unwrap());
        let engine = Engine::new(lake.clone(), None, EngineConfig::default());
        Plant {
            lake,
            engine,
            _folder: folder,
        }
    }

    /// A table on `main` with these columns.
    pub(crate) async fn table(&self, key: &str, columns: Vec<(String, Column)>) {
        let columns = columns.into_iter().map(|(name, column)| {
            let array: ArrayRef = match column {
                Column::Number(values) => Arc::new(Float64Array::from(values)),
                Column::Text(values) => Arc::new(StringArray::from(values)),
            };
            (name, array, true)
        });
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let key: Key = key.parse().unwrap();
        let spec = TableSpec {
            schema: rows.schema(),
            partition: Vec::new(),
            sort: Vec::new(),
            bloom: Vec::new(),
            ..TableSpec::default()
        };
        let meta = || CommitMeta::new("test", "fill a table");
        let created = self.lake.create_table("main", &key, &spec, meta());
        created.await.unwrap();
        let appended = self.lake.append_batches("main", &key, vec![rows], meta());
        appended.await.unwrap();
    }

    /// The model that `spec` trains on `main`.
    pub(crate) async fn train(&self, spec: &str) -> TrainOutcome {
        let spec = TrainSpec::from_toml(spec).unwrap();
        ml::train(&self.lake, &self.engine, &spec, "main", "test", &mut |_| ())
            .await
            .unwrap()
    }

    /// The rows of `sql` with the answers of `model`.
    pub(crate) async fn predict(&self, model: &str, sql: &str) -> Vec<RecordBatch> {
        let answer = ml::predict(&self.lake, &self.engine, model, "main", sql).await;
        answer.unwrap().1
    }
}

/// The column `name` of all rows.
pub(crate) fn numbers(rows: &[RecordBatch], name: &str) -> Vec<f64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    let column = |rows: &RecordBatch| {
        let column = rows.column_by_name(name).unwrap();
        let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64).unwrap();
        column.as_primitive::<Float64Type>().values().to_vec()
    };
    rows.iter().flat_map(column).collect()
}
