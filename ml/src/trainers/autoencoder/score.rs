//! From what a sample is and what it was reproduced as to one score.
use catalog::Result;

use super::whiten::Whiten;
use crate::neural::Params;
use crate::spec::autoencoder::{Features, Score};

/// How samples of `columns` features are scored.
pub(super) struct Scorer {
    pub(super) score: Score,
    pub(super) features: Features,
    pub(super) columns: usize,
    /// What the error of each feature is divided by; empty where errors are taken as they are.
    scales: Vec<f32>,
    /// Of scores by the code.
    whiten: Option<Whiten>,
}

/// The least scale of a feature, as a part of the mean of all: one that normal samples hold
/// constant would make an anomaly of its last digit.
const LEAST_SCALE: f64 = 0.01;

impl Scorer {
    pub(super) fn new(score: Score, features: Features, columns: usize) -> Scorer {
        Scorer {
            score,
            features,
            columns,
            scales: Vec::new(),
            whiten: None,
        }
    }

    /// The error of each feature: `residual` holds the rows of the window one after the other,
    /// NaN where a value is missing. A feature that is missing throughout has none.
    pub(super) fn errors(&self, residual: &[f32]) -> Vec<f64> {
        let of_column = |column: usize| {
            let values = residual.iter().skip(column).step_by(self.columns);
            let known = values.filter(|r| !r.is_nan()).map(|r| f64::from(*r));
            let (mut sum, mut count) = (0.0, 0.0);
            for value in known {
                sum += match self.score {
                    Score::Mae => value.abs(),
                    Score::Mse => value * value,
                    Score::Level | Score::Code => value,
                };
                count += 1.0;
            }
            if count == 0.0 {
                0.0
            } else {
                (sum / count).abs()
            }
        };
        (0..self.columns).map(of_column).collect()
    }

    /// The score of one sample from its residual.
    pub(super) fn of_residual(&self, residual: &[f32]) -> f32 {
        let mut errors = self.errors(residual);
        for (error, scale) in errors.iter_mut().zip(&self.scales) {
            *error /= f64::from(*scale);
        }
        finite(match self.features {
            Features::Mean => errors.iter().sum::<f64>() / errors.len() as f64,
            Features::Max => errors.iter().copied().fold(0.0, f64::max),
        })
    }

    /// The score of one sample from its code.
    pub(super) fn of_code(&self, code: &[f32]) -> f32 {
        self.whiten
            .as_ref()
            .map_or(0.0, |by| finite(by.distance(code)))
    }

    /// Divides errors from now on by the root mean squares of `parts`, one for each feature;
    /// the largest counts.
    pub(super) fn scale(&mut self, parts: &[Vec<f64>], params: &mut Params) -> Result<()> {
        let largest = |column: usize| parts.iter().map(|p| p[column]).fold(0.0, f64::max);
        let scales: Vec<f64> = (0..self.columns).map(largest).collect();
        let least = LEAST_SCALE * scales.iter().sum::<f64>() / self.columns as f64;
        let least = if least > 0.0 { least } else { 1.0 };
        let scales = scales.into_iter().map(|s| finite(s.max(least))).collect();
        self.read_scales(scales, params)
    }

    /// Takes the scales of the file that `params` reads.
    pub(super) fn read_scales(&mut self, scales: Vec<f32>, params: &mut Params) -> Result<()> {
        let scales = params.fixed("scales", &[self.columns], scales)?;
        self.scales = scales.to_vec1().map_err(crate::neural::failed)?;
        Ok(())
    }

    pub(super) fn whiten(&mut self, by: Whiten) {
        self.whiten = Some(by);
    }
}

/// The nearest number of single precision; what is none is as far from normal as can be.
fn finite(value: f64) -> f32 {
    let most = f64::from(f32::MAX);
    if value.is_nan() {
        f32::MAX
    } else {
        value.min(most) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scorer(score: Score, features: Features) -> Scorer {
        Scorer::new(score, features, 2)
    }

    #[test]
    fn errors_are_of_each_feature_over_the_rows() {
        let window = [1.0, 3.0, -1.0, 5.0];
        let errors = |score| scorer(score, Features::Mean).errors(&window);
        assert_eq!(errors(Score::Mae), [1.0, 4.0]);
        assert_eq!(errors(Score::Mse), [1.0, 17.0]);
        assert_eq!(errors(Score::Level), [0.0, 4.0]);
        assert_eq!(scorer(Score::Mae, Features::Mean).of_residual(&window), 2.5);
        assert_eq!(scorer(Score::Mae, Features::Max).of_residual(&window), 4.0);
    }

    #[test]
    fn missing_values_count_for_nothing_and_what_is_beyond_numbers_for_all() {
        let scorer = scorer(Score::Mse, Features::Max);
        let nan = f32::NAN;
        assert_eq!(scorer.of_residual(&[nan, 2.0, nan, nan]), 4.0);
        assert_eq!(scorer.of_residual(&[nan; 4]), 0.0);
        assert_eq!(scorer.of_residual(&[f32::MAX, 0.0, 0.0, 0.0]), f32::MAX);
        assert_eq!(
            scorer.of_residual(&[f32::INFINITY, 0.0, 0.0, 0.0]),
            f32::MAX
        );
    }

    #[test]
    fn a_feature_that_drifts_between_the_parts_counts_for_less() {
        let mut params = Params::seeded(0, &candle_core::Device::Cpu);
        let mut scorer = scorer(Score::Level, Features::Max);
        let parts = [vec![1.0, 1.0], vec![0.5, 10.0]];
        scorer.scale(&parts, &mut params).unwrap();
        assert_eq!(scorer.of_residual(&[3.0, 3.0]), 3.0);
        assert_eq!(scorer.of_residual(&[1.0, 20.0]), 2.0);
    }

    #[test]
    fn a_constant_feature_does_not_divide_by_zero() {
        let mut params = Params::seeded(0, &candle_core::Device::Cpu);
        let mut scorer = scorer(Score::Level, Features::Max);
        scorer.scale(&[vec![0.0, 1.0]], &mut params).unwrap();
        assert_eq!(scorer.of_residual(&[1.0, 1.0]), 200.0);
        let mut params = Params::seeded(0, &candle_core::Device::Cpu);
        scorer.scale(&[vec![0.0, 0.0]], &mut params).unwrap();
        assert_eq!(scorer.of_residual(&[0.5, 0.0]), 0.5);
    }
}
