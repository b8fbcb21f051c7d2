//! `[search]`: which parameters are tried, and how often.
use std::collections::BTreeMap;

use catalog::Result;
use rand::Rng;
use serde::Deserialize;

use super::invalid;

/// A random search (Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization",
/// JMLR 2012) over parameters of the spec's trainer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    /// Parameter sets that are tried.
    #[serde(default = "default_trials")]
    pub trials: u32,
    /// Of what is drawn.
    #[serde(default)]
    pub seed: u64,
    /// Whether trials that look hopeless are stopped.
    #[serde(default = "yes")]
    pub prune: bool,
    /// What is drawn for each parameter of the trainer's section; dots lead into tables, as in
    /// `schedule.learning_rate`.
    pub parameters: BTreeMap<String, Range>,
}

/// What a parameter is drawn from, each value alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// A number between two.
    Uniform([f64; 2]),
    /// A number between two above 0, each factor alike.
    LogUniform([f64; 2]),
    /// A whole number between two, both included.
    Int([i64; 2]),
    /// One of these.
    Choice(Vec<toml::Value>),
}

impl SearchSpec {
    pub(super) fn check(&self) -> Result<()> {
        if self.trials == 0 {
            return Err(invalid("search.trials is 0; at least one is tried".into()));
        }
        if self.parameters.is_empty() {
            return Err(invalid(
                "search.parameters is empty: say what to try".into(),
            ));
        }
        for (name, range) in &self.parameters {
            range
                .check()
                .map_err(|wrong| invalid(format!("search.parameters.{name} {wrong}")))?;
        }
        Ok(())
    }
}

impl Range {
    fn check(&self) -> Result<(), &'static str> {
        let rise = |[low, high]: &[f64; 2]| low < high && high.is_finite() && low.is_finite();
        match self {
            Range::Uniform(ends) | Range::LogUniform(ends) if !rise(ends) => {
                Err("must be a smaller and a larger number")
            }
            Range::LogUniform([low, _]) if *low <= 0.0 => Err("must be above 0: it is logarithmic"),
            Range::Int([low, high]) if low >= high => {
                Err("must be a smaller and a larger whole number")
            }
            Range::Choice(values) if values.is_empty() => Err("has nothing to choose from"),
            _ => Ok(()),
        }
    }

    /// A value of the range.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> toml::Value {
        match self {
            Range::Uniform([low, high]) => rounded(rng.random_range(*low..*high)).into(),
            Range::LogUniform([low, high]) => rounded(
                rng.random_range(low.ln()..high.ln())
                    .exp()
                    .clamp(*low, *high),
            )
            .into(),
            Range::Int([low, high]) => rng.random_range(*low..=*high).into(),
            Range::Choice(values) => values[rng.random_range(0..values.len())].clone(),
        }
    }
}

/// To four digits, as people write parameters; more would claim what no trial can tell.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

fn default_trials() -> u32 {
    20
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn spec(parameter: &str) -> SearchSpec {
        toml::from_str(&format!("trials = 9\n[parameters]\neta = {parameter}")).unwrap()
    }

    #[test]
    fn what_is_drawn_lies_in_its_range() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut draws = |parameter: &str| -> Vec<toml::Value> {
            let range = spec(parameter).parameters["eta"].clone();
            (0..200).map(|_| range.draw(&mut rng)).collect()
        };
        let floats = |values: Vec<toml::Value>| -> Vec<f64> {
            values.iter().map(|v| v.as_float().unwrap()).collect()
        };
        let uniform = floats(draws("{ uniform = [0.5, 1.0] }"));
        assert!(uniform.iter().all(|v| (0.5..=1.0).contains(v)));
        let log = floats(draws("{ log_uniform = [0.001, 1.0] }"));
        assert!(log.iter().all(|v| (0.001..=1.0).contains(v)));
        let small = log.iter().filter(|v| **v < 0.0316).count();
        assert!(
            (70..130).contains(&small),
            "{small} of 200 below the middle factor"
        );
        let whole = draws("{ int = [2, 4] }");
        for n in 2..=4 {
            assert!(whole.contains(&n.into()));
        }
        assert!(draws("{ choice = ['a', 7] }").contains(&"a".into()));
    }

    #[test]
    fn ranges_that_hold_nothing_are_named() {
        for (parameter, says) in [
            ("{ uniform = [1.0, 1.0] }", "a smaller and a larger"),
            ("{ log_uniform = [0.0, 1.0] }", "logarithmic"),
            ("{ int = [4, 2] }", "whole number"),
            ("{ choice = [] }", "nothing to choose"),
        ] {
            let error = spec(parameter).check().unwrap_err();
            assert!(error.message().contains("search.parameters.eta"), "{error}");
            assert!(error.message().contains(says), "{error}");
        }
    }
}
