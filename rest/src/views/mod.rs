//! Views: their metadata files are Iceberg's, and SQL and REST share them.

mod create;
mod replace;

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use iceberg::spec::ViewMetadata;
use lake::Lake;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{Asked, At, Body, InNamespace, InRef, OfKey};
use crate::names;
use crate::namespaces;
use crate::page::Pages;
use crate::tables::keys::{Rename, Renaming, identifiers};

/// The routes of views.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route(
            "/v1/{prefix}/namespaces/{namespace}/views",
            get(list).post(create::post),
        )
        .route(
            "/v1/{prefix}/namespaces/{namespace}/views/{name}",
            get(load).head(head).post(replace::post).delete(drop),
        )
        .route("/v1/{prefix}/views/rename", post(rename))
}

fn is_view(content: &Content) -> bool {
    matches!(content, Content::View { .. })
}

async fn list(
    State(api): State<Api>,
    At(within): At<InNamespace>,
    Asked(pages): Asked<Pages>,
) -> Result<Json<Value>, Failure> {
    let snapshot = api.snapshot(&within.prefix).await?;
    let keys = namespaces::keys(&snapshot, &within.namespace, is_view)?;
    identifiers(&pages, keys)
}

async fn load(State(api): State<Api>, At(of): At<OfKey>) -> Result<Json<Value>, Failure> {
    let snapshot = api.snapshot(&of.prefix).await?;
    let key = names::existing(&of.namespace, &of.name, error::no_such_view)?;
    answer(api.lake(), &snapshot, &key).await
}

async fn head(State(api): State<Api>, At(of): At<OfKey>) -> Result<StatusCode, Failure> {
    let snapshot = api.snapshot(&of.prefix).await?;
    let key = names::existing(&of.namespace, &of.name, error::no_such_view)?;
    location(&snapshot, &key)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn drop(State(api): State<Api>, At(of): At<OfKey>) -> Result<StatusCode, Failure> {
    let key = names::existing(&of.namespace, &of.name, error::no_such_view)?;
    let message = format!("drop view {key}");
    api.commit(&of.prefix, message, Drop(key)).await?;
    Ok(StatusCode::NO_CONTENT)
}

struct Drop(Key);

#[async_trait]
impl Change for Drop {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        location(head, &self.0)?;
        let key = self.0.clone();
        Ok(ChangeSet {
            operations: vec![Operation::Delete { key }],
            ..ChangeSet::default()
        })
    }

    fn keys(&self) -> Option<BTreeSet<Key>> {
        Some(BTreeSet::from([self.0.clone()]))
    }
}

async fn rename(
    State(api): State<Api>,
    At(within): At<InRef>,
    Body(renaming): Body<Renaming>,
) -> Result<StatusCode, Failure> {
    let from = renaming.source.existing(error::no_such_view)?;
    let to = renaming.destination.new_key()?;
    let message = format!("rename view {from} to {to}");
    let change = Rename {
        from,
        to,
        is_right: is_view,
        missing: error::no_such_view,
    };
    api.commit(&within.prefix, message, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where the metadata of view `key` is; an error of the specification when there is none.
fn location(snapshot: &Snapshot, key: &Key) -> Result<String> {
    match snapshot.get(key)? {
        Some(Content::View {
            metadata_location, ..
        }) => Ok(metadata_location),
        _ => Err(error::no_such_view(&key.to_string())),
    }
}

/// The answer about view `key` as it is in `snapshot`.
async fn answer(lake: &Lake, snapshot: &Snapshot, key: &Key) -> Result<Json<Value>, Failure> {
    let location = location(snapshot, key)?;
    let metadata = lake.read_view(&location).await?;
    let metadata = serde_json::to_value(&*metadata)
        .map_err(|e| Error::internal("could not encode view metadata").with_source(e))?;
    Ok(Json(
        json!({"metadata-location": location, "metadata": metadata, "config": {}}),
    ))
}

/// Refuses what would be written and could not be read again.
fn check_form(metadata: &ViewMetadata) -> Result<()> {
    let json = serde_json::to_vec(metadata)
        .map_err(|e| Error::internal("could not encode view metadata").with_source(e))?;
    match serde_json::from_slice::<ViewMetadata>(&json) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::invalid(format!(
            "the view's metadata would be unreadable: {e}"
        ))),
    }
}

/// Writes `metadata` and makes it what `key` points to.
async fn put(
    lake: &Lake,
    key: &Key,
    metadata: ViewMetadata,
    previous: Option<&str>,
) -> Result<ChangeSet> {
    check_form(&metadata)?;
    let content = Content::View {
        uuid: metadata.uuid(),
        metadata_location: lake.write_view(&metadata, previous).await?,
    };
    Ok(ChangeSet {
        operations: vec![Operation::Put {
            key: key.clone(),
            content,
        }],
        ..ChangeSet::default()
    })
}
