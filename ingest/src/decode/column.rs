//! Column types, the conversion of JSON values to them, and the builders they are collected in.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Float32Builder, Float64Builder,
    Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, TimeUnit};
use catalog::{Error, Result};

use super::time;
use super::value::Value;

/// Zone of every timestamp column, as Iceberg's Arrow schemas spell it.
const UTC: &str = "+00:00";
/// Integers up to this size are exact as a double.
const EXACT_DOUBLE: u64 = 1 << 53;
/// Integers up to this size are exact as a float.
const EXACT_FLOAT: u64 = 1 << 24;

/// The type of a column that payload fields can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    String,
    Timestamp,
    Date,
}

/// A value of a column's type, ready to append.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// No value came for this column.
    Unset,
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(Cow<'a, str>),
    Micros(i64),
    Days(i32),
}

impl Kind {
    /// The type of a declared column.
    ///
    /// # Errors
    /// `InvalidInput` listing the names there are.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "string" => Self::String,
            "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            _ => {
                return Err(
                    Error::invalid(format!("'{name}' is no column type")).with_hint(
                        "use boolean, int, long, float, double, string, timestamp or date",
                    ),
                );
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
        }
    }

    /// The Arrow type a table column of this kind has.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Date => DataType::Date32,
        }
    }

    /// The kind of a table's column; none for types payloads cannot fill.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int32 => Self::Int,
            DataType::Int64 => Self::Long,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Utf8 => Self::String,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == UTC => {
                Self::Timestamp
            }
            DataType::Date32 => Self::Date,
            _ => return None,
        })
    }

    /// The kind of an undeclared field; none for null.
    pub(super) fn infer(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Self::Boolean,
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => Self::Double,
            Value::Text(_) | Value::Nested(_) => Self::String,
        })
    }

    /// The value as this kind.
    ///
    /// # Errors
    /// Why it is none, in words for a dead letter.
    pub(super) fn convert<'a>(self, value: Value<'a>) -> Result<Cell<'a>, String> {
        let cell = match (self, value) {
            (_, Value::Null) => Cell::Null,
            (Self::Boolean, Value::Bool(v)) => Cell::Bool(v),
            (Self::Int, Value::Int(v)) => {
                let narrow = i32::try_from(v).map_err(|_| format!("{v} does not fit an int"))?;
                Cell::Int(narrow)
            }
            (Self::Int | Self::Long, Value::UInt(v)) => {
                return Err(format!("{v} does not fit a {}", self.name()));
            }
            (Self::Long, Value::Int(v)) => Cell::Long(v),
            (Self::Double, Value::Float(v)) => Cell::Double(v),
            (Self::Double, Value::Int(v)) if is_exact(v.unsigned_abs(), EXACT_DOUBLE) => {
                Cell::Double(v as f64)
            }
            (Self::Double, Value::UInt(v)) if is_exact(v, EXACT_DOUBLE) => Cell::Double(v as f64),
            (Self::Double, Value::Int(_) | Value::UInt(_)) => {
                return Err("the integer is not exact as a double; declare it as long".into());
            }
            (Self::Float, Value::Float(v)) if (v as f32).is_finite() => Cell::Float(v as f32),
            (Self::Float, Value::Int(v)) if is_exact(v.unsigned_abs(), EXACT_FLOAT) => {
                Cell::Float(v as f32)
            }
            (Self::Float, Value::Float(_) | Value::Int(_) | Value::UInt(_)) => {
                return Err("the number does not fit a float; declare it as double".into());
            }
            (Self::String, Value::Text(text)) => Cell::Text(text),
            (Self::String, Value::Nested(json)) => Cell::Text(json.into()),
            (Self::Timestamp, value) => Cell::Micros(timestamp(value)?),
            (Self::Date, Value::Text(text)) => {
                let days = time::parse_date(&text);
                Cell::Days(days.ok_or_else(|| format!("'{}' is no date", shorten(&text)))?)
            }
            (kind, value) => {
                return Err(format!(
                    "{} where a {} belongs",
                    describe(&value),
                    kind.name()
                ));
            }
        };
        Ok(cell)
    }
}

/// Whether an integer of this size keeps its value in a binary float with `limit` as its last
/// consecutive integer.
fn is_exact(size: u64, limit: u64) -> bool {
    size <= limit || size.trailing_zeros() + limit.ilog2() > size.ilog2()
}

fn timestamp(value: Value<'_>) -> Result<i64, String> {
    match value {
        Value::Text(text) => time::parse_timestamp(&text)
            .ok_or_else(|| format!("'{}' is no timestamp", shorten(&text))),
        Value::Int(v) => time::epoch_integer(v).ok_or_else(|| format!("{v} is no time")),
        Value::Float(v) => time::epoch_float(v).ok_or_else(|| format!("{v} is no time")),
        other => Err(format!("{} where a timestamp belongs", describe(&other))),
    }
}

