//! `[tinytimemixer]`: a forecaster that mixes patches of a window.
use bytes::Bytes;
use catalog::Result;
use serde::{Deserialize, Serialize};

use super::{DatasetSpec, invalid};
use crate::neural::Schedule;

/// TinyTimeMixer (Ekambaram et al., 2024), and how it is trained. The defaults are the
/// published 512-96 model, for `window = { length = 512, horizon = 96 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TinyTimeMixerSpec {
    /// Rows of a patch; the window is cut into whole ones.
    pub patch: usize,
    /// Numbers that a patch becomes.
    pub d_model: usize,
    /// The hidden width of each mixer, over its input.
    pub expansion: usize,
    /// Levels of the encoder; the first cuts each patch into 2^(levels - 1) parts, the last
    /// takes it whole.
    pub levels: usize,
    /// Layers of each level.
    pub layers: usize,
    /// Numbers that a patch is in the decoder.
    pub decoder_d_model: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Whether the encoder mixes the features; else each is forecast from itself alone.
    pub mix_channel: bool,
    /// Whether the decoder mixes the features.
    pub decoder_mix_channel: bool,
    /// Whether a linear path from window to horizon stands beside the network: ridge regression
    /// on the differences from the last value, solved before training begins, with the penalty
    /// that is best where stretches of the training part are left out. The network then learns what the line leaves.
    pub linear: bool,
    /// The part of values dropped in the encoder while training.
    pub dropout: f64,
    /// The same in the decoder and before the head.
    pub head_dropout: f64,
    /// What is made small.
    pub loss: Loss,
    /// Networks that are trained, each from a seed of its own; the forecast is their mean.
    pub members: usize,
    /// Published or own weights to start from: a safetensors file, or the URL of one in the
    /// lake's store.
    pub pretrained: Option<String>,
    /// What is left as it is read.
    pub freeze: Freeze,
    /// Epochs, batches and steps.
    pub schedule: Schedule,
    /// The bytes of `pretrained`, where they were fetched from the lake's store.
    #[serde(skip)]
    pub(crate) weights: Option<Bytes>,
}

/// What a forecaster's training makes small, in the scale of the features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The mean squared error.
    #[default]
    Mse,
    /// The mean absolute error.
    Mae,
    /// Huber's: half the square up to 1, then the distance less a half.
    Huber,
}

/// What of a network is not trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// All is trained.
    #[default]
    Nothing,
    /// Decoder and head are trained.
    Encoder,
}

impl Default for TinyTimeMixerSpec {
    fn default() -> Self {
        TinyTimeMixerSpec {
            patch: 64,
            d_model: 192,
            expansion: 2,
            levels: 3,
            layers: 2,
            decoder_d_model: 128,
            decoder_layers: 2,
            mix_channel: false,
            decoder_mix_channel: false,
            linear: false,
            dropout: 0.2,
            head_dropout: 0.2,
            loss: Loss::Mse,
            members: 1,
            pretrained: None,
            freeze: Freeze::Nothing,
            schedule: Schedule::default(),
            weights: None,
        }
    }
}

impl TinyTimeMixerSpec {
    /// Refuses what gives no network over the windows of `dataset`.
    pub(super) fn check(&self, dataset: &DatasetSpec) -> Result<()> {
        let Some(window) = dataset.window.filter(|window| window.horizon > 0) else {
            return Err(invalid(
                "dataset.window is missing, or has no horizon: say how many rows a forecast is \
                 made from and how many it is of, such as { length = 512, horizon = 96 }"
                    .to_owned(),
            ));
        };
        let sizes = [
            ("patch", self.patch),
            ("d_model", self.d_model),
            ("expansion", self.expansion),
            ("levels", self.levels),
            ("layers", self.layers),
            ("decoder_d_model", self.decoder_d_model),
            ("decoder_layers", self.decoder_layers),
            ("members", self.members),
        ];
        for (name, size) in sizes {
            if !(1..=1 << 16).contains(&size) {
                return Err(invalid(format!(
                    "tinytimemixer.{name} is {size}; it must be at least 1, and at most 65536"
                )));
            }
        }
        if !window.length.is_multiple_of(self.patch) || window.length / self.patch < 2 {
            return Err(invalid(format!(
                "dataset.window.length is {}, which is not several whole patches of \
                 tinytimemixer.patch = {}",
                window.length, self.patch
            )));
        }
        let parts = 1_usize.checked_shl(self.levels as u32 - 1).unwrap_or(0);
        if self.levels > 16 || !self.d_model.is_multiple_of(parts) || self.d_model / parts < 2 {
            return Err(invalid(format!(
                "tinytimemixer.d_model = {} cannot be cut into parts by {} levels: it must be \
                 a multiple of 2^(levels - 1), and more than that",
                self.d_model, self.levels
            )));
        }
        for (name, rate) in [
            ("dropout", self.dropout),
            ("head_dropout", self.head_dropout),
        ] {
            if !(0.0..1.0).contains(&rate) {
                return Err(invalid(format!(
                    "tinytimemixer.{name} is {rate}; it must be at least 0 and less than 1"
                )));
            }
        }
        if self.freeze == Freeze::Encoder && self.pretrained.is_none() {
            return Err(invalid(
                "tinytimemixer.freeze = \"encoder\" keeps the encoder as it was read, and \
                 tinytimemixer.pretrained names no file to read it from"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}
