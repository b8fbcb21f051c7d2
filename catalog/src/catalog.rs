//! The catalog's front: every operation of the crate in one place.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;

use crate::base;
use crate::commits::{self, Commits};
use crate::committer::{self, Change, Line};
use crate::merge::{self, ContentMerge, MergeOptions, MergeReport, Way};
use crate::model::{Commit, CommitId, CommitMeta, Operation, Snapshot};
use crate::rebase::Rebase;
use crate::references::{self, RefInfo};
use crate::refs::{Head, Move, Position, RefKind, RefLogEntry, Refs, validate_name};
use crate::reset;
use crate::resolve::{Look, resolve, resolve_to_read};
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::{Error, MAIN, Result};

/// The refs, commits and contents of one lakehouse. Cloning is cheap; clones share caches and
/// the group committer.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

/// How a catalog is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogOptions {
    /// For how long readers may take a head they have seen for the newest; zero, the default,
    /// looks every time. Writers always look.
    pub refresh: Duration,
}

/// What the parts of the crate share.
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) commits: Commits,
    pub(crate) snapshots: Snapshots,
    pub(crate) refs: Refs,
    options: CatalogOptions,
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

    pub(crate) async fn look(&self, name: &str, look: Look) -> Result<Option<Position>> {
        match look {
            Look::Reader => self.refs.recent(name, self.options.refresh).await,
            Look::Anew => self.refs.latest(name).await,
        }
    }

    /// Where the branch is now; see [`Inner::head_of`].
    pub(crate) async fn branch_head(&self, name: &str) -> Result<Head> {
        self.head_of(RefKind::Branch, name).await
    }

    /// Where a ref of this kind is now; `NotFound` when there is none or it is deleted,
    /// `InvalidInput` when it is of the other kind.
    pub(crate) async fn head_of(&self, kind: RefKind, name: &str) -> Result<Head> {
        validate_name(kind, name)?;
        let position = self.refs.latest(name).await?;
        let Some(head) = position.and_then(Position::head) else {
            return Err(self.no_such_ref(kind, name).await);
        };
        if head.kind() == kind {
            return Ok(head);
        }
        let (wanted, found) = (kind.name(), head.kind().name());
        let error = Error::invalid(format!("{name:?} is a {found}, not a {wanted}"));
        Err(match kind {
            RefKind::Branch => error.with_hint(format!(
                "a tag never moves: create a branch from {name} and work there"
            )),
            RefKind::Tag => error.with_hint("use the command for branches"),
        })
    }

    /// That there is no such ref, with what there is; says so when there was one.
    pub(crate) async fn no_such_ref(&self, kind: RefKind, name: &str) -> Error {
        let kind = kind.name();
        match self.refs.latest(name).await {
            Ok(Some(last)) => {
                let (author, time) = (&last.entry.author, last.entry.time);
                Error::not_found(format!("{kind} {name:?} was deleted by {author} at {time}"))
                    .with_hint("its log says where it was: create it from there again")
            }
            Ok(None) => match self.refs.live().await {
                Ok(live) => unknown_ref(kind, name, &live),
                Err(error) => error,
            },
            Err(error) => error,
        }
    }

    pub(crate) async fn snapshot(&self, id: CommitId) -> Result<Snapshot> {
        self.snapshots.get(&self.commits, id).await
    }

    /// Gives an empty store its first commit and the branch `main`.
    async fn begin(&self) -> Result<()> {
        if self.refs.is_first_format().await? {
            return Err(Error::unsupported(format!(
                "the lakehouse at {} was written by an earlier version of pumphouse",
                self.store.url()
            ))
            .with_hint("use that version, or another folder or bucket"));
        }
        base::record(&self.store).await?;
        let root = commits::root()?;
        self.commits.write(&root).await?;
        let create = Move {
            kind: RefKind::Branch,
            commit: Some(root.snapshot.id()),
            protected: false,
            time: DateTime::UNIX_EPOCH,
            author: "pumphouse".to_string(),
            action: "create the lakehouse".to_string(),
        };
        // Losing this race is fine: the root is the same for everybody.
        self.refs.publish(MAIN, None, create).await.map(drop)
    }
}

