//! The models that requests may name.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use catalog::Result;
use ml::{Manifest, ModelInfo};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::http::{Failure, State};

/// `?ref=exp`; left out it is `main`.
#[derive(Deserialize)]
pub(super) struct At {
    #[serde(rename = "ref", default = "super::main")]
    reference: String,
}

/// Answers `{"ref": ..., "models": [...]}`.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Query(at): Query<At>,
) -> Result<Json<Value>, Failure> {
    let models = ml::models(state.engine.lake(), &at.reference).await?;
    let models: Vec<Value> = models.iter().map(summary).collect();
    Ok(Json(json!({"ref": at.reference, "models": models})))
}

/// Answers one model with its whole manifest.
pub(super) async fn show(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    Query(at): Query<At>,
) -> Result<Json<Value>, Failure> {
    let model = ml::model(state.engine.lake(), &name, &at.reference).await?;
    let mut shown = summary(&model);
    shown["manifest_location"] = json!(model.manifest_location);
    shown["manifest"] = json!(model.manifest);
    Ok(Json(shown))
}

/// What a client needs in order to ask.
fn summary(model: &ModelInfo) -> Value {
    let Manifest {
        task,
        trainer,
        signature,
        metrics,
        lineage,
        ..
    } = &model.manifest;
    json!({
        "name": model.key.to_string(),
        "version": model.version(),
        "task": task,
        "trainer": trainer,
        "signature": signature,
        "metrics": metrics,
        "trained_on": {"commit": lineage.commit, "rows": lineage.rows},
    })
}
