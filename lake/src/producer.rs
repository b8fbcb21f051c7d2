//! Producing Iceberg snapshots: a new metadata file whose current snapshot holds the
//! table's files and the added ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use catalog::{Error, Result};
use chrono::Utc;
use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestFile, ManifestListWriter, Operation, Snapshot,
    SnapshotReference, Summary, TableMetadata, TableMetadataBuilder,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::error;
use crate::manifests::Manifests;
use crate::metadata::TableFiles;

/// Snapshots a metadata file keeps. The catalog's commits point to the metadata of
/// their day, so older snapshots are reached by way of them.
const SNAPSHOTS: usize = 100;
/// Snapshots beyond that are dropped this many at a time.
const EXPIRE_AT_ONCE: usize = 10;

/// Writes a snapshot that adds `added` to the table at `location`, and returns the
/// location of the new metadata file.
pub(crate) async fn append(
    files: &Arc<TableFiles>,
    location: &str,
    added: &[DataFile],
) -> Result<String> {
    let metadata = files.metadata(location).await?;
    let manifests = Manifests {
        files,
        metadata: &metadata,
        snapshot_id: new_snapshot_id(&metadata),
        sequence_number: metadata.next_sequence_number(),
    };
    let current = files.manifest_list(&metadata).await?;
    let (new, kept) = futures::try_join!(manifests.added(added), manifests.merged(&current))?;
    let list = std::iter::once(new).chain(kept).collect();
    let list = write_list(&manifests, list).await?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(manifests.snapshot_id)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(manifests.sequence_number)
        .with_timestamp_ms(next_timestamp(&metadata))
        .with_manifest_list(list)
        .with_summary(summary(&metadata, added))
        .with_schema_id(metadata.current_schema_id())
        .build();
    let next = with_snapshot(&metadata, location, snapshot)?;
    files.write_metadata(next, Some(location)).await
}

/// Random, as the specification asks, and free in this table.
fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let id = (Uuid::new_v4().as_u64_pair().0 >> 1) as i64;
        if id != 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

/// Now, but never before what the table has seen from writers with faster clocks.
fn next_timestamp(metadata: &TableMetadata) -> i64 {
    let last = metadata.history().last().map_or(0, |log| log.timestamp_ms);
    let now = Utc::now().timestamp_millis();
    now.max(last).max(metadata.last_updated_ms())
}

async fn write_list(manifests: &Manifests<'_>, list: Vec<ManifestFile>) -> Result<String> {
    let (files, metadata) = (manifests.files, manifests.metadata);
    let (id, table) = (manifests.snapshot_id, metadata.location());
    let location = format!("{table}/metadata/snap-{id}-{}.avro", Uuid::new_v4());
    let write = async {
        let output = files.io().new_output(&location)?.writer().await?;
        let parent = metadata.current_snapshot_id();
        let mut writer = ManifestListWriter::v2(output, id, parent, manifests.sequence_number);
        writer.add_manifests(list.iter().cloned())?;
        writer.close().await
    };
    let written: iceberg::Result<()> = write.await;
    written.map_err(error::iceberg("could not write a manifest list"))?;
    files.keep_list(&location, &Arc::new(list));
    Ok(location)
}

fn with_snapshot(
    metadata: &TableMetadata,
    location: &str,
    snapshot: Snapshot,
) -> Result<TableMetadata> {
    let expired = expired(metadata)?;
    let previous = Some(location.to_owned());
    TableMetadataBuilder::new_from_metadata(metadata.clone(), previous)
        .remove_snapshots(&expired)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(TableMetadataBuilder::build)
        .map(|built| built.metadata)
        .map_err(error::iceberg("could not add the snapshot to the table"))
}

/// The oldest snapshots beyond [`SNAPSHOTS`], once enough have gathered; those a tag or
/// branch of another engine names stay.
fn expired(metadata: &TableMetadata) -> Result<Vec<i64>> {
    let excess = metadata.snapshots().len().saturating_sub(SNAPSHOTS);
    if excess < EXPIRE_AT_ONCE {
        return Ok(Vec::new());
    }
    let referenced = referenced(metadata)?;
    let mut snapshots: Vec<_> = metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    Ok(snapshots
        .iter()
        .map(|snapshot| snapshot.snapshot_id())
        .filter(|id| !referenced.contains(id))
        .take(excess)
        .collect())
}

/// The snapshots the table's own refs name. Iceberg's type lists its refs only as JSON.
fn referenced(metadata: &TableMetadata) -> Result<HashSet<i64>> {
    #[derive(Deserialize)]
    struct Refs {
        refs: HashMap<String, SnapshotReference>,
    }
    let refs = serde_json::to_vec(metadata).and_then(|json| serde_json::from_slice(&json));
    let refs: Refs =
        refs.map_err(|e| Error::internal("could not list the table's refs").with_source(e))?;
    Ok(refs.refs.values().map(|named| named.snapshot_id).collect())
}

fn summary(metadata: &TableMetadata, added: &[DataFile]) -> Summary {
    let rows: u64 = added.iter().map(DataFile::record_count).sum();
    let bytes: u64 = added.iter().map(DataFile::file_size_in_bytes).sum();
    let files = added.len() as u64;
    let partitions: HashSet<_> = added.iter().map(DataFile::partition).collect();
    let mut properties = BTreeMap::from([
        ("added-data-files", files),
        ("added-records", rows),
        ("added-files-size", bytes),
        ("changed-partition-count", partitions.len() as u64),
    ]);
    let gained = [
        ("total-data-files", files),
        ("total-records", rows),
        ("total-files-size", bytes),
        ("total-delete-files", 0),
        ("total-position-deletes", 0),
        ("total-equality-deletes", 0),
    ];
    for (name, gain) in gained {
        // A parent without a total, from another engine, leaves the total unknown.
        if let Some(total) = total(metadata, name) {
            properties.insert(name, total + gain);
        }
    }
    let properties = properties.into_iter();
    Summary {
        operation: Operation::Append,
        additional_properties: properties
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .chain([("engine-name".to_owned(), "pumphouse".to_owned())])
            .collect(),
    }
}

fn total(metadata: &TableMetadata, name: &str) -> Option<u64> {
    let Some(snapshot) = metadata.current_snapshot() else {
        return Some(0);
    };
    let properties = &snapshot.summary().additional_properties;
    properties.get(name)?.parse().ok()
}
