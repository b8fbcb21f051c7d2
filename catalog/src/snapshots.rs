//! The state at a commit: the nearest checkpoint, and the commits after it replayed.

use std::sync::Arc;

use crate::cache::Cache;
use crate::commits::{Commits, checkpoint_path};
use crate::model::{CommitId, Flat, Snapshot, State};
use crate::{Error, ErrorKind, Result};

const CACHED_SNAPSHOTS: usize = 64;
const CACHED_CHECKPOINTS: usize = 8;

/// Snapshots by commit, with a cache.
#[derive(Debug)]
pub(crate) struct Snapshots {
    cache: Cache<CommitId, Snapshot>,
    /// Checkpoints by hash: states that stand on the same one share it, and compare fast.
    checkpoints: Cache<String, Arc<Flat>>,
}

impl Snapshots {
    pub(crate) fn new() -> Self {
        Self {
            cache: Cache::new(CACHED_SNAPSHOTS),
            checkpoints: Cache::new(CACHED_CHECKPOINTS),
        }
    }

    /// Remembers a snapshot that was just made.
    pub(crate) fn remember(&self, snapshot: &Snapshot) {
        self.cache.insert(snapshot.id(), snapshot.clone());
    }

    /// The state at `id`: reads at most one checkpoint and the commits after it.
    pub(crate) async fn get(&self, commits: &Commits, id: CommitId) -> Result<Snapshot> {
        if let Some(snapshot) = self.cache.get(&id) {
            return Ok(snapshot);
        }
        let newest = commits.get(id).await?;
        let mut later = Vec::new();
        let mut commit = Arc::clone(&newest);
        let mut state = loop {
            if let Some(snapshot) = self.cache.get(&commit.id) {
                break snapshot.state().clone();
            }
            if let Some(name) = &commit.checkpoint {
                break State::new(self.checkpoint(commits, name).await?);
            }
            let Some(parent) = commit.parent else {
                return Err(Error::corrupt(format!(
                    "root commit {} has no checkpoint",
                    commit.id
                )));
            };
            later.push(commit);
            commit = commits.get(parent).await?;
        };
        for commit in later.iter().rev() {
            state = state
                .apply(&commit.operations, &commit.properties)
                .map_err(|e| Error::corrupt(format!("commit {}: {e}", commit.id)))?;
        }
        let snapshot = Snapshot::new(newest, state);
        self.remember(&snapshot);
        Ok(snapshot)
    }

    async fn checkpoint(&self, commits: &Commits, name: &str) -> Result<Arc<Flat>> {
        if let Some(flat) = self.checkpoints.get(&name.to_string()) {
            return Ok(flat);
        }
        let path = checkpoint_path(name)?;
        let bytes = commits.read(&path).await.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::corrupt(format!("checkpoint {name} is missing")),
            _ => e,
        })?;
        let what = format!("checkpoint {name}");
        if CommitId::of(&bytes).to_string() != name {
            return Err(Error::corrupt(format!(
                "{what} does not have the content its name promises"
            )));
        }
        let flat = Arc::new(Flat::open(&what, &bytes)?);
        self.checkpoints.insert(name.to_string(), Arc::clone(&flat));
        Ok(flat)
    }
}
