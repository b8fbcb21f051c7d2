//! What a model said of some rows, and what was true of them.
use std::fmt;
use std::str::FromStr;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use catalog::{Error, Result};
use serde::{Deserialize, Serialize};

use super::recent::Rows;
use crate::dataset::is_number;
use crate::manifest::Manifest;
use crate::metrics::{is_positive, most_likely};
use crate::spec::Task;
use crate::trainers::Predictions;

/// A figure that predictions are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The part of rows predicted right.
    Accuracy,
    /// Of rows predicted positive, the part that are; over several classes their mean.
    Precision,
    /// Of positive rows, the part predicted so; over several classes their mean.
    Recall,
    /// Harmonic mean of the two; over several classes their mean.
    F1,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
    /// Mean absolute error over the absolute truth, of rows whose truth is not 0.
    Mape,
    /// The part of the variance explained.
    R2,
}

impl Metric {
    /// Of classes, or of numbers.
    pub(crate) fn all(classes: bool) -> &'static [Metric] {
        match classes {
            true => &[
                Metric::Accuracy,
                Metric::Precision,
                Metric::Recall,
                Metric::F1,
            ],
            false => &[Metric::Rmse, Metric::Mae, Metric::Mape, Metric::R2],
        }
    }

    /// Whether more is better.
    pub(crate) fn more_is_better(self) -> bool {
        !matches!(self, Metric::Rmse | Metric::Mae | Metric::Mape)
    }

    fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::Precision => "precision",
            Metric::Recall => "recall",
            Metric::F1 => "f1",
            Metric::Rmse => "rmse",
            Metric::Mae => "mae",
            Metric::Mape => "mape",
            Metric::R2 => "r2",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Metric, String> {
        let all = [Metric::all(true), Metric::all(false)].concat();
        let found = all.iter().find(|metric| metric.name() == text).copied();
        found.ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|metric| metric.name()).collect();
            format!("no metric {text:?}; there are {}", names.join(", "))
        })
    }
}

/// Truth and prediction of samples, one pair or more each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// As positions among `names`.
    Classes {
        truth: Vec<usize>,
        predicted: Vec<usize>,
        names: Vec<String>,
        /// The class whose precision and recall count; all alike where there is none.
        positive: Option<usize>,
    },
    /// `width` of each sample.
    Numbers {
        truth: Vec<f64>,
        predicted: Vec<f64>,
        width: usize,
    },
}

impl Outcome {
    /// Compares what a model answered to the samples that end at `ends` to the rows.
    pub(crate) fn of(
        manifest: &Manifest,
        rows: &Rows,
        ends: &[usize],
        answer: &Predictions,
    ) -> Result<Outcome> {
        match manifest.task {
            Task::Forecast => forecast(manifest, rows, ends, answer),
            Task::Regression => {
                let label = label(manifest, rows)?;
                let numbers = cast(label, &DataType::Float64)
                    .map_err(|e| Error::invalid("the label is no number").with_source(e))?;
                let numbers = numbers.as_primitive::<Float64Type>();
                let outputs = answer.outputs.max(1);
                let middle = |row: &[f32]| f64::from(row[outputs / 2]);
                Ok(Outcome::Numbers {
                    truth: ends.iter().map(|end| numbers.value(*end)).collect(),
                    predicted: answer.values.chunks_exact(outputs).map(middle).collect(),
                    width: 1,
                })
            }
            Task::Binary | Task::Multiclass | Task::Anomaly => {
                classes(manifest, rows, ends, answer)
            }
        }
    }

    /// Samples.
    pub(crate) fn len(&self) -> usize {
        match self {
            Outcome::Classes { truth, .. } => truth.len(),
            Outcome::Numbers { truth, width, .. } => truth.len() / width,
        }
    }

    /// Whether it is about classes.
    pub(crate) fn is_classes(&self) -> bool {
        matches!(self, Outcome::Classes { .. })
    }

    /// The figure over all samples; NaN where it has none, such as of no samples.
    pub(crate) fn value(&self, metric: Metric) -> f64 {
        self.value_over(metric, 0..self.len())
    }

    /// The figure over the samples `which`, repeated ones as often as they are named.
    pub(crate) fn value_over(
        &self,
        metric: Metric,
        which: impl Iterator<Item = usize> + Clone,
    ) -> f64 {
        match self {
            Outcome::Classes {
                truth,
                predicted,
                names,
                positive,
            } => {
                let pairs = which.map(|i| (truth[i], predicted[i]));
                of_classes(metric, pairs, names.len(), *positive)
            }
            Outcome::Numbers {
                truth,
                predicted,
                width,
            } => {
                let all = which.flat_map(|i| i * width..(i + 1) * width);
                of_numbers(metric, all.map(|i| (truth[i], predicted[i])))
            }
        }
    }
}

