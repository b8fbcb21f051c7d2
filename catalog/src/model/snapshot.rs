//! The state of the lakehouse at one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Commit, CommitId, Content, Key, Operation};
use crate::{Error, Result};

/// Commit properties with this prefix carry an ingester's log position.
const WATERMARK: &str = "watermark.";

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

/// Contents and watermarks after some commit. Cloning copies pointers, not names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) contents: BTreeMap<Arc<Key>, Arc<Content>>,
    pub(crate) watermarks: BTreeMap<String, u64>,
}

impl State {
    /// The state after `operations` and `properties` are applied to this one.
    ///
    /// `InvalidInput` for a bad key, a key named twice or a watermark that is no number;
    /// `NotFound` for deleting what is not there.
    pub(crate) fn apply(
        &self,
        operations: &[Operation],
        properties: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut next = self.clone();
        let mut seen = BTreeSet::new();
        for operation in operations {
            let key = operation.key();
            key.validate()?;
            if !seen.insert(key) {
                return Err(Error::invalid(format!("one commit changes {key} twice")));
            }
            next.apply_one(operation)?;
        }
        for (name, value) in properties {
            let Some(ingester) = name.strip_prefix(WATERMARK) else {
                continue;
            };
            let position = value.parse().map_err(|_| {
                Error::invalid(format!("property {name} is {value:?}, not a log position"))
            })?;
            next.watermarks.insert(ingester.to_string(), position);
        }
        Ok(next)
    }

    fn apply_one(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Put { key, content } => {
                self.contents
                    .insert(Arc::new(key.clone()), Arc::new(content.clone()));
            }
            Operation::Delete { key } => {
                if self.contents.remove(key).is_none() {
                    return Err(Error::not_found(format!("{key} does not exist")));
                }
            }
        }
        Ok(())
    }
}

impl Snapshot {
    pub(crate) fn new(commit: Arc<Commit>, state: State) -> Self {
        Self(Arc::new(Inner { commit, state }))
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    /// The id of the commit.
    pub fn id(&self) -> CommitId {
        self.0.commit.id
    }

    /// The commit whose state this is.
    pub fn commit(&self) -> &Commit {
        &self.0.commit
    }

    /// What `key` points to here.
    pub fn get(&self, key: &Key) -> Option<&Content> {
        self.0.state.contents.get(key).map(AsRef::as_ref)
    }

    /// All keys and what they point to, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Content)> {
        self.0
            .state
            .contents
            .iter()
            .map(|(key, content)| (key.as_ref(), content.as_ref()))
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.state.contents.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.state.contents.is_empty()
    }

    /// The log position up to which `ingester` has committed, as of the newest commit along the
    /// first parents that says so.
    pub fn watermark(&self, ingester: &str) -> Option<u64> {
        self.0.state.watermarks.get(ingester).copied()
    }

    /// The watermark of every ingester that ever committed to this history.
    pub fn watermarks(&self) -> &BTreeMap<String, u64> {
        &self.0.state.watermarks
    }
}
