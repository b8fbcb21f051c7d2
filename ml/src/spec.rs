//! The training spec: what a TOML file says about a data set, a trainer and a model.
use std::collections::BTreeMap;
use std::fmt;

use catalog::{Error, Key, Result};
use serde::{Deserialize, Serialize};

/// The parameters the trainer sets itself, and why a spec cannot.
const RESERVED: [(&str, &str); 4] = [
    ("num_class", "it is counted from the labels"),
    ("validate_parameters", "it is always on"),
    (
        "disable_default_eval_metric",
        "every round reports a metric",
    ),
    ("process_type", "every model is trained from nothing"),
];

/// Threads of a training run whose spec names none. A fixed number, not the
/// machine's, because the bytes of a model may depend on it.
const DEFAULT_THREADS: &str = "2";

/// One training run, as written in a TOML file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// The catalog key the model is put under, such as `ml.pump_fault`.
    pub model: Key,
    /// What trains it.
    pub trainer: Trainer,
    /// The rows it learns from.
    pub dataset: DatasetSpec,
    /// XGBoost's own parameters.
    pub xgboost: XgboostSpec,
}

/// The trainers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trainer {
    /// Gradient boosted trees, by the XGBoost C library.
    Xgboost,
}

/// The rows a model learns from: SQL at one commit, split by time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// A `SELECT`; its table names without a ref are read at the pinned commit.
    pub sql: String,
    /// The ref whose commit is pinned; the branch trained on when absent.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The column rows are split by: the model learns from the past and is tested on what follows.
    pub time: String,
    /// The column to predict.
    pub label: String,
    /// Columns that are neither label nor feature, such as identifiers.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The last part in time that is kept for the test, between 0 and 1, both excluded.
    #[serde(default = "default_test_fraction")]
    pub test_fraction: f64,
}

/// XGBoost's parameters: those Pumphouse reads itself, and all of them by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct XgboostSpec {
    /// What is learned, from the objective.
    pub task: Task,
    /// Boosting rounds.
    pub rounds: u32,
    /// Every parameter handed to XGBoost, `objective`, `seed` and `nthread` included.
    pub parameters: BTreeMap<String, String>,
}

/// What a model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of two classes.
    Binary,
    /// One of several classes.
    Multiclass,
    /// A number.
    Regression,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Binary => "binary",
            Task::Multiclass => "multiclass",
            Task::Regression => "regression",
        })
    }
}

impl TrainSpec {
    /// Reads and checks a spec. Errors are `InvalidInput` and name the field.
    pub fn from_toml(text: &str) -> Result<TrainSpec> {
        let spec: TrainSpec = toml::from_str(text).map_err(|e| {
            Error::invalid(format!("the training spec cannot be read: {e}"))
                .with_hint("sql/train/pump_fault.toml is a whole example")
        })?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<()> {
        let data = &self.dataset;
        for (field, value) in [
            ("sql", &data.sql),
            ("time", &data.time),
            ("label", &data.label),
        ] {
            if value.trim().is_empty() {
                return Err(invalid(format!("dataset.{field} is empty")));
            }
        }
        if !(data.test_fraction > 0.0 && data.test_fraction < 1.0) {
            return Err(invalid(format!(
                "dataset.test_fraction is {}; it must lie between 0 and 1, such as 0.25",
                data.test_fraction
            )));
        }
        if data.time == data.label {
            return Err(invalid(format!(
                "dataset.time and dataset.label are both '{}'; they must be two columns",
                data.time
            )));
        }
        for column in [&data.time, &data.label] {
            if data.exclude.contains(column) {
                return Err(invalid(format!(
                    "dataset.exclude names '{column}', the time or label column; \
                     those are never features, so take it out of the list"
                )));
            }
        }
        Ok(())
    }
}

impl TryFrom<toml::Table> for XgboostSpec {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let rounds = take_rounds(&mut table)?;
        let mut parameters = BTreeMap::new();
        for (name, value) in table {
            if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
                return Err(format!("xgboost.{name} cannot be set: {why}"));
            }
            parameters.insert(name.clone(), parameter(&name, value)?);
        }
        let objective = parameters.get("objective").ok_or(
            "xgboost.objective is missing: say binary:logistic, multi:softprob or reg:squarederror",
        )?;
        let task = task(objective)?;
        parameters.entry("seed".into()).or_insert("0".into());
        parameters
            .entry("nthread".into())
            .or_insert(DEFAULT_THREADS.into());
        Ok(XgboostSpec {
            task,
            rounds,
            parameters,
        })
    }
}

