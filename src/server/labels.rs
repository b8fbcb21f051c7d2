//! `/v1/labels`: what people say of predictions, for the next data set.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State as Shared};
use catalog::{Error, Key, Result};
use ml::feedback::{self, Label};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{Failure, State};
use crate::output;

/// Labels that are listed unless more or fewer are asked for, and the most there may be.
const LISTED: usize = 100;
const MOST_LISTED: usize = 10_000;

/// A request: `{"model": "ml.x", "who": "ann", "labels": [{...}, ...]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: Key,
    /// Who says so; the name of this installation when absent.
    who: Option<String>,
    labels: Vec<Label>,
}

/// What is listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    model: Option<Key>,
    limit: Option<usize>,
}

/// Writes labels; answers `{"written": n, "known": m}`, m having been there before.
pub(super) async fn write(
    Shared(state): Shared<Arc<State>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = body.map_err(|rejection| {
        let error = Error::invalid("the request's body is too large or broke off")
            .with_hint("send fewer labels in one request");
        Failure::with_status(rejection.status(), error)
    })?;
    let Request { model, who, labels } = parse(&body)?;
    let who = who.filter(|who| !who.trim().is_empty());
    let who = who.unwrap_or_else(|| state.engine.config().author.clone());
    let recorded = feedback::record(&state.engine, &model, &who, labels).await?;
    Ok(Json(
        json!({"written": recorded.written, "known": recorded.known}),
    ))
}

/// Answers `{"labels": [...]}`, the newest first.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(Listing { model, limit }) = listing.map_err(|rejection| {
        Error::invalid(format!(
            "the query is not understood: {}",
            rejection.body_text()
        ))
        .with_hint("GET /v1/labels?model=ml.name&limit=100")
    })?;
    let limit = limit.unwrap_or(LISTED).min(MOST_LISTED);
    let (_, batches) = feedback::recent(&state.engine, model.as_ref(), limit).await?;
    let rows = batches
        .iter()
        .map(output::to_json_rows)
        .collect::<Result<Vec<_>>>()?;
    let labels: Vec<Map<String, Value>> = rows.into_iter().flatten().collect();
    Ok(Json(json!({"labels": labels})))
}

fn parse(body: &[u8]) -> Result<Request> {
    serde_json::from_slice(body).map_err(|e| {
        Error::invalid(format!("the request is not understood: {e}")).with_hint(
            r#"send {"model": "ml.name", "who": "ann", "labels": [{"id": "1", "prediction_id": "...", "label": "bearing_wear"}, ...]}"#,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_a_wrong_one_is_the_callers_mistake() {
        let request = parse(
            br#"{"model": "ml.x", "labels": [
                {"id": "a", "entity": "p1", "event_time": "2026-03-01T00:00:00Z", "label": true}]}"#,
        )
        .unwrap();
        assert_eq!(request.model.to_string(), "ml.x");
        assert_eq!(request.labels[0].label, Value::Bool(true));
        for wrong in [
            "{",
            r#"{"model": "ml.x"}"#,
            r#"{"model": "x y", "labels": []}"#,
            r#"{"model": "ml.x", "labels": [{"label": 1, "when": 2}]}"#,
            r#"{"model": "ml.x", "labels": [{"label": 1, "event_time": "yesterday"}]}"#,
        ] {
            assert!(
                parse(wrong.as_bytes()).is_err_and(|e| e.is_user_error()),
                "{wrong}"
            );
        }
    }
}
