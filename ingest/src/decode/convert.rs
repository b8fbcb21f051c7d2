//! Values to cells of a column's type, or why that cannot be.

use std::borrow::Cow;

use super::bare;
use super::kind::{Column, Kind, is_field_name};
use super::rows::MOST_COLUMNS;
use super::time;
use super::value::{Field, Value, shorten};
use crate::config::TimeFormat;

/// Integers up to this size are exact as a double.
const EXACT_DOUBLE: u64 = 1 << 53;
/// Integers up to this size are exact as a float.
const EXACT_FLOAT: u64 = 1 << 24;

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
    Bytes(Cow<'a, [u8]>),
    Micros(i64),
    Days(i32),
    /// A cell for each field.
    Struct(Vec<Cell<'a>>),
    List(Vec<Cell<'a>>),
}

/// Why a value is no cell of a column.
#[derive(Debug, PartialEq)]
pub(super) enum Misfit {
    /// It never will be: where inside the value, such as `.motor.temp`, and the reason in words for
    /// a dead letter.
    Never { path: String, reason: String },
    /// The column would have to be wider, or lacks fields: what it has to be, or to have as well.
    Lacks(Kind),
}

/// Bytes that the cells of one message may still take, so that a small payload cannot make a
/// large batch.
#[derive(Debug)]
pub(super) struct Room(pub(super) usize);

impl Room {
    /// Takes the bytes of `rows` times `cells` plain cells.
    pub(super) fn take(&mut self, rows: usize, cells: usize) -> Result<(), String> {
        let bytes = rows
            .saturating_mul(cells)
            .saturating_mul(size_of::<Cell<'_>>());
        self.take_bytes(bytes)
    }

    /// Takes some bytes.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.0 = self
            .0
            .checked_sub(bytes)
            .ok_or("the payload makes too many rows or values")?;
        Ok(())
    }
}

type Converted<'a> = Result<Cell<'a>, Box<Misfit>>;

fn never<T>(reason: impl Into<String>) -> Result<T, Box<Misfit>> {
    let (path, reason) = (String::new(), reason.into());
    Err(Box::new(Misfit::Never { path, reason }))
}

fn lacks<T>(kind: Kind) -> Result<T, Box<Misfit>> {
    Err(Box::new(Misfit::Lacks(kind)))
}

impl Kind {
    /// The value as this kind.
    pub(super) fn convert<'a>(&self, value: Value<'a>, room: &mut Room) -> Converted<'a> {
        Ok(match (self, value) {
            (_, Value::Null) => Cell::Null,
            (Self::Double, Value::Float(v)) => Cell::Double(v),
            (Self::Double, Value::Int(v)) if is_exact(v.unsigned_abs(), EXACT_DOUBLE) => {
                Cell::Double(v as f64)
            }
            (Self::Double, Value::UInt(v)) if is_exact(v, EXACT_DOUBLE) => Cell::Double(v as f64),
            (Self::Double, Value::Int(_) | Value::UInt(_)) => {
                return never("the integer is not exact as a double; declare it as long");
            }
            (Self::String, Value::Text(text) | Value::Bare(text)) => Cell::Text(text),
            (Self::Boolean, Value::Bool(v)) => Cell::Bool(v),
            (Self::Long, Value::Int(v)) => Cell::Long(v),
            (Self::Int, Value::Int(v)) => match i32::try_from(v) {
                Ok(v) => Cell::Int(v),
                Err(_) => return lacks(Self::Long),
            },
            (Self::Int | Self::Long, Value::UInt(v)) => {
                return never(format!("{v} does not fit a long"));
            }
            (Self::Float, Value::Float(v)) if !v.is_finite() || (v as f32).is_finite() => {
                Cell::Float(v as f32)
            }
            (Self::Float, Value::Int(v)) if is_exact(v.unsigned_abs(), EXACT_FLOAT) => {
                Cell::Float(v as f32)
            }
            (Self::Float, Value::Float(_) | Value::Int(_) | Value::UInt(_)) => {
                return lacks(Self::Double);
            }
            (Self::String, value @ (Value::Object(_) | Value::List(_))) => {
                Cell::Text(value.to_json().into())
            }
            (Self::Binary, Value::Bytes(bytes)) => Cell::Bytes(bytes),
            (kind, Value::Bare(text)) => return kind.convert_bare(&text, room),
            (Self::Timestamp, value) => match time::micros(&value, TimeFormat::Auto) {
                Ok(micros) => Cell::Micros(micros),
                Err(reason) => return never(reason),
            },
            (Self::Date, Value::Text(text)) => match time::parse_date(&text) {
                Some(days) => Cell::Days(days),
                None => return never(format!("'{}' is no date", shorten(&text))),
            },
            (Self::Struct(columns), Value::Object(fields)) => object(columns, fields, room)?,
            (Self::List(element), Value::List(values)) => list(element, values, room)?,
            (kind, value) => return misplaced(&value, kind),
        })
    }

    /// Text without a type in a column that is none of text. Empty text is null.
    fn convert_bare<'a>(&self, text: &str, room: &mut Room) -> Converted<'a> {
        if text.is_empty() {
            return Ok(Cell::Null);
        }
        match self {
            Self::Timestamp | Self::Date => {
                self.convert(Value::Text(text.trim().to_owned().into()), room)
            }
            _ => match bare::typed(text, self) {
                Some(value) => self.convert(value, room),
                None => never(format!(
                    "'{}' where a {} belongs",
                    shorten(text),
                    self.name()
                )),
            },
        }
    }
}

