//! The walk over history: every commit that roots reach, and what it points to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::squash::{SquashPolicy, Squashed, SquashedRange, is_ingest};
use super::{PathSet, reach};
use crate::catalog::Inner;
use crate::model::{Commit, CommitId, Content, Key, Operation};
use crate::{ErrorKind, Result, history};

const PARALLEL_READS: usize = 64;

/// What a missing commit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The lakehouse is damaged: nothing may be deleted.
    Refuse,
    /// The root is held by nothing, so what it misses went with an earlier sweep.
    Skip,
}

/// A walk over history. Roots are added step by step; each commit is visited once.
///
/// What ingest's commits point to is held back where it may be squashed, until
/// [`Walk::settle`] has seen all of them.
pub struct Walk {
    inner: Arc<Inner>,
    policy: Option<SquashPolicy>,
    recorded: Squashed,
    now: DateTime<Utc>,
    seen: HashSet<CommitId>,
    pinned: HashSet<CommitId>,
    nodes: HashMap<CommitId, Node>,
    ranges: Vec<SquashedRange>,
    squashed: usize,
    settled: bool,
}

/// What squashing needs to know of a commit.
struct Node {
    depth: u64,
    parent: Option<CommitId>,
    merge_parent: Option<CommitId>,
    /// When, and what it did; only of ingest's commits.
    ingest: Option<(DateTime<Utc>, Vec<Operation>)>,
    /// The keys it changed.
    keys: Vec<Key>,
    missing: Missing,
}

/// What [`Walk::settle`] found to be needed of what was held back.
#[derive(Debug, Default)]
pub struct Settled {
    /// By commits that were visited with [`Missing::Refuse`].
    pub required: Vec<Content>,
    /// By commits that were visited with [`Missing::Skip`].
    pub optional: Vec<Content>,
}

impl Settled {
    fn of(&mut self, missing: Missing) -> &mut Vec<Content> {
        match missing {
            Missing::Refuse => &mut self.required,
            Missing::Skip => &mut self.optional,
        }
    }
}

