//! Producing Iceberg snapshots: a new metadata file whose current snapshot holds the
//! table's files without the removed and with the added ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use catalog::{Error, Result};
use chrono::Utc;
use iceberg::spec::{
    DataFile, FormatVersion, MAIN_BRANCH, ManifestFile, ManifestListWriter, Operation, Snapshot,
    SnapshotReference, TableMetadata, TableMetadataBuilder,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::error;
use crate::manifests::{Manifests, Removed};
use crate::metadata::TableFiles;
use crate::summary::Tally;

/// Snapshots a metadata file keeps. The catalog's commits point to the metadata of
/// their day, so older snapshots are reached by way of them.
const SNAPSHOTS: usize = 100;
/// Snapshots beyond that are dropped this many at a time.
const EXPIRE_AT_ONCE: usize = 10;

/// A file to add to a table.
#[derive(Debug, Clone)]
pub(crate) struct AddedFile {
    pub(crate) file: DataFile,
    /// The partition spec of the table that `file.partition()` follows.
    pub(crate) spec_id: i32,
    /// The data sequence number; the new snapshot's without one. Rows that a rewrite
    /// moves keep the number of the files they come from, or equality deletes that came
    /// after them would miss them.
    pub(crate) sequence_number: Option<i64>,
}

impl AddedFile {
    /// New files of one partition spec.
    pub(crate) fn all(files: Vec<DataFile>, spec_id: i32) -> Vec<Self> {
        let files = files.into_iter();
        files
            .map(|file| Self {
                file,
                spec_id,
                sequence_number: None,
            })
            .collect()
    }
}

/// What a new snapshot changes in the current one.
#[derive(Debug, Clone, Default)]
pub(crate) struct SnapshotChange {
    pub(crate) operation: Operation,
    pub(crate) added: Vec<AddedFile>,
    /// Locations of the data files to remove.
    pub(crate) removed: HashSet<String>,
    pub(crate) added_deletes: Vec<AddedFile>,
    /// Locations of the delete files to remove.
    pub(crate) removed_deletes: HashSet<String>,
    /// Properties for the snapshot's summary, beside the counts.
    pub(crate) summary: BTreeMap<String, String>,
}

/// Writes a snapshot that makes `change` in `metadata`, and returns the location of the
/// new metadata file.
///
/// `metadata` is that of the file at `location`, or was built from it with a new schema,
/// spec or properties; such a builder gets no file location, as it is logged here.
///
/// # Errors
/// `Conflict` when a file to remove is not in the table, `Unsupported` for tables of
/// format versions after 2.
pub(crate) async fn produce(
    files: &Arc<TableFiles>,
    metadata: &TableMetadata,
    location: &str,
    change: SnapshotChange,
) -> Result<String> {
    check_format(metadata)?;
    let manifests = Manifests {
        files,
        metadata,
        snapshot_id: new_snapshot_id(metadata),
        sequence_number: metadata.last_sequence_number() + 1,
    };
    let current = files.manifest_list(metadata).await?;
    let (data, deletes) = (&change.removed, &change.removed_deletes);
    let retained = manifests.without(&current, data, deletes).await?;
    let (data, deletes, kept) = futures::try_join!(
        manifests.added(&change.added),
        manifests.added(&change.added_deletes),
        manifests.merged(retained.untouched)
    )?;
    let summary = tally(&change, &retained.removed);
    let summary = summary.summary(metadata, change.operation, change.summary);
    let list = [data, deletes, retained.rewritten, kept].concat();
    let list = write_list(&manifests, list).await?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(manifests.snapshot_id)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(manifests.sequence_number)
        .with_timestamp_ms(next_timestamp(metadata))
        .with_manifest_list(list)
        .with_summary(summary)
        .with_schema_id(metadata.current_schema_id())
        .build();
    let next = with_snapshot(metadata, location, snapshot)?;
    files.write_metadata(next, Some(location)).await
}

fn tally(change: &SnapshotChange, removed: &[Removed]) -> Tally {
    let mut tally = Tally::default();
    for added in change.added.iter().chain(&change.added_deletes) {
        tally.add(added.spec_id, &added.file);
    }
    for removed in removed {
        tally.remove(removed.spec_id, removed.entry.data_file());
    }
    tally
}

/// Tables of version 1 become version 2 with the new snapshot, as the specification
/// allows; those of later versions need more than is written here.
fn check_format(metadata: &TableMetadata) -> Result<()> {
    let version = metadata.format_version();
    if version <= FormatVersion::V2 {
        return Ok(());
    }
    let message = format!("the table has format version {version}, which can only be read");
    Err(Error::unsupported(message).with_hint("write it with the engine that made it"))
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
        .upgrade_format_version(FormatVersion::V2)
        .and_then(|builder| builder.set_branch_snapshot(snapshot, MAIN_BRANCH))
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
pub(crate) fn referenced(metadata: &TableMetadata) -> Result<HashSet<i64>> {
    #[derive(Deserialize)]
    struct Refs {
        refs: HashMap<String, SnapshotReference>,
    }
    let refs = serde_json::to_vec(metadata).and_then(|json| serde_json::from_slice(&json));
    let refs: Refs =
        refs.map_err(|e| Error::internal("could not list the table's refs").with_source(e))?;
    Ok(refs.refs.values().map(|named| named.snapshot_id).collect())
}
