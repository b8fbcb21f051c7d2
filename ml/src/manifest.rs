//! The model manifest: everything known about a model, as one immutable JSON object.
//!
//! Nothing in it depends on the time or the machine, so that training again at
//! the same commit with the same parameters gives the same bytes.
use std::collections::BTreeMap;

use catalog::{CommitId, Key};
use serde::{Deserialize, Serialize};

use crate::dataset::Class;
use crate::metrics::Metrics;
use crate::spec::{Task, Trainer};

/// The manifest layout this version writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

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
    /// Boosting rounds.
    pub rounds: u32,
    /// The trainer's parameters, by name.
    pub parameters: BTreeMap<String, String>,
    /// How well it does on the test part.
    pub metrics: Metrics,
}

/// The trained bytes: an immutable object of the lake's store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path, relative to the lake's base.
    pub path: String,
    /// The encoding: `xgboost-ubjson`.
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
    /// The column it predicts.
    pub label: Feature,
    /// The classes in the order of the model's outputs; empty for regression.
    /// Of two classes the second is the positive one.
    pub classes: Vec<Class>,
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
    /// The column rows were split by.
    pub time: String,
    /// Columns left out of the features.
    pub exclude: Vec<String>,
    /// The part asked for the test.
    pub test_fraction: f64,
    /// The first time of the test part, as text.
    pub split_at: String,
    /// How many rows went where.
    pub rows: Rows,
}

/// Row counts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows learned from.
    pub train: u64,
    /// Rows tested on.
    pub test: u64,
    /// Rows left out because they have no label.
    pub dropped: u64,
}
