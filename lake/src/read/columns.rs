//! The columns of a file as those of its table: found by Iceberg field id at every level,
//! widened to the table's types, null where the file lacks them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use catalog::{Error, Result};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

/// Field ids by the id of what holds a field, if anything, and its name.
pub(super) type Names = HashMap<(Option<i32>, String), i32>;

/// How the columns of one file become those of the table.
pub(super) struct Columns {
    table: SchemaRef,
    /// For each of the table's columns the one among those read.
    from: Vec<Option<usize>>,
    /// The file's columns to read, ascending.
    read: Vec<usize>,
    /// Those columns, at all levels with the ids they have or are known by.
    fields: Fields,
}

impl Columns {
    /// `names` are the ids of the fields of files that carry none; without these either,
    /// fields are matched by name.
    pub(super) fn new(table: &SchemaRef, file: &Schema, names: &Names) -> Self {
        let with_ids = file.fields().iter().any(|field| id(field).is_some());
        let file: Fields = match with_ids || names.is_empty() {
            true => file.fields().clone(),
            false => {
                let fields = file.fields().iter();
                let fields = fields.map(|field| identified(None, field.name(), field, names));
                fields.collect()
            }
        };
        let at = table.fields().iter().map(|wanted| child(wanted, &file));
        let at: Vec<Option<usize>> = at.collect();
        let mut read: Vec<usize> = at.iter().flatten().copied().collect();
        read.sort_unstable();
        read.dedup();
        let from = at.iter();
        let from = from.map(|at| at.and_then(|at| read.binary_search(&at).ok()));
        Self {
            table: Arc::clone(table),
            from: from.collect(),
            fields: read.iter().map(|at| Arc::clone(&file[*at])).collect(),
            read,
        }
    }

    /// The file's columns to read.
    pub(super) fn read(&self) -> impl Iterator<Item = usize> + '_ {
        self.read.iter().copied()
    }

    /// A batch of the columns read, as the table's.
    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.table.fields().iter().zip(&self.from);
        let columns = columns.map(|(field, from)| match from {
            Some(at) => converted(field, &self.fields[*at], batch.column(*at)),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        });
        let built = columns.collect::<Result<Vec<_>, _>>().and_then(|columns| {
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&self.table), columns, &rows)
        });
        built.map_err(|e| Error::corrupt("the rows are not the table's").with_source(e))
    }
}

fn id(field: &Field) -> Option<i32> {
    let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY)?;
    id.parse().ok()
}

fn converted(into: &Field, from: &Field, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if into.data_type() == column.data_type() {
        return Ok(Arc::clone(column));
    }
    Ok(match (into.data_type(), from.data_type()) {
        (DataType::Struct(into), DataType::Struct(from)) => {
            Arc::new(structs(into, from, column.as_struct())?)
        }
        (DataType::List(into), DataType::List(from)) => {
            let list = column.as_list::<i32>();
            let values = converted(into, from, list.values())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(
                Arc::clone(into),
                offsets,
                values,
                nulls,
            )?)
        }
        (DataType::Map(into, sorted), DataType::Map(from, _)) => {
            Arc::new(maps(into, from, column.as_map(), *sorted)?)
        }
        (data_type, _) => {
            // An unsafe cast fails where a safe one would write null.
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(column, data_type, &options)?
        }
    })
}

