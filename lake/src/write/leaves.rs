//! The values of rows as the columns of a Parquet file hold them: nested fields apart.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type};

/// The values of one Parquet column.
pub(super) struct LeafValues {
    pub(super) array: ArrayRef,
    /// Where the value or a struct around it is null.
    nulls: Option<NullBuffer>,
}

/// The values of every Parquet column of `rows`, in the order of the file.
pub(super) fn leaf_values(rows: &RecordBatch) -> Vec<LeafValues> {
    let mut leaves = Vec::new();
    for column in rows.columns() {
        gather(column, None, &mut leaves);
    }
    leaves
}

fn gather(array: &ArrayRef, above: Option<&NullBuffer>, leaves: &mut Vec<LeafValues>) {
    let nulls = NullBuffer::union(above, array.logical_nulls().as_ref());
    match array.data_type() {
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                gather(column, nulls.as_ref(), leaves);
            }
        }
        DataType::List(_) => gather(array.as_list::<i32>().values(), None, leaves),
        DataType::Map(..) => {
            let map = array.as_map();
            gather(map.keys(), None, leaves);
            gather(map.values(), None, leaves);
        }
        _ => leaves.push(LeafValues {
            array: ArrayRef::clone(array),
            nulls,
        }),
    }
}

impl LeafValues {
    /// How many rows have no value; of a list's elements, how many are null.
    pub(super) fn null_count(&self) -> usize {
        self.nulls.as_ref().map_or(0, NullBuffer::null_count)
    }

    /// How many values are NaN; `None` for types that have no NaN.
    pub(super) fn nan_count(&self) -> Option<u64> {
        let nans = match self.array.data_type() {
            DataType::Float32 => {
                let values = self.array.as_primitive::<Float32Type>().values();
                self.count(values.iter().map(|value| value.is_nan()))
            }
            DataType::Float64 => {
                let values = self.array.as_primitive::<Float64Type>().values();
                self.count(values.iter().map(|value| value.is_nan()))
            }
            _ => return None,
        };
        Some(nans as u64)
    }

    /// How many of the values that are there are marked.
    fn count(&self, marked: impl Iterator<Item = bool>) -> usize {
        let there = |at| self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at));
        let marked = marked.enumerate();
        marked.filter(|(at, marked)| *marked && there(*at)).count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, ListArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn values_below_a_null_struct_do_not_count() {
        let nan = f64::NAN;
        let temp: ArrayRef = Arc::new(Float64Array::from(vec![Some(nan), Some(nan), None]));
        let field = Arc::new(Field::new("temp", DataType::Float64, true));
        let nulls = Some(vec![true, false, true].into());
        let motors = StructArray::new(vec![field].into(), vec![temp], nulls);
        let element = Arc::new(Field::new("element", motors.data_type().clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([3, 0, 0]);
        let lists = ListArray::new(element, offsets, Arc::new(motors.clone()), None);
        let columns: [(&str, ArrayRef); 2] =
            [("motor", Arc::new(motors)), ("motors", Arc::new(lists))];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let leaves = leaf_values(&rows);
        let counts = leaves.iter().map(|l| (l.null_count(), l.nan_count()));
        assert_eq!(counts.collect::<Vec<_>>(), [(2, Some(1)), (2, Some(1))]);
    }
}
