//! One collection: what is reached, what is listed, what is condemned; the sweep is its last part.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use catalog::collect::{
    Collector, Condemned, ListKind, Missing, PathSet, RefLogs, Run, Walk, commit_of,
};
use catalog::{Commit, CommitId, Content, Operation, Result};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
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
    own: Option<Run>,
    /// The time when it began, by the store's clock.
    now: DateTime<Utc>,
    pub(super) marker: Marker,
    walk: Walk,
    logs: RefLogs,
    stored: Vec<(CommitId, ObjectMeta)>,
    runs: Runs,
    pub(super) report: CollectReport,
}

/// What earlier marks have condemned.
#[derive(Default)]
struct Runs {
    /// To be swept now.
    ripe: Vec<Run>,
    /// In a ripe list, or in one whose grace period is not over.
    swept: PathSet,
    waiting: PathSet,
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
        self.walk.pin(trained.iter().copied());
        let contents = self.walk.settle().await?;
        let also_trained = self.marker.mark(contents, Missing::Refuse).await?;
        self.hold(trained.into_iter().chain(also_trained).collect())
            .await?;
        self.report.commits = self.walk.len() as u64;
        self.report.squashed = self.walk.squashed() as u64;
        let young = self.now - delta(self.options.grace);
        let stored = self.stored.iter();
        let young = stored.filter(|(_, object)| object.last_modified > young);
        self.hold(young.map(|(id, _)| *id).collect()).await
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

    /// Lists the whole store and writes down what nothing reaches.
    async fn list_and_condemn(&mut self) -> Result<()> {
        let store = self.store();
        let run = self.own.clone();
        let mut lists = Lists::new(run.as_ref());
        self.condemn_entries(&mut lists).await?;
        let mut listing = store.list(None);
        let mut listed = 0;
        while let Some(object) = listing.try_next().await? {
            listed += 1;
            if listed % 1000 == 0 {
                (self.progress)(CollectProgress::Listing(listed));
            }
            if let Some(kind) = self.judge(&object) {
                let list = match kind {
                    Kind::Commit | Kind::Checkpoint => ListKind::Commits,
                    _ => ListKind::Files,
                };
                self.report.condemned.add(kind, object.size);
                lists.add(store.as_ref(), list, &object).await?;
            }
        }
        drop(listing);
        lists.finish(store.as_ref()).await?;
        let Some(run) = run else {
            return Ok(());
        };
        self.collector.record_squashed(&self.walk).await?;
        if self.report.condemned.is_empty() {
            return run.remove(store.as_ref()).await;
        }
        let completed = run.complete(store.as_ref()).await?;
        let due = completed + delta(self.options.grace);
        self.report.due = self.report.due.max(Some(due));
        Ok(())
    }

    /// What an object is, when it is to be condemned.
    fn judge(&mut self, object: &ObjectMeta) -> Option<Kind> {
        let path = &object.location;
        let Some(kind) = self.marker.folders().kind(path) else {
            if !path.as_ref().starts_with("_catalog/") {
                self.report.foreign.add(object.size);
            }
            return None;
        };
        if kind == Kind::RefEntry || self.marker.reached().contains(path) {
            return None;
        }
        self.judge_age(kind, object)
    }

    fn judge_age(&mut self, kind: Kind, object: &ObjectMeta) -> Option<Kind> {
        let path = &object.location;
        if self.runs.swept.contains(path) {
            return None;
        }
        if self.runs.waiting.contains(path) {
            self.report.waiting.add(kind, object.size);
            return None;
        }
        if object.last_modified > self.now - delta(self.options.grace) {
            self.report.young.add(kind, object.size);
            return None;
        }
        Some(kind)
    }

    async fn condemn_entries(&mut self, lists: &mut Lists) -> Result<()> {
        let store = self.store();
        for entry in self.stale_entries().await? {
            if let Some(kind) = self.judge_age(Kind::RefEntry, &entry.object) {
                self.report.condemned.add(kind, entry.object.size);
                let list = match entry.deletion {
                    true => ListKind::Deletions,
                    false => ListKind::Entries,
                };
                lists.add(store.as_ref(), list, &entry.object).await?;
            }
        }
        Ok(())
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

/// The lists of a mark; in a dry run nothing is written.
struct Lists(Vec<(ListKind, catalog::collect::ListWriter)>);

impl Lists {
    fn new(run: Option<&Run>) -> Self {
        let kinds = [
            ListKind::Entries,
            ListKind::Deletions,
            ListKind::Files,
            ListKind::Commits,
        ];
        let writers = run.map(|run| kinds.map(|kind| (kind, run.writer(kind))));
        Self(writers.into_iter().flatten().collect())
    }

    async fn add(
        &mut self,
        store: &dyn ObjectStore,
        kind: ListKind,
        object: &ObjectMeta,
    ) -> Result<()> {
        match self.0.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, writer)) => writer.add(store, Condemned::from(object)).await,
            None => Ok(()),
        }
    }

    async fn finish(self, store: &dyn ObjectStore) -> Result<()> {
        for (_, writer) in self.0 {
            writer.finish(store).await?;
        }
        Ok(())
    }
}