fn describe(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a string",
        Value::Nested(_) => "an object or array",
    }
}

/// A text short enough for a reason.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Collects one column's cells.
pub(super) enum Builder {
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    String(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    /// A type payloads cannot fill: all null.
    Other(DataType, usize),
}

impl Builder {
    pub(super) fn new(data_type: &DataType, capacity: usize) -> Self {
        match Kind::of(data_type) {
            Some(Kind::Boolean) => Self::Boolean(BooleanBuilder::with_capacity(capacity)),
            Some(Kind::Int) => Self::Int(Int32Builder::with_capacity(capacity)),
            Some(Kind::Long) => Self::Long(Int64Builder::with_capacity(capacity)),
            Some(Kind::Float) => Self::Float(Float32Builder::with_capacity(capacity)),
            Some(Kind::Double) => Self::Double(Float64Builder::with_capacity(capacity)),
            Some(Kind::String) => {
                Self::String(StringBuilder::with_capacity(capacity, capacity * 8))
            }
            Some(Kind::Timestamp) => Self::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(capacity).with_timezone(UTC),
            ),
            Some(Kind::Date) => Self::Date(Date32Builder::with_capacity(capacity)),
            None => Self::Other(data_type.clone(), 0),
        }
    }

    /// Appends a cell that [`Kind::convert`] made for this column's kind.
    pub(super) fn append(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Boolean(b), Cell::Bool(v)) => b.append_value(v),
            (Self::Int(b), Cell::Int(v)) => b.append_value(v),
            (Self::Long(b), Cell::Long(v)) => b.append_value(v),
            (Self::Float(b), Cell::Float(v)) => b.append_value(v),
            (Self::Double(b), Cell::Double(v)) => b.append_value(v),
            (Self::String(b), Cell::Text(v)) => b.append_value(v),
            (Self::Timestamp(b), Cell::Micros(v)) => b.append_value(v),
            (Self::Date(b), Cell::Days(v)) => b.append_value(v),
            (builder, _) => builder.append_null(),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Long(b) => b.append_null(),
            Self::Float(b) => b.append_null(),
            Self::Double(b) => b.append_null(),
            Self::String(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Other(_, len) => *len += 1,
        }
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let builder: &mut dyn ArrayBuilder = match &mut self {
            Self::Boolean(b) => b,
            Self::Int(b) => b,
            Self::Long(b) => b,
            Self::Float(b) => b,
            Self::Double(b) => b,
            Self::String(b) => b,
            Self::Timestamp(b) => b,
            Self::Date(b) => b,
            Self::Other(data_type, len) => return new_null_array(data_type, *len),
        };
        Arc::clone(&builder.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_doubles_only_when_exact() {
        let ok = |v| Kind::Double.convert(Value::Int(v)).is_ok();
        assert!(ok(0) && ok(-5) && ok(1 << 53) && ok(1 << 60) && ok((1 << 53) + 2));
        assert!(!ok((1 << 53) + 1) && !ok(i64::MAX));
        let reason = Kind::Double.convert(Value::Int(i64::MAX)).unwrap_err();
        assert!(reason.contains("declare it as long"), "{reason}");
        for v in [
            (1_i64 << 53) + 1,
            (1 << 54) + 2,
            (1 << 54) + 4,
            i64::MAX - 1023,
            i64::MAX - 511,
        ] {
            assert_eq!(ok(v), v as f64 as i128 == i128::from(v), "{v}");
        }
    }

    #[test]
    fn kinds_refuse_each_other() {
        let refused = |kind: Kind, value| kind.convert(value).is_err();
        assert!(refused(Kind::Long, Value::Float(5.0)));
        assert!(refused(Kind::Int, Value::Int(1 << 40)));
        assert!(refused(Kind::Double, Value::Text("1".into())));
        assert!(refused(Kind::String, Value::Int(1)));
        assert!(refused(Kind::Boolean, Value::Int(1)));
        assert!(refused(Kind::Double, Value::Nested("[]".into())));
        assert!(refused(Kind::Timestamp, Value::Text("soon".into())));
        assert!(refused(Kind::Float, Value::Float(1e300)));
        assert_eq!(Kind::Date.convert(Value::Null), Ok(Cell::Null));
    }

    #[test]
    fn every_kind_has_its_arrow_type() {
        for name in [
            "boolean",
            "int",
            "long",
            "float",
            "double",
            "string",
            "timestamp",
            "date",
        ] {
            let kind = Kind::parse(name).unwrap();
            assert_eq!(Kind::of(&kind.data_type()), Some(kind));
            let mut builder = Builder::new(&kind.data_type(), 1);
            builder.append(Cell::Null);
            assert_eq!(builder.finish().data_type(), &kind.data_type());
        }
        assert!(Kind::parse("decimal").is_err());
    }
}
