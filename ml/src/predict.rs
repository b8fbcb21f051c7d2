//! Predicting with a model of the lake: input rows in, the same rows and the
//! model's answer out.
//!
//! Every column of the input is kept, those the model does not read included,
//! so that an answer stands beside the pump and the time it is about. Added are
//!
//! | column        | type                     | of                                              |
//! |---------------|--------------------------|-------------------------------------------------|
//! | `prediction`  | as the label, or double  | the most likely class, or the value             |
//! | `probability` | double, 0 to 1           | classes: how likely the predicted class is      |
//! | `score`       | double, 0 to 1           | two classes: how likely the positive class is   |
//!
//! Of two classes the second in order (`true`, the larger number, the later
//! text) is the positive one; it is predicted from a score of 0.5 on.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Error, Result};
use lake::Lake;
use query::Engine;

use crate::dataset::{Class, is_number, to_numbers};
use crate::manifest::Manifest;
use crate::metrics::{is_positive, most_likely};
use crate::registry::{self, LoadedModel};
use crate::spec::Task;
use crate::trainers::Predictions;

/// Runs `sql` at `reference` and predicts every row of it with `model` as it is
/// there: on a branch the rows not yet committed are included.
///
/// Errors: `NotFound` for an unknown model or ref, `InvalidInput` when a column
/// the model reads is missing, is no number, or when one of the added names is taken.
pub async fn predict(
    lake: &Lake,
    engine: &Engine,
    model: &str,
    reference: &str,
    sql: &str,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let model = registry::load(lake, model, reference).await?;
    let (schema, batches) = engine.collect(sql, Some(reference)).await?;
    let plan = Arc::new(Plan::new(&schema, &model.manifest)?);
    let output = Arc::clone(&plan.output);
    let batches = blocking(move || batches.iter().map(|b| plan.run(&model, b)).collect()).await?;
    Ok((output, batches))
}

/// Predicts the rows of `batch` with `model` as it is at `reference`.
/// Errors are those of [`predict`].
pub async fn predict_rows(
    lake: &Lake,
    model: &str,
    reference: &str,
    batch: RecordBatch,
) -> Result<RecordBatch> {
    let model = registry::load(lake, model, reference).await?;
    let plan = Plan::new(batch.schema_ref(), &model.manifest)?;
    blocking(move || plan.run(&model, &batch)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("predicting broke off").with_source(e))?
}

/// How a model's signature meets the columns of an input.
struct Plan {
    features: Vec<usize>,
    output: SchemaRef,
}

impl Plan {
    fn new(input: &Schema, manifest: &Manifest) -> Result<Plan> {
        let signature = &manifest.signature;
        let features = signature
            .features
            .iter()
            .map(|feature| position(input, &feature.name, manifest))
            .collect::<Result<Vec<_>>>()?;
        let mut fields: Vec<Arc<Field>> = input.fields().iter().cloned().collect();
        for added in added_fields(manifest) {
            if input.index_of(added.name()).is_ok() {
                return Err(Error::invalid(format!(
                    "the rows have a column '{}', which is where the model's answer goes",
                    added.name()
                ))
                .with_hint("rename it with AS"));
            }
            fields.push(Arc::new(added));
        }
        Ok(Plan {
            features,
            output: Arc::new(Schema::new(fields)),
        })
    }

    fn run(&self, model: &LoadedModel, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        columns.extend(if rows.num_rows() == 0 {
            added_fields(&model.manifest)
                .iter()
                .map(|f| arrow::array::new_empty_array(f.data_type()))
                .collect()
        } else {
            let answer = model.predict(to_numbers(rows, &self.features)?)?;
            added_columns(&model.manifest, &answer)
        });
        RecordBatch::try_new(Arc::clone(&self.output), columns)
            .map_err(|e| Error::internal("predictions do not fit their rows").with_source(e))
    }
}

fn position(input: &Schema, name: &str, manifest: &Manifest) -> Result<usize> {
    let Ok(index) = input.index_of(name) else {
        let wanted: Vec<&str> = manifest
            .signature
            .features
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        return Err(Error::invalid(format!(
            "model {} reads the column '{name}', which the rows do not have",
            manifest.model
        ))
        .with_hint(format!("it reads {}", wanted.join(", "))));
    };
    let data_type = input.field(index).data_type();
    // A column of nulls only has no other type than null.
    if is_number(data_type) || *data_type == DataType::Null {
        return Ok(index);
    }
    Err(Error::invalid(format!(
        "model {} reads the column '{name}' as a number, and it is {data_type}",
        manifest.model
    )))
}

fn added_fields(manifest: &Manifest) -> Vec<Field> {
    let prediction = match manifest.signature.classes.first() {
        None => DataType::Float64,
        Some(Class::Boolean(_)) => DataType::Boolean,
        Some(Class::Integer(_)) => DataType::Int64,
        Some(Class::Text(_)) => DataType::Utf8,
    };
    let mut fields = vec![Field::new("prediction", prediction, false)];
    if matches!(manifest.task, Task::Binary | Task::Multiclass) {
        fields.push(Field::new("probability", DataType::Float64, false));
    }
    if manifest.task == Task::Binary {
        fields.push(Field::new("score", DataType::Float64, false));
    }
    fields
}

fn added_columns(manifest: &Manifest, answer: &Predictions) -> Vec<ArrayRef> {
    let classes = &manifest.signature.classes;
    let values = &answer.values;
    match manifest.task {
        Task::Regression | Task::Forecast | Task::Anomaly => {
            vec![doubles(values.iter().copied())]
        }
        Task::Binary => {
            let chosen: Vec<usize> = values
                .iter()
                .map(|s| usize::from(is_positive(*s)))
                .collect();
            let of_chosen = values
                .iter()
                .map(|s| if is_positive(*s) { *s } else { 1.0 - *s });
            vec![
                class_column(classes, &chosen),
                doubles(of_chosen),
                doubles(values.iter().copied()),
            ]
        }
        Task::Multiclass => {
            let rows = || values.chunks_exact(classes.len());
            let chosen: Vec<usize> = rows().map(most_likely).collect();
            let of_chosen = rows().zip(&chosen).map(|(row, class)| row[*class]);
            vec![class_column(classes, &chosen), doubles(of_chosen)]
        }
    }
}

fn doubles(values: impl Iterator<Item = f32>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values.map(f64::from)))
}

/// The chosen classes as one column; all classes of a model are of one type.
fn class_column(classes: &[Class], chosen: &[usize]) -> ArrayRef {
    let chosen = chosen.iter().map(|class| &classes[*class]);
    match classes.first() {
        Some(Class::Boolean(_)) => Arc::new(BooleanArray::from_iter(
            chosen.map(|class| Some(*class == Class::Boolean(true))),
        )),
        Some(Class::Integer(_)) => {
            Arc::new(Int64Array::from_iter_values(chosen.map(
                |class| match class {
                    Class::Integer(value) => *value,
                    Class::Boolean(_) | Class::Text(_) => 0,
                },
            )))
        }
        _ => Arc::new(StringArray::from_iter_values(chosen.map(Class::to_string))),
    }
}
