//! What a table's own history tells of files that are gone: which snapshot took them out,
//! and whether two snapshots that did are one and the same change.
//!
//! Reads the lists and manifests of the snapshots since the base that did more than
//! append. The metadata names the last hundred or so of them; those before are looked up
//! in the versions of the metadata that its log names. Where those are gone as well, the
//! history is known in part, and what may be in the rest is not taken for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{CommitId, Result};
use iceberg::spec::{
    FormatVersion, ManifestFile, ManifestStatus, Operation, SnapshotRef, TableMetadata,
};

use super::lineage::{SOURCE_COMMIT, SOURCE_SNAPSHOTS, new_snapshots};
use crate::diff::files::{FileChanges, Files};
use crate::metadata::TableFiles;

/// Files that left a table, each with the snapshot that took it out last.
pub(super) type Departed = BTreeMap<String, SnapshotRef>;

/// Former versions of the metadata that are read for snapshots it has forgotten.
const MOST_VERSIONS: usize = 1_024;

/// The snapshots of a table since a base, oldest first.
#[derive(Default)]
pub(super) struct History {
    snapshots: Vec<SnapshotRef>,
    /// Whether these are all there were.
    complete: bool,
}

impl History {
    /// Of `after` since `base`.
    pub(super) async fn between(
        files: &TableFiles,
        base: &TableMetadata,
        after: &TableMetadata,
    ) -> Self {
        // Every snapshot takes the next sequence number.
        let all = base.last_sequence_number() + 1..=after.last_sequence_number();
        let mut missing: BTreeSet<i64> = all.collect();
        let mut known = BTreeMap::new();
        let mut learn = |from: &TableMetadata| {
            for snapshot in new_snapshots(base, from) {
                missing.remove(&snapshot.sequence_number());
                known.insert(snapshot.snapshot_id(), Arc::clone(snapshot));
            }
            missing.last().copied()
        };
        let mut lacks = learn(after);
        let mut version = Arc::new(after.clone());
        for _ in 0..MOST_VERSIONS {
            let Some(location) = lacks.and_then(|number| before(&version, number)) else {
                break;
            };
            // It may be gone: nothing has to keep the versions of old commits.
            let Ok(read) = files.metadata(&location).await else {
                break;
            };
            lacks = learn(&read);
            version = read;
        }
        let mut snapshots: Vec<_> = known.into_values().collect();
        snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
        Self {
            snapshots,
            complete: lacks.is_none(),
        }
    }

    /// Whether all that was done is known, and was to append rows or to rearrange them.
    fn kept_all_rows(&self) -> bool {
        let kinds = [Operation::Append, Operation::Replace];
        let mut done = self.snapshots.iter().map(|by| &by.summary().operation);
        self.complete && done.all(|kind| kinds.contains(kind))
    }
}

/// A version before `version` that may still know the snapshot of sequence number `number`.
fn before(version: &TableMetadata, number: i64) -> Option<String> {
    // None adds more than one snapshot, so the one that added it is so far back at least.
    let back = version.last_sequence_number().checked_sub(number)?;
    let back = usize::try_from(back).ok()?.max(1);
    let log = version.metadata_log();
    let at = log.len().saturating_sub(back);
    log.get(at).map(|version| version.metadata_file.clone())
}

/// What was looked up where the changes of both sides leave something open.
#[derive(Default)]
pub(super) struct Found {
    /// The commit that is merged, picked or reverted.
    pub(super) picked: Option<CommitId>,
    /// What left ours since the base.
    pub(super) ours: Departed,
    /// Whether more may have left ours than is known.
    pub(super) ours_forgot: bool,
    /// Whether all that ours did since the base was to append rows and to rearrange them.
    pub(super) ours_kept_rows: bool,
    /// What left theirs since the base.
    pub(super) theirs: Departed,
    /// Whether files that both sides hold have other data sequence numbers in each.
    pub(super) renumbered: bool,
}

impl Found {
    /// Takes over what `history` tells of ours.
    pub(super) fn learn(&mut self, history: &History, departed: Departed) {
        self.ours = departed;
        self.ours_forgot = !history.complete;
        self.ours_kept_rows = history.kept_all_rows();
    }

    /// Whether ours once had what `theirs` adds.
    pub(super) fn was_here(&self, theirs: &FileChanges) -> bool {
        let added = theirs.added.keys().chain(theirs.added_deletes.keys());
        added.into_iter().any(|path| self.ours.contains_key(path))
    }

    /// Whether ours may have had what `theirs` adds, as far as is known.
    pub(super) fn may_have_been_here(&self, theirs: &FileChanges) -> bool {
        self.picked.is_some() && self.ours_forgot && !theirs.adds_nothing()
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

/// The files that left a table by the snapshots of `history`, also such as came only then.
pub(super) async fn departed(
    files: &Arc<TableFiles>,
    history: &mut History,
    version: FormatVersion,
) -> Result<Departed> {
    let mut departed = Departed::new();
    let mut complete = history.complete;
    for snapshot in &history.snapshots {
        if snapshot.summary().operation == Operation::Append {
            continue;
        }
        match departed_by(files, snapshot, version).await {
            Ok(gone) => departed.extend(gone.map(|path| (path, Arc::clone(snapshot)))),
            // Nothing has to keep the lists of snapshots that the metadata has forgotten.
            Err(error) => {
                tracing::debug!(snapshot = snapshot.snapshot_id(), %error, "a snapshot is gone");
                complete = false;
            }
        }
    }
    history.complete = complete;
    Ok(departed)
}

async fn departed_by(
    files: &Arc<TableFiles>,
    snapshot: &SnapshotRef,
    version: FormatVersion,
) -> Result<impl Iterator<Item = String>> {
    let list = files.list_at(snapshot.manifest_list(), version).await?;
    let id = snapshot.snapshot_id();
    let shortened: Vec<ManifestFile> = list
        .iter()
        .filter(|manifest| manifest.added_snapshot_id == id && manifest.has_deleted_files())
        .cloned()
        .collect();
    let mut gone = Vec::new();
    for entries in files.manifests(&shortened).await? {
        let deleted = entries
            .iter()
            .filter(|entry| entry.status() == ManifestStatus::Deleted);
        gone.extend(deleted.map(|entry| entry.file_path().to_owned()));
    }
    Ok(gone.into_iter())
}
