//! Bringing arrays, nested ones too, into another type of the same kind.
//!
//! A [`Shape`] says where in an array each nested field of the other type is found: by its
//! name where rows come in, by its field id where data files are read. Fields that are not
//! found are null.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::nullif::nullif;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

/// How an array of one type becomes one of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A value that is not nested.
    Value,
    /// Nulls, as there are no values.
    Null,
    /// For each field of the struct, where it comes from and how; `None` is null.
    Struct(Vec<Option<(usize, Shape)>>),
    /// Of a list's elements.
    List(Box<Shape>),
    /// Of a map's keys and values.
    Map(Box<Shape>, Box<Shape>),
}

impl Shape {
    /// From `from` into `into`, fields found by their names.
    ///
    /// # Errors
    /// When the two are not of one kind.
    pub fn by_name(from: &DataType, into: &DataType) -> Result<Self, ArrowError> {
        Self::new(from, into, &|fields, wanted| {
            fields
                .iter()
                .position(|field| field.name() == wanted.name())
        })
    }

    /// From `from` into `into`; `find` says which of a struct's fields is the wanted one.
    ///
    /// # Errors
    /// When the two are not of one kind.
    pub fn new(
        from: &DataType,
        into: &DataType,
        find: &dyn Fn(&Fields, &Field) -> Option<usize>,
    ) -> Result<Self, ArrowError> {
        let mismatch = || ArrowError::CastError(format!("a {from} cannot become a {into}"));
        Ok(match (from, into) {
            (DataType::Null, _) => Self::Null,
            (DataType::Struct(from), DataType::Struct(into)) => {
                let fields = into.iter().map(|wanted| {
                    let Some(at) = find(from, wanted) else {
                        return Ok(None);
                    };
                    let shape = Self::new(from[at].data_type(), wanted.data_type(), find)?;
                    Ok(Some((at, shape)))
                });
                Self::Struct(fields.collect::<Result<_, ArrowError>>()?)
            }
            (_, DataType::List(into)) => {
                let from = element(from).ok_or_else(mismatch)?;
                let shape = Self::new(from.data_type(), into.data_type(), find)?;
                Self::List(Box::new(shape))
            }
            (DataType::Map(from, _), DataType::Map(into, _)) => {
                let (from, into) = (entries(from)?, entries(into)?);
                let shape = |at: usize| Self::new(from[at].data_type(), into[at].data_type(), find);
                Self::Map(Box::new(shape(0)?), Box::new(shape(1)?))
            }
            (from, into) if from.is_nested() || into.is_nested() => return Err(mismatch()),
            _ => Self::Value,
        })
    }

    /// `array` as one of type `into`, its plain values converted where their type differs.
    ///
    /// # Errors
    /// For a value that the other type does not have, and a null where it takes none.
    pub fn cast(&self, array: &ArrayRef, into: &DataType) -> Result<ArrayRef, ArrowError> {
        // An unsafe cast fails where a safe one would write null.
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        self.apply(array, into, &|values, into| {
            cast_with_options(values, into, &options)
        })
    }

    /// `array` as one of type `into`, its plain values by `convert` where their type differs.
    ///
    /// # Errors
    /// Those of `convert`, and a null in a nested field that takes none.
    pub fn apply<E: From<ArrowError>>(
        &self,
        array: &ArrayRef,
        into: &DataType,
        convert: &dyn Fn(&ArrayRef, &DataType) -> Result<ArrayRef, E>,
    ) -> Result<ArrayRef, E> {
        match (self, into) {
            (Self::Null, into) => Ok(new_null_array(into, array.len())),
            (Self::Struct(shapes), DataType::Struct(fields)) => {
                let from = array.as_struct_opt().ok_or_else(unlike)?;
                fields_of(from, shapes, fields, convert)
            }
            (Self::List(shape), DataType::List(field)) => {
                let list = as_list(array)?;
                let list = list.as_list_opt::<i32>().ok_or_else(unlike)?;
                let (offsets, values) = trimmed(list.offsets(), list.values());
                let values = shape.apply(&values, field.data_type(), convert)?;
                let nulls = list.nulls().cloned();
                let list = ListArray::try_new(Arc::clone(field), offsets, values, nulls)?;
                Ok(Arc::new(list))
            }
            (Self::Map(key, value), DataType::Map(field, ordered)) => {
                let map = array.as_map_opt().ok_or_else(unlike)?;
                let fields = entries(field)?;
                let (offsets, keys) = trimmed(map.offsets(), map.keys());
                let (_, values) = trimmed(map.offsets(), map.values());
                let keys = key.apply(&keys, fields[0].data_type(), convert)?;
                let values = value.apply(&values, fields[1].data_type(), convert)?;
                let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
                let (field, nulls) = (Arc::clone(field), map.nulls().cloned());
                let map = MapArray::try_new(field, offsets, entries, nulls, *ordered)?;
                Ok(Arc::new(map))
            }
            (_, into) if array.data_type() == into => Ok(Arc::clone(array)),
            (_, into) => convert(array, into),
        }
    }
}

fn fields_of<E: From<ArrowError>>(
    from: &StructArray,
    shapes: &[Option<(usize, Shape)>],
    fields: &Fields,
    convert: &dyn Fn(&ArrayRef, &DataType) -> Result<ArrayRef, E>,
) -> Result<ArrayRef, E> {
    // What lies below a null struct may be anything, also what no conversion takes.
    let gone = from.nulls().map(|nulls| BooleanArray::from(!nulls.inner()));
    let columns = shapes.iter().zip(fields).map(|(shape, field)| match shape {
        Some((at, shape)) => {
            let column = from.columns().get(*at).ok_or_else(unlike)?;
            let masked = match &gone {
                Some(gone) if *shape == Shape::Value => &nullif(column, gone)?,
                _ => column,
            };
            shape.apply(masked, field.data_type(), convert)
        }
        None => Ok(new_null_array(field.data_type(), from.len())),
    });
    let columns = columns.collect::<Result<Vec<_>, E>>()?;
    let nulls = from.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        nulls,
    )?))
}

