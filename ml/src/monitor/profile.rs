//! What rows looked like when a model was trained: the distribution of every feature, small
//! enough to be kept in the model's manifest.
use serde::{Deserialize, Serialize};

use crate::metrics::most_likely;
use crate::spec::Task;
use crate::trainers::Predictions;

/// Rows that a distribution is taken from at most: every so many-th one of a larger part.
const MOST_ROWS: usize = 100_000;
/// Bins of a feature with more distinct values than this.
const BINS: usize = 10;
/// Quantiles kept of a feature.
const QUANTILES: usize = 100;

/// The distributions a model was made with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Of each feature over the rows of the training part, in the order of the signature and
    /// in the lake's units.
    pub features: Vec<Distribution>,
    /// Of what the model answers to the test part; see [`answers`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<Distribution>,
}

/// How the values of one column are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Rows it was taken from, those without a value included.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// The upper bounds, inclusive, of all bins but the last, ascending: the deciles, or every
    /// value where there are no more than ten.
    pub edges: Vec<f32>,
    /// Rows of each bin: one more than there are edges.
    pub counts: Vec<u64>,
    /// Values at equal steps of probability, the first at half a step; up to 100.
    pub quantiles: Vec<f32>,
}

impl Distribution {
    /// Of `values`, in which NaN is a missing one.
    pub fn of(values: impl ExactSizeIterator<Item = f32>) -> Distribution {
        let step = values.len().div_ceil(MOST_ROWS).max(1);
        let taken: Vec<f32> = values.step_by(step).collect();
        let rows = taken.len() as u64;
        let mut values = taken;
        values.retain(|value| !value.is_nan());
        // -0 and 0 are one value.
        values.iter_mut().for_each(|value| *value += 0.0);
        values.sort_unstable_by(f32::total_cmp);
        let edges = edges(&values);
        let mut found = Distribution {
            rows,
            missing: rows - values.len() as u64,
            quantiles: quantiles(&values),
            counts: vec![0; edges.len() + 1],
            edges,
        };
        for value in values {
            let bin = found.bin(value);
            found.counts[bin] += 1;
        }
        found
    }

    /// The number of the bin that holds `value`.
    pub(super) fn bin(&self, value: f32) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }
}

/// The bounds between bins of sorted values.
fn edges(sorted: &[f32]) -> Vec<f32> {
    let mut distinct = sorted.to_vec();
    distinct.dedup();
    let mut edges = if distinct.len() <= BINS {
        distinct
    } else {
        let decile = |d: usize| sorted[(sorted.len() * d).div_ceil(BINS) - 1];
        let mut deciles: Vec<f32> = (1..=BINS).map(decile).collect();
        deciles.dedup();
        deciles
    };
    // What is above the last bound has the last bin.
    if edges.last() == sorted.last() {
        edges.pop();
    }
    edges
}

fn quantiles(sorted: &[f32]) -> Vec<f32> {
    let count = sorted.len().min(QUANTILES);
    (0..count)
        .map(|i| sorted[(2 * i + 1) * sorted.len() / (2 * count)])
        .collect()
}

/// One number for each answer, whose distribution tells a change of the answers: the score of
/// the positive class, the number of the likeliest class, the value or its middle quantile,
/// the mean of a forecast, the score of an anomaly.
pub(crate) fn answers(task: Task, answer: &Predictions) -> Vec<f32> {
    let outputs = answer.outputs.max(1);
    let rows = answer.values.chunks_exact(outputs);
    match task {
        Task::Multiclass => rows.map(|row| most_likely(row) as f32).collect(),
        Task::Forecast => rows
            .map(|row| row.iter().sum::<f32>() / outputs as f32)
            .collect(),
        Task::Binary | Task::Regression | Task::Anomaly => {
            rows.map(|row| row[outputs / 2]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Distribution {
        Distribution::of(values.iter().copied())
    }

    #[test]
    fn many_values_fall_into_deciles_of_equal_size() {
        let values: Vec<f32> = (0..1000u16).rev().map(f32::from).collect();
        let found = of(&values);
        assert_eq!(
            found.edges,
            [99.0, 199.0, 299.0, 399.0, 499.0, 599.0, 699.0, 799.0, 899.0]
        );
        assert_eq!(found.counts, [100; 10]);
        assert_eq!(found.quantiles.len(), 100);
        assert_eq!(found.quantiles[..2], [5.0, 15.0]);
        assert_eq!(found.quantiles[99], 995.0);
    }

    #[test]
    fn few_values_have_a_bin_each_however_rare() {
        let mut values = vec![0.0; 97];
        values.extend([1.0, 1.0, 2.0, f32::NAN]);
        let found = of(&values);
        assert_eq!(found.edges, [0.0, 1.0]);
        assert_eq!(found.counts, [97, 2, 1]);
        assert_eq!((found.rows, found.missing), (101, 1));
    }

    #[test]
    fn a_value_that_fills_several_deciles_is_one_bin() {
        let mut values = vec![0.0; 600];
        values.extend((1..=400u16).map(f32::from));
        let found = of(&values);
        assert_eq!(found.edges, [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(found.counts, [600, 100, 100, 100, 100]);
    }

    #[test]
    fn nothing_but_missing_values_is_told_too() {
        let found = of(&[f32::NAN, f32::NAN]);
        assert_eq!((found.rows, found.missing), (2, 2));
        assert_eq!(found.counts, [0]);
        assert!(found.edges.is_empty() && found.quantiles.is_empty());
        assert_eq!(of(&[]).rows, 0);
        assert_eq!(of(&[-0.0, 0.0]).counts, [2]);
    }

    #[test]
    fn a_large_part_is_thinned_evenly() {
        let found = Distribution::of((0..250_000u32).map(|i| (i % 5) as f32));
        assert_eq!(found.rows, 83_334);
        assert_eq!(found.counts.iter().sum::<u64>(), 83_334);
        assert!(found.counts.iter().all(|count| *count > 16_000));
    }
}
