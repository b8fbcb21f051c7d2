//! XGBoost's training and raw prediction beside Python's package of the same version, on the
//! same data and threads.
use std::path::Path;
use std::time::Instant;

use ml::XgboostSpec;
use ml::xgboost::{Booster, Library, Samples, Trained, boost, library};

use crate::python::Python;
use crate::report::{Goals, median};
use crate::{Bench, Result};

pub(crate) const COLUMNS: usize = 30;
pub(crate) const TREES: u32 = 100;
pub(crate) const THREADS: usize = 2;
const SPEC: &str = "objective = 'binary:logistic'\nrounds = 100\nmax_depth = 6\neta = 0.1\ntree_method = 'hist'\nnthread = 2\nseed = 7";

/// Generated rows: what is learned is a noisy nonlinear rule of a few columns.
pub(crate) struct Data {
    pub(crate) values: Vec<f32>,
    pub(crate) labels: Vec<f32>,
}

/// Prints both sides of each round.
pub(crate) fn measure(bench: &Bench, goals: &mut Goals) -> Result<()> {
    let library = library()?;
    let data = Data::generate(bench.rows);
    let folder = tempfile::tempdir()?;
    let mut python = peer(folder.path(), &data)?;
    let theirs = python.hear()?;

    println!("## XGBoost training\n");
    println!(
        "{} rows x {COLUMNS} columns, of which a fifth validates, {TREES} trees of depth 6, `hist`, {THREADS} threads, from arrays in memory, both parts evaluated each round. Python xgboost {theirs}, library {}.\n",
        bench.rows,
        library.version(),
    );
    println!("| round | Python, s | Pumphouse, s | ratio |\n|---|---|---|---|");
    let spec: XgboostSpec = toml::from_str(SPEC)?;
    let mut ratios = Vec::new();
    let mut model = None;
    for round in 0..=bench.rounds {
        let theirs: f64 = python.ask("train")?.parse()?;
        let started = Instant::now();
        model = Some(train(library, &spec, &data)?);
        let ours = started.elapsed().as_secs_f64();
        // The first round warms both sides.
        if round > 0 {
            println!(
                "| {round} | {theirs:.3} | {ours:.3} | {:.3} |",
                ours / theirs
            );
            ratios.push(ours / theirs);
        }
    }
    let ratio = median(ratios);
    println!("\nMedian ratio: {ratio:.3}.\n");
    goals.at_most("XGBoost training over Python xgboost", 1.05, ratio);
    let bytes = model.ok_or("no round was trained")?.to_ubjson()?;
    let model = Trained::new(library, &bytes, COLUMNS)?;
    predict(bench, goals, &mut python, &data, &model)
}

/// Python with the same data, which it reads from files in `folder`.
pub(crate) fn peer(folder: &Path, data: &Data) -> Result<Python> {
    let file = |name: &str, numbers: &[f32]| -> Result<String> {
        let path = folder.join(name);
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        std::fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    };
    let mut arguments = vec![file("values", &data.values)?, file("labels", &data.labels)?];
    arguments.extend([COLUMNS, THREADS, TREES as usize].map(|n| n.to_string()));
    Python::start("xgboost_peer.py", &arguments)
}

impl Data {
    pub(crate) fn generate(rows: usize) -> Data {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let values: Vec<f32> = (0..rows * COLUMNS).map(|_| next()).collect();
        let label = |row: &[f32]| {
            let rule = row[0] * row[1] + (6.0 * row[2]).sin() * 0.3 - row[3] * row[4] * row[5];
            f32::from(u8::from(rule + 0.2 * (next() - 0.5) > 0.2))
        };
        let labels = values.chunks_exact(COLUMNS).map(label).collect();
        Data { values, labels }
    }
}

/// What the trainer `xgboost` does between its data set and its bytes.
fn train(library: &'static Library, spec: &XgboostSpec, data: &Data) -> Result<Booster<'static>> {
    let cut = data.labels.len() * 4 / 5;
    let (learn, check) = data.values.split_at(cut * COLUMNS);
    let (learned, checked) = data.labels.split_at(cut);
    let samples = |values, labels| Samples {
        values,
        columns: COLUMNS,
        labels,
        weights: &[],
    };
    let (learn, check) = (samples(learn, learned), samples(check, checked));
    let boosted = boost(library, spec, 2, &learn, Some(&check), &mut |_| true)?;
    Ok(boosted.ok_or("training stopped by itself")?.booster)
}

/// Prints rows a second of both, from values in memory to answers in memory.
fn predict(
    bench: &Bench,
    goals: &mut Goals,
    python: &mut Python,
    data: &Data,
    model: &Trained,
) -> Result<()> {
    println!("## XGBoost prediction\n");
    println!(
        "The same model and rows, `inplace_predict` of an array and `predict` of a `DMatrix` made of it on Python's side.\n"
    );
    println!(
        "| round | Python in place, rows/s | Python DMatrix, rows/s | Pumphouse, rows/s | over in place | over DMatrix |\n|---|---|---|---|---|---|"
    );
    let mut ratios = Vec::new();
    for round in 0..=bench.rounds {
        let in_place: f64 = python.ask("inplace")?.parse()?;
        let matrix: f64 = python.ask("predict")?.parse()?;
        let started = Instant::now();
        let answer = model.predict(&data.values)?;
        let ours = started.elapsed().as_secs_f64();
        if round == 0 {
            continue;
        }
        let rate = |seconds: f64| answer.values.len() as f64 / seconds;
        println!(
            "| {round} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
            rate(in_place),
            rate(matrix),
            rate(ours),
            in_place / ours,
            matrix / ours
        );
        ratios.push(in_place.min(matrix) / ours);
    }
    let ratio = median(ratios);
    println!("\nMedian ratio over the faster one: {ratio:.2}.\n");
    goals.at_least("prediction from memory over Python xgboost", 0.8, ratio);
    Ok(())
}
