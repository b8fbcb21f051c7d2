//! Splitting rows by day partition and sorting them within.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use catalog::{Error, Result};

use super::layout::Layout;
use crate::error;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The sorted rows of one file.
pub(super) struct Part {
    /// The partition: days since 1970, absent for a null time or an unpartitioned table.
    pub(super) day: Option<i32>,
    pub(super) rows: RecordBatch,
}

/// `rows` sorted by the table's sort order, one part a partition.
pub(super) fn arrange(layout: &Layout, rows: RecordBatch) -> Result<Vec<Part>> {
    let days = match &layout.day {
        Some(by) => Some(days_of(rows.column(by.column))?),
        None => None,
    };
    let order = order(layout, &rows, days.as_ref())?;
    let sorted = match &order {
        Some(order) => take_record_batch(&rows, order).map_err(error::arrow("could not sort"))?,
        None => rows,
    };
    let Some(days) = days else {
        return Ok(vec![Part {
            day: None,
            rows: sorted,
        }]);
    };
    let day_at = |row: usize| {
        let row = order
            .as_ref()
            .map_or(row, |order| order.value(row) as usize);
        days.is_valid(row).then(|| days.value(row))
    };
    Ok(split(&sorted, day_at))
}

fn split(rows: &RecordBatch, day_at: impl Fn(usize) -> Option<i32>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut start = 0;
    for end in 1..=rows.num_rows() {
        let day = day_at(start);
        if end == rows.num_rows() || day_at(end) != day {
            let rows = rows.slice(start, end - start);
            parts.push(Part { day, rows });
            start = end;
        }
    }
    parts
}

/// The row numbers in sorted order; `None` when the rows stay as they are.
///
/// Equal rows keep their order of arrival.
fn order(
    layout: &Layout,
    rows: &RecordBatch,
    days: Option<&Int32Array>,
) -> Result<Option<UInt32Array>> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut fields = Vec::new();
    if let Some(days) = days {
        columns.push(std::sync::Arc::new(days.clone()));
        fields.push(SortField::new(DataType::Int32));
    }
    for by in &layout.sort {
        let column = rows.column(by.column);
        columns.push(ArrayRef::clone(column));
        fields.push(sort_field(column.data_type(), by.options));
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let keys = RowConverter::new(fields)
        .and_then(|converter| converter.convert_columns(&columns))
        .map_err(error::arrow("could not sort"))?;
    let count = u32::try_from(rows.num_rows())
        .map_err(|_| Error::internal("too many rows to sort at once"))?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    Ok((!order.is_sorted()).then(|| UInt32Array::from(order)))
}

fn sort_field(data_type: &DataType, options: SortOptions) -> SortField {
    SortField::new_with_options(data_type.clone(), options)
}

/// The UTC day of each value, in days since 1970; times before it belong to the day
/// that began before them.
fn days_of(column: &ArrayRef) -> Result<Int32Array> {
    match column.data_type() {
        DataType::Date32 => Ok(column.as_primitive::<Date32Type>().reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>();
            // An i64 of microseconds spans 107 million days: it always fits.
            Ok(micros.unary(|at| at.div_euclid(MICROS_A_DAY) as i32))
        }
        other => {
            let message = format!("cannot partition by the day of a {other} column");
            Err(Error::unsupported(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampMicrosecondArray;

    use super::*;

    #[test]
    fn days_floor_on_both_sides_of_1970() {
        let times = vec![
            Some(-1),
            Some(0),
            Some(MICROS_A_DAY - 1),
            None,
            Some(-MICROS_A_DAY),
        ];
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
        let days = days_of(&times).unwrap();
        let days: Vec<_> = days.iter().collect();
        assert_eq!(days, [Some(-1), Some(0), Some(0), None, Some(-1)]);
    }
}
