//! From three states to the operations that bring one side's changes to the other.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::{StreamExt, TryStreamExt};

use super::content::{BothChanged, ContentMerge, MergeRule, Merged};
use super::report::{ChangeKind, KeyChange, KeyConflict, MergeOptions, Side};
use crate::Result;
use crate::model::{CommitId, Content, Key, KeyDiff, Operation, Snapshot};

/// How many contents are merged at once.
const AT_ONCE: usize = 16;

/// Both sides but the target, which moves.
pub(super) struct Sides<'a> {
    pub(super) base: Snapshot,
    pub(super) theirs: Snapshot,
    pub(super) rule: MergeRule,
    /// The source as it was named, and the commit that is.
    pub(super) source: (&'a str, CommitId),
}

/// What to do to the target.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) operations: Vec<Operation>,
    pub(super) changes: Vec<KeyChange>,
    pub(super) conflicts: Vec<KeyConflict>,
}

/// Merges contents, and remembers what came of it: after a lost race only what moved meanwhile
/// is merged again.
pub(super) struct Contents<'a> {
    merge: &'a dyn ContentMerge,
    options: &'a MergeOptions,
    done: Mutex<BTreeMap<Key, Done>>,
}

/// What came of one key, from this base and this content of the target.
struct Done {
    base: CommitId,
    ours: Option<Content>,
    merged: Merged,
}

enum Step {
    Nothing,
    Take(Option<Content>, Option<String>),
    Conflict(KeyConflict),
}

impl<'a> Contents<'a> {
    pub(super) fn new(merge: &'a dyn ContentMerge, options: &'a MergeOptions) -> Self {
        Self {
            merge,
            options,
            done: Mutex::default(),
        }
    }

    /// The changes from base to theirs, brought to `ours`. Costs as much as there are changes.
    pub(super) async fn plan(&self, sides: &Sides<'_>, ours: &Snapshot) -> Result<Plan> {
        let diffs = sides.base.diff(&sides.theirs)?;
        let steps = futures::stream::iter(diffs).map(|diff| async move {
            let target = ours.get(&diff.key)?;
            let step = self.step(sides, &diff, target.as_ref()).await?;
            Ok::<_, crate::Error>((diff.key, target, step))
        });
        let steps: Vec<_> = steps.buffered(AT_ONCE).try_collect().await?;
        let mut plan = Plan::default();
        for (key, before, step) in steps {
            match step {
                Step::Take(after, how) if after != before => {
                    plan.take(key, before.as_ref(), after, how);
                }
                Step::Take(..) | Step::Nothing => {}
                Step::Conflict(conflict) => plan.conflicts.push(conflict),
            }
        }
        Ok(plan)
    }

    async fn step(
        &self,
        sides: &Sides<'_>,
        diff: &KeyDiff,
        ours: Option<&Content>,
    ) -> Result<Step> {
        if ours == diff.after.as_ref() {
            return Ok(Step::Nothing);
        }
        if ours == diff.before.as_ref() {
            return Ok(Step::Take(diff.after.clone(), None));
        }
        let resolution = self.options.resolutions.get(&diff.key).copied();
        let side = resolution.or(self.options.resolve_rest);
        Ok(match (self.merged(sides, diff, ours).await?, side) {
            (Merged::Content { content, how }, _) => Step::Take(Some(content), Some(how)),
            (Merged::Conflict { .. }, Some(Side::Ours)) => Step::Nothing,
            (Merged::Conflict { .. }, Some(Side::Theirs)) => {
                let how = format!("taken from {} as resolved", sides.source.0);
                Step::Take(diff.after.clone(), Some(how))
            }
            (Merged::Conflict { ours, theirs }, None) => Step::Conflict(KeyConflict {
                key: diff.key.clone(),
                ours,
                theirs,
            }),
        })
    }

    async fn merged(
        &self,
        sides: &Sides<'_>,
        diff: &KeyDiff,
        ours: Option<&Content>,
    ) -> Result<Merged> {
        let base = sides.base.id();
        if let Some(done) = self.done().get(&diff.key)
            && (done.base, done.ours.as_ref()) == (base, ours)
        {
            return Ok(done.merged.clone());
        }
        let both = BothChanged {
            key: &diff.key,
            base: diff.before.as_ref(),
            ours,
            theirs: diff.after.as_ref(),
            rule: sides.rule,
            dry_run: self.options.dry_run,
            source: sides.source.0,
            source_commit: sides.source.1,
        };
        let merged = self.merge.merge(&both).await?;
        let done = Done {
            base,
            ours: ours.cloned(),
            merged: merged.clone(),
        };
        self.done().insert(diff.key.clone(), done);
        Ok(merged)
    }

    fn done(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Done>> {
        self.done
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Plan {
    /// What changes between two states, taken as it is.
    pub(super) fn of(diffs: Vec<KeyDiff>) -> Self {
        let mut plan = Self::default();
        for KeyDiff { key, before, after } in diffs {
            plan.take(key, before.as_ref(), after, None);
        }
        plan
    }

    fn take(
        &mut self,
        key: Key,
        before: Option<&Content>,
        after: Option<Content>,
        how: Option<String>,
    ) {
        let kind = ChangeKind::of(before, after.as_ref());
        self.changes.push(KeyChange {
            key: key.clone(),
            kind,
            how,
        });
        self.operations.push(match after {
            Some(content) => Operation::Put { key, content },
            None => Operation::Delete { key },
        });
    }
}
