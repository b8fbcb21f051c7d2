//! From which score on a sample is an anomaly.
use catalog::{Error, Result};

use crate::spec::autoencoder::{AutoencoderSpec, Maximise, Positive};

/// Mean plus `deviations` standard deviations of `scores`.
pub(super) fn mean_and_deviations(scores: &[f32], deviations: f64) -> f64 {
    let rows = scores.len() as f64;
    let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / rows;
    let squared = scores.iter().map(|s| (f64::from(*s) - mean).powi(2));
    mean + deviations * (squared.sum::<f64>() / rows).sqrt()
}

/// The least of `scores` that the part `quantile` of them does not exceed.
pub(super) fn quantile(mut scores: Vec<f32>, quantile: f64) -> f64 {
    scores.sort_by(f32::total_cmp);
    let rank = (scores.len() as f64 * quantile).ceil() as usize;
    f64::from(scores[rank.clamp(1, scores.len()) - 1])
}

/// The threshold, halfway between two scores, that tells labelled samples apart best; of equally
/// good ones the lowest.
///
/// # Errors
/// `InvalidInput` where all samples are of one kind.
pub(super) fn best(spec: &AutoencoderSpec, scored: &[(f32, bool)]) -> Result<f64> {
    let anomalies = scored.iter().filter(|(_, anomalous)| *anomalous).count();
    let normals = scored.len() - anomalies;
    if anomalies == 0 || normals == 0 {
        return Err(Error::invalid(format!(
            "the validation part holds {normals} normal and {anomalies} anomalous samples, and a \
             threshold is chosen between both"
        ))
        .with_hint(
            "raise dataset.validation_fraction, or say autoencoder.threshold = \"quantile\"",
        ));
    }
    let mut scored = scored.to_vec();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut best, mut threshold) = (f64::NEG_INFINITY, 0.0);
    let (mut normals_below, mut anomalies_below) = (0, 0);
    for (at, (score, anomalous)) in scored.iter().enumerate() {
        match anomalous {
            true => anomalies_below += 1,
            false => normals_below += 1,
        }
        let next = scored.get(at + 1).map(|(score, _)| *score);
        if next == Some(*score) {
            continue;
        }
        let caught = anomalies - anomalies_below;
        let right = match (spec.maximise, spec.positive) {
            (Maximise::Accuracy, _) => (normals_below + caught) as f64,
            (Maximise::F1, Positive::Anomaly) => {
                f1(caught, normals - normals_below, anomalies_below)
            }
            (Maximise::F1, Positive::Normal) => {
                f1(normals_below, anomalies_below, normals - normals_below)
            }
        };
        if right > best {
            best = right;
            let next = f64::from(next.unwrap_or(*score));
            threshold = f64::midpoint(f64::from(*score), next);
        }
    }
    Ok(threshold)
}

fn f1(hits: usize, false_alarms: usize, missed: usize) -> f64 {
    2.0 * hits as f64 / (2 * hits + false_alarms + missed).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> AutoencoderSpec {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn scores_give_mean_deviation_and_quantiles() {
        let scores = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(mean_and_deviations(&scores, 0.0), 2.5);
        let one = mean_and_deviations(&scores, 1.0);
        assert!((one - 2.5 - 1.25_f64.sqrt()).abs() < 1e-12, "{one}");
        assert_eq!(quantile(scores.to_vec(), 0.5), 2.0);
        assert_eq!(quantile(scores.to_vec(), 0.51), 3.0);
        assert_eq!(quantile(scores.to_vec(), 1.0), 4.0);
        assert_eq!(quantile(vec![7.0], 0.001), 7.0);
    }

    #[test]
    fn the_best_threshold_lies_between_the_kinds() {
        let scored = [
            (0.1, false),
            (0.2, false),
            (0.6, true),
            (0.4, false),
            (0.8, true),
        ];
        for text in [
            "",
            "maximise = 'f1'",
            "maximise = 'f1'\npositive = 'normal'",
        ] {
            let best = best(&spec(text), &scored).unwrap();
            assert!((best - 0.5).abs() < 1e-6, "{best}");
        }
        // Ties are not cut apart.
        let tied = [
            (0.1, false),
            (0.5, false),
            (0.5, true),
            (0.5, true),
            (0.9, true),
        ];
        let found = best(&spec(""), &tied).unwrap();
        assert!((found - 0.3).abs() < 1e-6, "{found}");
    }

    #[test]
    fn one_kind_only_is_an_error() {
        let error = best(&spec(""), &[(0.1, false)]).unwrap_err();
        assert!(
            error.message().contains("1 normal and 0 anomalous"),
            "{error}"
        );
    }
}
