//! What marks have condemned: lists in `_catalog/gc/<run>/`, kept until their objects are gone.
//!
//! A run's folder holds `mark.json` from its beginning, lists in the order in which a sweep works
//! on them (`1-entries-0000.json`, ...), and `complete.json` once all lists are there. Only a
//! complete run is swept, and only what is in one is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PathSet, commit_of};
use crate::catalog::Inner;
use crate::commits::commit_path;
use crate::model::{CommitId, FORMAT, check_format};
use crate::{Error, ErrorKind, Result, history};

const RUNS: &str = "_catalog/gc";
const MARK: &str = "mark.json";
const COMPLETE: &str = "complete.json";
/// Objects in one list: what is worked off at once, and found again after a kill.
const LIST_LENGTH: usize = 5_000;

/// One object that nothing reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Where it is.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock. A younger object of the name is another one.
    pub modified: DateTime<Utc>,
}

impl From<&ObjectMeta> for Condemned {
    fn from(object: &ObjectMeta) -> Self {
        Self {
            path: object.location.to_string(),
            size: object.size,
            modified: object.last_modified,
        }
    }
}

impl Condemned {
    /// Its path; `Corrupt` when it is none.
    pub fn path(&self) -> Result<Path> {
        Path::parse(&self.path).map_err(|e| {
            Error::corrupt(format!("{:?} in a list of the collector", self.path)).with_source(e)
        })
    }
}

/// What is in a list; in the order in which a sweep works on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListKind {
    /// Ref entries that later ones have replaced.
    Entries,
    /// The last entries of deleted refs; were they gone before the others, the refs would live.
    Deletions,
    /// Files of tables, views and models.
    Files,
    /// Commits and checkpoints. They go last: their lists keep them from being named anew while
    /// what they need is being deleted.
    Commits,
}

const KINDS: [(ListKind, &str); 4] = [
    (ListKind::Entries, "1-entries-"),
    (ListKind::Deletions, "2-deletions-"),
    (ListKind::Files, "3-files-"),
    (ListKind::Commits, "4-commits-"),
];

/// One list of a run.
#[derive(Clone, Debug)]
pub struct List {
    /// What it lists.
    pub kind: ListKind,
    path: Path,
}

impl List {
    /// What is in it; nothing when another collector has just struck it off.
    pub async fn read(&self, store: &dyn ObjectStore) -> Result<Vec<Condemned>> {
        #[derive(Deserialize)]
        struct Stored {
            objects: Vec<Condemned>,
        }
        let stored: Option<Stored> = read(store, &self.path).await?;
        Ok(stored.map(|stored| stored.objects).unwrap_or_default())
    }

    /// Strikes it off: its objects are gone, or are needed again.
    pub async fn remove(&self, store: &dyn ObjectStore) -> Result<()> {
        remove(store, &self.path).await
    }
}

/// One mark, and the sweep of it.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    /// When all its lists were there, by the store's clock; none while the mark goes on, or when
    /// it was killed.
    pub completed: Option<DateTime<Utc>>,
    /// When the mark began, by the store's clock.
    pub started: Option<DateTime<Utc>>,
    /// Its lists, in the order in which they are to be worked on.
    pub lists: Vec<List>,
}

impl Run {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            completed: None,
            started: None,
            lists: Vec::new(),
        }
    }

    /// The name of its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self, file: &str) -> Path {
        Path::from(format!("{RUNS}/{}/{file}", self.name))
    }

    pub(super) async fn start(&self, store: &dyn ObjectStore) -> Result<DateTime<Utc>> {
        #[derive(Serialize)]
        struct Mark {
            format: u32,
        }
        write(store, &self.path(MARK), &Mark { format: FORMAT }).await?;
        Ok(store.head(&self.path(MARK)).await?.last_modified)
    }

    /// Says that all lists are there; gives the time of it by the store's clock.
    pub async fn complete(&self, store: &dyn ObjectStore) -> Result<DateTime<Utc>> {
        #[derive(Serialize)]
        struct Complete {
            format: u32,
        }
        let bytes = serde_json::to_vec(&Complete { format: FORMAT })
            .map_err(|e| Error::internal("cannot write JSON").with_source(e))?;
        // A local folder has everything written before on disk once an object is created.
        let create = PutMode::Create.into();
        store
            .put_opts(&self.path(COMPLETE), bytes.into(), create)
            .await?;
        Ok(store.head(&self.path(COMPLETE)).await?.last_modified)
    }

    /// Removes the run's folder: it is swept, or was given up.
    pub async fn remove(&self, store: &dyn ObjectStore) -> Result<()> {
        for list in &self.lists {
            list.remove(store).await?;
        }
        remove(store, &self.path(COMPLETE)).await?;
        remove(store, &self.path(MARK)).await
    }

    /// A writer of this run's lists of one kind.
    pub fn writer(&self, kind: ListKind) -> ListWriter {
        let prefix = KINDS.iter().find(|(other, _)| *other == kind);
        ListWriter {
            prefix: self.path(prefix.map_or("", |(_, prefix)| prefix)),
            number: 0,
            waiting: Vec::new(),
        }
    }
}

