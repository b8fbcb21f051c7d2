//! What came true of what was promised, measured on the test part.
use std::collections::BTreeMap;

use super::{Calibration, Method, futures, interval};
use crate::dataset::{Dataset, Part};
use crate::metrics::most_likely;
use crate::spec::Task;
use crate::trainers::Predictions;

/// Bins of equally many samples in the calibration error.
const BINS: usize = 10;

/// By name, of the samples of `part` and the answers to them: of intervals the `coverage` and
/// the mean `width` (of forecasts in the scale of the features), of probabilities the `brier`
/// score and the expected calibration error `ece`. Empty where nothing was promised.
pub(crate) fn measured(
    task: Task,
    calibration: Option<&Calibration>,
    dataset: &Dataset,
    part: &Part,
    answer: &Predictions,
) -> BTreeMap<String, f64> {
    let truth: Vec<f64> = part.labels.iter().map(|t| f64::from(*t)).collect();
    let method = calibration.map(|it| &it.method);
    let figures = match (task, method) {
        (Task::Binary | Task::Multiclass, _) => probabilities(task, method, &truth, answer),
        (_, Some(Method::Residuals { bins })) => {
            let predicted = answer.values.iter().map(|p| f64::from(*p));
            intervals(&truth, predicted.map(|p| interval::around(bins, p)))
        }
        (_, Some(Method::Quantiles { margin })) => {
            let rows = answer.values.chunks_exact(answer.outputs);
            intervals(
                &truth,
                rows.map(|row| {
                    let (lower, _, upper) = interval::outer(row);
                    margin.map(|margin| interval::widened(lower, upper, margin))
                }),
            )
        }
        (_, Some(Method::Steps { margins })) => {
            let truth: Vec<f64> = futures(dataset, part)
                .iter()
                .map(|t| f64::from(*t))
                .collect();
            let predicted = answer.values.iter().map(|p| f64::from(*p));
            let margins = margins.iter().cycle();
            intervals(
                &truth,
                predicted
                    .zip(margins)
                    .map(|(p, margin)| margin.map(|margin| (p - margin, p + margin))),
            )
        }
        _ => Vec::new(),
    };
    let figures = figures.into_iter().filter(|(_, value)| value.is_finite());
    figures
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Coverage and mean width, over those that have an interval and a truth.
fn intervals(
    truth: &[f64],
    intervals: impl Iterator<Item = Option<(f64, f64)>>,
) -> Vec<(&'static str, f64)> {
    let (mut count, mut covered, mut width) = (0.0, 0.0, 0.0);
    for (truth, interval) in truth.iter().zip(intervals) {
        let Some((lower, upper)) = interval.filter(|_| truth.is_finite()) else {
            continue;
        };
        count += 1.0;
        covered += f64::from(u8::from((lower..=upper).contains(truth)));
        width += upper - lower;
    }
    vec![("coverage", covered / count), ("width", width / count)]
}

fn probabilities(
    task: Task,
    method: Option<&Method>,
    truth: &[f64],
    answer: &Predictions,
) -> Vec<(&'static str, f64)> {
    let scaling = match method {
        Some(Method::Probabilities { scaling }) => *scaling,
        _ => super::Scaling::None,
    };
    if task == Task::Binary {
        let scores = answer.values.iter().map(|s| scaling.of_two(f64::from(*s)));
        let pairs: Vec<_> = scores.zip(truth.iter().copied()).collect();
        let brier = pairs.iter().map(|(p, t)| (p - t).powi(2)).sum::<f64>();
        return vec![
            ("brier", brier / pairs.len() as f64),
            ("ece", calibration_error(pairs)),
        ];
    }
    let rows = answer.values.chunks_exact(answer.outputs.max(1));
    let mut brier = 0.0;
    let pairs: Vec<_> = rows
        .zip(truth)
        .map(|(row, truth)| {
            let p = scaling.of_several(row);
            let truth = *truth as usize;
            let hit = |class: usize| f64::from(u8::from(class == truth));
            brier += p
                .iter()
                .enumerate()
                .map(|(c, p)| (p - hit(c)).powi(2))
                .sum::<f64>();
            let chosen = most_likely(row);
            (p[chosen], hit(chosen))
        })
        .collect();
    vec![
        ("brier", brier / pairs.len() as f64),
        ("ece", calibration_error(pairs)),
    ]
}

/// The expected calibration error: how far, in bins of as many samples each, the mean
/// probability lies from the share that came true (Naeini, Cooper, Hauskrecht, AAAI 2015).
pub(super) fn calibration_error(mut pairs: Vec<(f64, f64)>) -> f64 {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let n = pairs.len();
    let bins = (0..BINS).map(|bin| &pairs[n * bin / BINS..n * (bin + 1) / BINS]);
    let gap = |bin: &[(f64, f64)]| {
        let (p, t) = bin
            .iter()
            .fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        f64::abs(p - t)
    };
    bins.map(gap).sum::<f64>() / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_match_examples_computed_by_hand() {
        let pairs = vec![(0.2, 0.0), (0.2, 1.0), (0.9, 1.0), (0.9, 1.0)];
        // Each sample is a bin of its own, the rest are empty.
        let error = (0.2 + 0.8 + 0.1 + 0.1) / 4.0;
        assert!((calibration_error(pairs) - error).abs() < 1e-12);
        let within = [Some((0.0, 2.0)), Some((0.0, 1.0)), None, Some((0.0, 3.0))];
        let truth = [1.0, 2.0, 0.0, f64::NAN];
        let figures = intervals(&truth, within.into_iter());
        assert_eq!(figures, [("coverage", 0.5), ("width", 1.5)]);
    }
}
