//! Columns of features as the samples a model reads.
use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use catalog::{Error, Result};

use crate::dataset::is_number;
use crate::manifest::{Manifest, Signature};

/// Samples of some rows.
#[derive(Debug, PartialEq)]
pub(crate) struct Samples {
    /// One sample after the other, each `length` x features numbers; NaN is a missing value.
    pub(crate) values: Vec<f32>,
    /// The row each sample is of; none where every row has one.
    pub(crate) rows: Option<Vec<usize>>,
}

/// Refuses a column that cannot be the feature `name` of a model: of a model over windows a
/// list of numbers is asked for, of others a number or a boolean.
pub(crate) fn check_type(manifest: &Manifest, name: &str, data_type: &DataType) -> Result<()> {
    let model = &manifest.model;
    let length = manifest.signature.length;
    match (length, list_of(data_type)) {
        _ if *data_type == DataType::Null => Ok(()),
        (1, None) if is_number(data_type) => Ok(()),
        (1, _) => Err(Error::invalid(format!(
            "model {model} reads the column '{name}' as a number, and it is {data_type}"
        ))),
        (_, Some(of)) if is_number(of) || *of == DataType::Null => Ok(()),
        _ => Err(Error::invalid(format!(
            "model {model} reads '{name}' as a list of {length} numbers, and it is {data_type}"
        ))
        .with_hint(format!(
            "array_agg(column) over (partition by ... order by ... rows between {} preceding and current row) makes one",
            length - 1
        ))),
    }
}

/// The same where rows hold numbers also for a model over windows.
pub(crate) fn check_scalar(manifest: &Manifest, name: &str, data_type: &DataType) -> Result<()> {
    if is_number(data_type) || *data_type == DataType::Null {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "model {} reads the column '{name}' as a number, and it is {data_type}",
        manifest.model
    )))
}

fn list_of(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => {
            Some(of.data_type())
        }
        _ => None,
    }
}

/// The samples that `columns` hold, one column for each feature in order and `rows` long.
///
/// A row whose list is null or shorter than a window, such as the first of a series, has no
/// sample, nor has one that `valid` says no to.
///
/// # Errors
/// `InvalidInput` naming row and column for an infinite value, and for a list longer than a
/// window.
pub(crate) fn of_columns(
    signature: &Signature,
    columns: &[ArrayRef],
    rows: usize,
    valid: Option<&NullBuffer>,
) -> Result<Samples> {
    if signature.length == 1 && valid.is_none() {
        let mut values = vec![f32::NAN; rows * columns.len()];
        for (slot, column) in columns.iter().enumerate() {
            let name = &signature.features[slot].name;
            fill(&mut values, slot, columns.len(), column, name)?;
        }
        return Ok(Samples { values, rows: None });
    }
    if signature.length == 1 {
        let all = of_columns(signature, columns, rows, None)?;
        return Ok(some(&all.values, columns.len(), rows, |row| {
            valid.is_none_or(|valid| valid.is_valid(row))
        }));
    }
    of_lists(signature, columns, rows, valid)
}

fn some(values: &[f32], width: usize, rows: usize, keep: impl Fn(usize) -> bool) -> Samples {
    let kept: Vec<usize> = (0..rows).filter(|row| keep(*row)).collect();
    let values = kept
        .iter()
        .flat_map(|row| &values[row * width..(row + 1) * width]);
    Samples {
        values: values.copied().collect(),
        rows: Some(kept),
    }
}

