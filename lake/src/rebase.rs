//! Committing staged operations on whatever the branch's head is by then.
//!
//! An operation stands as it is where its key has not changed since the operations were
//! staged. A table that another commit changed meanwhile goes through the three-way merge:
//! what was appended is appended again, and what was rewritten or removed is so again when
//! the files it replaces are still there. Ingest, maintenance and statements so share a
//! table without waiting for each other.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{
    BothChanged, Change, ChangeSet, Content, ContentMerge, Error, Key, MergeRule, Merged,
    Operation, Result, Snapshot,
};
use futures::{StreamExt, TryStreamExt};

use crate::merge::TableMerge;
use crate::metadata::TableFiles;

/// Tables rebased at once.
const PARALLEL_TABLES: usize = 16;

/// Operations that were staged on `base`.
pub(crate) struct Rebase {
    merge: TableMerge,
    base: Snapshot,
    operations: Vec<Operation>,
    /// What must be as it is on `base`.
    reads: Vec<Key>,
}

impl Rebase {
    pub(crate) fn new(
        files: Arc<TableFiles>,
        base: Snapshot,
        operations: Vec<Operation>,
        reads: Vec<Key>,
    ) -> Self {
        let merge = TableMerge::rebasing(files);
        Self {
            merge,
            base,
            operations,
            reads,
        }
    }

    fn check_reads(&self, head: &Snapshot) -> Result<()> {
        for key in &self.reads {
            if self.base.get(key)? != head.get(key)? {
                return Err(Error::conflict(format!(
                    "another commit changed {key} meanwhile, and what is to be written was \
                     computed from its rows"
                ))
                .with_hint("read the newest state and make the change again"));
            }
        }
        Ok(())
    }

    /// The operation on `head`; none when `head` has it already.
    async fn rebased(&self, head: &Snapshot, operation: &Operation) -> Result<Option<Operation>> {
        let key = operation.key();
        let (base, ours) = (self.base.get(key)?, head.get(key)?);
        let theirs = match operation {
            Operation::Put { content, .. } => Some(content),
            Operation::Delete { .. } => None,
        };
        if theirs == ours.as_ref() {
            return Ok(None);
        }
        if base == ours || self.drops_whatever(operation, base.as_ref(), ours.as_ref()) {
            return Ok(Some(operation.clone()));
        }
        let changed = BothChanged {
            key,
            base: base.as_ref(),
            ours: ours.as_ref(),
            theirs,
            rule: MergeRule::Rebase,
            dry_run: false,
            source: "",
            source_commit: self.base.id(),
        };
        match self.merge.merge(&changed).await? {
            Merged::Content { content, .. } if Some(&content) == ours.as_ref() => Ok(None),
            Merged::Content { content, .. } => Ok(Some(Operation::Put {
                key: key.clone(),
                content,
            })),
            Merged::Conflict { ours, theirs } => Err(overtaken(key, &ours, &theirs)),
        }
    }

    /// Dropping a table drops it as it has become; but not when the drop is half of a
    /// rename, whose other half only knows the table as it was.
    fn drops_whatever(
        &self,
        operation: &Operation,
        base: Option<&Content>,
        ours: Option<&Content>,
    ) -> bool {
        let uuid = base.and_then(Content::uuid);
        let same = uuid.is_some() && uuid == ours.and_then(Content::uuid);
        let renamed = |other: &Operation| match other {
            Operation::Put { content, .. } => content.uuid() == uuid,
            Operation::Delete { .. } => false,
        };
        matches!(operation, Operation::Delete { .. })
            && same
            && !self.operations.iter().any(renamed)
    }
}

fn overtaken(key: &Key, ours: &str, theirs: &str) -> Error {
    Error::conflict(format!(
        "another commit changed {key} meanwhile: it {ours}; this one {theirs}"
    ))
    .with_hint("read the newest state and make the change again")
}

#[async_trait]
impl Change for Rebase {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        self.check_reads(head)?;
        let rebased = self.operations.iter();
        let rebased: Vec<_> = rebased.map(|it| self.rebased(head, it)).collect();
        let operations: Vec<_> = futures::stream::iter(rebased)
            .buffered(PARALLEL_TABLES)
            .try_collect()
            .await?;
        Ok(ChangeSet {
            operations: operations.into_iter().flatten().collect(),
            ..ChangeSet::default()
        })
    }
}
