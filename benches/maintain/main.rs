//! What many small commits cost with maintenance beside them: files and manifests over
//! time, a commit at the start and at the end, and queries on the table beside the same rows
//! in one compacted table.
//!
//! Both sides of a ratio are measured in turn in one run. Prints a Markdown page. Run with
//! `make bench-maintain`; `BENCH_COMMITS` and `BENCH_ROUNDS` change the size.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use futures::FutureExt;
use lake::maintain::{CompactOptions, ExpireOptions, RetainOptions};
use lake::{Append, Lake, PartitionField, TableSpec};
use query::{Engine, EngineConfig};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// 2026-11-01T00:00:00Z in microseconds.
const START: i64 = 1_793_491_200_000_000;
const DAY: i64 = 86_400_000_000;
const ROWS_A_COMMIT: usize = 200;
const PUMPS: usize = 50;
/// Commits between two rounds of maintenance, as a minute of commits each two seconds.
const EVERY: usize = 30;

const QUERIES: [(&str, &str); 5] = [
    ("count", "select count(*) from pumps.{t}"),
    (
        "by pump",
        "select pump, avg(pressure), max(pressure) from pumps.{t} group by pump",
    ),
    (
        "one pump",
        "select avg(pressure) from pumps.{t} where pump = 'p7'",
    ),
    (
        "one hour",
        "select count(*), avg(pressure) from pumps.{t} \
         where ts >= '2026-11-02T05:00:00Z' and ts < '2026-11-02T06:00:00Z'",
    ),
    (
        "last values",
        "select pump, max(ts) from pumps.{t} group by pump order by pump",
    ),
];

#[tokio::main]
async fn main() -> Result<()> {
    let commits: usize = setting("BENCH_COMMITS", 20_000)?;
    let rounds: usize = setting("BENCH_ROUNDS", 15)?;
    let folder = tempfile::tempdir()?;
    let lake = open(folder.path()).await?;
    let key = Key::new("pumps", "small")?;
    fill(&lake, &key, commits).await?;
    copy(&lake, &key).await?;
    queries(&lake, rounds).await
}

fn setting(name: &str, default: usize) -> Result<usize> {
    Ok(match std::env::var(name) {
        Ok(text) => text.parse()?,
        Err(_) => default,
    })
}

async fn open(folder: &Path) -> Result<Lake> {
    let config = StoreConfig {
        url: folder.display().to_string(),
        ..StoreConfig::default()
    };
    Ok(Lake::new(Catalog::open(Store::open(&config).await?).await?))
}

fn spec() -> TableSpec {
    TableSpec {
        schema: schema(),
        partition: vec![PartitionField::day("ts")],
        sort: vec!["pump".into(), "ts".into()],
        bloom: vec!["pump".into()],
        ..TableSpec::default()
    }
}

fn schema() -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("ts", utc, true),
        Field::new("pump", DataType::Utf8, true),
        Field::new("pressure", DataType::Float64, true),
    ]))
}

