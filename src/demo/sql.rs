//! What the demo asks, and reading the answers.

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use catalog::{Error, Result};
use chrono::{DateTime, SecondsFormat, Utc};

/// The pumps that shake most.
pub(super) const SHAKING: &str = "\
select pump, count(*) as readings, round(avg(pressure_bar), 2) as pressure_bar,
       round(avg(flow_m3h), 1) as flow_m3h, round(max(vibration_mm_s), 2) as worst_vibration
from pumps.telemetry where running
group by pump order by worst_vibration desc limit 5";

/// How many rows there are now, and how many of them the last commit holds.
pub(super) fn fresh(commit: &str) -> String {
    format!(
        "\
select (select count(*) from pumps.telemetry) as rows_now,
       (select count(*) from \"main@{commit}\".pumps.telemetry) as rows_in_files"
    )
}

/// The pump whose fault since `from` shows best: failing for as long as it was sound.
pub(super) fn failing_pump(from: DateTime<Utc>) -> String {
    format!(
        "\
select pump, sum(case when fault = 'none' then 0 else 1 end) as failing
from pumps.telemetry where running and ts >= '{}'
group by pump
order by least(sum(case when fault = 'none' then 1 else 0 end), failing) desc, failing desc, pump
limit 1",
        time(from)
    )
}

/// The features of `pump` since `from`, in order of time.
pub(super) fn features_of(features: &str, pump: &str, from: DateTime<Utc>) -> String {
    format!(
        "select * from (\n{features}\n) where pump = '{}' and ts >= '{}' order by ts",
        pump.replace('\'', "''"),
        time(from)
    )
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A text in the first row of an answer.
///
/// Errors: `Internal` when the column or the row is not there.
pub(super) fn first_text(batches: &[RecordBatch], column: &str) -> Result<String> {
    texts(batches, column)?
        .into_iter()
        .next()
        .ok_or_else(|| Error::internal(format!("no row answers with {column}")))
}

/// A whole number in the first row of an answer.
///
/// Errors: as [`first_text`].
pub(super) fn first_number(batches: &[RecordBatch], column: &str) -> Result<i64> {
    let batch = batches.iter().find(|batch| batch.num_rows() > 0);
    let numbers = batch
        .and_then(|batch| batch.column_by_name(column))
        .and_then(|array| array.as_primitive_opt::<Int64Type>().cloned());
    numbers
        .map(|numbers| numbers.value(0))
        .ok_or_else(|| Error::internal(format!("no row answers with {column}")))
}

/// A column as text, all rows.
///
/// Errors: `Internal` when the column is not there.
pub(super) fn texts(batches: &[RecordBatch], column: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for batch in batches {
        let array = batch
            .column_by_name(column)
            .ok_or_else(|| Error::internal(format!("the answer has no column {column}")))?;
        let array = cast(array, &DataType::Utf8)
            .map_err(|e| Error::internal(format!("{column} cannot be shown")).with_source(e))?;
        let array: &StringArray = array.as_string();
        texts.extend(array.iter().map(|text| text.unwrap_or("NULL").to_owned()));
    }
    Ok(texts)
}
