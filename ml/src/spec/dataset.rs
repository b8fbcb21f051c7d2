//! `[dataset]`: which rows a model learns from, and how they are cut, weighed and scaled.
use catalog::Result;
use serde::{Deserialize, Serialize};

use super::{JoinSpec, Task, invalid};

/// The rows a model learns from: SQL at one commit, split so that it is judged on rows it
/// has not seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// A `SELECT`; its table names without a ref are read at the pinned commit.
    pub sql: String,
    /// The ref whose commit is pinned; the branch trained on when absent.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The column that orders rows: needed to split by time and for windows.
    pub time: Option<String>,
    /// The column to predict; none for forecasts, and for anomalies without labels.
    pub label: Option<String>,
    /// The columns whose future a forecast is of; all features when empty.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Whether labels that people gave, in `ml.labels`, take the place of the SQL's: by `group`
    /// and `time`, the newest of each row.
    #[serde(default)]
    pub feedback: bool,
    /// Columns that are neither label nor feature, such as identifiers.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The columns that name a series, such as the pump: windows stay within one.
    #[serde(default)]
    pub group: Vec<String>,
    /// How rows are dealt out to training, validation and test.
    #[serde(default)]
    pub split: Split,
    /// The column a split of kind `column` reads: `train`, `validation`, `test`, or null.
    pub split_column: Option<String>,
    /// The part that is kept for the test, between 0 and 1, both excluded.
    #[serde(default = "default_test_fraction")]
    pub test_fraction: f64,
    /// The part that early stopping, calibration and intervals are fitted on, of the rows
    /// before the test; 0 leaves it out, and with it intervals.
    #[serde(default = "default_validation_fraction")]
    pub validation_fraction: f64,
    /// Of a random split.
    #[serde(default)]
    pub split_seed: u64,
    /// How much each row counts.
    #[serde(default)]
    pub weights: Weights,
    /// The column a weighting of kind `column` reads.
    pub weight_column: Option<String>,
    /// How features are scaled; fitted on training rows, kept in the model.
    #[serde(default)]
    pub normalise: NormaliseSpec,
    /// Columns of other tables as they were known at the time of each row.
    #[serde(default)]
    pub join: Vec<JoinSpec>,
    /// Samples of several rows each; one row each when absent.
    pub window: Option<WindowSpec>,
}

/// How rows are dealt out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Training first, then validation, then the test, by `time`: never shuffled.
    #[default]
    Time,
    /// Whole series, dealt out by a hash of their `group`.
    Group,
    /// Row by row, by a seeded shuffle: for rows that do not depend on each other.
    Random,
    /// As a column says.
    Column,
}

/// How much rows count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// All alike.
    #[default]
    None,
    /// Each class alike: a row counts rows / (classes * rows of its class).
    Balanced,
    /// As a column says.
    Column,
}

/// How features are scaled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormaliseSpec {
    /// By what.
    #[serde(default)]
    pub method: Normalise,
    /// One scale for all features together, as for a row that is one curve.
    #[serde(default)]
    pub global: bool,
    /// A scale of its own for each value of `dataset.group`; a series that training has not
    /// seen has that of all rows.
    #[serde(default)]
    pub per_group: bool,
}

/// Methods of scaling a feature x.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// x.
    #[default]
    None,
    /// (x - mean) / standard deviation.
    Standard,
    /// (x - min) / (max - min).
    MinMax,
    /// (x - median) / (75th - 25th percentile).
    Robust,
}

/// Samples of several rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Rows of a sample; its label is that of its last row.
    pub length: usize,
    /// Rows from the end of a sample that is learned from to that of the next one; validation,
    /// test and predictions take every window.
    #[serde(default = "one")]
    pub stride: usize,
    /// Rows after the window that a forecast is of; 0 for other tasks.
    #[serde(default)]
    pub horizon: usize,
}

