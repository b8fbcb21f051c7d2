//! The rows of a look that are not scored yet, and the samples that end at them.
use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, Float32Type, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use catalog::{Error, ErrorKind, Result};
use query::Engine;

use super::super::groups;
use super::super::samples::check_scalar;
use super::{ScoreOptions, read, time};
use crate::manifest::{Manifest, Signature};
use crate::registry::LoadedModel;

/// One row to score.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What it is about.
    pub(super) entity: String,
    /// Its event time, in microseconds since 1970.
    pub(super) time: i64,
    /// The rows of its sample, oldest first; the last is itself.
    pub(super) window: Vec<usize>,
}

/// The rows to score, in the order of time.
#[derive(Debug)]
pub(super) struct Fresh(Vec<Row>);

impl Fresh {
    /// Those rows that `is_new`, by entity and event time. A row without a time, or that a
    /// whole window does not end at, is not scored.
    pub(super) fn of(
        rows: &RecordBatch,
        model: &LoadedModel,
        options: &ScoreOptions,
        is_new: impl Fn(&str, i64) -> bool,
    ) -> Result<Fresh> {
        let signature = &model.manifest.signature;
        let times = column(rows, &time(options, model)?)?;
        let times = micros(times, &time(options, model)?)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let entities = entities(rows, &entity(rows.schema_ref(), &model.manifest, options))?;
        let mut series: BTreeMap<&str, Vec<(i64, usize)>> = BTreeMap::new();
        let mut known = HashSet::new();
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else { continue };
            let entity = entities[row].as_str();
            if known.insert((entity, time)) {
                series.entry(entity).or_default().push((time, row));
            }
        }
        let mut fresh = Vec::new();
        for (entity, mut rows) in series {
            rows.sort_unstable();
            for window in rows.windows(signature.length.max(1)) {
                let (time, _) = window[window.len() - 1];
                if is_new(entity, time) {
                    fresh.push(Row {
                        entity: entity.to_owned(),
                        time,
                        window: window.iter().map(|(_, row)| *row).collect(),
                    });
                }
            }
        }
        fresh.sort_by(|a, b| (a.time, &a.entity).cmp(&(b.time, &b.entity)));
        Ok(Fresh(fresh))
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The series of each of these rows, as training named it.
    pub(super) fn groups(&self, rows: &RecordBatch, manifest: &Manifest) -> Vec<String> {
        let column = |name: &str| rows.column_by_name(name).cloned();
        let of_rows = groups::of_rows(manifest, rows.num_rows(), column);
        let ends: Vec<usize> = self
            .0
            .iter()
            .filter_map(|it| it.window.last().copied())
            .collect();
        groups::of_samples(of_rows, Some(&ends))
    }

    /// The samples of these rows, for the model they were found for.
    ///
    /// A value that is infinite counts as missing: one broken sensor must not hold up the rest.
    pub(super) fn samples(&self, rows: &RecordBatch, manifest: &Manifest) -> Result<Vec<f32>> {
        let Signature {
            features, length, ..
        } = &manifest.signature;
        let mut samples = vec![f32::NAN; self.len() * length * features.len()];
        for (slot, feature) in features.iter().enumerate() {
            let numbers = column(rows, &feature.name)?;
            check_scalar(manifest, &feature.name, numbers.data_type())?;
            let numbers = cast(numbers, &DataType::Float32).map_err(|e| {
                let text = format!("column '{}' cannot be read as numbers", feature.name);
                Error::invalid(text).with_source(e)
            })?;
            let numbers = numbers.as_primitive::<Float32Type>();
            let places = samples.iter_mut().skip(slot).step_by(features.len());
            let of_samples = self.0.iter().flat_map(|row| &row.window);
            for (place, row) in places.zip(of_samples) {
                if numbers.is_valid(*row) && numbers.value(*row).is_finite() {
                    *place = numbers.value(*row);
                }
            }
        }
        Ok(samples)
    }
}

/// The columns that tell what a row is about.
fn entity(schema: &Schema, manifest: &Manifest, options: &ScoreOptions) -> Vec<String> {
    if !options.entity.is_empty() {
        return options.entity.clone();
    }
    if !manifest.signature.group.is_empty() {
        return manifest.signature.group.clone();
    }
    let left_out = manifest.lineage.exclude.iter();
    let texts = left_out.filter(|name| {
        let field = schema.field_with_name(name);
        field.is_ok_and(|field| field.data_type().is_string())
    });
    texts.cloned().collect()
}

/// The values of these columns in each row, joined by `/`.
fn entities(rows: &RecordBatch, names: &[String]) -> Result<Vec<String>> {
    let options = FormatOptions::default();
    let columns = names.iter().map(|name| {
        let column = column(rows, name)?;
        ArrayFormatter::try_new(column.as_ref(), &options)
            .map_err(|e| Error::invalid(format!("'{name}' tells no entity")).with_source(e))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let of_row = |row: usize| {
        let values: Vec<String> = columns.iter().map(|it| it.value(row).to_string()).collect();
        values.join("/")
    };
    Ok((0..rows.num_rows()).map(of_row).collect())
}

/// A column of times in microseconds, UTC.
pub(super) fn micros(column: &ArrayRef, name: &str) -> Result<ArrayRef> {
    check_time(name, column.data_type())?;
    cast(
        column,
        &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    )
    .map_err(|e| Error::invalid(format!("'{name}' cannot be read as times")).with_source(e))
}

fn check_time(name: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Timestamp(..) | DataType::Date32 => Ok(()),
        other => Err(Error::invalid(format!(
            "the event time '{name}' is {other}, and must be a timestamp"
        ))
        .with_hint("turn it into one in the SQL: to_timestamp_micros(...)")),
    }
}

/// The newest event time of all rows; `None` where there are none, or no table yet.
pub(super) async fn newest(
    engine: &Engine,
    branch: &str,
    sql: &str,
    time: &str,
) -> Result<Option<i64>> {
    let planned = match engine.prepare(sql, Some(branch)).await {
        Ok(planned) => planned.schema(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Ok(field) = planned.field_with_name(time) {
        check_time(time, field.data_type())?;
    }
    let name = time.replace('"', "\"\"");
    let sql = format!("select max(\"{name}\") as \"{name}\" from (\n{sql}\n)");
    let rows = read(engine, branch, &sql, 0).await?;
    let times = micros(column(&rows, time)?, time)?;
    Ok(max(times.as_primitive::<TimestampMicrosecondType>()))
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| {
        let schema = rows.schema_ref();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::invalid(format!("the rows to score have no column '{name}'"))
            .with_hint(format!("their columns are {}", names.join(", ")))
    })
}
