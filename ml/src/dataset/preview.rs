//! What a data set looks like before anything is trained on it.
use catalog::{CommitId, Result};
use lake::Lake;
use query::Engine;
use rayon::prelude::*;
use serde::Serialize;

use super::fit::{self, Column};
use super::labels::Class;
use super::prepare::{Prepared, prepare};
use super::rows::Rows;
use super::split::{Side, rows_of};
use super::warnings::{evenly, warnings};
use super::{Dataset, blocking, read};
use crate::manifest::Feature;
use crate::spec::{Task, TrainSpec};

/// Rows that quantiles are taken of, evenly out of all.
const FOR_QUANTILES: usize = 1_000_000;

/// A data set at a glance; features are as they are in the lake, not scaled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// The commit it was read at.
    pub commit: CommitId,
    /// SHA-256 over its numbers, names, classes, split and scales, in hex.
    pub fingerprint: String,
    /// What a model is to predict.
    pub task: Task,
    /// The label's name, where there is one.
    pub label: Option<String>,
    /// The features, by name, that a forecast is of; empty for other tasks.
    pub targets: Vec<String>,
    /// Rows of a sample.
    pub length: usize,
    /// Rows of a forecast; 0 for other tasks.
    pub horizon: usize,
    /// Series there are; 0 where no column names them.
    pub series: usize,
    /// Rows left out because they have no label.
    pub dropped: u64,
    /// Training, validation and test.
    pub parts: Vec<PartPreview>,
    /// Each feature over the rows of the training part.
    pub features: Vec<FeaturePreview>,
    /// The last rows of the first training samples.
    pub rows: Vec<RowPreview>,
    /// What is suspicious, each a sentence.
    pub warnings: Vec<String>,
}

/// One part of the split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartPreview {
    /// `train`, `validation` or `test`.
    pub name: &'static str,
    /// Rows or windows to learn from or judge by.
    pub samples: usize,
    /// The earliest and the latest time of their last rows, as text; none without a time.
    pub span: Option<[String; 2]>,
    /// Series with a sample; 0 where no column names them.
    pub series: usize,
    /// Samples of each class; empty where none are told apart.
    pub classes: Vec<(Class, u64)>,
    /// The labels as numbers; none where they are classes or there are none.
    pub label: Option<Figures>,
}

