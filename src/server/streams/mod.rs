//! `/v1/streams`: the streams of this process, listed, given and taken away while it runs.

mod file;
mod part;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use catalog::Error;
use ingest::StreamConfig;
use serde_json::{Value, json};

pub(super) use self::part::{Given, StreamsPart};
use self::part::{Origin, no_stream};
use super::http::{Failure, State};

/// The routes below `/v1/streams`.
pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/streams", get(list).post(put))
        .route("/v1/streams/{name}", get(show).delete(remove))
}

async fn list(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let streams = state.streams.list().await;
    let streams: Vec<Value> = streams.iter().map(shown).collect();
    Json(json!({"streams": streams}))
}

async fn show(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Failure> {
    let streams = state.streams.list().await;
    let found = streams.iter().find(|(_, stream)| stream.name == name);
    Ok(Json(shown(found.ok_or_else(|| no_stream(&name))?)))
}

/// Adds or replaces a stream, written as JSON like a `[[stream]]` of the configuration file.
async fn put(Shared(state): Shared<Arc<State>>, body: Bytes) -> Result<Response, Failure> {
    let stream: StreamConfig = serde_json::from_slice(&body).map_err(|e| {
        Error::invalid(format!("the body is no stream: {e}")).with_hint(
            "send a JSON object with name, topic and table, and what else a [[stream]] may \
             say; docs/streams.md has it all",
        )
    })?;
    let new = state.streams.put(stream.clone()).await?;
    tracing::info!(stream = stream.name, new, "a stream was given by http");
    let status = match new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let location = format!("/v1/streams/{}", plain(&stream.name));
    let body = Json(shown(&(Origin::Http, stream)));
    Ok((status, [(header::LOCATION, location)], body).into_response())
}

async fn remove(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    state.streams.remove(&name).await?;
    tracing::info!(stream = name, "a stream was taken away by http");
    Ok(StatusCode::NO_CONTENT)
}

fn shown((origin, stream): &(Origin, StreamConfig)) -> Value {
    let mut shown = json!(stream);
    shown["source"] = json!(origin);
    shown
}

/// A name as a part of a path.
fn plain(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}
