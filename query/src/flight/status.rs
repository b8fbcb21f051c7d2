//! Errors over gRPC: every kind has its own status code, both ways.
use std::error::Error as _;

use arrow_flight::error::FlightError;
use catalog::{Error, ErrorKind};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Where the hint stands beside the message, for clients that show it on a line of its own.
const HINT: &str = "pumphouse-hint-bin";

/// `error` as a gRPC status; faults that are ours are logged here, where they leave the process.
pub(crate) fn to_status(error: &Error) -> Status {
    if !error.is_user_error() {
        tracing::error!(%error, "request failed");
    }
    let mut status = Status::new(code(error.kind()), error.to_string());
    if let Some(hint) = error.hint() {
        let value = MetadataValue::from_bytes(hint.as_bytes());
        status.metadata_mut().insert_bin(HINT, value);
    }
    status
}

/// The error that a server's status stands for.
pub(crate) fn from_status(status: &Status) -> Error {
    let kind = match kind(status.code()) {
        // Only a status made on this side has a source: the connection broke.
        ErrorKind::Internal if status.source().is_some() => ErrorKind::Unavailable,
        kind => kind,
    };
    let hint = status.metadata().get_bin(HINT);
    let hint = hint.and_then(|value| value.to_bytes().ok());
    let hint = hint.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    match hint {
        Some(hint) => {
            let whole = status.message();
            let message = whole.strip_suffix(&format!(" ({hint})")).unwrap_or(whole);
            Error::new(kind, message).with_hint(hint)
        }
        None => Error::new(kind, status.message()),
    }
}

/// The error behind a Flight client call.
pub(crate) fn from_flight(error: &FlightError) -> Error {
    match error {
        FlightError::Tonic(status) => from_status(status),
        other => Error::unavailable(format!("the Flight stream broke: {other}")),
    }
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Corrupt => Code::DataLoss,
        // The kinds may grow; one without a code of its own is ours to mend.
        _ => Code::Internal,
    }
}

fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            ErrorKind::InvalidInput
        }
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Aborted => ErrorKind::Conflict,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => ErrorKind::Unavailable,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for original in [
            ErrorKind::InvalidInput,
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::Conflict,
            ErrorKind::Unauthenticated,
            ErrorKind::PermissionDenied,
            ErrorKind::ResourceExhausted,
            ErrorKind::Unavailable,
            ErrorKind::Unsupported,
            ErrorKind::Corrupt,
            ErrorKind::Internal,
        ] {
            assert_eq!(kind(code(original)), original);
        }
    }

    #[test]
    fn the_hint_is_in_the_message_and_apart_from_it() {
        let status = to_status(&Error::not_found("no branch \"x\"").with_hint("branches: main"));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no branch \"x\" (branches: main)");
        let error = from_status(&status);
        assert_eq!(error.message(), "no branch \"x\"");
        assert_eq!(error.hint(), Some("branches: main"));
    }

    #[test]
    fn a_broken_connection_is_not_our_fault() {
        let broken = std::io::Error::other("h2 protocol error");
        let error = from_status(&Status::from_error(Box::new(broken)));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(
            from_status(&Status::internal("bug")).kind(),
            ErrorKind::Internal
        );
    }
}
