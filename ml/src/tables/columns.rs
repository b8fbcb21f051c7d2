//! Rows of a table, column by column.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use catalog::{Error, Result};
use chrono::{DateTime, Utc};

use super::{Rows, TIME};

/// The columns of rows to come; each gets as many values as there are times.
pub(crate) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    /// Rows that happened at these times.
    pub(crate) fn at(times: impl IntoIterator<Item = DateTime<Utc>>) -> Columns {
        let columns = Columns {
            fields: Vec::new(),
            arrays: Vec::new(),
        };
        columns.times(TIME, times.into_iter().map(Some))
    }

    /// `count` rows that all happened at `time`.
    pub(crate) fn all_at(time: DateTime<Utc>, count: usize) -> Columns {
        Columns::at(std::iter::repeat_n(time, count))
    }

    /// A column of times, in microseconds and UTC.
    pub(crate) fn times(
        self,
        name: &str,
        values: impl IntoIterator<Item = Option<DateTime<Utc>>>,
    ) -> Columns {
        let micros = values
            .into_iter()
            .map(|it| it.map(|t| t.timestamp_micros()));
        let array: TimestampMicrosecondArray = micros.collect();
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        self.column(name, kind, Arc::new(array.with_timezone("UTC")))
    }

    /// A column of text.
    pub(crate) fn text<T: AsRef<str>>(
        self,
        name: &str,
        values: impl IntoIterator<Item = Option<T>>,
    ) -> Columns {
        let array: StringArray = values.into_iter().collect();
        self.column(name, DataType::Utf8, Arc::new(array))
    }

    /// A column of the same text in every row.
    pub(crate) fn same(self, name: &str, value: &str) -> Columns {
        let count = self.count();
        self.text(name, std::iter::repeat_n(Some(value), count))
    }

    /// A column of numbers; what is not finite becomes null.
    pub(crate) fn doubles(
        self,
        name: &str,
        values: impl IntoIterator<Item = Option<f64>>,
    ) -> Columns {
        let finite = values.into_iter().map(|it| it.filter(|v| v.is_finite()));
        let array: Float64Array = finite.collect();
        self.column(name, DataType::Float64, Arc::new(array))
    }

    /// A column of whole numbers.
    pub(crate) fn longs(
        self,
        name: &str,
        values: impl IntoIterator<Item = Option<i64>>,
    ) -> Columns {
        let array: Int64Array = values.into_iter().collect();
        self.column(name, DataType::Int64, Arc::new(array))
    }

    /// A column of yes and no.
    pub(crate) fn booleans(
        self,
        name: &str,
        values: impl IntoIterator<Item = Option<bool>>,
    ) -> Columns {
        let array: BooleanArray = values.into_iter().collect();
        self.column(name, DataType::Boolean, Arc::new(array))
    }

    /// The rows, for the table `key`.
    pub(crate) fn rows(self, key: &str) -> Result<Rows> {
        let batch = RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays);
        Ok(Rows {
            key: key.parse()?,
            batch: batch.map_err(|e| {
                Error::internal(format!("rows of {key} do not fit together")).with_source(e)
            })?,
        })
    }

    fn count(&self) -> usize {
        self.arrays.first().map_or(0, |times| times.len())
    }

    fn column(mut self, name: &str, kind: DataType, array: ArrayRef) -> Columns {
        self.fields.push(Field::new(name, kind, true));
        self.arrays.push(array);
        self
    }
}
