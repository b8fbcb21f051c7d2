//! The columns that place a row: its time, its series, its part, its weight.
use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use catalog::{Error, Result};

use super::split::Side;

/// Times as numbers in the same order. `InvalidInput` where one is missing.
pub(super) fn times(column: &ArrayRef, name: &str) -> Result<Vec<i64>> {
    let missing = column.logical_null_count();
    if missing > 0 {
        return Err(Error::invalid(format!(
            "column '{name}' has no time in {missing} rows of the data set"
        ))
        .with_hint(format!("add `where {name} is not null` to the SQL")));
    }
    if is_whole(column.data_type()) {
        let column = cast(column, &DataType::Int64).map_err(|e| unfit(name, e))?;
        return Ok(column.as_primitive::<Int64Type>().values().to_vec());
    }
    ranks(column).map_err(|e| unfit(name, e))
}

/// Whether every value of this type is a 64-bit number in the same order.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp, UInt64};
    let time = matches!(
        data_type,
        Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..)
    );
    time || (data_type.is_integer() && *data_type != UInt64)
}

/// Of each value how many different ones are smaller.
fn ranks(column: &ArrayRef) -> Result<Vec<i64>, arrow::error::ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(column))?;
    let mut order: Vec<usize> = (0..column.len()).collect();
    order.sort_unstable_by(|a, b| rows.row(*a).cmp(&rows.row(*b)));
    let mut ranks = vec![0; column.len()];
    let mut rank = 0;
    for pair in order.windows(2) {
        rank += i64::from(rows.row(pair[0]) != rows.row(pair[1]));
        ranks[pair[1]] = rank;
    }
    Ok(ranks)
}

/// Series by name.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Series {
    /// Of each row, as a position among `entities`.
    pub(super) rows: Vec<u32>,
    /// The values of the group columns of each series, joined by `/`; sorted.
    pub(super) entities: Vec<String>,
}

/// The series of each row, from its group columns. `InvalidInput` where a value is missing.
pub(super) fn series(columns: &[ArrayRef], names: &[String]) -> Result<Series> {
    let mut texts = Vec::with_capacity(columns.len());
    for (column, name) in columns.iter().zip(names) {
        let missing = column.logical_null_count();
        if missing > 0 {
            return Err(Error::invalid(format!(
                "column '{name}' names the series, and is null in {missing} rows of the data set"
            ))
            .with_hint(format!("add `where {name} is not null` to the SQL")));
        }
        texts.push(cast(column, &DataType::Utf8).map_err(|e| unfit(name, e))?);
    }
    let texts: Vec<_> = texts.iter().map(|text| text.as_string::<i32>()).collect();
    let count = texts.first().map_or(0, |text| text.len());
    let mut found: HashMap<String, u32> = HashMap::new();
    let mut rows: Vec<u32> = Vec::with_capacity(count);
    for row in 0..count {
        let as_before = row > 0 && texts.iter().all(|t| t.value(row - 1) == t.value(row));
        if let (true, Some(last)) = (as_before, rows.last()) {
            rows.push(*last);
            continue;
        }
        let values: Vec<&str> = texts.iter().map(|text| text.value(row)).collect();
        let next = u32::try_from(found.len()).unwrap_or(u32::MAX);
        rows.push(*found.entry(values.join("/")).or_insert(next));
    }
    // Numbered as they were met until here, which is no order that can be relied on.
    let mut entities: Vec<(String, u32)> = found.into_iter().collect();
    entities.sort_unstable();
    let mut place = vec![0; entities.len()];
    for ((_, met), sorted) in entities.iter().zip(0u32..) {
        place[*met as usize] = sorted;
    }
    Ok(Series {
        rows: rows.into_iter().map(|met| place[met as usize]).collect(),
        entities: entities.into_iter().map(|(name, _)| name).collect(),
    })
}

/// The parts a split column deals rows out to.
pub(super) fn sides(column: &ArrayRef, name: &str) -> Result<Vec<Side>> {
    let text = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => {
            cast(column, &DataType::Utf8).map_err(|e| unfit(name, e))?
        }
        other => {
            return Err(wrong_side(&format!("column '{name}' is {other}")));
        }
    };
    let sides = text.as_string::<i32>().iter().map(|value| match value {
        None => Ok(Side::Context),
        Some("train") => Ok(Side::Train),
        Some("validation") => Ok(Side::Validation),
        Some("test") => Ok(Side::Test),
        Some(other) => Err(wrong_side(&format!("column '{name}' holds '{other}'"))),
    });
    sides.collect()
}

