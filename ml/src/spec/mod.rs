//! The training spec: what a TOML file says about a data set, a trainer and a model.
pub(crate) mod autoencoder;
mod dataset;
mod gru;
mod join;
mod search;
mod span;
mod tinytimemixer;
mod xgboost;

use std::fmt;

use catalog::{Error, Key, Result};
use serde::{Deserialize, Serialize};

pub use autoencoder::AutoencoderSpec;
pub use dataset::{DatasetSpec, Normalise, NormaliseSpec, Split, Weights, WindowSpec};
pub use gru::GruSpec;
pub use join::{JoinSpec, Known};
pub use search::{Range, SearchSpec};
pub use span::Span;
pub use tinytimemixer::{Freeze, Loss, TinyTimeMixerSpec};
pub use xgboost::XgboostSpec;

/// One training run, as written in a TOML file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// The catalog key the model is put under, such as `ml.pump_fault`.
    pub model: Key,
    /// What trains it.
    pub trainer: Trainer,
    /// How often intervals should hold the truth, between 0 and 1.
    #[serde(default = "default_coverage")]
    pub coverage: f64,
    /// The rows it learns from.
    pub dataset: DatasetSpec,
    /// Of the trainer `xgboost`.
    pub xgboost: Option<XgboostSpec>,
    /// Of the trainer `gru`.
    pub gru: Option<GruSpec>,
    /// Of the trainer `autoencoder`.
    pub autoencoder: Option<AutoencoderSpec>,
    /// Of the trainer `tinytimemixer`.
    pub tinytimemixer: Option<TinyTimeMixerSpec>,
    /// What `pumphouse search` tries; training once leaves it aside.
    pub search: Option<SearchSpec>,
}

/// The trainers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trainer {
    /// Gradient boosted trees, by the XGBoost C library.
    Xgboost,
    /// A recurrent network over windows.
    Gru,
    /// A network that learns to reproduce what is normal.
    Autoencoder,
    /// A forecaster that mixes patches of a window.
    TinyTimeMixer,
}

impl fmt::Display for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trainer::Xgboost => "xgboost",
            Trainer::Gru => "gru",
            Trainer::Autoencoder => "autoencoder",
            Trainer::TinyTimeMixer => "tinytimemixer",
        })
    }
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
    /// The rows after a window.
    Forecast,
    /// How unlike the normal a row or window is.
    Anomaly,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Binary => "binary",
            Task::Multiclass => "multiclass",
            Task::Regression => "regression",
            Task::Forecast => "forecast",
            Task::Anomaly => "anomaly",
        })
    }
}

impl TrainSpec {
    /// Reads and checks a spec. Errors are `InvalidInput` and name the field.
    pub fn from_toml(text: &str) -> Result<TrainSpec> {
        TrainSpec::checked(toml::from_str(text))
    }

    /// The same from a table that was read before.
    pub(crate) fn from_table(table: toml::Table) -> Result<TrainSpec> {
        TrainSpec::checked(table.try_into())
    }

    fn checked(read: Result<TrainSpec, toml::de::Error>) -> Result<TrainSpec> {
        let spec = read.map_err(|e| {
            Error::invalid(format!("the training spec cannot be read: {e}"))
                .with_hint("sql/train/pump_fault.toml is a whole example")
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// What the model is going to predict.
    pub fn task(&self) -> Task {
        match self.trainer {
            Trainer::Xgboost => self.xgboost.as_ref().map_or(Task::Regression, |x| x.task),
            Trainer::Gru => self.gru.as_ref().map_or(Task::Regression, |g| g.task),
            Trainer::Autoencoder => Task::Anomaly,
            Trainer::TinyTimeMixer => Task::Forecast,
        }
    }

    fn check(&self) -> Result<()> {
        self.dataset.check()?;
        if let Some(search) = &self.search {
            search.check()?;
        }
        let sections = [
            (Trainer::Xgboost, self.xgboost.is_some()),
            (Trainer::Gru, self.gru.is_some()),
            (Trainer::Autoencoder, self.autoencoder.is_some()),
            (Trainer::TinyTimeMixer, self.tinytimemixer.is_some()),
        ];
        for (trainer, given) in sections {
            if given != (trainer == self.trainer) {
                let wrong = if given {
                    "not the trainer of"
                } else {
                    "missing from"
                };
                return Err(invalid(format!("[{trainer}] is {wrong} this spec")));
            }
        }
        if let Some(gru) = &self.gru {
            gru.check()?;
        }
        if !(self.coverage > 0.0 && self.coverage < 1.0) {
            return Err(invalid(format!(
                "coverage is {}; it must lie between 0 and 1, such as 0.9",
                self.coverage
            )));
        }
        if let Some(tinytimemixer) = &self.tinytimemixer {
            tinytimemixer.check(&self.dataset)?;
        }
        if let Some(autoencoder) = &self.autoencoder {
            autoencoder.check(self.dataset.label.is_some())?;
        }
        let needs_label = !matches!(self.task(), Task::Forecast | Task::Anomaly);
        if needs_label && self.dataset.label.is_none() {
            return Err(invalid(
                "dataset.label is missing: name the column to predict".to_owned(),
            ));
        }
        self.dataset.check_task(self.task())
    }
}

fn default_coverage() -> f64 {
    0.9
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
        assert_eq!(spec.task(), Task::Multiclass);
        let xgboost = spec.xgboost.unwrap();
        assert_eq!(xgboost.rounds, 10);
        let parameters: Vec<_> = xgboost
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
            ("eta = 0.3", "eta = { from = 0.3 }", "xgboost.eta"),
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