fn structs(into: &Fields, from: &Fields, column: &StructArray) -> Result<StructArray, ArrowError> {
    let fields = into.iter().map(|field| match child(field, from) {
        Some(at) => converted(field, &from[at], column.column(at)),
        None => Ok(new_null_array(field.data_type(), column.len())),
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let nulls = column.nulls().cloned();
    StructArray::try_new_with_length(into.clone(), fields, nulls, column.len())
}

fn maps(
    into: &FieldRef,
    from: &Field,
    map: &MapArray,
    sorted: bool,
) -> Result<MapArray, ArrowError> {
    let (DataType::Struct(entries), DataType::Struct(given)) = (into.data_type(), from.data_type())
    else {
        return Err(ArrowError::SchemaError("a map without entries".to_owned()));
    };
    // Keys and values have their places, whatever they are called.
    let columns = entries.iter().zip(given).zip(map.entries().columns());
    let columns = columns.map(|((into, from), column)| converted(into, from, column));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let entries = StructArray::try_new(entries.clone(), columns, map.entries().nulls().cloned())?;
    let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
    MapArray::try_new(Arc::clone(into), offsets, entries, nulls, sorted)
}

/// The field in the file that is `wanted`.
fn child(wanted: &Field, among: &Fields) -> Option<usize> {
    let with_ids = among.iter().any(|field| id(field).is_some());
    among.iter().position(|field| match with_ids {
        true => id(field).is_some() && id(field) == id(wanted),
        false => field.name() == wanted.name(),
    })
}

/// `field`, and what is nested in it, with the ids they are known by.
fn identified(parent: Option<i32>, name: &str, field: &Field, names: &Names) -> Field {
    let Some(id) = names.get(&(parent, name.to_owned())).copied() else {
        return field.clone();
    };
    let within = |name: &str, field: &Field| Arc::new(identified(Some(id), name, field, names));
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            let fields = fields.iter();
            DataType::Struct(fields.map(|field| within(field.name(), field)).collect())
        }
        DataType::List(element) => DataType::List(within("element", element)),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(fields) => {
                let parts = ["key", "value"].into_iter().zip(fields);
                let parts = parts.map(|(name, field)| within(name, field)).collect();
                let entries = entries.as_ref().clone();
                let entries = entries.with_data_type(DataType::Struct(parts));
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => field.data_type().clone(),
        },
        other => other.clone(),
    };
    let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
    let field = field.clone().with_data_type(data_type);
    field.with_metadata(HashMap::from([id]))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int32Array, Int64Array, StringArray};

    use super::*;

    fn field(name: &str, kind: DataType, id: Option<i32>) -> Field {
        let id = id.map(|id| (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string()));
        Field::new(name, kind, true).with_metadata(id.into_iter().collect())
    }

    fn read(table: Vec<Field>, file: Vec<(Field, ArrayRef)>, names: &[(&str, i32)]) -> RecordBatch {
        let (fields, columns): (Vec<_>, Vec<_>) = file.into_iter().unzip();
        let file = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let names = names.iter();
        let names = names.map(|(name, id)| ((None, (*name).to_owned()), *id));
        let table = Arc::new(Schema::new(table));
        let columns = Columns::new(&table, &file.schema(), &names.collect());
        let read: Vec<usize> = columns.read().collect();
        columns.batch(&file.project(&read).unwrap()).unwrap()
    }

    #[test]
    fn columns_are_found_by_id_and_widened_and_lacking_ones_are_null() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let table = vec![
            field("new", DataType::Utf8, Some(9)),
            field("renamed", DataType::Int64, Some(1)),
        ];
        let file = vec![
            (field("new", DataType::Utf8, Some(2)), Arc::clone(&texts)),
            (field("n", DataType::Int32, Some(1)), Arc::clone(&numbers)),
        ];
        let rows = read(table.clone(), file, &[]);
        assert_eq!(rows.column(0).null_count(), 2);
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        assert_eq!(rows.column(1), &wide);
        let plain = vec![(field("old", DataType::Int32, None), numbers)];
        let rows = read(table.clone(), plain.clone(), &[("old", 1)]);
        assert_eq!(rows.column(1), &wide);
        let rows = read(table, plain, &[]);
        assert_eq!(rows.column(1).null_count(), 2);
    }

    #[test]
    fn nested_fields_are_found_by_id_too() {
        let inner =
            |kind, name: &str, id| DataType::Struct(vec![field(name, kind, Some(id))].into());
        let list = |kind, id| DataType::List(Arc::new(field("element", kind, Some(id))));
        let DataType::Struct(fields) = inner(DataType::Float32, "old", 3) else {
            unreachable!("made above")
        };
        let values: ArrayRef = Arc::new(Float32Array::from(vec![1.5, 2.5, 3.5]));
        let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![values], None));
        let DataType::List(element) = list(structs.data_type().clone(), 2) else {
            unreachable!("made above")
        };
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 1]);
        let lists: ArrayRef = Arc::new(ListArray::new(element, offsets, structs, None));
        let file = vec![(field("l", lists.data_type().clone(), Some(1)), lists)];
        let wide = list(inner(DataType::Float64, "new", 3), 2);
        let rows = read(vec![field("l", wide, Some(1))], file, &[]);
        let second = rows.column(0).as_list::<i32>().value(0);
        let numbers = second.as_struct().column(0);
        let numbers = numbers.as_primitive::<arrow::datatypes::Float64Type>();
        assert_eq!(numbers.values(), &[1.5, 2.5]);
    }
}
