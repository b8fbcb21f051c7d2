//! Taking requests apart, with errors as the specification words them.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Failure;

/// `/v1/{prefix}/...`.
#[derive(Debug, Deserialize)]
pub(crate) struct InRef {
    pub(crate) prefix: String,
}

/// `/v1/{prefix}/namespaces/{namespace}/...`.
#[derive(Debug, Deserialize)]
pub(crate) struct InNamespace {
    pub(crate) prefix: String,
    pub(crate) namespace: String,
}

/// `/v1/{prefix}/namespaces/{namespace}/tables/{name}` and the same of views.
#[derive(Debug, Deserialize)]
pub(crate) struct OfKey {
    pub(crate) prefix: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The variables of the path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(value) = path.map_err(|e| Failure::bad_request(e.body_text()))?;
        Ok(Self(value))
    }
}

/// The query of the URL.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = Query::try_from_uri(&parts.uri);
        let Query(value) = query.map_err(|e| Failure::bad_request(e.body_text()))?;
        Ok(Self(value))
    }
}

/// The body as JSON. It must be said to be that: a web page can send anything else to any
/// server without asking it first.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        if !is_json(request.headers()) {
            let message = "the header Content-Type must be application/json";
            return Err(Failure::new(415, "BadRequestException", message));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|e| Failure::new(e.status().as_u16(), "BadRequestException", e.body_text()))?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|e| Failure::bad_request(format!("Malformed request: {e}")))?;
        Ok(Self(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = given.and_then(|given| given.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
