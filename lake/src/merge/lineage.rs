//! Where the files of a merged snapshot come from, as its summary tells.

use std::collections::BTreeMap;

use catalog::CommitId;
use iceberg::spec::{Operation, SnapshotRef, TableMetadata};

use super::Sides;
use crate::diff::files::FileChanges;
use crate::diff::words::only_compacted;

/// The ref that was merged, as it was named.
const SOURCE: &str = "pumphouse.merge.source";
/// The commit it was at.
pub(super) const SOURCE_COMMIT: &str = "pumphouse.merge.source-commit";
/// The table's snapshots there whose changes came in, oldest first.
pub(super) const SOURCE_SNAPSHOTS: &str = "pumphouse.merge.source-snapshot-ids";

/// Counts in a summary, which every snapshot has of its own.
const COUNTS: [&str; 5] = ["added-", "deleted-", "removed-", "total-", "changed-"];

/// What is merged.
pub(super) struct Lineage {
    pub(super) source: String,
    pub(super) commit: CommitId,
}

/// The summary of the snapshot that brings theirs in, without counts.
///
/// A commit that was only overtaken keeps what its own snapshots said.
pub(super) fn summary(lineage: Option<&Lineage>, sides: &Sides<'_>) -> BTreeMap<String, String> {
    let snapshots = new_snapshots(sides.base, sides.theirs);
    let Some(lineage) = lineage else {
        let said = snapshots
            .iter()
            .map(|by| &by.summary().additional_properties);
        let said = said
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()));
        return said.filter(|(name, _)| !is_count(name)).collect();
    };
    let ids: Vec<_> = snapshots
        .iter()
        .map(|by| by.snapshot_id().to_string())
        .collect();
    BTreeMap::from([
        (SOURCE.to_owned(), lineage.source.clone()),
        (SOURCE_COMMIT.to_owned(), lineage.commit.to_string()),
        (SOURCE_SNAPSHOTS.to_owned(), ids.join(",")),
    ])
}

fn is_count(name: &str) -> bool {
    COUNTS.iter().any(|prefix| name.starts_with(prefix))
}

/// What kind of change the snapshot that makes `changes` is, in Iceberg's terms.
pub(super) fn operation(sides: &Sides<'_>, changes: &FileChanges) -> Operation {
    if changes.only_appended() {
        return Operation::Append;
    }
    if changes.added.is_empty() {
        return Operation::Delete;
    }
    match only_compacted(sides.base, sides.theirs) {
        true => Operation::Replace,
        false => Operation::Overwrite,
    }
}

/// The snapshots that `after` has and `before` has not, oldest first.
pub(super) fn new_snapshots<'a>(
    before: &TableMetadata,
    after: &'a TableMetadata,
) -> Vec<&'a SnapshotRef> {
    let snapshots = after.snapshots();
    let mut new: Vec<_> = snapshots
        .filter(|snapshot| before.snapshot_by_id(snapshot.snapshot_id()).is_none())
        .collect();
    new.sort_by_key(|snapshot| snapshot.sequence_number());
    new
}
