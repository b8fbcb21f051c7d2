//! Loading a table: its metadata, and what the client needs to reach its files.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::{Content, Error, Key, Result, Snapshot};
use lake::TableMetadata;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{Asked, At, OfKey};
use crate::names;

#[derive(Debug, Deserialize)]
pub(crate) struct Loading {
    snapshots: Option<Snapshots>,
}

/// Which snapshots the metadata of an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Snapshots {
    All,
    Refs,
}

/// `GET .../tables/{table}`: 304 when the client has the newest metadata.
pub(crate) async fn get(
    State(api): State<Api>,
    At(of): At<OfKey>,
    Asked(loading): Asked<Loading>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let snapshots = loading.snapshots.unwrap_or(Snapshots::All);
    let (_, location) = find(&api, &of).await?;
    let tag = etag(&api, &location, snapshots);
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok());
    if known.any(|tags| tags.split(',').any(|one| matches(one, &tag))) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let metadata = api.lake().read_metadata(&location).await?;
    answer(&api, Some(&location), &metadata, snapshots)
}

/// Whether what a client knows is the answer tagged `tag`: proxies make tags weak.
fn matches(known: &str, tag: &str) -> bool {
    let known = known.trim();
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}

/// `HEAD .../tables/{table}`.
pub(crate) async fn head(State(api): State<Api>, At(of): At<OfKey>) -> Result<StatusCode, Failure> {
    find(&api, &of).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST .../tables/{table}/metrics`: reports of scans and commits are taken and not kept.
pub(crate) async fn metrics(
    State(api): State<Api>,
    At(of): At<OfKey>,
) -> Result<StatusCode, Failure> {
    find(&api, &of).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(api: &Api, of: &OfKey) -> Result<(Key, String)> {
    let snapshot = api.snapshot(&of.prefix).await?;
    let key = names::existing(&of.namespace, &of.name, error::no_such_table)?;
    let location = location(&snapshot, &key)?;
    Ok((key, location))
}

/// Where the metadata of table `key` is; an error of the specification when there is none.
pub(super) fn location(snapshot: &Snapshot, key: &Key) -> Result<String> {
    match snapshot.get(key)? {
        Some(Content::IcebergTable {
            metadata_location, ..
        }) => Ok(metadata_location),
        _ => Err(error::no_such_table(&key.to_string())),
    }
}

/// The answer about a table that was just committed.
pub(super) async fn committed(
    api: &Api,
    snapshot: &Snapshot,
    key: &Key,
) -> Result<Response, Failure> {
    let location = location(snapshot, key)?;
    let metadata = api.lake().read_metadata(&location).await?;
    answer(api, Some(&location), &metadata, Snapshots::All)
}

/// The answer about a table whose creation has only begun.
pub(super) fn staged(api: &Api, metadata: &TableMetadata) -> Result<Response, Failure> {
    answer(api, None, metadata, Snapshots::All)
}

fn answer(
    api: &Api,
    location: Option<&str>,
    metadata: &TableMetadata,
    snapshots: Snapshots,
) -> Result<Response, Failure> {
    let mut json = serde_json::to_value(metadata)
        .map_err(|e| Error::internal("could not encode table metadata").with_source(e))?;
    if snapshots == Snapshots::Refs {
        keep_referenced(&mut json);
    }
    let body = json!({
        "metadata-location": location,
        "metadata": json,
        "config": api.credentials(),
    });
    let mut response = Json(body).into_response();
    if let Some(location) = location {
        let tag = etag(api, location, snapshots);
        let tag = tag
            .parse()
            .expect("hex digits in quotes are a header value");
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Drops the snapshots that no branch or tag of the table names.
fn keep_referenced(metadata: &mut Value) {
    let refs = metadata["refs"].as_object().into_iter().flatten();
    let mut kept: HashSet<i64> = refs
        .filter_map(|(_, named)| named["snapshot-id"].as_i64())
        .collect();
    kept.extend(metadata["current-snapshot-id"].as_i64());
    if let Some(snapshots) = metadata["snapshots"].as_array_mut() {
        let referenced = |snapshot: &Value| snapshot["snapshot-id"].as_i64();
        snapshots.retain(|one| referenced(one).is_some_and(|id| kept.contains(&id)));
    }
}

/// Changes whenever the answer does: a metadata file never changes, settings may.
fn etag(api: &Api, location: &str, snapshots: Snapshots) -> String {
    let text = format!("{location}\n{snapshots:?}\n{:?}", api.credentials());
    let digest = Sha256::digest(text);
    let hex: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("\"{hex}\"")
}