fn misplaced<'a>(value: &Value<'_>, kind: &Kind) -> Converted<'a> {
    never(format!(
        "{} where a {} belongs",
        value.describe(),
        kind.name()
    ))
}

/// An object as a struct. What the struct lacks is told for all fields at once.
fn object<'a>(columns: &[Column], fields: Vec<Field<'a>>, room: &mut Room) -> Converted<'a> {
    let mut cells = vec![Cell::Unset; columns.len()];
    let mut lacking: Vec<Column> = Vec::new();
    let mut hint = 0;
    for (name, value) in fields {
        let at = match columns.get(hint) {
            Some(column) if column.name == name => Some(hint),
            _ => columns.iter().position(|column| column.name == name),
        };
        let Some(at) = at else {
            missing(&name, &value, &mut lacking)?;
            continue;
        };
        hint = at + 1;
        if cells[at] != Cell::Unset {
            return within(never("appears twice"), &name);
        }
        let cell = match &columns[at].kind {
            Some(kind) => kind.convert(value, room),
            None if value == Value::Null => Ok(Cell::Null),
            None => never("its type cannot be filled from payloads"),
        };
        match cell {
            Ok(cell) => cells[at] = cell,
            Err(misfit) => match *misfit {
                Misfit::Lacks(kind) => lacking.push(Column::new(name, kind)),
                never @ Misfit::Never { .. } => return within(Err(Box::new(never)), &name),
            },
        }
    }
    if !lacking.is_empty() {
        return lacks(Kind::Struct(lacking));
    }
    let mut both = columns.iter().zip(&cells);
    let unfilled = both.find(|(c, cell)| c.required && matches!(cell, Cell::Unset | Cell::Null));
    match unfilled {
        Some((column, _)) => within(never("is required"), &column.name),
        None => Ok(Cell::Struct(cells)),
    }
}

/// Notes a field that a struct lacks, unless its value says nothing.
fn missing(name: &str, value: &Value<'_>, lacking: &mut Vec<Column>) -> Result<(), Box<Misfit>> {
    let Some(kind) = Kind::infer(value) else {
        return Ok(());
    };
    if !is_field_name(name) {
        return never("a field name inside an object is empty, too long, or has a dot");
    }
    if lacking.len() >= MOST_COLUMNS {
        return never("the object has too many fields");
    }
    if lacking.iter().any(|column| column.name == name) {
        return within(never("appears twice"), name).map(drop);
    }
    lacking.push(Column::new(name, kind));
    Ok(())
}

/// An array as a list. What its elements lack is told for all at once.
fn list<'a>(element: &Column, values: Vec<Value<'a>>, room: &mut Room) -> Converted<'a> {
    if let Err(reason) = room.take(values.len(), element.leaves()) {
        return never(reason);
    }
    let Some(kind) = &element.kind else {
        return never("its type cannot be filled from payloads");
    };
    let mut cells = Vec::with_capacity(values.len());
    let mut lacking: Option<Kind> = None;
    for value in values {
        match kind.convert(value, room) {
            Ok(Cell::Null) if element.required => return within(never("is required"), "[]"),
            Ok(cell) => cells.push(cell),
            Err(misfit) => match *misfit {
                never @ Misfit::Never { .. } => return within(Err(Box::new(never)), "[]"),
                Misfit::Lacks(more) => {
                    lacking = match lacking.take() {
                        None => Some(more),
                        Some(known) => match known.union(more) {
                            None => return within(never("its values clash in type"), "[]"),
                            both => both,
                        },
                    }
                }
            },
        }
    }
    match lacking {
        Some(kind) => lacks(Kind::list(kind)),
        None => Ok(Cell::List(cells)),
    }
}