/// Numbers at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Their mean.
    pub mean: f64,
    /// The population's standard deviation.
    pub deviation: f64,
    /// The smallest.
    pub min: f64,
    /// At 25, 50 and 75 %; from a million of them where there are more.
    pub quartiles: [f64; 3],
    /// The largest.
    pub max: f64,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeaturePreview {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The part of rows without a value, 0 to 1.
    pub missing: f64,
    /// Its values; none where there are none.
    pub values: Option<Figures>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowPreview {
    /// Its time, as text; empty without one.
    pub time: String,
    /// Its series; none where no column names them.
    pub entity: Option<String>,
    /// Its label; none where nothing is labelled.
    pub label: Option<String>,
    /// Its features; none for what is missing.
    pub values: Vec<Option<f32>>,
}

/// Reads the data set of `spec` at `reference`, or else at the ref the spec names or the
/// default branch, and looks at it; `shown` rows are shown.
///
/// # Errors
/// Those of [`crate::train`] about a ref or a data set.
pub async fn preview(
    lake: &Lake,
    engine: &Engine,
    spec: &TrainSpec,
    reference: Option<&str>,
    shown: usize,
) -> Result<Preview> {
    let named = reference.or(spec.dataset.reference.as_deref());
    let reference = named.unwrap_or(&engine.config().default_branch);
    let snapshot = lake.catalog().resolve(reference).await?;
    let commit = snapshot.commit().id;
    let task = spec.task();
    let source = read::read(lake, engine, &spec.dataset, task, &snapshot).await?;
    let spec = spec.dataset.clone();
    blocking(move || {
        let prepared = prepare(source, &spec, task)?;
        let mut preview = look(&prepared, task, commit, shown)?;
        preview.warnings = warnings(&prepared, &spec, task);
        preview.fingerprint = Dataset::of(prepared, &spec, commit)?.fingerprint;
        Ok(preview)
    })
    .await
}

fn look(data: &Prepared, task: Task, commit: CommitId, shown: usize) -> Result<Preview> {
    let samples = &data.samples;
    let parts = [
        ("train", &samples.train),
        ("validation", &samples.validation),
        ("test", &samples.test),
    ];
    let parts = parts.map(|(name, ends)| part(data, name, ends));
    let targets = data.targets.iter().filter(|_| task == Task::Forecast);
    let first = samples.train.iter().take(shown);
    Ok(Preview {
        commit,
        fingerprint: String::new(),
        task,
        label: data.label.as_ref().map(|label| label.name.clone()),
        targets: targets.map(|at| data.features[*at].name.clone()).collect(),
        length: data.window.length,
        horizon: data.window.horizon,
        series: data.rows.entities.len(),
        dropped: data.dropped,
        parts: parts.into_iter().collect::<Result<_>>()?,
        features: features(data),
        rows: first.map(|end| row(data, *end)).collect::<Result<_>>()?,
        warnings: Vec::new(),
    })
}

fn part(data: &Prepared, name: &'static str, ends: &[usize]) -> Result<PartPreview> {
    let rows = &data.rows;
    let time = |end: &&usize| rows.times.get(**end).copied();
    let (first, last) = (ends.iter().min_by_key(time), ends.iter().max_by_key(time));
    let span = match (first, last) {
        (Some(first), Some(last)) if rows.shown.is_some() => {
            Some([rows.time_of(*first)?, rows.time_of(*last)?])
        }
        _ => None,
    };
    let mut series: Vec<u32> = ends
        .iter()
        .filter_map(|end| rows.series.get(*end).copied())
        .collect();
    series.sort_unstable();
    series.dedup();
    let labels: Vec<f32> = ends
        .iter()
        .filter_map(|end| rows.labels.get(*end).copied())
        .collect();
    let mut classes: Vec<(Class, u64)> = data.classes.iter().map(|c| (c.clone(), 0)).collect();
    if !classes.is_empty() {
        labels
            .iter()
            .for_each(|class| classes[*class as usize].1 += 1);
    }
    let numbers = Rows {
        count: labels.len(),
        width: 1,
        numbers: labels,
        ..Rows::default()
    };
    let all: Vec<u32> = (0..numbers.count as u32).collect();
    let numeric = data.classes.is_empty() && !all.is_empty();
    let column = numeric.then(|| fit::columns(&numbers, &all, false));
    let label = column.and_then(|columns| figures(&numbers, &all, 0, columns.first()?));
    Ok(PartPreview {
        name,
        samples: ends.len(),
        span,
        series: series.len(),
        classes,
        label,
    })
}

/// All features over the training rows.
fn features(data: &Prepared) -> Vec<FeaturePreview> {
    let rows = &data.rows;
    let learned = rows_of(&data.sides, Side::Train);
    let columns = fit::columns(rows, &learned, false);
    let features = data.features.par_iter().zip(&columns).enumerate();
    let look = |(at, (feature, column)): (usize, (&Feature, &Column))| FeaturePreview {
        name: feature.name.clone(),
        data_type: feature.data_type.clone(),
        missing: 1.0 - column.count as f64 / learned.len().max(1) as f64,
        values: figures(rows, &learned, at, column),
    };
    features.map(look).collect()
}

/// Of the values of `column` in the rows at `at`; none where there are none.
fn figures(rows: &Rows, at: &[u32], column: usize, of: &Column) -> Option<Figures> {
    let values = evenly(at, FOR_QUANTILES).map(|row| rows.row(row as usize)[column]);
    let values: Vec<f32> = values.filter(|value| !value.is_nan()).collect();
    (!values.is_empty()).then(|| Figures {
        mean: of.mean,
        deviation: of.deviation,
        min: of.min,
        quartiles: fit::quartiles(values),
        max: of.max,
    })
}

fn row(data: &Prepared, end: usize) -> Result<RowPreview> {
    let rows = &data.rows;
    let label = rows
        .labels
        .get(end)
        .map(|label| match data.classes.get(*label as usize) {
            Some(class) => class.to_string(),
            None => label.to_string(),
        });
    let values = rows.row(end).iter();
    Ok(RowPreview {
        time: rows.time_of(end)?,
        entity: rows.entity_of(end).map(str::to_owned),
        label,
        values: values
            .map(|value| (!value.is_nan()).then_some(*value))
            .collect(),
    })
}