impl DatasetSpec {
    pub(super) fn check(&self) -> Result<()> {
        let named = [("time", &self.time), ("label", &self.label)];
        if self.sql.trim().is_empty() {
            return Err(invalid("dataset.sql is empty".to_owned()));
        }
        for (field, value) in named {
            if value.as_ref().is_some_and(|v| v.trim().is_empty()) {
                return Err(invalid(format!("dataset.{field} is empty")));
            }
        }
        for join in &self.join {
            join.check(self.time.as_deref())?;
        }
        fraction("test_fraction", self.test_fraction, f64::MIN_POSITIVE)?;
        fraction("validation_fraction", self.validation_fraction, 0.0)?;
        if self.time.is_some() && self.time == self.label {
            return Err(invalid(format!(
                "dataset.time and dataset.label are both '{}'; they must be two columns",
                self.time.as_deref().unwrap_or_default()
            )));
        }
        if self.feedback && (self.time.is_none() || self.label.is_none()) {
            return Err(invalid(
                "dataset.feedback takes labels from ml.labels by time: name dataset.time and \
                 dataset.label"
                    .to_owned(),
            ));
        }
        for column in self.time.iter().chain(&self.label) {
            if self.exclude.contains(column) {
                return Err(invalid(format!(
                    "dataset.exclude names '{column}', the time or label column; \
                     those are never features, so take it out of the list"
                )));
            }
        }
        if self.time.is_none() && (self.split == Split::Time || self.window.is_some()) {
            return Err(invalid(
                "dataset.time is missing: name the column that orders the rows, \
                 or say dataset.split = \"random\""
                    .to_owned(),
            ));
        }
        self.check_columns()?;
        self.check_window()
    }

    /// Each choice needs its column, and a column is named for its choice alone.
    fn check_columns(&self) -> Result<()> {
        let by_column = self.split == Split::Column;
        let weighted = self.weights == Weights::Column;
        for (chosen, choice, column, named) in [
            (
                by_column,
                "dataset.split",
                "split_column",
                &self.split_column,
            ),
            (
                weighted,
                "dataset.weights",
                "weight_column",
                &self.weight_column,
            ),
        ] {
            if chosen != named.is_some() {
                let said = if chosen { "is" } else { "is not" };
                let there = if chosen { "missing" } else { "given" };
                return Err(invalid(format!(
                    "dataset.{column} is {there}, and {choice} {said} \"column\""
                )));
            }
        }
        for (chosen, what) in [
            (self.split == Split::Group, "dataset.split = \"group\""),
            (self.normalise.per_group, "dataset.normalise.per_group"),
        ] {
            if chosen && self.group.is_empty() {
                return Err(invalid(format!(
                    "{what} needs dataset.group: name the columns that tell series apart"
                )));
            }
        }
        Ok(())
    }

    fn check_window(&self) -> Result<()> {
        let Some(window) = self.window else {
            return Ok(());
        };
        if window.length == 0 || window.stride == 0 {
            return Err(invalid(
                "dataset.window.length and stride are numbers of rows, from 1 on".to_owned(),
            ));
        }
        if self.split == Split::Random && window.length + window.horizon > 1 {
            return Err(invalid(
                "dataset.split is \"random\", and windows share their rows with their neighbours: \
                 what is learned would be in the test as well. Say \"time\", \"group\" or \"column\""
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// What a task asks of a data set beyond that.
    pub(super) fn check_task(&self, task: Task) -> Result<()> {
        let horizon = self.window.map_or(0, |window| window.horizon);
        let forecast = task == Task::Forecast;
        let classes = matches!(task, Task::Binary | Task::Multiclass);
        let wrong = match () {
            () if forecast && horizon == 0 => {
                "dataset.window.horizon is missing: say how many rows a forecast is of"
            }
            () if !forecast && horizon > 0 => {
                "dataset.window.horizon is for forecasts; leave it out"
            }
            () if !forecast && !self.targets.is_empty() => {
                "dataset.targets is for forecasts; what else is predicted is dataset.label"
            }
            () if forecast && self.label.is_some() => {
                "dataset.label has no use in a forecast: name the columns it is of in \
                 dataset.targets"
            }
            () if !classes && self.weights == Weights::Balanced => {
                "dataset.weights = \"balanced\" is for classes; name a weight_column instead"
            }
            () => return Ok(()),
        };
        Err(invalid(wrong.to_owned()))
    }
}

fn fraction(field: &str, value: f64, least: f64) -> Result<()> {
    if value >= least && value < 1.0 {
        return Ok(());
    }
    Err(invalid(format!(
        "dataset.{field} is {value}; it must lie between 0 and 1, such as 0.25"
    )))
}

fn default_test_fraction() -> f64 {
    0.25
}

fn default_validation_fraction() -> f64 {
    0.2
}

fn one() -> usize {
    1
}
