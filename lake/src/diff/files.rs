//! Which files differ between two states of one table, at the cost of the manifests that
//! differ: those both states list by the same path are immutable and hold the same files.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use catalog::Result;
use iceberg::spec::{
    ManifestContentType, ManifestEntryRef, ManifestFile, Operation, TableMetadata,
};

use crate::metadata::TableFiles;

/// A live file of a table as its manifest lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The entry, with the sequence number it inherited.
    pub(crate) entry: ManifestEntryRef,
    /// The partition spec of the file, by the id it has in its own table metadata.
    pub(crate) spec_id: i32,
}

/// Files by their full path.
pub(crate) type Files = BTreeMap<String, Listed>;

/// What one state of a table has and another lacks.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileChanges {
    /// Data files the later state has gained.
    pub(crate) added: Files,
    /// Data files it has no more.
    pub(crate) removed: Files,
    /// Row-level delete files it has gained.
    pub(crate) added_deletes: Files,
    /// Row-level delete files it has no more.
    pub(crate) removed_deletes: Files,
}

impl FileChanges {
    /// What `after` changed of `before`.
    pub(crate) async fn between(
        files: &Arc<TableFiles>,
        before: &TableMetadata,
        after: &TableMetadata,
    ) -> Result<Self> {
        let lists = futures::try_join!(files.manifest_list(before), files.manifest_list(after));
        let (before, after) = lists?;
        let only_before = unshared(&before, &after);
        let only_after = unshared(&after, &before);
        let (mut was, mut is) =
            futures::try_join!(live(files, &only_before), live(files, &only_after))?;
        drop_common(&mut was.data, &mut is.data);
        drop_common(&mut was.deletes, &mut is.deletes);
        Ok(Self {
            added: is.data,
            removed: was.data,
            added_deletes: is.deletes,
            removed_deletes: was.deletes,
        })
    }

    /// Nothing was added or removed.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.only_appended()
    }

    /// Whether both removed one and the same file.
    pub(crate) fn removed_alike(&self, other: &Self) -> bool {
        let common = |a: &Files, b: &Files| a.keys().any(|path| b.contains_key(path));
        common(&self.removed, &other.removed)
            || common(&self.removed_deletes, &other.removed_deletes)
    }

    /// No file was added.
    pub(crate) fn adds_nothing(&self) -> bool {
        self.added.is_empty() && self.added_deletes.is_empty()
    }

    /// Data files were added, if anything was done at all: no row went away or moved.
    pub(crate) fn only_appended(&self) -> bool {
        self.removed.is_empty() && self.added_deletes.is_empty() && self.removed_deletes.is_empty()
    }

    /// Whether every added data file came by an append, as `metadata` of their state tells;
    /// files of snapshots it has forgotten count as not.
    pub(crate) fn added_by_appends(&self, metadata: &TableMetadata) -> bool {
        self.added.values().all(|file| {
            let snapshot = file.entry.snapshot_id();
            let snapshot = snapshot.and_then(|id| metadata.snapshot_by_id(id));
            snapshot.is_some_and(|by| by.summary().operation == Operation::Append)
        })
    }
}

/// Whether a data file that both states hold has a data sequence number of its own in
/// each, or one above `highest`.
pub(crate) async fn renumbered(
    files: &Arc<TableFiles>,
    a: &TableMetadata,
    b: &TableMetadata,
    highest: i64,
) -> Result<bool> {
    let (a, b) = futures::try_join!(files.manifest_list(a), files.manifest_list(b))?;
    let (only_a, only_b) = (unshared(&a, &b), unshared(&b, &a));
    let (a, b) = futures::try_join!(live(files, &only_a), live(files, &only_b))?;
    Ok(a.data.iter().any(|(path, file)| {
        let number = file.entry.sequence_number();
        b.data.get(path).is_some_and(|other| {
            number != other.entry.sequence_number() || number.is_some_and(|n| n > highest)
        })
    }))
}

/// The rows in `files` together.
pub(crate) fn rows(files: &Files) -> u64 {
    files.values().map(|file| file.entry.record_count()).sum()
}

fn unshared(list: &[ManifestFile], other: &[ManifestFile]) -> Vec<ManifestFile> {
    let known: HashSet<&str> = other.iter().map(|m| m.manifest_path.as_str()).collect();
    let differing = list
        .iter()
        .filter(|manifest| !known.contains(manifest.manifest_path.as_str()));
    differing.cloned().collect()
}

#[derive(Default)]
struct Live {
    data: Files,
    deletes: Files,
}

async fn live(files: &Arc<TableFiles>, manifests: &[ManifestFile]) -> Result<Live> {
    let mut live = Live::default();
    for (manifest, entries) in manifests.iter().zip(files.manifests(manifests).await?) {
        let kind = match manifest.content {
            ManifestContentType::Data => &mut live.data,
            ManifestContentType::Deletes => &mut live.deletes,
        };
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            let listed = Listed {
                entry: Arc::clone(entry),
                spec_id: manifest.partition_spec_id,
            };
            kind.insert(entry.file_path().to_owned(), listed);
        }
    }
    Ok(live)
}

/// Takes out of both what both hold.
pub(crate) fn drop_common(a: &mut Files, b: &mut Files) {
    a.retain(|path, _| b.remove(path).is_none());
}