/// Writes a column of numbers to every `width`th place of `values`, from `slot` on.
fn fill(
    values: &mut [f32],
    slot: usize,
    width: usize,
    column: &ArrayRef,
    name: &str,
) -> Result<()> {
    let places = values.iter_mut().skip(slot).step_by(width);
    let mut finite = true;
    let numbers = numbers(column, name)?;
    match numbers.as_primitive_opt::<Float32Type>() {
        Some(single) => {
            for (place, value) in places.zip(single.values()) {
                finite &= !value.is_infinite();
                // -0 becomes 0, as it does where data sets are read.
                *place = *value + 0.0;
            }
        }
        None => {
            let double = numbers.as_primitive::<Float64Type>();
            for (place, value) in places.zip(double.values()) {
                let value = *value as f32 + 0.0;
                finite &= !value.is_infinite();
                *place = value;
            }
        }
    }
    // What a null hides may be any number.
    if let Some(nulls) = numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (row, place) in values.iter_mut().skip(slot).step_by(width).enumerate() {
            if nulls.is_null(row) {
                *place = f32::NAN;
            }
        }
    }
    match finite {
        true => Ok(()),
        false => first_infinite(values, slot, width, name),
    }
}

fn first_infinite(values: &[f32], slot: usize, width: usize, name: &str) -> Result<()> {
    let mut column = values.iter().skip(slot).step_by(width);
    match column.position(|value| value.is_infinite()) {
        Some(row) => Err(infinite(row, name)),
        None => Ok(()),
    }
}

/// Row `row`, from 0, holds what is no single-precision number.
pub(crate) fn infinite(row: usize, name: &str) -> Error {
    Error::invalid(format!(
        "column '{name}' is infinite or beyond single precision in row {}",
        row + 1
    ))
    .with_hint("bound it, or give null where it is missing")
}

/// A column as floats of single or double precision.
fn numbers(column: &ArrayRef, name: &str) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Float32 | DataType::Float64 => Ok(ArrayRef::clone(column)),
        _ => cast(column, &DataType::Float64).map_err(|e| {
            Error::invalid(format!("column '{name}' cannot be read as numbers")).with_source(e)
        }),
    }
}

fn of_lists(
    signature: &Signature,
    columns: &[ArrayRef],
    rows: usize,
    valid: Option<&NullBuffer>,
) -> Result<Samples> {
    let (length, width) = (signature.length, columns.len());
    let lists = columns.iter().zip(&signature.features);
    let lists = lists
        .map(|(column, feature)| as_lists(column, &feature.name))
        .collect::<Result<Vec<_>>>()?;
    let full = |row: usize| -> Result<bool> {
        let mut full = valid.is_none_or(|valid| valid.is_valid(row));
        for (list, feature) in lists.iter().zip(&signature.features) {
            let found = list.value_length(row) as usize;
            if list.is_valid(row) && found > length {
                return Err(Error::invalid(format!(
                    "'{}' holds {found} values in row {}, and a window of the model has {length}",
                    feature.name,
                    row + 1
                )));
            }
            full &= list.is_valid(row) && found == length;
        }
        Ok(full)
    };
    let mut kept = Vec::new();
    for row in 0..rows {
        if full(row)? {
            kept.push(row);
        }
    }
    let size = length * width;
    let mut values = vec![f32::NAN; kept.len() * size];
    for (slot, list) in lists.iter().enumerate() {
        let name = &signature.features[slot].name;
        let numbers = cast(list.values(), &DataType::Float32).map_err(|e| {
            Error::invalid(format!("'{name}' cannot be read as numbers")).with_source(e)
        })?;
        let numbers = numbers.as_primitive::<Float32Type>();
        for (sample, row) in kept.iter().enumerate() {
            let first = list.value_offsets()[*row] as usize;
            for step in 0..length {
                if numbers.is_null(first + step) {
                    continue;
                }
                let value = numbers.value(first + step);
                if value.is_infinite() {
                    return Err(infinite(*row, name));
                }
                values[sample * size + step * width + slot] = value;
            }
        }
    }
    Ok(Samples {
        values,
        rows: Some(kept),
    })
}

