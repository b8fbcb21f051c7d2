//! Names of namespaces, tables and views in paths and bodies.

use catalog::{Error, Key, Result};
use serde::{Deserialize, Serialize};

/// What separates the levels of a namespace in a path.
const SEPARATOR: char = '\u{1f}';

/// `{"namespace": ["pumps"], "name": "telemetry"}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Identifier {
    pub(crate) namespace: Vec<String>,
    pub(crate) name: String,
}

impl Identifier {
    pub(crate) fn of(key: &Key) -> Self {
        Self {
            namespace: vec![key.namespace.clone()],
            name: key.name.clone(),
        }
    }

    /// The key that something is to be found under. A name that no key can have is
    /// reported as what is not there, by `missing`.
    pub(crate) fn existing(&self, missing: fn(&str) -> Error) -> Result<Key> {
        match self.namespace.as_slice() {
            [namespace] => existing(namespace, &self.name, missing),
            levels => Err(missing(&format!("{}.{}", levels.join("."), self.name))),
        }
    }

    /// The key that something is to be created under; `InvalidInput` says what is wrong.
    pub(crate) fn new_key(&self) -> Result<Key> {
        Key::new(one_level(&self.namespace)?, &self.name)
    }
}

/// The key of something at a path; see [`Identifier::existing`].
pub(crate) fn existing(namespace: &str, name: &str, missing: fn(&str) -> Error) -> Result<Key> {
    let shown = namespace.replace(SEPARATOR, ".");
    Key::new(namespace, name).map_err(|_| missing(&format!("{shown}.{name}")))
}

/// The name of a namespace that is to be created.
pub(crate) fn one_level(levels: &[String]) -> Result<&str> {
    match levels {
        [name] => Ok(name),
        [] => Err(Error::invalid("the namespace has no name")),
        [..] => Err(
            Error::invalid(format!("namespace {} has several levels", levels.join(".")))
                .with_hint("namespaces have one level here"),
        ),
    }
}

/// A namespace of a path as people write it.
pub(crate) fn shown(namespace: &str) -> String {
    namespace.replace(SEPARATOR, ".")
}
