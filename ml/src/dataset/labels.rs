//! The label column as numbers to learn: class numbers, or the values themselves.
use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use catalog::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::spec::Task;

/// More classes than this are a number or an identifier taken for a label.
const MOST_CLASSES: usize = 1000;

/// One class of a label. Classes are ordered: false before true, numbers by
/// value, text by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Class {
    /// Of a boolean label.
    Boolean(bool),
    /// Of an integer label, or one of whole numbers.
    Integer(i64),
    /// Of a string label.
    Text(String),
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Class::Boolean(value) => value.fmt(f),
            Class::Integer(value) => value.fmt(f),
            Class::Text(value) => value.fmt(f),
        }
    }
}

/// The labels of a data set.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// One per row: a class number, or the value itself; NaN where there is none. Empty where
    /// nothing is labelled.
    pub(super) values: Vec<f32>,
    /// In order; empty for regression.
    pub(super) classes: Vec<Class>,
}

/// Turns a label column into numbers; null and NaN are no label.
///
/// # Errors
/// `InvalidInput` where no row has a label, or one that the task cannot learn.
pub(super) fn encode(column: &ArrayRef, name: &str, task: Task) -> Result<Labels> {
    if task == Task::Regression {
        return values(column, name);
    }
    let of_rows = classes(column, name)?;
    let classes: Vec<Class> = match task {
        Task::Anomaly => normal_and_not(&of_rows.found, name)?,
        _ => of_rows.found.keys().cloned().collect(),
    };
    if of_rows.found.is_empty() {
        return Err(no_label(name));
    }
    if task != Task::Anomaly {
        check_classes(&classes, name, task)?;
    }
    let mut numbers = vec![f32::NAN; of_rows.found.len()];
    for (class, at) in &of_rows.found {
        let number = classes.iter().position(|c| c == class);
        numbers[*at as usize] = number.unwrap_or_default() as f32;
    }
    let number = |at: &u32| numbers.get(*at as usize).copied().unwrap_or(f32::NAN);
    Ok(Labels {
        values: of_rows.rows.iter().map(number).collect(),
        classes,
    })
}

/// The two classes of a label that tells anomalies: they need not both be there.
fn normal_and_not(found: &BTreeMap<Class, u32>, name: &str) -> Result<Vec<Class>> {
    let pairs = [
        [Class::Boolean(false), Class::Boolean(true)],
        [Class::Integer(0), Class::Integer(1)],
    ];
    let of_all = |pair: &&[Class; 2]| found.keys().all(|class| pair.contains(class));
    if let Some(pair) = pairs.iter().find(of_all) {
        return Ok(pair.to_vec());
    }
    let other = found
        .keys()
        .map(Class::to_string)
        .find(|c| c != "0" && c != "1");
    Err(Error::invalid(format!(
        "the label '{name}' holds '{}', and of anomalies a label says whether a row is one",
        other.unwrap_or_default()
    ))
    .with_hint("make it a boolean, or 0 and 1, in the SQL: true and 1 are anomalies"))
}

fn no_label(name: &str) -> Error {
    Error::invalid(format!(
        "no row of the data set has a label: column '{name}' is null throughout"
    ))
}

fn check_classes(classes: &[Class], name: &str, task: Task) -> Result<()> {
    let count = classes.len();
    if let [only] = classes {
        return Err(Error::invalid(format!(
            "the label '{name}' has only one class, '{only}', so there is nothing to tell apart"
        )));
    }
    if task == Task::Binary && count > 2 {
        return Err(Error::invalid(format!(
            "the label '{name}' has {count} classes, and binary:logistic tells two apart"
        ))
        .with_hint("say objective = \"multi:softprob\", or make the label two-valued in the SQL"));
    }
    if count > MOST_CLASSES {
        return Err(Error::invalid(format!(
            "the label '{name}' has {count} classes; {MOST_CLASSES} are the most"
        ))
        .with_hint("is it a number? Then say objective = \"reg:squarederror\""));
    }
    Ok(())
}

