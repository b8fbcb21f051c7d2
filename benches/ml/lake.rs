//! A lake in a folder with the generated rows in a table, and a model trained on them.
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};
use ml::{PredictFunction, TrainSpec};
use query::{Engine, EngineConfig};

use crate::Result;
use crate::xgboost::{COLUMNS, Data, THREADS, TREES};

/// The table's name.
pub(crate) const TABLE: &str = "bench.rows";
/// The model's.
pub(crate) const MODEL: &str = "ml.bench";

/// Fills a lake in `folder`, trains, and gives an engine over it.
pub(crate) async fn trained(folder: &Path, data: &Data) -> Result<Engine> {
    let config = StoreConfig {
        url: folder.display().to_string(),
        ..StoreConfig::default()
    };
    let lake = Lake::new(Catalog::open(Store::open(&config).await?).await?);
    let rows = rows(data)?;
    let key: Key = TABLE.parse()?;
    let spec = TableSpec {
        schema: rows.schema(),
        ..TableSpec::default()
    };
    let meta = || CommitMeta::new("bench", "rows");
    lake.create_table("main", &key, &spec, meta()).await?;
    lake.append_batches("main", &key, vec![rows], meta())
        .await?;
    let config = EngineConfig {
        target_partitions: THREADS,
        ..EngineConfig::default()
    };
    let predict = PredictFunction::new(lake.clone());
    let engine = Engine::with_functions(lake.clone(), None, config, vec![Arc::new(predict)]);
    let spec = TrainSpec::from_toml(&format!(
        "model = '{MODEL}'\ntrainer = 'xgboost'\n\
         [dataset]\nsql = 'select * from {TABLE}'\ntime = 'n'\nlabel = 'y'\n\
         [xgboost]\nobjective = 'binary:logistic'\nrounds = {TREES}\nmax_depth = 6\neta = 0.1\n\
         tree_method = 'hist'\nnthread = {THREADS}\nseed = 7"
    ))?;
    ml::train(&lake, &engine, &spec, "main", "bench", &mut |_| ()).await?;
    Ok(engine)
}

/// The names of the features in order, separated by commas.
pub(crate) fn features() -> String {
    let names: Vec<String> = (0..COLUMNS).map(|n| format!("c{n}")).collect();
    names.join(", ")
}

fn rows(data: &Data) -> Result<RecordBatch> {
    let count = data.labels.len();
    let column = |slot: usize| -> ArrayRef {
        let values = data.values.iter().skip(slot).step_by(COLUMNS);
        Arc::new(Float32Array::from_iter_values(values.copied()))
    };
    let mut columns: Vec<(String, ArrayRef)> = (0..COLUMNS)
        .map(|slot| (format!("c{slot}"), column(slot)))
        .collect();
    let numbers = Int64Array::from_iter_values((0..count).map(|n| n as i64));
    columns.push(("n".to_owned(), Arc::new(numbers)));
    let labels = data.labels.iter().map(|label| *label as i64);
    let labels = Int64Array::from_iter_values(labels);
    columns.push(("y".to_owned(), Arc::new(labels)));
    Ok(RecordBatch::try_from_iter(columns)?)
}
