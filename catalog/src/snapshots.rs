//! The state at a commit: the nearest checkpoint, and the commits after it replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::commits::{Commits, checkpoint_path};
use crate::model::{CommitId, Content, FORMAT, Key, Snapshot, State, check_format};
use crate::{Error, ErrorKind, Result};

const CACHED_SNAPSHOTS: usize = 64;

/// Snapshots by commit, with a cache.
#[derive(Debug)]
pub(crate) struct Snapshots {
    cache: Cache<CommitId, Snapshot>,
}

impl Snapshots {
    pub(crate) fn new() -> Self {
        Self {
            cache: Cache::new(CACHED_SNAPSHOTS),
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
                break read_checkpoint(commits, name).await?;
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
}

#[derive(Serialize)]
struct CheckpointRef<'a> {
    format: u32,
    contents: BTreeMap<&'a Key, &'a Content>,
    watermarks: &'a BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Checkpoint {
    contents: BTreeMap<Key, Content>,
    watermarks: BTreeMap<String, u64>,
}

/// The stored form of a whole state; equal states have equal bytes, and so equal names.
pub(crate) fn checkpoint_json(state: &State) -> Result<Vec<u8>> {
    let contents = state.contents.iter();
    let checkpoint = CheckpointRef {
        format: FORMAT,
        contents: contents.map(|(k, c)| (k.as_ref(), c.as_ref())).collect(),
        watermarks: &state.watermarks,
    };
    serde_json::to_vec(&checkpoint)
        .map_err(|e| Error::internal("cannot write a checkpoint as JSON").with_source(e))
}

async fn read_checkpoint(commits: &Commits, name: &str) -> Result<State> {
    let bytes = commits
        .read(&checkpoint_path(name)?)
        .await
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::corrupt(format!("checkpoint {name} is missing")),
            _ => e,
        })?;
    let what = format!("checkpoint {name}");
    if CommitId::of(&bytes).to_string() != name {
        return Err(Error::corrupt(format!(
            "{what} does not have the content its name promises"
        )));
    }
    check_format(&what, &bytes)?;
    let checkpoint: Checkpoint = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt(format!("{what} is not readable")).with_source(e))?;
    let contents = checkpoint.contents.into_iter();
    Ok(State {
        contents: contents.map(|(k, c)| (Arc::new(k), Arc::new(c))).collect(),
        watermarks: checkpoint.watermarks,
    })
}
