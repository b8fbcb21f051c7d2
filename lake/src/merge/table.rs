//! The three-way merge of one table.

use std::collections::BTreeSet;
use std::sync::Arc;

use catalog::{Content, MergeRule, Merged, Result};
use iceberg::spec::TableMetadata;

use super::clash::{Clash, Outcome};
use super::lineage::{self, Lineage};
use super::past::{self, Departed, Found, History};
use super::shape::{self, Shaped};
use super::{Sides, files, origin, schema};
use crate::diff;
use crate::diff::files::{FileChanges, Files};
use crate::diff::words;
use crate::metadata::TableFiles;
use crate::producer::{self, AddedFile, SnapshotChange};

/// One table to merge.
pub(super) struct Merge {
    pub(super) files: Arc<TableFiles>,
    /// The metadata file of the base; none where each side created the table.
    pub(super) base: Option<String>,
    /// The metadata files of ours and theirs.
    pub(super) locations: [String; 2],
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

impl Merge {
    pub(super) async fn run(&self) -> Result<Merged> {
        let states = self.locations.each_ref();
        let [ours, theirs] = states.map(|location| self.files.metadata(location));
        let (ours, theirs) = futures::try_join!(ours, theirs)?;
        let base = match &self.base {
            Some(location) => self.files.metadata(location).await?,
            None => Arc::new(origin::of(&ours, &theirs)?),
        };
        let sides = Sides {
            base: &base,
            ours: &ours,
            theirs: &theirs,
        };
        let (our_changes, their_changes) = futures::try_join!(
            FileChanges::between(&self.files, &base, &ours),
            FileChanges::between(&self.files, &base, &theirs)
        )?;
        let our_words = words::described(&base, &ours, &our_changes);
        let their_words = words::described(&base, &theirs, &their_changes);
        let found = self.found(&sides, &our_changes, &their_changes).await?;
        match self.plan(&sides, our_changes, their_changes, &found) {
            Ok(plan) => Ok(Merged::Content {
                how: plan.how.clone(),
                content: self.apply(&sides, plan).await?,
            }),
            Err(Clash(reason)) => Ok(Merged::Conflict {
                ours: our_words,
                theirs: format!("{their_words}; {reason}"),
            }),
        }
    }

    /// What the changes leave open, and only history or all live files tell.
    async fn found(
        &self,
        sides: &Sides<'_>,
        ours: &FileChanges,
        theirs: &FileChanges,
    ) -> Result<Found> {
        let mut found = Found {
            picked: self.lineage.as_ref().map(|lineage| lineage.commit),
            ..Found::default()
        };
        let both_removed = ours.removed_alike(theirs);
        if both_removed || (self.lineage.is_some() && !theirs.is_empty()) {
            let (departed, history) = self.departed(sides.base, sides.ours).await?;
            found.learn(&history, departed);
        }
        if both_removed {
            (found.theirs, _) = self.departed(sides.base, sides.theirs).await?;
        }
        if files::equality_deletes(theirs).next().is_some() {
            let highest = files::shared(sides);
            let (ours, theirs) = (sides.ours, sides.theirs);
            found.renumbered = diff::files::renumbered(&self.files, ours, theirs, highest).await?;
        }
        Ok(found)
    }

    async fn departed(
        &self,
        base: &TableMetadata,
        after: &TableMetadata,
    ) -> Result<(Departed, History)> {
        let mut history = History::between(&self.files, base, after).await;
        let version = after.format_version();
        let departed = past::departed(&self.files, &mut history, version).await?;
        Ok((departed, history))
    }

    fn plan(
        &self,
        sides: &Sides<'_>,
        ours: FileChanges,
        theirs: FileChanges,
        found: &Found,
    ) -> Outcome<Plan> {
        let files = files::merged(self.rule, sides, ours, theirs, found)?;
        let listed = files.added.values().chain(files.added_deletes.values());
        let specs: BTreeSet<i32> = listed.map(|file| file.spec_id).collect();
        // Where a snapshot follows, producing it notes the metadata file before.
        let previous = files.is_empty().then_some(self.location());
        let shaped = shape::merged(sides, &specs, previous)?;
        schema::columns_arrive(sides, &shaped.metadata, &files::columns(&files))?;
        let how = words::described(sides.base, sides.theirs, &files);
        Ok(Plan { files, shaped, how })
    }

    /// The metadata file of ours.
    fn location(&self) -> &str {
        &self.locations[0]
    }

    async fn apply(&self, sides: &Sides<'_>, plan: Plan) -> Result<Content> {
        let nothing = plan.files.is_empty() && !plan.shaped.changed;
        let location = match self.dry_run {
            _ if nothing => self.location().to_owned(),
            // Stands for what would be written.
            true => self.locations[1].clone(),
            false => self.write(sides, plan).await?,
        };
        Ok(Content::IcebergTable {
            uuid: sides.ours.uuid(),
            metadata_location: location,
        })
    }

    async fn write(&self, sides: &Sides<'_>, plan: Plan) -> Result<String> {
        if plan.files.is_empty() {
            let (metadata, previous) = (plan.shaped.metadata, self.location());
            return self.files.write_metadata(metadata, Some(previous)).await;
        }
        let change = self.change(sides, &plan);
        let metadata = &plan.shaped.metadata;
        producer::produce(&self.files, metadata, self.location(), change).await
    }

    fn change(&self, sides: &Sides<'_>, plan: &Plan) -> SnapshotChange {
        let added = |files: &Files| {
            let files = files.values().map(|file| AddedFile {
                file: file.entry.data_file().clone(),
                spec_id: plan.shaped.spec(file.spec_id),
                sequence_number: files::placed(sides, file),
            });
            files.collect()
        };
        let names = |files: &Files| files.keys().cloned().collect();
        let changes = &plan.files;
        SnapshotChange {
            operation: lineage::operation(sides, changes),
            added: added(&changes.added),
            removed: names(&changes.removed),
            added_deletes: added(&changes.added_deletes),
            removed_deletes: names(&changes.removed_deletes),
            summary: lineage::summary(self.lineage.as_ref(), sides),
        }
    }
}
