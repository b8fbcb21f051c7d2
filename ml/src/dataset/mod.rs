//! A data set: SQL at a pinned commit, turned into numbers and split by time.
mod features;
mod labels;
mod read;
mod split;

use catalog::{CommitId, Result, Snapshot};
use lake::Lake;
use query::Engine;

pub use labels::Class;

pub(crate) use features::{is_number, to_numbers};

use crate::manifest::{Feature, Rows};
use crate::spec::{DatasetSpec, Task};

/// The rows of a training run, the same for the same SQL and commit.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) commit: CommitId,
    pub(crate) features: Vec<Feature>,
    pub(crate) label: Feature,
    /// Empty for regression.
    pub(crate) classes: Vec<Class>,
    pub(crate) train: Part,
    pub(crate) test: Part,
    /// The first time of the test part, as text.
    pub(crate) split_at: String,
    pub(crate) rows: Rows,
}

/// One side of the split.
#[derive(Debug)]
pub(crate) struct Part {
    /// Features, one row after the other; NaN is a missing value.
    pub(crate) values: Vec<f32>,
    /// Values per row.
    pub(crate) columns: usize,
    /// The number to learn of each row: a class number, or the value itself.
    pub(crate) labels: Vec<f32>,
}

impl Dataset {
    /// Reads the data set at the commit of `snapshot`.
    pub(crate) async fn read(
        lake: &Lake,
        engine: &Engine,
        spec: &DatasetSpec,
        task: Task,
        snapshot: &Snapshot,
    ) -> Result<Dataset> {
        let commit = snapshot.commit().id;
        let rows = read::rows(lake, engine, &spec.sql, commit).await?;
        let columns = features::Columns::of(rows.schema_ref(), spec)?;
        let (rows, dropped) = labels::with_label(&rows, columns.label)?;
        let rows = split::in_order(&rows, &columns)?;
        let labels = labels::encode(rows.column(columns.label), &spec.label, task)?;
        let split = split::split(rows.column(columns.time), &spec.time, spec.test_fraction)?;
        let learned = labels.values.get(..split.train).unwrap_or_default();
        labels::check_train_part(learned, task, &labels.classes)?;

        let schema = rows.schema();
        let describe = |index: usize| Feature {
            name: schema.field(index).name().clone(),
            data_type: schema.field(index).data_type().to_string(),
        };
        let part = |start: usize, length: usize| -> Result<Part> {
            let rows = rows.slice(start, length);
            Ok(Part {
                values: to_numbers(&rows, &columns.features)?,
                columns: columns.features.len(),
                labels: labels.values[start..start + length].to_vec(),
            })
        };
        let test = rows.num_rows() - split.train;
        Ok(Dataset {
            commit,
            features: columns.features.iter().map(|i| describe(*i)).collect(),
            label: describe(columns.label),
            train: part(0, split.train)?,
            test: part(split.train, test)?,
            classes: labels.classes,
            split_at: split.at,
            rows: Rows {
                train: split.train as u64,
                test: test as u64,
                dropped,
            },
        })
    }
}
