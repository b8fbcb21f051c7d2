//! The logs of all refs as the collector sees them: which entries are roots, which are stale.
//!
//! Ages are those the store reports, since the times in the entries are their writers'.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use crate::model::{CommitId, check_format};
use crate::refs::{entry_number, refs_folder};
use crate::{Error, Result};

const PARALLEL_READS: usize = 32;

/// One entry of a ref's log.
#[derive(Clone, Debug)]
pub struct LoggedEntry {
    /// Its number; later entries have higher ones.
    pub number: u64,
    /// Path, size, and when it was written by the store's clock.
    pub object: ObjectMeta,
    /// Whether it is the newest of a deleted ref: it has to go last. Known of stale entries.
    pub deletion: bool,
}

/// The logs of all refs, each newest entry first.
pub struct RefLogs {
    store: Arc<dyn ObjectStore>,
    logs: BTreeMap<String, Vec<LoggedEntry>>,
}

impl RefLogs {
    pub(super) async fn list(store: Arc<dyn ObjectStore>) -> Result<Self> {
        let folder = refs_folder();
        let mut listing = store.list(Some(&folder));
        let mut logs: BTreeMap<String, Vec<LoggedEntry>> = BTreeMap::new();
        while let Some(object) = listing.try_next().await? {
            let name = object.location.parts().nth(2);
            let (Some(name), Some(number)) = (name, entry_number(&object.location)) else {
                continue;
            };
            let log = logs.entry(name.as_ref().to_owned()).or_default();
            log.push(LoggedEntry {
                number,
                object,
                deletion: false,
            });
        }
        for log in logs.values_mut() {
            log.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        }
        drop(listing);
        Ok(Self { store, logs })
    }

    /// The number of refs, deleted ones included.
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Whether there is no ref at all.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// Every commit that a ref was at, at any time since `cutoff`.
    pub async fn roots(&self, cutoff: DateTime<Utc>) -> Result<HashSet<CommitId>> {
        let logs = self.logs.values();
        let entries = logs.flat_map(|log| &log[..current(log, cutoff)]);
        let paths: Vec<_> = entries.map(|e| e.object.location.clone()).collect();
        let commits: Vec<_> = futures::stream::iter(paths)
            .map(|path| {
                let store = Arc::clone(&self.store);
                async move { read(store.as_ref(), &path).await }
            })
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await?;
        Ok(commits.into_iter().flatten().collect())
    }

    /// The entries that say nothing about any time since `cutoff`, oldest first in each log; of
    /// a ref deleted before it all. The newest entry of a living ref is never among them.
    pub async fn stale(&self, cutoff: DateTime<Utc>) -> Result<Vec<LoggedEntry>> {
        let mut stale = Vec::new();
        for log in self.logs.values() {
            let mut kept = current(log, cutoff);
            if let [newest, ..] = log.as_slice()
                && newest.object.last_modified < cutoff
                && read(self.store.as_ref(), &newest.object.location)
                    .await?
                    .is_none()
            {
                kept = 0;
            }
            let newest = stale.len() + log.len() - 1;
            stale.extend(log[kept..].iter().rev().cloned());
            if let Some(deletion) = stale.get_mut(newest) {
                deletion.deletion = true;
            }
        }
        Ok(stale)
    }
}

/// How many of the newest entries were a ref's state at some time since `cutoff`: an entry is
/// the state until the next one is written.
fn current(log: &[LoggedEntry], cutoff: DateTime<Utc>) -> usize {
    let superseded = log
        .iter()
        .position(|entry| entry.object.last_modified < cutoff);
    superseded.map_or(log.len(), |oldest| oldest + 1)
}

/// The commit an entry names; none for a deletion, and for an entry that another collector has
/// just taken away.
async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Option<CommitId>> {
    #[derive(Deserialize)]
    struct Entry {
        commit: Option<CommitId>,
    }
    let bytes = match store.get(path).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let what = format!("ref entry {path}");
    check_format(&what, &bytes)?;
    let entry: Entry = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt(format!("{what} is not readable")).with_source(e))?;
    Ok(entry.commit)
}