fn take_rounds(table: &mut toml::Table) -> Result<u32, String> {
    let Some(value) = table.remove("rounds") else {
        return Err("xgboost.rounds is missing: say how many trees to grow, such as 100".into());
    };
    value
        .as_integer()
        .and_then(|rounds| u32::try_from(rounds).ok())
        .filter(|rounds| *rounds > 0)
        .ok_or_else(|| format!("xgboost.rounds is {value}; it must be a whole number above 0"))
}

fn parameter(name: &str, value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(format!(
            "xgboost.{name} is {} {other}; a parameter is a string, a number or a boolean",
            other.type_str()
        )),
    }
}

fn task(objective: &str) -> Result<Task, String> {
    match objective {
        "binary:logistic" => Ok(Task::Binary),
        "multi:softprob" => Ok(Task::Multiclass),
        "reg:squarederror"
        | "reg:squaredlogerror"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:gamma"
        | "reg:tweedie"
        | "count:poisson" => Ok(Task::Regression),
        other => Err(format!(
            "xgboost.objective is '{other}', which is not supported: say binary:logistic for two \
             classes, multi:softprob for several, reg:squarederror or another single-valued \
             regression objective for numbers"
        )),
    }
}

fn default_test_fraction() -> f64 {
    0.25
}

fn invalid(message: String) -> Error {
    Error::invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        model = "ml.pump_fault"
        trainer = "xgboost"
        [dataset]
        sql = "select * from pumps.telemetry"
        time = "ts"
        label = "fault"
        exclude = ["pump"]
        [xgboost]
        objective = "multi:softprob"
        rounds = 10
        eta = 0.3
        max_depth = 4
    "#;

    fn error(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from} is not in the example");
        let error = TrainSpec::from_toml(&GOOD.replace(from, to)).unwrap_err();
        error.to_string()
    }

    #[test]
    fn a_spec_is_read_with_its_defaults() {
        let spec = TrainSpec::from_toml(GOOD).unwrap();
        assert_eq!(spec.model.to_string(), "ml.pump_fault");
        assert_eq!(spec.dataset.test_fraction, 0.25);
        assert_eq!(spec.dataset.reference, None);
        assert_eq!(spec.xgboost.task, Task::Multiclass);
        assert_eq!(spec.xgboost.rounds, 10);
        let parameters: Vec<_> = spec
            .xgboost
            .parameters
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(
            parameters,
            [
                "eta=0.3",
                "max_depth=4",
                "nthread=2",
                "objective=multi:softprob",
                "seed=0"
            ]
        );
    }

    #[test]
    fn errors_name_the_field() {
        for (from, to, names) in [
            ("time = \"ts\"", "tme = \"ts\"", "tme"),
            ("time = \"ts\"", "", "time"),
            ("time = \"ts\"", "time = \" \"", "dataset.time"),
            ("time = \"ts\"", "time = \"fault\"", "dataset.label"),
            (
                "exclude = [\"pump\"]",
                "exclude = [\"fault\"]",
                "dataset.exclude",
            ),
            (
                "exclude = [\"pump\"]",
                "test_fraction = 1.0",
                "test_fraction",
            ),
            (
                "exclude = [\"pump\"]",
                "test_fraction = nan",
                "test_fraction",
            ),
            (
                "trainer = \"xgboost\"",
                "trainer = \"lightgbm\"",
                "lightgbm",
            ),
            (
                "model = \"ml.pump_fault\"",
                "model = \"pump fault\"",
                "pump fault",
            ),
            ("rounds = 10", "", "xgboost.rounds"),
            ("rounds = 10", "rounds = 0", "xgboost.rounds"),
            (
                "rounds = 10",
                "rounds = 10\nnum_class = 3",
                "xgboost.num_class",
            ),
            ("eta = 0.3", "eta = [0.3]", "xgboost.eta"),
            ("objective = \"multi:softprob\"", "", "xgboost.objective"),
            ("multi:softprob", "multi:softmax", "multi:softmax"),
        ] {
            let error = error(from, to);
            assert!(error.contains(names), "{to}: {error}");
        }
    }

    #[test]
    fn broken_toml_says_where() {
        let error = TrainSpec::from_toml("model = ").unwrap_err();
        assert!(error.message().contains("line 1"), "{error}");
    }
}
