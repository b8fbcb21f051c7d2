//! Rows of a request, as JSON objects, as the samples a model reads.
use catalog::{Error, Result};
use serde_json::{Map, Value};

use super::samples::infinite;
use crate::manifest::Manifest;

/// One sample for each row: each feature by its name, a number, `true`, `false` or null; of a
/// model over windows a list of as many as a window has. Other fields are passed over.
///
/// # Errors
/// `InvalidInput` naming row and column: a feature that is missing, of another type, infinite,
/// or a window of another length.
pub(super) fn samples(manifest: &Manifest, rows: &[Map<String, Value>]) -> Result<Vec<f32>> {
    let signature = &manifest.signature;
    let width = signature.features.len();
    let size = signature.length * width;
    let mut samples = vec![f32::NAN; rows.len() * size];
    for (number, (row, sample)) in rows.iter().zip(samples.chunks_exact_mut(size)).enumerate() {
        for (slot, feature) in signature.features.iter().enumerate() {
            let name = &feature.name;
            let Some(value) = row.get(name) else {
                return Err(missing(manifest, number, name));
            };
            let places = sample.iter_mut().skip(slot).step_by(width);
            let values = steps(value, signature.length, number, name)?;
            for (place, value) in places.zip(values) {
                *place = single(value, number, name)?;
            }
        }
    }
    Ok(samples)
}

/// The series of each row, as training named it, where the model scales each by itself; what a
/// row does not say is a series that training has not seen.
pub(super) fn groups(manifest: &Manifest, rows: &[Map<String, Value>]) -> Vec<String> {
    if manifest.normalisation.groups.is_empty() {
        return Vec::new();
    }
    let text = |row: &Map<String, Value>| {
        let names = manifest.signature.group.iter();
        let values = names.map(|name| match row.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        });
        values.collect::<Vec<_>>().join("/")
    };
    rows.iter().map(text).collect()
}

/// The values of one feature, oldest first.
fn steps<'a>(value: &'a Value, length: usize, row: usize, name: &str) -> Result<&'a [Value]> {
    match value {
        Value::Array(values) if length > 1 && values.len() == length => Ok(values),
        Value::Array(values) if length > 1 => Err(Error::invalid(format!(
            "row {}: '{name}' holds {} values, and the model reads {length}, oldest first",
            row + 1,
            values.len()
        ))),
        other if length > 1 => Err(Error::invalid(format!(
            "row {}: '{name}' must be a list of {length} values, oldest first, and is {}",
            row + 1,
            kind(other)
        ))),
        other => Ok(std::slice::from_ref(other)),
    }
}

fn single(value: &Value, row: usize, name: &str) -> Result<f32> {
    let value = match value {
        Value::Null => return Ok(f32::NAN),
        Value::Bool(value) => return Ok(f32::from(u8::from(*value))),
        Value::Number(value) => value.as_f64().unwrap_or(f64::INFINITY) as f32,
        other => {
            return Err(Error::invalid(format!(
                "row {}: '{name}' must be a number, true, false or null, and is {}",
                row + 1,
                kind(other)
            )));
        }
    };
    match value.is_infinite() {
        true => Err(infinite(row, name)),
        false => Ok(value),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn missing(manifest: &Manifest, row: usize, name: &str) -> Error {
    let features = manifest.signature.features.iter();
    let names: Vec<&str> = features.map(|f| f.name.as_str()).collect();
    Error::invalid(format!(
        "row {} lacks '{name}', which model {} reads",
        row + 1,
        manifest.model
    ))
    .with_hint(format!(
        "it reads {}; give null where a value is missing",
        names.join(", ")
    ))
}
