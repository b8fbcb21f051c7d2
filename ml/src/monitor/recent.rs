//! Rows of a model's data set as they are now, and the samples a model makes of them.
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, Scalar, StringArray};
use arrow::compute::kernels::cmp::gt_eq;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use catalog::{Error, Result};
use query::Engine;

use super::history::{identifier, literal};
use crate::dataset::{joined, to_numbers};
use crate::feedback;
use crate::manifest::Manifest;

/// Which rows of a data set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'a> {
    /// Those within so long of the newest one.
    Last(Duration),
    /// Those from this time on, the later of several.
    From(&'a [&'a str]),
    /// Those that this column calls `test`.
    Part(&'a str),
}

/// Rows in order of series and time.
pub(crate) struct Rows {
    batch: RecordBatch,
    /// The series of each row.
    entities: Vec<String>,
}

/// The rows of the data set of `manifest` at `reference`; of more than `most` the newest.
///
/// # Errors
/// Those of the SQL; `InvalidInput` where nothing tells which rows are recent.
pub(crate) async fn read(
    engine: &Engine,
    manifest: &Manifest,
    reference: &str,
    choice: Choice<'_>,
    most: usize,
) -> Result<Rows> {
    let sql = feedback::sql_of(engine, manifest, reference).await?;
    let time = manifest.lineage.time.as_deref().map(identifier);
    let condition = match (&time, choice) {
        (_, Choice::Part(column)) => format!("{} = 'test'", identifier(column)),
        (Some(time), Choice::From(times)) => {
            let later: Vec<_> = times
                .iter()
                .map(|t| format!("{time} >= {}", literal(t)))
                .collect();
            later.join(" and ")
        }
        (Some(time), Choice::Last(window)) => last(engine, &sql, time, window, reference).await?,
        (None, _) => {
            return Err(Error::invalid(format!(
                "the data set of {} has no time, so nothing tells which rows are recent",
                manifest.model
            ))
            .with_hint("name dataset.time in the training spec and train again"));
        }
    };
    let newest = time
        .as_ref()
        .map_or_else(String::new, |time| format!("order by {time} desc"));
    let group = manifest.signature.group.iter().map(|name| identifier(name));
    let order: Vec<_> = group.chain(time.clone()).collect();
    let order = match order.is_empty() {
        true => String::new(),
        false => format!("order by {}", order.join(", ")),
    };
    let sql = format!(
        "select * from (select * from (\n{sql}\n) as data where {condition} {newest} limit {most}) \
         as chosen {order}"
    );
    let (schema, batches) = engine.collect(&sql, Some(reference)).await?;
    let batch = concat_batches(&schema, &batches).map_err(|e| {
        Error::internal("the rows of a data set do not fit together").with_source(e)
    })?;
    let joins = &manifest.lineage.join;
    let time = manifest.lineage.time.as_deref();
    let batch = match joins.is_empty() {
        true => batch,
        false => {
            let snapshot = engine.lake().catalog().resolve(reference).await?;
            joined(engine.lake(), &snapshot, joins, time, batch).await?
        }
    };
    Rows::of(batch, manifest)
}

/// The condition that a row is at most `window` older than the newest, of times; of other
/// orders, such as cycles, all rows are as recent.
async fn last(
    engine: &Engine,
    sql: &str,
    time: &str,
    window: Duration,
    reference: &str,
) -> Result<String> {
    let newest = format!("select max({time}) as newest from (\n{sql}\n) as data");
    let schema = engine.prepare(&newest, Some(reference)).await?.schema();
    let kind = schema.field(0).data_type();
    if !matches!(
        kind,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    ) {
        return Ok("true".to_owned());
    }
    let seconds = window.as_secs();
    Ok(format!(
        "{time} > ({newest}) - interval '{seconds} seconds'"
    ))
}

/// The samples of some rows.
pub(crate) struct Samples {
    /// Each `length` x features numbers, as they are in the lake.
    pub(crate) values: Vec<f32>,
    /// The series of each sample; empty texts where the model knows of none.
    pub(crate) entities: Vec<String>,
}