/// Says that what never fits is part of `name`.
fn within<'a>(misfit: Converted<'a>, name: &str) -> Converted<'a> {
    misfit.map_err(|mut misfit| {
        if let Misfit::Never { path, .. } = misfit.as_mut() {
            let dot = if name == "[]" { "" } else { "." };
            *path = format!("{dot}{}{path}", shorten(name));
        }
        misfit
    })
}

/// Whether an integer of this size keeps its value in a binary float with `limit` as its last
/// consecutive integer.
fn is_exact(size: u64, limit: u64) -> bool {
    size <= limit || size.trailing_zeros() + limit.ilog2() > size.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert<'a>(kind: &Kind, value: Value<'a>) -> Converted<'a> {
        kind.convert(value, &mut Room(10_000))
    }

    #[test]
    fn integers_are_doubles_only_when_exact() {
        let ok = |v| convert(&Kind::Double, Value::Int(v)).is_ok();
        assert!(ok(0) && ok(-5) && ok(1 << 53) && ok(1 << 60) && ok((1 << 53) + 2));
        assert!(!ok((1 << 53) + 1) && !ok(i64::MAX));
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
        let refused =
            |kind: Kind, value| matches!(*convert(&kind, value).unwrap_err(), Misfit::Never { .. });
        assert!(refused(Kind::Long, Value::Float(5.0)));
        assert!(refused(Kind::Long, Value::UInt(u64::MAX)));
        assert!(refused(Kind::Double, Value::Text("1".into())));
        assert!(refused(Kind::String, Value::Int(1)));
        assert!(refused(Kind::Boolean, Value::Int(1)));
        assert!(refused(Kind::Double, Value::List(vec![])));
        assert!(refused(Kind::Timestamp, Value::Text("soon".into())));
        assert!(refused(Kind::Binary, Value::Text("x".into())));
        assert!(refused(Kind::Long, Value::Bare("1.5".into())));
        assert_eq!(convert(&Kind::Date, Value::Null), Ok(Cell::Null));
    }

    #[test]
    fn what_a_wider_type_would_hold_asks_for_it() {
        let wider = |kind: Kind, value| *convert(&kind, value).unwrap_err();
        assert_eq!(
            wider(Kind::Int, Value::Int(1 << 40)),
            Misfit::Lacks(Kind::Long)
        );
        assert_eq!(
            wider(Kind::Float, Value::Float(1e300)),
            Misfit::Lacks(Kind::Double)
        );
        assert_eq!(
            wider(Kind::Int, Value::Bare("5000000000".into())),
            Misfit::Lacks(Kind::Long)
        );
    }

    #[test]
    fn structs_say_what_they_lack_and_where_they_fail() {
        let kind = Kind::Struct(vec![
            Column::new("a", Kind::Int),
            Column::new("l", Kind::list(Kind::Boolean)),
        ]);
        let of = |fields: Vec<(&'static str, Value<'static>)>| {
            Value::Object(fields.into_iter().map(|(n, v)| (n.into(), v)).collect())
        };
        let good = of(vec![("a", Value::Int(1)), ("none", Value::Null)]);
        let cells = vec![Cell::Int(1), Cell::Unset];
        assert_eq!(convert(&kind, good), Ok(Cell::Struct(cells)));
        let lacking = of(vec![("a", Value::Int(1 << 40)), ("b", Value::Bool(true))]);
        let more = vec![
            Column::new("a", Kind::Long),
            Column::new("b", Kind::Boolean),
        ];
        assert_eq!(
            *convert(&kind, lacking).unwrap_err(),
            Misfit::Lacks(Kind::Struct(more))
        );
        let wrong = of(vec![(
            "l",
            Value::List(vec![Value::Bool(true), Value::Int(1)]),
        )]);
        let Misfit::Never { path, reason } = *convert(&kind, wrong).unwrap_err() else {
            panic!("a number is no boolean");
        };
        assert_eq!(
            (path.as_str(), reason.as_str()),
            (".l[]", "a number where a boolean belongs")
        );
        let twice = of(vec![("a", Value::Int(1)), ("a", Value::Int(1))]);
        assert!(convert(&kind, twice).is_err());
    }

    #[test]
    fn a_list_of_wide_structs_has_its_bounds() {
        let columns = (0..100)
            .map(|n| Column::new(n.to_string(), Kind::Int))
            .collect();
        let kind = Kind::list(Kind::Struct(columns));
        let empty = |n| Value::List(vec![Value::Object(vec![]); n]);
        assert!(convert(&kind, empty(2)).is_ok());
        assert!(convert(&kind, empty(20)).is_err());
    }
}
