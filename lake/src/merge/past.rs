//! What a table's own history tells of files that are gone: which snapshot took them out,
//! and whether two snapshots that did are one and the same change.
//!
//! Reads the lists and manifests of the snapshots since the base that did more than
//! append, which the metadata bounds: it names the last hundred or so. What was done before
//! those is not known.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{CommitId, Result};
use iceberg::spec::{ManifestFile, ManifestStatus, Operation, SnapshotRef, TableMetadata};

use super::lineage::{SOURCE_COMMIT, SOURCE_SNAPSHOTS, new_snapshots};
use crate::diff::files::{FileChanges, Files};
use crate::metadata::TableFiles;

/// Files that left a table, each with the snapshot that took it out last.
pub(super) type Departed = BTreeMap<String, SnapshotRef>;

/// What was looked up where the changes of both sides leave something open.
#[derive(Default)]
pub(super) struct Found {
    /// The commit that is merged, picked or reverted.
    pub(super) picked: Option<CommitId>,
    /// What left ours since the base.
    pub(super) ours: Departed,
    /// What left theirs since the base.
    pub(super) theirs: Departed,
    /// Whether files that both sides hold have other data sequence numbers in each.
    pub(super) renumbered: bool,
}

impl Found {
    /// Whether ours once had what `theirs` adds.
    pub(super) fn was_here(&self, theirs: &FileChanges) -> bool {
        let added = theirs.added.keys().chain(theirs.added_deletes.keys());
        added.into_iter().any(|path| self.ours.contains_key(path))
    }

    /// Whether the files that both sides removed left each by the same change: one side
    /// has it from the other, or has it from where it is to come once more.
    pub(super) fn one_change(&self, ours: &FileChanges, theirs: &FileChanges) -> bool {
        self.all_by_one(&ours.removed, &theirs.removed)
            && self.all_by_one(&ours.removed_deletes, &theirs.removed_deletes)
    }

    fn all_by_one(&self, ours: &Files, theirs: &Files) -> bool {
        let common = ours.keys().filter(|path| theirs.contains_key(*path));
        common.into_iter().all(|path| {
            let ours = self.ours.get(path);
            ours.is_some_and(|by| self.is_picked(by) || self.is_one(by, self.theirs.get(path)))
        })
    }

    /// Whether the snapshot came by merging the very commit that is to come now.
    fn is_picked(&self, by: &SnapshotRef) -> bool {
        let from = by.summary().additional_properties.get(SOURCE_COMMIT);
        from.is_some_and(|from| self.picked.is_some_and(|id| *from == id.to_string()))
    }

    fn is_one(&self, ours: &SnapshotRef, theirs: Option<&SnapshotRef>) -> bool {
        theirs.is_some_and(|theirs| {
            ours.snapshot_id() == theirs.snapshot_id()
                || comes_from(ours, theirs)
                || comes_from(theirs, ours)
        })
    }
}

fn comes_from(snapshot: &SnapshotRef, source: &SnapshotRef) -> bool {
    let sources = snapshot
        .summary()
        .additional_properties
        .get(SOURCE_SNAPSHOTS);
    let id = source.snapshot_id().to_string();
    sources.is_some_and(|ids| ids.split(',').any(|known| known == id))
}

/// The files that left the table between `base` and `after`, also such as came only then.
pub(super) async fn departed(
    files: &Arc<TableFiles>,
    base: &TableMetadata,
    after: &TableMetadata,
) -> Result<Departed> {
    let mut departed = Departed::new();
    for snapshot in new_snapshots(base, after) {
        if snapshot.summary().operation == Operation::Append {
            continue;
        }
        let list = snapshot.manifest_list();
        let list = files.list_at(list, after.format_version()).await?;
        let id = snapshot.snapshot_id();
        let shortened: Vec<ManifestFile> = list
            .iter()
            .filter(|manifest| manifest.added_snapshot_id == id && manifest.has_deleted_files())
            .cloned()
            .collect();
        for entries in files.manifests(&shortened).await? {
            let gone = entries
                .iter()
                .filter(|entry| entry.status() == ManifestStatus::Deleted);
            departed.extend(gone.map(|entry| (entry.file_path().to_owned(), Arc::clone(snapshot))));
        }
    }
    Ok(departed)
}
