//! Creating a table, or beginning to.

use std::collections::HashMap;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
use lake::{Lake, TableMetadata};
use serde::Deserialize;
use uuid::Uuid;

use super::{check, load, properties};
use crate::api::Api;
use crate::error::Failure;
use crate::extract::{At, Body, InNamespace};
use crate::names::Identifier;
use crate::namespaces;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Creation {
    name: String,
    location: Option<String>,
    schema: Schema,
    partition_spec: Option<UnboundPartitionSpec>,
    write_order: Option<SortOrder>,
    #[serde(default)]
    stage_create: bool,
    properties: Option<HashMap<String, String>>,
}

/// `POST .../tables`: with `stage-create` nothing is created yet, and the client
/// commits to what the answer shows.
pub(crate) async fn post(
    State(api): State<Api>,
    At(within): At<InNamespace>,
    Body(creation): Body<Creation>,
) -> Result<Response, Failure> {
    let identifier = Identifier {
        namespace: vec![within.namespace],
        name: creation.name.clone(),
    };
    let key = identifier.new_key()?;
    let staged = creation.stage_create;
    let metadata = metadata(api.lake(), &key, creation)?;
    if staged {
        check_place(&api.head(&within.prefix).await?, &key)?;
        prepare(api.lake(), &metadata).await?;
        return load::staged(&api, &metadata);
    }
    let message = format!("create table {key}");
    let change = Create {
        lake: api.lake().clone(),
        key: key.clone(),
        metadata,
    };
    let snapshot = api.commit(&within.prefix, message, change).await?;
    load::committed(&api, &snapshot, &key).await
}

/// Refuses a key that is taken, or that no namespace is there for.
fn check_place(head: &Snapshot, key: &Key) -> Result<()> {
    namespaces::check_exists(head, &key.namespace)?;
    namespaces::check_free(head, key)
}

/// A client that writes into a local folder expects it to be there: DuckDB makes none for
/// manifests. The file is nobody's, and garbage collection removes it.
async fn prepare(lake: &Lake, metadata: &TableMetadata) -> Result<()> {
    if lake.store().url().starts_with("file://") {
        lake.write_metadata(metadata.clone(), None).await?;
    }
    Ok(())
}

fn metadata(lake: &Lake, key: &Key, creation: Creation) -> Result<TableMetadata> {
    let uuid = Uuid::new_v4();
    let location = match creation.location {
        Some(location) => check::folder(lake, &location)?,
        None => lake.new_location(key, uuid),
    };
    let properties = properties::of_new(lake, creation.properties.unwrap_or_default())?;
    let metadata = TableMetadataBuilder::new(
        creation.schema,
        creation.partition_spec.unwrap_or_default(),
        creation
            .write_order
            .unwrap_or_else(SortOrder::unsorted_order),
        location,
        FormatVersion::V2,
        properties,
    )
    .and_then(|builder| builder.assign_uuid(uuid).build())
    .map(|built| built.metadata)
    .map_err(|e| Error::invalid(format!("Cannot create {key}: {}", e.message())))?;
    check::table(lake, &metadata)?;
    Ok(metadata)
}

/// Puts a new table under a key that is free.
struct Create {
    lake: Lake,
    key: Key,
    metadata: TableMetadata,
}

#[async_trait]
impl Change for Create {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        check_place(head, &self.key)?;
        let metadata = self.metadata.clone();
        let content = Content::IcebergTable {
            uuid: metadata.uuid(),
            metadata_location: self.lake.write_metadata(metadata, None).await?,
        };
        Ok(ChangeSet {
            operations: vec![Operation::Put {
                key: self.key.clone(),
                content,
            }],
            ..ChangeSet::default()
        })
    }
}
