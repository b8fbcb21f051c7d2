//! Reading a data set into the trainer's matrix beside a bare read of the same Parquet files.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};
use ml::{Dataset, TrainSpec};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use query::{Engine, EngineConfig};

use crate::report::{Goals, median};
use crate::{Bench, Result};

const COLUMNS: usize = 12;
/// Files of the table, each a stretch of time.
const FILES: usize = 10;
/// 2026-11-01T00:00:00Z in microseconds, and the time from row to row.
const START: i64 = 1_793_491_200_000_000;
const STEP: i64 = 50_000;

const SPEC: &str = r#"
    model = "ml.bench"
    trainer = "xgboost"
    [dataset]
    sql = "select * from bench.rows"
    time = "ts"
    label = "y"
    [xgboost]
    objective = "binary:logistic"
    rounds = 1
"#;

/// Prints both sides of each round.
pub(crate) async fn run(bench: &Bench, goals: &mut Goals) -> Result<()> {
    // Ten million rows where the default hundred thousand are asked for elsewhere.
    let rows = bench.rows * 100;
    let folder = tempfile::tempdir()?;
    let lake = fill(folder.path(), rows).await?;
    let files = parquet_files(folder.path())?;
    let config = EngineConfig::default();
    let threads = config.target_partitions;
    let engine = Engine::new(lake.clone(), None, config);
    let spec = TrainSpec::from_toml(SPEC)?;
    let snapshot = lake.catalog().head("main").await?;

    println!("## Reading a data set\n");
    println!(
        "{rows} rows of {COLUMNS} double columns, a timestamp and a label in {} Parquet files, read into the trainer's matrix: in order, split, checked for leaks, fingerprinted. Beside it a bare read of the same columns and files into record batches by the parquet crate, on as many threads ({threads}) and on one.\n",
        files.len(),
    );
    println!(
        "| round | bare, 1 thread, s | bare, {threads} threads, s | Pumphouse, s | ratio |\n|---|---|---|---|---|"
    );
    let mut ratios = Vec::new();
    for round in 0..=bench.rounds {
        let alone = timed(|| bare(&files, 1, rows))?;
        let theirs = timed(|| bare(&files, threads, rows))?;
        let started = Instant::now();
        let data = Dataset::read(&lake, &engine, &spec, &snapshot).await?;
        let ours = started.elapsed().as_secs_f64();
        if data.len() != rows {
            return Err("the data set has other rows than the table".into());
        }
        // The first round warms both sides.
        if round > 0 {
            let ratio = ours / theirs;
            println!("| {round} | {alone:.3} | {theirs:.3} | {ours:.3} | {ratio:.3} |");
            ratios.push(ratio);
        }
    }
    let ratio = median(ratios);
    println!("\nMedian ratio, same threads: {ratio:.3}.\n");
    goals.at_most("data set read over a bare Parquet read", 1.5, ratio);
    Ok(())
}

async fn fill(folder: &Path, rows: usize) -> Result<Lake> {
    let config = StoreConfig {
        url: folder.display().to_string(),
        ..StoreConfig::default()
    };
    let lake = Lake::new(Catalog::open(Store::open(&config).await?).await?);
    let key: Key = "bench.rows".parse()?;
    let meta = || CommitMeta::new("bench", "fill");
    for file in 0..FILES {
        let batch = readings(file * rows / FILES..(file + 1) * rows / FILES)?;
        if file == 0 {
            let spec = TableSpec {
                schema: batch.schema(),
                ..TableSpec::default()
            };
            lake.create_table("main", &key, &spec, meta()).await?;
        }
        lake.append_batches("main", &key, vec![batch], meta())
            .await?;
    }
    Ok(lake)
}

/// Sensor-like readings: a slow wave with noise, to three decimals.
fn readings(rows: std::ops::Range<usize>) -> Result<RecordBatch> {
    let noise = |row: usize, column: usize| {
        let bits = (row * COLUMNS + column) as u64;
        let bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / (1 << 24) as f64
    };
    let reading = |row: usize, column: usize| {
        let wave = (row as f64 / (1000.0 + 37.0 * column as f64)).sin();
        ((10.0 * column as f64 + wave + noise(row, column)) * 1000.0).round() / 1000.0
    };
    let ts = rows.clone().map(|row| START + row as i64 * STEP);
    let ts = TimestampMicrosecondArray::from_iter_values(ts).with_timezone("+00:00");
    let mut columns = vec![("ts".to_owned(), Arc::new(ts) as ArrayRef)];
    for column in 0..COLUMNS {
        let values = rows.clone().map(|row| reading(row, column));
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
        columns.push((format!("x{column}"), values));
    }
    let labels = rows.map(|row| i32::from(noise(row, COLUMNS) > 0.7));
    columns.push((
        "y".to_owned(),
        Arc::new(Int32Array::from_iter_values(labels)),
    ));
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )?)
}

/// Reads all of `files` into record batches, as the threads come to them.
fn bare(files: &[PathBuf], threads: usize, rows: usize) -> Result<()> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let read = || -> Result<usize> {
        let mut read = 0;
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(path) = files.get(at) else {
                return Ok(read);
            };
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
            for batch in reader.with_batch_size(8192).build()? {
                read += std::hint::black_box(batch?).num_rows();
            }
        }
    };
    let read: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        let each = readers.into_iter().map(|reader| {
            reader
                .join()
                .unwrap_or_else(|_| Err("a reader broke off".into()))
        });
        each.sum::<Result<usize>>()
    })?;
    match read == rows {
        true => Ok(()),
        false => Err(format!("the files hold {read} rows, not {rows}").into()),
    }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(parquet_files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
