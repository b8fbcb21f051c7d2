//! Branches as logs of numbered entries, each written with put-if-absent.
//!
//! The newest entry says which commit the branch is at, or that the branch is deleted. Entries
//! are numbered without gaps, and whoever writes the next number first has won; entries are
//! never changed or removed. Names hold the inverted number, so that a listing begins with the
//! newest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{CommitId, FORMAT, check_format};
use crate::store::Store;
use crate::{Error, ErrorKind, Result};

const BRANCHES: &str = "_catalog/refs/branches";
const LONGEST_NAME: usize = 255;
/// How often one entry is put when the store's answer does not say whether it was taken.
const PUT_ATTEMPTS: u32 = 3;

/// Where a branch is: its newest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The entry's number; 0 before the first.
    pub(crate) number: u64,
    /// The commit; none when the branch is deleted.
    pub(crate) commit: Option<CommitId>,
}

impl Position {
    /// The head, where the branch is not deleted.
    pub(crate) fn head(self) -> Option<Head> {
        let number = self.number;
        self.commit.map(|commit| Head { number, commit })
    }
}

/// Where a living branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the newest entry.
    pub(crate) number: u64,
    /// The commit it names.
    pub(crate) commit: CommitId,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    format: u32,
    commit: Option<CommitId>,
    time: DateTime<Utc>,
    /// Tells this writer's entry from an equal one of another writer.
    nonce: Uuid,
}

/// The branch logs of one store, with the newest known position of each.
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

    /// The newest position seen so far; other processes may have moved on.
    pub(crate) fn known(&self, branch: &str) -> Option<Position> {
        self.lock().get(branch).copied()
    }

    /// The newest position in the store, also of a deleted branch; none when there never was
    /// such a branch. Costs one read when nothing has changed.
    pub(crate) async fn latest(&self, branch: &str) -> Result<Option<Position>> {
        let known = match self.known(branch) {
            Some(position) => position,
            None => match self.first_listed(branch).await? {
                Some(position) => position,
                None => return Ok(None),
            },
        };
        let latest = self.advance(branch, known).await?;
        self.remember(branch, latest);
        Ok(Some(latest))
    }

    /// Writes the entry after number `after`. False when another writer has taken that number:
    /// then nothing has changed.
    pub(crate) async fn publish(
        &self,
        branch: &str,
        after: u64,
        commit: Option<CommitId>,
    ) -> Result<bool> {
        let position = Position {
            number: after + 1,
            commit,
        };
        let entry = Entry {
            format: FORMAT,
            commit,
            time: Utc::now(),
            nonce: Uuid::new_v4(),
        };
        if !self.put(branch, position.number, &entry).await? {
            return Ok(false);
        }
        self.remember(branch, position);
        Ok(true)
    }

    async fn put(&self, branch: &str, number: u64, entry: &Entry) -> Result<bool> {
        let path = entry_path(branch, number);
        let bytes = serde_json::to_vec(entry)
            .map_err(|e| Error::internal("cannot write a branch entry as JSON").with_source(e))?;
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
                    let winner = self.read(branch, number).await?;
                    return Ok(winner.as_ref() == Some(entry));
                }
                ErrorKind::Unavailable if attempt < PUT_ATTEMPTS => attempt += 1,
                _ => return Err(error),
            }
        }
    }

    async fn read(&self, branch: &str, number: u64) -> Result<Option<Entry>> {
        let path = entry_path(branch, number);
        let bytes = match self.store.object_store().get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let what = format!("entry {number} of branch {branch}");
        check_format(&what, &bytes)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::corrupt(format!("{what} is not readable")).with_source(e))
    }

    async fn read_position(&self, branch: &str, number: u64) -> Result<Option<Position>> {
        let entry = self.read(branch, number).await?;
        Ok(entry.map(|entry| Position {
            number,
            commit: entry.commit,
        }))
    }

    /// The newest entry at or after `low`: by doubling steps, then by halving them.
    async fn advance(&self, branch: &str, mut low: Position) -> Result<Position> {
        let mut step = 1;
        let mut absent = loop {
            let number = low.number + step;
            match self.read_position(branch, number).await? {
                Some(position) => (low, step) = (position, step * 2),
                None => break number,
            }
        };
        while absent - low.number > 1 {
            let middle = low.number + (absent - low.number) / 2;
            match self.read_position(branch, middle).await? {
                Some(position) => low = position,
                None => absent = middle,
            }
        }
        Ok(low)
    }

    /// The newest entry that a listing shows.
    async fn first_listed(&self, branch: &str) -> Result<Option<Position>> {
        let folder = branch_folder(branch);
        let store = self.store.object_store();
        let mut listing = store.list(Some(&folder));
        let mut newest = None;
        while let Some(object) = listing.try_next().await? {
            newest = newest.max(entry_number(&object.location));
            if newest.is_some() && self.store.lists_in_order() {
                break;
            }
        }
        match newest {
            Some(number) => self.read_position(branch, number).await,
            None => Ok(None),
        }
    }

    /// The names of all branches that have a log, deleted ones included.
    pub(crate) async fn names(&self) -> Result<BTreeSet<String>> {
        let folder = Path::from(BRANCHES);
        let listing = self
            .store
            .object_store()
            .list_with_delimiter(Some(&folder))
            .await?;
        let folders = listing.common_prefixes.iter();
        Ok(folders
            .filter_map(|path| path.filename().map(decode))
            .collect())
    }

    /// The names and positions of all branches that are not deleted.
    pub(crate) async fn live(&self) -> Result<Vec<(String, CommitId)>> {
        let found: Vec<_> = futures::stream::iter(self.names().await?)
            .map(|name| async move {
                let position = self.latest(&name).await?;
                Ok::<_, Error>(position.and_then(|p| p.commit).map(|commit| (name, commit)))
            })
            .buffered(16)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// That there is no such branch, with the branches there are.
    pub(crate) async fn no_such_branch(&self, branch: &str) -> Error {
        let error = Error::not_found(format!("there is no branch {branch:?}"));
        match self.live().await {
            Ok(live) => {
                let names: Vec<_> = live.into_iter().map(|(name, _)| name).take(20).collect();
                error.with_hint(format!("branches: {}", names.join(", ")))
            }
            Err(e) => e,
        }
    }

    fn remember(&self, branch: &str, position: Position) {
        let mut known = self.lock();
        let newest = known.entry(branch.to_string()).or_insert(position);
        if newest.number < position.number {
            *newest = position;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Position>> {
        self.known
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Checks the name of a branch; `InvalidInput` says what is allowed.
pub(crate) fn validate_branch(name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let hash = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let path = name.contains("..") || name.contains("//") || name.ends_with('/');
    if first && name.chars().all(rest) && !hash && !path && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(
        Error::invalid(format!("branch name {name:?} is not allowed")).with_hint(format!(
            "letters, digits, _, ., / and -, at most {LONGEST_NAME} of them, the first a letter, \
             digit or _; no \"..\", no \"//\", no / at the end, not a commit hash"
        )),
    )
}

fn branch_folder(branch: &str) -> Path {
    // A slash would make a folder of its own; no branch name holds the sign put instead.
    Path::from(BRANCHES).join(branch.replace('/', "="))
}

fn decode(folder: &str) -> String {
    folder.replace('=', "/")
}

fn entry_path(branch: &str, number: u64) -> Path {
    branch_folder(branch).join(format!("{:020}.json", u64::MAX - number))
}

fn entry_number(path: &Path) -> Option<u64> {
    let inverted: u64 = path.filename()?.strip_suffix(".json")?.parse().ok()?;
    Some(u64::MAX - inverted)
}
