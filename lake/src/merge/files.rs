//! The three-way merge of a table's files: which changes of theirs are to be done again
//! on ours, and whether they mean the same there.
//!
//! Both sides' changes are known relative to the base, so nothing else of the table need
//! be read: a file that theirs removed and ours did not is still live in ours.
//!
//! **What both did alike** (a commit picked from one branch to another, say) is done
//! already and drops out. That holds for removed files only when nothing else took the
//! place of them: both sides added nothing else, or it is one and the same change (see
//! [`past`](super::past)) and apart from it both only appended. Two reloads of a table
//! are not alike, and their union is what nobody wrote.
//!
//! **Where one side only rearranged rows** (a compaction), what the other did stands unless
//! both touched the same files.
//!
//! **What ours had once** and has rewritten or removed since must not come in again: its
//! rows would be there twice, or come back.
//!
//! **Row-level deletes** name rows indirectly, so replaying them asks for more:
//!
//! - A position delete names its data file by path, and applies when the file is no newer
//!   than the delete. Replayed at the new snapshot's sequence number it means the same, as
//!   long as the file is live: where the other side has rewritten a file it may name, the
//!   deleted rows would come back, so that is a conflict.
//! - An equality delete applies to every older row. Replayed at the new number it would
//!   also hit rows that ours appended meanwhile. It therefore gets the smallest number
//!   above all rows that both sides share, [`shared`] + 1, which the specification allows
//!   for added entries. Where ours holds an appended file of no higher number, or theirs
//!   has rows of its own between two such deletes, no number is right: a conflict. So it
//!   is where an earlier merge gave a file another number on one side than on the other.

use std::collections::BTreeSet;

use catalog::MergeRule;
use iceberg::spec::{DataContentType, TableMetadata};

use super::Sides;
use super::clash::{Clash, Outcome};
use super::past::Found;
use crate::deletes::may_name;
use crate::diff::files::{FileChanges, Files, Listed, drop_common};

/// What of `theirs` is to be done on top of `ours`.
pub(super) fn merged(
    rule: MergeRule,
    sides: &Sides<'_>,
    mut ours: FileChanges,
    mut theirs: FileChanges,
    found: &Found,
) -> Outcome<FileChanges> {
    let both_removed = ours.removed_alike(&theirs);
    let one_change = found.one_change(&ours, &theirs);
    drop_common(&mut ours.added, &mut theirs.added);
    drop_common(&mut ours.added_deletes, &mut theirs.added_deletes);
    drop_common(&mut ours.removed, &mut theirs.removed);
    drop_common(&mut ours.removed_deletes, &mut theirs.removed_deletes);
    if both_removed {
        let nothing_new = ours.adds_nothing() && theirs.adds_nothing();
        let replaced = !replaced_nothing(&ours, sides.ours);
        if replaced || !replaced_nothing(&theirs, sides.theirs) || !(nothing_new || one_change) {
            return Err(Clash::new("which the other side has replaced meanwhile"));
        }
    }
    if found.was_here(&theirs) {
        return Err(Clash::new(
            "but the other side had files of it before and has rewritten or removed them since",
        ));
    }
    if found.may_have_been_here(&theirs) {
        return Err(Clash::new(
            "but the other side no longer knows all it did since, and could have had these rows \
             before: its old snapshots are expired. Branch off it anew and make the change there",
        ));
    }
    // Rows that were only put into other files are all there; where the same files were
    // touched was seen above.
    let both_changed = !ours.only_appended() && !theirs.only_appended() && !found.ours_kept_rows;
    if matches!(rule, MergeRule::Branches) && both_changed {
        return Err(Clash::new("and the other side did not only append either"));
    }
    if found.renumbered {
        return Err(Clash::new(
            "but its equality deletes apply to files that are numbered otherwise on the other \
             side; compact the table there first",
        ));
    }
    deletes_still_apply(sides, &ours, &theirs)?;
    Ok(theirs)
}

