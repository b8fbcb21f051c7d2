//! A lake's history: merges, reverts and differences that look into tables.

use std::sync::Arc;

use catalog::{
    ChangeKind, CommitMeta, Content, Key, KeyChange, MergeOptions, MergeReport, Operation, Result,
    Snapshot,
};

use crate::diff::{self, TableDiff};
use crate::lake::Lake;
use crate::merge::TableMerge;
use crate::rebase::Rebase;
use crate::table::Table;

/// Of a merge, at most so many tables that only one side changed are looked into.
const EXPLAINED: usize = 50;

impl Lake {
    /// Merges `source` (a branch, tag, commit or a point in time of one) into the branch
    /// `target`. Tables that both sides changed merge where the changes allow it: what the
    /// source appended becomes one new snapshot on the target, without rewriting a file.
    ///
    /// Conflicts are in the report, and then nothing was merged;
    /// [`MergeReport::into_result`] makes an error of them.
    ///
    /// # Errors
    /// `NotFound` for unknown refs, `Conflict` for histories that have no commit in common.
    pub async fn merge(
        &self,
        source: &str,
        target: &str,
        options: &MergeOptions,
    ) -> Result<MergeReport> {
        let tables = self.table_merge();
        let report = self.catalog().merge(source, target, options, &tables);
        Ok(self.explained(report.await?).await)
    }

    /// Does on `branch` again what `commit` changed.
    ///
    /// # Errors
    /// Those of [`Lake::merge`], and `InvalidInput` for the root commit.
    pub async fn cherry_pick(
        &self,
        commit: &str,
        branch: &str,
        options: &MergeOptions,
    ) -> Result<MergeReport> {
        let tables = self.table_merge();
        let catalog = self.catalog();
        catalog.cherry_pick(commit, branch, options, &tables).await
    }

    /// Undoes on `branch` what `commit` changed. What came later stays: undoing an append
    /// removes just its files, as long as no later commit has rewritten them.
    ///
    /// # Errors
    /// Those of [`Lake::merge`], and `InvalidInput` for the root commit.
    pub async fn revert(
        &self,
        commit: &str,
        branch: &str,
        options: &MergeOptions,
    ) -> Result<MergeReport> {
        let tables = self.table_merge();
        self.catalog()
            .revert(commit, branch, options, &tables)
            .await
    }

    /// Commits `operations` that were staged on `base`, in one commit. Tables that other
    /// commits changed meanwhile take the operations on top where both can stand: an
    /// append always, a rewrite or removal while the files it replaces are still there.
    ///
    /// # Errors
    /// `Conflict` naming the key and what both commits did to it.
    pub async fn commit(
        &self,
        branch: &str,
        meta: CommitMeta,
        base: &Snapshot,
        operations: Vec<Operation>,
    ) -> Result<Snapshot> {
        self.commit_reading(branch, meta, base, operations, Vec::new())
            .await
    }

    /// As [`Lake::commit`], for operations that hang on what `reads` held on `base`: rows
    /// chosen or computed from others, say.
    ///
    /// # Errors
    /// `Conflict` as well when another commit has changed one of `reads` meanwhile.
    pub async fn commit_reading(
        &self,
        branch: &str,
        meta: CommitMeta,
        base: &Snapshot,
        operations: Vec<Operation>,
        reads: Vec<Key>,
    ) -> Result<Snapshot> {
        let change = Rebase::new(Arc::clone(self.files()), base.clone(), operations, reads);
        self.catalog().commit(branch, meta, Arc::new(change)).await
    }

    /// Says of tables that only the source changed what became of them, too; where that
    /// cannot be read, nothing: what was merged is merged.
    async fn explained(&self, mut report: MergeReport) -> MergeReport {
        if let Err(error) = self.explain(&mut report).await {
            tracing::debug!(%error, "could not look into the tables of a merge");
        }
        report
    }

    async fn explain(&self, report: &mut MergeReport) -> Result<()> {
        let unexplained =
            |change: &&mut KeyChange| change.kind == ChangeKind::Changed && change.how.is_none();
        let changes = report.changes.iter_mut().filter(unexplained);
        let changes: Vec<_> = changes.take(EXPLAINED).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let before = self.catalog().snapshot(report.base).await?;
        let after = self.catalog().snapshot(report.source).await?;
        for change in changes {
            let contents = (before.get(&change.key)?, after.get(&change.key)?);
            if let (Some(Content::IcebergTable { .. }), Some(Content::IcebergTable { .. })) =
                contents
            {
                let was = self.table(&before, &change.key).await?;
                let is = self.table(&after, &change.key).await?;
                let diff = self.diff_table(Some(&was), Some(&is)).await?;
                change.how = Some(diff.summary().to_owned());
            }
        }
        Ok(())
    }

    /// What `after` has that `before` has not, and the other way round; without one of
    /// them, all of the other. Reads only what the two do not share.
    ///
    /// # Errors
    /// Those of the object store.
    pub async fn diff_table(
        &self,
        before: Option<&Table>,
        after: Option<&Table>,
    ) -> Result<TableDiff> {
        diff::diff(self.files(), before, after).await
    }

    /// The lake's part of a catalog merge.
    pub fn table_merge(&self) -> TableMerge {
        TableMerge::new(Arc::clone(self.files()))
    }
}
