//! Errors as the specification words them: `{"error": {message, type, code}}`.

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::{Error, ErrorKind, Key};
use serde_json::json;

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u16,
    kind: &'static str,
    message: String,
}

/// The specification's name of an error, as the source of a [`catalog::Error`]: it
/// survives the way through a catalog commit.
#[derive(Debug)]
struct Named {
    status: u16,
    kind: &'static str,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

impl std::error::Error for Named {}

impl Failure {
    /// An error of the specification's type `kind`, answered with `status`.
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequestException", message)
    }

    /// The error of a commit. Where it may or may not have happened, the client is told
    /// so, lest it deletes files that the table now needs.
    pub(crate) fn of_commit(error: Error) -> Self {
        let failure = Self::from(error);
        match failure.status {
            500..=599 => Self::new(500, "CommitStateUnknownException", failure.message),
            _ => failure,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let refused = refused_by_store(&error);
        let (status, kind) = match source::<Named>(&error) {
            Some(named) => (named.status, named.kind),
            None if refused => by_kind(ErrorKind::Unavailable),
            None => by_kind(error.kind()),
        };
        if refused || !error.is_user_error() {
            tracing::error!(%error, "a catalog request failed");
        }
        Self::new(status, kind, error.to_string())
    }
}

/// Whether it is the lake's own keys that the store refuses: nothing the client can mend.
fn refused_by_store(error: &Error) -> bool {
    use object_store::Error as Store;
    matches!(
        source(error),
        Some(Store::PermissionDenied { .. } | Store::Unauthenticated { .. })
    )
}

fn by_kind(kind: ErrorKind) -> (u16, &'static str) {
    match kind {
        ErrorKind::InvalidInput => (400, "BadRequestException"),
        ErrorKind::NotFound => (404, "NotFoundException"),
        ErrorKind::AlreadyExists => (409, "AlreadyExistsException"),
        ErrorKind::Conflict => (409, "CommitFailedException"),
        ErrorKind::PermissionDenied => (403, "ForbiddenException"),
        ErrorKind::Unsupported => (406, "UnsupportedOperationException"),
        // The client's own token is checked before: here it is the store that refuses ours.
        ErrorKind::Unauthenticated | ErrorKind::ResourceExhausted | ErrorKind::Unavailable => {
            (503, "ServiceUnavailableException")
        }
        _ => (500, "InternalServerError"),
    }
}

fn source<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("statuses here are literals");
        let error = json!({"message": self.message, "type": self.kind, "code": self.status});
        let mut response = (status, Json(json!({"error": error}))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn named(error: Error, status: u16, kind: &'static str) -> Error {
    error.with_source(Named { status, kind })
}

/// There is no ref of that name.
pub(crate) fn no_such_warehouse(error: &Error) -> Error {
    let message = format!("Warehouse does not exist: {error}");
    named(Error::not_found(message), 404, "NoSuchWarehouseException")
}

/// The ref is a tag or a past commit.
pub(crate) fn read_only(name: &str) -> Error {
    let error = Error::permission_denied(format!(
        "{name} is a tag or a past commit, which cannot be written"
    ));
    let error = error.with_hint("name a branch as the warehouse");
    named(error, 403, "ForbiddenException")
}

pub(crate) fn no_such_namespace(name: &str) -> Error {
    let error = Error::not_found(format!("Namespace does not exist: {name}"));
    named(error, 404, "NoSuchNamespaceException")
}

pub(crate) fn no_such_table(name: &str) -> Error {
    let error = Error::not_found(format!("Table does not exist: {name}"));
    named(error, 404, "NoSuchTableException")
}

pub(crate) fn no_such_view(name: &str) -> Error {
    let error = Error::not_found(format!("View does not exist: {name}"));
    named(error, 404, "NoSuchViewException")
}

/// What was to be created is there.
pub(crate) fn already_exists(message: &str) -> Error {
    named(
        Error::already_exists(message),
        409,
        "AlreadyExistsException",
    )
}

/// The namespace holds `key` and perhaps more.
pub(crate) fn not_empty(namespace: &str, key: &Key) -> Error {
    let message = format!("Namespace {namespace} is not empty: it holds {key}");
    named(Error::conflict(message), 409, "NamespaceNotEmptyException")
}

/// A request that contradicts itself.
pub(crate) fn unprocessable(message: String) -> Error {
    named(Error::invalid(message), 422, "UnprocessableEntityException")
}

/// The table is not as the request takes it to be; the client may read it and try again.
pub(crate) fn commit_failed(message: impl Into<String>) -> Error {
    named(Error::conflict(message), 409, "CommitFailedException")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_lake_that_the_store_refuses_are_not_the_clients_fault() {
        let refused = |path: &str| object_store::Error::PermissionDenied {
            path: path.to_owned(),
            source: "no".into(),
        };
        let error = Error::from(refused("a/b")).context("could not read the table metadata");
        assert_eq!(Failure::from(error).status, 503);
        let protected = Error::permission_denied("main is protected");
        assert_eq!(Failure::from(protected).status, 403);
    }

    #[test]
    fn the_name_of_an_error_survives_the_catalog() {
        let failure = Failure::from(no_such_table("a.b").context("while committing"));
        assert_eq!(
            (failure.status, failure.kind),
            (404, "NoSuchTableException")
        );
        assert!(failure.message.contains("a.b"));
    }

    #[test]
    fn a_commit_that_may_have_happened_says_so() {
        for error in [Error::unavailable("x"), Error::internal("x")] {
            let failure = Failure::of_commit(error);
            assert_eq!(
                (failure.status, failure.kind),
                (500, "CommitStateUnknownException")
            );
        }
        assert_eq!(Failure::of_commit(commit_failed("x")).status, 409);
        assert_eq!(Failure::from(Error::unavailable("x")).status, 503);
    }
}
