//! Predicting with a model of the lake: input rows in, the same rows and the
//! model's answer out.
//!
//! Every column of the input is kept, those the model does not read included, so that an
//! answer stands beside the pump and the time it is about. Which columns are added, the
//! module [`answer`](crate::answer) says.
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Error, Result};
use lake::Lake;
use query::Engine;

use crate::answer;
use crate::dataset::{is_number, to_numbers};
use crate::manifest::Manifest;
use crate::registry::{self, LoadedModel};

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
        for added in answer::fields(manifest) {
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
            answer::fields(&model.manifest)
                .iter()
                .map(|f| arrow::array::new_empty_array(f.data_type()))
                .collect()
        } else {
            let answer = model.predict(to_numbers(rows, &self.features)?)?;
            answer::columns(&model.manifest, &answer)?
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
