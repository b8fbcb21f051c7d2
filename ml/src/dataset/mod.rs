//! A data set: SQL at a pinned commit, turned into numbers and split.
//!
//! Rows lie in one matrix; the samples of each part point into it, so that windows that
//! overlap, or reach back over a border, cost nothing.
mod features;
mod fingerprint;
mod fit;
mod join;
mod keys;
mod labels;
mod normalise;
mod prepare;
mod preview;
mod read;
mod rows;
mod split;
mod suspicion;
#[cfg(test)]
mod tests;
mod warnings;
mod weigh;
mod windows;

use std::borrow::Cow;

use arrow::array::RecordBatch;
use catalog::{CommitId, Error, Result, Snapshot};
use lake::Lake;
use query::Engine;
use rayon::prelude::*;

pub use labels::Class;
pub use normalise::{Normalisation, Scale};
pub use preview::{FeaturePreview, Figures, PartPreview, Preview, RowPreview, preview};

pub(crate) use features::{is_number, to_numbers};

use crate::feedback;
use crate::manifest::{Feature, Rows};
use crate::monitor::Distribution;
use crate::spec::{DatasetSpec, JoinSpec, TrainSpec};
use prepare::{Prepared, prepare};
use split::{Side, rows_of};
use warnings::evenly;

/// Training rows that the profile is taken of, evenly out of all.
const FOR_PROFILE: usize = 100_000;

/// The rows of a training run, the same for the same SQL and commit.
#[derive(Debug)]
pub struct Dataset {
    pub(crate) commit: CommitId,
    pub(crate) features: Vec<Feature>,
    /// None where nothing is labelled.
    pub(crate) label: Option<Feature>,
    /// Empty unless classes are told apart.
    pub(crate) classes: Vec<Class>,
    /// The positions, among the features, of those that a forecast is of.
    pub(crate) targets: Vec<usize>,
    /// All rows, one after the other; NaN is a missing value. Scaled by `normalisation`.
    pub(crate) values: Vec<f32>,
    /// Rows of a sample: 1, or the length of a window.
    pub(crate) length: usize,
    /// Rows after a window that a forecast is of; 0 for other tasks.
    pub(crate) horizon: usize,
    pub(crate) normalisation: Normalisation,
    /// Of each feature over the training part, before scaling.
    pub(crate) profile: Vec<Distribution>,
    pub(crate) train: Part,
    pub(crate) validation: Part,
    pub(crate) test: Part,
    /// The first time of the test part, as text; empty where it is not cut by time.
    pub(crate) split_at: String,
    pub(crate) rows: Rows,
    /// SHA-256 over numbers, names, classes, split and scales, in hex.
    pub(crate) fingerprint: String,
    /// What is suspicious about it, each a sentence.
    pub(crate) warnings: Vec<String>,
}

/// Samples of one side of the split.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// The last row of each sample.
    pub(crate) ends: Vec<usize>,
    /// The number to learn of each sample: a class number, or the value itself. Empty where
    /// nothing is labelled.
    pub(crate) labels: Vec<f32>,
    /// How much each sample counts; empty when all count alike.
    pub(crate) weights: Vec<f32>,
}

impl Part {
    /// Samples.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl Dataset {
    /// Samples of all parts.
    pub fn len(&self) -> usize {
        self.train.len() + self.validation.len() + self.test.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 over numbers, names, classes, split and scales, in hex: equal for data sets that
    /// teach the same.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Numbers of a row.
    pub(crate) fn columns(&self) -> usize {
        self.features.len()
    }

    /// The rows of the sample that ends at row `end`: `length` x `columns` numbers.
    pub(crate) fn window(&self, end: usize) -> &[f32] {
        let columns = self.columns();
        &self.values[(end + 1 - self.length) * columns..(end + 1) * columns]
    }

    /// The rows after that sample: `horizon` x `columns` numbers.
    pub(crate) fn future(&self, end: usize) -> &[f32] {
        let columns = self.columns();
        &self.values[(end + 1) * columns..(end + 1 + self.horizon) * columns]
    }

    /// The samples `which` one after the other: each `length` x `columns` numbers.
    pub(crate) fn samples(&self, which: &[usize]) -> Cow<'_, [f32]> {
        let contiguous = which.windows(2).all(|pair| pair[1] == pair[0] + 1);
        match (which.first(), which.last()) {
            (Some(first), Some(last)) if self.length == 1 && contiguous => {
                Cow::Borrowed(&self.values[first * self.columns()..(last + 1) * self.columns()])
            }
            _ => Cow::Owned(
                which
                    .iter()
                    .flat_map(|end| self.window(*end))
                    .copied()
                    .collect(),
            ),
        }
    }

