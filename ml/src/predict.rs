//! Predicting with a model of the lake: input rows in, the same rows and the
//! model's answer out.
//!
//! Every column of the input is kept, those the model does not read included, so that an
//! answer stands beside the pump and the time it is about. Which columns are added, the
//! module [`answer`](crate::answer) says. A model over windows reads lists, or rows that
//! follow each other in its series; the answer is null where no whole window ends.
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use catalog::{Error, Result};
use lake::Lake;
use query::Engine;

use crate::manifest::Manifest;
use crate::registry::{self, LoadedModel};
use crate::score::{answers, groups, samples, series};

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
    let batches = match plan.along_series {
        // A window may begin in another batch.
        true => vec![concat_batches(&schema, &batches).map_err(broken)?],
        false => batches,
    };
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
    /// Whether windows are made of rows that follow each other: they hold numbers, not lists.
    along_series: bool,
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
        for added in answers::fields(manifest) {
            if input.index_of(added.name()).is_ok() {
                return Err(Error::invalid(format!(
                    "the rows have a column '{}', which is where the model's answer goes",
                    added.name()
                ))
                .with_hint("rename it with AS"));
            }
            fields.push(Arc::new(added));
        }
        let lists = features
            .iter()
            .all(|at| input.field(*at).data_type().is_nested());
        Ok(Plan {
            features,
            along_series: signature.length > 1 && !lists,
            output: Arc::new(Schema::new(fields)),
        })
    }

    fn run(&self, model: &LoadedModel, rows: &RecordBatch) -> Result<RecordBatch> {
        let (manifest, count) = (&model.manifest, rows.num_rows());
        let samples = match self.along_series {
            true => series::samples(manifest, rows, &self.features)?,
            false => {
                let features = self.features.iter().map(|at| rows.column(*at).clone());
                let features: Vec<ArrayRef> = features.collect();
                samples::of_columns(&manifest.signature, &features, count, None)?
            }
        };
        let mut columns = rows.columns().to_vec();
        let groups = groups::of_rows(manifest, count, |name| rows.column_by_name(name).cloned());
        columns.extend(answers::columns(model, samples, count, groups)?);
        RecordBatch::try_new(Arc::clone(&self.output), columns).map_err(broken)
    }
}

fn broken(error: ArrowError) -> Error {
    Error::internal("predictions do not fit their rows").with_source(error)
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
    match manifest.signature.length > 1 && !data_type.is_nested() {
        true => samples::check_scalar(manifest, name, data_type)?,
        false => samples::check_type(manifest, name, data_type)?,
    }
    Ok(index)
}
