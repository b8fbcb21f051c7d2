//! Metrics of forecasts of several rows.
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Part};

/// How far forecasts lie from what came. Values that are missing do not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastMetrics {
    /// Mean squared error over all targets and steps, in the scale that `dataset.normalise`
    /// brings the features to.
    pub mse: f64,
    /// Mean absolute error in the same scale.
    pub mae: f64,
    /// The mean squared error of repeating the last row of the window.
    pub persistence_mse: f64,
    /// The mean squared error of each step, from the first row after the window.
    pub step_mse: Vec<f64>,
    /// By target, in its own unit.
    pub targets: Vec<TargetMetrics>,
}

/// How far the forecasts of one target lie from what came, in its unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetMetrics {
    /// Its column.
    pub target: String,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
}

/// Sums of errors.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    squares: f64,
    distances: f64,
    count: f64,
}

impl Sums {
    fn add(&mut self, error: f64) {
        self.squares += error * error;
        self.distances += error.abs();
        self.count += 1.0;
    }

    fn plus(self, other: Sums) -> Sums {
        Sums {
            squares: self.squares + other.squares,
            distances: self.distances + other.distances,
            count: self.count + other.count,
        }
    }

    fn mse(self) -> f64 {
        self.squares / self.count.max(1.0)
    }

    fn mae(self) -> f64 {
        self.distances / self.count.max(1.0)
    }
}

impl ForecastMetrics {
    /// Compares `forecasts`, horizon x targets numbers of each window of `part`, to what came.
    pub(crate) fn of(data: &Dataset, part: &Part, forecasts: &[f32]) -> ForecastMetrics {
        let (width, targets) = (data.columns(), data.targets.len());
        // Of each step and target.
        let mut sums = vec![Sums::default(); data.horizon * targets];
        let mut persistence = Sums::default();
        for (end, forecast) in part.ends.iter().zip(forecasts.chunks_exact(sums.len())) {
            let window = data.window(*end);
            let last = &window[window.len() - width..];
            let rows = data.future(*end).chunks_exact(width);
            let steps = rows.zip(forecast.chunks_exact(targets));
            for ((row, forecast), sums) in steps.zip(sums.chunks_exact_mut(targets)) {
                for ((target, forecast), sums) in data.targets.iter().zip(forecast).zip(sums) {
                    let truth = f64::from(row[*target]);
                    if truth.is_nan() {
                        continue;
                    }
                    sums.add(f64::from(*forecast) - truth);
                    if !last[*target].is_nan() {
                        persistence.add(f64::from(last[*target]) - truth);
                    }
                }
            }
        }
        ForecastMetrics::from_sums(data, &sums, persistence)
    }

    fn from_sums(data: &Dataset, sums: &[Sums], persistence: Sums) -> ForecastMetrics {
        let targets = data.targets.len();
        let total = |sums: &mut dyn Iterator<Item = &Sums>| {
            sums.fold(Sums::default(), |total, sums| total.plus(*sums))
        };
        let all = total(&mut sums.iter());
        let of_target = |(slot, target): (usize, &usize)| {
            let sums = total(&mut sums.iter().skip(slot).step_by(targets));
            let scale = data.normalisation.scales.get(*target);
            let unit = scale.map_or(1.0, |scale| f64::from(scale.scale));
            TargetMetrics {
                target: data.features[*target].name.clone(),
                rmse: sums.mse().sqrt() * unit,
                mae: sums.mae() * unit,
            }
        };
        ForecastMetrics {
            mse: all.mse(),
            mae: all.mae(),
            persistence_mse: persistence.mse(),
            step_mse: sums
                .chunks_exact(targets)
                .map(|step| total(&mut step.iter()).mse())
                .collect(),
            targets: data.targets.iter().enumerate().map(of_target).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Scale;

    #[test]
    fn matches_a_hand_computed_example() {
        // Columns: a target, no target, another target; windows of 2 rows, 2 rows ahead.
        let nan = f32::NAN;
        let values = vec![
            9.0, 0.0, 9.0, //
            1.0, 0.0, 9.0, // the window's last row
            3.0, 0.0, 10.0, // off by 2 and 0
            2.0, 0.0, nan, // off by 0
        ];
        let mut data = Dataset {
            length: 2,
            horizon: 2,
            targets: vec![0, 2],
            test: Part {
                ends: vec![1],
                ..Part::default()
            },
            ..Dataset::of_values(values, 3)
        };
        let scale = |scale| Scale { center: 5.0, scale };
        data.normalisation.scales = vec![scale(10.0), scale(1.0), scale(2.0)];
        let metrics = ForecastMetrics::of(&data, &data.test, &[1.0, 10.0, 2.0, 20.0]);
        assert!((metrics.mse - 4.0 / 3.0).abs() < 1e-12);
        assert!((metrics.mae - 2.0 / 3.0).abs() < 1e-12);
        // Errors of the last row: 2, 1 and 1.
        assert!((metrics.persistence_mse - 2.0).abs() < 1e-12);
        assert_eq!(metrics.step_mse, [2.0, 0.0]);
        assert_eq!(metrics.targets[0].target, "f0");
        assert!((metrics.targets[0].rmse - 10.0 * 2.0_f64.sqrt()).abs() < 1e-9);
        assert!((metrics.targets[0].mae - 10.0).abs() < 1e-9);
        assert_eq!(metrics.targets[1].rmse, 0.0);
    }
}
