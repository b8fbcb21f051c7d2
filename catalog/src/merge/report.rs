//! What a merge is asked for, and what it says it did.

use std::collections::BTreeMap;

use crate::model::{CommitId, Content, Key};
use crate::{Error, Result};

/// How to merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeOptions {
    /// Who merges.
    pub author: String,
    /// The message of the commit; absent, it says what was merged.
    pub message: Option<String>,
    /// Properties of the commit.
    pub properties: BTreeMap<String, String>,
    /// Whether only the report is wanted: then nothing is written.
    pub dry_run: bool,
    /// Which side wins where a key is in conflict.
    pub resolutions: BTreeMap<Key, Side>,
    /// Which side wins where any other key is in conflict.
    pub resolve_rest: Option<Side>,
}

/// One side of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The target.
    Ours,
    /// The source.
    Theirs,
}

/// What a merge came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MergeOutcome {
    /// The target already had all of it: nothing was done.
    AlreadyUpToDate,
    /// The target had no commits of its own and moved to the source.
    FastForward,
    /// A commit was made on the target.
    Merged,
    /// Some keys are in conflict: nothing was done.
    Conflicts,
}

/// What a merge, cherry-pick or revert did, or in a dry run would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeReport {
    /// What it came to.
    pub outcome: MergeOutcome,
    /// The source as it was named.
    pub source_name: String,
    /// The branch it went to.
    pub target_name: String,
    /// The commit both sides come from.
    pub base: CommitId,
    /// The commit merged, picked or taken back.
    pub source: CommitId,
    /// The head of the target before.
    pub target: CommitId,
    /// The head of the target after; none in a dry run and where nothing was done.
    pub commit: Option<CommitId>,
    /// What changed on the target, in the order of the keys.
    pub changes: Vec<KeyChange>,
    /// What stands in the way, in the order of the keys.
    pub conflicts: Vec<KeyConflict>,
}

/// A key that a merge changed on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: Key,
    /// What became of it.
    pub kind: ChangeKind,
    /// How both sides' changes were brought together, where both had changed it.
    pub how: Option<String>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// It points to something else.
    Changed,
    /// It is gone.
    Deleted,
}

impl ChangeKind {
    /// The kind of a change between two contents that differ.
    pub(super) fn of(before: Option<&Content>, after: Option<&Content>) -> Self {
        match (before, after) {
            (_, None) => Self::Deleted,
            (None, Some(_)) => Self::Created,
            (Some(_), Some(_)) => Self::Changed,
        }
    }
}

/// A key whose changes exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConflict {
    /// The key.
    pub key: Key,
    /// What the target did.
    pub ours: String,
    /// What the source did.
    pub theirs: String,
}

impl MergeReport {
    /// The report, or where there are conflicts a `Conflict` error that names every key and what
    /// each side did.
    pub fn into_result(self) -> Result<Self> {
        if self.outcome != MergeOutcome::Conflicts {
            return Ok(self);
        }
        let (source, target) = (&self.source_name, &self.target_name);
        let conflicts = self.conflicts.iter().map(|conflict| {
            let KeyConflict { key, ours, theirs } = conflict;
            format!("{key} ({theirs} on {source}, {ours} on {target})")
        });
        let conflicts: Vec<_> = conflicts.collect();
        Err(Error::conflict(format!(
            "merging {source} into {target}: changed on both sides: {}",
            conflicts.join("; ")
        ))
        .with_hint("nothing was merged; say for each key which side wins, or let both agree"))
    }
}
