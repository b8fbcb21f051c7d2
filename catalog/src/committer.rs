//! The group committer: concurrent commits of one process to one branch share one branch entry.
//!
//! Whoever finds the queue idle starts a task that takes all waiting changes, chains a commit
//! for each on the branch's head, stores them, and publishes the last with one entry. Losing
//! the race against another process means: read the new head and apply all changes again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::oneshot;

use crate::catalog::Inner;
use crate::commits::{Draft, Making};
use crate::model::{CommitMeta, Key, Operation, Snapshot};
use crate::refs::{COMMITTED, Head, Move, Position, RefKind};
use crate::{Error, Result};

/// Most changes in one group, which bounds what a lost race costs.
const LARGEST_GROUP: usize = 64;
/// How long a group keeps trying against other writers.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Something to commit, as a function of the state it is committed on.
#[async_trait]
pub trait Change: Send + Sync {
    /// What to change, given the head the commit will build on. Called again after each lost
    /// race, so it must have no effect but writing new immutable objects. An error fails this
    /// change only. Returning nothing at all (no operations, no properties) commits nothing.
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet>;

    /// The keys that `apply` reads and changes, when it looks at nothing else: such changes of
    /// one group are applied at once where their keys differ. None: it looks at more.
    fn keys(&self) -> Option<BTreeSet<Key>> {
        None
    }
}

/// What one commit changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// At most one operation a key.
    pub operations: Vec<Operation>,
    /// Properties to add to those of the [`CommitMeta`].
    pub properties: BTreeMap<String, String>,
}

struct Request {
    meta: CommitMeta,
    change: Arc<dyn Change>,
    reply: oneshot::Sender<Result<Snapshot>>,
}

/// The waiting changes of one branch, and the right to move the branch.
#[derive(Default)]
pub(crate) struct Line {
    queue: Mutex<Queue>,
    /// Held while the branch is moved, so that this process does not race with itself.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Request>,
    running: bool,
}

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next group; none, and the queue idle, when nobody waits.
    fn next_group(&self) -> Option<Vec<Request>> {
        let mut queue = self.lock();
        if queue.waiting.is_empty() {
            queue.running = false;
            return None;
        }
        let size = queue.waiting.len().min(LARGEST_GROUP);
        Some(queue.waiting.drain(..size).collect())
    }
}

/// Queues one change and waits for its commit.
pub(crate) async fn commit(
    inner: &Arc<Inner>,
    branch: &str,
    meta: CommitMeta,
    change: Arc<dyn Change>,
) -> Result<Snapshot> {
    let line = inner.line(branch);
    let (reply, answer) = oneshot::channel();
    let idle = {
        let mut queue = line.lock();
        queue.waiting.push(Request {
            meta,
            change,
            reply,
        });
        !std::mem::replace(&mut queue.running, true)
    };
    if idle {
        tokio::spawn(run(Arc::clone(inner), branch.to_string(), line));
    }
    answer
        .await
        .map_err(|_| Error::unavailable("the commit was stopped: the program is ending"))?
}

async fn run(inner: Arc<Inner>, branch: String, line: Arc<Line>) {
    let mut guard = Guard {
        line: &line,
        finished: false,
    };
    loop {
        // Whoever comes while this waits its turn still joins the group.
        let _turn = line.turn.lock().await;
        let Some(group) = line.next_group() else {
            break;
        };
        let outcomes = publish(&inner, &branch, &group).await;
        answer(group, outcomes);
    }
    guard.finished = true;
}

/// Frees the queue when its task is stopped early, or later callers would wait for ever.
struct Guard<'a> {
    line: &'a Line,
    finished: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let mut queue = self.line.lock();
            queue.running = false;
            queue.waiting.clear();
        }
    }
}

fn answer(group: Vec<Request>, outcomes: Result<Vec<Result<Snapshot>>>) {
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(error) => group.iter().map(|_| Err(error.clone())).collect(),
    };
    for (request, outcome) in group.into_iter().zip(outcomes) {
        // A caller that has gone away does not want its answer.
        let _ = request.reply.send(outcome);
    }
}

/// A group applied to one head: the commits to store, and what each caller will be told.
struct Applied {
    drafts: Vec<Draft>,
    outcomes: Vec<Result<Snapshot>>,
}

