//! The types of columns that payloads fill: which a value asks for, and how two go together.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use super::bare;
use super::rows::MOST_COLUMNS;
use super::value::Value;

/// Zone of every timestamp column, as Iceberg's Arrow schemas spell it.
pub(super) const UTC: &str = "+00:00";
/// What Iceberg's Arrow schemas call the elements of a list.
const ELEMENT: &str = "element";
/// Bytes of a column's name: it is compared for every row.
pub(super) const MOST_NAME_BYTES: usize = 255;
/// Levels of structs and lists that are inferred; what lies deeper is JSON text.
const MOST_DEPTH: usize = 8;

/// The type of a column that payload fields can fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    String,
    Binary,
    Timestamp,
    Date,
    Struct(Vec<Column>),
    /// A list of what the column, whose name does not count, holds.
    List(Box<Column>),
}

/// A column of a table, a field of a struct, or the elements of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(super) name: String,
    /// None for a type payloads cannot fill.
    pub(super) kind: Option<Kind>,
    pub(super) required: bool,
}

impl Column {
    /// A column that may be null.
    pub(super) fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind: Some(kind),
            required: false,
        }
    }

    /// The column of an Arrow field.
    pub(super) fn of(field: &Field) -> Self {
        Self {
            name: field.name().clone(),
            kind: Kind::of(field.data_type()),
            required: !field.is_nullable(),
        }
    }

    /// Its Arrow field; none for a type payloads cannot fill.
    pub(super) fn field(&self) -> Option<FieldRef> {
        let data_type = self.kind.as_ref()?.data_type();
        Some(Arc::new(Field::new(&self.name, data_type, !self.required)))
    }

    /// Columns of plain values it comes to.
    pub(super) fn leaves(&self) -> usize {
        self.kind.as_ref().map_or(1, Kind::leaves)
    }
}

impl Kind {
    /// A list of nullable elements.
    pub(super) fn list(of: Self) -> Self {
        Self::List(Box::new(Column::new(ELEMENT, of)))
    }

    /// Its name in words for a dead letter.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Struct(_) => "struct",
            Self::List(_) => "list",
        }
    }

    /// The Arrow type a table column of this kind has.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Binary => DataType::LargeBinary,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Date => DataType::Date32,
            Self::Struct(fields) => {
                DataType::Struct(fields.iter().filter_map(Column::field).collect())
            }
            Self::List(element) => {
                let none = || Arc::new(Field::new(ELEMENT, DataType::Null, true));
                DataType::List(element.field().unwrap_or_else(none))
            }
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
            DataType::LargeBinary => Self::Binary,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == UTC => {
                Self::Timestamp
            }
            DataType::Date32 => Self::Date,
            DataType::Struct(fields) if !fields.is_empty() => {
                Self::Struct(fields.iter().map(|field| Column::of(field)).collect())
            }
            DataType::List(element) => {
                let element = Column::of(element);
                element.kind.as_ref()?;
                Self::List(Box::new(element))
            }
            _ => return None,
        })
    }

    /// The kind of an undeclared field; none where the value does not tell, such as null.
    pub(super) fn infer(value: &Value<'_>) -> Option<Self> {
        Self::infer_within(value, MOST_DEPTH)
    }

    fn infer_within(value: &Value<'_>, depth: usize) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Self::Boolean,
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => Self::Double,
            Value::Text(_) => Self::String,
            Value::Bare(text) => bare::infer(text)?,
            Value::Bytes(_) => Self::Binary,
            Value::Micros(_) => Self::Timestamp,
            Value::Object(fields) if fields.is_empty() => return None,
            Value::List(values) if values.is_empty() => return None,
            Value::Object(_) | Value::List(_) if depth == 0 => Self::String,
            Value::Object(fields) => {
                let odd = fields.iter().any(|(name, _)| !is_field_name(name));
                if odd || fields.len() > MOST_COLUMNS {
                    return Some(Self::String);
                }
                let mut columns: Vec<Column> = Vec::new();
                for (name, value) in fields {
                    // A name that is there twice is told when the value is converted.
                    let known = columns.iter().any(|c| c.name == *name);
                    let kind = Self::infer_within(value, depth - 1).filter(|_| !known);
                    columns.extend(kind.map(|kind| Column::new(name.as_ref(), kind)));
                }
                match columns.is_empty() {
                    true => return None,
                    false => Self::Struct(columns),
                }
            }
            Value::List(values) => {
                let mut elements = values
                    .iter()
                    .filter_map(|v| Self::infer_within(v, depth - 1));
                let first = elements.next()?;
                match elements.try_fold(first, Self::union) {
                    Some(element) => Self::list(element),
                    None => Self::String,
                }
            }
        })
    }

    /// The narrowest kind that holds the values of both; none where they clash.
    pub(super) fn union(self, other: Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Int | Self::Long, Self::Long) | (Self::Long, Self::Int) => Self::Long,
            (Self::Float | Self::Double, Self::Double) | (Self::Double, Self::Float) => {
                Self::Double
            }
            (Self::Struct(mut columns), Self::Struct(more)) => {
                for column in more {
                    match columns.iter_mut().find(|c| c.name == column.name) {
                        Some(known) => {
                            known.kind = Some(known.kind.take()?.union(column.kind?)?);
                        }
                        None => columns.push(column),
                    }
                }
                Self::Struct(columns)
            }
            (Self::List(a), Self::List(b)) => {
                let kind = a.kind?.union(b.kind?)?;
                Self::List(Box::new(Column {
                    kind: Some(kind),
                    name: a.name,
                    required: a.required,
                }))
            }
            (a, b) if a == b => a,
            _ => return None,
        })
    }

    /// Whether a column of kind `has` must be widened, or get more fields, to be of this one.
    pub(super) fn exceeds(&self, has: &Self) -> bool {
        match (self, has) {
            (Self::Long, Self::Int) | (Self::Double, Self::Float) => true,
            (Self::Struct(wanted), Self::Struct(has)) => wanted.iter().any(|column| {
                let known = has.iter().find(|known| known.name == column.name);
                known.is_none_or(|known| exceeds(column, known))
            }),
            (Self::List(wanted), Self::List(has)) => exceeds(wanted, has),
            _ => false,
        }
    }

    /// Whether this kind was declared for something that now needs to be `wanted`, another.
    pub(super) fn forbids(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Struct(declared), Self::Struct(wanted)) => wanted.iter().any(|column| {
                let known = declared.iter().find(|known| known.name == column.name);
                known.is_some_and(|known| forbids(known, column))
            }),
            (Self::List(declared), Self::List(wanted)) => forbids(declared, wanted),
            (declared, wanted) => declared != wanted,
        }
    }

    fn leaves(&self) -> usize {
        match self {
            Self::Struct(columns) => columns.iter().map(Column::leaves).sum(),
            Self::List(element) => element.leaves(),
            _ => 1,
        }
    }
}

