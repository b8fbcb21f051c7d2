//! Parquet files: their columns are what they say they are, and come as batches.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, max, min};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use catalog::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::column::{self, Column, Standing, Target, UTC, shorten};
use super::input::{Input, Section};
use super::progress::Progress;

/// Rows in a batch.
const BATCH_ROWS: usize = 1 << 14;

/// A column of Parquet files.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// Unknown where the statistics do not tell.
    nulls: Option<u64>,
    example: String,
    /// Earliest and latest time, in microseconds, where the files' statistics tell.
    pub(super) times: Option<(i64, i64)>,
    /// The first file that has it.
    file: String,
    /// Rows of the files that have it.
    rows: u64,
}

/// What Parquet files hold.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) columns: Vec<Stored>,
    /// The rows of each file.
    pub(super) rows: Vec<u64>,
}

type Builder = ParquetRecordBatchReaderBuilder<Section>;

fn open(input: &Input, progress: &Progress) -> Result<Builder> {
    let section = input.open(progress)?;
    let builder = Builder::try_new(section).map_err(|e| input.broken(e))?;
    Ok(builder.with_batch_size(BATCH_ROWS))
}

/// Reads what the files say of themselves, and a value of each column.
///
/// # Errors
/// `Conflict` for a column whose types in two files do not go together.
pub(super) fn contents(inputs: &[Input], progress: &Progress) -> Result<Contents> {
    let mut contents = Contents::default();
    for input in inputs {
        let builder = open(input, progress)?;
        let rows = builder.metadata().file_metadata().num_rows();
        let rows = u64::try_from(rows).unwrap_or(0);
        contents.rows.push(rows);
        let found = describe(input, builder)?;
        for (name, data_type, nulls, times, example) in found {
            let known = contents.columns.iter_mut().find(|known| known.name == name);
            let Some(known) = known else {
                contents.columns.push(Stored {
                    file: input.name.clone(),
                    name,
                    data_type,
                    nulls,
                    example,
                    times,
                    rows,
                });
                continue;
            };
            known.data_type = widest(&known.data_type, &data_type).ok_or_else(|| {
                Error::conflict(format!(
                    "{}: column {name:?} is {}, and {} in {}",
                    input.name,
                    column::name(&data_type),
                    column::name(&known.data_type),
                    known.file
                ))
                .with_hint("load the files into two tables, or bring them to one type first")
            })?;
            known.nulls = known.nulls.zip(nulls).map(|(a, b)| a + b);
            known.rows += rows;
            known.times = both(known.times, times);
            if known.example.is_empty() {
                known.example = example;
            }
        }
    }
    Ok(contents)
}

type Described = (String, DataType, Option<u64>, Option<(i64, i64)>, String);

fn describe(input: &Input, builder: Builder) -> Result<Vec<Described>> {
    let schema = Arc::clone(builder.schema());
    let mut described = Vec::new();
    for field in schema.fields() {
        let (nulls, times) = statistics(field, &schema, &builder);
        let data_type = normal(field.data_type());
        described.push((field.name().clone(), data_type, nulls, times, String::new()));
    }
    let mut reader = builder
        .with_limit(BATCH_ROWS)
        .build()
        .map_err(|e| input.broken(e))?;
    if let Some(batch) = reader.next() {
        let batch = batch.map_err(|e| input.broken(e))?;
        for (column, described) in batch.columns().iter().zip(&mut described) {
            let first = (0..column.len()).find(|row| column.is_valid(*row));
            let example = first.map(|row| array_value_to_string(column, row));
            described.4 = example.and_then(Result::ok).unwrap_or_default();
        }
    }
    Ok(described)
}

/// Nulls and range of times, as far as the row groups tell.
fn statistics(
    field: &Field,
    schema: &SchemaRef,
    builder: &Builder,
) -> (Option<u64>, Option<(i64, i64)>) {
    let metadata = builder.metadata();
    let descriptor = metadata.file_metadata().schema_descr();
    let Ok(converter) = StatisticsConverter::try_new(field.name(), schema, descriptor) else {
        return (None, None);
    };
    let groups = || metadata.row_groups().iter();
    let nulls = converter.row_group_null_counts(groups());
    let known = nulls.ok().filter(|counts| counts.null_count() == 0);
    let nulls = known.map(|counts| arrow::compute::sum(&counts).unwrap_or(0));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let bound = |array: parquet::errors::Result<Arc<dyn Array>>| {
        let array = array.ok()?;
        matches!(
            array.data_type(),
            DataType::Timestamp(..) | DataType::Date32
        )
        .then_some(())?;
        let array = arrow::compute::cast(&array, &micros).ok()?;
        Some(array.as_primitive::<TimestampMicrosecondType>().clone())
    };
    let least = bound(converter.row_group_mins(groups())).and_then(|array| min(&array));
    let most = bound(converter.row_group_maxes(groups())).and_then(|array| max(&array));
    (nulls, least.zip(most))
}

