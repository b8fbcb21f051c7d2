//! Registering a table by the metadata file it has.

use std::collections::HashMap;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use catalog::collect::PathSet;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use iceberg::spec::TableMetadataBuilder;
use lake::{GC_ENABLED, Lake, TableMetadata};
use serde::Deserialize;

use super::{check, load, properties, snapshots};
use crate::api::Api;
use crate::error::Failure;
use crate::extract::{At, Body, InNamespace};
use crate::names::Identifier;
use crate::namespaces;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Registration {
    name: String,
    metadata_location: String,
    #[serde(default)]
    overwrite: bool,
}

/// `POST .../register`.
pub(crate) async fn post(
    State(api): State<Api>,
    At(within): At<InNamespace>,
    Body(registration): Body<Registration>,
) -> Result<Response, Failure> {
    let identifier = Identifier {
        namespace: vec![within.namespace],
        name: registration.name,
    };
    let key = identifier.new_key()?;
    let store = api.lake().store();
    let path = store.path(&registration.metadata_location)?;
    let location = store.location(&path);
    let metadata = api.lake().read_metadata(&location).await;
    let doing = format!("Cannot register {location}");
    let metadata = metadata.map_err(|e| snapshots::of_client(e, &doing))?;
    check::registered(api.lake(), &metadata)?;
    snapshots::check_all(api.lake(), &metadata).await?;
    let message = format!("register table {key}");
    let content = Content::IcebergTable {
        uuid: metadata.uuid(),
        metadata_location: kept(api.lake(), location, &metadata).await?,
    };
    let files = api.lake().files_of(content.clone()).await;
    let change = Register {
        lake: api.lake().clone(),
        key: key.clone(),
        content,
        files: files.map_err(|e| snapshots::of_client(e, &doing))?,
        overwrite: registration.overwrite,
    };
    let snapshot = api.commit(&within.prefix, message, change).await?;
    load::committed(&api, &snapshot, &key).await
}

/// Where the metadata is that tells other engines to delete no files: in the file at
/// `location`, or else in the version after it, which is written.
async fn kept(lake: &Lake, location: String, metadata: &TableMetadata) -> Result<String> {
    if properties::keeps_files(metadata.properties()) {
        return Ok(location);
    }
    let off = HashMap::from([(GC_ENABLED.to_owned(), "false".to_owned())]);
    let next = TableMetadataBuilder::new_from_metadata(metadata.clone(), Some(location.clone()))
        .set_properties(off)
        .and_then(TableMetadataBuilder::build)
        .map_err(|e| Error::invalid(format!("Cannot register {location}: {}", e.message())))?;
    lake.write_metadata(next.metadata, Some(&location)).await
}

struct Register {
    lake: Lake,
    key: Key,
    content: Content,
    /// All that reading the table may need.
    files: PathSet,
    overwrite: bool,
}

impl Register {
    /// Refuses a table that garbage collection is deleting: nothing had needed it for long.
    async fn check_kept(&self) -> Result<()> {
        let collector = self.lake.catalog().collector();
        match collector.first_condemned(&self.files).await? {
            None => Ok(()),
            Some(path) => Err(Error::invalid(format!(
                "Cannot register {}: garbage collection is about to delete {path}",
                self.key
            ))
            .with_hint("register a copy of the table under another location")),
        }
    }
}

#[async_trait]
impl Change for Register {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        namespaces::check_exists(head, &self.key.namespace)?;
        let replaces = self.overwrite && load::location(head, &self.key).is_ok();
        if !replaces {
            namespaces::check_free(head, &self.key)?;
        }
        self.check_kept().await?;
        Ok(ChangeSet {
            operations: vec![Operation::Put {
                key: self.key.clone(),
                content: self.content.clone(),
            }],
            ..ChangeSet::default()
        })
    }
}