    /// Unlabelled rows of `columns` numbers without a split, for tests of trainers.
    #[cfg(test)]
    pub(crate) fn of_values(values: Vec<f32>, columns: usize) -> Dataset {
        let feature = |i: usize| Feature {
            name: format!("f{i}"),
            data_type: "Float32".into(),
        };
        Dataset {
            commit: "0".repeat(64).parse().unwrap(),
            features: (0..columns).map(feature).collect(),
            label: None,
            classes: Vec::new(),
            targets: (0..columns).collect(),
            values,
            length: 1,
            horizon: 0,
            normalisation: Normalisation::default(),
            profile: Vec::new(),
            train: Part::default(),
            validation: Part::default(),
            test: Part::default(),
            split_at: String::new(),
            rows: Rows::default(),
            fingerprint: String::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads the data set at the commit of `snapshot`.
    ///
    /// # Errors
    /// `InvalidInput` for SQL, columns, labels and splits that do not fit, saying which.
    pub async fn read(
        lake: &Lake,
        engine: &Engine,
        spec: &TrainSpec,
        snapshot: &Snapshot,
    ) -> Result<Dataset> {
        let commit = snapshot.commit().id;
        let task = spec.task();
        let spec = feedback::merged(engine, spec, commit).await?;
        let spec = &spec.dataset;
        let source = read::read(lake, engine, spec, task, snapshot).await?;
        let spec = spec.clone();
        blocking(move || {
            let prepared = prepare(source, &spec, task)?;
            let warnings = warnings::warnings(&prepared, &spec, task);
            let data = Dataset::of(prepared, &spec, commit)?;
            Ok(Dataset { warnings, ..data })
        })
        .await
    }

    /// Scales what was prepared.
    fn of(prepared: Prepared, spec: &DatasetSpec, commit: CommitId) -> Result<Dataset> {
        let Prepared {
            rows,
            sides,
            samples,
            window,
            ..
        } = prepared;
        let normalisation = Normalisation::fit(&spec.normalise, &rows, &sides);
        let part = |ends: Vec<usize>| Part {
            labels: ends
                .iter()
                .filter_map(|end| rows.labels.get(*end).copied())
                .collect(),
            ends,
            weights: Vec::new(),
        };
        let mut train = part(samples.train);
        let mut validation = part(samples.validation);
        let mut test = part(samples.test);
        let parts = [&mut train, &mut validation, &mut test];
        weigh::weigh(parts, spec.weights, &rows.weights, prepared.classes.len())?;
        let profile = profile(&rows, &sides);
        let mut values = rows.numbers;
        scale(
            &mut values,
            &normalisation,
            rows.width,
            &rows.series,
            &rows.entities,
        );
        let mut data = Dataset {
            commit,
            features: prepared.features,
            label: prepared.label,
            targets: prepared.targets,
            values,
            length: window.length,
            horizon: window.horizon,
            normalisation,
            profile,
            rows: Rows {
                train: train.len() as u64,
                validation: validation.len() as u64,
                test: test.len() as u64,
                dropped: prepared.dropped,
            },
            train,
            validation,
            test,
            classes: prepared.classes,
            split_at: prepared.split_at,
            fingerprint: String::new(),
            warnings: Vec::new(),
        };
        data.fingerprint = fingerprint::of(&data);
        Ok(data)
    }
}

/// `rows` with the columns of `joins`, as they were known at the times in the column `time`.
///
/// # Errors
/// `NotFound` and `InvalidInput` for tables and columns that are not there or do not fit.
pub(crate) async fn joined(
    lake: &Lake,
    snapshot: &Snapshot,
    joins: &[JoinSpec],
    time: Option<&str>,
    rows: RecordBatch,
) -> Result<RecordBatch> {
    let joins = join::Joins::read(lake, snapshot, (joins, time), rows.schema_ref()).await?;
    blocking(move || joins.add(rows)).await
}

/// How each feature is spread over the training rows.
fn profile(rows: &rows::Rows, sides: &[Side]) -> Vec<Distribution> {
    let learned = rows_of(sides, Side::Train);
    let taken: Vec<usize> = evenly(&learned, FOR_PROFILE)
        .map(|row| row as usize)
        .collect();
    let of = |column| taken.iter().map(move |row| rows.row(*row)[column]);
    let columns = (0..rows.width).into_par_iter();
    columns.map(|column| Distribution::of(of(column))).collect()
}

/// Scales all rows, each by what its series asks for.
fn scale(
    values: &mut [f32],
    by: &Normalisation,
    width: usize,
    series: &[u32],
    entities: &[String],
) {
    if by.scales.is_empty() {
        return;
    }
    const AT_ONCE: usize = 1 << 14;
    let chunks = values.par_chunks_mut(AT_ONCE * width).enumerate();
    chunks.for_each(|(chunk, values)| {
        if by.groups.is_empty() {
            return by.apply(values, None);
        }
        for (at, row) in values.chunks_exact_mut(width).enumerate() {
            let series = series.get(chunk * AT_ONCE + at);
            let entity = series.and_then(|series| entities.get(*series as usize));
            by.apply(row, entity.map(String::as_str));
        }
    });
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("preparing the data set broke off").with_source(e))?
}
