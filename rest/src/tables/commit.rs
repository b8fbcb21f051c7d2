//! Committing updates to tables: requirements are checked on the branch's head, and the
//! updated metadata becomes the table's in one catalog commit.

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use catalog::{Change, ChangeSet, Content, Key, Operation, Result, Snapshot};
use futures::{StreamExt, TryStreamExt};
use iceberg::{TableRequirement, TableUpdate};
use lake::Lake;
use serde::Deserialize;

use super::{fresh, load, requirement, snapshots, update};
use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{At, Body, OfKey};
use crate::{names, namespaces};

/// Tables of one commit whose metadata is written at once.
const PARALLEL_WRITES: usize = 16;
/// Tables that the message of a commit tells of.
const MOST_TOLD: usize = 10;

#[derive(Debug, Deserialize)]
pub(crate) struct Updates {
    pub(super) requirements: Vec<TableRequirement>,
    pub(super) updates: Vec<TableUpdate>,
}

/// `POST .../tables/{table}`.
pub(crate) async fn post(
    State(api): State<Api>,
    At(of): At<OfKey>,
    Body(updates): Body<Updates>,
) -> Result<Response, Failure> {
    let key = names::existing(&of.namespace, &of.name, error::no_such_table)?;
    let commits = vec![TableCommit {
        key: key.clone(),
        updates,
    }];
    let message = message(&commits);
    let lake = api.lake().clone();
    let change = CommitTables { lake, commits };
    let snapshot = api.commit(&of.prefix, message, change).await?;
    load::committed(&api, &snapshot, &key).await
}

/// The updates of one table.
pub(super) struct TableCommit {
    pub(super) key: Key,
    pub(super) updates: Updates,
}

/// The updates of several tables, of which all are made or none.
pub(super) struct CommitTables {
    pub(super) lake: Lake,
    pub(super) commits: Vec<TableCommit>,
}

#[async_trait]
impl Change for CommitTables {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let commits = self.commits.iter();
        let making = commits.map(|commit| commit.apply(&self.lake, head));
        let made: Vec<_> = futures::stream::iter(making.collect::<Vec<_>>())
            .buffered(PARALLEL_WRITES)
            .try_collect()
            .await?;
        Ok(ChangeSet {
            operations: made.into_iter().flatten().collect(),
            ..ChangeSet::default()
        })
    }

    /// A table that is created looks at its namespace too.
    fn keys(&self) -> Option<BTreeSet<Key>> {
        let mut commits = self.commits.iter();
        let keys = || self.commits.iter().map(|commit| commit.key.clone());
        (!commits.any(TableCommit::creates)).then(|| keys().collect())
    }
}

impl TableCommit {
    /// Whether the table is to be there only afterwards.
    fn creates(&self) -> bool {
        let requirements = &self.updates.requirements;
        requirements.contains(&TableRequirement::NotExist)
    }

    /// The table after the updates; none when they change nothing.
    async fn apply(&self, lake: &Lake, head: &Snapshot) -> Result<Option<Operation>> {
        let Updates {
            requirements,
            updates,
        } = &self.updates;
        let creates = self.creates();
        if creates && !head.contains(&self.key)? {
            namespaces::check_exists(head, &self.key.namespace)?;
            let metadata = fresh::create(lake, &self.key, updates)?;
            snapshots::check_added(lake, updates).await?;
            return self.put(lake, metadata, None).await.map(Some);
        }
        if creates {
            namespaces::check_free(head, &self.key)
                .map_err(|e| error::commit_failed(format!("Requirement failed: {e}")))?;
        }
        let location = load::location(head, &self.key)?;
        let metadata = lake.read_metadata(&location).await?;
        for requirement in requirements {
            requirement::check(requirement, &metadata)?;
        }
        match update::apply(lake, &metadata, &location, updates)? {
            Some(updated) => {
                snapshots::check_added(lake, updates).await?;
                self.put(lake, updated, Some(&location)).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn put(
        &self,
        lake: &Lake,
        metadata: lake::TableMetadata,
        previous: Option<&str>,
    ) -> Result<Operation> {
        let content = Content::IcebergTable {
            uuid: metadata.uuid(),
            metadata_location: lake.write_metadata(metadata, previous).await?,
        };
        Ok(Operation::Put {
            key: self.key.clone(),
            content,
        })
    }

    /// What it does, for the log.
    fn summary(&self) -> String {
        let key = &self.key;
        if self.creates() {
            return format!("create table {key}");
        }
        let mut done = BTreeSet::new();
        for update in &self.updates.updates {
            done.insert(match update {
                TableUpdate::AddSnapshot { snapshot } => snapshot.summary().operation.as_str(),
                TableUpdate::AddSchema { .. } => "change schema",
                TableUpdate::AddSpec { .. } => "change partitions",
                TableUpdate::SetProperties { .. } | TableUpdate::RemoveProperties { .. } => {
                    "change properties"
                }
                TableUpdate::RemoveSnapshots { .. } => "expire snapshots",
                _ => continue,
            });
        }
        if done.is_empty() {
            return format!("update {key}");
        }
        let done: Vec<_> = done.into_iter().collect();
        format!("{}: {key}", done.join(", "))
    }
}

/// The message of a commit that makes all of `commits`.
pub(super) fn message(commits: &[TableCommit]) -> String {
    let told = commits.iter().take(MOST_TOLD).map(TableCommit::summary);
    let mut told: Vec<_> = told.collect();
    if commits.len() > MOST_TOLD {
        told.push(format!("... and {} more", commits.len() - MOST_TOLD));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Store};

    use super::*;

    #[tokio::test]
    async fn commits_to_other_tables_need_not_wait_unless_they_create_one() {
        let catalog = Catalog::open(Store::memory()).await.unwrap();
        let commit = |name: &str, requirements: &[TableRequirement]| TableCommit {
            key: name.parse().unwrap(),
            updates: Updates {
                requirements: requirements.to_vec(),
                updates: Vec::new(),
            },
        };
        let mut change = CommitTables {
            lake: Lake::new(catalog),
            commits: vec![commit("a.b", &[]), commit("a.c", &[])],
        };
        let keys = ["a.b", "a.c"].map(|name| name.parse().unwrap());
        assert_eq!(change.keys(), Some(BTreeSet::from(keys)));
        change
            .commits
            .push(commit("a.d", &[TableRequirement::NotExist]));
        assert_eq!(change.keys(), None);
    }
}
