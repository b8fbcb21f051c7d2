//! The HTTP interface: health, metrics, predictions and the Iceberg REST catalog, with
//! errors as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use catalog::{Error, ErrorKind, Result};
use ingest::IngestStats;
use query::Engine;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::reload::Broken;
use super::status::IngestPart;
use super::streams::{self, StreamsPart};
use super::{auth, labels, metrics, origin, predict};
use crate::settings::{Role, Secret};

/// Largest request body: some ten thousand rows to predict.
const BODY_LIMIT: usize = 16 << 20;

const PATHS: &str = "there are GET /health, GET /health/ready, GET /metrics, POST /v1/predict, POST /v1/predict/batch, GET /v1/models, /v1/labels, /v1/streams and Iceberg REST under /iceberg";

/// What the handlers share.
pub(super) struct State {
    pub(super) token: Option<Secret>,
    pub(super) engine: Engine,
    /// Answers requests for predictions.
    pub(super) predict: ml::PredictService,
    /// What has been scored as it arrived, by model.
    pub(super) scored: Vec<predict::Scoring>,
    pub(super) ingest: IngestPart,
    /// What maintenance has done, when this process has that role.
    pub(super) maintained: Option<Arc<super::maintain::Counters>>,
    /// What was found of models, when this process has that role.
    pub(super) watched: Option<Arc<super::monitor::Counters>>,
    pub(super) streams: StreamsPart,
    pub(super) configuration: Broken,
    pub(super) roles: Vec<Role>,
}

/// Serves HTTP on `listener` until `stop`; `catalog` holds the routes of Iceberg REST,
/// which has its own words for errors.
pub(super) async fn serve(
    state: Arc<State>,
    catalog: Option<Router>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<()> {
    axum::serve(listener, router(state, catalog))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(|e| Error::internal("the HTTP server ended").with_source(e))
}

fn router(state: Arc<State>, catalog: Option<Router>) -> Router {
    let mut guarded = Router::new().route("/metrics", get(show_metrics));
    if state.roles.contains(&Role::Ml) {
        guarded = guarded
            .merge(predict::routes())
            .route("/v1/labels", get(labels::list).post(labels::write));
    }
    if state.roles.contains(&Role::Ingest) {
        guarded = guarded.merge(streams::routes());
    }
    let mut all = guarded
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            auth::check,
        ))
        .route("/health", get(health))
        .route("/health/ready", get(ready));
    if let Some(catalog) = catalog {
        all = all.nest_service("/iceberg", catalog);
    }
    all.fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            origin::check,
        ))
        .with_state(state)
}

/// The state of every part; 503 when one has failed, which a restart may mend. What passes by
/// itself, such as a full disk, is `degraded` and still 200: a restart would not help.
async fn health(Shared(state): Shared<Arc<State>>) -> Response {
    let (status, body) = state_of_parts(&state).await;
    let code = match status {
        "failed" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (code, Json(body)).into_response()
}

/// The same; 503 also while messages are not acknowledged or the lake takes no rows.
async fn ready(Shared(state): Shared<Arc<State>>) -> Response {
    let (status, body) = state_of_parts(&state).await;
    let code = match status {
        "ok" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(body)).into_response()
}

async fn state_of_parts(state: &State) -> (&'static str, serde_json::Value) {
    let stats = state.ingest.stats().await;
    let (status, ingest) = match (state.ingest.failure(), &stats) {
        (Some(error), _) => ("failed", json!({"status": "failed", "error": error})),
        (None, Some(stats)) => running(stats),
        (None, None) => {
            let status = off_or(state, Role::Ingest, "stopped");
            ("ok", json!({"status": status}))
        }
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "configuration_error": state.configuration.reason(),
        "parts": {
            "ingest": ingest,
            "query": {"status": off_or(state, Role::Query, "ok")},
            "maintain": {"status": off_or(state, Role::Maintain, "ok")},
            "ml": {"status": off_or(state, Role::Ml, "ok")},
        },
    });
    (status, body)
}

fn running(stats: &IngestStats) -> (&'static str, serde_json::Value) {
    let status = match stats.degraded() {
        Some(_) => "degraded",
        None => "ok",
    };
    let ingest = json!({
        "status": status,
        "reason": stats.degraded(),
        "acknowledging": stats.stalled.is_none(),
        "losses": stats.losses,
        "last_error": stats.last_error,
    });
    (status, ingest)
}

fn off_or(state: &State, role: Role, otherwise: &'static str) -> &'static str {
    if state.roles.contains(&role) {
        otherwise
    } else {
        "off"
    }
}

async fn show_metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let stats = state.ingest.stats().await;
    let mut text = metrics::render(stats.as_ref(), state.ingest.failure().is_some());
    if let Some(counters) = &state.maintained {
        counters.render(&mut text);
    }
    if let Some(counters) = &state.watched {
        counters.render(&mut text);
    }
    predict::render(&state.predict.served(), &mut text);
    predict::render_scored(&state.scored, &mut text);
    text.push_str(&metrics::configuration(
        state.configuration.reason().is_some(),
    ));
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

async fn unknown_path(uri: Uri) -> Failure {
    Error::not_found(format!("nothing is at {}", uri.path()))
        .with_hint(PATHS)
        .into()
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let error = Error::invalid(format!("{} does not take {method}", uri.path()));
    Failure::with_status(StatusCode::METHOD_NOT_ALLOWED, error.with_hint(PATHS))
}

/// An error as an HTTP answer: `{code, message, hint}`.
pub(super) struct Failure {
    status: StatusCode,
    error: Error,
}

impl Failure {
    /// The error under a status that its kind alone does not tell.
    pub(super) fn with_status(status: StatusCode, error: Error) -> Self {
        Self { status, error }
    }

    /// `{code, message, hint}`.
    pub(super) fn body(&self) -> serde_json::Value {
        words(&self.error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            status: status_of(error.kind()),
            error,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, error } = self;
        if !error.is_user_error() {
            tracing::error!(error = %crate::failure::describe(&error), "a request failed");
        }
        let body = words(&error);
        (status, Json(body)).into_response()
    }
}

fn words(error: &Error) -> serde_json::Value {
    json!({"code": error.code(), "message": error.message(), "hint": error.hint()})
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
