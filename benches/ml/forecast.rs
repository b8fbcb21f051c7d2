//! ETTh1 at four horizons, with the spec and protocol of `ml/tests/accuracy/etth1.rs`.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};
use ml::{Metrics, TrainSpec};
use query::{Engine, EngineConfig};

use crate::Result;

const SPEC: &str = include_str!("../../ml/tests/accuracy/etth1.toml");

/// Horizon, and published errors: TTM zero-shot, PatchTST/64, DLinear, persistence, ridge.
const PUBLISHED: [(usize, &str); 4] = [
    (96, ".363 | .370 | .375 | 1.294 | .366"),
    (192, ".387 | .413 | .405 | 1.325 | .400"),
    (336, ".402 | .422 | .439 | 1.330 | .424"),
    (720, ".475 | .447 | .472 | 1.335 | .422"),
];

/// Prints the errors at each horizon.
pub(crate) async fn measure() -> Result<()> {
    println!("## ETTh1, mean squared error\n");
    let Some(file) = file() else {
        println!("Not measured: `PUMPHOUSE_DATA` holds no ett/ETTh1.csv.\n");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let lake = fill(folder.path(), &file).await?;
    let engine = Engine::new(lake.clone(), None, EngineConfig::default());
    println!(
        "Train rows 0 to 8,640, validation to 11,520, test to 14,400, all seven features, \
         standardised by the training part, contexts of 512 rows that may reach back over a \
         border, every window of the test part. Published figures beside; ours is trained from \
         scratch with a linear path; its epoch is chosen on the validation part.\n"
    );
    println!(
        "| horizon | Pumphouse | mae | s | TTM zero-shot | PatchTST/64 | DLinear | persistence | ridge |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (horizon, published) in PUBLISHED {
        let spec = SPEC.replace("horizon = 96", &format!("horizon = {horizon}"));
        let spec = TrainSpec::from_toml(&spec)?;
        let started = Instant::now();
        let outcome = ml::train(&lake, &engine, &spec, "main", "bench", &mut |_| ()).await?;
        let seconds = started.elapsed().as_secs_f64();
        let Metrics::Forecast(metrics) = &outcome.manifest.metrics else {
            return Err("the model is no forecaster".into());
        };
        println!(
            "| {horizon} | {:.4} | {:.4} | {seconds:.0} | {published} |",
            metrics.mse, metrics.mae
        );
    }
    println!();
    Ok(())
}

/// The folder `PUMPHOUSE_DATA` names, else `shared/data` beside the checkout.
fn file() -> Option<PathBuf> {
    let folder = match std::env::var_os("PUMPHOUSE_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    Some(folder.join("ett/ETTh1.csv")).filter(|file| file.exists())
}

async fn fill(folder: &Path, file: &Path) -> Result<Lake> {
    let mut reader = csv::Reader::from_path(file)?;
    let names: Vec<String> = reader.headers()?.iter().map(String::from).collect();
    let mut dates = Vec::new();
    let mut values = vec![Vec::new(); names.len() - 1];
    for record in reader.records() {
        let record = record?;
        dates.push(record[0].to_owned());
        for (column, field) in values.iter_mut().zip(record.iter().skip(1)) {
            column.push(field.parse::<f64>()?);
        }
    }
    let dates = Arc::new(StringArray::from(dates)) as ArrayRef;
    let values = values
        .into_iter()
        .map(|v| Arc::new(Float64Array::from(v)) as ArrayRef);
    let columns = names.into_iter().zip(std::iter::once(dates).chain(values));
    let rows = RecordBatch::try_from_iter(columns)?;
    let config = StoreConfig {
        url: folder.display().to_string(),
        ..StoreConfig::default()
    };
    let lake = Lake::new(Catalog::open(Store::open(&config).await?).await?);
    let key: Key = "ett.h1".parse()?;
    let spec = TableSpec {
        schema: rows.schema(),
        partition: Vec::new(),
        sort: Vec::new(),
        bloom: Vec::new(),
        ..TableSpec::default()
    };
    let meta = || CommitMeta::new("bench", "fill a table");
    lake.create_table("main", &key, &spec, meta()).await?;
    lake.append_batches("main", &key, vec![rows], meta())
        .await?;
    Ok(lake)
}
