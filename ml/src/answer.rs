//! What a model's numbers mean: the columns of an answer.
//!
//! | task           | column        | type                     | what                                   |
//! |----------------|---------------|--------------------------|----------------------------------------|
//! | classes        | `prediction`  | as the label             | the most likely class                  |
//! |                | `probability` | double, 0 to 1           | how likely that class is               |
//! | two classes    | `score`       | double, 0 to 1           | how likely the positive class is       |
//! | regression     | `prediction`  | double                   | the value; of quantiles the middle one |
//! |                | `lower`, `upper` | double, may be null   | the interval                           |
//! | forecast       | the same three | list of double by step  | of each row after the window           |
//! | anomaly        | `prediction`  | boolean                  | whether the score is beyond normal     |
//! |                | `score`       | double                   | the error of reproduction              |
//! |                | `probability` | double, may be null      | how sure that it is not normal         |
//!
//! A forecast of several targets answers structs of such lists, by target. Of two classes
//! the second in order (`true`, the larger number, the later text) is the positive one. Which
//! class is predicted is the learner's decision, as weights have formed it; `probability` and
//! `score` are calibrated, so that a class may be predicted at less than a half. Values are in
//! the unit of the label or target; bounds are null where a model has too little to promise
//! any.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Float64Builder, Int64Array, ListArray, StringArray,
    StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use catalog::{Error, Result};

use crate::calibrate::{Calibration, Method, Scaling, around, outer, widened};
use crate::dataset::{Class, Scale};
use crate::manifest::Manifest;
use crate::metrics::{is_positive, most_likely};
use crate::spec::Task;
use crate::trainers::Predictions;

/// The columns of a model's answer.
pub(crate) fn fields(manifest: &Manifest) -> Vec<Field> {
    let double = |name, nullable| Field::new(name, DataType::Float64, nullable);
    match manifest.task {
        Task::Binary | Task::Multiclass => {
            let prediction = match manifest.signature.classes.first() {
                Some(Class::Boolean(_)) => DataType::Boolean,
                Some(Class::Integer(_)) => DataType::Int64,
                Some(Class::Text(_)) | None => DataType::Utf8,
            };
            let mut fields = vec![Field::new("prediction", prediction, false)];
            fields.push(double("probability", false));
            if manifest.task == Task::Binary {
                fields.push(double("score", false));
            }
            fields
        }
        Task::Regression => vec![
            double("prediction", false),
            double("lower", true),
            double("upper", true),
        ],
        Task::Forecast => {
            let kind = forecast_type(&manifest.signature.targets);
            ["prediction", "lower", "upper"]
                .map(|name| Field::new(name, kind.clone(), name != "prediction"))
                .into()
        }
        Task::Anomaly => vec![
            Field::new("prediction", DataType::Boolean, false),
            double("score", false),
            double("probability", true),
        ],
    }
}

/// The answer to each sample as the columns of [`fields`]; sample by sample `groups` names the
/// series, empty where none is known.
///
/// # Errors
/// `Corrupt` where the values are not those of such a model.
pub(crate) fn columns(
    manifest: &Manifest,
    answer: &Predictions,
    groups: &[String],
) -> Result<Vec<ArrayRef>> {
    let outputs = answer.outputs;
    let expected = outputs_of(manifest).unwrap_or(outputs);
    if outputs != expected || outputs == 0 || !answer.values.len().is_multiple_of(outputs) {
        return Err(Error::corrupt(format!(
            "model {} answers {outputs} values a sample, which is not what its manifest says",
            manifest.model
        )));
    }
    Ok(match manifest.task {
        Task::Binary => binary(manifest, &answer.values),
        Task::Multiclass => multiclass(manifest, &answer.values),
        Task::Regression => regression(manifest, answer),
        Task::Forecast => forecast(manifest, &answer.values, groups),
        Task::Anomaly => anomaly(manifest, &answer.values),
    })
}

/// The values of a sample, where the manifest says.
fn outputs_of(manifest: &Manifest) -> Option<usize> {
    let signature = &manifest.signature;
    match manifest.task {
        Task::Multiclass => Some(signature.classes.len()),
        Task::Binary | Task::Anomaly => Some(1),
        Task::Forecast => Some(signature.horizon * signature.targets.len()),
        Task::Regression => None,
    }
}

