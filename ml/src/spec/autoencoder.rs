//! `[autoencoder]`: a network that learns to reproduce what is normal.
use catalog::Result;
use serde::{Deserialize, Serialize};

use super::invalid;
use crate::neural::Schedule;

/// An autoencoder over rows or windows, how it is trained, and what it takes for an anomaly.
///
/// A sample is a row, or the rows of a window one after the other. It is reproduced by
/// principal components (the best linear autoencoder; Baldi and Hornik, 1989), by a dense
/// network, or by both: then the network reproduces what the components leave over.
///
/// Anomalies are the rows whose label is `true` or 1; they are not learned from. Without a label
/// every row is taken for normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderSpec {
    /// The class that precision, recall and F1 are of.
    #[serde(default)]
    pub positive: Positive,
    /// Principal components; 0 for none.
    #[serde(default)]
    pub principal: usize,
    /// Units of the network's layers from the input to the code and back; its last layer is as
    /// wide as the input. Empty for no network.
    #[serde(default = "default_hidden")]
    pub hidden: Vec<usize>,
    /// What follows each layer but the last.
    #[serde(default)]
    pub activation: Activation,
    /// What follows the last layer.
    #[serde(default)]
    pub end: End,
    /// How the network starts.
    #[serde(default)]
    pub initial: Initial,
    /// What the network is trained to make small.
    #[serde(default)]
    pub loss: Loss,
    /// What the score of a sample is.
    #[serde(default)]
    pub score: Score,
    /// How the errors of the features become one score.
    #[serde(default)]
    pub features: Features,
    /// Divides the error of each feature by its root mean square over normal samples of the
    /// training part, or of the validation part where it is larger there: a feature that drifts
    /// between the two counts for less.
    #[serde(default)]
    pub scaled: bool,
    /// Where the threshold comes from.
    #[serde(default)]
    pub threshold: Threshold,
    /// Standard deviations above the mean, of `mean+std`.
    #[serde(default = "one")]
    pub deviations: f64,
    /// The part of normal samples below the threshold, of `quantile`.
    #[serde(default = "default_quantile")]
    pub quantile: f64,
    /// What the threshold is multiplied by.
    #[serde(default = "one")]
    pub factor: f64,
    /// What `validation` makes as large as can be.
    #[serde(default)]
    pub maximise: Maximise,
    /// Epochs, batches and steps of the network.
    #[serde(default)]
    pub schedule: Schedule,
}

/// A side of the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positive {
    /// What is not normal.
    #[default]
    Anomaly,
    /// The normal class, as in some published protocols.
    Normal,
}

/// Functions between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// x, and e^x - 1 below 0.
    Elu,
    /// The hyperbolic tangent.
    Tanh,
    /// x.
    Linear,
}

/// Functions at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// x: for standardised features.
    #[default]
    Linear,
    /// 1 / (1 + e^-x): for features scaled to 0..1.
    Sigmoid,
}

/// Values before training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initial {
    /// Weights and biases uniform within 1 / sqrt(inputs).
    #[default]
    Pytorch,
    /// Weights uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio, 2010), biases 0.
    Keras,
}

/// What is made small: over all numbers of all samples, missing ones left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The mean absolute error.
    #[default]
    Mae,
    /// The mean squared error.
    Mse,
}

/// Scores of a sample: the larger, the less normal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// A feature's mean absolute error over the rows of the window.
    #[default]
    Mae,
    /// Its mean squared error.
    Mse,
    /// The magnitude of its mean error: noise cancels over the window, a shift stays.
    Level,
    /// Not an error: how far the code lies from those of normal training samples, as their
    /// squared Mahalanobis distance over the code's length (Hotelling's T2). The code is that of
    /// the principal components, or of the network's narrowest layer where there are none.
    Code,
}

/// Ways to one score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Features {
    /// The mean over features.
    #[default]
    Mean,
    /// The largest: for anomalies that show in few features.
    Max,
}

/// Sources of the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Mean plus `deviations` standard deviations of the scores of normal training samples.
    #[serde(rename = "mean+std")]
    #[default]
    MeanStd,
    /// The quantile of the scores of normal samples in training and validation together.
    Quantile,
    /// The one that tells the labelled validation samples apart best.
    Validation,
}

/// What is made large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maximise {
    /// The part told right.
    #[default]
    Accuracy,
    /// F1 of the positive side.
    F1,
}

impl AutoencoderSpec {
    /// Errors are `InvalidInput` and name the field.
    pub(super) fn check(&self, labelled: bool) -> Result<()> {
        let no = |message: &str| Err(invalid(format!("autoencoder.{message}")));
        if self.hidden.is_empty() && self.principal == 0 {
            return no("hidden is empty and autoencoder.principal is 0; one of them is needed");
        }
        if self.hidden.contains(&0) {
            return no("hidden has a layer of 0 units");
        }
        if self.end == End::Sigmoid && self.principal > 0 {
            return no(
                "end is \"sigmoid\", which cannot reproduce what principal components \
                       leave over: that may be negative; say \"linear\"",
            );
        }
        if !(self.quantile > 0.0 && self.quantile <= 1.0) {
            return no("quantile must lie above 0 and be at most 1, such as 0.99");
        }
        if !(self.factor > 0.0 && self.factor.is_finite() && self.deviations.is_finite()) {
            return no("factor must be positive, and factor and deviations finite");
        }
        if !labelled && self.threshold == Threshold::Validation {
            return no("threshold is \"validation\", which needs dataset.label");
        }
        Ok(())
    }
}

fn default_hidden() -> Vec<usize> {
    vec![32, 16, 8, 16, 32]
}

fn default_quantile() -> f64 {
    0.99
}

fn one() -> f64 {
    1.0
}
