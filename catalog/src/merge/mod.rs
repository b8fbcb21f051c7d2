//! Merging, cherry-picking and reverting: fast-forward, or three-way by key.

mod content;
mod report;
mod three_way;

use std::sync::Arc;

use crate::catalog::Inner;
use crate::collect::refuse_squashed;
use crate::commits::Making;
use crate::committer::{Retry, move_to};
use crate::model::{Commit, CommitId, CommitMeta, Snapshot};
use crate::refs::{Head, Move};
use crate::resolve::{Look, resolve};
use crate::{Error, Result, history};

pub use content::{BothChanged, ContentMerge, KeysOnly, MergeRule, Merged};
pub use report::{
    ChangeKind, KeyChange, KeyConflict, MergeOptions, MergeOutcome, MergeReport, Side,
};
use three_way::{Contents, Plan, Sides};

/// Property of a commit that makes the change of another again: that one's id.
const PICKED: &str = "pumphouse.cherry-pick";
/// Property of a commit that takes another back: that one's id.
const REVERTED: &str = "pumphouse.revert";

/// What goes where, as the user named it.
struct Job<'a> {
    inner: &'a Inner,
    source_name: &'a str,
    source: Arc<Commit>,
    target: &'a str,
    options: &'a MergeOptions,
    contents: Contents<'a>,
    way: Way,
}

/// Which change is brought to the target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// All since both sides parted.
    Merge,
    /// That of the source commit.
    Pick,
    /// That of the source commit, backwards.
    Revert,
}

/// Brings what `source` names to the branch `target`, in one of the ways.
pub(crate) async fn bring(
    inner: &Inner,
    way: Way,
    (source, target): (&str, &str),
    options: &MergeOptions,
    contents: &dyn ContentMerge,
) -> Result<MergeReport> {
    let job = Job {
        inner,
        source_name: source,
        source: resolve(inner, source, Look::Anew).await?,
        target,
        options,
        contents: Contents::new(contents, options),
        way,
    };
    job.run().await
}

