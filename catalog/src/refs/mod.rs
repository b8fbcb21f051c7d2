//! Branches and tags as logs of numbered entries, each written with put-if-absent.
//!
//! The newest entry says which commit the ref is at, or that it is deleted. Entries are numbered
//! without gaps, and whoever writes the next number first has won; entries are never changed.
//! Names hold the inverted number, so that a listing begins with the newest.
//!
//! Old entries may be collected: the oldest first, one after the other, never the newest, and
//! none that was superseded less than an hour ago. A writer that slept since before that must
//! not mistake a collected number for a free one: what was seen more than minutes ago is looked
//! up anew, and a put that took that long is checked ([`Refs::publish`]).

mod entry;
mod log;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use uuid::Uuid;

use crate::model::{FORMAT, check_format};
use crate::store::Store;
use crate::{Error, ErrorKind, Result};

pub use entry::RefKind;
pub use log::RefLogEntry;

pub(crate) use entry::{COMMITTED, Head, Move, Position, entry_number, refs_folder, validate_name};
use entry::{Entry, Seen, entry_path, ref_folder, ref_name};
pub(crate) use log::Then;

/// How often one entry is put when the store's answer does not say whether it was taken.
const PUT_ATTEMPTS: u32 = 3;
/// How many refs or entries are read at once.
const READS: usize = 16;

/// The ref logs of one store, with the newest known position of each.
#[derive(Debug)]
pub(crate) struct Refs {
    store: Store,
    known: Mutex<HashMap<String, Position>>,
}

