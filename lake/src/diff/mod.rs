//! What differs between two states of a table: its files, its columns, and the rest.

pub(crate) mod files;
pub(crate) mod shape;
pub(crate) mod words;

use std::collections::HashSet;
use std::sync::Arc;

use catalog::Result;
use iceberg::spec::ManifestContentType;
use object_store::path::Path;

use self::files::{FileChanges, Files};
use self::shape::ShapeChanges;
pub use self::shape::{ColumnChange, PropertyChange};
use crate::metadata::TableFiles;
use crate::table::{ScanFile, Table};

/// What one state of a table has and another has not. Made by [`crate::Lake::diff_table`].
#[derive(Debug, Clone, Default)]
pub struct TableDiff {
    /// Columns added, dropped and changed.
    pub columns: Vec<ColumnChange>,
    /// The new partitioning, such as `day(ts)`, when it is another.
    pub partition: Option<String>,
    /// The new sort order, such as `pump, ts`, when it is another.
    pub sort: Option<String>,
    /// Table properties set, changed and removed.
    pub properties: Vec<PropertyChange>,
    /// Data files that only the later state has.
    pub files_added: Vec<ScanFile>,
    /// Data files that only the earlier state has.
    pub files_removed: Vec<ScanFile>,
    /// Rows in the added files. Files that were rewritten hold mostly the same rows, so
    /// this is no count of changed rows.
    pub rows_added: u64,
    /// Rows in the removed files.
    pub rows_removed: u64,
    /// Row-level delete files that only the later state has.
    pub deletes_added: usize,
    /// Row-level delete files that only the earlier state has.
    pub deletes_removed: usize,
    words: String,
}

impl TableDiff {
    /// All of it on one line, such as `appended 2 files (1,000 rows), added column x double`.
    pub fn summary(&self) -> &str {
        &self.words
    }
}

/// The difference between two states; of one table, or of two that share nothing.
pub(crate) async fn diff(
    files: &Arc<TableFiles>,
    before: Option<&Table>,
    after: Option<&Table>,
) -> Result<TableDiff> {
    if let (Some(before), Some(after)) = (before, after)
        && before.uuid() == after.uuid()
    {
        return between(files, before, after).await;
    }
    let mut diff = TableDiff::default();
    let mut words = Vec::new();
    if let Some(before) = before {
        diff.files_removed = before.data_files().await?.as_ref().clone();
        words.push(format!("dropped with {}", rows_words(&diff.files_removed)));
    }
    if let Some(after) = after {
        diff.files_added = after.data_files().await?.as_ref().clone();
        words.push(format!("created with {}", rows_words(&diff.files_added)));
    }
    diff.words = words.join(", ");
    Ok(diff.counted())
}

async fn between(files: &Arc<TableFiles>, before: &Table, after: &Table) -> Result<TableDiff> {
    let (was, is) = (before.metadata(), after.metadata());
    let changes = FileChanges::between(files, was, is).await?;
    let words = words::described(was, is, &changes);
    let shape = ShapeChanges::between(was, is);
    let (deletes_added, deletes_removed) =
        (changes.added_deletes.len(), changes.removed_deletes.len());
    let (files_removed, files_added) = match deletes_added + deletes_removed {
        0 => (
            scan_files(files, before, &changes.removed).await?,
            scan_files(files, after, &changes.added).await?,
        ),
        // A delete file changes the rows of data files that are themselves the same.
        _ => differing(&before.data_files().await?, &after.data_files().await?),
    };
    let diff = TableDiff {
        columns: shape.columns,
        partition: shape.partition,
        sort: shape.sort,
        properties: shape.properties,
        files_added,
        files_removed,
        deletes_added,
        deletes_removed,
        words,
        ..TableDiff::default()
    };
    Ok(diff.counted())
}

/// The listed files as a scan reads them. Only a table with row-level deletes is read as
/// a whole for that.
async fn scan_files(
    files: &Arc<TableFiles>,
    table: &Table,
    listed: &Files,
) -> Result<Vec<ScanFile>> {
    let list = files.manifest_list(table.metadata()).await?;
    let deletes = list
        .iter()
        .any(|manifest| manifest.content == ManifestContentType::Deletes);
    if deletes {
        let all = table.data_files().await?;
        let wanted = |file: &&ScanFile| listed.contains_key(file.file.file_path());
        return Ok(all.iter().filter(wanted).cloned().collect());
    }
    let listed = listed.values().map(|listed| {
        let entry = &listed.entry;
        Ok(ScanFile {
            path: files.store().path(entry.file_path())?,
            file: Arc::new(entry.data_file().clone()),
            partition_spec_id: listed.spec_id,
            sequence_number: entry.sequence_number().unwrap_or_default(),
            snapshot_id: entry.snapshot_id(),
            deletes: Arc::default(),
        })
    });
    listed.collect()
}

/// The files of `before` and of `after` that the other does not scan alike.
fn differing(before: &[ScanFile], after: &[ScanFile]) -> (Vec<ScanFile>, Vec<ScanFile>) {
    let same: HashSet<_> = before.iter().map(scanned).collect();
    let both: HashSet<_> = after
        .iter()
        .map(scanned)
        .filter(|s| same.contains(s))
        .collect();
    let apart = |files: &[ScanFile]| {
        let apart = files.iter().filter(|file| !both.contains(&scanned(file)));
        apart.cloned().collect()
    };
    (apart(before), apart(after))
}

/// What decides the rows a scan of `file` gives.
fn scanned(file: &ScanFile) -> (&Path, Vec<&Path>) {
    let deletes = file.deletes.iter().map(|delete| &delete.path);
    (&file.path, deletes.collect())
}

fn rows_words(files: &[ScanFile]) -> String {
    match files.iter().map(|file| file.file.record_count()).sum() {
        1 => "1 row".to_owned(),
        rows => format!("{} rows", words::grouped(rows)),
    }
}

impl TableDiff {
    fn counted(mut self) -> Self {
        let rows = |files: &[ScanFile]| files.iter().map(|file| file.file.record_count()).sum();
        self.rows_added = rows(&self.files_added);
        self.rows_removed = rows(&self.files_removed);
        self
    }
}
