//! The catalog's front: every operation of the crate in one place.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::branches::{self, BranchInfo};
use crate::commits::{self, Commits};
use crate::committer::{self, Change, ChangeSet, Line};
use crate::merge::{Merge, MergeOutcome};
use crate::model::{Commit, CommitId, CommitMeta, Operation, Snapshot};
use crate::refs::{Head, Position, Refs, validate_branch};
use crate::resolve;
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::{Error, MAIN, Result};

/// The branches, commits and contents of one lakehouse. Cloning is cheap; clones share caches
/// and the group committer.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

/// What the parts of the crate share.
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) commits: Commits,
    pub(crate) snapshots: Snapshots,
    pub(crate) refs: Refs,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

impl Inner {
    /// This process's queue of commits to `branch`.
    pub(crate) fn line(&self, branch: &str) -> Arc<Line> {
        let mut lines = self
            .lines
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        Arc::clone(lines.entry(branch.to_string()).or_default())
    }

    /// Where `branch` is now; `NotFound` when there is no such branch or it is deleted.
    pub(crate) async fn position(&self, branch: &str) -> Result<Head> {
        validate_branch(branch)?;
        let position = self.refs.latest(branch).await?;
        match position.and_then(Position::head) {
            Some(head) => Ok(head),
            None => Err(self.refs.no_such_branch(branch).await),
        }
    }

    pub(crate) async fn head(&self, branch: &str) -> Result<Snapshot> {
        let head = self.position(branch).await?;
        self.snapshot(head.commit).await
    }

    pub(crate) async fn snapshot(&self, id: CommitId) -> Result<Snapshot> {
        self.snapshots.get(&self.commits, id).await
    }
}

impl Catalog {
    /// Opens the lakehouse in `store`; an empty store gets a branch `main` with an empty root
    /// commit. Several processes may do this at once.
    pub async fn open(store: Store) -> Result<Self> {
        let inner = Inner {
            commits: Commits::new(store.object_store()),
            snapshots: Snapshots::new(),
            refs: Refs::new(store.clone()),
            store,
            lines: Mutex::default(),
        };
        if inner.refs.latest(MAIN).await?.is_none() {
            let root = commits::root()?;
            inner.commits.write(&root).await?;
            // Losing this race is fine: the root is the same for everybody.
            inner.refs.publish(MAIN, 0, Some(root.commit.id)).await?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The store the catalog lives in.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The newest snapshot of `branch`, other processes' commits included: one read when
    /// nothing has changed. `NotFound` lists the branches.
    pub async fn head(&self, branch: &str) -> Result<Snapshot> {
        self.0.head(branch).await
    }

    /// The snapshot that `spec` names: `main`, `main@<commit hash or at least 8 digits of it>`,
    /// `main@2026-11-01T00:00:00Z` (the last commit at or before), or a whole commit hash.
    pub async fn resolve(&self, spec: &str) -> Result<Snapshot> {
        resolve::resolve(&self.0, spec).await
    }

    /// The snapshot at one commit.
    pub async fn snapshot(&self, id: CommitId) -> Result<Snapshot> {
        self.0.snapshot(id).await
    }

    /// Commits `change` to `branch` and returns the snapshot of this very commit.
    ///
    /// Concurrent calls share one branch entry. Races with other processes are retried for a
    /// minute, then `Unavailable`. After `Unavailable` the commit may or may not have happened;
    /// dropping the future does not take it back either.
    pub async fn commit(
        &self,
        branch: &str,
        meta: CommitMeta,
        change: Arc<dyn Change>,
    ) -> Result<Snapshot> {
        validate_branch(branch)?;
        committer::commit(&self.0, branch, meta, change).await
    }

    /// Commits `operations` that were made knowing the state at `base`. They stand as they are
    /// when none of their keys has changed since; else `Conflict` names the keys.
    pub async fn commit_operations(
        &self,
        branch: &str,
        meta: CommitMeta,
        base: CommitId,
        operations: Vec<Operation>,
    ) -> Result<Snapshot> {
        let base = self.snapshot(base).await?;
        let change = Arc::new(Rebase { base, operations });
        self.commit(branch, meta, change).await
    }

    /// Creates a branch at `from` (see [`Catalog::resolve`]) and returns its snapshot.
    pub async fn create_branch(&self, name: &str, from: &str) -> Result<Snapshot> {
        branches::create(&self.0, name, from).await
    }

    /// All branches, in the order of their names.
    pub async fn branches(&self) -> Result<Vec<BranchInfo>> {
        branches::list(&self.0).await
    }

    /// Deletes a branch; its commits stay. `main` cannot be deleted.
    pub async fn delete_branch(&self, name: &str) -> Result<()> {
        branches::delete(&self.0, name).await
    }

    /// At most `limit` commits along the first parents, newest first, from `spec` on.
    pub async fn log(&self, spec: &str, limit: usize) -> Result<Vec<Arc<Commit>>> {
        let mut next = Some(self.resolve(spec).await?.id());
        let mut log = Vec::new();
        while let Some(id) = next.filter(|_| log.len() < limit) {
            let commit = self.0.commits.get(id).await?;
            next = commit.parent;
            log.push(commit);
        }
        Ok(log)
    }

    /// Merges `source` (see [`Catalog::resolve`]) into the branch `target`.
    ///
    /// A `Conflict` error names every key that both sides changed, and nothing is merged.
    /// `message` is used when a merge commit is made.
    pub async fn merge(
        &self,
        source: &str,
        target: &str,
        author: &str,
        message: Option<&str>,
    ) -> Result<MergeOutcome> {
        let merge = Merge {
            source,
            target,
            author,
            message,
        };
        merge.run(&self.0).await
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalog({})", self.0.store.url())
    }
}

/// Operations that were made on `base`.
struct Rebase {
    base: Snapshot,
    operations: Vec<Operation>,
}

#[async_trait]
impl Change for Rebase {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let keys = self.operations.iter().map(Operation::key);
        let changed: Vec<_> = keys
            .filter(|key| self.base.get(key) != head.get(key))
            .map(ToString::to_string)
            .collect();
        if !changed.is_empty() {
            return Err(Error::conflict(format!(
                "{} changed since commit {}",
                changed.join(", "),
                self.base.id().short()
            ))
            .with_hint("read the newest state and make the change again"));
        }
        Ok(ChangeSet {
            operations: self.operations.clone(),
            properties: BTreeMap::new(),
        })
    }
}
