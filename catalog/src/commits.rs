//! Reading and writing commits, and making the next one.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use crate::cache::Cache;
use crate::model::{Commit, CommitId, CommitMeta, FORMAT, Flat, Operation, Skip, Snapshot, State};
use crate::{Error, ErrorKind, Result};

const CACHED_COMMITS: usize = 4096;

/// Every so many commits along the first parents one carries a checkpoint of the whole state.
const CHECKPOINT_EVERY: u64 = 32;
/// A state with more changes than this since its checkpoint gets a new one, so that copying the
/// changes to the next commit stays cheap.
const LARGEST_OVERLAY: usize = 512;

/// The stored commits, with a cache.
#[derive(Debug)]
pub(crate) struct Commits {
    store: Arc<dyn ObjectStore>,
    cache: Cache<CommitId, Arc<Commit>>,
}

/// A commit that is made but not stored, the state after it, and the bytes of its objects by
/// path.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) snapshot: Snapshot,
    objects: Vec<(Path, Vec<u8>)>,
}

/// What a commit is made of.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    /// The state it is made on.
    pub(crate) onto: &'a Snapshot,
    /// The commit it merges into that.
    pub(crate) merged: Option<&'a Commit>,
    pub(crate) meta: CommitMeta,
    pub(crate) operations: Vec<Operation>,
    /// When the ref it is made for was last moved: clocks of several writers differ.
    pub(crate) not_before: DateTime<Utc>,
}

impl Commits {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            cache: Cache::new(CACHED_COMMITS),
        }
    }

    /// The commit `id`; `NotFound` or `Corrupt`.
    pub(crate) async fn get(&self, id: CommitId) -> Result<Arc<Commit>> {
        if let Some(commit) = self.cache.get(&id) {
            return Ok(commit);
        }
        let bytes = self
            .read(&commit_path(id))
            .await
            .map_err(|e| match e.kind() {
                ErrorKind::NotFound => Error::not_found(format!("there is no commit {id}"))
                    .with_hint("`pumphouse log` lists the commits of a branch"),
                _ => e,
            })?;
        let commit = Arc::new(Commit::open(id, &bytes)?);
        self.cache.insert(id, Arc::clone(&commit));
        Ok(commit)
    }

    /// The bytes of the object at `path`.
    pub(crate) async fn read(&self, path: &Path) -> Result<bytes::Bytes> {
        Ok(self.store.get(path).await?.bytes().await?)
    }

    /// Stores a draft; it is durable, but in no branch, when this returns.
    pub(crate) async fn write(&self, draft: &Draft) -> Result<()> {
        let puts = draft.objects.iter().map(|(path, bytes)| async move {
            // Objects are named by their hash, so writing one twice changes nothing.
            self.store.put(path, bytes.clone().into()).await
        });
        futures::future::try_join_all(puts).await?;
        Ok(())
    }

    /// The commit, with the state after it; fails as [`State::apply`] does.
    pub(crate) async fn draft(&self, making: Making<'_>) -> Result<Draft> {
        let Making { onto, merged, .. } = making;
        let parent = onto.commit();
        let state = onto
            .state()
            .apply(&making.operations, &making.meta.properties)?;
        let generation = merged.map_or(0, |merged| merged.generation);
        let merged_time = merged.map_or(parent.time, |merged| merged.time);
        let last_merge = match parent.merge_parent {
            Some(_) => Some(parent.id),
            None => parent.last_merge,
        };
        let now = Utc::now().max(making.not_before).trunc_subsecs(6);
        let commit = Commit {
            id: parent.id,
            format: FORMAT,
            parent: Some(parent.id),
            merge_parent: merged.map(|merged| merged.id),
            generation: parent.generation.max(generation) + 1,
            depth: parent.depth + 1,
            skip: Some(self.skip_from(parent).await?),
            last_merge,
            checkpoint: None,
            author: making.meta.author,
            message: making.meta.message,
            // History must not run backwards.
            time: now.max(parent.time).max(merged_time),
            operations: making.operations,
            properties: making.meta.properties,
        };
        let draft = seal(commit, state)?;
        // The next commit of the same group looks back at this one before it is stored.
        let commit = draft.snapshot.commit_arc();
        self.cache.insert(commit.id, commit);
        Ok(draft)
    }

    /// Where the child of `parent` skips to: as far as its parent's skip's skip where those two
    /// leaps are equally long, else to the parent. Any ancestor is then O(log n) steps away.
    async fn skip_from(&self, parent: &Commit) -> Result<Skip> {
        let near = Skip {
            commit: parent.id,
            depth: parent.depth,
        };
        let Some(skip) = parent.skip else {
            return Ok(near);
        };
        match self.get(skip.commit).await?.skip {
            Some(far) if parent.depth - skip.depth == skip.depth - far.depth => Ok(far),
            _ => Ok(near),
        }
    }
}

/// The first commit, the same in every lakehouse: so all histories are related, and processes
/// that race to open a new store agree.
pub(crate) fn root() -> Result<Draft> {
    let commit = Commit {
        id: CommitId::of(b""),
        format: FORMAT,
        parent: None,
        merge_parent: None,
        generation: 0,
        depth: 0,
        skip: None,
        last_merge: None,
        checkpoint: None,
        author: "pumphouse".to_string(),
        message: "create the lakehouse".to_string(),
        time: DateTime::UNIX_EPOCH,
        operations: Vec::new(),
        properties: std::collections::BTreeMap::new(),
    };
    seal(commit, State::new(Arc::new(Flat::empty())))
}

/// Gives the commit its checkpoint, where one is due, and its id.
fn seal(mut commit: Commit, mut state: State) -> Result<Draft> {
    let mut objects = Vec::new();
    if commit.depth.is_multiple_of(CHECKPOINT_EVERY) || state.changed() > LARGEST_OVERLAY {
        state = state.flatten()?;
        // The root is the same for everybody, and never collected.
        let bytes = state
            .base()
            .to_bytes(commit.parent.map(|_| Uuid::new_v4()))?;
        let name = CommitId::of(&bytes).to_string();
        objects.push((checkpoint_path(&name)?, bytes));
        commit.checkpoint = Some(name);
    }
    let bytes = commit.seal()?;
    objects.push((commit_path(commit.id), bytes));
    let snapshot = Snapshot::new(Arc::new(commit), state);
    Ok(Draft { snapshot, objects })
}

/// Where commits whose hash begins with these two hex digits are.
pub(crate) fn commit_folder(first_two: &str) -> Path {
    Path::from(format!("_catalog/commits/{first_two}"))
}

pub(crate) fn commit_path(id: CommitId) -> Path {
    let name = id.to_string();
    commit_folder(&name[..2]).join(format!("{name}.json"))
}

/// Where the checkpoint of this hash is; `Corrupt` when it is no hash.
pub(crate) fn checkpoint_path(name: &str) -> Result<Path> {
    let hash: CommitId = name
        .parse()
        .map_err(|_| Error::corrupt(format!("{name:?} is not the name of a checkpoint")))?;
    Ok(Path::from(format!("_catalog/checkpoints/{hash}.lines")))
}
