//! How far a model's answers are to be trusted, learned from samples that it did not learn
//! from: intervals around values, honest probabilities, how unusual a score is.
//!
//! | task       | method                                                                     |
//! |------------|----------------------------------------------------------------------------|
//! | regression | split conformal intervals, apart for small and large predictions           |
//! | quantiles  | conformalised quantile regression                                          |
//! | forecast   | split conformal intervals, apart for each step and target                  |
//! | classes    | Platt or beta calibration, or a temperature; whichever predicts better     |
//! | anomaly    | conformal p-values among scores of the normal                              |
//!
//! All of it is fitted on the part of the data set between training and test, and kept in the
//! manifest. Where early stopping looked at that part, its later half is set aside for this:
//! the round that stopping chose fits the samples it was chosen by.
mod interval;
mod probability;
mod pvalue;
mod reliability;

use catalog::Result;
use serde::{Deserialize, Serialize};

pub use interval::Bin;
pub use probability::Scaling;
pub use pvalue::Scores;

pub(crate) use interval::{around, outer, widened};
pub(crate) use reliability::measured;

use crate::dataset::{Dataset, Part};
use crate::spec::Task;
use crate::trainers::{Predictions, Predictor};

/// Samples predicted at once: windows are copied for that.
const AT_ONCE: usize = 8192;

/// What a model's answers are worth, as its manifest keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// How often intervals are to hold the truth.
    pub coverage: f64,
    /// Samples it was fitted on.
    pub samples: u64,
    /// What was found.
    #[serde(flatten)]
    pub method: Method,
}

/// What was found, by the kind of answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Method {
    /// Of a value: how far the truth lies from predictions of a size, from small to large.
    Residuals {
        /// Apart for predictions of different size; at least one.
        bins: Vec<Bin>,
    },
    /// Of quantiles: what the outer two are widened by; narrowed where it is negative. None
    /// where there were too few samples to say.
    Quantiles {
        /// In the label's unit.
        margin: Option<f64>,
    },
    /// Of a forecast: how far the truth lies from it, in the scale of the features, step by
    /// step and in a step target by target. None where there were too few samples to say.
    Steps {
        /// One for each value of a forecast.
        margins: Vec<Option<f64>>,
    },
    /// Of classes.
    Probabilities {
        /// How a model's scores become probabilities.
        scaling: Scaling,
    },
    /// Of an anomaly score.
    Scores {
        /// The scores of the normal.
        scores: Scores,
    },
}

/// Takes the samples to calibrate on out of the validation part: all of them, which stay
/// there too, or the later half alone where `stops_early` says that fitting chooses by them.
pub(crate) fn set_aside(dataset: &mut Dataset, task: Task, stops_early: bool) -> Part {
    let validation = &mut dataset.validation;
    // What is normal is often a handful of samples, and a score is not what was fitted.
    if !stops_early || task == Task::Anomaly || validation.len() < 2 {
        return validation.clone();
    }
    let half = validation.len() / 2;
    let later = |values: &mut Vec<f32>| match values.is_empty() {
        true => Vec::new(),
        false => values.split_off(half),
    };
    Part {
        ends: validation.ends.split_off(half),
        labels: later(&mut validation.labels),
        weights: later(&mut validation.weights),
    }
}

/// Fits the calibration of `predictor` to the samples of `part`; none without samples.
pub(crate) fn fit(
    task: Task,
    coverage: f64,
    dataset: &Dataset,
    part: &Part,
    predictor: &dyn Predictor,
) -> Result<Option<Calibration>> {
    if part.len() == 0 {
        return Ok(None);
    }
    let answer = predict(dataset, part, predictor)?;
    let labels = &part.labels;
    let method = match task {
        Task::Regression if answer.outputs > 1 => Method::Quantiles {
            margin: interval::quantile_margin(labels, &answer, coverage),
        },
        Task::Regression => Method::Residuals {
            bins: interval::bins(labels, &answer.values, coverage),
        },
        Task::Forecast => Method::Steps {
            margins: interval::steps(&futures(dataset, part), &answer, coverage),
        },
        Task::Binary => Method::Probabilities {
            scaling: probability::binary(labels, &answer.values),
        },
        Task::Multiclass => Method::Probabilities {
            scaling: probability::multiclass(labels, &answer.values, answer.outputs),
        },
        Task::Anomaly => {
            let normal = |at: &usize| labels.get(*at).is_none_or(|label| *label == 0.0);
            let normal = (0..answer.values.len()).filter(normal);
            Method::Scores {
                scores: Scores::of(normal.map(|at| answer.values[at]).collect()),
            }
        }
    };
    Ok(Some(Calibration {
        coverage,
        samples: part.len() as u64,
        method,
    }))
}

/// What a model answers to the samples of a part.
pub(crate) fn predict(
    dataset: &Dataset,
    part: &Part,
    predictor: &dyn Predictor,
) -> Result<Predictions> {
    let mut all = Predictions {
        values: Vec::new(),
        outputs: 0,
    };
    for ends in part.ends.chunks(AT_ONCE) {
        let answer = predictor.predict(&dataset.samples(ends))?;
        all.outputs = answer.outputs;
        all.values.extend(answer.values);
    }
    Ok(all)
}

/// What came after each sample of a part: horizon x targets values, scaled as the features.
pub(crate) fn futures(dataset: &Dataset, part: &Part) -> Vec<f32> {
    let of_sample = |end: &usize| {
        let rows = dataset.future(*end).chunks_exact(dataset.columns());
        rows.flat_map(|row| dataset.targets.iter().map(|target| row[*target]))
            .collect::<Vec<_>>()
    };
    part.ends.iter().flat_map(of_sample).collect()
}

/// The probabilities behind the scores of classes; of other tasks nothing.
pub(crate) fn probabilities(
    task: Task,
    calibration: Option<&Calibration>,
    answer: &Predictions,
) -> Vec<f32> {
    let scaling = match calibration.map(|it| &it.method) {
        Some(Method::Probabilities { scaling }) => *scaling,
        _ => Scaling::None,
    };
    let values = answer.values.iter();
    match task {
        Task::Binary => values
            .map(|s| scaling.of_two(f64::from(*s)) as f32)
            .collect(),
        Task::Multiclass => {
            let rows = answer.values.chunks_exact(answer.outputs.max(1));
            rows.flat_map(|row| scaling.of_several(row))
                .map(|p| p as f32)
                .collect()
        }
        Task::Regression | Task::Forecast | Task::Anomaly => Vec::new(),
    }
}
