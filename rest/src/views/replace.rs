//! Committing updates to a view.

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use catalog::{Change, ChangeSet, Error, Key, Result, Snapshot};
use iceberg::ViewUpdate;
use iceberg::spec::{ViewMetadata, ViewMetadataBuilder, ViewVersion};
use lake::Lake;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{answer, location, put};
use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{At, Body, OfKey};
use crate::{names, tables};

#[derive(Debug, Deserialize)]
pub(crate) struct Updates {
    #[serde(default)]
    requirements: Vec<Requirement>,
    updates: Vec<ViewUpdate>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Requirement {
    #[serde(rename = "assert-view-uuid")]
    Uuid { uuid: Uuid },
}

/// `POST .../views/{view}`.
pub(crate) async fn post(
    State(api): State<Api>,
    At(of): At<OfKey>,
    Body(updates): Body<Updates>,
) -> Result<Json<Value>, Failure> {
    let key = names::existing(&of.namespace, &of.name, error::no_such_view)?;
    let message = format!("replace view {key}");
    let change = Replace {
        lake: api.lake().clone(),
        key: key.clone(),
        updates,
    };
    let snapshot = api.commit(&of.prefix, message, change).await?;
    answer(api.lake(), &snapshot, &key).await
}

struct Replace {
    lake: Lake,
    key: Key,
    updates: Updates,
}

#[async_trait]
impl Change for Replace {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let location = location(head, &self.key)?;
        let metadata = self.lake.read_view(&location).await?;
        for Requirement::Uuid { uuid } in &self.updates.requirements {
            if *uuid != metadata.uuid() {
                let message = format!("Requirement failed: the view's uuid is not {uuid}");
                return Err(error::commit_failed(message));
            }
        }
        match apply(&self.lake, &metadata, &self.updates.updates)? {
            Some(updated) => put(&self.lake, &self.key, updated, Some(&location)).await,
            None => Ok(ChangeSet::default()),
        }
    }

    fn keys(&self) -> Option<BTreeSet<Key>> {
        Some(BTreeSet::from([self.key.clone()]))
    }
}

/// The metadata after `updates`; none when they change nothing.
fn apply(
    lake: &Lake,
    metadata: &ViewMetadata,
    updates: &[ViewUpdate],
) -> Result<Option<ViewMetadata>> {
    let mut builder = ViewMetadataBuilder::new_from_metadata(metadata.clone());
    for update in updates {
        builder = step(lake, metadata, builder, update.clone())?;
    }
    let built = builder.build().map_err(refused)?;
    Ok((!built.changes.is_empty()).then_some(built.metadata))
}

fn step(
    lake: &Lake,
    metadata: &ViewMetadata,
    builder: ViewMetadataBuilder,
    update: ViewUpdate,
) -> Result<ViewMetadataBuilder> {
    let next = match update {
        ViewUpdate::AssignUuid { uuid } if uuid != metadata.uuid() => {
            return Err(Error::invalid("Cannot reassign the uuid of a view"));
        }
        ViewUpdate::AssignUuid { .. } => Ok(builder),
        ViewUpdate::UpgradeFormatVersion { format_version } => {
            builder.upgrade_format_version(format_version)
        }
        ViewUpdate::AddSchema { schema, .. } => {
            tables::check_defaults(&schema)?;
            Ok(builder.add_schema(schema))
        }
        ViewUpdate::SetLocation { location } => {
            Ok(builder.set_location(tables::folder(lake, &location)?))
        }
        ViewUpdate::SetProperties { updates } => builder.set_properties(updates),
        ViewUpdate::RemoveProperties { removals } => Ok(builder.remove_properties(&removals)),
        ViewUpdate::AddViewVersion { view_version } => {
            check(&view_version)?;
            builder.add_version(view_version)
        }
        ViewUpdate::SetCurrentViewVersion { view_version_id } => {
            builder.set_current_version_id(view_version_id)
        }
    };
    next.map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: iceberg::Error) -> Error {
    Error::invalid(format!("Cannot update the view: {}", error.message()))
}

/// Refuses a version without any SQL, and one of the future.
pub(super) fn check(version: &ViewVersion) -> Result<()> {
    if version.representations().is_empty() {
        return Err(Error::invalid("the version of the view has no SQL"));
    }
    tables::check_time(version.timestamp_ms())
}
