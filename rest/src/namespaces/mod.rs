//! Namespaces: what tables and views are in, made by name or by the first of them.

mod change;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use catalog::{Content, Key, Result, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{Asked, At, Body, InNamespace, InRef};
use crate::names;
use crate::page::Pages;
use change::{Create, Drop, Update, Updates};

/// The routes of namespaces.
pub(crate) fn routes() -> Router<Api> {
    const NAMESPACE: &str = "/v1/{prefix}/namespaces/{namespace}";
    Router::new()
        .route("/v1/{prefix}/namespaces", get(list).post(create))
        .route(NAMESPACE, get(load).head(head).delete(drop))
        .route(&format!("{NAMESPACE}/properties"), post(update))
}

#[derive(Debug, Deserialize)]
struct Parent {
    parent: Option<String>,
}

async fn list(
    State(api): State<Api>,
    At(within): At<InRef>,
    Asked(pages): Asked<Pages>,
    Asked(Parent { parent }): Asked<Parent>,
) -> Result<Json<Value>, Failure> {
    let snapshot = api.snapshot(&within.prefix).await?;
    let namespaces = match parent.filter(|name| !name.is_empty()) {
        None => snapshot.namespaces()?,
        // There is one level only.
        Some(parent) => check_exists(&snapshot, &parent).map(|()| Vec::new())?,
    };
    let page = pages.cut(namespaces, |name| name)?;
    let names: Vec<_> = page.items.iter().map(|name| [name]).collect();
    Ok(Json(
        json!({"namespaces": names, "next-page-token": page.next}),
    ))
}

#[derive(Debug, Deserialize)]
struct Creation {
    namespace: Vec<String>,
    properties: Option<BTreeMap<String, String>>,
}

async fn create(
    State(api): State<Api>,
    At(within): At<InRef>,
    Body(creation): Body<Creation>,
) -> Result<Json<Value>, Failure> {
    let key = Key::of_namespace(names::one_level(&creation.namespace)?)?;
    let properties = creation.properties.unwrap_or_default();
    let body = json!({"namespace": creation.namespace, "properties": properties});
    let message = format!("create namespace {key}");
    let change = Create { key, properties };
    api.commit(&within.prefix, message, change).await?;
    Ok(Json(body))
}

async fn load(State(api): State<Api>, At(within): At<InNamespace>) -> Result<Json<Value>, Failure> {
    let snapshot = api.snapshot(&within.prefix).await?;
    let properties = properties(&snapshot, &within.namespace)?;
    Ok(Json(
        json!({"namespace": [within.namespace], "properties": properties}),
    ))
}

async fn head(State(api): State<Api>, At(within): At<InNamespace>) -> Result<StatusCode, Failure> {
    let snapshot = api.snapshot(&within.prefix).await?;
    check_exists(&snapshot, &within.namespace)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn drop(State(api): State<Api>, At(within): At<InNamespace>) -> Result<StatusCode, Failure> {
    let name = within.namespace;
    let message = format!("drop namespace {}", names::shown(&name));
    api.commit(&within.prefix, message, Drop(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn update(
    State(api): State<Api>,
    At(within): At<InNamespace>,
    Body(updates): Body<Updates>,
) -> Result<Json<Value>, Failure> {
    let name = within.namespace;
    let before = api.head(&within.prefix).await?;
    let before = properties(&before, &name)?;
    let answer = updates.answer(&before)?;
    let message = format!("change properties: namespace {name}");
    let change = Update { name, updates };
    api.commit(&within.prefix, message, change).await?;
    Ok(Json(answer))
}

/// The properties of a namespace; an error of the specification when there is none.
fn properties(snapshot: &Snapshot, namespace: &str) -> Result<BTreeMap<String, String>> {
    if let Ok(key) = Key::of_namespace(namespace)
        && let Some(Content::Namespace { properties }) = snapshot.get(&key)?
    {
        return Ok(properties);
    }
    check_exists(snapshot, namespace).map(|()| BTreeMap::new())
}

/// The keys in a namespace whose contents `wanted` picks; an error when there is no such
/// namespace.
pub(crate) fn keys(
    snapshot: &Snapshot,
    namespace: &str,
    wanted: fn(&Content) -> bool,
) -> Result<Vec<Key>> {
    check_exists(snapshot, namespace)?;
    let mut entries = snapshot.entries_in(namespace)?;
    entries.retain(|(_, content)| wanted(content));
    Ok(entries.into_iter().map(|(key, _)| key).collect())
}

/// Refuses a namespace that is not there.
pub(crate) fn check_exists(snapshot: &Snapshot, namespace: &str) -> Result<()> {
    if let Ok(key) = Key::of_namespace(namespace)
        && (snapshot.contains(&key)? || !snapshot.entries_in(namespace)?.is_empty())
    {
        return Ok(());
    }
    Err(error::no_such_namespace(&names::shown(namespace)))
}

/// Refuses a key that something is under.
pub(crate) fn check_free(snapshot: &Snapshot, key: &Key) -> Result<()> {
    match snapshot.get(key)? {
        None => Ok(()),
        Some(content) => Err(error::already_exists(&format!(
            "{key} already exists as {}",
            content.type_name()
        ))),
    }
}
