//! Metrics of several classes.
use serde::{Deserialize, Serialize};

use super::{log_loss, precision_recall_f1, ratio};
use crate::dataset::Class;

/// How well several classes are told apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MulticlassMetrics {
    /// The part of rows predicted right.
    pub accuracy: f64,
    /// Mean F1 over the classes that occur in the test part or were predicted there.
    pub macro_f1: f64,
    /// Minus the mean logarithm of the probability given to the true class.
    pub log_loss: f64,
    /// Class by class, in the order of the model's classes.
    pub classes: Vec<ClassMetrics>,
}

/// How well one class is recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The class.
    pub class: Class,
    /// The part of rows predicted as this class that are.
    pub precision: f64,
    /// The part of this class's rows predicted as such.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Rows of this class in the test part.
    pub support: u64,
}

impl MulticlassMetrics {
    /// Compares `probabilities`, one row after the other with one value per
    /// class, to `truth`, the class number of each row.
    pub fn of(truth: &[f32], probabilities: &[f32], classes: &[Class]) -> MulticlassMetrics {
        let k = classes.len();
        let rows = || {
            truth
                .iter()
                .map(|t| *t as usize)
                .zip(probabilities.chunks_exact(k))
        };
        let (mut hits, mut predicted, mut actual) = (vec![0; k], vec![0; k], vec![0; k]);
        for (t, row) in rows() {
            let p = most_likely(row);
            predicted[p] += 1;
            actual[t] += 1;
            hits[t] += u64::from(p == t);
        }
        let per_class: Vec<ClassMetrics> = (0..k)
            .map(|c| {
                let (precision, recall, f1) = precision_recall_f1(hits[c], predicted[c], actual[c]);
                ClassMetrics {
                    class: classes[c].clone(),
                    precision,
                    recall,
                    f1,
                    support: actual[c],
                }
            })
            .collect();
        let seen: Vec<f64> = (0..k)
            .filter(|c| actual[*c] + predicted[*c] > 0)
            .map(|c| per_class[c].f1)
            .collect();
        MulticlassMetrics {
            accuracy: ratio(hits.iter().sum(), truth.len() as u64),
            macro_f1: seen.iter().sum::<f64>() / seen.len() as f64,
            log_loss: log_loss(rows().map(|(t, row)| f64::from(row[t]))),
            classes: per_class,
        }
    }
}

/// The class with the highest probability, the first of equals.
pub(crate) fn most_likely(probabilities: &[f32]) -> usize {
    let mut best = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-6, "{left} is not {right}");
    }

    fn classes(names: &[&str]) -> Vec<Class> {
        names.iter().map(|n| Class::Text((*n).into())).collect()
    }

    #[test]
    fn matches_a_hand_computed_example() {
        // Truth a, a, b, c; predicted a, b, b, a; class d is never seen.
        let truth = [0.0, 0.0, 1.0, 2.0];
        let probabilities = [
            0.7, 0.1, 0.1, 0.1, //
            0.2, 0.6, 0.1, 0.1, //
            0.1, 0.8, 0.1, 0.0, //
            0.5, 0.2, 0.3, 0.0,
        ];
        let m = MulticlassMetrics::of(&truth, &probabilities, &classes(&["a", "b", "c", "d"]));
        close(m.accuracy, 0.5);
        close(m.classes[0].precision, 0.5);
        close(m.classes[0].recall, 0.5);
        close(m.classes[1].precision, 0.5);
        close(m.classes[1].recall, 1.0);
        close(m.classes[1].f1, 2.0 / 3.0);
        close(m.classes[2].f1, 0.0);
        assert_eq!(m.classes[3].support, 0);
        close(m.macro_f1, (0.5 + 2.0 / 3.0 + 0.0) / 3.0);
        let of_truth: [f64; 4] = [0.7, 0.2, 0.8, 0.3];
        close(m.log_loss, -of_truth.map(f64::ln).iter().sum::<f64>() / 4.0);
    }

    #[test]
    fn the_first_of_equals_is_most_likely() {
        assert_eq!(most_likely(&[0.2, 0.4, 0.4]), 1);
    }
}
