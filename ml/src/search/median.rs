//! When a trial is hopeless: the median stopping rule of Golovin et al., "Google Vizier: A
//! Service for Black-Box Optimization", KDD 2017, section 3.2.2.

/// Trials that are finished before the rule stops any.
const LEAST_TRIALS: usize = 5;

/// The part of a trial's rounds that it is given in any case: small steps begin slowly.
const GRACE: f64 = 0.25;

/// The finished trials, as far as the rule needs them. Smaller values are better.
#[derive(Clone, Debug, Default)]
pub(super) struct MedianRule {
    curves: Vec<Vec<f64>>,
}

impl MedianRule {
    /// Takes in the values of a finished trial, round by round.
    pub(super) fn finished(&mut self, curve: Vec<f64>) {
        self.curves.push(curve);
    }

    /// Whether a trial that has come to `curve` of `rounds` rounds has a best value worse than
    /// the median of what the finished trials' values were on average up to the same round.
    pub(super) fn hopeless(&self, curve: &[f64], rounds: u32) -> bool {
        let at = curve.len();
        if self.curves.len() < LEAST_TRIALS || (at as f64) < GRACE * f64::from(rounds) {
            return false;
        }
        let mut averages: Vec<f64> = self.curves.iter().map(|c| average(c, at)).collect();
        averages.sort_by(f64::total_cmp);
        let median = averages[averages.len() / 2];
        curve.iter().copied().fold(f64::INFINITY, f64::min) > median
    }
}

fn average(curve: &[f64], rounds: usize) -> f64 {
    let seen = &curve[..rounds.min(curve.len())];
    seen.iter().sum::<f64>() / seen.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(trials: usize) -> MedianRule {
        let mut rule = MedianRule::default();
        for trial in 0..trials {
            // They fall from 10 to 1 + trial.
            let last = 1.0 + trial as f64;
            rule.finished(
                (0..8)
                    .map(|r| 10.0 + (last - 10.0) * f64::from(r) / 7.0)
                    .collect(),
            );
        }
        rule
    }

    #[test]
    fn what_stays_worse_than_half_the_others_is_hopeless() {
        assert!(rule(5).hopeless(&[9.9; 8], 8));
        assert!(!rule(5).hopeless(&[10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], 8));
        // One good round is enough, as the best counts.
        assert!(!rule(5).hopeless(&[2.0, 9.9, 9.9, 9.9, 9.9, 9.9, 9.9, 9.9], 8));
    }

    #[test]
    fn the_first_trials_and_the_first_rounds_are_spared() {
        assert!(!rule(4).hopeless(&[99.0; 8], 8));
        assert!(!rule(5).hopeless(&[99.0; 1], 8));
        assert!(rule(5).hopeless(&[99.0; 2], 8));
    }

    #[test]
    fn a_trial_may_have_stopped_before_the_round_in_question() {
        let mut rule = MedianRule::default();
        (0..5).for_each(|_| rule.finished(vec![1.0, 0.5]));
        assert!(!rule.hopeless(&[0.7; 8], 8));
        assert!(rule.hopeless(&[0.8; 8], 8));
    }
}
