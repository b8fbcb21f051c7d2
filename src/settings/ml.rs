//! Settings of the role `ml`: where XGBoost is, and what becomes of models at work.

use std::path::PathBuf;

use catalog::{Error, Key, Result};
use serde::{Deserialize, Serialize};

use super::score::{self, ScoreSettings, ServeSettings};
use super::units;
use super::watch::{MonitorSettings, RetrainSettings};

/// Training, prediction and what follows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MlSettings {
    /// Path of `libxgboost.so`; empty means the usual places.
    #[serde(with = "units::optional")]
    pub(crate) xgboost_library: Option<PathBuf>,
    pub(crate) serve: ServeSettings,
    /// Models that score rows as they arrive.
    pub(crate) score: Vec<ScoreSettings>,
    pub(crate) monitor: MonitorSettings,
    /// The models that are trained again by themselves.
    pub(crate) retrain: Vec<RetrainSettings>,
}

impl MlSettings {
    /// Every model that is watched, once.
    pub(crate) fn watched(&self) -> Vec<Key> {
        let scored = self.score.iter().map(|it| &it.model);
        let retrained = self.retrain.iter().map(|it| &it.model);
        let mut models: Vec<Key> = self
            .monitor
            .models
            .iter()
            .chain(scored)
            .chain(retrained)
            .cloned()
            .collect();
        models.sort();
        models.dedup();
        models
    }

    pub(super) fn validate(&self) -> Result<()> {
        score::validate(&self.serve, &self.score)?;
        let monitor = &self.monitor;
        let wrong = |what: &str, hint: &str| Err(Error::invalid(what.to_owned()).with_hint(hint));
        let above = "give it a value above 0, or leave it out for the default";
        if monitor.every.is_zero() {
            return wrong("ml.monitor.every is 0", above);
        }
        if monitor.window.is_zero() {
            return wrong("ml.monitor.window is 0", above);
        }
        for (name, value) in [
            ("psi", monitor.psi),
            ("drift", monitor.drift),
            ("mape", monitor.mape),
            ("accuracy_loss", monitor.accuracy_loss),
            ("errors", monitor.errors),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(
                    &format!("ml.monitor.{name} is {value}"),
                    "give it a number from 0 on",
                );
            }
        }
        let mut models: Vec<_> = self.retrain.iter().map(|it| &it.model).collect();
        models.sort();
        if let Some(twice) = models.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong(
                &format!("ml.retrain names {} twice", twice[0]),
                "keep one of them",
            );
        }
        if self.retrain.iter().any(|it| it.samples == 0) {
            return wrong("ml.retrain.samples is 0", above);
        }
        Ok(())
    }
}
