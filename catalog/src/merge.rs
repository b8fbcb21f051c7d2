//! Merging: fast-forward, or three-way by key from the merge base.

use std::collections::BTreeSet;

use crate::catalog::Inner;
use crate::committer::Retry;
use crate::model::{CommitMeta, Content, Key, Operation, Snapshot};
use crate::{Error, Result, history, resolve};

/// What a merge did to the target branch.
#[derive(Clone, Debug)]
pub enum MergeOutcome {
    /// The target already held everything: nothing was done.
    AlreadyUpToDate,
    /// The target had no commits of its own and moved to the source's head.
    FastForward(Snapshot),
    /// A merge commit was made on the target.
    Merged(Snapshot),
}

/// Who merges what into what, as the user named it.
pub(crate) struct Merge<'a> {
    pub(crate) source: &'a str,
    pub(crate) target: &'a str,
    pub(crate) author: &'a str,
    pub(crate) message: Option<&'a str>,
}

impl Merge<'_> {
    pub(crate) async fn run(&self, inner: &Inner) -> Result<MergeOutcome> {
        let source = resolve::resolve(inner, self.source).await?;
        let line = inner.line(self.target);
        let _turn = line.turn.lock().await;
        let mut retry = Retry::new(self.target);
        loop {
            if let Some(outcome) = self.attempt(inner, &source).await? {
                return Ok(outcome);
            }
            retry.wait().await?;
        }
    }

    /// One attempt on the newest head; none when another writer moved the target meanwhile.
    async fn attempt(&self, inner: &Inner, source: &Snapshot) -> Result<Option<MergeOutcome>> {
        let head = inner.position(self.target).await?;
        let base = history::merge_base(&inner.commits, source.id(), head.commit).await?;
        let base = base.map(|base| base.id).ok_or_else(|| self.unrelated())?;
        if base == source.id() {
            return Ok(Some(MergeOutcome::AlreadyUpToDate));
        }
        let publish = |id| inner.refs.publish(self.target, head.number, Some(id));
        if base == head.commit {
            let won = publish(source.id()).await?;
            return Ok(won.then(|| MergeOutcome::FastForward(source.clone())));
        }
        let base = inner.snapshot(base).await?;
        let target = inner.snapshot(head.commit).await?;
        let operations = self.three_way(&base, source, &target)?;
        let state = target.state().apply(&operations, &Default::default())?;
        let (onto, merged) = (target.commit(), Some(source.commit()));
        let commits = &inner.commits;
        let draft = commits
            .draft(onto, merged, self.meta(), operations, &state)
            .await?;
        commits.write(&draft).await?;
        if !publish(draft.commit.id).await? {
            return Ok(None);
        }
        let snapshot = Snapshot::new(draft.commit, state);
        inner.snapshots.remember(&snapshot);
        Ok(Some(MergeOutcome::Merged(snapshot)))
    }

    fn meta(&self) -> CommitMeta {
        let default = || format!("merge {} into {}", self.source, self.target);
        CommitMeta::new(
            self.author,
            self.message.map_or_else(default, str::to_string),
        )
    }

    fn unrelated(&self) -> Error {
        Error::conflict(format!(
            "{} and {} have no commit in common",
            self.source, self.target
        ))
        .with_hint("only branches of the same lakehouse can be merged")
    }

    /// What the merge changes on the target; `Conflict` names every key changed on both sides.
    fn three_way(
        &self,
        base: &Snapshot,
        source: &Snapshot,
        target: &Snapshot,
    ) -> Result<Vec<Operation>> {
        let keys = [base, source, target].into_iter().flat_map(Snapshot::iter);
        let keys: BTreeSet<&Key> = keys.map(|(key, _)| key).collect();
        let mut operations = Vec::new();
        let mut conflicts = Vec::new();
        for key in keys {
            let (was, ours, theirs) = (base.get(key), target.get(key), source.get(key));
            if theirs == was || theirs == ours {
                continue;
            }
            if ours != was {
                conflicts.push(self.describe(key, was, ours, theirs));
                continue;
            }
            let key = key.clone();
            operations.push(match theirs.cloned() {
                Some(content) => Operation::Put { key, content },
                None => Operation::Delete { key },
            });
        }
        if conflicts.is_empty() {
            return Ok(operations);
        }
        Err(Error::conflict(format!(
            "merging {} into {}: changed on both sides: {}",
            self.source,
            self.target,
            conflicts.join("; ")
        ))
        .with_hint("nothing was merged; let both branches agree on these keys and merge again"))
    }

    fn describe(
        &self,
        key: &Key,
        was: Option<&Content>,
        ours: Option<&Content>,
        theirs: Option<&Content>,
    ) -> String {
        format!(
            "{key} ({} on {}, {} on {})",
            what_happened(was, theirs),
            self.source,
            what_happened(was, ours),
            self.target
        )
    }
}

fn what_happened(was: Option<&Content>, now: Option<&Content>) -> &'static str {
    match (was, now) {
        (_, None) => "deleted",
        (None, Some(_)) => "created",
        (Some(_), Some(_)) => "changed",
    }
}
