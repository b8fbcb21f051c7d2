//! The model manifest: everything known about a model, as one immutable JSON object.
//!
//! Nothing in it depends on the time or the machine, so that training again at
//! the same commit with the same parameters gives the same bytes.
use std::collections::BTreeMap;

use catalog::{CommitId, Key};
use serde::{Deserialize, Serialize};

use crate::calibrate::Calibration;
use crate::dataset::{Class, Normalisation};
use crate::metrics::Metrics;
use crate::monitor::Profile;
use crate::spec::{JoinSpec, Task, Trainer};

/// The manifest layout this version writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// All that is known about one trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of this manifest.
    pub format_version: u32,
    /// The key it was trained under.
    pub model: Key,
    /// What trained it.
    pub trainer: Trainer,
    /// The version of the trainer's library, such as `3.4.1`.
    pub trainer_version: String,
    /// The version of Pumphouse that trained it.
    pub code_version: String,
    /// What it predicts.
    pub task: Task,
    /// The trained bytes.
    pub artifact: Artifact,
    /// What goes in and what comes out.
    pub signature: Signature,
    /// The rows it was trained on.
    pub lineage: Lineage,
    /// SHA-256 over the data set's numbers, names, classes, split and scales, in hex: equal
    /// where the same was learned from. Empty in models of older versions.
    #[serde(default)]
    pub fingerprint: String,
    /// How features are scaled.
    #[serde(default)]
    pub normalisation: Normalisation,
    /// What its answers are worth; none where no part of the data set was left for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Of an anomaly score: the most that is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Boosting rounds or epochs.
    pub rounds: u32,
    /// How much each feature counts, by name, where the trainer can tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub importance: BTreeMap<String, f64>,
    /// The trainer's parameters, by name.
    pub parameters: BTreeMap<String, String>,
    /// How well it does on the test part.
    pub metrics: Metrics,
    /// What its rows and answers looked like, to tell later ones from.
    #[serde(default)]
    pub profile: Profile,
    /// What came true there of what calibration promised: of intervals `coverage` and mean
    /// `width`, of probabilities `brier` and `ece`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reliability: BTreeMap<String, f64>,
}

/// The trained bytes: an immutable object of the lake's store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path, relative to the lake's base.
    pub path: String,
    /// The encoding: `xgboost-ubjson` or `safetensors`.
    pub format: String,
    /// SHA-256 of the bytes, in hex; also the object's name.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// What a model reads and what it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// The columns it reads, in the order of the model's inputs.
    pub features: Vec<Feature>,
    /// The column it predicts; none where nothing is labelled.
    pub label: Option<Feature>,
    /// The classes in the order of the model's outputs; empty for regression.
    /// Of two classes the second is the positive one.
    pub classes: Vec<Class>,
    /// The features, by name, that a forecast is of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// The columns that name a series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
    /// Rows of a sample: 1, or the length of a window.
    #[serde(default = "one")]
    pub length: usize,
    /// Rows that a forecast is of.
    #[serde(default)]
    pub horizon: usize,
}

fn one() -> usize {
    1
}

/// A column of the data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Its Arrow type when trained; any number or boolean is accepted when predicting.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Where a model's rows came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The commit the data set was read at.
    pub commit: CommitId,
    /// The data set's SQL.
    pub sql: String,
    /// Whether labels of people took the place of the SQL's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub feedback: bool,
    /// What was joined to the rows of the SQL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<JoinSpec>,
    /// The column rows were ordered by.
    pub time: Option<String>,
    /// Columns left out of the features.
    pub exclude: Vec<String>,
    /// The part asked for the test.
    pub test_fraction: f64,
    /// The first time of the test part, as text.
    pub split_at: String,
    /// How many rows went where.
    pub rows: Rows,
}

/// Sample counts of a data set; a sample is a row, or a window of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Samples learned from.
    pub train: u64,
    /// Samples that early stopping, calibration and intervals were fitted on.
    #[serde(default)]
    pub validation: u64,
    /// Samples tested on.
    pub test: u64,
    /// Rows left out because they have no label.
    pub dropped: u64,
}