impl Refs {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            known: Mutex::default(),
        }
    }

    /// The newest position seen in the last minutes; other processes may have moved on.
    pub(crate) fn known(&self, name: &str) -> Option<Position> {
        let known = self.lock().get(name).cloned();
        known.filter(|position| !position.seen.is_stale())
    }

    /// The newest position, for a reader that is content with one seen at most `refresh` ago.
    pub(crate) async fn recent(&self, name: &str, refresh: Duration) -> Result<Option<Position>> {
        match self.known(name).filter(|known| known.seen.age() < refresh) {
            Some(known) => Ok(Some(known)),
            None => self.latest(name).await,
        }
    }

    /// The newest position in the store, also of a deleted ref; none when there never was such a
    /// ref. Costs one read when nothing has changed.
    pub(crate) async fn latest(&self, name: &str) -> Result<Option<Position>> {
        let known = match self.known(name) {
            Some(position) => position,
            None => match self.first_listed(name).await? {
                Some(position) => position,
                None => return Ok(None),
            },
        };
        let latest = self.advance(name, known).await?;
        self.remember(name, latest.clone());
        Ok(Some(latest))
    }

    /// Writes the entry after `after`, or the first. False when another writer has taken that
    /// number: then nothing has changed.
    pub(crate) async fn publish(
        &self,
        name: &str,
        after: Option<&Position>,
        change: Move,
    ) -> Result<bool> {
        let number = after.map_or(0, |after| after.number) + 1;
        let seen = Seen::now();
        let entry = Entry {
            format: FORMAT,
            kind: change.kind,
            commit: change.commit,
            protected: change.protected,
            time: after.map_or(change.time, |after| change.time.max(after.entry.time)),
            author: change.author,
            action: change.action,
            nonce: Uuid::new_v4(),
        };
        if !self.put(name, number, &entry).await? {
            return Ok(false);
        }
        let verified = after.map_or(seen, |after| after.seen);
        // The last entry of a deleted ref may be collected at any time.
        let deleted = after.is_some_and(|after| after.entry.commit.is_none());
        if (deleted || verified.is_stale()) && !self.still_follows(name, after).await? {
            tracing::warn!(
                name,
                number,
                "took back a ref entry written after a long sleep"
            );
            self.store
                .object_store()
                .delete(&entry_path(name, number))
                .await?;
            self.lock().remove(name);
            return Ok(false);
        }
        let entry = Arc::new(entry);
        self.remember(
            name,
            Position {
                number,
                entry,
                seen,
            },
        );
        Ok(true)
    }

    /// Whether an entry just written is part of the log, although its writer slept before: the
    /// entry it follows is still there, so neither it nor this number was ever collected.
    async fn still_follows(&self, name: &str, after: Option<&Position>) -> Result<bool> {
        match after {
            Some(after) => {
                let before = self.read(name, after.number).await?;
                Ok(before.as_ref() == Some(after.entry.as_ref()))
            }
            None => Ok(self.newest_listed(name).await? == Some(1)),
        }
    }

    async fn put(&self, name: &str, number: u64, entry: &Entry) -> Result<bool> {
        let path = entry_path(name, number);
        let bytes = serde_json::to_vec(entry)
            .map_err(|e| Error::internal("cannot write a ref entry as JSON").with_source(e))?;
        let store = self.store.object_store();
        let mut attempt = 1;
        loop {
            let create = PutMode::Create.into();
            let error = match store.put_opts(&path, bytes.clone().into(), create).await {
                Ok(_) => return Ok(true),
                Err(error) => Error::from(error),
            };
            match error.kind() {
                // A put that the client repeated after a lost answer finds its own entry.
                ErrorKind::AlreadyExists => {
                    let winner = self.read(name, number).await?;
                    return Ok(winner.as_ref() == Some(entry));
                }
                ErrorKind::Unavailable if attempt < PUT_ATTEMPTS => attempt += 1,
                _ => return Err(error),
            }
        }
    }

    async fn read(&self, name: &str, number: u64) -> Result<Option<Entry>> {
        let path = entry_path(name, number);
        let bytes = match self.store.object_store().get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let what = format!("entry {number} of {name}");
        check_format(&what, &bytes)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::corrupt(format!("{what} is not readable")).with_source(e))
    }

    async fn read_position(&self, name: &str, number: u64) -> Result<Option<Position>> {
        let seen = Seen::now();
        let entry = self.read(name, number).await?.map(Arc::new);
        Ok(entry.map(|entry| Position {
            number,
            entry,
            seen,
        }))
    }

    /// The newest entry at or after `low`: by doubling steps, then by halving them.
    async fn advance(&self, name: &str, mut low: Position) -> Result<Position> {
        let seen = Seen::now();
        let mut step = 1;
        let mut absent = loop {
            let number = low.number + step;
            match self.read_position(name, number).await? {
                Some(position) => (low, step) = (position, step * 2),
                None => break number,
            }
        };
        while absent - low.number > 1 {
            let middle = low.number + (absent - low.number) / 2;
            match self.read_position(name, middle).await? {
                Some(position) => low = position,
                None => absent = middle,
            }
        }
        Ok(Position { seen, ..low })
    }

    /// The newest entry that a listing shows.
    async fn first_listed(&self, name: &str) -> Result<Option<Position>> {
        match self.newest_listed(name).await? {
            Some(number) => self.read_position(name, number).await,
            None => Ok(None),
        }
    }

    async fn newest_listed(&self, name: &str) -> Result<Option<u64>> {
        let store = self.store.object_store();
        let folder = ref_folder(name);
        // Whatever else lies there does not hide the log.
        let entry_at = |path: &Path| {
            let number = entry_number(path);
            number.filter(|number| entry_path(name, *number) == *path)
        };
        if self.store.lists_in_order() {
            let mut listing = store.list(Some(&folder));
            while let Some(object) = listing.try_next().await? {
                if let Some(number) = entry_at(&object.location) {
                    return Ok(Some(number));
                }
            }
            return Ok(None);
        }
        // The smallest names first. A crash can leave a folder that has no entry yet.
        let mut open = vec![folder];
        while let Some(folder) = open.pop() {
            let mut listed = store.list_with_delimiter(Some(&folder)).await?;
            let entries = listed.objects.iter();
            let numbers = entries.filter_map(|entry| entry_at(&entry.location));
            if let Some(newest) = numbers.max() {
                return Ok(Some(newest));
            }
            listed.common_prefixes.sort_unstable();
            open.extend(listed.common_prefixes.into_iter().rev());
        }
        Ok(None)
    }

    /// The names of all refs that have a log, deleted ones included.
    pub(crate) async fn names(&self) -> Result<BTreeSet<String>> {
        let store = self.store.object_store();
        let listing = store.list_with_delimiter(Some(&refs_folder())).await?;
        let folders = listing.common_prefixes.iter();
        Ok(folders
            .filter_map(|path| path.filename().map(ref_name))
            .collect())
    }

    /// The names and heads of all refs that are not deleted, in the order of their names.
    pub(crate) async fn live(&self) -> Result<Vec<(String, Head)>> {
        let found: Vec<_> = futures::stream::iter(self.names().await?)
            .map(|name| async move {
                let position = self.latest(&name).await?;
                Ok::<_, Error>(position.and_then(Position::head).map(|head| (name, head)))
            })
            .buffered(READS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Whether the store holds a lakehouse of the first format, whose refs were elsewhere.
    pub(crate) async fn is_first_format(&self) -> Result<bool> {
        let folder = Path::from("_catalog/refs/branches/main");
        let store = self.store.object_store();
        Ok(store.list(Some(&folder)).try_next().await?.is_some())
    }

    fn remember(&self, name: &str, position: Position) {
        let mut known = self.lock();
        match known.get_mut(name) {
            Some(newest) if newest.number > position.number => {}
            Some(newest) => *newest = position,
            None => {
                known.insert(name.to_string(), position);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Position>> {
        self.known
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