/// Refuses a training part that holds one class only.
pub(super) fn check_train_part(labels: &[f32], task: Task, classes: &[Class]) -> Result<()> {
    let Some(first) = labels.first() else {
        return Ok(());
    };
    let told_apart = matches!(task, Task::Binary | Task::Multiclass);
    if !told_apart || labels.iter().any(|label| label != first) {
        return Ok(());
    }
    let only = classes
        .get(*first as usize)
        .map(Class::to_string)
        .unwrap_or_default();
    Err(Error::invalid(format!(
        "the training part of the data set holds only one class, '{only}'"
    ))
    .with_hint("take a smaller dataset.test_fraction, or rows from a longer time"))
}

fn values(column: &ArrayRef, name: &str) -> Result<Labels> {
    if column.logical_null_count() == column.len() {
        return Err(no_label(name));
    }
    if !super::features::is_number(column.data_type()) {
        return Err(Error::invalid(format!(
            "the label '{name}' is {}, and regression predicts numbers",
            column.data_type()
        ))
        .with_hint("for classes say objective = \"multi:softprob\" or \"binary:logistic\""));
    }
    let numbers = to_f64(column)?;
    let numbers = numbers.as_primitive::<Float64Type>().iter();
    let values: Vec<f32> = numbers.map(|v| v.unwrap_or(f64::NAN) as f32).collect();
    if let Some(value) = values.iter().find(|v| v.is_infinite()) {
        return Err(Error::invalid(format!(
            "the label '{name}' holds {value}, or a number that becomes so in single precision"
        ))
        .with_hint("bound it in the SQL, or turn it into null"));
    }
    if values.iter().all(|v| v.is_nan()) {
        return Err(no_label(name));
    }
    Ok(Labels {
        values,
        classes: Vec::new(),
    })
}

/// A label column as classes.
struct OfRows {
    /// One per row: where its class is among those found; [`NONE`] where it has none.
    rows: Vec<u32>,
    /// The classes, each with its number in the order they were met.
    found: BTreeMap<Class, u32>,
}

const NONE: u32 = u32::MAX;

/// Numbers values as they are met; equal neighbours, as series have them, cost nothing.
fn number<T: PartialEq + Ord + Copy>(
    values: impl Iterator<Item = Option<T>>,
    class: impl Fn(T) -> Result<Class>,
) -> Result<OfRows> {
    let mut found: BTreeMap<T, u32> = BTreeMap::new();
    let mut last = None;
    let mut rows = Vec::with_capacity(values.size_hint().0);
    for value in values {
        rows.push(match (value, last) {
            (None, _) => NONE,
            (Some(value), Some((same, at))) if value == same => at,
            (Some(value), _) => {
                let next = u32::try_from(found.len()).unwrap_or(NONE);
                let at = *found.entry(value).or_insert(next);
                last = Some((value, at));
                at
            }
        });
    }
    let found = found.into_iter().map(|(value, at)| Ok((class(value)?, at)));
    Ok(OfRows {
        rows,
        found: found.collect::<Result<_>>()?,
    })
}

fn classes(column: &ArrayRef, name: &str) -> Result<OfRows> {
    let unfit = || {
        Error::invalid(format!(
            "the label '{name}' is {}, and classes are strings, integers or booleans",
            column.data_type()
        ))
    };
    match column.data_type() {
        DataType::Null => Err(no_label(name)),
        DataType::Boolean => number(column.as_boolean().iter(), |v| Ok(Class::Boolean(v))),
        data_type if data_type.is_integer() => {
            let values = cast(column, &DataType::Int64).map_err(|e| unfit().with_source(e))?;
            if values.null_count() > column.null_count() {
                return Err(unfit());
            }
            let values = values.as_primitive::<Int64Type>().iter();
            number(values, |v| Ok(Class::Integer(v)))
        }
        data_type if data_type.is_numeric() => {
            let values = to_f64(column)?;
            let values = values.as_primitive::<Float64Type>().iter();
            // In bits, which have an order; what is no whole number is refused below.
            let bits = values.map(|v| v.filter(|v| !v.is_nan()).map(|v| (v + 0.0).to_bits()));
            number(bits, |v| whole(f64::from_bits(v), name))
        }
        _ => {
            if !is_text(column.data_type()) {
                return Err(unfit());
            }
            let values = cast(column, &DataType::Utf8).map_err(|e| unfit().with_source(e))?;
            number(values.as_string::<i32>().iter(), |v| {
                Ok(Class::Text(v.to_owned()))
            })
        }
    }
}

