//! `POST /v1/predict`: rows as JSON in, predictions as JSON out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_iterator;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use catalog::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{Failure, State};
use crate::output;

/// A request: `{"model": "ml.x", "ref": "main", "rows": [{...}, ...]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: String,
    #[serde(rename = "ref", default = "main")]
    reference: String,
    rows: Vec<Map<String, Value>>,
}

fn main() -> String {
    "main".to_owned()
}

/// Answers `{"predictions": [...]}`, one object per row in the order given.
pub(super) async fn handle(
    Shared(state): Shared<Arc<State>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let request = parse(&body)?;
    let rows = to_batch(&request.rows)?;
    let lake = state.engine.lake();
    let predicted = ml::predict_rows(lake, &request.model, &request.reference, rows).await?;
    let predictions = output::to_json_rows(&predicted)?;
    Ok(Json(json!({"predictions": predictions})))
}

/// Nearly always a body beyond the limit; otherwise one that broke off.
fn unreadable(rejection: &BytesRejection) -> Failure {
    let error = Error::invalid("the request's body is too large or broke off")
        .with_hint("send fewer rows in one request");
    Failure::with_status(rejection.status(), error)
}

fn parse(body: &[u8]) -> Result<Request> {
    serde_json::from_slice(body).map_err(|e| {
        Error::invalid(format!("the request is not understood: {e}")).with_hint(
            r#"send {"model": "ml.name", "ref": "main", "rows": [{"column": 1.5, ...}, ...]}"#,
        )
    })
}

/// The rows as columns; a field that a row lacks is null.
fn to_batch(rows: &[Map<String, Value>]) -> Result<RecordBatch> {
    if rows.is_empty() {
        return Err(Error::invalid("rows is empty").with_hint("send at least one row"));
    }
    let wrong = |e| {
        Error::invalid("the rows do not form a table")
            .with_source(e)
            .with_hint("give a column the same type in every row")
    };
    let values: Vec<Value> = rows.iter().cloned().map(Value::Object).collect();
    let schema = infer_json_schema_from_iterator(values.iter().map(Ok)).map_err(wrong)?;
    let mut decoder = ReaderBuilder::new(Arc::new(schema))
        .with_batch_size(values.len())
        .build_decoder()
        .map_err(wrong)?;
    decoder.serialize(&values).map_err(wrong)?;
    let batch = decoder.flush().map_err(wrong)?;
    batch.ok_or_else(|| Error::internal("rows gave no batch"))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn rows(text: &str) -> Vec<Map<String, Value>> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn rows_become_columns_by_name() {
        let batch = to_batch(&rows(r#"[{"a": 1, "b": true}, {"a": 2.5, "c": "x"}]"#)).unwrap();
        assert_eq!(batch.num_rows(), 2);
        let schema = batch.schema();
        assert_eq!(
            schema.field_with_name("a").unwrap().data_type(),
            &DataType::Float64
        );
        assert_eq!(batch.column_by_name("b").unwrap().null_count(), 1);
    }

    #[test]
    fn what_is_no_table_is_the_callers_mistake() {
        assert!(to_batch(&[]).unwrap_err().is_user_error());
        assert!(
            to_batch(&rows(r#"[{"a": 1}, {"a": [2]}]"#))
                .unwrap_err()
                .is_user_error()
        );
        assert!(parse(b"{\"model\": 1}").is_err_and(|e| e.is_user_error()));
    }
}
