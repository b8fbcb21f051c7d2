//! What a key points to, and the two things a commit can do to a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Key;

/// What a key points to: always something immutable, so that a commit pins it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Content {
    /// An Iceberg table at one metadata file.
    IcebergTable {
        /// The table's own uuid; it stays when the table changes.
        uuid: Uuid,
        /// Absolute URL of the metadata file.
        metadata_location: String,
    },
    /// A SQL view, as Iceberg's view specification describes it.
    View {
        /// Stays when the view is replaced.
        uuid: Uuid,
        /// Absolute URL of the view's metadata file.
        metadata_location: String,
    },
    /// A trained model.
    Model {
        /// Derived from the manifest, so equal models are equal content.
        uuid: Uuid,
        /// Absolute URL of the model's manifest.
        manifest_location: String,
    },
    /// A namespace that was created by itself; others exist by what is in them.
    Namespace {
        /// Its properties by name.
        properties: BTreeMap<String, String>,
    },
}

impl Content {
    /// The uuid of the thing itself; namespaces have none.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::IcebergTable { uuid, .. }
            | Self::View { uuid, .. }
            | Self::Model { uuid, .. } => Some(*uuid),
            Self::Namespace { .. } => None,
        }
    }

    /// The kind in words, for messages: `Iceberg table`, `view`, `model` or `namespace`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::IcebergTable { .. } => "Iceberg table",
            Self::View { .. } => "view",
            Self::Model { .. } => "model",
            Self::Namespace { .. } => "namespace",
        }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Operation {
    /// Creates the key or lets it point to something else.
    Put {
        /// The key.
        key: Key,
        /// What it points to from now on.
        content: Content,
    },
    /// Removes the key, which must exist.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Operation {
    /// The key changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}