/// The element of a list, of whatever kind.
fn element(list: &DataType) -> Option<&FieldRef> {
    match list {
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => Some(element),
        _ => None,
    }
}

/// The fields of a map's entries.
fn entries(entries: &Field) -> Result<&Fields, ArrowError> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Ok(fields),
        other => Err(ArrowError::CastError(format!(
            "a map cannot have entries of type {other}"
        ))),
    }
}

fn as_list(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match element(array.data_type()) {
        Some(element) if !matches!(array.data_type(), DataType::List(_)) => {
            let list = DataType::List(Arc::clone(element));
            cast_with_options(array, &list, &CastOptions::default())
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// What the lists of a slice hold, and offsets that count from its start.
fn trimmed(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> (OffsetBuffer<i32>, ArrayRef) {
    let start = offsets.first().copied().unwrap_or(0) as usize;
    let end = offsets.last().copied().unwrap_or(0) as usize;
    let values = values.slice(start, end.saturating_sub(start));
    (OffsetBuffer::from_lengths(offsets.lengths()), values)
}

/// An array that is not of the type its shape was made for.
fn unlike() -> ArrowError {
    ArrowError::CastError("an array is not of the type that was announced".to_owned())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, StructArray};
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::*;

    fn field(name: &str, of: DataType) -> FieldRef {
        Arc::new(Field::new(name, of, true))
    }

    /// Motors `{temp, rpm}` of three pumps: the second has none, the third's is empty.
    fn motors() -> ArrayRef {
        let temp: ArrayRef = Arc::new(Int32Array::from(vec![Some(70), Some(1), None]));
        let rpm: ArrayRef = Arc::new(StringArray::from(vec![Some("fast"), None, None]));
        let fields = vec![field("temp", DataType::Int32), field("rpm", DataType::Utf8)];
        let nulls = vec![true, false, true].into();
        Arc::new(StructArray::new(
            fields.into(),
            vec![temp, rpm],
            Some(nulls),
        ))
    }

    fn wanted() -> DataType {
        let inner = vec![field("x", DataType::Boolean)];
        DataType::Struct(
            vec![
                field("inner", DataType::Struct(inner.into())),
                field("temp", DataType::Float64),
            ]
            .into(),
        )
    }

    #[test]
    fn fields_are_found_by_name_and_missing_ones_are_null() {
        let motors = motors();
        let shape = Shape::by_name(motors.data_type(), &wanted()).unwrap();
        let shaped = shape.cast(&motors, &wanted()).unwrap();
        assert_eq!(shaped.data_type(), &wanted());
        assert!(shaped.is_null(1) && shaped.is_valid(2));
        let shaped = shaped.as_struct();
        assert_eq!(shaped.column(0).null_count(), 3);
        let temp = shaped.column(1).as_primitive::<Float64Type>();
        assert_eq!((temp.value(0), temp.is_null(2)), (70.0, true));
    }

    #[test]
    fn lists_and_maps_of_structs_are_shaped_within_a_slice() {
        let offsets = OffsetBuffer::from_lengths([1, 0, 2]);
        let element = field("item", motors().data_type().clone());
        let list = ListArray::new(element, offsets, motors(), None);
        let sliced: ArrayRef = Arc::new(list.slice(2, 1));
        let into = DataType::List(field("element", wanted()));
        let shape = Shape::by_name(sliced.data_type(), &into).unwrap();
        let shaped = shape.cast(&sliced, &into).unwrap();
        let values = shaped.as_list::<i32>().value(0);
        assert_eq!((values.len(), values.is_null(0)), (2, true));

        let entries = |of| {
            let fields = vec![
                Arc::new(Field::new("key", DataType::Utf8, false)),
                field("value", of),
            ];
            Field::new("entries", DataType::Struct(fields.into()), false)
        };
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let of = entries(DataType::Int32);
        let DataType::Struct(fields) = of.data_type().clone() else {
            panic!("entries are structs");
        };
        let held = StructArray::new(fields, vec![keys, values], None);
        let offsets = OffsetBuffer::from_lengths([1, 1]);
        let map = MapArray::new(Arc::new(of), offsets, held, None, false);
        let sliced: ArrayRef = Arc::new(map.slice(1, 1));
        let into = DataType::Map(Arc::new(entries(DataType::Int64)), false);
        let shape = Shape::by_name(sliced.data_type(), &into).unwrap();
        let shaped = shape.cast(&sliced, &into).unwrap();
        let values = shaped.as_map().values().as_primitive::<Int64Type>().clone();
        assert_eq!(values, Int64Array::from(vec![2]));
    }

    #[test]
    fn other_kinds_and_forbidden_nulls_are_refused() {
        let motors = motors();
        assert!(Shape::by_name(motors.data_type(), &DataType::Int64).is_err());
        assert!(Shape::by_name(&DataType::Int64, motors.data_type()).is_err());
        let required = Field::new("temp", DataType::Int32, false);
        let into = DataType::Struct(vec![required].into());
        let shape = Shape::by_name(motors.data_type(), &into).unwrap();
        assert!(shape.cast(&motors, &into).is_err());
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
        let shape = Shape::by_name(&DataType::Float64, &DataType::Int32).unwrap();
        assert!(shape.cast(&numbers, &DataType::Int32).is_err());
    }
}
