//! Which rows of a column another type has values for.
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, cast, is_not_null, is_null, or};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

/// The rows of `column` whose value the type `into` has; `None` for all of them.
///
/// A number fits a type of numbers that gives it back unchanged; nothing else but null
/// changes its type. Fields of structs are matched by name, and those that `into` lacks do
/// not count. What is nested fits when all that it holds does.
pub(crate) fn fit(column: &ArrayRef, into: &DataType) -> Result<Option<BooleanArray>, ArrowError> {
    let from = column.data_type();
    if from == into {
        return Ok(None);
    }
    match (from, into) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let structs = column.as_struct();
            let mut all = None;
            for field in fields {
                let fit = match structs.column_by_name(field.name()) {
                    Some(column) => held(column, field)?,
                    None if field.is_nullable() => None,
                    None => Some(BooleanArray::from(vec![false; column.len()])),
                };
                all = both(all, fit)?;
            }
            all.map(|all| or(&all, &is_null(column)?)).transpose()
        }
        (DataType::List(_), DataType::List(field)) => {
            let lists = column.as_list::<i32>();
            let fit = held(lists.values(), field)?;
            let all = fit.map(|fit| every(&fit, lists.offsets()));
            all.map(|all| or(&all, &is_null(column)?)).transpose()
        }
        (DataType::Map(..), DataType::Map(entries, _)) => {
            let maps = column.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Ok(Some(is_null(column)?));
            };
            let mut all = None;
            for (values, field) in [maps.keys(), maps.values()].into_iter().zip(fields) {
                let fit = held(values, field)?;
                all = both(all, fit.map(|fit| every(&fit, maps.offsets())))?;
            }
            all.map(|all| or(&all, &is_null(column)?)).transpose()
        }
        (from, into) if from.is_numeric() && into.is_numeric() => {
            let back = cast(&cast(column, into)?, from)?;
            Ok(Some(not_distinct(column, &back)?))
        }
        _ => Ok(Some(is_null(column)?)),
    }
}

/// The values that `field` takes, which may have to be there.
fn held(values: &ArrayRef, field: &Field) -> Result<Option<BooleanArray>, ArrowError> {
    let fit = fit(values, field.data_type())?;
    match field.is_nullable() {
        true => Ok(fit),
        false => both(fit, Some(is_not_null(values)?)),
    }
}

fn both(
    one: Option<BooleanArray>,
    other: Option<BooleanArray>,
) -> Result<Option<BooleanArray>, ArrowError> {
    match (one, other) {
        (Some(one), Some(other)) => and(&one, &other).map(Some),
        (one, other) => Ok(one.or(other)),
    }
}

/// The lists all of whose elements fit.
fn every(fit: &BooleanArray, offsets: &OffsetBuffer<i32>) -> BooleanArray {
    let mut ends = offsets.iter().map(|end| *end as usize);
    let mut start = ends.next().unwrap_or(0);
    let lists = ends.map(|end| {
        let elements = start..end;
        start = end;
        elements.into_iter().all(|at| fit.value(at))
    });
    BooleanArray::from(lists.collect::<BooleanBuffer>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray, StructArray};

    use super::*;

    fn motors(temp: Vec<f64>, fan: Vec<&str>) -> ArrayRef {
        let columns: Vec<(_, ArrayRef)> = vec![
            ("temp", Arc::new(Float64Array::from(temp))),
            ("fan", Arc::new(StringArray::from(fan))),
        ];
        let fields = columns.iter();
        let fields = fields.map(|(name, of)| Field::new(*name, of.data_type().clone(), true));
        let columns = columns.iter().map(|(_, column)| column.clone()).collect();
        let nulls = Some(vec![true, true, false].into());
        Arc::new(StructArray::new(fields.collect(), columns, nulls))
    }

    fn wanted(required: bool) -> DataType {
        let fields = vec![
            Field::new("temp", DataType::Int64, true),
            Field::new("rpm", DataType::Int64, !required),
        ];
        DataType::Struct(fields.into())
    }

    fn rows(fit: Option<BooleanArray>) -> Vec<bool> {
        fit.unwrap().values().iter().collect()
    }

    #[test]
    fn a_struct_fits_when_all_its_fields_do() {
        let motors = motors(vec![1.0, 1.5, 2.5], vec!["a", "b", "c"]);
        assert_eq!(
            rows(fit(&motors, &wanted(false)).unwrap()),
            [true, false, true]
        );
        assert_eq!(
            rows(fit(&motors, &wanted(true)).unwrap()),
            [false, false, true]
        );
        assert!(fit(&motors, &motors.data_type().clone()).unwrap().is_none());
        let into = DataType::Int64;
        assert_eq!(rows(fit(&motors, &into).unwrap()), [false, false, true]);
    }

    #[test]
    fn a_list_fits_when_all_its_elements_do() {
        let motors = motors(vec![1.0, 1.5, 2.5], vec!["a", "b", "c"]);
        let element = Arc::new(Field::new("item", motors.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([1, 0, 2]);
        let lists: ArrayRef = Arc::new(ListArray::new(element, offsets, motors, None));
        let into = DataType::List(Arc::new(Field::new("element", wanted(false), true)));
        assert_eq!(rows(fit(&lists, &into).unwrap()), [true, true, false]);
        let sliced = lists.slice(2, 1);
        assert_eq!(rows(fit(&sliced, &into).unwrap()), [false]);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert_eq!(rows(fit(&numbers, &into).unwrap()), [false]);
    }
}
