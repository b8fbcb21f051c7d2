//! Metrics of two classes.
use serde::{Deserialize, Serialize};

use super::{log_loss, precision_recall_f1, ratio};

/// How well two classes are told apart. Precision, recall and F1 are those of
/// the positive class, at a score of 0.5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinaryMetrics {
    /// The part of rows predicted right.
    pub accuracy: f64,
    /// The part of rows predicted positive that are.
    pub precision: f64,
    /// The part of positive rows predicted positive.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Area under the ROC curve; none where the test part holds one class only.
    pub auc: Option<f64>,
    /// Minus the mean logarithm of the probability given to the true class.
    pub log_loss: f64,
    /// Positive rows of the test part.
    pub positives: u64,
}

impl BinaryMetrics {
    /// Compares `scores`, the probabilities of the positive class, to `truth`,
    /// 1 for positive rows and 0 for the others; one value per row each.
    pub fn of(truth: &[f32], scores: &[f32]) -> BinaryMetrics {
        let pairs = || truth.iter().map(|t| *t == 1.0).zip(scores);
        let count = |f: &dyn Fn(bool, bool) -> bool| {
            pairs().filter(|(t, s)| f(*t, is_positive(**s))).count() as u64
        };
        let hits = count(&|t, p| t && p);
        let positives = count(&|t, _| t);
        let predicted = count(&|_, p| p);
        let (precision, recall, f1) = precision_recall_f1(hits, predicted, positives);
        BinaryMetrics {
            accuracy: ratio(count(&|t, p| t == p), truth.len() as u64),
            precision,
            recall,
            f1,
            auc: auc(truth, scores),
            log_loss: log_loss(truth.iter().zip(scores).map(|(t, s)| {
                let score = f64::from(*s);
                if *t == 1.0 { score } else { 1.0 - score }
            })),
            positives,
        }
    }
}

/// Whether a score of the positive class predicts it.
pub(crate) fn is_positive(score: f32) -> bool {
    score >= 0.5
}

/// The chance that a positive row scores higher than a negative one, ties
/// counting half: the Mann-Whitney statistic over mean ranks.
pub(super) fn auc(truth: &[f32], scores: &[f32]) -> Option<f64> {
    let positives = truth.iter().filter(|t| **t == 1.0).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut rank_sum = 0.0;
    let mut start = 0;
    for group in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let mean_rank = start as f64 + (group.len() as f64 + 1.0) / 2.0;
        let hits = group.iter().filter(|i| truth[**i] == 1.0).count();
        rank_sum += mean_rank * hits as f64;
        start += group.len();
    }
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-6, "{left} is not {right}");
    }

    #[test]
    fn matches_a_hand_computed_example() {
        // Predicted at 0.5: 0, 1, 1, 0, 1, 0. Hits 2, misses 1, false alarms 1.
        let truth = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let scores = [0.1, 0.6, 0.8, 0.4, 0.9, 0.2];
        let m = BinaryMetrics::of(&truth, &scores);
        close(m.accuracy, 4.0 / 6.0);
        close(m.precision, 2.0 / 3.0);
        close(m.recall, 2.0 / 3.0);
        close(m.f1, 2.0 / 3.0);
        // Of 9 pairs only (0.4 positive, 0.6 negative) is the wrong way round.
        close(m.auc.unwrap(), 8.0 / 9.0);
        let of_truth: [f64; 6] = [0.9, 0.4, 0.8, 0.4, 0.9, 0.8];
        close(m.log_loss, -of_truth.map(f64::ln).iter().sum::<f64>() / 6.0);
        assert_eq!(m.positives, 3);
    }

    #[test]
    fn ties_count_half() {
        close(auc(&[0.0, 1.0, 1.0], &[0.5, 0.5, 0.7]).unwrap(), 0.75);
        close(auc(&[0.0, 1.0], &[0.5, 0.5]).unwrap(), 0.5);
    }

    #[test]
    fn one_class_has_no_auc_and_empty_denominators_are_zero() {
        let m = BinaryMetrics::of(&[0.0, 0.0], &[0.1, 0.2]);
        assert_eq!(m.auc, None);
        assert_eq!((m.precision, m.recall, m.f1), (0.0, 0.0, 0.0));
        assert_eq!(m.accuracy, 1.0);
    }

    #[test]
    fn a_certain_mistake_costs_a_finite_log_loss() {
        let m = BinaryMetrics::of(&[1.0], &[0.0]);
        close(m.log_loss, -f64::from(f32::EPSILON).ln());
    }
}