fn binary(manifest: &Manifest, scores: &[f32]) -> Vec<ArrayRef> {
    let chosen: Vec<usize> = scores
        .iter()
        .map(|s| usize::from(is_positive(*s)))
        .collect();
    let scaling = scaling(manifest);
    let score: Vec<f64> = scores
        .iter()
        .map(|s| scaling.of_two(f64::from(*s)))
        .collect();
    let of_chosen = score.iter().zip(&chosen).map(|(score, class)| match class {
        1 => *score,
        _ => 1.0 - score,
    });
    vec![
        class_column(&manifest.signature.classes, &chosen),
        Arc::new(Float64Array::from_iter_values(of_chosen)),
        Arc::new(Float64Array::from(score)),
    ]
}

fn multiclass(manifest: &Manifest, probabilities: &[f32]) -> Vec<ArrayRef> {
    let classes = &manifest.signature.classes;
    let rows = || probabilities.chunks_exact(classes.len());
    let chosen: Vec<usize> = rows().map(most_likely).collect();
    let scaling = scaling(manifest);
    let of_chosen = rows()
        .zip(&chosen)
        .map(|(row, class)| scaling.of_several(row)[*class]);
    vec![
        class_column(classes, &chosen),
        Arc::new(Float64Array::from_iter_values(of_chosen)),
    ]
}

fn scaling(manifest: &Manifest) -> Scaling {
    match method(manifest) {
        Some(Method::Probabilities { scaling }) => *scaling,
        _ => Scaling::None,
    }
}

fn method(manifest: &Manifest) -> Option<&Method> {
    let calibration: Option<&Calibration> = manifest.calibration.as_ref();
    calibration.map(|it| &it.method)
}

fn regression(manifest: &Manifest, answer: &Predictions) -> Vec<ArrayRef> {
    let (mut predictions, mut bounds) = (Vec::new(), Vec::new());
    for row in answer.values.chunks_exact(answer.outputs) {
        let (lower, predicted, upper) = outer(row);
        predictions.push(predicted);
        bounds.push(match method(manifest) {
            Some(Method::Residuals { bins }) => around(bins, predicted),
            Some(Method::Quantiles { margin }) => {
                margin.map(|margin| widened(lower, upper, margin))
            }
            _ => None,
        });
    }
    let lower = bounds.iter().map(|it| it.map(|it| it.0));
    let upper = bounds.iter().map(|it| it.map(|it| it.1));
    vec![
        Arc::new(Float64Array::from(predictions)),
        Arc::new(lower.collect::<Float64Array>()),
        Arc::new(upper.collect::<Float64Array>()),
    ]
}

fn anomaly(manifest: &Manifest, scores: &[f32]) -> Vec<ArrayRef> {
    let beyond = scores
        .iter()
        .map(|score| Some(manifest.threshold.is_some_and(|most| *score > most)));
    let scores = || scores.iter().map(|score| f64::from(*score));
    let confidence = scores().map(|score| match method(manifest) {
        Some(Method::Scores { scores }) => scores.confidence(score),
        _ => None,
    });
    vec![
        Arc::new(BooleanArray::from_iter(beyond)),
        Arc::new(Float64Array::from_iter_values(scores())),
        Arc::new(confidence.collect::<Float64Array>()),
    ]
}

