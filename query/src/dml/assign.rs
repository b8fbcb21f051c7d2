//! Store assignment: values of a statement as values of a table's columns.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::kernels::cmp::neq;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use catalog::{Error, Result};
use lake::shape::Shape;

/// Gives batches of a query the columns of a table.
#[derive(Clone, Debug)]
pub(super) struct Assign {
    schema: SchemaRef,
    /// For each column of the table, the query's column that becomes it; null without one.
    sources: Vec<Option<usize>>,
}

impl Assign {
    /// `sources` stands beside the fields of `table`, and names columns of `query`.
    ///
    /// # Errors
    /// `InvalidInput` naming the column when a type cannot be stored in it, or when it
    /// must not be null and gets no value.
    pub(super) fn new(
        table: &SchemaRef,
        query: &Schema,
        sources: Vec<Option<usize>>,
    ) -> Result<Assign> {
        for (field, source) in table.fields().iter().zip(&sources) {
            match source {
                Some(at) => check_type(field, query.field(*at).data_type())?,
                None if field.is_nullable() => {}
                None => {
                    let message = format!(
                        "column {:?} must not be null, and the statement gives it no value",
                        field.name()
                    );
                    return Err(Error::invalid(message));
                }
            }
        }
        Ok(Assign {
            schema: Arc::clone(table),
            sources,
        })
    }

    /// `batch` as rows of the table.
    ///
    /// # Errors
    /// `InvalidInput` naming the column for a value that does not fit it.
    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns = self.schema.fields().iter().zip(&self.sources);
        let columns = columns.map(|(field, source)| match source {
            Some(at) => store(batch.column(*at), field),
            None => Ok(new_null_array(field.data_type(), rows)),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &count)
            .map_err(|e| Error::internal("rows did not take the table's shape").with_source(e))
    }
}

fn store(values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if values.logical_null_count() > 0 && !field.is_nullable() {
        return Err(Error::invalid(format!(
            "column {:?} must not be null, and a row has a null for it",
            field.name()
        )));
    }
    let (from, into) = (values.data_type(), field.data_type());
    let unfit = |unfit: Unfit| {
        let name = field.name();
        let of = format!("a value of type {from} does not fit column {name:?} of type {into}");
        match unfit {
            Unfit::Arrow(error) => Error::invalid(format!("{of}: {error}")),
            Unfit::Lost(what) => Error::invalid(format!("{of}: it has {what}"))
                .with_hint("round it, or convert it with CAST"),
        }
    };
    let shape = Shape::by_name(from, into).map_err(|error| unfit(error.into()))?;
    shape.apply(values, into, &convert).map_err(unfit)
}

/// Why a value is not stored.
enum Unfit {
    Arrow(ArrowError),
    /// What of it would be left out.
    Lost(&'static str),
}

impl From<ArrowError> for Unfit {
    fn from(error: ArrowError) -> Self {
        Unfit::Arrow(error)
    }
}

/// Values that are not nested, as another type that loses nothing of them.
fn convert(values: &ArrayRef, into: &DataType) -> std::result::Result<ArrayRef, Unfit> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let from = values.data_type();
    let stored = cast_with_options(values, into, &options)?;
    if let Some(lost) = may_lose(from, into) {
        let back = cast_with_options(&stored, from, &options)?;
        if neq(&back, values)?.true_count() > 0 {
            return Err(Unfit::Lost(lost));
        }
    }
    Ok(stored)
}

/// What a conversion from `from` to `into` would leave out without a word.
fn may_lose(from: &DataType, into: &DataType) -> Option<&'static str> {
    match (from, into) {
        (DataType::Timestamp(..), DataType::Date32) => Some("a time of day"),
        (from, into) if into.is_integer() && (from.is_floating() || from.is_decimal()) => {
            Some("a fraction")
        }
        _ => None,
    }
}

fn check_type(field: &Field, from: &DataType) -> Result<()> {
    let into = field.data_type();
    if storable(from, into) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "column {:?} has type {into}, and a value of type {from} cannot be stored in it",
        field.name()
    ))
    .with_hint("convert the value with CAST"))
}