impl Job<'_> {
    async fn run(&self) -> Result<MergeReport> {
        let line = self.inner.line(self.target);
        let _turn = line.turn.lock().await;
        let mut retry = Retry::new(self.target);
        loop {
            let head = self.inner.branch_head(self.target).await?;
            let attempt = match self.way {
                Way::Merge => self.merge(&head).await?,
                Way::Pick | Way::Revert => self.again(&head).await?,
            };
            if let Some(report) = attempt {
                return Ok(report);
            }
            retry.wait().await?;
        }
    }

    /// One attempt to merge; none when another writer moved the target meanwhile.
    async fn merge(&self, head: &Head) -> Result<Option<MergeReport>> {
        let source = self.source.id;
        let base = history::merge_base(&self.inner.commits, source, head.commit).await?;
        let base = base.ok_or_else(|| self.unrelated())?.id;
        if base == source {
            let report = self.report(head, base, MergeOutcome::AlreadyUpToDate);
            return Ok(Some(report));
        }
        let ours = self.inner.snapshot(head.commit).await?;
        let theirs = self.inner.snapshot(source).await?;
        if base == head.commit {
            let plan = Plan::of(ours.diff(&theirs)?);
            return self.fast_forward(head, plan).await;
        }
        let sides = Sides {
            base: self.inner.snapshot(base).await?,
            theirs,
            rule: MergeRule::Branches,
            source: (self.source_name, source),
        };
        let plan = self.contents.plan(&sides, &ours).await?;
        self.land(head, &sides, &ours, plan).await
    }

    /// One attempt to make or take back the change of the source commit.
    async fn again(&self, head: &Head) -> Result<Option<MergeReport>> {
        let what = match self.way {
            Way::Revert => "reverting a commit",
            _ => "a cherry-picked commit",
        };
        head.check_unprotected(self.target, what)?;
        let Some(parent) = self.source.parent else {
            return Err(Error::invalid(format!(
                "commit {} is the first: it changes nothing",
                self.source.id.short()
            )));
        };
        if self.way == Way::Pick && self.is_in(head).await? {
            let report = self.report(head, self.source.id, MergeOutcome::AlreadyUpToDate);
            return Ok(Some(report));
        }
        let after = self.inner.snapshot(self.source.id).await?;
        let parent = self.inner.commits.get(parent).await?;
        refuse_squashed(self.inner, &parent).await?;
        let before = self.inner.snapshot(parent.id).await?;
        let (base, theirs) = match self.way {
            Way::Revert => (after, before),
            _ => (before, after),
        };
        let sides = Sides {
            base,
            theirs,
            rule: MergeRule::Rebase,
            source: (self.source_name, self.source.id),
        };
        let ours = self.inner.snapshot(head.commit).await?;
        let plan = self.contents.plan(&sides, &ours).await?;
        if plan.operations.is_empty() && plan.conflicts.is_empty() {
            let report = self.report(head, sides.base.id(), MergeOutcome::AlreadyUpToDate);
            return Ok(Some(report));
        }
        self.land(head, &sides, &ours, plan).await
    }

    /// Whether the target's history holds the source commit.
    async fn is_in(&self, head: &Head) -> Result<bool> {
        let source = self.source.id;
        let base = history::merge_base(&self.inner.commits, source, head.commit).await?;
        Ok(base.is_some_and(|base| base.id == source))
    }

    async fn fast_forward(&self, head: &Head, plan: Plan) -> Result<Option<MergeReport>> {
        let mut report = self.report(head, head.commit, MergeOutcome::FastForward);
        report.changes = plan.changes;
        if self.options.dry_run {
            return Ok(Some(report));
        }
        let (commit, author) = (Some(self.source.id), &self.options.author);
        let action = format!("{}: fast-forward", self.action());
        let won = self
            .publish(head, head.moved(commit, author, action))
            .await?;
        report.commit = commit;
        Ok(won.then_some(report))
    }

    /// Commits the plan, unless there are conflicts or only the report is wanted.
    async fn land(
        &self,
        head: &Head,
        sides: &Sides<'_>,
        ours: &Snapshot,
        plan: Plan,
    ) -> Result<Option<MergeReport>> {
        let outcome = match plan.conflicts.is_empty() {
            true => MergeOutcome::Merged,
            false => MergeOutcome::Conflicts,
        };
        let mut report = self.report(head, sides.base.id(), outcome);
        (report.changes, report.conflicts) = (plan.changes, plan.conflicts);
        if self.options.dry_run || outcome == MergeOutcome::Conflicts {
            return Ok(Some(report));
        }
        let making = Making {
            onto: ours,
            merged: (self.way == Way::Merge).then_some(self.source.as_ref()),
            meta: self.meta(),
            operations: plan.operations,
            not_before: head.at.entry.time,
        };
        let draft = self.inner.commits.draft(making).await?;
        self.inner.commits.write(&draft).await?;
        let change = Move {
            action: self.action(),
            ..move_to(head, &draft.snapshot)
        };
        if !self.publish(head, change).await? {
            return Ok(None);
        }
        self.inner.snapshots.remember(&draft.snapshot);
        report.commit = Some(draft.snapshot.id());
        Ok(Some(report))
    }

    async fn publish(&self, head: &Head, change: Move) -> Result<bool> {
        let refs = &self.inner.refs;
        refs.publish(self.target, Some(&head.at), change).await
    }

    fn report(&self, head: &Head, base: CommitId, outcome: MergeOutcome) -> MergeReport {
        MergeReport {
            outcome,
            source_name: self.source_name.to_string(),
            target_name: self.target.to_string(),
            base,
            source: self.source.id,
            target: head.commit,
            commit: None,
            changes: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    fn meta(&self) -> CommitMeta {
        let message = self.options.message.clone();
        let message = message.unwrap_or_else(|| self.message());
        let mut meta = CommitMeta::new(&self.options.author, message);
        meta.properties = self.options.properties.clone();
        let origin = match self.way {
            Way::Merge => None,
            Way::Pick => Some(PICKED),
            Way::Revert => Some(REVERTED),
        };
        let origin = origin.map(|name| (name.to_string(), self.source.id.to_string()));
        meta.properties.extend(origin);
        meta
    }

    /// What is done, as the commit says it where the user does not.
    fn message(&self) -> String {
        match self.way {
            Way::Merge => format!("merge {} into {}", self.source_name, self.target),
            Way::Pick => self.source.message.clone(),
            Way::Revert => format!("revert {:?}", self.source.message),
        }
    }

    /// What is done, as the log of the ref says it.
    fn action(&self) -> String {
        let verb = match self.way {
            Way::Merge => "merge",
            Way::Pick => "cherry-pick",
            Way::Revert => "revert",
        };
        format!("{verb} {}", self.source_name)
    }

    fn unrelated(&self) -> Error {
        Error::conflict(format!(
            "{} and {} have no commit in common",
            self.source_name, self.target
        ))
        .with_hint("only branches of the same lakehouse can be merged")
    }
}
