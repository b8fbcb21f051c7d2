//! Boosting round by round, judged by a second set of rows, until it gets no better.
use catalog::{Error, Result};

use super::{Booster, Library, Matrix};
use crate::spec::{Task, XgboostSpec};
use crate::train::TrainProgress;

/// Metrics of which more is better; their names may go on with `@k`.
const RISING: [&str; 5] = ["auc", "aucpr", "map", "ndcg", "pre"];

/// Rows to learn from or to be judged by.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// One row after the other; NaN is a missing value.
    pub values: &'a [f32],
    /// Numbers of a row.
    pub columns: usize,
    /// What is to be learned of each row.
    pub labels: &'a [f32],
    /// How much each row counts; empty when all count alike.
    pub weights: &'a [f32],
}

/// What came of boosting.
#[derive(Debug)]
pub struct Boosted<'lib> {
    /// The model, cut to its best round where it stopped early.
    pub booster: Booster<'lib>,
    /// Rounds in it.
    pub rounds: u32,
}

/// Learns from `train` as `spec` says; `classes` is their number, or 0. After each round the
/// metric is computed on both sets, and `watch` hears of it: `Ok(None)` once it answers false.
/// Without rows to be judged by, the metric there is NaN and training does not stop early.
///
/// # Errors
/// `InvalidInput` for parameters that XGBoost does not take, in its words; `Unsupported` for a
/// GPU that is not there.
pub fn boost<'lib>(
    library: &'lib Library,
    spec: &XgboostSpec,
    classes: usize,
    train: &Samples<'_>,
    judged: Option<&Samples<'_>>,
    watch: &mut dyn FnMut(TrainProgress) -> bool,
) -> Result<Option<Boosted<'lib>>> {
    library.capture_log()?;
    check_device(library, spec)?;
    let train = matrix(library, train)?;
    let judged = judged.map(|rows| matrix(library, rows)).transpose()?;
    let known: Vec<&Matrix> = std::iter::once(&train).chain(&judged).collect();
    let mut booster = Booster::new(library, &known)?;
    set(&mut booster, spec, classes)?;
    let mut evaluated = vec![(c"train", &train)];
    evaluated.extend(judged.as_ref().map(|judged| (c"test", judged)));
    let mut best = Best::default();
    for round in 0..spec.rounds {
        booster.update(round, &train)?;
        library.refuse_unused_parameters()?;
        library.refuse_a_missing_gpu()?;
        let progress = progress(round, spec.rounds, &booster.evaluate(round, &evaluated)?)?;
        let stop = spec.early_stopping > 0
            && judged.is_some()
            && best.since(&progress)? >= spec.early_stopping;
        if !watch(progress) {
            return Ok(None);
        }
        if stop {
            break;
        }
    }
    let rounds = match best.round {
        0 => spec.rounds,
        best => best,
    };
    if best.round > 0 {
        booster = booster.first(rounds)?;
    }
    Ok(Some(Boosted { booster, rounds }))
}

fn check_device(library: &Library, spec: &XgboostSpec) -> Result<()> {
    let device = spec.parameters.get("device").map_or("cpu", String::as_str);
    if device == "cpu" || library.has_cuda()? {
        return Ok(());
    }
    let message = format!(
        "xgboost.device is '{device}', and the library at {} is built for the CPU only",
        library.path().display()
    );
    Err(Error::unsupported(message).with_hint(
        "PUMPHOUSE_ML_XGBOOST_LIBRARY names a CUDA build, as in the Python package xgboost; \
         or say device = \"cpu\"",
    ))
}

fn matrix<'lib>(library: &'lib Library, rows: &Samples<'_>) -> Result<Matrix<'lib>> {
    let matrix = Matrix::new(library, rows.values, rows.columns)?.with_labels(rows.labels)?;
    match rows.weights {
        [] => Ok(matrix),
        weights => matrix.with_weights(weights),
    }
}

fn set(booster: &mut Booster<'_>, spec: &XgboostSpec, classes: usize) -> Result<()> {
    for (name, value) in &spec.parameters {
        booster.set(name, value)?;
    }
    booster.set("validate_parameters", "true")?;
    if spec.task == Task::Multiclass {
        booster.set("num_class", &classes.to_string())?;
    }
    Ok(())
}

/// The best round so far, from 1; 0 before any.
#[derive(Default)]
struct Best {
    round: u32,
    value: f64,
}

impl Best {
    /// Takes a round into account and tells how many have passed since the best.
    fn since(&mut self, progress: &TrainProgress) -> Result<u32> {
        let TrainProgress { round, metric, .. } = progress;
        let value = progress.test;
        if value.is_nan() {
            return Err(Error::invalid(format!(
                "{metric} is no number on the validation part, so it cannot say when to stop"
            ))
            .with_hint("take a larger dataset.validation_fraction, another eval_metric, or leave early_stopping out"));
        }
        let better = match rising(metric) {
            true => value > self.value,
            false => value < self.value,
        };
        if self.round == 0 || better {
            *self = Best {
                round: *round,
                value,
            };
        }
        Ok(round - self.round)
    }
}

/// Whether more of an XGBoost metric is better.
pub(crate) fn rising(metric: &str) -> bool {
    let name = metric.split('@').next().unwrap_or(metric);
    RISING.contains(&name)
}

/// Reads the first metric of the sets from XGBoost's line.
fn progress(round: u32, rounds: u32, line: &str) -> Result<TrainProgress> {
    let value_of = |part: &str| {
        let field = line.split('\t').find_map(|f| f.strip_prefix(part))?;
        let (metric, value) = field.rsplit_once(':')?;
        Some((metric.to_owned(), value.trim().parse::<f64>().ok()?))
    };
    let Some((metric, train)) = value_of("train-") else {
        return Err(Error::internal(format!(
            "XGBoost reported a round in a form that is not understood: {line:?}"
        )));
    };
    Ok(TrainProgress {
        metric,
        test: value_of("test-").map_or(f64::NAN, |(_, value)| value),
        ..TrainProgress::loss(round + 1, rounds, train)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_read_from_its_line() {
        let p = progress(4, 9, "[4]\ttrain-auc:0.75\ttest-auc:-nan").unwrap();
        assert_eq!((p.round, p.rounds, p.metric.as_str()), (5, 9, "auc"));
        assert_eq!(p.train, 0.75);
        assert!(p.test.is_nan());
        assert!(progress(0, 1, "[0]\ttrain-rmse:2").unwrap().test.is_nan());
        assert!(progress(0, 1, "[0]").is_err());
    }

    fn rounds_since(metric: &str, values: &[f64]) -> (u32, u32) {
        let mut best = Best::default();
        let mut since = 0;
        for (round, value) in (1..).zip(values) {
            let progress = TrainProgress {
                metric: metric.into(),
                test: *value,
                ..TrainProgress::loss(round, 9, 0.0)
            };
            since = best.since(&progress).unwrap();
        }
        (best.round, since)
    }

    #[test]
    fn the_best_round_is_the_first_of_equals_by_the_metrics_own_direction() {
        assert_eq!(rounds_since("rmse", &[3.0, 2.0, 2.0, 2.5]), (2, 2));
        assert_eq!(rounds_since("auc", &[0.5, 0.7, 0.9, 0.8]), (3, 1));
        assert_eq!(rounds_since("ndcg@5", &[0.5, 0.7]), (2, 0));
        assert_eq!(rounds_since("mae", &[-0.0, 0.0]), (1, 1));
    }
}