/// The equality deletes among what was added.
pub(super) fn equality_deletes(changes: &FileChanges) -> impl Iterator<Item = &Listed> {
    let added = changes.added_deletes.values();
    added.filter(|file| is_equality(file))
}

/// The field ids of the columns that added files hold values of or delete by.
pub(super) fn columns(changes: &FileChanges) -> BTreeSet<i32> {
    let data = changes.added.values();
    let counted = data.flat_map(|file| file.entry.data_file().value_counts().keys().copied());
    let deletes = equality_deletes(changes);
    let named = deletes.flat_map(|file| file.entry.data_file().equality_ids().unwrap_or_default());
    counted.chain(named).collect()
}

fn replaced_nothing(changes: &FileChanges, metadata: &TableMetadata) -> bool {
    changes.added_deletes.is_empty() && changes.added_by_appends(metadata)
}

/// Whether `theirs` and `ours` leave each other's row-level deletes their meaning.
fn deletes_still_apply(sides: &Sides<'_>, ours: &FileChanges, theirs: &FileChanges) -> Outcome<()> {
    let rewrote = |changes: &FileChanges, metadata| {
        !changes.removed.is_empty() && !replaced_nothing(changes, metadata)
    };
    if rewrote(ours, sides.ours) && any_applies(&theirs.added_deletes, &ours.removed) {
        let reason = "but the other side has rewritten the files they may apply to";
        return Err(Clash::new(reason));
    }
    if rewrote(theirs, sides.theirs) && any_applies(&ours.added_deletes, &theirs.removed) {
        let reason = "in which the other side has deleted rows meanwhile";
        return Err(Clash::new(reason));
    }
    let Some(newest) = equality_deletes(theirs).map(sequence).max() else {
        return Ok(());
    };
    let shared = shared(sides);
    if ours.added.values().any(|file| sequence(file) <= shared) {
        let reason = "but its equality deletes would hit rows that the other side restored";
        return Err(Clash::new(reason));
    }
    let own = theirs.added.values();
    if own.into_iter().any(|file| sequence(file) < newest) {
        return Err(Clash::new(
            "but its equality deletes apply to rows of its own too; compact the table there first",
        ));
    }
    Ok(())
}

fn any_applies(deletes: &Files, data: &Files) -> bool {
    deletes
        .values()
        .any(|delete| data.values().any(|file| may_apply(delete, file)))
}

/// Whether `delete` may delete rows of `data`, as far as its entry tells.
fn may_apply(delete: &Listed, data: &Listed) -> bool {
    let (deleting, file) = (delete.entry.data_file(), data.entry.data_file());
    if let Some(named) = deleting.referenced_data_file() {
        return named == file.file_path();
    }
    let together = delete.spec_id == data.spec_id && deleting.partition() == file.partition();
    match is_equality(delete) {
        true => together || deleting.partition().fields().is_empty(),
        false => together && may_name(deleting, file.file_path()),
    }
}

fn is_equality(file: &Listed) -> bool {
    file.entry.content_type() == DataContentType::EqualityDeletes
}

fn sequence(file: &Listed) -> i64 {
    file.entry.sequence_number().unwrap_or_default()
}

/// No file that both sides share has a higher data sequence number.
pub(super) fn shared(sides: &Sides<'_>) -> i64 {
    let base = sides.base.last_sequence_number();
    base.min(sides.ours.last_sequence_number())
}

/// The data sequence number `file` of theirs gets on ours; none for the new snapshot's.
///
/// A file that comes back (reverted, rolled back) keeps its own, so that the deletes that
/// applied to it do again.
pub(super) fn placed(sides: &Sides<'_>, file: &Listed) -> Option<i64> {
    let shared = shared(sides);
    let own = sequence(file);
    if own <= shared {
        return Some(own);
    }
    is_equality(file).then_some(shared + 1)
}
