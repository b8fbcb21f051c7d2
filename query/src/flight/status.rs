//! Errors over gRPC: every kind has its own status code, both ways.
use arrow_flight::error::FlightError;
use catalog::{Error, ErrorKind};
use tonic::{Code, Status};

/// `error` as a gRPC status; faults that are ours are logged here, where they leave the process.
pub(crate) fn to_status(error: &Error) -> Status {
    if !error.is_user_error() {
        tracing::error!(%error, "request failed");
    }
    Status::new(code(error.kind()), error.to_string())
}

/// The error that a server's status stands for.
pub(crate) fn from_status(status: &Status) -> Error {
    Error::new(kind(status.code()), status.message())
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
    fn the_hint_is_in_the_message() {
        let status = to_status(&Error::not_found("no branch \"x\"").with_hint("branches: main"));
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("branches: main"));
    }
}
