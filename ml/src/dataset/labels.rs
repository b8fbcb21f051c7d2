//! The label column as numbers to learn: class numbers, or the values themselves.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
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
    /// One per row: a class number, or the value itself.
    pub(super) values: Vec<f32>,
    /// In order; empty for regression.
    pub(super) classes: Vec<Class>,
}

/// The rows that have a label, and how many had none: null, NaN or infinite.
pub(super) fn with_label(rows: &RecordBatch, label: usize) -> Result<(RecordBatch, u64)> {
    let column = rows.column(label);
    let known: BooleanArray = if column.data_type().is_floating() {
        let numbers = to_f64(column)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        numbers
            .iter()
            .map(|n| Some(n.is_some_and(f64::is_finite)))
            .collect()
    } else {
        // A column of type null says so only logically.
        let nulls = column.logical_nulls();
        let is_known = |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        (0..column.len()).map(|row| Some(is_known(row))).collect()
    };
    let kept = filter_record_batch(rows, &known)
        .map_err(|e| Error::internal("rows without a label cannot be dropped").with_source(e))?;
    if kept.num_rows() == 0 {
        return Err(Error::invalid(format!(
            "no row of the data set has a label: column '{}' is null throughout",
            rows.schema_ref().field(label).name()
        )));
    }
    let dropped = (rows.num_rows() - kept.num_rows()) as u64;
    Ok((kept, dropped))
}

/// Turns a label column without nulls into numbers.
pub(super) fn encode(column: &ArrayRef, name: &str, task: Task) -> Result<Labels> {
    if task == Task::Regression {
        return values(column, name);
    }
    let of_rows = classes(column, name)?;
    let classes: Vec<Class> = of_rows
        .iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .cloned()
        .collect();
    check_classes(&classes, name, task)?;
    let numbers: BTreeMap<&Class, f32> = classes
        .iter()
        .zip(0u16..)
        .map(|(c, n)| (c, f32::from(n)))
        .collect();
    Ok(Labels {
        values: of_rows.iter().map(|class| numbers[class]).collect(),
        classes,
    })
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

/// Refuses a train part that holds one class only.
pub(super) fn check_train_part(labels: &[f32], task: Task, classes: &[Class]) -> Result<()> {
    let Some(first) = labels.first() else {
        return Ok(());
    };
    if task == Task::Regression || labels.iter().any(|label| label != first) {
        return Ok(());
    }
    let only = classes
        .get(*first as usize)
        .map(Class::to_string)
        .unwrap_or_default();
    Err(Error::invalid(format!(
        "the part of the data set before the split holds only one class, '{only}'"
    ))
    .with_hint("take a smaller dataset.test_fraction, or rows from a longer time"))
}

fn values(column: &ArrayRef, name: &str) -> Result<Labels> {
    if !super::features::is_number(column.data_type()) {
        return Err(Error::invalid(format!(
            "the label '{name}' is {}, and regression predicts numbers",
            column.data_type()
        ))
        .with_hint("for classes say objective = \"multi:softprob\" or \"binary:logistic\""));
    }
    let numbers = to_f64(column)?;
    let values = numbers.as_primitive::<Float64Type>().iter();
    Ok(Labels {
        values: values.map(|v| v.unwrap_or(f64::NAN) as f32).collect(),
        classes: Vec::new(),
    })
}

fn classes(column: &ArrayRef, name: &str) -> Result<Vec<Class>> {
    let unfit = || {
        Error::invalid(format!(
            "the label '{name}' is {}, and classes are strings, integers or booleans",
            column.data_type()
        ))
    };
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean().iter();
            Ok(values
                .map(|v| Class::Boolean(v.unwrap_or_default()))
                .collect())
        }
        data_type if data_type.is_integer() => {
            let values = cast(column, &DataType::Int64).map_err(|e| unfit().with_source(e))?;
            let values = values.as_primitive::<Int64Type>().iter();
            values
                .map(|v| v.map(Class::Integer).ok_or_else(unfit))
                .collect()
        }
        data_type if data_type.is_numeric() => {
            let values = to_f64(column)?;
            values
                .as_primitive::<Float64Type>()
                .iter()
                .map(|v| whole(v, name))
                .collect()
        }
        _ => {
            let values = cast(column, &DataType::Utf8).map_err(|e| unfit().with_source(e))?;
            if !is_text(column.data_type()) {
                return Err(unfit());
            }
            let values = values.as_string::<i32>().iter();
            Ok(values
                .map(|v| Class::Text(v.unwrap_or_default().to_owned()))
                .collect())
        }
    }
}

/// JSON numbers arrive as floats, so whole ones are taken as integers.
fn whole(value: Option<f64>, name: &str) -> Result<Class> {
    match value {
        Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
            Ok(Class::Integer(value as i64))
        }
        value => Err(Error::invalid(format!(
            "the label '{name}' holds {}, which is no class",
            value.unwrap_or(f64::NAN)
        ))
        .with_hint("for numbers say objective = \"reg:squarederror\"")),
    }
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

    use arrow::array::{Float64Array, Int32Array, StringArray};

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
    fn rows_without_a_label_are_dropped_and_counted() {
        let label: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]));
        let rows = RecordBatch::try_from_iter_with_nullable([("y", label, true)]).unwrap();
        let (kept, dropped) = with_label(&rows, 0).unwrap();
        assert_eq!((kept.num_rows(), dropped), (1, 2));
        let none = rows.slice(1, 2);
        assert!(with_label(&none, 0).unwrap_err().message().contains("'y'"));
    }
}