fn both(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// The type that tables keep values of `data_type` in.
fn normal(data_type: &DataType) -> DataType {
    use DataType as T;
    match data_type {
        T::Int8 | T::Int16 | T::UInt8 | T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::LargeBinary | T::BinaryView => T::Binary,
        T::Date64 => T::Date32,
        T::Time32(_) | T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => column::timestamp(),
        T::Dictionary(_, value) => normal(value),
        other => other.clone(),
    }
}

/// The type that holds values of both.
fn widest(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Float32, Float64, Int32, Int64, Null, Timestamp};
    Some(match (a, b) {
        _ if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (Int32, Int64) | (Int64, Int32) => Int64,
        (Float32, Float64) | (Float64, Float32) => Float64,
        (Int32, Float64) | (Float64, Int32) => Float64,
        (Timestamp(..), Timestamp(..)) => column::timestamp(),
        _ => return None,
    })
}

impl Stored {
    /// Settles the type of the column among `rows` rows.
    ///
    /// # Errors
    /// `Conflict` naming the column and both types when the table's cannot hold the files'.
    pub(super) fn settle(&self, rows: u64, target: Option<&Target<'_>>) -> Result<Column> {
        let (standing, data_type) = match target {
            None => (Standing::There, self.data_type.clone()),
            Some(target) => self.taken(target)?,
        };
        Ok(Column {
            name: self.name.clone(),
            data_type,
            standing,
            nulls: self
                .nulls
                .map(|nulls| nulls + rows.saturating_sub(self.rows)),
            example: self.example.clone(),
            note: None,
            format: None,
        })
    }

    fn taken(&self, target: &Target<'_>) -> Result<(Standing, DataType)> {
        let is = target.data_type;
        let there = normal(is);
        if self.data_type == DataType::Null {
            return Ok((Standing::There, is.clone()));
        }
        let wide = widest(&there, &self.data_type);
        let wide = wide.filter(|wide| {
            *wide == there || !matches!(there, DataType::Int32) || *wide == DataType::Int64
        });
        match wide {
            Some(wide) if wide == there || matches!(wide, DataType::Timestamp(..)) => {
                Ok((Standing::There, is.clone()))
            }
            Some(wide) => Ok((Standing::Widened, wide)),
            None => Err(Error::conflict(format!(
                "{}: column {:?} is {}, and {} in {}",
                self.file,
                self.name,
                column::name(&self.data_type),
                column::name(is),
                target.key
            ))
            .with_hint("load it into another table, or bring the column to that type first")),
        }
    }
}

/// Hands the rows of a file to `take`, in the types of `columns`.
///
/// # Errors
/// `InvalidInput` naming column and rows for values that the type does not hold.
pub(super) fn read(
    input: &Input,
    columns: &[Column],
    schema: &SchemaRef,
    progress: &Progress,
    take: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let section = input.open(progress)?;
    let reader = open(input, progress)?.build();
    let mut done = 0;
    for batch in reader.map_err(|e| input.broken(e))? {
        let batch = batch.map_err(|e| input.broken(e))?;
        let rows = batch.num_rows();
        let arrays = columns
            .iter()
            .map(|column| match batch.column_by_name(&column.name) {
                Some(array) => cast(array, column).map_err(|error| {
                    let name = &input.name;
                    error.context(format!("{name}, rows {} to {}", done + 1, done + rows))
                }),
                None => Ok(arrow::array::new_null_array(&column.data_type, rows)),
            });
        let arrays = arrays.collect::<Result<_>>()?;
        let batch = RecordBatch::try_new(Arc::clone(schema), arrays);
        let batch = batch
            .map_err(|e| Error::internal("columns do not make a record batch").with_source(e))?;
        take(batch)?;
        done += rows;
    }
    input.check(&section)
}

fn cast(array: &Arc<dyn Array>, column: &Column) -> Result<Arc<dyn Array>> {
    if *array.data_type() == column.data_type {
        return Ok(Arc::clone(array));
    }
    // An unsafe cast fails where a safe one would write null.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    // A time without a zone is UTC, not that of some zone.
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let kind = match &column.data_type {
        DataType::Timestamp(_, Some(_)) => &utc,
        other => other,
    };
    cast_with_options(array, kind, &options).map_err(|e| {
        let name = &column.name;
        let why = shorten(&e.to_string());
        Error::invalid(format!("column {name:?}: {why}"))
            .with_hint("nothing is loaded; the table's column does not hold these values")
    })
}
