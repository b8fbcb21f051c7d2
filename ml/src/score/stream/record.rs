//! What a model makes of rows, as rows of `ml.predictions`.
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use catalog::{Error, Result};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::fresh::{Fresh, Row};
use crate::answer;
use crate::registry::LoadedModel;
use crate::tables::{Columns, Rows};

/// The table of predictions.
pub(super) const PREDICTIONS: &str = "ml.predictions";

/// Whether a model is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Champion,
    Shadow,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Champion => "champion",
            Role::Shadow => "shadow",
        }
    }
}

/// The predictions of `model` for these rows.
pub(super) fn of(
    role: Role,
    model: &LoadedModel,
    rows: &RecordBatch,
    fresh: &Fresh,
) -> Result<Rows> {
    let started = Instant::now();
    let manifest = &model.manifest;
    let groups = fresh.groups(rows, manifest);
    let predictions = model.predict(fresh.samples(rows, manifest)?, &groups)?;
    let answers = answer::columns(manifest, &predictions, &groups)?;
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    let schema = Schema::new(answer::fields(manifest));
    let of = |name: &str| schema.index_of(name).ok().map(|at| &answers[at]);
    let said = of("prediction").ok_or_else(|| Error::internal("an answer says nothing"))?;
    let key = manifest.model.to_string();
    let ids = fresh.rows().iter().map(|row| id(&key, role, row));
    let times = fresh.rows().iter();
    Columns::all_at(Utc::now(), fresh.len())
        .text("id", ids.map(Some))
        .same("model", &key)
        .same("version", model.version())
        .same("role", role.name())
        .text("entity", fresh.rows().iter().map(|row| Some(&row.entity)))
        .times(
            "event_time",
            times.map(|row| DateTime::from_timestamp_micros(row.time)),
        )
        .text("prediction", texts(said)?)
        .doubles("value", numbers(Some(said), fresh.len()))
        .doubles("probability", numbers(of("probability"), fresh.len()))
        .doubles("score", numbers(of("score"), fresh.len()))
        .doubles("lower", numbers(of("lower"), fresh.len()))
        .doubles("upper", numbers(of("upper"), fresh.len()))
        .doubles("millis", vec![Some(millis); fresh.len()])
        .rows(PREDICTIONS)
}

/// The same for the same model, role, entity and time, whenever it is scored.
fn id(model: &str, role: Role, row: &Row) -> String {
    let mut hash = Sha256::new();
    for part in [model, role.name(), &row.entity] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(row.time.to_le_bytes());
    let hash = hash.finalize();
    hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn texts(column: &ArrayRef) -> Result<Vec<Option<String>>> {
    let options = FormatOptions::default();
    let texts = ArrayFormatter::try_new(column.as_ref(), &options)
        .map_err(|e| Error::internal("a prediction cannot be written").with_source(e))?;
    let text = |row| column.is_valid(row).then(|| texts.value(row).to_string());
    Ok((0..column.len()).map(text).collect())
}

/// A column of numbers; null where it is none or there is none.
fn numbers(column: Option<&ArrayRef>, rows: usize) -> Vec<Option<f64>> {
    let column = column.filter(|column| column.data_type().is_numeric());
    let doubles = column.and_then(|column| cast(column, &DataType::Float64).ok());
    match doubles {
        Some(doubles) => doubles.as_primitive::<Float64Type>().iter().collect(),
        None => vec![None; rows],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_has_one_id_for_ever_and_shares_it_with_none() {
        let row = |entity: &str, time| Row {
            entity: entity.to_owned(),
            time,
            window: vec![0],
        };
        let first = id("ml.a", Role::Champion, &row("p1", 1));
        assert_eq!(first, id("ml.a", Role::Champion, &row("p1", 1)));
        assert_eq!(first.len(), 32);
        for other in [
            id("ml.a", Role::Shadow, &row("p1", 1)),
            id("ml.b", Role::Champion, &row("p1", 1)),
            id("ml.a", Role::Champion, &row("p2", 1)),
            id("ml.a", Role::Champion, &row("p1", 2)),
        ] {
            assert_ne!(first, other);
        }
    }
}
