//! Append commits a second from eight writers in one process, on one disk, beside PyIceberg.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};

use crate::{Result, median};

const WRITERS: i64 = 8;
const ROWS: i64 = 10;

/// Prints commits a second of both, once with a table for each writer and once with one table.
pub(crate) async fn measure(rounds: usize, seconds: u64) -> Result<()> {
    println!("## Append commits\n");
    println!(
        "| {WRITERS} writers to | round | PyIceberg, commits/s | Pumphouse, commits/s | ratio |"
    );
    println!("|---|---|---|---|---|");
    let mut summary = Vec::new();
    for (name, shared) in [("a table each", false), ("one table", true)] {
        let mut ratios = Vec::new();
        for round in 1..=rounds {
            let folder = tempfile::tempdir()?;
            let theirs = pyiceberg(&folder.path().join("pyiceberg"), shared, seconds)?;
            let ours = pumphouse(&folder.path().join("lake"), shared, seconds).await?;
            println!(
                "| {name} | {round} | {theirs:.1} | {ours:.1} | {:.1} |",
                ours / theirs
            );
            ratios.push(ours / theirs);
        }
        summary.push(format!("{:.1} with {name}", median(ratios)));
    }
    println!("\nMedian ratio: {}.\n", summary.join(", "));
    Ok(())
}

fn pyiceberg(folder: &Path, shared: bool, seconds: u64) -> Result<f64> {
    let tools = std::env::var("PUMPHOUSE_TOOLS")?;
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/catalog/pyiceberg_append.py"
    );
    let output = Command::new(format!("{tools}/venv/bin/python"))
        .arg(script)
        .arg(folder)
        .args([if shared { "shared" } else { "own" }, &seconds.to_string()])
        .args([WRITERS.to_string(), ROWS.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

async fn pumphouse(folder: &Path, shared: bool, seconds: u64) -> Result<f64> {
    let lake = open(folder).await?;
    let mut keys = Vec::new();
    for writer in 0..WRITERS {
        let key = match shared {
            true => Key::new("bench", "shared")?,
            false => Key::new("bench", format!("t{writer}"))?,
        };
        if !keys.contains(&key) {
            let meta = CommitMeta::new("bench", "create");
            lake.create_table("main", &key, &spec(), meta).await?;
        }
        keys.push(key);
    }
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let writers: Vec<_> = keys
        .into_iter()
        .map(|key| tokio::spawn(append_until(lake.clone(), key, end)))
        .collect();
    let mut commits = 0;
    for writer in writers {
        commits += writer.await??;
    }
    Ok(f64::from(commits) / started.elapsed().as_secs_f64())
}

async fn append_until(lake: Lake, key: Key, end: Instant) -> catalog::Result<u32> {
    let mut commits = 0;
    while Instant::now() < end {
        let meta = CommitMeta::new("bench", "append");
        lake.append_batches("main", &key, vec![batch()], meta)
            .await?;
        commits += 1;
    }
    Ok(commits)
}

/// A lake in `folder`, which is made.
pub(crate) async fn open(folder: &Path) -> Result<Lake> {
    let config = StoreConfig {
        url: folder.display().to_string(),
        ..StoreConfig::default()
    };
    Ok(Lake::new(Catalog::open(Store::open(&config).await?).await?))
}

/// A table of two columns.
pub(crate) fn spec() -> TableSpec {
    TableSpec {
        schema: batch().schema(),
        ..TableSpec::default()
    }
}

/// A few rows of that table.
pub(crate) fn batch() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("value", DataType::Float64, true),
    ]);
    let ids = Int64Array::from_iter_values(0..ROWS);
    let values = Float64Array::from_iter_values((0..ROWS).map(|id| id as f64 / 2.0));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(values)])
        .expect("the columns are as the schema says")
}
