//! The builders that a column's cells are collected in.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float32Builder, Float64Builder, Int32Builder,
    Int64Builder, LargeBinaryBuilder, ListArray, NullBufferBuilder, StringBuilder, StructArray,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;

use super::convert::Cell;
use super::kind::{Kind, UTC};

/// Collects one column's cells.
pub(super) enum Builder {
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    String(StringBuilder),
    Binary(LargeBinaryBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Struct(StructBuilder),
    List(Box<ListBuilder>),
    /// A type payloads cannot fill: all null.
    Other(DataType, usize),
}

pub(super) struct StructBuilder {
    fields: Fields,
    children: Vec<Builder>,
    nulls: NullBufferBuilder,
}

pub(super) struct ListBuilder {
    field: FieldRef,
    lengths: Vec<usize>,
    elements: Builder,
    nulls: NullBufferBuilder,
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
            Some(Kind::Binary) => Self::Binary(LargeBinaryBuilder::new()),
            Some(Kind::Timestamp) => Self::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(capacity).with_timezone(UTC),
            ),
            Some(Kind::Date) => Self::Date(Date32Builder::with_capacity(capacity)),
            Some(Kind::Struct(_) | Kind::List(_)) => Self::nested(data_type, capacity),
            None => Self::Other(data_type.clone(), 0),
        }
    }

    fn nested(data_type: &DataType, capacity: usize) -> Self {
        let nulls = NullBufferBuilder::new(capacity);
        match data_type {
            DataType::Struct(fields) => Self::Struct(StructBuilder {
                fields: fields.clone(),
                children: fields
                    .iter()
                    .map(|f| Self::new(f.data_type(), capacity))
                    .collect(),
                nulls,
            }),
            DataType::List(field) => Self::List(Box::new(ListBuilder {
                field: Arc::clone(field),
                lengths: Vec::with_capacity(capacity),
                elements: Self::new(field.data_type(), capacity),
                nulls,
            })),
            other => Self::Other(other.clone(), 0),
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
            (Self::Binary(b), Cell::Bytes(v)) => b.append_value(v),
            (Self::Timestamp(b), Cell::Micros(v)) => b.append_value(v),
            (Self::Date(b), Cell::Days(v)) => b.append_value(v),
            (Self::Struct(b), Cell::Struct(cells)) => {
                for (child, cell) in b.children.iter_mut().zip(cells) {
                    child.append(cell);
                }
                b.nulls.append_non_null();
            }
            (Self::List(b), Cell::List(cells)) => {
                b.lengths.push(cells.len());
                for cell in cells {
                    b.elements.append(cell);
                }
                b.nulls.append_non_null();
            }
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
            Self::Binary(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Struct(b) => {
                b.children.iter_mut().for_each(Self::append_null);
                b.nulls.append_null();
            }
            Self::List(b) => {
                b.lengths.push(0);
                b.nulls.append_null();
            }
            Self::Other(_, len) => *len += 1,
        }
    }

    /// The array of all cells.
    ///
    /// # Errors
    /// Arrays that do not go together, which is a fault of this crate.
    pub(super) fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(mut b) => Arc::new(b.finish()),
            Self::Int(mut b) => Arc::new(b.finish()),
            Self::Long(mut b) => Arc::new(b.finish()),
            Self::Float(mut b) => Arc::new(b.finish()),
            Self::Double(mut b) => Arc::new(b.finish()),
            Self::String(mut b) => Arc::new(b.finish()),
            Self::Binary(mut b) => Arc::new(b.finish()),
            Self::Timestamp(mut b) => Arc::new(b.finish()),
            Self::Date(mut b) => Arc::new(b.finish()),
            Self::Struct(mut b) => {
                let children = b.children.into_iter().map(Self::finish);
                let children = children.collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new(b.fields, children, b.nulls.finish())?)
            }
            Self::List(mut b) => {
                let offsets = OffsetBuffer::from_lengths(b.lengths);
                let elements = b.elements.finish()?;
                Arc::new(ListArray::try_new(
                    b.field,
                    offsets,
                    elements,
                    b.nulls.finish(),
                )?)
            }
            Self::Other(data_type, len) => new_null_array(&data_type, len),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    #[test]
    fn nested_cells_become_nested_arrays() {
        let kind = Kind::parse("struct<a: int, l: list<struct<x: string>>>").unwrap();
        let mut builder = Builder::new(&kind.data_type(), 1);
        let inner = Cell::Struct(vec![Cell::Text("x".into())]);
        builder.append(Cell::Struct(vec![
            Cell::Int(1),
            Cell::List(vec![inner, Cell::Null]),
        ]));
        builder.append(Cell::Null);
        builder.append(Cell::Struct(vec![Cell::Unset, Cell::List(vec![])]));
        let array = builder.finish().unwrap();
        assert_eq!(array.data_type(), &kind.data_type());
        assert_eq!((array.len(), array.null_count()), (3, 1));
        let mut out = Vec::new();
        let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
        let batch = arrow::array::RecordBatch::try_from_iter([("v", array)]).unwrap();
        writer.write(&batch).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"v\":{\"a\":1,\"l\":[{\"x\":\"x\"},null]}}\n{}\n{\"v\":{\"l\":[]}}\n"
        );
    }

    #[test]
    fn every_builder_takes_null() {
        let names =
            "boolean int long float double string binary timestamp date list<int> struct<a:int>";
        for name in names.split(' ') {
            let kind = Kind::parse(name).unwrap();
            let mut builder = Builder::new(&kind.data_type(), 1);
            builder.append(Cell::Null);
            let array = builder.finish().unwrap();
            assert_eq!(
                (array.data_type(), array.null_count()),
                (&kind.data_type(), 1)
            );
        }
    }
}
