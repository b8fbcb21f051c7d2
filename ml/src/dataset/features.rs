//! Which columns of a data set are features, and those as numbers.
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use catalog::{Error, Result};

use crate::spec::{DatasetSpec, Split, Weights};

/// The columns of a data set by their role, as positions.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) time: Option<usize>,
    pub(super) label: Option<usize>,
    /// Those that name a series.
    pub(super) group: Vec<usize>,
    /// The one that says which part a row is in.
    pub(super) split: Option<usize>,
    /// The one that says how much a row counts.
    pub(super) weight: Option<usize>,
    pub(super) features: Vec<usize>,
}

impl Columns {
    /// Finds the columns `spec` names; the rest are features.
    pub(super) fn of(schema: &Schema, spec: &DatasetSpec) -> Result<Columns> {
        no_duplicates(schema)?;
        let find = |name: &Option<String>, field| {
            let name = name.as_ref();
            name.map(|name| position(schema, name, field)).transpose()
        };
        let all = |names: &[String], field| -> Result<Vec<usize>> {
            names.iter().map(|n| position(schema, n, field)).collect()
        };
        let time = find(&spec.time, "dataset.time")?;
        let label = find(&spec.label, "dataset.label")?;
        let group = all(&spec.group, "dataset.group")?;
        let split = find(&spec.split_column, "dataset.split_column")?;
        let weight = find(&spec.weight_column, "dataset.weight_column")?;
        let mut left_out = all(&spec.exclude, "dataset.exclude")?;
        left_out.extend(time.into_iter().chain(label).chain(split).chain(weight));
        left_out.extend(&group);
        let mut features = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if left_out.contains(&index) {
                continue;
            }
            if !is_number(field.data_type()) {
                return Err(Error::invalid(format!(
                    "column '{}' is {}, and a feature must be a number or a boolean",
                    field.name(),
                    field.data_type()
                ))
                .with_hint("name it in dataset.exclude, or turn it into a number in the SQL"));
            }
            features.push(index);
        }
        if features.is_empty() {
            return Err(Error::invalid(
                "the data set has no features: every column is the time, the label or excluded",
            ));
        }
        Ok(Columns {
            time,
            label,
            group,
            split: split.filter(|_| spec.split == Split::Column),
            weight: weight.filter(|_| spec.weights == Weights::Column),
            features,
        })
    }

    /// The features, by position among them, that `names` are; all when there are none.
    pub(super) fn targets(&self, schema: &Schema, names: &[String]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok((0..self.features.len()).collect());
        }
        let find = |name: &String| {
            let column = position(schema, name, "dataset.targets")?;
            let feature = self.features.iter().position(|f| *f == column);
            feature.ok_or_else(|| {
                Error::invalid(format!("dataset.targets names '{name}', which is no feature"))
                    .with_hint("a forecast reads the past of what it is of: take the column out of dataset.exclude and its other roles")
            })
        };
        names.iter().map(find).collect()
    }
}

/// Whether a column of this type can be a feature.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || *data_type == DataType::Boolean
}

/// The columns at `positions` as single-precision numbers, one row after the
/// other; null and NaN become NaN, and -0 becomes 0.
pub(crate) fn to_numbers(rows: &RecordBatch, positions: &[usize]) -> Result<Vec<f32>> {
    let width = positions.len();
    let mut numbers = vec![f32::NAN; rows.num_rows() * width];
    for (slot, position) in positions.iter().enumerate() {
        let name = rows.schema_ref().field(*position).name();
        let slots = numbers.iter_mut().skip(slot).step_by(width);
        put(rows.column(*position), slots).map_err(|e| e.of(name))?;
    }
    Ok(numbers)
}

/// Why a column is not numbers that a model can read.
enum Unfit {
    /// It holds this one, which is infinite or becomes so.
    Infinite(f64),
    Type(arrow::error::ArrowError),
}

impl Unfit {
    fn of(self, name: &str) -> Error {
        match self {
            Unfit::Infinite(value) => Error::invalid(format!(
                "column '{name}' holds {value}, which is beyond single precision"
            ))
            .with_hint("bound it in the SQL, or turn it into null"),
            Unfit::Type(e) => {
                Error::invalid(format!("column '{name}' cannot be read as numbers")).with_source(e)
            }
        }
    }
}

