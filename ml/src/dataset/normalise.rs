//! Scaling of features, fitted on training rows and kept in the model.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a model's features are scaled before it sees them: (x - center) / scale.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// One for each feature; none when features are taken as they are.
    pub scales: Vec<Scale>,
    /// Those of single series, by the values of their group columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<Scale>>,
}

/// Of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// What is subtracted.
    pub center: f32,
    /// What the difference is divided by; never 0.
    pub scale: f32,
}

impl Normalisation {
    /// Scales `rows` in place, one row after the other, all of the series `group`.
    pub fn apply(&self, rows: &mut [f32], group: Option<&str>) {
        let own = group.and_then(|group| self.groups.get(group));
        let scales = own.unwrap_or(&self.scales);
        if scales.is_empty() {
            return;
        }
        for row in rows.chunks_exact_mut(scales.len()) {
            for (value, by) in row.iter_mut().zip(scales) {
                *value = (*value - by.center) / by.scale;
            }
        }
    }
}
