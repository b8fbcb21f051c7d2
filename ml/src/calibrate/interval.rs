//! Intervals that hold the truth as often as asked, whatever the distribution: split conformal
//! prediction.
//!
//! The residuals of samples that were not learned from are exchangeable with those to come,
//! so the ceil((n + 1) c)-th smallest of n is exceeded with a probability of at most 1 - c:
//! Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World" (2005); Lei, G'Sell,
//! Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive Inference for Regression",
//! JASA 113 (2018). Where that number is beyond n, no finite interval is honest.
//!
//! A residual often grows with the prediction (the life left of a machine is better known near
//! its end), so the quantile is taken in bins of the prediction: "Mondrian" conformal
//! prediction in Vovk's book, which covers as asked in every bin. Of quantile models the outer
//! two are moved by the quantile of how far the truth lies beyond them: Romano, Patterson,
//! Candès, "Conformalized Quantile Regression", NeurIPS 2019.
use serde::{Deserialize, Serialize};

use crate::trainers::Predictions;

/// Most bins of the prediction.
const BINS: usize = 5;

/// Samples a bin has at least, so that its quantile is not the luck of a few.
const SAMPLES_A_BIN: usize = 200;

/// Predictions of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The bin's predictions are below this; the last one has no such bound.
    pub below: Option<f64>,
    /// How far the truth lies from them at most, as often as asked; none where there were too
    /// few samples to say.
    pub margin: Option<f64>,
}

/// The conformal quantile of `residuals`; none where they are too few for this coverage.
pub(super) fn quantile(residuals: &mut [f64], coverage: f64) -> Option<f64> {
    let n = residuals.len();
    // Less than a sample's worth of rounding: 0.9 of 10 is the ninth, not the tenth.
    let rank = ((n as f64 + 1.0) * coverage - 1e-9).ceil().max(1.0) as usize;
    if rank > n {
        return None;
    }
    let (_, value, _) = residuals.select_nth_unstable_by(rank - 1, f64::total_cmp);
    Some(*value)
}

/// The margins of values, apart for small and large predictions where there are enough.
pub(super) fn bins(truth: &[f32], predicted: &[f32], coverage: f64) -> Vec<Bin> {
    let mut pairs: Vec<(f64, f64)> = truth
        .iter()
        .zip(predicted)
        .map(|(t, p)| (f64::from(*p), (f64::from(*t) - f64::from(*p)).abs()))
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let count = (pairs.len() / SAMPLES_A_BIN).clamp(1, BINS);
    let mut bins = Vec::new();
    let mut start = 0;
    for bin in 1..=count {
        let mut end = pairs.len() * bin / count;
        // Equal predictions are in one bin.
        while end > start && end < pairs.len() && pairs[end].0 == pairs[end - 1].0 {
            end += 1;
        }
        if end <= start {
            continue;
        }
        let mut residuals: Vec<f64> = pairs[start..end].iter().map(|it| it.1).collect();
        bins.push(Bin {
            below: pairs.get(end).map(|next| next.0),
            margin: quantile(&mut residuals, coverage),
        });
        start = end;
    }
    bins
}

/// The interval around `predicted`.
pub(crate) fn around(bins: &[Bin], predicted: f64) -> Option<(f64, f64)> {
    let bin = bins
        .iter()
        .find(|bin| bin.below.is_none_or(|below| predicted < below))?;
    bin.margin
        .map(|margin| (predicted - margin, predicted + margin))
}

/// What the outer quantiles are to be moved by; `answer` has several values a sample.
pub(super) fn quantile_margin(truth: &[f32], answer: &Predictions, coverage: f64) -> Option<f64> {
    let rows = answer.values.chunks_exact(answer.outputs);
    let beyond = truth.iter().zip(rows).map(|(t, row)| {
        let (lower, _, upper) = outer(row);
        (lower - f64::from(*t)).max(f64::from(*t) - upper)
    });
    quantile(&mut beyond.collect::<Vec<_>>(), coverage)
}

/// The lowest, the middle and the highest of a sample's quantiles; those that cross count in
/// the order of their size, as Chernozhukov, Fernández-Val and Galichon rearrange them (2010).
pub(crate) fn outer(quantiles: &[f32]) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = quantiles.iter().map(|q| f64::from(*q)).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(sorted.len() / 2), at(sorted.len().max(1) - 1))
}

/// The outer quantiles moved by `margin`: one point where that would turn them around.
pub(crate) fn widened(lower: f64, upper: f64, margin: f64) -> (f64, f64) {
    let (lower, upper, middle) = (lower - margin, upper + margin, f64::midpoint(lower, upper));
    match lower <= upper {
        true => (lower, upper),
        false => (middle, middle),
    }
}