/// Writes a column to `slots`, which hold NaN, one a row.
fn put<'a>(column: &ArrayRef, slots: impl Iterator<Item = &'a mut f32>) -> Result<(), Unfit> {
    if let Some(column) = column.as_primitive_opt::<Float32Type>() {
        let values = column.values().iter().map(|v| f64::from(*v));
        return put_values(values, column.nulls(), slots);
    }
    // By way of f64, so that 3 and 3.0 of two sources become the same number.
    let column = cast(column, &DataType::Float64).map_err(Unfit::Type)?;
    let column = column.as_primitive::<Float64Type>();
    put_values(column.values().iter().copied(), column.nulls(), slots)
}

fn put_values<'a>(
    values: impl Iterator<Item = f64>,
    nulls: Option<&NullBuffer>,
    slots: impl Iterator<Item = &'a mut f32>,
) -> Result<(), Unfit> {
    let mut infinite = None;
    let mut write = |slot: &mut f32, value: f64| {
        let number = value as f32 + 0.0;
        if number.is_finite() {
            *slot = number;
        } else if number.is_infinite() {
            infinite.get_or_insert(value);
        }
    };
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => values
            .zip(slots)
            .for_each(|(value, slot)| write(slot, value)),
        Some(nulls) => {
            for ((value, slot), valid) in values.zip(slots).zip(nulls) {
                if valid {
                    write(slot, value);
                }
            }
        }
    }
    infinite.map_or(Ok(()), |value| Err(Unfit::Infinite(value)))
}

fn position(schema: &Schema, name: &str, field: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        Error::invalid(format!(
            "{field} names '{name}', which the data set does not have"
        ))
        .with_hint(format!("its columns are {}", names(schema)))
    })
}

fn no_duplicates(schema: &Schema) -> Result<()> {
    let fields = schema.fields();
    for (index, field) in fields.iter().enumerate() {
        if fields.iter().take(index).any(|f| f.name() == field.name()) {
            return Err(Error::invalid(format!(
                "the data set has two columns named '{}'",
                field.name()
            ))
            .with_hint("rename one with AS"));
        }
    }
    Ok(())
}

fn names(schema: &Schema) -> String {
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
    };

    use super::*;

    fn spec(exclude: &[&str]) -> DatasetSpec {
        let text = format!("sql = 'select 1'\ntime = 't'\nlabel = 'y'\nexclude = {exclude:?}");
        toml::from_str(&text).unwrap()
    }

    fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap()
    }

    fn sample() -> RecordBatch {
        rows(vec![
            ("t", Arc::new(Int64Array::from(vec![1, 2]))),
            ("pump", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("a", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("y", Arc::new(Int64Array::from(vec![0, 1]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            (
                "c",
                Arc::new(
                    Decimal128Array::from(vec![125, -5])
                        .with_precision_and_scale(9, 2)
                        .unwrap(),
                ),
            ),
        ])
    }

    #[test]
    fn everything_else_is_a_feature_in_the_order_of_the_query() {
        let columns = Columns::of(sample().schema_ref(), &spec(&["pump"])).unwrap();
        assert_eq!(columns.features, [2, 4, 5]);
        let numbers = to_numbers(&sample(), &columns.features).unwrap();
        assert_eq!(numbers[..3], [1.5, 1.0, 1.25]);
        assert!(numbers[3].is_nan());
        assert_eq!(numbers[4..], [0.0, -0.05]);
    }

    #[test]
    fn errors_name_the_column() {
        let error = Columns::of(sample().schema_ref(), &spec(&[])).unwrap_err();
        assert!(error.message().contains("'pump' is Utf8"), "{error}");
        let error = Columns::of(sample().schema_ref(), &spec(&["pumpe"])).unwrap_err();
        assert!(error.message().contains("'pumpe'"), "{error}");
        assert!(error.hint().unwrap().contains("t, pump, a"), "{error}");
        let error =
            Columns::of(sample().schema_ref(), &spec(&["pump", "a", "b", "c"])).unwrap_err();
        assert!(error.message().contains("no features"), "{error}");
    }

    #[test]
    fn a_number_beyond_single_precision_is_refused() {
        let rows = rows(vec![(
            "x",
            Arc::new(Float64Array::from(vec![1e39])) as ArrayRef,
        )]);
        let error = to_numbers(&rows, &[0]).unwrap_err();
        assert!(error.message().contains("'x' holds"), "{error}");
    }
}