/// Writes lists of one kind, a few thousand objects each.
pub struct ListWriter {
    prefix: Path,
    number: usize,
    waiting: Vec<Condemned>,
}

impl ListWriter {
    /// Adds one object.
    pub async fn add(&mut self, store: &dyn ObjectStore, object: Condemned) -> Result<()> {
        self.waiting.push(object);
        match self.waiting.len() < LIST_LENGTH {
            true => Ok(()),
            false => self.flush(store).await,
        }
    }

    /// Writes what is not written yet.
    pub async fn finish(mut self, store: &dyn ObjectStore) -> Result<()> {
        match self.waiting.is_empty() {
            true => Ok(()),
            false => self.flush(store).await,
        }
    }

    async fn flush(&mut self, store: &dyn ObjectStore) -> Result<()> {
        #[derive(Serialize)]
        struct Stored {
            format: u32,
            objects: Vec<Condemned>,
        }
        let path = Path::from(format!("{}{:06}.json", self.prefix, self.number));
        let stored = Stored {
            format: FORMAT,
            objects: std::mem::take(&mut self.waiting),
        };
        self.number += 1;
        write(store, &path, &stored).await
    }
}

async fn write(store: &dyn ObjectStore, path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|e| Error::internal("cannot write a list as JSON").with_source(e))?;
    store.put(path, bytes.into()).await?;
    Ok(())
}

async fn read<T: DeserializeOwned>(store: &dyn ObjectStore, path: &Path) -> Result<Option<T>> {
    let bytes = match store.get(path).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    check_format(path.as_ref(), &bytes)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| Error::corrupt(format!("{path} is not readable")).with_source(e))
}

async fn remove(store: &dyn ObjectStore, path: &Path) -> Result<()> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All runs, oldest first.
pub(super) async fn runs(store: &dyn ObjectStore) -> Result<Vec<Run>> {
    let folder = Path::from(RUNS);
    let mut listing = store.list(Some(&folder));
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    while let Some(object) = listing.try_next().await? {
        let parts: Vec<_> = object.location.parts().collect();
        let [_, _, name, file] = parts.as_slice() else {
            continue;
        };
        let (name, file) = (name.as_ref(), file.as_ref());
        let run = runs
            .entry(name.to_owned())
            .or_insert_with(|| Run::new(name.to_owned()));
        match file {
            MARK => run.started = Some(object.last_modified),
            COMPLETE => run.completed = Some(object.last_modified),
            _ => {
                let kind = KINDS.iter().find(|(_, prefix)| file.starts_with(prefix));
                let path = object.location.clone();
                run.lists
                    .extend(kind.map(|(kind, _)| List { kind: *kind, path }));
            }
        }
    }
    let mut runs: Vec<_> = runs.into_values().collect();
    for run in &mut runs {
        run.lists.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(runs)
}

/// The first of `paths` that a complete run has condemned.
pub(super) async fn any(store: &dyn ObjectStore, paths: &PathSet) -> Result<Option<Path>> {
    for list in complete_lists(store).await? {
        for object in list.read(store).await? {
            let path = object.path()?;
            if paths.contains(&path) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

async fn complete_lists(store: &dyn ObjectStore) -> Result<Vec<List>> {
    let runs = runs(store).await?;
    let complete = runs.into_iter().filter(|run| run.completed.is_some());
    Ok(complete.flat_map(|run| run.lists).collect())
}

/// Refuses to build on a commit that is condemned and that no ref holds: what it needs may be
/// gone in a moment. For commits that were named by more than a ref; costs one listing and one
/// look at the commit while nothing is condemned.
pub(crate) async fn refuse_condemned(inner: &Inner, id: CommitId) -> Result<()> {
    let store = inner.store.object_store();
    let collected = match is_listed(&store, id).await? {
        true => !is_held(inner, id).await?,
        // A list goes after its commits, so this order of looking misses neither.
        false => !exists(&store, &commit_path(id)).await?,
    };
    if !collected {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "commit {id} is being collected: no branch or tag has held it for a while"
    ))
    .with_hint("name a commit that `pumphouse log` shows for a branch or a tag"))
}

/// Whether there is an object at `path`.
pub(super) async fn exists(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<bool> {
    match store.head(path).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn is_listed(store: &Arc<dyn ObjectStore>, id: CommitId) -> Result<bool> {
    let mut lists = complete_lists(store.as_ref()).await?;
    lists.retain(|list| list.kind == ListKind::Commits);
    let found = futures::stream::iter(lists)
        .map(|list| async move { list.read(store.as_ref()).await })
        .buffer_unordered(8)
        .try_any(|objects| async move {
            let mut commits = objects.iter().filter_map(|object| object.path().ok());
            commits.any(|path| commit_of(&path) == Some(id))
        });
    found.await
}

async fn is_held(inner: &Inner, id: CommitId) -> Result<bool> {
    for (_, head) in inner.refs.live().await? {
        match history::merge_base(&inner.commits, id, head.commit).await {
            Ok(Some(base)) if base.id == id => return Ok(true),
            Ok(_) => {}
            // The condemned commit's own history is going away already.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}
