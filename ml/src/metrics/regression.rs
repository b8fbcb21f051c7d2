//! Metrics of a number.
use serde::{Deserialize, Serialize};

/// How far predictions lie from the truth, in the label's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionMetrics {
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// The part of the variance explained; none where the label does not vary.
    pub r2: Option<f64>,
}

impl RegressionMetrics {
    /// Compares `predicted` to `truth`, one value per row each.
    pub fn of(truth: &[f32], predicted: &[f32]) -> RegressionMetrics {
        let rows = truth.len() as f64;
        let errors = || {
            truth
                .iter()
                .zip(predicted)
                .map(|(t, p)| f64::from(*t) - f64::from(*p))
        };
        let squared: f64 = errors().map(|e| e * e).sum();
        let mean = truth.iter().map(|t| f64::from(*t)).sum::<f64>() / rows;
        let variation: f64 = truth.iter().map(|t| (f64::from(*t) - mean).powi(2)).sum();
        RegressionMetrics {
            rmse: (squared / rows).sqrt(),
            mae: errors().map(f64::abs).sum::<f64>() / rows,
            r2: (variation > 0.0).then(|| 1.0 - squared / variation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_a_hand_computed_example() {
        // Errors 1, -1, 2, 0; squares sum to 6; variation around 2.5 is 5.
        let m = RegressionMetrics::of(&[1.0, 2.0, 3.0, 4.0], &[0.0, 3.0, 1.0, 4.0]);
        assert!((m.rmse - 1.5f64.sqrt()).abs() < 1e-12);
        assert!((m.mae - 1.0).abs() < 1e-12);
        assert!((m.r2.unwrap() - (1.0 - 6.0 / 5.0)).abs() < 1e-12);
    }

    #[test]
    fn a_constant_label_has_no_r2() {
        assert_eq!(RegressionMetrics::of(&[2.0, 2.0], &[1.0, 3.0]).r2, None);
    }
}
