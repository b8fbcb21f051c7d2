//! Dropping old snapshots from a table's metadata.
//!
//! The catalog's commits keep pointing to the metadata of their day, so travelling in time
//! by commit works as before; what goes is the table's own list of snapshots, and with it
//! the files that only those hold, once the commits that hold them are squashed or gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Key, Operation, Result, Snapshot};
use chrono::Utc;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};

use super::commit_meta;
use crate::error;
use crate::lake::Lake;
use crate::metadata::TableFiles;
use crate::producer;
use crate::table::metadata_location;

/// Which snapshots a table's metadata keeps.
#[derive(Debug, Clone, Copy)]
pub struct ExpireOptions {
    /// Younger ones stay.
    pub older_than: Duration,
    /// The newest so many stay; the current one always does.
    pub keep: usize,
}

/// What an expiry did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpireReport {
    /// Snapshots dropped.
    pub snapshots: u64,
}

impl Lake {
    /// Drops old snapshots from the metadata of the table `key` on `branch`, in a commit by
    /// `author`; those that a branch or tag of the table itself names stay.
    ///
    /// # Errors
    /// `NotFound` for unknown branches and tables; those of the object store.
    pub async fn expire(
        &self,
        branch: &str,
        key: &Key,
        options: ExpireOptions,
        author: &str,
    ) -> Result<ExpireReport> {
        let head = self.catalog().head(branch).await?;
        let table = self.table(&head, key).await?;
        let count = expired(table.metadata(), options)?.len();
        if count == 0 {
            return Ok(ExpireReport::default());
        }
        let dropped = Arc::new(AtomicU64::new(0));
        let change = Expire {
            files: Arc::clone(self.files()),
            key: key.clone(),
            options,
            dropped: Arc::clone(&dropped),
        };
        let meta = commit_meta(
            author,
            "expire",
            format!("expire {count} snapshots of {key}"),
        );
        self.catalog()
            .commit(branch, meta, Arc::new(change))
            .await?;
        Ok(ExpireReport {
            snapshots: dropped.load(Ordering::Relaxed),
        })
    }
}

/// Applied to whatever the head is by then: a merge of tables knows files and columns, but
/// no snapshots.
struct Expire {
    files: Arc<TableFiles>,
    key: Key,
    options: ExpireOptions,
    dropped: Arc<AtomicU64>,
}

#[async_trait]
impl Change for Expire {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let location = metadata_location(head, &self.key)?;
        let metadata = self.files.metadata(&location).await?;
        let expired = expired(&metadata, self.options)?;
        self.dropped.store(expired.len() as u64, Ordering::Relaxed);
        if expired.is_empty() {
            return Ok(ChangeSet::default());
        }
        let next = without(&metadata, &location, &expired)?;
        let content = Content::IcebergTable {
            uuid: metadata.uuid(),
            metadata_location: self.files.write_metadata(next, Some(&location)).await?,
        };
        let operation = Operation::Put {
            key: self.key.clone(),
            content,
        };
        Ok(ChangeSet {
            operations: vec![operation],
            ..ChangeSet::default()
        })
    }

    fn keys(&self) -> Option<std::collections::BTreeSet<Key>> {
        Some([self.key.clone()].into())
    }
}

/// The snapshots that go.
pub(super) fn expired(metadata: &TableMetadata, options: ExpireOptions) -> Result<Vec<i64>> {
    let age = i64::try_from(options.older_than.as_millis()).unwrap_or(i64::MAX);
    let before = Utc::now().timestamp_millis().saturating_sub(age);
    let mut snapshots: Vec<_> = metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.sequence_number()));
    let old = snapshots.into_iter().skip(options.keep.max(1));
    let mut old = old
        .filter(|snapshot| snapshot.timestamp_ms() < before)
        .peekable();
    if old.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut named = producer::referenced(metadata)?;
    named.extend(metadata.current_snapshot_id());
    let ids = old.map(|snapshot| snapshot.snapshot_id());
    Ok(ids.filter(|id| !named.contains(id)).collect())
}

fn without(metadata: &TableMetadata, location: &str, ids: &[i64]) -> Result<TableMetadata> {
    let previous = Some(location.to_owned());
    let builder = TableMetadataBuilder::new_from_metadata(metadata.clone(), previous);
    let builder = builder.remove_snapshots(ids);
    let builder = ids.iter().fold(builder, |builder, id| {
        builder
            .remove_statistics(*id)
            .remove_partition_statistics(*id)
    });
    let built = builder.build().map(|built| built.metadata);
    built.map_err(error::iceberg("could not drop snapshots"))
}
