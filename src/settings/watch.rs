//! Settings of how models are watched and kept up to date by the role `ml`.

use std::path::PathBuf;
use std::time::Duration;

use catalog::{Error, Key, Result};
use ml::TrainSpec;
use ml::monitor::{Metric, Watch};
use ml::retrain::{Accept, Plan, Trigger};
use serde::{Deserialize, Serialize};

use super::units;

/// How models of `main` are watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MonitorSettings {
    /// Pause between two looks at a model.
    #[serde(with = "units::duration")]
    pub(crate) every: Duration,
    /// Models to watch besides those that score rows or are trained again.
    pub(crate) models: Vec<Key>,
    /// How far back from the newest row rows are recent.
    #[serde(with = "units::duration")]
    pub(crate) window: Duration,
    /// With fewer rows nothing is concluded.
    pub(crate) min_rows: usize,
    /// Of more rows the newest are looked at.
    pub(crate) max_rows: usize,
    /// Population stability index from which a feature has drifted.
    pub(crate) psi: f64,
    /// Share of drifted features that raises an alert.
    pub(crate) drift: f64,
    /// Mean absolute percentage error, as a share, that does.
    pub(crate) mape: f64,
    /// Loss of accuracy against the test that does.
    pub(crate) accuracy_loss: f64,
    /// The 95th percentile of answers' times that does.
    #[serde(with = "units::duration")]
    pub(crate) latency: Duration,
    /// Share of failed requests that does.
    pub(crate) errors: f64,
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15 * 60),
            models: Vec::new(),
            window: Duration::from_secs(7 * 86_400),
            min_rows: 200,
            max_rows: 100_000,
            psi: 0.2,
            drift: 0.15,
            mape: 0.2,
            accuracy_loss: 0.1,
            latency: Duration::from_secs(2),
            errors: 0.05,
        }
    }
}

/// One model that is trained again by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetrainSettings {
    /// The model, as its training spec names it.
    pub(crate) model: Key,
    /// The training spec.
    pub(crate) spec: PathBuf,
    /// What sets a training off.
    #[serde(default = "any_trigger")]
    pub(crate) on: Vec<Trigger>,
    /// Time between trainings, of `schedule`.
    #[serde(default = "week", with = "units::duration")]
    pub(crate) every: Duration,
    /// New labels, of `labels`.
    #[serde(default = "hundred")]
    pub(crate) min_labels: u64,
    /// No training for so long after one.
    #[serde(default = "day", with = "units::duration")]
    pub(crate) cool_down: Duration,
    /// What models are compared by; the usual one of the task when absent.
    #[serde(default)]
    pub(crate) metric: Option<Metric>,
    /// Resampled differences behind the interval.
    #[serde(default = "thousand")]
    pub(crate) samples: u32,
    /// When the challenger takes over.
    #[serde(default)]
    pub(crate) accept: Accept,
    /// How long the branch of one that did not is kept.
    #[serde(default = "week", with = "units::duration")]
    pub(crate) keep: Duration,
    /// A training that has left no word for so long has broken off.
    #[serde(default = "quarter_day", with = "units::duration")]
    pub(crate) timeout: Duration,
}

fn any_trigger() -> Vec<Trigger> {
    vec![Trigger::Schedule, Trigger::Drift, Trigger::Labels]
}

fn week() -> Duration {
    Duration::from_secs(7 * 86_400)
}

fn day() -> Duration {
    Duration::from_secs(86_400)
}

fn quarter_day() -> Duration {
    Duration::from_secs(6 * 3600)
}

fn hundred() -> u64 {
    100
}

fn thousand() -> u32 {
    1_000
}

impl MonitorSettings {
    /// How a model is watched.
    pub(crate) fn watch(&self) -> Watch {
        Watch {
            window: self.window,
            min_rows: self.min_rows,
            max_rows: self.max_rows,
            psi: self.psi,
            drift: self.drift,
            mape: self.mape,
            accuracy_loss: self.accuracy_loss,
            latency: self.latency,
            errors: self.errors,
        }
    }
}

impl RetrainSettings {
    /// `spec` trained again for `model`, all else at its default.
    pub(crate) fn of(model: Key, spec: PathBuf) -> Self {
        Self {
            model,
            spec,
            on: any_trigger(),
            every: week(),
            min_labels: hundred(),
            cool_down: day(),
            metric: None,
            samples: thousand(),
            accept: Accept::default(),
            keep: week(),
            timeout: quarter_day(),
        }
    }

    /// The plan, with the spec as its file has it now.
    ///
    /// # Errors
    /// `InvalidInput` for a file that cannot be read, that is no spec, or of another model.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let text = std::fs::read_to_string(&self.spec).map_err(|e| {
            Error::invalid(format!("cannot read {}", self.spec.display()))
                .with_hint(
                    "ml.retrain.spec names a training spec; `pumphouse train --help` shows one",
                )
                .with_source(e)
        })?;
        let spec = TrainSpec::from_toml(&text)?;
        if spec.model != self.model {
            return Err(Error::invalid(format!(
                "{} trains {}, and ml.retrain says {}",
                self.spec.display(),
                spec.model,
                self.model
            )));
        }
        Ok(Plan {
            spec,
            on: self.on.clone(),
            every: self.every,
            min_labels: self.min_labels,
            cool_down: self.cool_down,
            metric: self.metric,
            samples: self.samples,
            accept: self.accept,
            keep: self.keep,
            timeout: self.timeout,
        })
    }
}