fn unknown_ref(kind: &str, name: &str, live: &[(String, Head)]) -> Error {
    let names = |kind| {
        let refs = live.iter().filter(|(_, head)| head.kind() == kind);
        let names: Vec<_> = refs.map(|(name, _)| name.as_str()).take(20).collect();
        names.join(", ")
    };
    let (branches, tags) = (names(RefKind::Branch), names(RefKind::Tag));
    let error = Error::not_found(format!("there is no {kind} {name:?}"));
    match tags.is_empty() {
        true => error.with_hint(format!("branches: {branches}")),
        false => error.with_hint(format!("branches: {branches}; tags: {tags}")),
    }
}

impl Catalog {
    /// Opens the lakehouse in `store`; an empty store gets a branch `main` with an empty root
    /// commit. Several processes may do this at once.
    pub async fn open(store: Store) -> Result<Self> {
        Self::open_with(store, CatalogOptions::default()).await
    }

    /// Opens the lakehouse as `options` say.
    pub async fn open_with(store: Store, options: CatalogOptions) -> Result<Self> {
        let inner = Inner {
            commits: Commits::new(store.object_store()),
            snapshots: Snapshots::new(),
            refs: Refs::new(store.clone()),
            options,
            store,
            lines: Mutex::default(),
        };
        if inner.refs.latest(MAIN).await?.is_none() {
            inner.begin().await?;
        }
        Ok(Self(Arc::new(inner)))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The store the catalog lives in.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The newest snapshot of a branch (or that of a tag), other processes' commits included:
    /// one read when nothing has changed. `NotFound` lists the refs.
    pub async fn head(&self, name: &str) -> Result<Snapshot> {
        self.resolve(name).await
    }

    /// The snapshot that `spec` names; see [`Catalog::resolve_commit`]. `NotFound` names another
    /// commit where the tables of this one are squashed.
    pub async fn resolve(&self, spec: &str) -> Result<Snapshot> {
        let commit = resolve_to_read(&self.0, spec).await?;
        self.snapshot(commit.id).await
    }

    /// The snapshot that `spec` names, for whoever goes on to commit something that needs it:
    /// `NotFound` also for a commit that is being collected.
    pub async fn resolve_to_build_on(&self, spec: &str) -> Result<Snapshot> {
        let commit = resolve(&self.0, spec, Look::Anew).await?;
        self.snapshot(commit.id).await
    }

    /// The commit that `spec` names: a branch or tag; a commit hash, or at least 8 digits of it
    /// where no ref has that name; a ref followed by `@<hash or digits>` (a commit of its
    /// history) or by `@2026-11-01T00:00:00Z` (where the ref was then). Each may end in `~N`, N
    /// commits before along the first parents. Does not load the state.
    pub async fn resolve_commit(&self, spec: &str) -> Result<Arc<Commit>> {
        resolve(&self.0, spec, Look::Reader).await
    }

    /// The snapshot at one commit.
    pub async fn snapshot(&self, id: CommitId) -> Result<Snapshot> {
        self.0.snapshot(id).await
    }

    /// Commits `change` to `branch` and returns the snapshot of this very commit.
    ///
    /// Concurrent calls share one branch entry. Races with other processes are retried for a
    /// minute, then `Unavailable`. After `Unavailable` the commit may or may not have happened;
    /// dropping the future does not take it back either. `PermissionDenied` when the branch is
    /// protected, unless `meta` is automatic.
    pub async fn commit(
        &self,
        branch: &str,
        meta: CommitMeta,
        change: Arc<dyn Change>,
    ) -> Result<Snapshot> {
        validate_name(RefKind::Branch, branch)?;
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

    /// At most `limit` commits along the first parents, newest first, from `spec` on.
    pub async fn log(&self, spec: &str, limit: usize) -> Result<Vec<Arc<Commit>>> {
        let mut next = Some(self.resolve_commit(spec).await?.id);
        let mut log = Vec::new();
        while let Some(id) = next.filter(|_| log.len() < limit) {
            let commit = self.0.commits.get(id).await?;
            next = commit.parent;
            log.push(commit);
        }
        Ok(log)
    }
}

/// Branches and tags.
impl Catalog {
    /// Creates a branch at `from` (see [`Catalog::resolve_commit`]) and returns its commit. Costs
    /// the same whatever the lakehouse holds. `AlreadyExists` for the name of any ref.
    pub async fn create_branch(&self, name: &str, from: &str, author: &str) -> Result<Arc<Commit>> {
        references::create(&self.0, RefKind::Branch, name, from, author).await
    }

    /// Creates a tag at `at`, as [`Catalog::create_branch`] does.
    pub async fn create_tag(&self, name: &str, at: &str, author: &str) -> Result<Arc<Commit>> {
        references::create(&self.0, RefKind::Tag, name, at, author).await
    }

    /// All branches and tags, in the order of their names.
    pub async fn refs(&self) -> Result<Vec<RefInfo>> {
        references::list(&self.0, None).await
    }

    /// All branches, in the order of their names.
    pub async fn branches(&self) -> Result<Vec<RefInfo>> {
        references::list(&self.0, Some(RefKind::Branch)).await
    }

    /// All tags, in the order of their names.
    pub async fn tags(&self) -> Result<Vec<RefInfo>> {
        references::list(&self.0, Some(RefKind::Tag)).await
    }

    /// One branch or tag; `NotFound` lists the refs.
    pub async fn reference(&self, name: &str) -> Result<RefInfo> {
        references::get(&self.0, name).await
    }

    /// Deletes a branch; its commits stay. `main` cannot be deleted, nor a protected branch.
    pub async fn delete_branch(&self, name: &str, author: &str) -> Result<()> {
        references::delete(&self.0, RefKind::Branch, name, author).await
    }

    /// Deletes a tag; its commit stays.
    pub async fn delete_tag(&self, name: &str, author: &str) -> Result<()> {
        references::delete(&self.0, RefKind::Tag, name, author).await
    }

    /// Gives a branch another name, under which its log begins anew. `main` cannot be renamed,
    /// nor a protected branch.
    pub async fn rename_branch(&self, old: &str, new: &str, author: &str) -> Result<()> {
        references::rename(&self.0, old, new, author).await
    }

    /// Protects a branch, or lifts that: a protected branch is not deleted, renamed or reset and
    /// takes no direct commits, only merges and what the lakehouse itself commits.
    pub async fn protect_branch(&self, name: &str, protected: bool, author: &str) -> Result<()> {
        references::protect(&self.0, name, protected, author).await
    }

    /// Moves a branch to any commit, and gives the commit it is at then. What it leaves stays
    /// reachable through [`Catalog::ref_log`], so this can be undone by another reset.
    ///
    /// Watermarks do not go back: where they would, a commit on top of `to` keeps them, and a
    /// running ingester goes on. Rows it committed since are off the branch, like all else.
    pub async fn reset_branch(&self, name: &str, to: &str, author: &str) -> Result<Arc<Commit>> {
        reset::reset(&self.0, name, to, author).await
    }

    /// At most `limit` moves of a ref, newest first; also of one that is deleted.
    pub async fn ref_log(&self, name: &str, limit: usize) -> Result<Vec<RefLogEntry>> {
        references::log(&self.0, name, limit).await
    }
}

/// Bringing changes from one branch to another. All try again when another writer is first, and
/// a report with conflicts means that nothing was done ([`MergeReport::into_result`]).
impl Catalog {
    /// Merges `source` (see [`Catalog::resolve_commit`]) into the branch `target`.
    ///
    /// A key changed on one side only is taken as it is; `contents` merges those changed on both.
    /// `Conflict` when the two have no commit in common.
    pub async fn merge(
        &self,
        source: &str,
        target: &str,
        options: &MergeOptions,
        contents: &dyn ContentMerge,
    ) -> Result<MergeReport> {
        merge::bring(&self.0, Way::Merge, (source, target), options, contents).await
    }

    /// Makes the change of one commit again on `branch`; of a merge commit, what it merged.
    pub async fn cherry_pick(
        &self,
        commit: &str,
        branch: &str,
        options: &MergeOptions,
        contents: &dyn ContentMerge,
    ) -> Result<MergeReport> {
        merge::bring(&self.0, Way::Pick, (commit, branch), options, contents).await
    }

    /// Takes the change of one commit back by a new commit on `branch`. Watermarks stay: what an
    /// ingester has committed is not committed again.
    pub async fn revert(
        &self,
        commit: &str,
        branch: &str,
        options: &MergeOptions,
        contents: &dyn ContentMerge,
    ) -> Result<MergeReport> {
        merge::bring(&self.0, Way::Revert, (commit, branch), options, contents).await
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalog({})", self.0.store.url())
    }
}