fn as_lists(column: &ArrayRef, name: &str) -> Result<ListArray> {
    let unfit = || Error::invalid(format!("'{name}' is no list of numbers"));
    let of = match column.data_type() {
        DataType::Null => DataType::Float64,
        other => list_of(other).ok_or_else(unfit)?.clone(),
    };
    let list = DataType::List(Field::new_list_field(of, true).into());
    let column = cast(column, &list).map_err(|e| unfit().with_source(e))?;
    Ok(column.as_list::<i32>().clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int32Array, NullArray};

    use super::*;
    use crate::manifest::Feature;

    fn signature(features: usize, length: usize) -> Signature {
        let feature = |n: usize| Feature {
            name: format!("f{n}"),
            data_type: "Float64".to_owned(),
        };
        Signature {
            features: (0..features).map(feature).collect(),
            label: None,
            classes: Vec::new(),
            targets: Vec::new(),
            group: Vec::new(),
            length,
            horizon: 0,
        }
    }

    fn lists(rows: Vec<Option<Vec<Option<f64>>>>) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
    }

    #[test]
    fn columns_of_any_number_type_become_rows() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![Some(1.5), None])),
            Arc::new(Int32Array::from(vec![2, 3])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(NullArray::new(2)),
        ];
        let samples = of_columns(&signature(4, 1), &columns, 2, None).unwrap();
        assert_eq!(samples.rows, None);
        assert_eq!(samples.values[..3], [1.5, 2.0, 1.0]);
        assert!(samples.values[3].is_nan() && samples.values[4].is_nan());
        assert_eq!(samples.values[5], 3.0);
        assert!(samples.values[6].is_nan() && samples.values[7].is_nan());
    }

    #[test]
    fn what_is_infinite_is_named() {
        for wrong in [f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])),
                Arc::new(Float64Array::from(vec![1.0, f64::NAN, wrong])),
            ];
            let error = of_columns(&signature(2, 1), &columns, 3, None).unwrap_err();
            assert!(error.message().contains("'f1'"), "{error}");
            assert!(error.message().contains("row 3"), "{error}");
        }
        let list = lists(vec![Some(vec![Some(1.0), Some(f64::INFINITY)])]);
        let error = of_columns(&signature(1, 2), &[list], 1, None).unwrap_err();
        assert!(error.message().contains("row 1"), "{error}");
    }

    #[test]
    fn a_null_hides_whatever_lies_beneath_it() {
        let nulls = NullBuffer::from(vec![true, false]);
        let column = Float64Array::new(vec![1.0, f64::INFINITY].into(), Some(nulls));
        let samples = of_columns(&signature(1, 1), &[Arc::new(column)], 2, None);
        let values = samples.unwrap().values;
        assert!(values[0] == 1.0 && values[1].is_nan());
    }

    #[test]
    fn windows_are_filled_step_by_step() {
        let columns = [
            lists(vec![
                Some(vec![Some(1.0), Some(2.0)]),
                Some(vec![Some(9.0)]),
                None,
                Some(vec![Some(3.0), None]),
            ]),
            lists(vec![
                Some(vec![Some(10.0), Some(20.0)]),
                Some(vec![Some(9.0), Some(9.0)]),
                Some(vec![Some(9.0), Some(9.0)]),
                Some(vec![Some(30.0), Some(40.0)]),
            ]),
        ];
        let samples = of_columns(&signature(2, 2), &columns, 4, None).unwrap();
        assert_eq!(samples.rows, Some(vec![0, 3]));
        assert_eq!(samples.values[..6], [1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        assert!(samples.values[6].is_nan());
        assert_eq!(samples.values[7], 40.0);
        let error = of_columns(&signature(2, 1), &columns, 4, None);
        assert!(error.is_err());
        let error = of_columns(&signature(1, 1), &columns[1..], 1, None);
        assert!(error.is_err());
    }

    #[test]
    fn a_list_longer_than_a_window_is_refused() {
        let list = lists(vec![None, Some(vec![Some(1.0); 3])]);
        let error = of_columns(&signature(1, 2), &[list], 2, None).unwrap_err();
        assert!(error.message().contains("3 values in row 2"), "{error}");
    }

    #[test]
    fn rows_that_are_not_valid_have_no_sample() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let valid = NullBuffer::from(vec![true, false, true]);
        let samples = of_columns(&signature(1, 1), &[column], 3, Some(&valid)).unwrap();
        assert_eq!(samples.values, [1.0, 3.0]);
        assert_eq!(samples.rows, Some(vec![0, 2]));
    }
}
