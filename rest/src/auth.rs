//! The bearer token of clients, and the OAuth2 endpoint that hands it out.

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::api::Api;
use crate::error::Failure;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Lets a request through when no token is asked or it carries the right one.
pub(crate) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let right = api
        .check_token()
        .is_none_or(|check| bearer(request.headers()).is_some_and(|token| check(token)));
    if right {
        return next.run(request).await;
    }
    let message = "the request carries no valid token: send the header \
                   `Authorization: Bearer TOKEN`, or give the client the token as its credential";
    Failure::new(401, "NotAuthorizedException", message).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    authorization(headers, "bearer")
}

/// What follows `scheme` in the header that says who asks.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// The secret of a client that gives it in the header, as RFC 6749 (section 2.3.1) prefers.
fn basic(headers: &HeaderMap) -> Option<String> {
    let decoded = BASE64_STANDARD.decode(authorization(headers, "basic")?);
    let pair = String::from_utf8(decoded.ok()?).ok()?;
    pair.split_once(':').map(|(_, secret)| secret.to_owned())
}

/// The form a client sends (RFC 6749, section 4.4, and RFC 8693).
#[derive(Deserialize)]
struct Grant {
    grant_type: String,
    client_secret: Option<String>,
    subject_token: Option<String>,
}

/// `POST /v1/oauth/tokens`: the server's token for whoever knows it. The id of the
/// client and the scope may be anything.
pub(crate) async fn token(State(api): State<Api>, headers: HeaderMap, form: String) -> Response {
    let Some(check) = api.check_token() else {
        let message = "no token is asked here: leave the credential out";
        return refused(400, "invalid_request", message);
    };
    // A form is written as a query is.
    let query = format!("/?{form}").parse::<Uri>().ok();
    let grant = query.and_then(|uri| Query::<Grant>::try_from_uri(&uri).ok());
    let Some(Query(grant)) = grant else {
        let message = "the body must be a form with grant_type and client_secret";
        return refused(400, "invalid_request", message);
    };
    let secret = match grant.grant_type.as_str() {
        "client_credentials" => grant.client_secret.or_else(|| basic(&headers)),
        EXCHANGE => grant.subject_token,
        _ => {
            let message = "the grant type must be client_credentials";
            return refused(400, "unsupported_grant_type", message);
        }
    };
    match secret.filter(|secret| check(secret)) {
        Some(token) => Json(json!({
            "access_token": token,
            "token_type": "bearer",
            "issued_token_type": ACCESS_TOKEN,
        }))
        .into_response(),
        None => refused(
            401,
            "invalid_client",
            "the client secret is not the server's token",
        ),
    }
}

fn refused(status: u16, error: &str, description: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("statuses here are literals");
    let body = json!({"error": error, "error_description": description});
    (status, Json(body)).into_response()
}
