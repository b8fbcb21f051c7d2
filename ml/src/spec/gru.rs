//! `[gru]`: a recurrent network over windows.
use catalog::Result;
use serde::{Deserialize, Serialize};

use super::{Task, invalid};
use crate::neural::Schedule;

/// A gated recurrent network (Cho et al., 2014) over windows, and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GruSpec {
    /// What is learned: any task but `anomaly`.
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
    /// Networks trained from different seeds, whose answers are averaged.
    #[serde(default = "default_members")]
    pub members: u32,
    /// Epochs, batches and steps.
    #[serde(default)]
    pub schedule: Schedule,
}

impl GruSpec {
    /// Units above which a network is taken for a slip of the pen.
    const MOST: usize = 4096;

    /// # Errors
    /// `InvalidInput` for a number that no network can be made of, by its name.
    pub(crate) fn check(&self) -> Result<()> {
        if self.task == Task::Anomaly {
            let message = "gru.task cannot be anomaly; the trainer autoencoder is for those";
            return Err(invalid(message.to_owned()));
        }
        for (field, value, most) in [
            ("hidden", self.hidden, Self::MOST),
            ("layers", self.layers, 16),
            ("members", self.members as usize, 100),
        ] {
            if value == 0 || value > most {
                return Err(invalid(format!(
                    "gru.{field} is {value}; it must lie between 1 and {most}"
                )));
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(invalid(format!(
                "gru.dropout is {}; it must be at least 0 and below 1, such as 0.2",
                self.dropout
            )));
        }
        self.schedule.check()
    }
}

fn default_hidden() -> usize {
    64
}

fn default_layers() -> usize {
    1
}

fn default_members() -> u32 {
    1
}
