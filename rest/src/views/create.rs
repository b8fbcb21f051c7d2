//! Creating a view.

use std::collections::HashMap;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use catalog::{Change, ChangeSet, Error, Key, Result, Snapshot};
use iceberg::spec::{Schema, ViewFormatVersion, ViewMetadata, ViewMetadataBuilder, ViewVersion};
use lake::Lake;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::replace;
use super::{answer, put};
use crate::api::Api;
use crate::error::Failure;
use crate::extract::{At, Body, InNamespace};
use crate::names::Identifier;
use crate::{namespaces, tables};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Creation {
    name: String,
    location: Option<String>,
    schema: Schema,
    view_version: ViewVersion,
    properties: Option<HashMap<String, String>>,
}

/// `POST .../views`.
pub(crate) async fn post(
    State(api): State<Api>,
    At(within): At<InNamespace>,
    Body(creation): Body<Creation>,
) -> Result<Json<Value>, Failure> {
    let identifier = Identifier {
        namespace: vec![within.namespace],
        name: creation.name.clone(),
    };
    let key = identifier.new_key()?;
    let metadata = metadata(api.lake(), &key, creation)?;
    let message = format!("create view {key}");
    let change = Create {
        lake: api.lake().clone(),
        key: key.clone(),
        metadata,
    };
    let snapshot = api.commit(&within.prefix, message, change).await?;
    answer(api.lake(), &snapshot, &key).await
}

fn metadata(lake: &Lake, key: &Key, creation: Creation) -> Result<ViewMetadata> {
    let uuid = Uuid::new_v4();
    let location = match creation.location {
        Some(location) => tables::folder(lake, &location)?,
        None => lake.new_location(key, uuid),
    };
    replace::check(&creation.view_version)?;
    tables::check_defaults(&creation.schema)?;
    ViewMetadataBuilder::new(
        location,
        creation.schema,
        creation.view_version,
        ViewFormatVersion::V1,
        creation.properties.unwrap_or_default(),
    )
    .and_then(|builder| builder.assign_uuid(uuid).build())
    .map(|built| built.metadata)
    .map_err(|e| Error::invalid(format!("Cannot create {key}: {}", e.message())))
}

/// Puts a new view under a key that is free.
struct Create {
    lake: Lake,
    key: Key,
    metadata: ViewMetadata,
}

#[async_trait]
impl Change for Create {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        namespaces::check_exists(head, &self.key.namespace)?;
        namespaces::check_free(head, &self.key)?;
        put(&self.lake, &self.key, self.metadata.clone(), None).await
    }
}