/// The lists of each column; `values` are horizon x targets a sample, scaled.
fn forecast(manifest: &Manifest, values: &[f32], groups: &[String]) -> Vec<ArrayRef> {
    let signature = &manifest.signature;
    let targets = signature.targets.len();
    let outputs = signature.horizon * targets;
    let scales: Vec<Vec<Option<Scale>>> = match groups {
        [] => vec![scales(manifest, None)],
        groups => groups.iter().map(|it| scales(manifest, Some(it))).collect(),
    };
    let margins = match method(manifest) {
        Some(Method::Steps { margins }) => margins.as_slice(),
        _ => &[],
    };
    // The sign of the margin: none, below, above.
    let column = |sign: Option<f64>| {
        let lists = (0..targets).map(|target| {
            let mut list = Float64Builder::with_capacity(values.len() / targets);
            for (sample, row) in values.chunks_exact(outputs).enumerate() {
                let scale = scales.get(sample).or(scales.last());
                let scale = scale.and_then(|it| it.get(target).copied().flatten());
                for step in 0..signature.horizon {
                    let output = step * targets + target;
                    let predicted = f64::from(row[output]);
                    let value = match sign {
                        None => Some(predicted),
                        Some(sign) => {
                            let margin = margins.get(output).copied().flatten();
                            margin.map(|margin| predicted + sign * margin)
                        }
                    };
                    list.append_option(value.map(|value| unscaled(value, scale)));
                }
            }
            lists_of(list, signature.horizon)
        });
        of_targets(&signature.targets, lists.collect())
    };
    vec![column(None), column(Some(-1.0)), column(Some(1.0))]
}

/// How each target is scaled in the series `group`.
fn scales(manifest: &Manifest, group: Option<&String>) -> Vec<Option<Scale>> {
    let Manifest {
        normalisation,
        signature,
        ..
    } = manifest;
    let own = group.and_then(|group| normalisation.groups.get(group));
    let scales = own.unwrap_or(&normalisation.scales);
    let of_target = |target: &String| {
        let at = signature.features.iter().position(|it| it.name == *target);
        at.and_then(|at| scales.get(at).copied())
    };
    signature.targets.iter().map(of_target).collect()
}

fn unscaled(value: f64, scale: Option<Scale>) -> f64 {
    scale.map_or(value, |by| {
        value * f64::from(by.scale) + f64::from(by.center)
    })
}

fn step_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

fn forecast_type(targets: &[String]) -> DataType {
    let list = DataType::List(step_field());
    match targets {
        [] | [_] => list,
        several => DataType::Struct(target_fields(several)),
    }
}

fn target_fields(targets: &[String]) -> Fields {
    let list = DataType::List(step_field());
    let fields = targets.iter();
    fields
        .map(|target| Field::new(target, list.clone(), true))
        .collect()
}

/// Lists of `length` values each.
fn lists_of(mut values: Float64Builder, length: usize) -> ArrayRef {
    let values = values.finish();
    let count = values.len() / length.max(1);
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, count));
    Arc::new(ListArray::new(
        step_field(),
        offsets,
        Arc::new(values),
        None,
    ))
}

fn of_targets(targets: &[String], mut lists: Vec<ArrayRef>) -> ArrayRef {
    match lists.len() {
        1 => lists.remove(0),
        _ => Arc::new(StructArray::new(target_fields(targets), lists, None)),
    }
}

