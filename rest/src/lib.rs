//! The Iceberg REST catalog: every branch, tag and past commit is a warehouse.
//!
//! [`router`] answers the Iceberg REST specification (`/v1/config`, namespaces, tables,
//! views, transactions) on top of a [`lake::Lake`]. A client names a ref of the catalog as
//! its warehouse and gets it back as the prefix of its paths, with `/` written as `=`.
//! Every change is one commit of that branch; tags and past commits are read-only.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod auth;
mod config;
mod error;
mod extract;
mod names;
mod namespaces;
mod page;
mod tables;
mod views;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Router, http::Uri};
use lake::Lake;

use api::Api;
use error::Failure;

/// Whether a bearer token, or the secret of a client, is the right one.
pub type TokenCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How the catalog serves its clients.
#[derive(Clone, Default)]
pub struct RestConfig {
    /// Name written on commits.
    pub author: String,
    /// Tells a right token from a wrong one; without it nobody is asked.
    pub check_token: Option<TokenCheck>,
    /// How clients reach the files unless they know better, in Iceberg's names:
    /// `s3.endpoint` and the like.
    pub defaults: BTreeMap<String, String>,
    /// The keys that clients are given with each table, and what goes with them, in
    /// Iceberg's names. They go before a client's own settings; never logged.
    pub credentials: BTreeMap<String, String>,
}

impl fmt::Debug for RestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestConfig")
            .field("author", &self.author)
            .field("check_token", &self.check_token.is_some())
            .field("defaults", &self.defaults)
            .field("credentials", &self.credentials.keys())
            .finish()
    }
}

/// The catalog's routes, from `/v1/config` on.
pub fn router(lake: Lake, config: RestConfig) -> Router {
    let api = Api::new(lake, config);
    Router::new()
        .route("/v1/config", get(config::get))
        .merge(namespaces::routes())
        .merge(tables::routes())
        .merge(views::routes())
        .route_layer(from_fn_with_state(api.clone(), auth::check))
        // Asked by those who have no token yet.
        .route("/v1/oauth/tokens", post(auth::token))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

async fn unknown_path(uri: Uri) -> Failure {
    Failure::new(404, "NotFoundException", format!("nothing is at {uri}"))
}

async fn wrong_method(uri: Uri) -> Failure {
    let message = format!("{uri} does not take this method");
    Failure::new(405, "UnsupportedOperationException", message)
}
