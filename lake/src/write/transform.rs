//! Partition transforms of whole columns (Iceberg specification, "Partition Transforms").
//!
//! Iceberg's own functions do the hashing and calendars. Days and hours are counted
//! here, rounding down on both sides of 1970, and integers truncated so that the least
//! values wrap around instead of ending the program.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use catalog::{Error, Result};
use iceberg::spec::Transform;
use iceberg::transform::create_transform_function;

use crate::error;

const MICROS_AN_HOUR: i64 = 3_600_000_000;
const MICROS_A_DAY: i64 = 24 * MICROS_AN_HOUR;

/// The partition value of each of `values`; null for null.
pub(super) fn transformed(transform: Transform, values: &ArrayRef) -> Result<ArrayRef> {
    let micros = || values.as_primitive::<TimestampMicrosecondType>();
    Ok(match (transform, values.data_type()) {
        (Transform::Identity, _) | (Transform::Day, DataType::Date32) => Arc::clone(values),
        (Transform::Void, kind) => new_null_array(kind, values.len()),
        (Transform::Day, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            // An i64 of microseconds spans 107 million days: it always fits.
            let days: Date32Array = micros().unary(|at| at.div_euclid(MICROS_A_DAY) as i32);
            Arc::new(days)
        }
        (Transform::Hour, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            let hours: Int32Array = micros()
                .try_unary(|at| i32::try_from(at.div_euclid(MICROS_AN_HOUR)))
                .map_err(|_| Error::invalid("a time is too far off to be counted in hours"))?;
            Arc::new(hours)
        }
        (Transform::Truncate(width), DataType::Int32) => {
            let values = values.as_primitive::<Int32Type>();
            let width = i64::from(width);
            let truncated: Int32Array = values
                // Down to the next multiple; the cast wraps where that is out of range.
                .unary(|value| (i64::from(value) - i64::from(value).rem_euclid(width)) as i32);
            Arc::new(truncated)
        }
        (Transform::Truncate(width), DataType::Int64) => {
            let values = values.as_primitive::<Int64Type>();
            let width = i64::from(width);
            let truncated =
                values.unary::<_, Int64Type>(|value| value.wrapping_sub(value.rem_euclid(width)));
            Arc::new(truncated)
        }
        (Transform::Truncate(_), DataType::LargeBinary) => {
            let binary = cast(values, &DataType::Binary).map_err(error::arrow("too many bytes"))?;
            cast(&by_iceberg(transform, binary)?, &DataType::LargeBinary)
                .map_err(error::arrow("could not truncate a column"))?
        }
        _ => by_iceberg(transform, Arc::clone(values))?,
    })
}

fn by_iceberg(transform: Transform, values: ArrayRef) -> Result<ArrayRef> {
    let function = create_transform_function(&transform);
    let transformed = function.and_then(|function| function.transform(values));
    transformed.map_err(error::iceberg(format!(
        "could not partition by {transform}"
    )))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Int64Array, LargeBinaryArray, StringArray, TimestampMicrosecondArray, UInt32Array,
    };
    use arrow::datatypes::Date32Type;

    use super::*;

    fn times(times: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00"))
    }

    fn ints(transform: Transform, values: &ArrayRef) -> Vec<Option<i32>> {
        let transformed = transformed(transform, values).unwrap();
        transformed.as_primitive::<Int32Type>().iter().collect()
    }

    #[test]
    fn times_round_down_on_both_sides_of_1970() {
        let around = times(vec![
            Some(-1),
            Some(0),
            Some(MICROS_A_DAY - 1),
            None,
            Some(-MICROS_A_DAY),
        ]);
        let days = transformed(Transform::Day, &around).unwrap();
        let days: Vec<_> = days.as_primitive::<Date32Type>().iter().collect();
        assert_eq!(days, [Some(-1), Some(0), Some(0), None, Some(-1)]);
        let hours = [Some(-1), Some(0), Some(23), None, Some(-24)];
        assert_eq!(ints(Transform::Hour, &around), hours);
        let months = [Some(-1), Some(0), Some(0), None, Some(-1)];
        assert_eq!(ints(Transform::Month, &around), months);
        assert_eq!(ints(Transform::Year, &around), months);
        let far = times(vec![Some(i64::MAX)]);
        assert!(transformed(Transform::Hour, &far).is_err());
    }

    /// The values of the specification's appendix B.
    #[test]
    fn buckets_hash_as_the_specification_says() {
        let hash = |values: ArrayRef, of: i32| {
            let buckets = ints(Transform::Bucket(1_000), &values);
            assert_eq!(buckets, [Some((of & i32::MAX) % 1_000)]);
        };
        hash(Arc::new(Int32Array::from(vec![34])), 2_017_239_379);
        hash(Arc::new(Int64Array::from(vec![34])), 2_017_239_379);
        hash(Arc::new(StringArray::from(vec!["iceberg"])), 1_210_000_089);
        hash(Arc::new(Date32Array::from(vec![17_486])), -653_330_422);
    }

    #[test]
    fn truncation_goes_down_and_cuts_at_characters() {
        let width = Transform::Truncate(10);
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1, -1, 10, i32::MIN]));
        let expected = [Some(0), Some(-10), Some(10), Some(2_147_483_646)];
        assert_eq!(ints(width, &values), expected);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![15, -15, i64::MIN]));
        let cut = transformed(width, &values).unwrap();
        let expected = [10, -20, i64::MAX - 1];
        assert_eq!(cut.as_primitive::<Int64Type>().values(), &expected);
        let values: ArrayRef = Arc::new(StringArray::from(vec!["pümpe"]));
        let cut = transformed(Transform::Truncate(2), &values).unwrap();
        assert_eq!(cut.as_string::<i32>().value(0), "pü");
        let values: ArrayRef = Arc::new(LargeBinaryArray::from(vec![b"abc".as_slice()]));
        let cut = transformed(Transform::Truncate(2), &values).unwrap();
        assert_eq!(cut.as_binary::<i64>().value(0), b"ab");
    }

    #[test]
    fn void_is_null_and_unfit_columns_are_refused() {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        assert_eq!(
            transformed(Transform::Void, &values).unwrap().null_count(),
            1
        );
        let values: ArrayRef = Arc::new(UInt32Array::from(vec![1]));
        assert!(transformed(Transform::Bucket(2), &values).is_err());
    }
}
