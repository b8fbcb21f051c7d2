//! What a model is worth on rows it has not learned from.
//!
//! Ratios whose denominator is zero, such as the precision of a class that was
//! never predicted, count as 0.
mod anomaly;
mod binary;
mod forecast;
mod multiclass;
mod regression;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use anomaly::{AnomalyMetrics, Detection};
pub use binary::BinaryMetrics;
pub use forecast::{ForecastMetrics, TargetMetrics};
pub use multiclass::{ClassMetrics, MulticlassMetrics};
pub use regression::RegressionMetrics;

pub(crate) use binary::is_positive;
pub(crate) use multiclass::most_likely;

/// The smallest probability log loss takes into account: the resolution of the
/// single-precision probabilities the trainers answer with.
const PROBABILITY_FLOOR: f64 = f32::EPSILON as f64;

/// The metrics of one model on its test part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Metrics {
    /// Of a model with two classes.
    Binary(BinaryMetrics),
    /// Of a model with several classes.
    Multiclass(MulticlassMetrics),
    /// Of a model of a number.
    Regression(RegressionMetrics),
    /// Of a model of the rows after a window.
    Forecast(ForecastMetrics),
    /// Of a model that tells anomalies.
    Anomaly(AnomalyMetrics),
}

impl Default for Metrics {
    /// Of a model that was not measured yet.
    fn default() -> Self {
        Metrics::Regression(RegressionMetrics::default())
    }
}

impl Metrics {
    /// The overall figures by name, the most telling first.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        match self {
            Metrics::Binary(m) => {
                let mut figures = vec![
                    ("accuracy", m.accuracy),
                    ("precision", m.precision),
                    ("recall", m.recall),
                    ("f1", m.f1),
                ];
                figures.extend(m.auc.map(|auc| ("auc", auc)));
                figures.push(("log loss", m.log_loss));
                figures
            }
            Metrics::Multiclass(m) => vec![
                ("accuracy", m.accuracy),
                ("macro f1", m.macro_f1),
                ("log loss", m.log_loss),
            ],
            Metrics::Anomaly(m) => m.figures(),
            Metrics::Regression(m) => {
                let mut figures = vec![("rmse", m.rmse), ("mae", m.mae)];
                figures.extend(m.r2.map(|r2| ("r2", r2)));
                figures
            }
            Metrics::Forecast(m) => vec![
                ("mse", m.mse),
                ("mae", m.mae),
                ("persistence mse", m.persistence_mse),
            ],
        }
    }
}

/// The overall figures on one line: `accuracy 0.981, macro f1 0.912, log loss 0.074`.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.figures().into_iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {value:.4}")?;
        }
        Ok(())
    }
}

/// Minus the mean logarithm of the probability given to what came true.
fn log_loss(of_truth: impl ExactSizeIterator<Item = f64>) -> f64 {
    let rows = of_truth.len() as f64;
    let clipped = of_truth.map(|p| p.clamp(PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR));
    -clipped.map(f64::ln).sum::<f64>() / rows
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Precision, recall and F1 from the counts behind them.
fn precision_recall_f1(true_positives: u64, predicted: u64, actual: u64) -> (f64, f64, f64) {
    (
        ratio(true_positives, predicted),
        ratio(true_positives, actual),
        ratio(2 * true_positives, predicted + actual),
    )
}
