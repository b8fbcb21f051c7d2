//! Turning errors of Iceberg, Arrow and Parquet into the lake's own.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use catalog::{Error, ErrorKind};
use object_store::path::Path;
use parquet::errors::ParquetError;

/// An adapter for `map_err` that says what was being done.
///
/// An error that came out of our own storage adapter keeps its kind, so that an
/// unreachable object store stays retryable. A missing file is `Corrupt`: Iceberg reads
/// only what the catalog or another metadata file names.
pub(crate) fn iceberg(doing: impl Into<String>) -> impl FnOnce(iceberg::Error) -> Error {
    let doing = doing.into();
    move |error| {
        if let Some(cause) = storage_cause(&error) {
            return from_storage(&doing, cause).with_source(error);
        }
        let kind = match error.kind() {
            iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
            iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("{doing}: {}", error.message())).with_source(error)
    }
}

fn from_storage(doing: &str, cause: &Error) -> Error {
    match cause.kind() {
        ErrorKind::NotFound => Error::corrupt(format!("{doing}: {}", cause.message()))
            .with_hint("a file the table needs is missing; restore it from a copy of the store"),
        kind => Error::new(kind, format!("{doing}: {cause}")),
    }
}

fn storage_cause(error: &iceberg::Error) -> Option<&Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<Error>() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

/// An adapter for `map_err`: rows that Arrow refuses are the caller's.
pub(crate) fn arrow(doing: impl Into<String>) -> impl FnOnce(ArrowError) -> Error {
    let doing = doing.into();
    move |error| Error::invalid(format!("{doing}: {error}")).with_source(error)
}

/// An adapter for `map_err`: encoding checked rows fails only through a fault of ours.
pub(crate) fn parquet(doing: impl Into<String>) -> impl FnOnce(ParquetError) -> Error {
    let doing = doing.into();
    move |error| Error::internal(format!("{doing}: {error}")).with_source(error)
}

/// An adapter for `map_err` of reading the file at `path`, which the table's metadata names:
/// a store that cannot be reached stays retryable, all else says that the file is damaged.
pub(crate) fn reading(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    streamed(format!("could not read {path}"), Error::corrupt)
}

/// An adapter for `map_err` of writing a file as a stream: what the store said stays
/// retryable, all else is a fault of ours.
pub(crate) fn writing(location: &str) -> impl FnOnce(ParquetError) -> Error {
    streamed(format!("could not write {location}"), Error::internal)
}

fn streamed(doing: String, otherwise: fn(String) -> Error) -> impl FnOnce(ParquetError) -> Error {
    move |error| {
        let error = match error {
            ParquetError::External(cause) => match cause.downcast::<object_store::Error>() {
                Ok(cause) => return from_storage(&doing, &Error::from(*cause)),
                Err(cause) => ParquetError::External(cause),
            },
            error => error,
        };
        otherwise(format!("{doing}: {error}")).with_source(error)
    }
}
