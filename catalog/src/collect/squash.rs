//! Squashing: of the many commits that ingest makes, old ones give up their tables' files.
//!
//! A squashed commit stays in the history, so that every hash still verifies; what only its state
//! shows is no longer kept. Squashed commits are recorded as ranges under `_catalog/squashed/`:
//! the first-parent ancestors of a kept commit between two depths.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalog::Inner;
use crate::model::{Commit, CommitId, FORMAT, check_format};
use crate::{Error, ErrorKind, MAINTENANCE, Result, history};

const FOLDER: &str = "_catalog/squashed";
/// Commit properties with this prefix mark a commit of ingest.
const WATERMARK: &str = "watermark.";

/// Which of ingest's commits are squashed: those older than an age, but for the last in every
/// interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SquashPolicy {
    /// Commits younger than this stay as they are.
    pub older_than: Duration,
    /// One commit in every such interval is kept.
    pub keep_every: Duration,
}

impl SquashPolicy {
    /// The number of the interval that `time` is in; none when that is not over, or not old.
    pub(super) fn interval(&self, time: DateTime<Utc>, now: DateTime<Utc>) -> Option<i64> {
        let every = i64::try_from(self.keep_every.as_micros())
            .unwrap_or(i64::MAX)
            .max(1);
        let age = i64::try_from(self.older_than.as_micros()).unwrap_or(i64::MAX);
        let old = now.timestamp_micros().saturating_sub(age).div_euclid(every);
        let interval = time.timestamp_micros().div_euclid(every);
        (interval < old).then_some(interval)
    }
}

/// Whether ingest made the commit, or maintenance, which comes between as often and holds files
/// as long; and nobody named it a merge.
pub(super) fn is_ingest(commit: &Commit) -> bool {
    let names = &mut commit.properties.keys();
    let routine = names.any(|name| name.starts_with(WATERMARK) || name == MAINTENANCE);
    routine && commit.merge_parent.is_none()
}

/// Squashed commits that follow each other: the ancestors of `kept` along the first parents whose
/// depths lie between `from` and `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SquashedRange {
    /// The next commit after them, which is kept.
    pub kept: CommitId,
    /// The least depth.
    pub from: u64,
    /// The largest depth.
    pub to: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    ranges: Vec<SquashedRange>,
}

/// All that is recorded as squashed.
#[derive(Clone, Debug, Default)]
pub(super) struct Squashed {
    pub(super) ranges: Vec<SquashedRange>,
}

impl Squashed {
    pub(super) async fn read(store: &dyn ObjectStore) -> Result<Self> {
        loop {
            if let Some((_, ranges)) = read_once(store).await? {
                return Ok(Self { ranges });
            }
        }
    }

    /// The commit to name instead of `commit`, where that is squashed.
    async fn instead_of(&self, inner: &Inner, commit: &Commit) -> Result<Option<CommitId>> {
        let mut instead = None;
        let mut commit = Arc::new(commit.clone());
        // What an earlier squash kept may have been squashed since.
        while let Some(kept) = self.next_of(inner, &commit).await? {
            instead = Some(kept);
            commit = inner.commits.get(kept).await?;
        }
        Ok(instead)
    }

    /// The commit that is kept in place of `commit`, or was when that was squashed.
    pub(super) async fn next_of(&self, inner: &Inner, commit: &Commit) -> Result<Option<CommitId>> {
        if !is_ingest(commit) {
            return Ok(None);
        }
        for range in &self.ranges {
            if !(range.from..=range.to).contains(&commit.depth) {
                continue;
            }
            match before(inner, range.kept, commit.depth).await {
                Ok(there) if there == commit.id => return Ok(Some(range.kept)),
                Ok(_) => {}
                // It is being collected, and so are those before it, if no other range has them.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

/// The commit at `depth` in the history of `kept`.
async fn before(inner: &Inner, kept: CommitId, depth: u64) -> Result<CommitId> {
    let kept = inner.commits.get(kept).await?;
    Ok(history::at_depth(&inner.commits, &kept, depth).await?.id)
}

/// Refuses a commit whose tables were given up.
pub(crate) async fn refuse_squashed(inner: &Inner, commit: &Arc<Commit>) -> Result<()> {
    if !is_ingest(commit) {
        return Ok(());
    }
    let squashed = Squashed::read(inner.store.object_store().as_ref()).await?;
    match squashed.instead_of(inner, commit).await? {
        None => Ok(()),
        Some(kept) => Err(Error::not_found(format!(
            "commit {} of {} is squashed: its tables are no longer kept",
            commit.id.short(),
            commit.time.format("%Y-%m-%d %H:%M:%S UTC"),
        ))
        .with_hint(format!("the next commit that is kept is {kept}"))),
    }
}

/// All records with what they hold; none when one was replaced meanwhile.
async fn read_once(store: &dyn ObjectStore) -> Result<Option<(Vec<Path>, Vec<SquashedRange>)>> {
    let folder = Path::from(FOLDER);
    let listed: Vec<_> = store.list(Some(&folder)).try_collect().await?;
    let (mut paths, mut ranges) = (Vec::new(), Vec::new());
    for path in listed.into_iter().map(|object| object.location) {
        let bytes = match store.get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        check_format(path.as_ref(), &bytes)?;
        let stored: Stored = serde_json::from_slice(&bytes)
            .map_err(|e| Error::corrupt(format!("{path} is not readable")).with_source(e))?;
        ranges.extend(stored.ranges);
        paths.push(path);
    }
    Ok(Some((paths, ranges)))
}

/// Puts `ranges` in place of what was recorded as `before`. What another collector has recorded
/// since stays.
pub(super) async fn record(
    store: &dyn ObjectStore,
    before: &[SquashedRange],
    ranges: &[SquashedRange],
) -> Result<()> {
    let (old, recorded) = loop {
        if let Some(read) = read_once(store).await? {
            break read;
        }
    };
    let since = recorded
        .iter()
        .filter(|range| !before.contains(range) && !ranges.contains(range));
    let all: Vec<_> = ranges.iter().chain(since).copied().collect();
    if all.len() == recorded.len() && all.iter().all(|range| recorded.contains(range)) {
        return Ok(());
    }
    let stored = Stored {
        format: FORMAT,
        ranges: all,
    };
    let bytes = serde_json::to_vec(&stored)
        .map_err(|e| Error::internal("cannot write ranges as JSON").with_source(e))?;
    let path = Path::from(format!("{FOLDER}/{}.json", Uuid::new_v4().simple()));
    // Created, so that a local folder has it on disk before what it replaces is gone.
    let create = PutMode::Create.into();
    store.put_opts(&path, bytes.into(), create).await?;
    for path in old {
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
