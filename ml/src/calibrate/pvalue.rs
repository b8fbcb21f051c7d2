//! How unusual a score is among those of the normal.
//!
//! Of n normal samples and one more, the rank of its score is uniform when it is normal too, so
//! (1 + number of scores no smaller) / (n + 1) is a p-value: Vovk, Gammerman, Shafer (2005);
//! Bates, Candès, Lei, Romano, Sesia, "Testing for outliers with conformal p-values" (2023).
use serde::{Deserialize, Serialize};

/// Scores kept as they are at the upper end, where the decision is.
const TOP: usize = 256;
/// Scores kept of the rest, at even ranks.
const REST: usize = 256;

/// Scores of normal samples: all of them, or enough of many to bound a p-value from above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// How many there were.
    pub count: u64,
    /// By rank, from 0 for the smallest: the score.
    pub ranks: Vec<(u64, f32)>,
}

impl Scores {
    /// Of these scores.
    pub(super) fn of(mut scores: Vec<f32>) -> Scores {
        scores.retain(|score| !score.is_nan());
        scores.sort_by(f32::total_cmp);
        let rest = scores.len().saturating_sub(TOP);
        let step = rest.div_ceil(REST).max(1);
        let kept = (0..rest).step_by(step).chain(rest..scores.len());
        Scores {
            ranks: kept.map(|rank| (rank as u64, scores[rank])).collect(),
            count: scores.len() as u64,
        }
    }

    /// How sure it is that `score` is not normal: one minus its p-value, below 1 by as much as
    /// so many samples allow. None without any.
    pub(crate) fn confidence(&self, score: f64) -> Option<f64> {
        if self.count == 0 || score.is_nan() {
            return None;
        }
        let below = self.ranks.partition_point(|it| f64::from(it.1) < score);
        let at_most_smaller = below.checked_sub(1).map_or(0, |at| self.ranks[at].0 + 1);
        let no_smaller = self.count - at_most_smaller;
        Some(1.0 - (no_smaller + 1) as f64 / (self.count + 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_beyond_all_is_as_sure_as_the_samples_allow() {
        let scores = Scores::of(vec![3.0, 1.0, f32::NAN, 2.0]);
        assert_eq!(scores.count, 3);
        assert_eq!(scores.confidence(9.0), Some(0.75));
        assert_eq!(scores.confidence(2.5), Some(0.5));
        // Ties count against.
        assert_eq!(scores.confidence(2.0), Some(0.25));
        assert_eq!(scores.confidence(0.0), Some(0.0));
        assert_eq!(Scores::default().confidence(1.0), None);
        assert_eq!(scores.confidence(f64::NAN), None);
    }

    #[test]
    fn of_many_scores_few_are_kept_and_none_is_made_surer() {
        let all: Vec<f32> = (0..100_000_u32).map(|i| i as f32).collect();
        let scores = Scores::of(all);
        assert!(scores.ranks.len() <= TOP + REST);
        for score in [0.0, 777.5, 50_000.0, 99_800.5, 99_999.5] {
            let exact = 1.0 - (100_000.0 - f64::ceil(score) + 1.0) / 100_001.0;
            let found = scores.confidence(score).unwrap();
            assert!(found <= exact + 1e-12 && found > exact - 0.005, "{score}");
        }
        assert_eq!(
            scores.confidence(99_900.0).unwrap(),
            1.0 - 101.0 / 100_001.0
        );
    }
}
