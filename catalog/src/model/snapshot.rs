//! The state of the lakehouse at one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::State;
use super::{Commit, CommitId, Content, Key, Operation};
use crate::Result;

/// The state of the lakehouse at one commit: what every key points to.
///
/// Immutable; cloning copies one pointer.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    commit: Arc<Commit>,
    state: State,
}

/// A key that two snapshots have differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDiff {
    /// The key.
    pub key: Key,
    /// What it points to in the first snapshot.
    pub before: Option<Content>,
    /// What it points to in the second.
    pub after: Option<Content>,
}

impl Snapshot {
    pub(crate) fn new(commit: Arc<Commit>, state: State) -> Self {
        Self(Arc::new(Inner { commit, state }))
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    pub(crate) fn commit_arc(&self) -> Arc<Commit> {
        Arc::clone(&self.0.commit)
    }

    /// The id of the commit.
    pub fn id(&self) -> CommitId {
        self.0.commit.id
    }

    /// The commit whose state this is.
    pub fn commit(&self) -> &Commit {
        &self.0.commit
    }

    /// The state after `operations`, which are not committed: a working state on top of this
    /// commit. Fails as a commit of them would.
    pub fn with(&self, operations: &[Operation]) -> Result<Self> {
        let state = self.0.state.apply(operations, &BTreeMap::new())?;
        Ok(Self::new(Arc::clone(&self.0.commit), state))
    }

    /// What `key` points to here; `Corrupt` when the stored state cannot be read.
    pub fn get(&self, key: &Key) -> Result<Option<Content>> {
        self.0.state.get(key)
    }

    /// Whether `key` points to anything.
    pub fn contains(&self, key: &Key) -> Result<bool> {
        self.0.state.contains(key)
    }

    /// All keys and what they point to, in the order of the keys; a namespace that has a key of
    /// its own comes before what is in it.
    pub fn entries(&self) -> Result<Vec<(Key, Content)>> {
        self.0.state.entries()
    }

    /// The keys of one namespace and what they point to, the namespace's own key included. Does
    /// not read the others.
    pub fn entries_in(&self, namespace: &str) -> Result<Vec<(Key, Content)>> {
        self.0.state.entries_in(namespace)
    }

    /// The namespaces, in order: those with a key of their own, and those that hold something.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        self.0.state.namespaces()
    }

    /// The keys that `other` has differently, in their order.
    pub fn diff(&self, other: &Self) -> Result<Vec<KeyDiff>> {
        self.0.state.diff(&other.0.state)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.state.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The log position up to which `ingester` has committed, as of the newest commit along the
    /// first parents that says so.
    pub fn watermark(&self, ingester: &str) -> Option<u64> {
        self.watermarks().get(ingester).copied()
    }

    /// The watermark of every ingester that ever committed to this history.
    pub fn watermarks(&self) -> &BTreeMap<String, u64> {
        self.0.state.watermarks()
    }
}
