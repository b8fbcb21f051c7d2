//! Errors between DataFusion and the lakehouse: one kind and one clear text either way.
use arrow::error::ArrowError;
use catalog::{Error, ErrorKind};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use parquet::errors::ParquetError;

/// What a [`DataFusionError`] means to the user: kind, text, and what to do about it.
///
/// Errors that came from the catalog or the lake keep their kind and hint.
pub fn stream_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    match root {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(own) => own.clone(),
            None => Error::internal(root.strip_backtrace()).with_source(error),
        },
        DataFusionError::ResourcesExhausted(text) => exhausted(text),
        DataFusionError::ObjectStore(inner) => store_error(inner),
        DataFusionError::ParquetError(inner) => {
            if let ParquetError::External(cause) = inner.as_ref()
                && let Some(store) = cause.downcast_ref::<object_store::Error>()
            {
                return store_error(store);
            }
            let text = format!("cannot read a data file: {inner}");
            Error::corrupt(text).with_source(error)
        }
        DataFusionError::ArrowError(inner, _) => arrow_error(inner),
        DataFusionError::SQL(inner, _) => Error::invalid(parser_text(inner)),
        _ => Error::new(kind_of(root), text_of(root)),
    }
}

/// Carries one of our errors through DataFusion; [`stream_error`] gives it back.
pub(crate) fn into_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn kind_of(root: &DataFusionError) -> ErrorKind {
    match root {
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_) => ErrorKind::InvalidInput,
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

/// DataFusion's text without its own kind in front ("Error during planning: ...").
fn text_of(root: &DataFusionError) -> String {
    match root {
        DataFusionError::Plan(text) => readable(&strip(text)),
        DataFusionError::Execution(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::NotImplemented(text) => strip(text),
        DataFusionError::SchemaError(inner, _) => strip(&inner.to_string()),
        other => other.strip_backtrace(),
    }
}

/// For a call with the wrong types DataFusion lists every signature it tried, and asks to
/// report a bug; what helps is the sentence in between.
fn readable(text: &str) -> String {
    let start = text.find("No function matches").unwrap_or(0);
    let text = &text[start..];
    let end = text.find("\n\tCandidate functions").unwrap_or(text.len());
    text[..end].replace('\n', " ")
}

fn strip(text: &str) -> String {
    let end = text.find(DataFusionError::BACK_TRACE_SEP);
    text[..end.unwrap_or(text.len())].to_owned()
}

fn parser_text(error: &ParserError) -> String {
    match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            format!("SQL syntax: {text}")
        }
        ParserError::RecursionLimitExceeded => "SQL is nested too deeply".to_owned(),
    }
}

fn arrow_error(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => {
            if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
                // Only a reference is left, so the text is what survives.
                return Error::new(kind_of(inner.find_root()), text_of(inner.find_root()));
            }
            Error::internal(error.to_string())
        }
        ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_) => Error::invalid(error.to_string()),
        ArrowError::NotYetImplemented(_) => Error::unsupported(error.to_string()),
        _ => Error::internal(error.to_string()),
    }
}

fn exhausted(text: &str) -> Error {
    Error::resource_exhausted(format!(
        "the query needs more memory than it may use: {}",
        strip(text)
    ))
    .with_hint("select fewer rows or columns, or raise the query memory limit")
}

/// A data file is named by a committed manifest, so its absence is damage, not a bad request.
fn store_error(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { path, .. } => {
            Error::corrupt(format!("data file {path} is missing from the store"))
        }
        other => Error::unavailable(format!("cannot read from the object store: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_errors_survive_the_way_through_datafusion() {
        let own =
            Error::not_found("no table pumps.telemtry").with_hint("did you mean pumps.telemetry?");
        let wrapped = into_datafusion(own).context("while planning");
        let back = stream_error(wrapped);
        assert_eq!(back.kind(), ErrorKind::NotFound);
        assert_eq!(back.message(), "no table pumps.telemtry");
        assert_eq!(back.hint(), Some("did you mean pumps.telemetry?"));
    }

    #[test]
    fn memory_limit_is_resource_exhausted() {
        let error = stream_error(DataFusionError::ResourcesExhausted("no".to_owned()));
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.hint().is_some());
    }

    #[test]
    fn missing_data_file_is_corrupt() {
        let inner = object_store::Error::NotFound {
            path: "a/b.parquet".to_owned(),
            source: "gone".into(),
        };
        let error = stream_error(DataFusionError::ObjectStore(Box::new(inner)));
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains("a/b.parquet"));
    }
}
