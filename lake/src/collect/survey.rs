//! One collection: what is reached, what is listed, what is condemned; the sweep is its last part.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use catalog::collect::{Collector, Missing, PathSet, RefLogs, Run, Walk, commit_of};
use catalog::{Commit, CommitId, Content, Operation, Result};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStore};

use super::kind::Kind;
use super::mark::Marker;
use super::{CollectOptions, CollectProgress, CollectReport, OnProgress, delta};
use crate::Lake;

/// Ref entries stay at least this long after a later one has replaced them, so that a process
/// that last looked some minutes ago finds its way from the entry it knows.
const ENTRIES_STAY: Duration = Duration::from_secs(3600);
/// A mark that was begun so long ago and is not complete was killed.
const LONGEST_MARK: Duration = Duration::from_secs(24 * 3600);
const PARALLEL_READS: usize = 32;

/// One collection.
pub(super) struct Survey<'a> {
    pub(super) lake: &'a Lake,
    pub(super) collector: Collector,
    pub(super) options: CollectOptions,
    pub(super) progress: OnProgress<'a>,
    /// This mark's own run; none in a dry run.
    pub(super) own: Option<Run>,
    /// The time when it began, by the store's clock.
    pub(super) now: DateTime<Utc>,
    pub(super) marker: Marker,
    pub(super) walk: Walk,
    logs: RefLogs,
    stored: Vec<(CommitId, ObjectMeta)>,
    pub(super) runs: Runs,
    /// Objects listed so far.
    pub(super) listed: u64,
    pub(super) report: CollectReport,
}

/// What earlier marks have condemned.
#[derive(Default)]
pub(super) struct Runs {
    /// To be swept now.
    ripe: Vec<Run>,
    /// In a ripe list, or in one whose grace period is not over.
    pub(super) swept: PathSet,
    pub(super) waiting: PathSet,
    /// Commits in ripe lists.
    commits: HashSet<CommitId>,
}

impl<'a> Survey<'a> {
    pub(super) async fn begin(
        lake: &'a Lake,
        options: CollectOptions,
        progress: OnProgress<'a>,
    ) -> Result<Self> {
        let collector = lake.catalog().collector();
        collector.check_base().await?;
        let (own, now) = match options.dry_run {
            true => (None, Utc::now()),
            false => {
                let (run, now) = collector.begin().await?;
                (Some(run), now)
            }
        };
        let runs = collector.runs().await?;
        // Refs first: whatever is read later is older than what is written meanwhile.
        let logs = collector.ref_logs().await?;
        Self {
            walk: collector.walk(options.squash, now).await?,
            stored: collector.stored_commits().await?,
            marker: Marker::new(lake.store().clone()),
            logs,
            runs: Runs::default(),
            listed: 0,
            report: CollectReport::default(),
            lake,
            collector,
            options,
            progress,
            own,
            now,
        }
        .with_runs(runs)
        .await
    }

    pub(super) fn store(&self) -> std::sync::Arc<dyn ObjectStore> {
        self.lake.store().object_store()
    }

    /// Sorts earlier runs into those to be swept now, those to wait for, and killed marks, which
    /// go at once.
    async fn with_runs(mut self, runs: Vec<Run>) -> Result<Self> {
        let store = self.store();
        let own = self.own.as_ref().map(|run| run.name().to_owned());
        for run in runs {
            let Some(completed) = run.completed else {
                let killed = run
                    .started
                    .is_none_or(|at| at < self.now - delta(LONGEST_MARK));
                if killed && own.as_deref() != Some(run.name()) && !self.options.dry_run {
                    run.remove(store.as_ref()).await?;
                }
                continue;
            };
            let due = completed + delta(self.options.grace);
            let ripe = due <= self.now;
            for list in &run.lists {
                for object in list.read(store.as_ref()).await? {
                    let path = object.path()?;
                    // A sweep takes metadata that may be older than the data beside it.
                    self.marker.folders().note(&path);
                    match ripe {
                        true => self.runs.swept.insert(&path),
                        false => self.runs.waiting.insert(&path),
                    };
                    if ripe {
                        self.runs.commits.extend(commit_of(&path));
                    }
                }
            }
            match ripe {
                true => self.runs.ripe.push(run),
                false => self.report.due = self.report.due.max(Some(due)),
            }
        }
        Ok(self)
    }

    pub(super) async fn run(mut self) -> Result<CollectReport> {
        self.reach().await?;
        self.note_folders().await?;
        self.list_and_condemn().await?;
        self.reach_what_may_be_named().await?;
        self.sweep().await?;
        self.tidy().await?;
        Ok(self.report)
    }