fn exceeds(wanted: &Column, has: &Column) -> bool {
    matches!((&wanted.kind, &has.kind), (Some(wanted), Some(has)) if wanted.exceeds(has))
}

fn forbids(declared: &Column, wanted: &Column) -> bool {
    matches!((&declared.kind, &wanted.kind), (Some(declared), Some(wanted)) if declared.forbids(wanted))
}

/// Whether a field of a struct can have this name: a dot would make its path that of another.
pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MOST_NAME_BYTES && !name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<'a>(fields: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
        Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    #[test]
    fn objects_and_arrays_are_inferred() {
        let value = object(vec![
            ("t", Value::Int(1)),
            ("none", Value::Null),
            (
                "l",
                Value::List(vec![Value::Null, Value::Float(1.0), Value::Int(2)]),
            ),
        ]);
        let kind = Kind::infer(&value).unwrap();
        let columns = vec![
            Column::new("t", Kind::Double),
            Column::new("l", Kind::list(Kind::Double)),
        ];
        assert_eq!(kind, Kind::Struct(columns));
        assert_eq!(Kind::of(&kind.data_type()), Some(kind));
        assert_eq!(Kind::infer(&object(vec![])), None);
        assert_eq!(Kind::infer(&object(vec![("a", Value::Null)])), None);
        assert_eq!(Kind::infer(&Value::List(vec![])), None);
    }

    #[test]
    fn what_has_no_one_type_is_text() {
        let mixed = Value::List(vec![Value::Int(1), Value::Text("x".into())]);
        assert_eq!(Kind::infer(&mixed), Some(Kind::String));
        let dotted = object(vec![("a.b", Value::Int(1))]);
        assert_eq!(Kind::infer(&dotted), Some(Kind::String));
        let mut deep = Value::Int(1);
        for _ in 0..=MOST_DEPTH {
            deep = object(vec![("x", deep)]);
        }
        let mut kind = Kind::infer(&deep).unwrap();
        for _ in 0..MOST_DEPTH {
            let Kind::Struct(mut columns) = kind else {
                panic!("{kind:?}");
            };
            kind = columns.remove(0).kind.unwrap();
        }
        assert_eq!(kind, Kind::String);
    }

    #[test]
    fn kinds_widen_and_clash() {
        let of = |name: &str, kind| Kind::Struct(vec![Column::new(name, kind)]);
        assert_eq!(Kind::Int.union(Kind::Long), Some(Kind::Long));
        assert_eq!(Kind::Double.union(Kind::Float), Some(Kind::Double));
        assert_eq!(Kind::Long.union(Kind::Double), None);
        let both = of("a", Kind::Int).union(of("b", Kind::String)).unwrap();
        assert!(both.exceeds(&of("a", Kind::Int)) && !of("a", Kind::Int).exceeds(&both));
        assert!(of("a", Kind::Long).exceeds(&both));
        assert_eq!(both.union(of("a", Kind::String)), None);
        assert!(of("a", Kind::Int).forbids(&of("a", Kind::Long)));
        assert!(!of("a", Kind::Int).forbids(&of("b", Kind::Long)));
        assert!(Kind::list(Kind::Int).forbids(&Kind::list(Kind::Long)));
    }
}