impl Rows {
    fn of(batch: RecordBatch, manifest: &Manifest) -> Result<Rows> {
        let group = &manifest.signature.group;
        let columns = group
            .iter()
            .map(|name| text(&batch, name))
            .collect::<Result<Vec<_>>>()?;
        let entity = |row: usize| {
            let values = columns
                .iter()
                .map(|column| column.as_string::<i32>().value(row));
            values.collect::<Vec<_>>().join("/")
        };
        Ok(Rows {
            entities: (0..batch.num_rows()).map(entity).collect(),
            batch,
        })
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The series of a row; empty where the model knows of none.
    pub(crate) fn entity(&self, row: usize) -> &str {
        &self.entities[row]
    }

    /// The column `name`; `NotFound` where the rows do not have it.
    pub(crate) fn column(&self, name: &str) -> Result<&ArrayRef> {
        let column = self.batch.column_by_name(name);
        column.ok_or_else(|| Error::not_found(format!("the rows have no column '{name}'")))
    }

    /// The last rows of all samples of `length` rows of one series that `horizon` more follow.
    pub(crate) fn ends(&self, length: usize, horizon: usize) -> Vec<usize> {
        let within = |end: &usize| {
            let (first, last) = (end + 1 - length, end + horizon);
            last < self.len() && self.entities[first] == self.entities[last]
        };
        (length.saturating_sub(1)..self.len())
            .filter(within)
            .collect()
    }

    /// Those of `ends` that are past the rows `manifest`'s model was trained on, as far as those
    /// were split off by time.
    pub(crate) fn since(&self, ends: Vec<usize>, manifest: &Manifest) -> Result<Vec<usize>> {
        let lineage = &manifest.lineage;
        let (Some(time), false) = (&lineage.time, lineage.split_at.is_empty()) else {
            return Ok(ends);
        };
        let times = self.column(time)?;
        let wrong = |e| {
            Error::invalid(format!(
                "'{}' is no time of the column '{time}'",
                lineage.split_at
            ))
            .with_source(e)
        };
        let border: ArrayRef = Arc::new(StringArray::from(vec![lineage.split_at.as_str()]));
        let border = cast(&border, times.data_type()).map_err(wrong)?;
        let later = gt_eq(times, &Scalar::new(border)).map_err(wrong)?;
        Ok(ends
            .into_iter()
            .filter(|end| later.is_valid(*end) && later.value(*end))
            .collect())
    }

    /// What `manifest`'s model reads of the samples that end at `ends`.
    pub(crate) fn samples(&self, manifest: &Manifest, ends: &[usize]) -> Result<Samples> {
        let numbers = self.numbers(manifest.signature.features.iter().map(|f| f.name.as_str()))?;
        let (length, width) = (manifest.signature.length, manifest.signature.features.len());
        let window = |end: &usize| &numbers[(end + 1 - length) * width..(end + 1) * width];
        Ok(Samples {
            values: ends.iter().flat_map(window).copied().collect(),
            entities: ends.iter().map(|end| self.entities[*end].clone()).collect(),
        })
    }

    /// The named columns as numbers, one row after the other.
    pub(crate) fn numbers<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Vec<f32>> {
        let schema = self.batch.schema();
        let position = |name: &str| {
            let index = schema.index_of(name);
            index.map_err(|_| Error::not_found(format!("the rows have no column '{name}'")))
        };
        let positions = names.map(position).collect::<Result<Vec<_>>>()?;
        to_numbers(&self.batch, &positions)
    }
}

fn text(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let column = batch.column_by_name(name);
    let column = column.ok_or_else(|| Error::not_found(format!("no column '{name}'")))?;
    cast(column, &DataType::Utf8)
        .map_err(|e| Error::invalid(format!("column '{name}' names no series")).with_source(e))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn rows(entities: &[&str]) -> Rows {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..entities.len() as i64));
        Rows {
            batch: RecordBatch::try_from_iter([("x", values)]).unwrap(),
            entities: entities.iter().map(|e| (*e).to_owned()).collect(),
        }
    }

    #[test]
    fn windows_and_their_futures_stay_within_one_series() {
        let rows = rows(&["a", "a", "a", "b", "b", "b", "b"]);
        assert_eq!(rows.ends(1, 0), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(rows.ends(3, 0), [2, 5, 6]);
        assert_eq!(rows.ends(2, 1), [1, 4, 5]);
        assert!(rows.ends(5, 0).is_empty());
        assert!(rows.ends(9, 0).is_empty());
    }
}