impl Walk {
    pub(super) fn new(
        inner: Arc<Inner>,
        recorded: Squashed,
        policy: Option<SquashPolicy>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            inner,
            policy,
            recorded,
            now,
            seen: HashSet::new(),
            pinned: HashSet::new(),
            nodes: HashMap::new(),
            ranges: Vec::new(),
            squashed: 0,
            settled: false,
        }
    }

    /// The number of commits visited.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether no commit was visited.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether the commit was visited.
    pub fn contains(&self, id: CommitId) -> bool {
        self.seen.contains(&id)
    }

    /// The number of squashed commits, those of earlier squashes included.
    pub fn squashed(&self) -> usize {
        self.squashed
    }

    /// What is squashed, those of earlier squashes included.
    pub(super) fn ranges(&self) -> &[SquashedRange] {
        &self.ranges
    }

    /// What was recorded as squashed when the walk began.
    pub(super) fn recorded(&self) -> &[SquashedRange] {
        &self.recorded.ranges
    }

    /// Keeps these commits from being squashed.
    pub fn pin(&mut self, commits: impl IntoIterator<Item = CommitId>) {
        self.pinned.extend(commits);
    }

    /// Visits all commits that `roots` reach and that were not visited before. Adds the commits'
    /// own objects to `reached` and returns what the commits point to.
    pub async fn add(
        &mut self,
        roots: impl IntoIterator<Item = CommitId>,
        missing: Missing,
        reached: &mut PathSet,
    ) -> Result<Vec<Content>> {
        let mut waiting: Vec<_> = roots.into_iter().collect();
        let inner = Arc::clone(&self.inner);
        let mut reads = FuturesUnordered::new();
        let mut contents = Vec::new();
        loop {
            while reads.len() < PARALLEL_READS
                && let Some(id) = waiting.pop()
            {
                if self.seen.insert(id) {
                    let commits = &inner.commits;
                    reads.push(async move { (id, commits.get(id).await) });
                }
            }
            let Some((id, read)) = reads.next().await else {
                return Ok(contents);
            };
            match read {
                Ok(commit) => {
                    reach(reached, &commit)?;
                    waiting.extend(ancestors(&commit));
                    contents.extend(self.visit(&commit, missing));
                }
                Err(e) if e.kind() == ErrorKind::NotFound && missing == Missing::Skip => {
                    tracing::debug!(commit = %id, "what no ref holds lacks a commit");
                    self.seen.remove(&id);
                }
                Err(e) => return Err(e.context("the history is damaged, so nothing is collected")),
            }
        }
    }

    fn squashes(&self) -> bool {
        !self.settled && (self.policy.is_some() || !self.recorded.ranges.is_empty())
    }

    /// What the commit points to, unless it has to be held back.
    fn visit(&mut self, commit: &Commit, missing: Missing) -> Vec<Content> {
        if !self.squashes() {
            return commit.operations.iter().filter_map(content).collect();
        }
        let held = is_ingest(commit);
        let node = Node {
            depth: commit.depth,
            parent: commit.parent,
            merge_parent: commit.merge_parent,
            ingest: held.then(|| (commit.time, commit.operations.clone())),
            keys: commit
                .operations
                .iter()
                .map(|op| op.key().clone())
                .collect(),
            missing,
        };
        self.nodes.insert(commit.id, node);
        match held {
            true => Vec::new(),
            false => commit.operations.iter().filter_map(content).collect(),
        }
    }

    /// Decides what is squashed, and returns what was held back and is still needed. To be called
    /// once all roots that refs hold are added, and all commits whose tables are to stay whole;
    /// commits visited later are not squashed.
    pub async fn settle(&mut self) -> Result<Settled> {
        let nodes = std::mem::take(&mut self.nodes);
        let recorded = self.recorded_commits(&nodes).await?;
        let children = children(&nodes);
        let mut order: Vec<_> = nodes.iter().filter(|(_, n)| n.ingest.is_some()).collect();
        order.sort_by_key(|(_, node)| std::cmp::Reverse(node.depth));
        let mut hidden: HashMap<CommitId, Run> = HashMap::new();
        let mut settled = Settled::default();
        for (id, node) in order {
            let contents = settled.of(node.missing);
            let Some((time, operations)) = &node.ingest else {
                continue;
            };
            let child = match children.get(id).map(Vec::as_slice) {
                Some([only]) if !self.pinned.contains(id) => *only,
                _ => {
                    contents.extend(operations.iter().filter_map(content));
                    continue;
                }
            };
            if !recorded.contains(id) && !self.is_due(*time, &nodes[&child]) {
                contents.extend(operations.iter().filter_map(content));
                continue;
            }
            // A chain of squashed commits has one kept commit after it: what that or one of the
            // squashed between them changes again is not seen any more.
            let mut run = hidden
                .remove(&child)
                .unwrap_or_else(|| Run::before(child, node.depth));
            run.changed.extend(nodes[&child].keys.iter().cloned());
            let seen = operations
                .iter()
                .filter(|op| !run.changed.contains(op.key()));
            contents.extend(seen.filter_map(content));
            run.range.from = node.depth;
            self.squashed += 1;
            hidden.insert(*id, run);
        }
        self.ranges = hidden.into_values().map(|run| run.range).collect();
        self.settled = true;
        Ok(settled)
    }

    /// Whether the policy squashes a commit of `time` that has this one child.
    fn is_due(&self, time: DateTime<Utc>, child: &Node) -> bool {
        let Some((policy, (child_time, _))) = self.policy.zip(child.ingest.as_ref()) else {
            return false;
        };
        let interval = policy.interval(time, self.now);
        interval.is_some() && interval == policy.interval(*child_time, self.now)
    }

    /// The visited commits that are in a recorded range.
    async fn recorded_commits(&self, nodes: &HashMap<CommitId, Node>) -> Result<HashSet<CommitId>> {
        let mut found = HashSet::new();
        for range in &self.recorded.ranges {
            if !nodes.contains_key(&range.kept) {
                continue;
            }
            let commits = &self.inner.commits;
            let kept = commits.get(range.kept).await?;
            let mut next = match history::at_depth(commits, &kept, range.to).await {
                Ok(last) => Some(last.id),
                // Of a commit that no ref holds the history may be incomplete.
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            while let Some((id, node)) = next.and_then(|id| nodes.get(&id).map(|node| (id, node))) {
                if node.depth < range.from {
                    break;
                }
                found.insert(id);
                next = node.parent;
            }
        }
        Ok(found)
    }
}

/// Squashed commits that follow each other, as far back as they are known.
struct Run {
    range: SquashedRange,
    /// The keys that they or the kept commit after them change.
    changed: BTreeSet<Key>,
}

impl Run {
    fn before(kept: CommitId, depth: u64) -> Self {
        let range = SquashedRange {
            kept,
            from: depth,
            to: depth,
        };
        Self {
            range,
            changed: BTreeSet::new(),
        }
    }
}

/// The commits made on each; a merge counts for both of its parents, and so twice for a parent
/// whose descendant it merged.
fn children(nodes: &HashMap<CommitId, Node>) -> HashMap<CommitId, Vec<CommitId>> {
    let mut children: HashMap<CommitId, Vec<CommitId>> = HashMap::new();
    for (id, node) in nodes {
        for parent in [node.parent, node.merge_parent].into_iter().flatten() {
            children.entry(parent).or_default().push(*id);
        }
    }
    children
}

/// Commits in the history of `commit`, far ones among them, so that a long line is read in many
/// places at once.
fn ancestors(commit: &Commit) -> impl Iterator<Item = CommitId> {
    let skip = commit.skip.map(|skip| skip.commit);
    [commit.parent, commit.merge_parent, skip, commit.last_merge]
        .into_iter()
        .flatten()
}

fn content(operation: &Operation) -> Option<Content> {
    match operation {
        Operation::Put { content, .. } => Some(content.clone()),
        Operation::Delete { .. } => None,
    }
}