async fn publish(inner: &Inner, branch: &str, group: &[Request]) -> Result<Vec<Result<Snapshot>>> {
    let mut retry = Retry::new(branch);
    let known = inner.refs.known(branch).and_then(Position::head);
    let mut known = known.filter(|head| head.kind() == RefKind::Branch);
    loop {
        // What is known spares a read, but only a head just read may refuse a change.
        let fresh = known.is_none();
        let head = match known.take() {
            Some(head) => head,
            None => inner.branch_head(branch).await?,
        };
        let applied = apply(inner, branch, &head, group).await?;
        if !fresh && applied.drafts.len() < group.len() {
            continue;
        }
        let Some(last) = applied.drafts.last() else {
            return Ok(applied.outcomes);
        };
        let writes = applied
            .drafts
            .iter()
            .map(|draft| inner.commits.write(draft));
        futures::future::try_join_all(writes).await?;
        let change = move_to(&head, &last.snapshot);
        if inner.refs.publish(branch, Some(&head.at), change).await? {
            let published = applied.outcomes.iter().flatten();
            published.for_each(|snapshot| inner.snapshots.remember(snapshot));
            return Ok(applied.outcomes);
        }
        retry.wait().await?;
    }
}

/// The entry for commits made on `head`, at their own time: so a commit's time names it.
pub(crate) fn move_to(head: &Head, last: &Snapshot) -> Move {
    let commit = last.commit();
    Move {
        time: commit.time,
        ..head.moved(Some(commit.id), &commit.author, COMMITTED.to_string())
    }
}

async fn apply(inner: &Inner, branch: &str, head: &Head, group: &[Request]) -> Result<Applied> {
    let mut snapshot = inner.snapshot(head.commit).await?;
    let mut applied = Applied {
        drafts: Vec::new(),
        outcomes: Vec::new(),
    };
    let mut rest = group;
    while !rest.is_empty() {
        let (beside, later) = rest.split_at(independent(rest));
        let sets = beside
            .iter()
            .map(|r| change_set(branch, head, &snapshot, r));
        let sets = futures::future::join_all(sets).await;
        for (request, set) in beside.iter().zip(sets) {
            let outcome = match set {
                Ok(set) => draft(inner, &snapshot, head, request, set).await,
                Err(error) => Err(error),
            };
            applied.outcomes.push(outcome.map(|made| {
                if let Some(draft) = made {
                    snapshot = draft.snapshot.clone();
                    applied.drafts.push(draft);
                }
                snapshot.clone()
            }));
        }
        rest = later;
    }
    Ok(applied)
}

/// How many of the first changes in `group` may be applied to the same state at once; not 0.
fn independent(group: &[Request]) -> usize {
    let mut taken = BTreeSet::new();
    let mut count = 0;
    for request in group {
        match request.change.keys() {
            Some(keys) if keys.is_disjoint(&taken) => taken.extend(keys),
            _ => break,
        }
        count += 1;
    }
    count.max(1)
}

/// What one request changes on the state `onto`.
async fn change_set(
    branch: &str,
    head: &Head,
    onto: &Snapshot,
    request: &Request,
) -> Result<ChangeSet> {
    if !request.meta.automatic {
        head.check_unprotected(branch, "a direct commit")?;
    }
    AssertUnwindSafe(request.change.apply(onto))
        .catch_unwind()
        .await
        .map_err(|_| Error::internal("a change panicked while it was applied"))?
}

/// The commit of one change on the state `onto`, not stored; none when there is nothing to
/// change.
async fn draft(
    inner: &Inner,
    onto: &Snapshot,
    head: &Head,
    request: &Request,
    set: ChangeSet,
) -> Result<Option<Draft>> {
    if set == ChangeSet::default() {
        return Ok(None);
    }
    let mut meta = request.meta.clone();
    meta.properties.extend(set.properties);
    let making = Making {
        onto,
        merged: None,
        meta,
        operations: set.operations,
        not_before: head.at.entry.time,
    };
    inner.commits.draft(making).await.map(Some)
}

/// Pauses between lost races: random, longer each time, over after [`PATIENCE`].
pub(crate) struct Retry<'a> {
    branch: &'a str,
    start: Instant,
    attempt: Instant,
    lost: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(branch: &'a str) -> Self {
        let now = Instant::now();
        Self {
            branch,
            start: now,
            attempt: now,
            lost: 0,
        }
    }

    /// Waits before the next attempt; `Unavailable` when it is time to give up.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        self.lost += 1;
        let (branch, lost) = (self.branch, self.lost);
        if self.start.elapsed() > PATIENCE {
            return Err(Error::unavailable(format!(
                "{branch} could not be moved in {} s: other writers were first {lost} times",
                PATIENCE.as_secs(),
            ))
            .with_hint("try again, or let fewer processes write to it"));
        }
        tracing::debug!(branch, lost, "lost the race for a branch entry");
        // In units of an attempt: a disk is a hundred times faster than a far bucket.
        let longest = self.attempt.elapsed() * (1 << lost.min(4));
        let pause = longest.min(LONGEST_PAUSE).mul_f64(rand::random());
        tokio::time::sleep(pause).await;
        self.attempt = Instant::now();
        Ok(())
    }
}
