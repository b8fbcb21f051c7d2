//! Searching history in few reads.
//!
//! Along the first parents history is a tree, and every commit carries a skip pointer, so any
//! ancestor and the nearest common one are O(log n) reads away. Merge commits add further
//! chains; each commit points to the last merge before it, so only merges are looked at.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::Result;
use crate::commits::Commits;
use crate::model::{Commit, CommitId};

type Found = Option<Arc<Commit>>;

/// The newest commit along the first parents that was made at or before `time`.
pub(crate) async fn at_or_before(
    commits: &Commits,
    head: CommitId,
    time: DateTime<Utc>,
) -> Result<Found> {
    let mut commit = commits.get(head).await?;
    while commit.time > time {
        let (Some(parent), Some(skip)) = (commit.parent, commit.skip) else {
            return Ok(None);
        };
        let far = commits.get(skip.commit).await?;
        commit = match far.time > time {
            true => far,
            false => commits.get(parent).await?,
        };
    }
    Ok(Some(commit))
}

/// The nearest commit that both histories hold, merges included.
pub(crate) async fn merge_base(commits: &Commits, a: CommitId, b: CommitId) -> Result<Found> {
    let (a, b) = (commits.get(a).await?, commits.get(b).await?);
    let mut best = first_parent_base(commits, &a, &b).await?;
    let lines_a = lines(commits, a, generation(&best)).await?;
    let lines_b = lines(commits, b, generation(&best)).await?;
    for x in &lines_a {
        for y in &lines_b {
            // A common commit is no newer than either line's head.
            if best.is_some() && x.generation.min(y.generation) <= generation(&best) {
                continue;
            }
            let base = first_parent_base(commits, x, y).await?;
            if base.is_some() && (best.is_none() || generation(&base) > generation(&best)) {
                best = base;
            }
        }
    }
    Ok(best)
}

fn generation(commit: &Found) -> u64 {
    commit.as_ref().map_or(0, |commit| commit.generation)
}

/// The heads of all first-parent lines in the history of `head`, itself and every merged
/// commit, as far as they reach above `least`.
async fn lines(commits: &Commits, head: Arc<Commit>, least: u64) -> Result<Vec<Arc<Commit>>> {
    let mut seen = HashSet::from([head.id]);
    let mut found = vec![Arc::clone(&head)];
    let mut merges = HashSet::new();
    let mut open = vec![head];
    while let Some(commit) = open.pop() {
        if commit.generation <= least {
            continue;
        }
        if let Some(merged) = commit.merge_parent
            && seen.insert(merged)
        {
            let merged = commits.get(merged).await?;
            found.push(Arc::clone(&merged));
            open.push(merged);
        }
        if let Some(merge) = commit.last_merge
            && merges.insert(merge)
        {
            open.push(commits.get(merge).await?);
        }
    }
    Ok(found)
}

/// The nearest common commit of two first-parent lines.
async fn first_parent_base(commits: &Commits, a: &Commit, b: &Commit) -> Result<Found> {
    let mut a = at_depth(commits, a, b.depth).await?;
    let mut b = at_depth(commits, b, a.depth).await?;
    while a.id != b.id {
        let (Some(parent_a), Some(parent_b)) = (a.parent, b.parent) else {
            return Ok(None);
        };
        // Equal depths have equally long leaps.
        let (next_a, next_b) = match (a.skip, b.skip) {
            (Some(x), Some(y)) if x.commit != y.commit => (x.commit, y.commit),
            _ => (parent_a, parent_b),
        };
        a = commits.get(next_a).await?;
        b = commits.get(next_b).await?;
    }
    Ok(Some(a))
}

/// The first-parent ancestor of `commit` at `depth`; itself when it is not deeper.
pub(crate) async fn at_depth(
    commits: &Commits,
    commit: &Commit,
    depth: u64,
) -> Result<Arc<Commit>> {
    let mut commit = commits.get(commit.id).await?;
    while commit.depth > depth {
        let next = match (commit.skip, commit.parent) {
            (Some(skip), _) if skip.depth >= depth => skip.commit,
            (_, Some(parent)) => parent,
            (_, None) => break,
        };
        commit = commits.get(next).await?;
    }
    Ok(commit)
}