/// The margin of each value of a forecast; what is missing in `truth` is left out.
pub(super) fn steps(truth: &[f32], answer: &Predictions, coverage: f64) -> Vec<Option<f64>> {
    let outputs = answer.outputs;
    let of_output = |output: usize| {
        let truth = truth.iter().skip(output).step_by(outputs);
        let predicted = answer.values.iter().skip(output).step_by(outputs);
        let residuals = truth
            .zip(predicted)
            .map(|(t, p)| (f64::from(*t) - f64::from(*p)).abs())
            .filter(|residual| residual.is_finite());
        quantile(&mut residuals.collect::<Vec<_>>(), coverage)
    };
    (0..outputs).map(of_output).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    use super::*;

    fn normal(seed: u64, count: usize) -> Vec<f64> {
        let normal = Normal::new(0.0, 1.0).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| normal.sample(&mut rng)).collect()
    }

    #[test]
    fn the_quantile_is_the_one_of_the_book() {
        let residuals = || (1..=9).map(f64::from).collect::<Vec<_>>();
        assert_eq!(quantile(&mut residuals(), 0.9), Some(9.0));
        assert_eq!(quantile(&mut residuals(), 0.5), Some(5.0));
        assert_eq!(quantile(&mut residuals(), 0.91), None);
        assert_eq!(quantile(&mut residuals()[..8], 0.9), None);
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    /// Over many draws of n residuals, the next one is covered with a probability between c
    /// and c + 1 / (n + 1).
    #[test]
    fn what_is_exchangeable_is_covered_as_asked() {
        for (n, coverage) in [(9, 0.9), (19, 0.9), (50, 0.8), (300, 0.95)] {
            let draws = 4000;
            let covered = (0..draws).filter(|draw| {
                let mut all: Vec<f64> = normal(*draw, n + 1).iter().map(|r| r.abs()).collect();
                let next = all.pop().unwrap();
                quantile(&mut all, coverage).is_none_or(|margin| next <= margin)
            });
            let covered = covered.count() as f64 / draws as f64;
            let slack = 4.0 * (coverage * (1.0 - coverage) / draws as f64).sqrt();
            let most = coverage + 1.0 / (n as f64 + 1.0) + slack;
            assert!(
                covered >= coverage - slack && covered <= most,
                "{n}: {covered}"
            );
        }
    }

    #[test]
    fn bins_follow_residuals_that_grow_and_cover_in_each() {
        let noise = normal(1, 4000);
        let size = |i: usize| (i % 1000) as f64 / 10.0;
        let predicted: Vec<f32> = (0..4000).map(|i| size(i) as f32).collect();
        let truth: Vec<f32> = (0..4000)
            .map(|i| (size(i) + noise[i] * (1.0 + size(i) / 10.0)) as f32)
            .collect();
        let (cal, test) = (0..2000, 2000..4000);
        let bins = bins(&truth[cal.clone()], &predicted[cal], 0.9);
        assert_eq!(bins.len(), 5);
        assert!(
            bins.windows(2).all(|pair| pair[0].margin < pair[1].margin),
            "{bins:?}"
        );
        let covered = |low: f32, high: f32| {
            let inside = test
                .clone()
                .filter(|i| (low..high).contains(&predicted[*i]));
            let hits = inside.clone().filter(|i| {
                let (lower, upper) = around(&bins, f64::from(predicted[*i])).unwrap();
                (lower..=upper).contains(&f64::from(truth[*i]))
            });
            hits.count() as f64 / inside.count() as f64
        };
        for low in [0.0, 20.0, 40.0, 60.0, 80.0] {
            let covered = covered(low, low + 20.0);
            assert!((0.83..=0.97).contains(&covered), "from {low}: {covered}");
        }
    }

    #[test]
    fn equal_predictions_share_a_bin() {
        let predicted = [vec![1.0; 390], vec![2.0; 20]].concat();
        let truth = vec![1.5; 410];
        let bins = bins(&truth, &predicted, 0.9);
        assert_eq!(bins.len(), 2, "{bins:?}");
        assert_eq!((bins[0].below, bins[1].below), (Some(2.0), None));
        assert!(super::bins(&[], &[], 0.9).is_empty());
    }

    #[test]
    fn quantiles_that_are_too_narrow_are_widened_until_they_cover() {
        let noise = normal(3, 2000);
        let answer = Predictions {
            values: [-0.5, 0.0, 0.5].repeat(1000),
            outputs: 3,
        };
        let truth: Vec<f32> = noise.iter().map(|v| *v as f32).collect();
        let margin = quantile_margin(&truth[..1000], &answer, 0.9).unwrap();
        let (lower, upper) = widened(-0.5, 0.5, margin);
        let hits = noise[1000..]
            .iter()
            .filter(|v| (lower..=upper).contains(*v));
        let covered = hits.count() as f64 / 1000.0;
        assert!((0.87..=0.93).contains(&covered), "{covered}");
        // And those that are too wide are narrowed, but never turned around.
        let wide = Predictions {
            values: [-9.0, 0.0, 9.0].repeat(1000),
            outputs: 3,
        };
        assert!(quantile_margin(&truth[..1000], &wide, 0.9).unwrap() < 0.0);
        assert_eq!(widened(1.0, 2.0, -5.0), (1.5, 1.5));
        assert_eq!(outer(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
    }

    #[test]
    fn each_step_of_a_forecast_has_its_own_margin() {
        let noise = normal(5, 400);
        let truth: Vec<f32> = noise
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let far = if i % 2 == 0 { 1.0 } else { 10.0 };
                if i == 4 { f32::NAN } else { (v * far) as f32 }
            })
            .collect();
        let answer = Predictions {
            values: vec![0.0; 400],
            outputs: 2,
        };
        let margins = steps(&truth, &answer, 0.9);
        assert!(
            margins[1].unwrap() > 5.0 * margins[0].unwrap(),
            "{margins:?}"
        );
        let few = Predictions {
            values: vec![0.0; 8],
            outputs: 2,
        };
        assert_eq!(steps(&truth[..8], &few, 0.9), [None, None]);
    }

    proptest! {
        #[test]
        fn more_coverage_is_never_narrower(
            residuals in prop::collection::vec(0.0..1e6, 1..60),
            low in 0.01..0.99, more in 0.0..0.5,
        ) {
            let high = f64::min(low + more, 0.999);
            let narrow = quantile(&mut residuals.clone(), low);
            let wide = quantile(&mut residuals.clone(), high);
            prop_assert!(wide.is_none() || narrow <= wide);
            // At least the share asked for lies within.
            if let Some(margin) = wide {
                let inside = residuals.iter().filter(|r| **r <= margin).count();
                prop_assert!(inside as f64 >= high * residuals.len() as f64 - 1e-6);
            }
        }
    }
}
