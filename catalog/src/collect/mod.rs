//! Garbage collection: what the catalog knows of it. `lake` adds the files of tables and models.
//!
//! Collecting has two phases, in two runs at least a grace period apart. The first, the *mark*,
//! writes down which objects nothing reaches (they are then *condemned*); the second, the
//! *sweep*, looks again and deletes those that still nothing reaches. All ages are counted by the
//! store's clock. That no reachable object is ever deleted rests on these rules:
//!
//! - A writer publishes within the grace period whatever it began to build on: a head it read, a
//!   file it wrote. Nothing younger than the grace period is condemned.
//! - What a ref named within the grace period (or the longer ref-log retention) is a root, also
//!   when the ref has moved on or is deleted.
//! - A commit that no ref holds can only be named by its hash. Once condemned it is refused
//!   ([`refuse_condemned`](condemned)); until then it is itself a root of every sweep, so a
//!   sweep takes nothing that a commit needs which may still be named.
//! - The names of condemned objects are not used again: file names hold a fresh uuid, and who
//!   finds an object of the content it wanted to write asks [`Collector::may_reuse`].
//!
//! A sweep deletes ref entries first, then files, then commits, and strikes each list off when
//! its objects are gone, so a killed sweep goes on where it was.

mod condemned;
mod logs;
mod paths;
mod squash;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use uuid::Uuid;

pub use condemned::{Condemned, List, ListKind, ListWriter, Run};
pub use logs::{LoggedEntry, RefLogs};
pub use paths::PathSet;
pub use squash::{SquashPolicy, SquashedRange};
pub use walk::{Missing, Settled, Walk};

use crate::catalog::Inner;
use crate::commits::{checkpoint_path, commit_path};
use crate::model::{Commit, CommitId};
use crate::{Catalog, Result, base};

pub(crate) use condemned::refuse_condemned;
use squash::Squashed;
pub(crate) use squash::refuse_squashed;

const COMMITS: &str = "_catalog/commits";

/// The catalog's side of garbage collection.
#[derive(Clone)]
pub struct Collector {
    inner: Arc<Inner>,
}

impl Catalog {
    /// The catalog's side of garbage collection.
    pub fn collector(&self) -> Collector {
        Collector {
            inner: Arc::clone(self.inner()),
        }
    }
}

impl Collector {
    /// Refuses a lakehouse that is open under another URL than it was created under: what its
    /// tables name would seem to be reached by nothing.
    pub async fn check_base(&self) -> Result<()> {
        base::check(&self.inner.store).await
    }

    /// Begins a mark: its run, and the time by the store's clock.
    pub async fn begin(&self) -> Result<(Run, DateTime<Utc>)> {
        let now = Utc::now().format("%Y%m%dT%H%M%SZ");
        let nonce = Uuid::new_v4().simple().to_string();
        let run = Run::new(format!("{now}-{}", &nonce[..8]));
        let started = run.start(self.store().as_ref()).await?;
        Ok((run, started))
    }

    /// All runs that have not been swept to their end, oldest first.
    pub async fn runs(&self) -> Result<Vec<Run>> {
        condemned::runs(self.store().as_ref()).await
    }

    /// The logs of all refs, deleted ones included.
    pub async fn ref_logs(&self) -> Result<RefLogs> {
        RefLogs::list(self.store()).await
    }

    /// Every commit in the store with its size and age, reachable or not.
    pub async fn stored_commits(&self) -> Result<Vec<(CommitId, ObjectMeta)>> {
        let folder = Path::from(COMMITS);
        let listing = self.inner.store.object_store();
        let mut listing = listing.list(Some(&folder));
        let mut found = Vec::new();
        while let Some(object) = listing.try_next().await? {
            if let Some(id) = commit_of(&object.location) {
                found.push((id, object));
            }
        }
        Ok(found)
    }

    /// One commit.
    pub async fn commit(&self, id: CommitId) -> Result<Arc<Commit>> {
        self.inner.commits.get(id).await
    }

    /// A walk over history that squashes by `policy`, given the time, and as recorded before.
    pub async fn walk(&self, policy: Option<SquashPolicy>, now: DateTime<Utc>) -> Result<Walk> {
        let recorded = Squashed::read(self.store().as_ref()).await?;
        Ok(Walk::new(Arc::clone(&self.inner), recorded, policy, now))
    }

    /// Those of `commits` whose tables were given up.
    pub async fn squashed(&self, commits: &[Arc<Commit>]) -> Result<HashSet<CommitId>> {
        let squashed = Squashed::read(self.store().as_ref()).await?;
        let mut found = HashSet::new();
        for commit in commits {
            if squashed.next_of(&self.inner, commit).await?.is_some() {
                found.insert(commit.id);
            }
        }
        Ok(found)
    }

    /// Records what a walk that has settled found squashed, in place of what was recorded when
    /// it began.
    pub async fn record_squashed(&self, walk: &Walk) -> Result<()> {
        let (before, ranges) = (walk.recorded(), walk.ranges());
        squash::record(self.store().as_ref(), before, ranges).await
    }

    /// Whether a writer may count on the object at `path`, which it found to have the bytes it
    /// wanted to write. It is written once more, so that it is young; false when it is condemned
    /// already: then another name is needed.
    pub async fn may_reuse(&self, path: &Path, bytes: bytes::Bytes) -> Result<bool> {
        let store = self.store();
        loop {
            store.put(path, bytes.clone().into()).await?;
            if self
                .first_condemned(&PathSet::from_iter([path]))
                .await?
                .is_some()
            {
                return Ok(false);
            }
            // A sweep may have deleted it and struck it off in between.
            if condemned::exists(&store, path).await? {
                return Ok(true);
            }
        }
    }

    /// The first of `paths` that is condemned: who refers to it anew may lose it.
    pub async fn first_condemned(&self, paths: &PathSet) -> Result<Option<Path>> {
        condemned::any(self.store().as_ref(), paths).await
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.inner.store.object_store()
    }
}

/// The commit stored at `path`.
pub fn commit_of(path: &Path) -> Option<CommitId> {
    let name = path.as_ref().strip_prefix(COMMITS)?.rsplit('/').next()?;
    name.strip_suffix(".json")?.parse().ok()
}

/// Adds the objects of a commit itself to `reached`.
fn reach(reached: &mut PathSet, commit: &Commit) -> Result<()> {
    reached.insert(&commit_path(commit.id));
    if let Some(checkpoint) = &commit.checkpoint {
        reached.insert(&checkpoint_path(checkpoint)?);
    }
    Ok(())
}
