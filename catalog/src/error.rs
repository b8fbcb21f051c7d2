//! The one error shape of all crates: a kind, what was wrong, a hint, and the cause.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use object_store::client::{HttpError, HttpErrorKind};

/// A result whose error is [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What family an error belongs to; callers decide by it whether to retry or whom to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: a name, a setting, a statement.
    InvalidInput,
    /// What was named does not exist.
    NotFound,
    /// What was to be created exists.
    AlreadyExists,
    /// Somebody else changed the same thing first.
    Conflict,
    /// No credentials, or credentials nobody knows.
    Unauthenticated,
    /// The credentials are refused for this.
    PermissionDenied,
    /// A limit on memory, disk or size was reached.
    ResourceExhausted,
    /// Something is unreachable or busy now; trying again may help.
    Unavailable,
    /// Not something this program does.
    Unsupported,
    /// Stored data is not what was written.
    Corrupt,
    /// A fault of this program.
    Internal,
}

impl ErrorKind {
    /// The stable code of this kind, such as `not-found`.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid-input",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Conflict => "conflict",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission-denied",
            Self::ResourceExhausted => "resource-exhausted",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

/// An error: what was wrong, where, and (as the hint) what to do about it.
///
/// `Display` gives the message and the hint in parentheses; the cause is reached by `source()`.
/// Cloning is cheap, so one failure can be handed to every caller of a group.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` saying `message` (lower case, no full stop).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// The same error telling the user what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error carrying its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same error with `context` before its message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The family of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code of the error's family, such as `not-found`.
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// What was wrong and where, without the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same call may succeed later without anything being mended.
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }

    /// Whether the user or the surroundings can mend it: everything but corrupt data and our
    /// own faults.
    pub fn is_user_error(&self) -> bool {
        !matches!(self.0.kind, ErrorKind::Corrupt | ErrorKind::Internal)
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// An [`ErrorKind::InvalidInput`] error.
    invalid => InvalidInput,
    /// An [`ErrorKind::NotFound`] error.
    not_found => NotFound,
    /// An [`ErrorKind::AlreadyExists`] error.
    already_exists => AlreadyExists,
    /// An [`ErrorKind::Conflict`] error.
    conflict => Conflict,
    /// An [`ErrorKind::Unauthenticated`] error.
    unauthenticated => Unauthenticated,
    /// An [`ErrorKind::PermissionDenied`] error.
    permission_denied => PermissionDenied,
    /// An [`ErrorKind::ResourceExhausted`] error.
    resource_exhausted => ResourceExhausted,
    /// An [`ErrorKind::Unavailable`] error.
    unavailable => Unavailable,
    /// An [`ErrorKind::Unsupported`] error.
    unsupported => Unsupported,
    /// An [`ErrorKind::Corrupt`] error.
    corrupt => Corrupt,
    /// An [`ErrorKind::Internal`] error.
    internal => Internal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as Store;
        let (kind, message) = match &error {
            Store::NotFound { path, .. } => (
                ErrorKind::NotFound,
                format!("no object {path} in the store"),
            ),
            Store::AlreadyExists { path, .. } => {
                (ErrorKind::AlreadyExists, format!("object {path} exists"))
            }
            Store::Precondition { path, .. } | Store::NotModified { path, .. } => {
                (ErrorKind::Conflict, format!("object {path} was changed"))
            }
            Store::PermissionDenied { path, .. } => (
                ErrorKind::PermissionDenied,
                format!("the object store refused access to {path}"),
            ),
            Store::Unauthenticated { path, .. } => (
                ErrorKind::Unauthenticated,
                format!("the object store does not accept the credentials for {path}"),
            ),
            Store::NotImplemented { .. } | Store::NotSupported { .. } => {
                (ErrorKind::Unsupported, error.to_string())
            }
            Store::InvalidPath { .. } | Store::UnknownConfigurationKey { .. } => {
                (ErrorKind::InvalidInput, error.to_string())
            }
            Store::Generic { .. } => generic(&error),
            _ => (ErrorKind::Internal, error.to_string()),
        };
        Self::new(kind, message).with_source(error)
    }
}

/// The store reports list failures, transport failures and server errors as one variant: the
/// difference is in the chain below it.
fn generic(error: &object_store::Error) -> (ErrorKind, String) {
    if let Some(http) = find::<HttpError>(error) {
        let kind = match http.kind() {
            HttpErrorKind::Decode => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        };
        return (
            kind,
            format!("the object store cannot be reached: {}", innermost(http)),
        );
    }
    if let Some(io) = find::<std::io::Error>(error) {
        let kind = match io.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => ErrorKind::ResourceExhausted,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::PermissionDenied
            }
            _ => ErrorKind::Unavailable,
        };
        return (kind, error.to_string());
    }
    let text = error.to_string();
    let kind = match status(&text) {
        Some(401) => ErrorKind::Unauthenticated,
        Some(403) => ErrorKind::PermissionDenied,
        Some(404) => ErrorKind::NotFound,
        Some(400) => ErrorKind::InvalidInput,
        Some(408 | 429 | 500..) => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    (kind, text)
}

/// The HTTP status named in the text of the store's error; its type is private there.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The first error of type `T` in the chain below `error`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The text of the last cause in the chain, which is the one a person can act on.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_message_and_hint_and_the_cause_is_the_source() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::unavailable("cannot write the log")
            .with_hint("look at the disk")
            .with_source(cause)
            .context("pumps.telemetry");
        assert_eq!(
            error.to_string(),
            "pumps.telemetry: cannot write the log (look at the disk)"
        );
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
        assert!(error.is_retryable() && error.is_user_error());
        assert_eq!(error.code(), "unavailable");
    }

    #[test]
    fn only_corruption_and_our_own_faults_are_not_the_users() {
        assert!(!Error::corrupt("x").is_user_error());
        assert!(!Error::internal("x").is_user_error());
        assert!(Error::invalid("x").is_user_error());
    }

    #[test]
    fn a_full_disk_is_resource_exhausted() {
        let io = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Error::from(object_store::Error::Generic {
            store: "local",
            source: Box::new(io),
        });
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    }

    #[test]
    fn the_status_of_a_refused_listing_is_found_in_its_text() {
        let text = "Server returned non-2xx status code: 403 Forbidden: <Error/>";
        let error = Error::from(object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        });
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
}