/// JSON numbers arrive as floats, so whole ones are taken as integers.
fn whole(value: f64, name: &str) -> Result<Class> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Ok(Class::Integer(value as i64));
    }
    Err(Error::invalid(format!(
        "the label '{name}' holds {value}, which is no class"
    ))
    .with_hint("for numbers say objective = \"reg:squarederror\""))
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_string(),
    }
}

fn to_f64(column: &ArrayRef) -> Result<ArrayRef> {
    cast(column, &DataType::Float64)
        .map_err(|e| Error::invalid("the label cannot be read as numbers").with_source(e))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int32Array, StringArray};

    use super::*;

    fn text(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn numbers(values: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    #[test]
    fn classes_are_numbered_in_order() {
        let labels = encode(&text(&["b", "a", "c", "a"]), "y", Task::Multiclass).unwrap();
        assert_eq!(labels.values, [1.0, 0.0, 2.0, 0.0]);
        assert_eq!(labels.classes[2], Class::Text("c".into()));
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![10, -2, 10]));
        let labels = encode(&ints, "y", Task::Binary).unwrap();
        assert_eq!(labels.classes, [Class::Integer(-2), Class::Integer(10)]);
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        assert_eq!(
            encode(&bools, "y", Task::Binary).unwrap().values,
            [1.0, 0.0]
        );
    }

    #[test]
    fn whole_floats_are_classes_and_others_are_not() {
        let labels = encode(&numbers(&[1.0, 0.0]), "y", Task::Binary).unwrap();
        assert_eq!(labels.classes, [Class::Integer(0), Class::Integer(1)]);
        let error = encode(&numbers(&[0.5, 1.0]), "y", Task::Binary).unwrap_err();
        assert!(error.message().contains("0.5"), "{error}");
    }

    #[test]
    fn too_few_and_too_many_classes_are_errors() {
        let error = encode(&text(&["a", "a"]), "y", Task::Multiclass).unwrap_err();
        assert!(error.message().contains("only one class, 'a'"), "{error}");
        let error = encode(&text(&["a", "b", "c"]), "y", Task::Binary).unwrap_err();
        assert!(error.hint().unwrap().contains("multi:softprob"), "{error}");
        let error = encode(&text(&["a"]), "y", Task::Regression).unwrap_err();
        assert!(error.message().contains("Utf8"), "{error}");
        let classes = [Class::Boolean(false), Class::Boolean(true)];
        assert!(check_train_part(&[1.0, 1.0], Task::Binary, &classes).is_err());
        assert!(check_train_part(&[1.0, 0.0], Task::Binary, &classes).is_ok());
    }

    #[test]
    fn rows_without_a_label_have_no_number() {
        let label: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]));
        let labels = encode(&label, "y", Task::Regression).unwrap();
        assert_eq!(labels.values[0], 1.0);
        assert!(labels.values[1].is_nan() && labels.values[2].is_nan());
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a")]));
        let labels = encode(&text, "y", Task::Binary).unwrap();
        assert_eq!((labels.values[0], labels.values[2]), (1.0, 0.0));
        assert!(labels.values[1].is_nan());
        for task in [Task::Regression, Task::Binary] {
            let error = encode(&label.slice(1, 2), "y", task).unwrap_err();
            assert!(error.message().contains("'y' is null"), "{error}");
        }
    }

    #[test]
    fn an_infinite_label_is_refused() {
        for value in [f64::INFINITY, 1e39] {
            let error = encode(&numbers(&[0.5, value]), "y", Task::Regression).unwrap_err();
            assert!(error.message().contains("inf"), "{error}");
        }
        let error = encode(&numbers(&[0.0, f64::INFINITY]), "y", Task::Binary).unwrap_err();
        assert!(error.message().contains("inf"), "{error}");
    }

    #[test]
    fn anomalies_are_told_by_true_or_one() {
        let labels = encode(&numbers(&[0.0, 0.0]), "y", Task::Anomaly).unwrap();
        assert_eq!(labels.classes, [Class::Integer(0), Class::Integer(1)]);
        let labels = encode(&numbers(&[1.0, 1.0]), "y", Task::Anomaly).unwrap();
        assert_eq!(labels.values, [1.0, 1.0]);
        let error = encode(&numbers(&[1.0, 2.0]), "y", Task::Anomaly).unwrap_err();
        assert!(error.message().contains("holds '2'"), "{error}");
    }
}
