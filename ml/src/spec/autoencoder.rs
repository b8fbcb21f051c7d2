//! `[autoencoder]`: a network that learns to reproduce what is normal.
use serde::{Deserialize, Serialize};

use crate::neural::Schedule;

/// A dense autoencoder over rows or flattened windows, and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderSpec {
    /// Units of the layers from the input to the code and back; the last layer is as wide as
    /// the input.
    #[serde(default = "default_hidden")]
    pub hidden: Vec<usize>,
    /// Epochs, batches and steps.
    #[serde(default)]
    pub schedule: Schedule,
}

fn default_hidden() -> Vec<usize> {
    vec![32, 16, 8, 16, 32]
}
