//! Sorting rows by cheap keys: the values of all sort columns packed into one number a row.
//!
//! Rows of one flush span few partitions, few devices and little time, so that their keys
//! differ in few bits: numbers are taken less their minimum, texts as the rank among those
//! there are. With the row's number below them the keys fit 64 bits most of the time, and
//! sorting them sorts the rows, equal ones in their order. Columns that do not pack are
//! compared by Arrow's row format, which does the same at several times the cost.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};
use catalog::{Error, Result};

use crate::error;

/// A column to sort by.
pub(super) type By = (ArrayRef, SortOptions);

/// The row numbers of `columns` in sorted order, by the first column first; equal rows
/// keep their order.
pub(super) fn sorted(columns: &[By]) -> Result<Vec<u32>> {
    let rows = columns.first().map_or(0, |(column, _)| column.len());
    let count =
        u32::try_from(rows).map_err(|_| Error::internal("too many rows to sort at once"))?;
    match packed(columns, count) {
        Some(order) => Ok(order),
        None => by_rows(columns, count),
    }
}

fn by_rows(columns: &[By], count: u32) -> Result<Vec<u32>> {
    let fields = columns
        .iter()
        .map(|(column, options)| SortField::new_with_options(column.data_type().clone(), *options));
    let arrays: Vec<ArrayRef> = columns.iter().map(|(column, _)| column.clone()).collect();
    let keys = RowConverter::new(fields.collect())
        .and_then(|converter| converter.convert_columns(&arrays))
        .map_err(error::arrow("could not sort"))?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    Ok(order)
}

/// One column as numbers in the order wanted, and the bits they take.
struct Ranks {
    values: Vec<u64>,
    bits: u32,
}

impl Ranks {
    /// Of numbers in ascending order, 0 for null.
    fn new(mut values: Vec<u64>, options: SortOptions) -> Self {
        let most = values.iter().copied().max().unwrap_or(0);
        for value in &mut values {
            *value = match *value {
                0 if options.nulls_first => 0,
                // Above all others, or in their place where there are none.
                0 => most + 1,
                value if options.descending => most - value + 1,
                value => value,
            };
        }
        let least = values.iter().copied().min().unwrap_or(0);
        values.iter_mut().for_each(|value| *value -= least);
        let most = values.iter().copied().max().unwrap_or(0);
        Self {
            bits: u64::BITS - most.leading_zeros(),
            values,
        }
    }
}

/// The order by packed keys; `None` where they do not pack.
fn packed(columns: &[By], count: u32) -> Option<Vec<u32>> {
    let mut keys = vec![0_u128; count as usize];
    let mut free = u128::BITS - u32::BITS;
    for (column, options) in columns {
        let Ranks { values, bits } = ranks(column, *options)?;
        free = free.checked_sub(bits)?;
        if bits > 0 {
            let parts = keys.iter_mut().zip(values);
            parts.for_each(|(key, value)| *key = *key << bits | u128::from(value));
        }
    }
    let rows = keys.iter_mut().zip(0..count);
    rows.for_each(|(key, row)| *key = *key << u32::BITS | u128::from(row));
    keys.sort_unstable();
    Some(keys.into_iter().map(|key| key as u32).collect())
}

/// The column's values as numbers; `None` for types that are not counted on here.
fn ranks(column: &ArrayRef, options: SortOptions) -> Option<Ranks> {
    let ranks = match column.data_type() {
        DataType::Date32 => numbers::<Date32Type>(column.as_primitive()),
        DataType::Int32 => numbers::<Int32Type>(column.as_primitive()),
        DataType::Int64 => numbers::<Int64Type>(column.as_primitive()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            numbers::<TimestampMicrosecondType>(column.as_primitive())
        }
        DataType::Utf8 => texts(column.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(column.as_string::<i64>().iter()),
        _ => None,
    }?;
    Some(Ranks::new(ranks, options))
}

/// 0 for null, else 1 and how far the value is above the least.
fn numbers<T>(column: &PrimitiveArray<T>) -> Option<Vec<u64>>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let least = column.iter().flatten().map(Into::into).min().unwrap_or(0);
    let rank = |value: Option<T::Native>| match value {
        None => Some(0),
        // Room is left above for null.
        Some(value) => Some(value.into().abs_diff(least).checked_add(2)? - 1),
    };
    column.iter().map(rank).collect()
}

/// 0 for null, else the text's place among those there are, from 1.
fn texts<'a>(column: impl Iterator<Item = Option<&'a str>>) -> Option<Vec<u64>> {
    let mut places: HashMap<&str, u64> = HashMap::new();
    let mut last = None;
    let mut place = |text: &'a str| match last {
        // Rows of one device often come together.
        Some((known, place)) if known == text => place,
        _ => {
            let next = places.len() as u64;
            let place = *places.entry(text).or_insert(next);
            last = Some((text, place));
            place
        }
    };
    let found: Vec<Option<u64>> = column.map(|text| text.map(&mut place)).collect();
    let mut texts: Vec<(&str, u64)> = places.into_iter().collect();
    texts.sort_unstable();
    let mut ranks = vec![0; texts.len()];
    for (rank, (_, place)) in (1..).zip(texts) {
        ranks[place as usize] = rank;
    }
    let rank = |place: Option<u64>| place.map_or(0, |place| ranks[place as usize]);
    Some(found.into_iter().map(rank).collect())
}

#[cfg(test)]
mod tests;
