//! Rows to record batches of the types that the columns have.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Float32Builder, Float64Builder,
    Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::{Error, Result};

use super::cell::{Cell, Row, Sink};
use super::column::{self, Column};
use super::text::{self, Notation, Number};
use super::time;

/// Cells in a batch, so that it has some megabytes however wide it is.
const BATCH_CELLS: usize = 1 << 20;
/// Rows in a batch at most.
const BATCH_ROWS: usize = 1 << 16;

/// Bytes of texts at which a batch ends early: a column of texts holds no 2 GiB.
const BATCH_BYTES: usize = 64 << 20;

/// Gathers rows and hands them on as batches.
pub(super) struct Batches<'b> {
    columns: &'b [Column],
    index: HashMap<&'b str, usize>,
    schema: SchemaRef,
    notation: &'b Notation,
    builders: Vec<Builder>,
    rows: usize,
    /// Bytes of the texts gathered.
    bytes: usize,
    most_rows: usize,
    /// Where the columns of the file stand among those of the load.
    places: Vec<usize>,
    /// The file being read and its unit, as messages say where a row is.
    pub(super) place: Box<dyn Fn(u64) -> String + 'b>,
    pub(super) take: Box<dyn FnMut(RecordBatch) -> Result<()> + 'b>,
}

impl<'b> Batches<'b> {
    pub(super) fn new(
        columns: &'b [Column],
        notation: &'b Notation,
        take: impl FnMut(RecordBatch) -> Result<()> + 'b,
    ) -> Self {
        let index = columns.iter().enumerate();
        Self {
            columns,
            index: index
                .map(|(at, column)| (column.name.as_str(), at))
                .collect(),
            schema: schema(columns),
            notation,
            builders: columns.iter().map(Builder::new).collect(),
            rows: 0,
            bytes: 0,
            most_rows: (BATCH_CELLS / columns.len().max(1)).clamp(1, BATCH_ROWS),
            places: Vec::new(),
            place: Box::new(|at| at.to_string()),
            take: Box::new(take),
        }
    }

    /// Begins a file, whose rows `place` tells.
    pub(super) fn begin(&mut self, place: impl Fn(u64) -> String + 'b) {
        self.places.clear();
        self.place = Box::new(place);
    }

    /// Hands on the rows gathered.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        let batch = batch
            .map_err(|e| Error::internal("columns do not make a record batch").with_source(e))?;
        (self.take)(batch)
    }

    fn wrong(&self, row: &Row<'_>, name: &str, why: &str) -> Error {
        let place = (self.place)(row.at);
        Error::invalid(format!("{place}: column {name:?}: {why}")).with_hint(
            "nothing is loaded; mend the value, or declare the column's type with --type",
        )
    }
}

/// The schema of the batches that make rows of `columns`.
pub(super) fn schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.data_type.clone(), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

impl Sink for Batches<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        for name in &row.names[self.places.len()..] {
            let Some(at) = self.index.get(name.as_str()) else {
                return Err(self.wrong(row, name, "it was not there before"));
            };
            self.places.push(*at);
        }
        self.rows += 1;
        for (at, cell) in self.places.iter().zip(row.cells) {
            self.bytes += cell.bytes();
            if let Err(why) = self.builders[*at].append(cell, self.notation) {
                return Err(self.wrong(row, &self.columns[*at].name, &why));
            }
        }
        // A file need not have all columns, nor a row all of its file's.
        for builder in &mut self.builders {
            builder.fill(self.rows);
        }
        match self.rows >= self.most_rows || self.bytes >= BATCH_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

/// Collects one column's cells.
enum Builder {
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder, Option<String>),
    Date(Date32Builder, Option<String>),
    /// A type that no cell fills: its column has no values.
    Empty(DataType, usize),
}

