//! A data set: SQL at a pinned commit, turned into numbers and split.
//!
//! Rows lie in one matrix; the samples of each part point into it, so that windows that
//! overlap, or reach back over a border, cost nothing.
mod features;
mod labels;
mod normalise;
mod read;
mod split;

use std::borrow::Cow;

use catalog::{CommitId, Result, Snapshot};
use lake::Lake;
use query::Engine;

pub use labels::Class;
pub use normalise::{Normalisation, Scale};

pub(crate) use features::{is_number, to_numbers};

use crate::manifest::{Feature, Rows};
use crate::monitor::Distribution;
use crate::spec::TrainSpec;

/// The rows of a training run, the same for the same SQL and commit.
#[derive(Debug)]
pub(crate) struct Dataset {
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
        }
    }

    /// Reads the data set at the commit of `snapshot`.
    pub(crate) async fn read(
        lake: &Lake,
        engine: &Engine,
        spec: &TrainSpec,
        snapshot: &Snapshot,
    ) -> Result<Dataset> {
        let commit = snapshot.commit().id;
        let task = spec.task();
        let spec = &spec.dataset;
        let rows = read::rows(lake, engine, &spec.sql, commit).await?;
        let columns = features::Columns::of(rows.schema_ref(), spec)?;
        let (rows, dropped) = match columns.label {
            Some(label) => labels::with_label(&rows, label)?,
            None => (rows, 0),
        };
        let rows = split::in_order(&rows, &columns)?;
        let labels = match (columns.label, &spec.label) {
            (Some(label), Some(name)) => labels::encode(rows.column(label), name, task)?,
            _ => labels::Labels::default(),
        };
        let cut = split::cut(&rows, &columns, spec)?;
        let learned = labels.values.get(..cut.validation).unwrap_or_default();
        labels::check_train_part(learned, task, &labels.classes)?;

        let schema = rows.schema();
        let describe = |index: usize| Feature {
            name: schema.field(index).name().clone(),
            data_type: schema.field(index).data_type().to_string(),
        };
        let part = |range: std::ops::Range<usize>| Part {
            labels: labels
                .values
                .get(range.clone())
                .unwrap_or_default()
                .to_vec(),
            ends: range.collect(),
            weights: Vec::new(),
        };
        let count = rows.num_rows();
        let values = to_numbers(&rows, &columns.features)?;
        let profile = profile(&values, columns.features.len(), cut.validation);
        Ok(Dataset {
            commit,
            features: columns.features.iter().map(|i| describe(*i)).collect(),
            label: columns.label.map(describe),
            targets: (0..columns.features.len()).collect(),
            values,
            length: 1,
            horizon: 0,
            normalisation: Normalisation::default(),
            profile,
            train: part(0..cut.validation),
            validation: part(cut.validation..cut.test),
            test: part(cut.test..count),
            classes: labels.classes,
            split_at: cut.at,
            rows: Rows {
                train: cut.validation as u64,
                validation: (cut.test - cut.validation) as u64,
                test: (count - cut.test) as u64,
                dropped,
            },
        })
    }
}

/// How each of `columns` is spread over the first `rows` rows of `values`.
fn profile(values: &[f32], columns: usize, rows: usize) -> Vec<Distribution> {
    let of = |column| (0..rows).map(move |row| values[row * columns + column]);
    (0..columns)
        .map(|column| Distribution::of(of(column)))
        .collect()
}
