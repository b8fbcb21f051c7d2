//! `POST /v1/predict` and `/v1/predict/batch`: rows as JSON in, predictions as JSON out; and
//! `GET /v1/models`, what there is to ask.

mod metrics;
mod models;

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::routing::{get, post};
use axum::{Json, Router};
use catalog::{Error, Result};
use futures::{StreamExt, stream};
use ml::Scored;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{Failure, State};
use crate::output;

pub(super) use self::metrics::{render, render_scored};

/// A model that scores rows as they arrive, and what it has done.
pub(super) type Scoring = (String, Arc<Mutex<Scored>>);

/// Largest body of a batch: some fifty thousand rows.
const BATCH_LIMIT: usize = 64 << 20;
/// Requests of one batch that are answered at the same time.
const CONCURRENT: usize = 4;

const HINT: &str =
    r#"send {"model": "ml.name", "ref": "main", "rows": [{"column": 1.5, ...}, ...]}"#;
const BATCH_HINT: &str = r#"send {"requests": [{"model": "ml.name", "rows": [...]}, ...]}"#;

/// The paths served here.
pub(super) fn routes() -> Router<Arc<State>> {
    let batch = post(batch).layer(DefaultBodyLimit::max(BATCH_LIMIT));
    Router::new()
        .route("/v1/predict", post(handle))
        .route("/v1/predict/batch", batch)
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", get(models::show))
}

/// A request: `{"model": "ml.x", "ref": "main", "rows": [{...}, ...]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: String,
    #[serde(rename = "ref", default = "main")]
    reference: String,
    rows: Vec<Map<String, Value>>,
}

/// Several of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    requests: Vec<Request>,
}

fn main() -> String {
    "main".to_owned()
}

/// Answers `{"model": ..., "version": ..., "predictions": [...]}`, one object per row in the
/// order given.
async fn handle(
    Shared(state): Shared<Arc<State>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let request: Request = parse(&body, HINT)?;
    Ok(Json(answer(&state, request).await?))
}

/// Answers `{"results": [...]}`, one for each request in order: as `/v1/predict` answers, or
/// `{"error": {...}}`, so that one bad request does not cost the others their answers.
async fn batch(
    Shared(state): Shared<Arc<State>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let batch: Batch = parse(&body, BATCH_HINT)?;
    if batch.requests.is_empty() {
        let error = Error::invalid("requests is empty").with_hint(BATCH_HINT);
        return Err(error.into());
    }
    let results = stream::iter(batch.requests).map(|request| async {
        let answer = answer(&state, request).await;
        answer.unwrap_or_else(|error| json!({"error": Failure::from(error).body()}))
    });
    let results: Vec<Value> = results.buffered(CONCURRENT).collect().await;
    Ok(Json(json!({"results": results})))
}

/// The rows of `request` with what its model answers.
async fn answer(state: &State, request: Request) -> Result<Value> {
    let Request {
        model,
        reference,
        mut rows,
    } = request;
    let answer = state.predict.predict(&model, &reference, &rows).await?;
    let answers = output::to_json_rows(&answer.rows)?;
    for (number, (row, answer)) in rows.iter_mut().zip(answers).enumerate() {
        for (name, value) in answer {
            if row.contains_key(&name) {
                return Err(Error::invalid(format!(
                    "row {} has a field '{name}', which is where the model's answer goes",
                    number + 1
                ))
                .with_hint("give it another name, or leave it out"));
            }
            row.insert(name, value);
        }
    }
    Ok(json!({
        "model": answer.model.to_string(),
        "version": answer.version,
        "predictions": rows,
    }))
}

/// Nearly always a body beyond the limit; otherwise one that broke off.
fn unreadable(rejection: &BytesRejection) -> Failure {
    let error = Error::invalid("the request's body is too large or broke off")
        .with_hint("send fewer rows in one request");
    Failure::with_status(rejection.status(), error)
}

fn parse<T: for<'a> Deserialize<'a>>(body: &[u8], hint: &str) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|e| Error::invalid(format!("the request is not understood: {e}")).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_the_callers_mistake() {
        for body in [
            r#"{"model": 1}"#,
            r#"{"model": "ml.x", "rows": [1]}"#,
            r#"{"model": "ml.x", "rows": [{"a": NaN}]}"#,
            r#"{"model": "ml.x", "rows": [{"a": 1e999}]}"#,
            r#"{"model": "ml.x", "rows": [], "reff": "exp"}"#,
        ] {
            let error = parse::<Request>(body.as_bytes(), HINT).err().unwrap();
            assert!(error.is_user_error() && error.hint().is_some(), "{error}");
        }
        let request: Request = parse(br#"{"model": "ml.x", "rows": [{}]}"#, HINT).unwrap();
        assert_eq!(request.reference, "main");
    }
}