fn wrong_side(what: &str) -> Error {
    Error::invalid(format!(
        "{what}, and dataset.split_column says which part a row is in"
    ))
    .with_hint(
        "make it 'train', 'validation' or 'test' in the SQL, or null for rows that are only \
         looked back at",
    )
}

/// How much rows count. `InvalidInput` for what is missing, negative or infinite.
pub(super) fn weights(column: &ArrayRef, name: &str) -> Result<Vec<f32>> {
    if !super::features::is_number(column.data_type()) {
        let what = format!(
            "the weights '{name}' are {}, and must be numbers",
            column.data_type()
        );
        return Err(Error::invalid(what));
    }
    let numbers = cast(column, &DataType::Float64).map_err(|e| unfit(name, e))?;
    let weights = numbers
        .as_primitive::<Float64Type>()
        .iter()
        .map(|value| match value {
            Some(value) if value >= 0.0 && (value as f32).is_finite() => Ok(value as f32),
            Some(value) => Err(Error::invalid(format!("the weights '{name}' hold {value}"))
                .with_hint("a weight is a number from 0 on; 0 leaves a row out")),
            None => Err(
                Error::invalid(format!("the weights '{name}' hold null")).with_hint(format!(
                    "write coalesce({name}, 1) in the SQL for rows that count once"
                )),
            ),
        });
    weights.collect()
}

fn unfit(name: &str, error: arrow::error::ArrowError) -> Error {
    Error::invalid(format!("column '{name}' cannot be read")).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, UInt64Array};

    use super::*;

    fn text(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn times_of_any_type_become_numbers_in_the_same_order() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![5, -3]));
        assert_eq!(times(&ints, "t").unwrap(), [5, -3]);
        assert_eq!(times(&text(&["b", "a", "b"]), "t").unwrap(), [1, 0, 1]);
        let big: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
        assert_eq!(times(&big, "t").unwrap(), [1, 0]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, -0.5, 0.25]));
        assert_eq!(times(&floats, "t").unwrap(), [2, 0, 1]);
    }

    #[test]
    fn a_missing_time_is_refused() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        let error = times(&column, "t").unwrap_err();
        assert!(error.hint().unwrap().contains("t is not null"), "{error}");
    }

    #[test]
    fn series_are_numbered_by_name_whatever_comes_first() {
        let sites = text(&["north", "south", "north", "north"]);
        let pumps = text(&["p2", "p1", "p1", "p2"]);
        let names = ["site".to_owned(), "pump".to_owned()];
        let found = series(&[sites, pumps], &names).unwrap();
        assert_eq!(found.entities, ["north/p1", "north/p2", "south/p1"]);
        assert_eq!(found.rows, [1, 2, 0, 1]);
        let missing: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let error = series(&[missing], &["pump".to_owned()]).unwrap_err();
        assert!(error.message().contains("'pump'"), "{error}");
    }

    #[test]
    fn a_split_column_says_one_of_three_words_or_nothing() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![
            Some("test"),
            None,
            Some("train"),
            Some("validation"),
        ]));
        let expected = [Side::Test, Side::Context, Side::Train, Side::Validation];
        assert_eq!(sides(&column, "part").unwrap(), expected);
        for wrong in [text(&["Train"]), Arc::new(Int64Array::from(vec![1]))] {
            let error = sides(&wrong, "part").unwrap_err();
            assert!(error.message().contains("'part'"), "{error}");
            assert!(error.hint().unwrap().contains("'validation'"), "{error}");
        }
    }

    #[test]
    fn weights_are_numbers_from_zero_on() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 2.5]));
        assert_eq!(weights(&column, "w").unwrap(), [0.0, 2.5]);
        for wrong in [
            Some(-1.0),
            Some(f64::NAN),
            Some(f64::INFINITY),
            Some(1e39),
            None,
        ] {
            let column: ArrayRef = Arc::new(Float64Array::from(vec![wrong]));
            assert!(weights(&column, "w").is_err(), "{wrong:?}");
        }
        assert!(weights(&text(&["1"]), "w").is_err());
    }
}
