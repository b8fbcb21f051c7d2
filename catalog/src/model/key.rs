//! The name of one thing in the lakehouse: `namespace.name`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const LONGEST_NAME: usize = 255;

/// The key of a table, view or model: a namespace and a name.
///
/// Both are `[A-Za-z_][A-Za-z0-9_$-]*` of at most 255 bytes; text and JSON form is
/// `namespace.name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Key {
    /// The first part, such as `pumps`.
    pub namespace: String,
    /// The second part, such as `telemetry`.
    pub name: String,
}

impl Key {
    /// A key of two checked names; `InvalidInput` says which is wrong.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Result<Self> {
        let key = Self {
            namespace: namespace.into(),
            name: name.into(),
        };
        key.validate()?;
        Ok(key)
    }

    /// Checks both names, for a key that was put together from its fields.
    pub(crate) fn validate(&self) -> Result<()> {
        validate_name("namespace", &self.namespace)?;
        validate_name("name", &self.name)
    }
}

fn validate_name(what: &str, name: &str) -> Result<()> {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '-'));
    if first && rest && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(
        Error::invalid(format!("{what} {name:?} is not allowed")).with_hint(format!(
            "letters, digits, _, $ and -, at most {LONGEST_NAME} of them, the first a letter or _"
        )),
    )
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((namespace, name)) = text.split_once('.') else {
            return Err(Error::invalid(format!("{text:?} is not a key"))
                .with_hint("write namespace.name, for instance pumps.telemetry"));
        };
        Self::new(namespace, name)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_are_namespace_dot_name() {
        let key: Key = "pumps.telemetry_2-$a".parse().unwrap();
        assert_eq!(key.to_string(), "pumps.telemetry_2-$a");
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, "\"pumps.telemetry_2-$a\"");
        assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), key);
    }

    #[test]
    fn bad_names_are_refused() {
        let long = format!("a.{}", "x".repeat(256));
        for text in [
            "", "a", "a.", ".a", "a.b.c", "1a.b", "a.b c", "a.b/c", "ä.b", &long,
        ] {
            let error = text.parse::<Key>().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{text}");
            assert!(error.hint().is_some());
        }
    }
}
