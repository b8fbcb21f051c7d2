//! Whether one model is better than another on the same rows, or only seems so: a bootstrap of
//! their paired difference.
//!
//! Rows that follow each other in time resemble each other, and resampling them one by one
//! would make the interval too narrow; so blocks of neighbours are drawn, wrapped around at
//! the end (the circular block bootstrap of Politis and Romano, 1992), of n^(1/3) rows each.
//! The interval is that of percentiles (Efron and Tibshirani, An Introduction to the
//! Bootstrap, 1993, chapter 13); both models are scored on the same draw, as in Koehn,
//! Statistical Significance Tests for Machine Translation Evaluation, 2004.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::monitor::Metric;
use crate::monitor::outcome::Outcome;

/// The part of resampled differences that the interval holds.
const COVERAGE: f64 = 0.95;

/// How much better the challenger is; above 0 it is better, whatever the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Difference {
    /// On all rows.
    pub(crate) value: f64,
    /// 2.5 of 100 resampled differences are below.
    pub(crate) lower: f64,
    /// 2.5 of 100 are above.
    pub(crate) upper: f64,
}

/// Compares what two models say of the same samples, in their order of time.
pub(crate) fn difference(
    champion: &Outcome,
    challenger: &Outcome,
    metric: Metric,
    samples: u32,
    seed: u64,
) -> Difference {
    let sign = if metric.more_is_better() { 1.0 } else { -1.0 };
    let value = sign * (challenger.value(metric) - champion.value(metric));
    let rows = champion.len().min(challenger.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..samples)
        .map(|_| {
            let draw = draw(rows, &mut rng);
            let of = |outcome: &Outcome| outcome.value_over(metric, draw.iter().copied());
            sign * (of(challenger) - of(champion))
        })
        .filter(|difference| !difference.is_nan())
        .collect();
    found.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let last = found.len().checked_sub(1)?;
        found.get((share * last as f64).round() as usize).copied()
    };
    Difference {
        value,
        lower: quantile((1.0 - COVERAGE) / 2.0).unwrap_or(f64::NAN),
        upper: quantile((1.0 + COVERAGE) / 2.0).unwrap_or(f64::NAN),
    }
}

/// As many positions as there are rows, in blocks of neighbours.
fn draw(rows: usize, rng: &mut impl Rng) -> Vec<usize> {
    let block = (rows as f64).cbrt().ceil().max(1.0) as usize;
    let mut drawn = Vec::with_capacity(rows + block);
    while drawn.len() < rows {
        let start = rng.random_range(0..rows);
        drawn.extend((0..block).map(|i| (start + i) % rows));
    }
    drawn.truncate(rows);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(errors: impl Iterator<Item = f64>) -> Outcome {
        let predicted: Vec<f64> = errors.collect();
        Outcome::Numbers {
            truth: vec![0.0; predicted.len()],
            predicted,
            width: 1,
        }
    }

    fn noise(seed: u64, rows: usize) -> impl Iterator<Item = f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..rows).map(move |_| rng.random_range(-1.0..1.0))
    }

    #[test]
    fn a_better_challenger_has_the_whole_interval_on_its_side() {
        let champion = numbers(noise(1, 500).map(|e| 2.0 * e));
        let challenger = numbers(noise(2, 500));
        let found = difference(&champion, &challenger, Metric::Mae, 500, 7);
        assert!(found.lower > 0.3 && found.upper < 0.7, "{found:?}");
        assert!(
            (found.lower..found.upper).contains(&found.value),
            "{found:?}"
        );
        let other = difference(&challenger, &champion, Metric::Mae, 500, 7);
        assert!(other.upper < 0.0, "{other:?}");
    }

    #[test]
    fn two_of_a_kind_are_not_told_apart() {
        // Of twenty pairs alike one may look different at 95 %.
        let apart = (0..20).filter(|seed| {
            let champion = numbers(noise(100 + seed, 300));
            let challenger = numbers(noise(200 + seed, 300));
            let found = difference(&champion, &challenger, Metric::Rmse, 300, *seed);
            found.lower > 0.0 || found.upper < 0.0
        });
        assert!(apart.count() <= 3);
    }

    #[test]
    fn the_same_model_twice_has_no_difference_and_no_width() {
        let same = numbers(noise(1, 50));
        let found = difference(&same, &same, Metric::Mae, 100, 7);
        assert_eq!((found.value, found.lower, found.upper), (0.0, 0.0, 0.0));
    }

    #[test]
    fn rows_that_come_in_runs_widen_the_interval() {
        let runs = |seed, length: usize| {
            let rows: Vec<f64> = noise(seed, 600 / length).collect();
            numbers((0..600).map(move |i| rows[i / length]))
        };
        let zero = numbers(std::iter::repeat_n(0.0, 600));
        let width = |length| {
            let found = difference(&zero, &runs(5, length), Metric::Mae, 400, 7);
            found.upper - found.lower
        };
        assert!(width(10) > 1.5 * width(1), "{} {}", width(10), width(1));
    }

    #[test]
    fn draws_are_as_long_as_the_rows_and_within_them() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for rows in [1, 2, 7, 100] {
            let draw = draw(rows, &mut rng);
            assert_eq!(draw.len(), rows);
            assert!(draw.iter().all(|i| *i < rows));
        }
    }
}
