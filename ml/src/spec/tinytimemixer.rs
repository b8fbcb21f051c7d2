//! `[tinytimemixer]`: a forecaster that mixes patches of a window.
use serde::{Deserialize, Serialize};

use crate::neural::Schedule;

/// TinyTimeMixer (Ekambaram et al., 2024), and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TinyTimeMixerSpec {
    /// Epochs, batches and steps.
    #[serde(default)]
    pub schedule: Schedule,
}
