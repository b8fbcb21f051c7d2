//! The three-way merge of one table.

use std::collections::BTreeSet;
use std::sync::Arc;

use catalog::{Content, MergeRule, Merged, Result};
use iceberg::spec::TableMetadata;

use super::clash::{Clash, Outcome};
use super::lineage::{self, Lineage};
use super::shape::{self, Shaped};
use super::{Sides, files};
use crate::diff::files::{FileChanges, Files};
use crate::diff::words;
use crate::metadata::TableFiles;
use crate::producer::{self, AddedFile, SnapshotChange};

/// One table to merge.
pub(super) struct Merge<'a> {
    pub(super) files: &'a Arc<TableFiles>,
    pub(super) sides: Sides<'a>,
    /// The metadata file of ours.
    pub(super) location: &'a str,
    /// The metadata file of theirs, which stands for the result in a dry run.
    pub(super) their_location: &'a str,
    pub(super) rule: MergeRule,
    /// Where theirs comes from, when the new snapshot shall say so.
    pub(super) lineage: Option<Lineage>,
    pub(super) dry_run: bool,
}

/// What theirs brings to ours.
struct Plan {
    files: FileChanges,
    shaped: Shaped,
    how: String,
}

impl Merge<'_> {
    pub(super) async fn run(&self) -> Result<Merged> {
        let Sides { base, ours, theirs } = self.sides;
        let (our_changes, their_changes) = futures::try_join!(
            FileChanges::between(self.files, base, ours),
            FileChanges::between(self.files, base, theirs)
        )?;
        let our_words = words::described(base, ours, &our_changes);
        let their_words = words::described(base, theirs, &their_changes);
        match self.plan(our_changes, their_changes) {
            Ok(plan) => Ok(Merged::Content {
                how: plan.how.clone(),
                content: self.apply(plan).await?,
            }),
            Err(Clash(reason)) => Ok(Merged::Conflict {
                ours: our_words,
                theirs: format!("{their_words}; {reason}"),
            }),
        }
    }

    fn plan(&self, ours: FileChanges, theirs: FileChanges) -> Outcome<Plan> {
        let sides = &self.sides;
        let files = files::merged(self.rule, sides, ours, theirs)?;
        let listed = files.added.values().chain(files.added_deletes.values());
        let specs: BTreeSet<i32> = listed.map(|file| file.spec_id).collect();
        // Where a snapshot follows, producing it notes the metadata file before.
        let previous = files.is_empty().then_some(self.location);
        let shaped = shape::merged(sides, &specs, previous)?;
        let how = words::described(sides.base, sides.theirs, &files);
        Ok(Plan { files, shaped, how })
    }

    async fn apply(&self, plan: Plan) -> Result<Content> {
        let content = |metadata_location| Content::IcebergTable {
            uuid: self.sides.ours.uuid(),
            metadata_location,
        };
        if plan.files.is_empty() && !plan.shaped.changed {
            return Ok(content(self.location.to_owned()));
        }
        if self.dry_run {
            return Ok(content(self.their_location.to_owned()));
        }
        if plan.files.is_empty() {
            let metadata = plan.shaped.metadata;
            let location = self.files.write_metadata(metadata, Some(self.location));
            return Ok(content(location.await?));
        }
        let change = self.change(&plan);
        let metadata: &TableMetadata = &plan.shaped.metadata;
        let location = producer::produce(self.files, metadata, self.location, change);
        Ok(content(location.await?))
    }

    fn change(&self, plan: &Plan) -> SnapshotChange {
        let added = |files: &Files| {
            let files = files.values().map(|file| AddedFile {
                file: file.entry.data_file().clone(),
                spec_id: plan.shaped.spec(file.spec_id),
                sequence_number: files::placed(&self.sides, file),
            });
            files.collect()
        };
        let names = |files: &Files| files.keys().cloned().collect();
        let changes = &plan.files;
        SnapshotChange {
            operation: lineage::operation(&self.sides, changes),
            added: added(&changes.added),
            removed: names(&changes.removed),
            added_deletes: added(&changes.added_deletes),
            removed_deletes: names(&changes.removed_deletes),
            summary: lineage::summary(self.lineage.as_ref(), &self.sides),
        }
    }
}
