//! Rows in an order that depends on their content alone, cut in two by time.
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::array_value_to_string;
use catalog::{Error, Result};

use super::features::Columns;
use crate::spec::{DatasetSpec, Split};

/// Where the parts begin, in sorted rows.
#[derive(Debug, PartialEq)]
pub(super) struct Cut {
    /// Rows before the validation part.
    pub(super) validation: usize,
    /// Rows before the test part.
    pub(super) test: usize,
    /// The first time of the test part, as text.
    pub(super) at: String,
}

/// Cuts sorted rows into training, validation and test, in this order of time.
pub(super) fn cut(rows: &RecordBatch, columns: &Columns, spec: &DatasetSpec) -> Result<Cut> {
    let (Some(time), Some(name), Split::Time) = (columns.time, &spec.time, spec.split) else {
        return Err(Error::unsupported("rows are split by time only"));
    };
    let time = rows.column(time);
    let (test, at) = split(time, name, spec.test_fraction)?;
    if spec.validation_fraction == 0.0 {
        return Ok(Cut {
            validation: test,
            test,
            at,
        });
    }
    let before = time.slice(0, test);
    // Training on too little to validate goes on without.
    let validation = split(&before, name, spec.validation_fraction).map_or(test, |cut| cut.0);
    Ok(Cut {
        validation,
        test,
        at,
    })
}

/// Sorts by time, then by label and features. Rows equal in all of these are
/// interchangeable, so excluded columns need no look.
pub(super) fn in_order(rows: &RecordBatch, columns: &Columns) -> Result<RecordBatch> {
    let mut keys: Vec<usize> = columns.time.into_iter().chain(columns.label).collect();
    keys.extend(&columns.features);
    let keys: Vec<ArrayRef> = keys.into_iter().map(|i| rows.column(i).clone()).collect();
    let keys = comparable(&keys)?;
    let too_many = |e| Error::resource_exhausted("the data set has too many rows").with_source(e);
    let count = u32::try_from(rows.num_rows()).map_err(too_many)?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_unstable_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    take_record_batch(rows, &UInt32Array::from(order))
        .map_err(|e| Error::internal("the data set cannot be sorted").with_source(e))
}

/// Cuts sorted rows so that about `fraction` of them are on the later side and
/// no time is on both: of the two changes of time around the wanted cut, the nearer one.
fn split(time: &ArrayRef, name: &str, fraction: f64) -> Result<(usize, String)> {
    if time.null_count() > 0 {
        return Err(Error::invalid(format!(
            "column '{name}' has no time in {} rows of the data set",
            time.null_count()
        ))
        .with_hint(format!("add `where {name} is not null` to the SQL")));
    }
    let keys = comparable(std::slice::from_ref(time))?;
    let rows = time.len();
    let wanted = rows - (rows as f64 * fraction).round() as usize;
    let changes = |row: &usize| keys.row(*row) != keys.row(row - 1);
    let before = (1..=wanted.min(rows - 1)).rev().find(changes);
    let after = (wanted.max(1)..rows).find(changes);
    let nearest = before
        .into_iter()
        .chain(after)
        .min_by_key(|row| row.abs_diff(wanted));
    let Some(train) = nearest else {
        return Err(Error::invalid(format!(
            "all rows of the data set have the same '{name}', so it cannot be split by time"
        )));
    };
    let at = array_value_to_string(time, train)
        .map_err(|e| Error::invalid(format!("column '{name}' cannot be shown")).with_source(e))?;
    Ok((train, at))
}

fn comparable(columns: &[ArrayRef]) -> Result<Rows> {
    let fields = columns
        .iter()
        .map(|c| SortField::new(c.data_type().clone()))
        .collect();
    RowConverter::new(fields)
        .and_then(|converter| converter.convert_columns(columns))
        .map_err(|e| Error::invalid("the data set cannot be sorted").with_source(e))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    fn cut(times: &[i64], fraction: f64) -> Result<usize> {
        let times: ArrayRef = Arc::new(Int64Array::from(times.to_vec()));
        split(&times, "t", fraction).map(|(train, _)| train)
    }

    #[test]
    fn the_last_part_in_time_is_the_test() {
        assert_eq!(cut(&[1, 2, 3, 4], 0.25).unwrap(), 3);
        assert_eq!(cut(&[1, 2, 3, 4], 0.5).unwrap(), 2);
    }

    #[test]
    fn rows_of_one_time_stay_together() {
        assert_eq!(cut(&[1, 2, 2, 2], 0.5).unwrap(), 1);
        assert_eq!(cut(&[1, 1, 1, 2], 0.5).unwrap(), 3);
        assert_eq!(cut(&[1, 1, 1, 1, 2, 3], 0.5).unwrap(), 4);
    }

    #[test]
    fn neither_part_is_ever_empty() {
        assert_eq!(cut(&[1, 2], 0.01).unwrap(), 1);
        assert_eq!(cut(&[1, 2], 0.99).unwrap(), 1);
        assert!(
            cut(&[1, 1], 0.5)
                .unwrap_err()
                .message()
                .contains("same 't'")
        );
        assert!(cut(&[1], 0.5).is_err());
    }

    #[test]
    fn a_missing_time_is_refused() {
        let times: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        let error = split(&times, "t", 0.5).unwrap_err();
        assert!(error.hint().unwrap().contains("t is not null"), "{error}");
    }

    #[test]
    fn the_order_depends_on_the_rows_alone() {
        let columns = Columns {
            time: Some(0),
            label: Some(2),
            features: vec![1],
        };
        let batch = |order: [usize; 4]| {
            let (t, x, y) = ([2, 1, 1, 1], [0.0, 3.0, 2.0, 2.0], [0, 1, 0, 1]);
            RecordBatch::try_from_iter([
                (
                    "t",
                    Arc::new(Int64Array::from_iter_values(order.map(|i| t[i]))) as ArrayRef,
                ),
                (
                    "x",
                    Arc::new(Float64Array::from_iter_values(order.map(|i| x[i]))),
                ),
                (
                    "y",
                    Arc::new(Int64Array::from_iter_values(order.map(|i| y[i]))),
                ),
            ])
            .unwrap()
        };
        let sorted = in_order(&batch([0, 1, 2, 3]), &columns).unwrap();
        assert_eq!(sorted, in_order(&batch([3, 1, 0, 2]), &columns).unwrap());
        assert_eq!(sorted, batch([2, 3, 1, 0]));
    }
}