/// Whether values of type `from` are stored in a column of type `into` without a CAST:
/// numbers as numbers, times as times, text as anything it spells, all of these as text;
/// what is nested when all in it is, the fields of structs by their names.
fn storable(from: &DataType, into: &DataType) -> bool {
    use DataType::{
        Binary, Boolean, Date32, Date64, Dictionary, FixedSizeList, LargeBinary, LargeList, List,
        Map, Null, Struct, Timestamp,
    };
    let is_time = |kind: &DataType| matches!(kind, Date32 | Date64 | Timestamp(..));
    let is_text = |kind: &DataType| kind.is_string();
    let is_binary =
        |kind: &DataType| matches!(kind, Binary | LargeBinary | DataType::FixedSizeBinary(_));
    let is_clock = |kind: &DataType| matches!(kind, DataType::Time32(_) | DataType::Time64(_));
    match (from, into) {
        (Null, _) => true,
        (Dictionary(_, from), into) => storable(from, into),
        (Struct(from), Struct(into)) => from.iter().all(|field| {
            let own = into.find(field.name());
            own.is_some_and(|(_, own)| storable(field.data_type(), own.data_type()))
        }),
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(into)) => {
            storable(from.data_type(), into.data_type())
        }
        (Map(from, _), Map(into, _)) => match (from.data_type(), into.data_type()) {
            (Struct(from), Struct(into)) => {
                let mut pairs = from.iter().zip(into);
                pairs.all(|(from, into)| storable(from.data_type(), into.data_type()))
            }
            _ => false,
        },
        (from, into) if from == into => true,
        (from, into) if from.is_numeric() && into.is_numeric() => true,
        (from, into) if is_time(from) && is_time(into) => true,
        (from, into) if is_clock(from) && is_clock(into) => true,
        (from, into) if is_binary(from) && is_binary(into) => true,
        (from, into) if is_text(from) => {
            is_text(into) || !into.is_nested() && arrow::compute::can_cast_types(from, into)
        }
        (from, into) if is_text(into) => {
            from.is_numeric() || is_time(from) || is_clock(from) || *from == Boolean
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        AsArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Int32Type, TimeUnit};

    use super::*;

    fn table() -> SchemaRef {
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int32, false),
            Field::new("ts", zone, true),
        ]))
    }

    fn assigned(name: &str, values: ArrayRef) -> Result<RecordBatch> {
        let field = Field::new(name, values.data_type().clone(), true);
        let query = Arc::new(Schema::new(vec![field]));
        let assign = Assign::new(&table(), &query, vec![Some(0), None])?;
        assign.batch(&RecordBatch::try_new(query, vec![values]).unwrap())
    }

    #[test]
    fn values_are_converted_or_refused_by_name() {
        let rows = assigned("n", Arc::new(StringArray::from(vec!["7"]))).unwrap();
        assert_eq!(rows.column(0).as_primitive::<Int32Type>().value(0), 7);
        assert_eq!(rows.column(1).null_count(), 1);
        let refused: [(ArrayRef, &str); 4] = [
            (Arc::new(Int64Array::from(vec![1 << 40])), "does not fit"),
            (Arc::new(StringArray::from(vec!["x"])), "does not fit"),
            (Arc::new(Float64Array::from(vec![None])), "null"),
            (
                Arc::new(arrow::array::BooleanArray::from(vec![true])),
                "cannot be stored",
            ),
        ];
        for (values, part) in refused {
            let error = assigned("n", values).unwrap_err();
            let text = error.to_string();
            assert!(error.is_user_error(), "{text}");
            assert!(text.contains("\"n\"") && text.contains(part), "{text}");
        }
    }

    /// Regression: 1.9 became 1, and a moment the midnight before it.
    #[test]
    fn nothing_of_a_value_is_left_out_silently() {
        let rows = assigned("n", Arc::new(Float64Array::from(vec![2.0, -3.0]))).unwrap();
        assert_eq!(rows.column(0).as_primitive::<Int32Type>().value(1), -3);
        let decimal = Decimal128Array::from(vec![150]).with_precision_and_scale(5, 2);
        for values in [
            Arc::new(Float64Array::from(vec![2.0, 1.9])) as ArrayRef,
            Arc::new(decimal.unwrap()),
        ] {
            let error = assigned("n", values).unwrap_err();
            assert!(error.to_string().contains("a fraction"), "{error}");
        }
        let moment =
            |at| Arc::new(TimestampMicrosecondArray::from(vec![Some(at), None])) as ArrayRef;
        let date = Field::new("d", DataType::Date32, true);
        assert!(store(&moment(-86_400_000_000), &date).is_ok());
        let error = store(&moment(1), &date).unwrap_err();
        assert!(error.to_string().contains("a time of day"), "{error}");
    }

    #[test]
    fn a_required_column_needs_a_value() {
        let query = Schema::new(vec![Field::new("ts", DataType::Utf8, true)]);
        let error = Assign::new(&table(), &query, vec![None, Some(0)]).unwrap_err();
        assert!(error.to_string().contains("\"n\""), "{error}");
    }
}
