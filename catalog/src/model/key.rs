//! The name of one thing in the lakehouse: `namespace.name`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const LONGEST_NAME: usize = 255;

/// The key of a table, view or model: a namespace and a name. A key without a name is that of
/// the namespace itself, where its properties are.
///
/// Both are `[A-Za-z_][A-Za-z0-9_$-]*` of at most 255 bytes; text and JSON form is
/// `namespace.name`, of a namespace `namespace`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Key {
    /// The first part, such as `pumps`.
    pub namespace: String,
    /// The second part, such as `telemetry`; empty in the key of a namespace.
    pub name: String,
}

impl Key {
    /// A key of two checked names; `InvalidInput` says which is wrong.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Result<Self> {
        let key = Self {
            namespace: namespace.into(),
            name: name.into(),
        };
        validate_name("namespace", &key.namespace)?;
        validate_name("name", &key.name)?;
        Ok(key)
    }

    /// The key under which the namespace's own properties are; `InvalidInput` for a bad name.
    pub fn of_namespace(namespace: impl Into<String>) -> Result<Self> {
        let namespace = namespace.into();
        validate_name("namespace", &namespace)?;
        Ok(Self {
            namespace,
            name: String::new(),
        })
    }

    /// Whether this is the key of a namespace, not of something in it.
    pub fn is_namespace(&self) -> bool {
        self.name.is_empty()
    }

    /// Checks the names, for a key that was put together from its fields.
    pub(crate) fn validate(&self) -> Result<()> {
        validate_name("namespace", &self.namespace)?;
        match self.is_namespace() {
            true => Ok(()),
            false => validate_name("name", &self.name),
        }
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
        match self.is_namespace() {
            true => f.write_str(&self.namespace),
            false => write!(f, "{}.{}", self.namespace, self.name),
        }
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

    /// The stored form, in which a namespace has a key of its own; what users write is parsed
    /// by [`Key::from_str`].
    fn try_from(text: String) -> Result<Self> {
        match text.contains('.') {
            true => text.parse(),
            false => Self::of_namespace(text),
        }
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
    fn the_key_of_a_namespace_is_stored_but_not_parsed() {
        let key = Key::of_namespace("pumps").unwrap();
        assert!(key.is_namespace());
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, "\"pumps\"");
        assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), key);
        assert!("pumps".parse::<Key>().is_err());
        assert!(Key::of_namespace("a b").is_err() && Key::new("pumps", "").is_err());
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
