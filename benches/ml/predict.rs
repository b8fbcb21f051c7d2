//! `predict()` in SQL over a table's Parquet files, beside Python's prediction of the same rows
//! in memory.
use std::time::Instant;

use futures::TryStreamExt;
use query::QueryOptions;

use crate::lake::{self, MODEL, TABLE};
use crate::report::{Goals, median};
use crate::xgboost::{COLUMNS, Data, THREADS, TREES, peer};
use crate::{Bench, Result};

/// Prints rows a second of both.
pub(crate) async fn measure(bench: &Bench, goals: &mut Goals) -> Result<()> {
    let data = Data::generate(bench.rows);
    let folder = tempfile::tempdir()?;
    let mut python = peer(folder.path(), &data)?;
    let theirs = python.hear()?;
    python.ask("train")?;
    let engine = lake::trained(&folder.path().join("lake"), &data).await?;
    println!("## predict() in SQL\n");
    println!(
        "{} rows x {COLUMNS} columns, {TREES} trees of depth 6, {THREADS} threads. Pumphouse reads the table's Parquet files and hands out each answer with its probability; Python xgboost {theirs} has the rows as an array, in place or made a `DMatrix`.\n",
        bench.rows
    );
    println!(
        "| round | Python in place, rows/s | Python DMatrix, rows/s | SQL, rows/s | over the faster |\n|---|---|---|---|---|"
    );
    let sql = format!(
        "select n, predict('{MODEL}', {}) as answer from {TABLE}",
        lake::features()
    );
    let mut ratios = Vec::new();
    for round in 0..=bench.rounds {
        let in_place: f64 = python.ask("inplace")?.parse()?;
        let matrix: f64 = python.ask("predict")?.parse()?;
        let started = Instant::now();
        let result = engine.query(&sql, &QueryOptions::default()).await?;
        let batches: Vec<_> = result.stream.try_collect().await?;
        let ours = started.elapsed().as_secs_f64();
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        if rows != bench.rows {
            return Err(format!("{rows} rows came of {}", bench.rows).into());
        }
        // The first round warms both sides.
        if round == 0 {
            continue;
        }
        let rate = |seconds: f64| rows as f64 / seconds;
        let ratio = in_place.min(matrix) / ours;
        println!(
            "| {round} | {:.0} | {:.0} | {:.0} | {ratio:.2} |",
            rate(in_place),
            rate(matrix),
            rate(ours),
        );
        ratios.push(ratio);
    }
    let ratio = median(ratios);
    println!("\nMedian ratio: {ratio:.2}.\n");
    goals.at_least("predict() in SQL over Python xgboost", 0.8, ratio);
    Ok(())
}
