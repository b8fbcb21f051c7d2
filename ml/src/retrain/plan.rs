//! When a model is trained again, and what makes the new one take its place.
use std::time::Duration;

use catalog::Key;
use serde::{Deserialize, Serialize};

use crate::monitor::Metric;
use crate::spec::TrainSpec;

/// How one model is kept up to date.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is trained, and so which model.
    pub spec: TrainSpec,
    /// What sets a training off; nothing when empty.
    pub on: Vec<Trigger>,
    /// Time from one training to the next, of [`Trigger::Schedule`].
    pub every: Duration,
    /// Labels since the last training, of [`Trigger::Labels`].
    pub min_labels: u64,
    /// After a training, whatever came of it, there is none for so long.
    pub cool_down: Duration,
    /// What models are compared by; the task's usual metric when absent.
    pub metric: Option<Metric>,
    /// Resampled differences behind the interval.
    pub samples: u32,
    /// When the challenger takes the champion's place.
    pub accept: Accept,
    /// How long the branch of one that does not is kept.
    pub keep: Duration,
    /// A training that has left no word for so long has broken off.
    pub timeout: Duration,
}

impl Plan {
    /// The model it is about.
    pub fn model(&self) -> &Key {
        &self.spec.model
    }
}

/// What sets a training off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Time.
    Schedule,
    /// An open alert of drift, of the answers or of performance.
    Drift,
    /// Labels of people.
    Labels,
}

/// What makes a challenger the champion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// The whole interval of the difference is on its side.
    #[default]
    Better,
    /// The difference is none or on its side.
    NotWorse,
}