/// The rows of `ends` whose truth is known.
pub(crate) fn labelled(manifest: &Manifest, rows: &Rows, ends: Vec<usize>) -> Result<Vec<usize>> {
    if manifest.task == Task::Forecast {
        return Ok(ends);
    }
    let label = label(manifest, rows)?;
    Ok(ends
        .into_iter()
        .filter(|end| label.is_valid(*end))
        .collect())
}

fn label<'a>(manifest: &Manifest, rows: &'a Rows) -> Result<&'a ArrayRef> {
    match &manifest.signature.label {
        Some(label) => rows.column(&label.name),
        None => Err(Error::invalid(format!(
            "{} was trained without a label",
            manifest.model
        ))),
    }
}

fn classes(
    manifest: &Manifest,
    rows: &Rows,
    ends: &[usize],
    answer: &Predictions,
) -> Result<Outcome> {
    let outputs = match manifest.task {
        Task::Multiclass => manifest.signature.classes.len(),
        _ => 1,
    };
    check_outputs(manifest, answer, outputs)?;
    let mut names: Vec<String> = match manifest.task {
        Task::Anomaly => vec!["false".to_owned(), "true".to_owned()],
        _ => manifest
            .signature
            .classes
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    let predicted = answer
        .values
        .chunks_exact(answer.outputs.max(1))
        .map(|row| match manifest.task {
            Task::Multiclass => most_likely(row),
            Task::Anomaly => usize::from(manifest.threshold.is_some_and(|limit| row[0] > limit)),
            _ => usize::from(is_positive(row[0])),
        });
    let predicted = predicted.collect();
    let texts = texts(label(manifest, rows)?)?;
    let truth = ends.iter().map(|end| {
        let text = match (manifest.task, texts[*end].as_str()) {
            (Task::Anomaly, "1") => "true",
            (Task::Anomaly, "0") => "false",
            (_, text) => text,
        };
        // A class that the model never saw counts as one it never names.
        names
            .iter()
            .position(|name| name == text)
            .unwrap_or_else(|| {
                names.push(text.to_owned());
                names.len() - 1
            })
    });
    let truth = truth.collect();
    Ok(Outcome::Classes {
        truth,
        predicted,
        positive: (manifest.task != Task::Multiclass).then_some(1),
        names,
    })
}

/// Refuses values that are not those of such a model.
fn check_outputs(manifest: &Manifest, answer: &Predictions, outputs: usize) -> Result<()> {
    match answer.outputs == outputs {
        true => Ok(()),
        false => Err(Error::corrupt(format!(
            "model {} answers {} values a sample, which is not what its manifest says",
            manifest.model, answer.outputs
        ))),
    }
}

/// Labels as classes are written: whole numbers without a point.
fn texts(column: &ArrayRef) -> Result<Vec<String>> {
    let wrong = |e| Error::invalid("the label cannot be read").with_source(e);
    let kind = column.data_type();
    if is_number(kind) && !matches!(kind, DataType::Boolean) {
        let numbers = cast(column, &DataType::Float64).map_err(wrong)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        return Ok((0..numbers.len())
            .map(|i| numbers.value(i).to_string())
            .collect());
    }
    let texts = cast(column, &DataType::Utf8).map_err(wrong)?;
    let texts = texts.as_string::<i32>();
    Ok((0..texts.len())
        .map(|i| texts.value(i).to_owned())
        .collect())
}

/// All values of all horizons; what the model says is in the scale of its features.
fn forecast(
    manifest: &Manifest,
    rows: &Rows,
    ends: &[usize],
    answer: &Predictions,
) -> Result<Outcome> {
    let signature = &manifest.signature;
    let targets = &signature.targets;
    let numbers = rows.numbers(targets.iter().map(String::as_str))?;
    let width = signature.horizon * targets.len();
    let future = |end: &usize| &numbers[(end + 1) * targets.len()..][..width];
    check_outputs(manifest, answer, width)?;
    let positions: Vec<usize> = targets
        .iter()
        .filter_map(|target| signature.features.iter().position(|f| f.name == *target))
        .collect();
    let samples = answer.values.chunks_exact(width.max(1)).zip(ends);
    let unscaled = samples.flat_map(|(values, end)| {
        let own = manifest.normalisation.groups.get(rows.entity(*end));
        let scales = own.unwrap_or(&manifest.normalisation.scales);
        let by = positions.iter().cycle().map(|at| scales.get(*at));
        values.iter().zip(by).map(|(value, by)| {
            let value = f64::from(*value);
            by.map_or(value, |by| {
                value * f64::from(by.scale) + f64::from(by.center)
            })
        })
    });
    Ok(Outcome::Numbers {
        truth: ends
            .iter()
            .flat_map(future)
            .map(|v| f64::from(*v))
            .collect(),
        predicted: unscaled.collect(),
        width,
    })
}

fn of_classes(
    metric: Metric,
    pairs: impl Iterator<Item = (usize, usize)>,
    classes: usize,
    positive: Option<usize>,
) -> f64 {
    let (mut hits, mut named, mut actual) =
        (vec![0.0; classes], vec![0.0; classes], vec![0.0; classes]);
    for (truth, predicted) in pairs {
        actual[truth] += 1.0;
        named[predicted] += 1.0;
        if truth == predicted {
            hits[truth] += 1.0;
        }
    }
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let of = |class: usize| match metric {
        Metric::Precision => ratio(hits[class], named[class]),
        Metric::Recall => ratio(hits[class], actual[class]),
        _ => ratio(2.0 * hits[class], named[class] + actual[class]),
    };
    if metric == Metric::Accuracy {
        return hits.iter().sum::<f64>() / actual.iter().sum::<f64>();
    }
    if let Some(positive) = positive {
        return of(positive);
    }
    let seen: Vec<usize> = (0..classes)
        .filter(|c| named[*c] + actual[*c] > 0.0)
        .collect();
    seen.iter().map(|class| of(*class)).sum::<f64>() / seen.len() as f64
}

fn of_numbers(metric: Metric, pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let known = pairs.filter(|(truth, predicted)| truth.is_finite() && predicted.is_finite());
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
        sum / count
    };
    let squared = || mean(&mut known.clone().map(|(t, p)| (t - p).powi(2)));
    match metric {
        Metric::Mae => mean(&mut known.map(|(t, p)| (t - p).abs())),
        Metric::Mape => {
            let relative = known.filter(|(t, _)| *t != 0.0);
            mean(&mut relative.map(|(t, p)| ((t - p) / t).abs()))
        }
        Metric::R2 => {
            let middle = mean(&mut known.clone().map(|(t, _)| t));
            let spread = mean(&mut known.clone().map(|(t, _)| (t - middle).powi(2)));
            1.0 - squared() / spread
        }
        _ => squared().sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} is not {right}");
    }

    fn binary(truth: &[usize], predicted: &[usize]) -> Outcome {
        Outcome::Classes {
            truth: truth.to_vec(),
            predicted: predicted.to_vec(),
            names: vec!["false".into(), "true".into()],
            positive: Some(1),
        }
    }

    #[test]
    fn two_classes_are_judged_by_the_positive_one() {
        let outcome = binary(&[0, 0, 1, 1, 1, 0], &[0, 1, 1, 0, 1, 0]);
        close(outcome.value(Metric::Accuracy), 4.0 / 6.0);
        close(outcome.value(Metric::Precision), 2.0 / 3.0);
        close(outcome.value(Metric::Recall), 2.0 / 3.0);
        close(outcome.value(Metric::F1), 2.0 / 3.0);
        // Only the first three, the third of them twice.
        close(
            outcome.value_over(Metric::Recall, [0, 1, 2, 2].into_iter()),
            1.0,
        );
        assert_eq!(binary(&[0], &[0]).value(Metric::F1), 0.0);
        assert!(binary(&[], &[]).value(Metric::Accuracy).is_nan());
    }

    #[test]
    fn several_classes_count_alike_and_unknown_ones_as_missed() {
        let outcome = Outcome::Classes {
            truth: vec![0, 0, 1, 2],
            predicted: vec![0, 1, 1, 0],
            names: ["a", "b", "c", "d"].map(String::from).to_vec(),
            positive: None,
        };
        close(outcome.value(Metric::F1), (0.5 + 2.0 / 3.0 + 0.0) / 3.0);
        close(outcome.value(Metric::Recall), (0.5 + 1.0 + 0.0) / 3.0);
    }

    #[test]
    fn numbers_are_judged_by_their_errors() {
        let outcome = Outcome::Numbers {
            truth: vec![1.0, 2.0, 0.0, 4.0],
            predicted: vec![0.0, 3.0, 2.0, 4.0],
            width: 2,
        };
        assert_eq!(outcome.len(), 2);
        close(outcome.value(Metric::Rmse), 1.5_f64.sqrt());
        close(outcome.value(Metric::Mae), 1.0);
        // A truth of 0 has no relative error.
        close(outcome.value(Metric::Mape), (1.0 + 0.5 + 0.0) / 3.0);
        // Variance around 1.75 is 2.1875.
        close(outcome.value(Metric::R2), 1.0 - 1.5 / 2.1875);
        close(outcome.value_over(Metric::Mae, std::iter::once(1)), 1.0);
    }

    #[test]
    fn a_metric_is_named_as_it_is_written() {
        assert_eq!("f1".parse(), Ok(Metric::F1));
        assert!("f2".parse::<Metric>().unwrap_err().contains("accuracy"));
    }
}
