//! What a model answers to the samples of some rows, as columns as long as the rows are many.
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::Field;
use catalog::{Error, Result};

use super::groups;
use super::samples::Samples;
use crate::answer;
use crate::manifest::Manifest;
use crate::registry::LoadedModel;

/// The columns of an answer, which are null where a row has no sample.
pub(crate) fn fields(manifest: &Manifest) -> Vec<Field> {
    let fields = answer::fields(manifest).into_iter();
    match manifest.signature.length {
        1 => fields.collect(),
        _ => fields.map(|field| field.with_nullable(true)).collect(),
    }
}

/// The columns of [`answer::fields`] for each of `rows` rows; blocks. `groups` names the series
/// of each row, and may be empty.
pub(crate) fn columns(
    model: &LoadedModel,
    samples: Samples,
    rows: usize,
    groups: Vec<String>,
) -> Result<Vec<ArrayRef>> {
    let manifest = &model.manifest;
    if samples.values.is_empty() {
        let fields = answer::fields(manifest);
        let empty = fields.iter().map(|f| new_null_array(f.data_type(), rows));
        return Ok(empty.collect());
    }
    let groups = groups::of_samples(groups, samples.rows.as_deref());
    let predictions = model.predict(samples.values, &groups)?;
    let columns = answer::columns(manifest, &predictions, &groups)?;
    let Some(of_rows) = samples.rows else {
        return Ok(columns);
    };
    let mut places = vec![None; rows];
    for (sample, row) in of_rows.iter().enumerate() {
        places[*row] = Some(sample as u64);
    }
    let places: ArrayRef = Arc::new(UInt64Array::from(places));
    let columns = columns.iter().map(|column| take(column, &places, None));
    columns
        .collect::<Result<_, _>>()
        .map_err(|e| Error::internal("answers do not fit their rows").with_source(e))
}
