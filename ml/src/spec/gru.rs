//! `[gru]`: a recurrent network over windows.
use serde::{Deserialize, Serialize};

use super::Task;
use crate::neural::Schedule;

/// A gated recurrent network (Cho et al., 2014) over windows, and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GruSpec {
    /// What is learned.
    pub task: Task,
    /// Units of each layer.
    #[serde(default = "default_hidden")]
    pub hidden: usize,
    /// Layers.
    #[serde(default = "default_layers")]
    pub layers: usize,
    /// The part of values dropped between layers while training.
    #[serde(default)]
    pub dropout: f64,
    /// Epochs, batches and steps.
    #[serde(default)]
    pub schedule: Schedule,
}

fn default_hidden() -> usize {
    64
}

fn default_layers() -> usize {
    1
}
