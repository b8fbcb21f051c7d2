//! What every trainer is: something that fits a data set and gives bytes, and something that
//! reads those bytes and answers.
mod autoencoder;
mod gru;
mod tinytimemixer;
mod xgboost;

pub use gru::{GruSize, gru_device, gru_step_seconds};
pub(crate) use tinytimemixer::fetch as with_weights;
pub use tinytimemixer::tinytimemixer_step_seconds;

use std::collections::BTreeMap;

use catalog::{Error, Result};

use crate::dataset::Dataset;
use crate::manifest::Manifest;
use crate::spec::{TrainSpec, Trainer};
use crate::train::TrainProgress;

/// Fits a data set. Blocks for as long as it takes.
pub(crate) trait Learner: Send + Sync {
    /// Learns from the training part, stopping early by the validation part. `watch` hears of
    /// every round; `Ok(None)` once it answers false.
    fn fit(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>>;

    /// Whether fitting chooses by the validation part, as early stopping does: then half of
    /// that is kept from it, to calibrate on.
    fn stops_early(&self) -> bool {
        true
    }
}

/// A trained model in its own encoding.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    /// The model.
    pub(crate) bytes: Vec<u8>,
    /// The version of the library that made it.
    pub(crate) library: String,
    /// Rounds or epochs in the model, which is fewer than asked for where it stopped early.
    pub(crate) rounds: u32,
    /// Every parameter by name, defaults included.
    pub(crate) parameters: BTreeMap<String, String>,
    /// How much each feature counts, by position; empty where the trainer cannot tell.
    pub(crate) importance: Vec<f64>,
    /// Of anomalies: the score above which a sample is one.
    pub(crate) threshold: Option<f32>,
}

/// A trained model that is ready to answer. Safe to share; answers of several threads may
/// wait for each other.
pub(crate) trait Predictor: Send + Sync {
    /// What the model answers to samples, one after the other, each `length` x `columns` scaled
    /// numbers.
    fn predict(&self, samples: &[f32]) -> Result<Predictions>;
}

/// What a model answers: for each sample `outputs` values, one sample after the other.
///
/// | task           | values of a sample                                               |
/// |----------------|------------------------------------------------------------------|
/// | binary         | the probability of the positive class                            |
/// | multiclass     | a probability of each class                                      |
/// | regression     | the value, or one for each quantile                              |
/// | forecast       | `horizon` x targets, in the scale of the features                |
/// | anomaly        | the score: the error of reproduction                             |
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The values.
    pub values: Vec<f32>,
    /// Values per sample.
    pub outputs: usize,
}

/// The trainer a spec asks for.
pub(crate) fn learner(spec: &TrainSpec) -> Result<Box<dyn Learner>> {
    let missing = || Error::invalid(format!("[{}] is missing from the spec", spec.trainer));
    Ok(match spec.trainer {
        Trainer::Xgboost => Box::new(spec.xgboost.clone().ok_or_else(missing)?),
        Trainer::Gru => Box::new(spec.gru.clone().ok_or_else(missing)?),
        Trainer::Autoencoder => Box::new(spec.autoencoder.clone().ok_or_else(missing)?),
        Trainer::TinyTimeMixer => Box::new(spec.tinytimemixer.clone().ok_or_else(missing)?),
    })
}

/// The encoding of a trainer's models, and how their files are named.
pub(crate) fn format(trainer: Trainer) -> (&'static str, &'static str) {
    match trainer {
        Trainer::Xgboost => ("xgboost-ubjson", "ubj"),
        Trainer::Gru | Trainer::Autoencoder | Trainer::TinyTimeMixer => {
            ("safetensors", "safetensors")
        }
    }
}

/// A model from its bytes, as `manifest` describes it. `Corrupt` where they are no such model.
pub(crate) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    match manifest.trainer {
        Trainer::Xgboost => xgboost::load(manifest, bytes),
        Trainer::Gru => gru::load(manifest, bytes),
        Trainer::Autoencoder => autoencoder::load(manifest, bytes),
        Trainer::TinyTimeMixer => tinytimemixer::load(manifest, bytes),
    }
}
