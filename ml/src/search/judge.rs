//! The trials so far, and which of them is best.
use std::collections::BTreeMap;

use catalog::Result;

use super::Trial;
use super::median::MedianRule;
use super::run::Ran;
use crate::xgboost;

/// A metric's value so that less is better, and the way back.
pub(super) fn turned(metric: &str, value: f64) -> f64 {
    if xgboost::rising(metric) {
        -value
    } else {
        value
    }
}

/// The trials so far.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) trials: Vec<Trial>,
    pub(super) rule: MedianRule,
}

impl Judge {
    pub(super) fn take(
        &mut self,
        number: u32,
        parameters: BTreeMap<String, toml::Value>,
        ran: Result<Ran>,
    ) -> Result<()> {
        let mut trial = Trial {
            number,
            parameters,
            metric: String::new(),
            value: None,
            rounds: 0,
            ruled_out: None,
        };
        match ran {
            // One set of parameters may diverge where others do not.
            Err(error) if error.is_user_error() => trial.ruled_out = Some(error.to_string()),
            Err(error) => return Err(error),
            Ok(Ran {
                kept,
                metric,
                curve,
            }) => {
                let best = curve.iter().copied().fold(f64::INFINITY, f64::min);
                let value = match kept {
                    Some(rounds) => curve.get(rounds.max(1) as usize - 1).copied(),
                    None => Some(best),
                };
                trial.value = value
                    .map(|value| turned(&metric, value))
                    .filter(|v| v.is_finite());
                trial.rounds = kept.unwrap_or(curve.len() as u32);
                trial.metric = metric;
                trial.ruled_out = match (kept, trial.value) {
                    (None, _) => Some("stopped: worse than half of the finished trials".into()),
                    (Some(_), None) => Some("its metric is no number".into()),
                    (Some(_), Some(_)) => None,
                };
                if trial.ruled_out.is_none() {
                    self.rule.finished(curve);
                }
            }
        }
        self.trials.push(trial);
        Ok(())
    }

    /// The number of the best trial, the first of equals.
    pub(super) fn chosen(&self) -> Option<u32> {
        let candidates = self.trials.iter().filter(|trial| trial.ruled_out.is_none());
        let ranked = candidates.filter_map(|trial| {
            let value = turned(&trial.metric, trial.value?);
            Some((value, trial.number))
        });
        let best = ranked.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, number)| number)
    }

    pub(super) fn best_value(&self) -> Option<f64> {
        let chosen = self.chosen();
        let trial = self
            .trials
            .iter()
            .find(|trial| Some(trial.number) == chosen);
        trial.and_then(|trial| trial.value)
    }
}

#[cfg(test)]
mod tests {
    use catalog::Error;

    use super::*;

    fn ran(metric: &str, kept: Option<u32>, curve: &[f64]) -> Result<Ran> {
        Ok(Ran {
            kept,
            metric: metric.into(),
            curve: curve.iter().map(|v| turned(metric, *v)).collect(),
        })
    }

    #[test]
    fn the_best_round_that_was_kept_counts_and_the_best_trial_wins() {
        let mut judge = Judge::default();
        let mut take = |number, ran| judge.take(number, BTreeMap::new(), ran).unwrap();
        take(1, ran("auc", Some(2), &[0.6, 0.8, 0.7]));
        take(2, ran("auc", Some(1), &[0.7, 0.6]));
        take(3, ran("auc", None, &[0.9]));
        take(4, ran("auc", Some(1), &[f64::NAN]));
        take(5, Err(Error::invalid("it diverged")));
        let values: Vec<_> = judge.trials.iter().map(|t| t.value).collect();
        assert_eq!(values, [Some(0.8), Some(0.7), Some(0.9), None, None]);
        assert_eq!((judge.chosen(), judge.best_value()), (Some(1), Some(0.8)));
        let out: Vec<_> = judge.trials.iter().map(|t| t.ruled_out.is_some()).collect();
        assert_eq!(out, [false, false, true, true, true]);
        assert!(
            judge
                .take(6, BTreeMap::new(), Err(Error::internal("a fault")))
                .is_err()
        );
    }
}