/// The rows of commit `n` of `commits`, which cover four days.
fn rows(n: usize, commits: usize) -> Result<RecordBatch> {
    let step = 4 * DAY / (commits * ROWS_A_COMMIT) as i64;
    let numbers = (0..ROWS_A_COMMIT).map(|row| n * ROWS_A_COMMIT + row);
    let times = numbers.clone().map(|at| START + at as i64 * step);
    let pumps = numbers.clone().map(|at| format!("p{}", at % PUMPS));
    let pressures = numbers.map(|at| (at as f64 * 0.37).sin() * 5.0 + 20.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(pumps)),
        Arc::new(Float64Array::from_iter_values(pressures)),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Commits as ingest does, with a round of maintenance now and then.
async fn fill(lake: &Lake, key: &Key, commits: usize) -> Result<()> {
    let meta = CommitMeta::new("bench", "create");
    lake.create_table("main", key, &spec(), meta).await?;
    println!("## {commits} commits of {ROWS_A_COMMIT} rows\n");
    println!(
        "| commits | files | of them small | manifests | snapshots | ms a commit | ms a round |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (mut times, mut upkeep) = (Vec::new(), Vec::new());
    for n in 0..commits {
        let head = lake.catalog().head("main").await?;
        let table = lake.table(&head, key).await?;
        let started = Instant::now();
        let files = lake.write(&table, vec![rows(n, commits)?]).await?;
        let change = lake.append(vec![Append::to(&table, files)]).with_watermark(
            "bench",
            (n > 0).then_some(n as u64),
            n as u64 + 1,
        );
        let meta = CommitMeta::new("ingest", "flush").automatic();
        lake.catalog()
            .commit("main", meta, Arc::new(change))
            .await?;
        times.push(millis(started));
        if n % EVERY == EVERY - 1 {
            let started = Instant::now();
            maintain(lake, key, &CompactOptions::default()).await?;
            upkeep.push(millis(started));
        }
        if (n + 1) % (commits / 10).max(1) == 0 {
            report(lake, key, n + 1, &mut times, &mut upkeep).await?;
        }
    }
    println!();
    Ok(())
}

async fn maintain(lake: &Lake, key: &Key, options: &CompactOptions) -> Result<()> {
    let go_on = || futures::future::ready(true).boxed();
    lake.compact("main", key, options, "maintain", &go_on)
        .await?;
    Ok(())
}

async fn report(
    lake: &Lake,
    key: &Key,
    commits: usize,
    times: &mut Vec<f64>,
    upkeep: &mut Vec<f64>,
) -> Result<()> {
    let table = lake.table(&lake.catalog().head("main").await?, key).await?;
    let expire = ExpireOptions {
        older_than: Duration::from_secs(3600),
        keep: 10,
    };
    let options = CompactOptions::default();
    let retain = RetainOptions::default();
    let status = lake.maintenance_status(&table, &options, expire, retain);
    let status = status.await?;
    println!(
        "| {commits} | {} | {} | {} | {} | {:.2} | {:.1} |",
        status.files,
        status.small_files,
        status.manifests,
        status.snapshots,
        median(std::mem::take(times)),
        median(std::mem::take(upkeep)),
    );
    Ok(())
}

/// The same rows in a table of their own, fully compacted.
async fn copy(lake: &Lake, key: &Key) -> Result<()> {
    let engine = engine(lake);
    let copy = Key::new("pumps", "whole")?;
    let meta = CommitMeta::new("bench", "create");
    lake.create_table("main", &copy, &spec(), meta).await?;
    let sql = format!("select * from {key}");
    let (_, rows) = engine.collect(&sql, None).await?;
    let meta = CommitMeta::new("bench", "copy");
    lake.append_batches("main", &copy, rows, meta).await?;
    let full = CompactOptions {
        full: true,
        ..CompactOptions::default()
    };
    maintain(lake, &copy, &full).await
}

fn engine(lake: &Lake) -> Engine {
    Engine::new(lake.clone(), None, EngineConfig::default())
}

async fn queries(lake: &Lake, rounds: usize) -> Result<()> {
    let engine = engine(lake);
    println!("## Queries, medians of {rounds} in turn\n");
    println!("| query | small commits, ms | one compacted table, ms | ratio |");
    println!("|---|---|---|---|");
    for (name, sql) in QUERIES {
        let [small, whole] = ["small", "whole"].map(|table| sql.replace("{t}", table));
        let (mut small_times, mut whole_times) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            for (sql, times) in [(&small, &mut small_times), (&whole, &mut whole_times)] {
                let started = Instant::now();
                engine.collect(sql, None).await?;
                // The first round fills the caches of both.
                times.extend((round > 0).then(|| millis(started)));
            }
        }
        let (small, whole) = (median(small_times), median(whole_times));
        println!(
            "| {name} | {small:.2} | {whole:.2} | {:.2} |",
            small / whole
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn millis(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1_000.0
}
