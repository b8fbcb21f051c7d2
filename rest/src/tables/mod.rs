//! Tables: listing, loading, creating, committing, renaming, dropping, registering.

mod check;
mod commit;
mod create;
mod fresh;
pub(crate) mod keys;
mod load;
mod properties;
mod register;
mod requirement;
mod schema;
mod snapshots;
mod transaction;
mod update;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;
pub(crate) use check::folder;
pub(crate) use schema::check_defaults;
pub(crate) use snapshots::check_time;

/// The routes of tables.
pub(crate) fn routes() -> Router<Api> {
    const TABLE: &str = "/v1/{prefix}/namespaces/{namespace}/tables/{name}";
    Router::new()
        .route(
            "/v1/{prefix}/namespaces/{namespace}/tables",
            get(keys::list).post(create::post),
        )
        .route(
            TABLE,
            get(load::get)
                .head(load::head)
                .post(commit::post)
                .delete(keys::drop),
        )
        .route(&format!("{TABLE}/metrics"), post(load::metrics))
        .route(
            "/v1/{prefix}/namespaces/{namespace}/register",
            post(register::post),
        )
        .route("/v1/{prefix}/tables/rename", post(keys::rename))
        .route("/v1/{prefix}/transactions/commit", post(transaction::post))
}
