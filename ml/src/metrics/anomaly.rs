//! Metrics of a model that tells anomalies by a score and a threshold.
use serde::{Deserialize, Serialize};

use super::binary::auc;
use super::{precision_recall_f1, ratio};
use crate::spec::autoencoder::Positive;

/// What a model took for anomalies, and how right it was where labels say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnomalyMetrics {
    /// The part of samples with a score above the threshold.
    pub flagged: f64,
    /// Compared to the labels; none without.
    pub detection: Option<Detection>,
}

/// How well anomalies are told from what is normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The part of samples told right.
    pub accuracy: f64,
    /// Of the positive side, which the spec names: the part of samples said to be of it that are.
    pub precision: f64,
    /// The part of its samples said to be of it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// The part of normal samples taken for anomalies, whichever side is the positive one.
    pub false_alarm_rate: f64,
    /// The part of anomalies taken for normal.
    pub missed_alarm_rate: f64,
    /// Area under the ROC curve of the score; none where the test part holds one kind only.
    pub auc: Option<f64>,
    /// Anomalies of the test part.
    pub anomalies: u64,
}

impl AnomalyMetrics {
    /// Compares `scores`, anomalies above `threshold`, to the labels `anomalous`, one for each
    /// score or none at all. Precision, recall and F1 are those of the `positive` side.
    pub(crate) fn of(
        anomalous: &[bool],
        scores: &[f32],
        threshold: f32,
        positive: Positive,
    ) -> AnomalyMetrics {
        let flagged = |score: &f32| *score > threshold;
        let raised = scores.iter().filter(|s| flagged(s)).count() as u64;
        let rows = scores.len() as u64;
        if anomalous.is_empty() {
            return AnomalyMetrics {
                flagged: ratio(raised, rows),
                detection: None,
            };
        }
        let anomalies = anomalous.iter().filter(|a| **a).count() as u64;
        let both = anomalous.iter().zip(scores);
        let caught = both.filter(|(a, s)| **a && flagged(s)).count() as u64;
        let normals = rows - anomalies;
        let false_alarms = raised - caught;
        let quiet = normals - false_alarms;
        let (precision, recall, f1) = match positive {
            Positive::Normal => precision_recall_f1(quiet, rows - raised, normals),
            Positive::Anomaly => precision_recall_f1(caught, raised, anomalies),
        };
        let truth: Vec<f32> = anomalous.iter().map(|a| f32::from(u8::from(*a))).collect();
        AnomalyMetrics {
            flagged: ratio(raised, rows),
            detection: Some(Detection {
                accuracy: ratio(caught + quiet, rows),
                precision,
                recall,
                f1,
                false_alarm_rate: ratio(false_alarms, normals),
                missed_alarm_rate: ratio(anomalies - caught, anomalies),
                auc: auc(&truth, scores),
                anomalies,
            }),
        }
    }

    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        let Some(m) = &self.detection else {
            return vec![("flagged", self.flagged)];
        };
        let mut figures = vec![
            ("accuracy", m.accuracy),
            ("precision", m.precision),
            ("recall", m.recall),
            ("f1", m.f1),
            ("false alarm rate", m.false_alarm_rate),
            ("missed alarm rate", m.missed_alarm_rate),
        ];
        figures.extend(m.auc.map(|auc| ("auc", auc)));
        figures.push(("flagged", self.flagged));
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [bool; 5] = [false, false, false, true, true];
    const SCORES: [f32; 5] = [0.1, 0.9, 0.2, 0.8, 0.3];

    #[test]
    fn matches_a_hand_computed_example() {
        // Above 0.5: one of three normal samples, one of two anomalies.
        let metrics = AnomalyMetrics::of(&TRUTH, &SCORES, 0.5, Positive::Anomaly);
        assert_eq!(metrics.flagged, 0.4);
        let m = metrics.detection.unwrap();
        assert_eq!(
            (m.accuracy, m.precision, m.recall, m.f1),
            (0.6, 0.5, 0.5, 0.5)
        );
        assert_eq!((m.false_alarm_rate, m.missed_alarm_rate), (1.0 / 3.0, 0.5));
        // Of 6 pairs (0.9, 0.8) and (0.9, 0.3) are the wrong way round.
        assert!((m.auc.unwrap() - 4.0 / 6.0).abs() < 1e-9);
        assert_eq!(m.anomalies, 2);
    }

    #[test]
    fn the_normal_side_can_be_the_positive_one() {
        let m = AnomalyMetrics::of(&TRUTH, &SCORES, 0.5, Positive::Normal)
            .detection
            .unwrap();
        assert_eq!((m.precision, m.recall), (2.0 / 3.0, 2.0 / 3.0));
        assert_eq!((m.false_alarm_rate, m.missed_alarm_rate), (1.0 / 3.0, 0.5));
    }

    #[test]
    fn without_labels_the_flagged_part_is_told() {
        let metrics = AnomalyMetrics::of(&[], &SCORES, 0.5, Positive::Anomaly);
        assert_eq!(metrics.figures(), [("flagged", 0.4)]);
        let none = AnomalyMetrics::of(&[false], &[0.1], 0.5, Positive::Anomaly);
        let m = none.detection.unwrap();
        assert_eq!((m.auc, m.recall, m.missed_alarm_rate), (None, 0.0, 0.0));
    }

    #[test]
    fn a_score_at_the_threshold_is_no_anomaly() {
        assert_eq!(
            AnomalyMetrics::of(&[], &[0.5], 0.5, Positive::Anomaly).flagged,
            0.0
        );
    }
}