impl Builder {
    fn new(column: &Column) -> Self {
        let format = || column.format.clone();
        match &column.data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int32 => Self::Int(Int32Builder::new()),
            DataType::Int64 => Self::Long(Int64Builder::new()),
            DataType::Float32 => Self::Float(Float32Builder::new()),
            DataType::Float64 => Self::Double(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let builder = TimestampMicrosecondBuilder::new();
                Self::Timestamp(builder.with_data_type(column.data_type.clone()), format())
            }
            DataType::Date32 => Self::Date(Date32Builder::new(), format()),
            other => Self::Empty(other.clone(), 0),
        }
    }

    /// Appends a value.
    ///
    /// # Errors
    /// Why the cell is none.
    fn append(&mut self, cell: &Cell<'_>, notation: &Notation) -> Result<(), String> {
        let wrong = |wanted: &str| format!("{:?} is no {wanted}", column::shorten(&cell.shown()));
        match self {
            _ if *cell == Cell::Null => return Ok(()),
            Self::Boolean(builder) => {
                builder.append_value(boolean(cell).ok_or_else(|| wrong("boolean"))?);
            }
            Self::Int(builder) => {
                let value = long(cell, notation).and_then(|value| i32::try_from(value).ok());
                builder.append_value(value.ok_or_else(|| wrong("int"))?);
            }
            Self::Long(builder) => {
                builder.append_value(long(cell, notation).ok_or_else(|| wrong("long"))?);
            }
            Self::Float(builder) => {
                let value = double(cell, notation).ok_or_else(|| wrong("float"))?;
                let single = value as f32;
                if single.is_infinite() && value.is_finite() {
                    return Err(wrong("float"));
                }
                builder.append_value(single);
            }
            Self::Double(builder) => {
                builder.append_value(double(cell, notation).ok_or_else(|| wrong("double"))?);
            }
            Self::Text(builder) => match cell {
                Cell::Open(text) | Cell::Text(text) => builder.append_value(text),
                other => builder.append_value(other.shown()),
            },
            Self::Timestamp(builder, format) => {
                let micros = micros(cell, format.as_deref(), notation);
                builder.append_value(micros.ok_or_else(|| wrong("timestamp"))?);
            }
            Self::Date(builder, format) => {
                let days = days(cell, format.as_deref());
                builder.append_value(days.ok_or_else(|| wrong("date"))?);
            }
            Self::Empty(data_type, _) => return Err(wrong(&column::name(data_type))),
        }
        Ok(())
    }

    fn array(&mut self) -> Option<&mut dyn ArrayBuilder> {
        Some(match self {
            Self::Boolean(builder) => builder,
            Self::Int(builder) => builder,
            Self::Long(builder) => builder,
            Self::Float(builder) => builder,
            Self::Double(builder) => builder,
            Self::Text(builder) => builder,
            Self::Timestamp(builder, _) => builder,
            Self::Date(builder, _) => builder,
            Self::Empty(..) => return None,
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Boolean(builder) => builder.len(),
            Self::Int(builder) => builder.len(),
            Self::Long(builder) => builder.len(),
            Self::Float(builder) => builder.len(),
            Self::Double(builder) => builder.len(),
            Self::Text(builder) => builder.len(),
            Self::Timestamp(builder, _) => builder.len(),
            Self::Date(builder, _) => builder.len(),
            Self::Empty(_, len) => *len,
        }
    }

    /// Appends nulls up to `rows` rows.
    fn fill(&mut self, rows: usize) {
        if self.len() >= rows {
            return;
        }
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Long(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Timestamp(builder, _) => builder.append_null(),
            Self::Date(builder, _) => builder.append_null(),
            Self::Empty(_, len) => *len += 1,
        }
    }

    fn finish(&mut self) -> ArrayRef {
        if let Self::Empty(data_type, len) = self {
            return new_null_array(data_type, std::mem::take(len));
        }
        match self.array() {
            Some(builder) => Arc::clone(&builder.finish()),
            None => new_null_array(&DataType::Null, 0),
        }
    }
}

fn boolean(cell: &Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(*value),
        Cell::Open(text) => text::boolean(text),
        _ => None,
    }
}

fn number(cell: &Cell<'_>, notation: &Notation) -> Option<Number> {
    match cell {
        Cell::Int(value) => Some(Number::Int(*value)),
        Cell::Float(value) => Some(Number::Float(*value)),
        Cell::Open(text) => text::number(&notation.point(text)?),
        _ => None,
    }
}

fn long(cell: &Cell<'_>, notation: &Notation) -> Option<i64> {
    match number(cell, notation)? {
        Number::Int(value) => Some(value),
        Number::Huge(_) | Number::Float(_) => None,
    }
}

fn double(cell: &Cell<'_>, notation: &Notation) -> Option<f64> {
    Some(match number(cell, notation)? {
        Number::Int(value) => value as f64,
        Number::Huge(value) | Number::Float(value) => value,
    })
}

fn micros(cell: &Cell<'_>, format: Option<&str>, notation: &Notation) -> Option<i64> {
    if let Cell::Micros(micros) = cell {
        return Some(*micros);
    }
    let text = match cell {
        Cell::Open(text) | Cell::Text(text) => Some(text.trim_ascii()),
        _ => None,
    };
    let read = match (text, format) {
        (Some(text), Some(format)) => return time::by_format(text, format),
        (Some(text), None) => time::timestamp(text),
        (None, _) => None,
    };
    read.or_else(|| match number(cell, notation)? {
        Number::Int(value) => time::epoch(value),
        Number::Float(value) => time::epoch_float(value),
        Number::Huge(_) => None,
    })
}

fn days(cell: &Cell<'_>, format: Option<&str>) -> Option<i32> {
    match (cell, format) {
        (Cell::Micros(micros), _) => time::is_midnight(*micros).then(|| time::day_of(*micros)),
        (Cell::Open(text) | Cell::Text(text), Some(format)) => {
            time::by_format(text.trim_ascii(), format).map(time::day_of)
        }
        (Cell::Open(text) | Cell::Text(text), None) => time::date(text.trim_ascii()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_make_batches_of_few_rows() {
        let column = Column {
            name: "text".into(),
            data_type: DataType::Utf8,
            standing: column::Standing::Added,
            nulls: None,
            example: String::new(),
            note: None,
            format: None,
        };
        let (columns, notation) = ([column], Notation::default());
        let names = ["text".to_owned()];
        let mut sizes = Vec::new();
        let mut batches = Batches::new(&columns, &notation, |batch| {
            sizes.push(batch.num_rows());
            Ok(())
        });
        let cells = [Cell::Text("x".repeat(30 << 20).into())];
        for at in 0..4 {
            let (names, cells) = (&names, &cells);
            batches.row(&Row { at, names, cells }).unwrap();
        }
        batches.flush().unwrap();
        drop(batches);
        assert_eq!(sizes, [3, 1]);
    }
}