    /// Reaches all that refs and their logs hold, models, and what a writer may be about to
    /// publish.
    async fn reach(&mut self) -> Result<()> {
        let log = self.options.reflog.max(self.options.grace);
        let roots = self.logs.roots(self.now - delta(log)).await?;
        self.walk.pin(roots.iter().copied());
        let contents = self.visit(roots, Missing::Refuse).await?;
        let trained = self.marker.mark(contents, Missing::Refuse).await?;
        let later = self.pin_trained(trained).await?;
        let settled = self.walk.settle().await?;
        let also_trained = self.marker.mark(settled.required, Missing::Refuse).await?;
        self.hold(also_trained).await?;
        // What may be missing comes last: it must not hide what is missing and may not be.
        for contents in [later, settled.optional] {
            let also_trained = self.marker.mark(contents, Missing::Skip).await?;
            self.hold(also_trained).await?;
        }
        self.report.commits = self.walk.len() as u64;
        self.report.squashed = self.walk.squashed() as u64;
        let young = self.now - delta(self.options.grace);
        let stored = self.stored.iter();
        let young = stored.filter(|(_, object)| object.last_modified > young);
        self.hold(young.map(|(id, _)| *id).collect()).await
    }

    /// Visits the commits that models were trained on, and keeps them from being squashed: they
    /// count as what is made on the commits before them. Returns what is still to be marked.
    async fn pin_trained(&mut self, mut trained: Vec<CommitId>) -> Result<Vec<Content>> {
        let mut later = Vec::new();
        while !trained.is_empty() {
            self.walk.pin(trained.iter().copied());
            let contents = self.visit(trained, Missing::Skip).await?;
            let (models, others): (Vec<_>, Vec<_>) = contents
                .into_iter()
                .partition(|content| matches!(content, Content::Model { .. }));
            later.extend(others);
            trained = self.marker.mark(models, Missing::Skip).await?;
        }
        Ok(later)
    }

    /// Reaches commits that no ref holds, as far as they are still there, and those that models
    /// among what they hold were trained on.
    async fn hold(&mut self, mut commits: Vec<CommitId>) -> Result<()> {
        while !commits.is_empty() {
            let contents = self.visit(commits, Missing::Skip).await?;
            commits = self.marker.mark(contents, Missing::Skip).await?;
        }
        Ok(())
    }

    async fn visit(
        &mut self,
        roots: impl IntoIterator<Item = CommitId>,
        missing: Missing,
    ) -> Result<Vec<Content>> {
        let mut reached = PathSet::default();
        let contents = self.walk.add(roots, missing, &mut reached).await?;
        self.marker.reached().extend(&reached);
        (self.progress)(CollectProgress::Reaching(self.marker.reached().len() as u64));
        Ok(contents)
    }

    /// A commit that is not condemned may be named by its hash until it is, so a sweep leaves
    /// what it needs.
    async fn reach_what_may_be_named(&mut self) -> Result<()> {
        if self.runs.ripe.is_empty() {
            return Ok(());
        }
        let stored = self.stored.iter().map(|(id, _)| *id);
        let named = stored.filter(|id| !self.runs.commits.contains(id) && !self.walk.contains(*id));
        self.hold(named.collect()).await
    }

    /// The folders of tables that only unreachable commits name.
    async fn note_folders(&self) -> Result<()> {
        let stored = self.stored.iter().map(|(id, _)| *id);
        let unreached: Vec<_> = stored.filter(|id| !self.walk.contains(*id)).collect();
        let mut commits = futures::stream::iter(unreached)
            .map(|id| {
                let collector = self.collector.clone();
                async move { collector.commit(id).await }
            })
            .buffer_unordered(PARALLEL_READS);
        while let Some(commit) = commits.next().await {
            // Another collector may be deleting it.
            if let Ok(commit) = commit {
                self.note_folders_of(&commit);
            }
        }
        Ok(())
    }

    fn note_folders_of(&self, commit: &Commit) {
        for operation in &commit.operations {
            if let Operation::Put { content, .. } = operation
                && let Content::IcebergTable {
                    metadata_location, ..
                }
                | Content::View {
                    metadata_location, ..
                } = content
            {
                self.marker.note_folder(metadata_location);
            }
        }
    }

    pub(super) async fn stale_entries(&self) -> Result<Vec<catalog::collect::LoggedEntry>> {
        let options = &self.options;
        let stay = options.reflog.max(options.grace).max(ENTRIES_STAY);
        self.logs.stale(self.now - delta(stay)).await
    }

    pub(super) fn ripe(&self) -> Vec<Run> {
        self.runs.ripe.clone()
    }

    async fn tidy(&mut self) -> Result<()> {
        let before = SystemTime::now().checked_sub(self.options.grace);
        let before = before.unwrap_or(SystemTime::UNIX_EPOCH);
        let tidied = self.lake.store().tidy(before, self.options.dry_run).await?;
        self.report.folders = tidied.folders;
        self.report
            .deleted
            .add_all(Kind::Unfinished, tidied.files, tidied.bytes);
        Ok(())
    }
}
