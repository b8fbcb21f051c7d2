//! Registering a table by the metadata file it has.

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use catalog::{Change, ChangeSet, Content, Error, Key, Operation, Result, Snapshot};
use serde::Deserialize;
use uuid::Uuid;

use super::{load, update};
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
    let head = api.snapshot(&within.prefix).await?;
    namespaces::check_exists(&head, &within.namespace)?;
    let identifier = Identifier {
        namespace: vec![within.namespace],
        name: registration.name,
    };
    let key = identifier.new_key()?;
    let store = api.lake().store();
    let path = store.path(&registration.metadata_location)?;
    let location = store.location(&path);
    let metadata = api.lake().read_metadata(&location).await;
    let metadata = metadata.map_err(|e| match e.is_retryable() {
        true => e,
        false => Error::invalid(format!("Cannot register {location}: {}", e.message())),
    })?;
    update::check_registered(api.lake(), &metadata)?;
    let message = format!("register table {key}");
    let change = Register {
        key: key.clone(),
        uuid: metadata.uuid(),
        location,
        overwrite: registration.overwrite,
    };
    let snapshot = api.commit(&within.prefix, message, change).await?;
    load::committed(&api, &snapshot, &key).await
}

struct Register {
    key: Key,
    uuid: Uuid,
    location: String,
    overwrite: bool,
}

#[async_trait]
impl Change for Register {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        namespaces::check_exists(head, &self.key.namespace)?;
        let replaces = self.overwrite && load::location(head, &self.key).is_ok();
        if !replaces {
            namespaces::check_free(head, &self.key)?;
        }
        let content = Content::IcebergTable {
            uuid: self.uuid,
            metadata_location: self.location.clone(),
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