/// The chosen classes as one column; all classes of a model are of one type.
fn class_column(classes: &[Class], chosen: &[usize]) -> ArrayRef {
    let chosen = chosen.iter().map(|class| &classes[*class]);
    match classes.first() {
        Some(Class::Boolean(_)) => Arc::new(BooleanArray::from_iter(
            chosen.map(|class| Some(*class == Class::Boolean(true))),
        )),
        Some(Class::Integer(_)) => {
            Arc::new(Int64Array::from_iter_values(chosen.map(
                |class| match class {
                    Class::Integer(value) => *value,
                    Class::Boolean(_) | Class::Text(_) => 0,
                },
            )))
        }
        _ => Arc::new(StringArray::from_iter_values(chosen.map(Class::to_string))),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;
    use serde_json::{Value, json};

    use super::*;

    #[allow(clippy::needless_pass_by_value)] // so that calls can hold json! as it is
    fn manifest(task: &str, signature: Value, calibration: Value) -> Manifest {
        let hash = "0".repeat(64);
        let text = json!({
            "format_version": 2, "model": "ml.m", "trainer": "gru", "trainer_version": "1",
            "code_version": "1", "task": task, "rounds": 1, "parameters": {},
            "artifact": {"path": "a", "format": "safetensors", "sha256": hash, "size": 1},
            "signature": signature, "calibration": calibration, "threshold": 2.5,
            "lineage": {"commit": hash, "sql": "", "time": null, "exclude": [],
                "test_fraction": 0.2, "split_at": "", "rows": {"train": 1, "test": 1, "dropped": 0}},
            "normalisation": {
                "scales": [{"center": 0.0, "scale": 1.0}, {"center": 10.0, "scale": 2.0}],
                "groups": {"p1": [{"center": 0.0, "scale": 1.0}, {"center": 100.0, "scale": 4.0}]}
            },
            "metrics": {"kind": "regression", "rmse": 1.0, "mae": 1.0, "r2": null},
        });
        serde_json::from_value(text).unwrap()
    }

    fn signature(targets: &[&str]) -> Value {
        let feature = |name: &str| json!({"name": name, "type": "Float64"});
        json!({
            "features": [feature("flow"), feature("pressure")], "label": null, "classes": [],
            "targets": targets, "length": 4, "horizon": 2,
        })
    }

    fn answer(values: &[f32], outputs: usize) -> Predictions {
        let values = values.to_vec();
        Predictions { values, outputs }
    }

    fn list(column: &ArrayRef, row: usize) -> Vec<Option<f64>> {
        let list = column.as_list::<i32>().value(row);
        list.as_primitive::<Float64Type>().iter().collect()
    }

    #[test]
    fn a_forecast_is_lists_in_the_unit_of_its_target_and_series() {
        let steps = json!({"coverage": 0.9, "samples": 99, "method": "steps",
            "margins": [0.5, null]});
        let manifest = manifest("forecast", signature(&["pressure"]), steps);
        let answer = answer(&[1.0, 2.0, 3.0, 4.0], 2);
        let groups = ["p1".to_owned(), "unknown".to_owned()];
        let columns = columns(&manifest, &answer, &groups).unwrap();
        assert_eq!(list(&columns[0], 0), [Some(104.0), Some(108.0)]);
        assert_eq!(list(&columns[1], 0), [Some(102.0), None]);
        assert_eq!(list(&columns[2], 1), [Some(17.0), None]);
        for (column, field) in columns.iter().zip(fields(&manifest)) {
            assert_eq!(column.data_type(), field.data_type());
        }
    }

    #[test]
    fn several_targets_answer_structs_of_lists() {
        let manifest = manifest("forecast", signature(&["flow", "pressure"]), Value::Null);
        let answer = answer(&[1.0, 2.0, 3.0, 4.0], 4);
        let columns = columns(&manifest, &answer, &[]).unwrap();
        let structs = columns[0].as_struct();
        assert_eq!(list(structs.column(0), 0), [Some(1.0), Some(3.0)]);
        assert_eq!(list(structs.column(1), 0), [Some(14.0), Some(18.0)]);
        assert_eq!(list(columns[1].as_struct().column(0), 0), [None, None]);
        assert_eq!(columns[0].data_type(), fields(&manifest)[0].data_type());
        let short = Predictions {
            values: vec![1.0, 2.0],
            outputs: 2,
        };
        let error = super::columns(&manifest, &short, &[]).unwrap_err();
        assert_eq!(error.kind(), catalog::ErrorKind::Corrupt);
    }

    #[test]
    fn quantiles_answer_their_middle_and_a_score_its_confidence() {
        let margin = json!({"coverage": 0.8, "samples": 99, "method": "quantiles", "margin": 1.0});
        let quantiles = manifest("regression", signature(&[]), margin);
        let columns = columns(&quantiles, &answer(&[1.0, 5.0, 3.0], 3), &[]).unwrap();
        let values = columns
            .iter()
            .map(|it| it.as_primitive::<Float64Type>().value(0));
        assert_eq!(values.collect::<Vec<_>>(), [3.0, 0.0, 6.0]);

        let scores = json!({"coverage": 0.9, "samples": 3, "method": "scores",
            "scores": {"count": 3, "ranks": [[0, 1.0], [1, 2.0], [2, 3.0]]}});
        let anomaly = manifest("anomaly", signature(&[]), scores);
        let columns = super::columns(&anomaly, &answer(&[2.0, 9.0], 1), &[]).unwrap();
        let beyond: Vec<_> = columns[0].as_boolean().iter().collect();
        assert_eq!(beyond, [Some(false), Some(true)]);
        assert_eq!(columns[2].as_primitive::<Float64Type>().value(1), 0.75);
    }
}
