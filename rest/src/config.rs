//! `GET /v1/config`: from a warehouse to its prefix, and what this server can do.

use axum::Json;
use axum::extract::State;
use catalog::MAIN;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Api, prefix, reference};
use crate::error::Failure;
use crate::extract::Asked;

#[derive(Debug, Deserialize)]
pub(crate) struct Warehouse {
    warehouse: Option<String>,
}

/// The routes below, as the specification writes them.
const ENDPOINTS: &[&str] = &[
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
    "POST /v1/{prefix}/namespaces/{namespace}/register",
    "POST /v1/{prefix}/tables/rename",
    "POST /v1/{prefix}/transactions/commit",
    "GET /v1/{prefix}/namespaces/{namespace}/views",
    "POST /v1/{prefix}/namespaces/{namespace}/views",
    "GET /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "POST /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "POST /v1/{prefix}/views/rename",
];

/// The prefix of the warehouse asked for, `main` without one.
pub(crate) async fn get(
    State(api): State<Api>,
    Asked(asked): Asked<Warehouse>,
) -> Result<Json<Value>, Failure> {
    let warehouse = asked.warehouse.filter(|name| !name.is_empty());
    let name = reference(warehouse.as_deref().unwrap_or(MAIN));
    api.snapshot(&name).await?;
    Ok(Json(json!({
        "defaults": api.defaults(),
        "overrides": {"prefix": prefix(&name)},
        "endpoints": ENDPOINTS,
    })))
}
