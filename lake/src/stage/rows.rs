//! Staged changes of a table's rows: files added, exchanged and removed.

use std::collections::{BTreeMap, HashSet};

use catalog::Result;
use iceberg::spec::{DataFile, ManifestContentType, Operation as SnapshotKind};

use super::put;
use crate::lake::Lake;
use crate::producer::{self, AddedFile, SnapshotChange};
use crate::table::{ScanFile, Table};

/// Files taken out of a table and those that come in their place.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// Files of the table, from [`Table::data_files`].
    pub removed: Vec<ScanFile>,
    /// Files from [`Lake::write`].
    pub added: Vec<DataFile>,
    /// What the exchange means.
    pub kind: RewriteKind,
    /// Properties for the snapshot's summary.
    pub summary: BTreeMap<String, String>,
}

/// What an exchange of files means, as the snapshot's operation tells other engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteKind {
    /// Rows were changed, or some removed and others added.
    Overwrite,
    /// Rows were removed; added files hold what is left of the removed ones.
    Delete,
    /// The same rows in other files.
    Replace,
}

impl Lake {
    /// Adds `files`, which [`Lake::write`] wrote for `table`, as a new snapshot.
    /// `summary` goes into the snapshot's summary.
    ///
    /// # Errors
    /// Those of the object store; `Unsupported` for tables of later format versions.
    pub async fn stage_append(
        &self,
        table: &Table,
        files: Vec<DataFile>,
        summary: BTreeMap<String, String>,
    ) -> Result<catalog::Operation> {
        let change = SnapshotChange {
            added: AddedFile::all(files, table.metadata().default_partition_spec_id()),
            summary,
            ..SnapshotChange::default()
        };
        self.stage_snapshot(table, change).await
    }

    /// Exchanges files as a new snapshot. Delete files that applied to removed files
    /// only go with them.
    ///
    /// # Errors
    /// `Conflict` when a removed file is not in the table.
    pub async fn stage_rewrite(
        &self,
        table: &Table,
        rewrite: Rewrite,
    ) -> Result<catalog::Operation> {
        let metadata = table.metadata();
        let mut added = AddedFile::all(rewrite.added, metadata.default_partition_spec_id());
        if rewrite.kind == RewriteKind::Replace {
            // All deletes up to here were applied when the rows were read; those that
            // another writer commits meanwhile must still meet them.
            for file in &mut added {
                file.sequence_number = Some(metadata.last_sequence_number());
            }
        }
        let removed = rewrite.removed.iter();
        let removed: HashSet<String> = removed
            .map(|file| file.file.file_path().to_owned())
            .collect();
        let change = SnapshotChange {
            operation: rewrite.kind.operation(),
            added,
            removed_deletes: without_use(table, &rewrite.removed, &removed).await?,
            removed,
            summary: rewrite.summary,
            ..SnapshotChange::default()
        };
        self.stage_snapshot(table, change).await
    }

    /// Removes all rows as a new snapshot.
    ///
    /// # Errors
    /// Those of the object store.
    pub async fn stage_truncate(&self, table: &Table) -> Result<catalog::Operation> {
        let mut change = SnapshotChange {
            operation: SnapshotKind::Delete,
            ..SnapshotChange::default()
        };
        let list = self.files().manifest_list(table.metadata()).await?;
        let manifests = self.files().manifests(&list).await?;
        for (manifest, entries) in list.iter().zip(&manifests) {
            let paths = match manifest.content {
                ManifestContentType::Data => &mut change.removed,
                ManifestContentType::Deletes => &mut change.removed_deletes,
            };
            let live = entries.iter().filter(|entry| entry.is_alive());
            paths.extend(live.map(|entry| entry.file_path().to_owned()));
        }
        self.stage_snapshot(table, change).await
    }

    /// A new snapshot that makes `change`.
    pub(crate) async fn stage_snapshot(
        &self,
        table: &Table,
        change: SnapshotChange,
    ) -> Result<catalog::Operation> {
        let location = table.metadata_location();
        let metadata = table.metadata();
        let staged = producer::produce(self.files(), metadata, location, change).await?;
        Ok(put(table, staged))
    }
}

/// The delete files that applied to removed files and to none that stay.
pub(crate) async fn without_use(
    table: &Table,
    files: &[ScanFile],
    removed: &HashSet<String>,
) -> Result<HashSet<String>> {
    let paths = |file: &ScanFile| {
        let deletes = file.deletes.iter();
        let paths = deletes.map(|delete| delete.file.file_path().to_owned());
        paths.collect::<Vec<_>>()
    };
    let mut unused: HashSet<String> = files.iter().flat_map(paths).collect();
    if unused.is_empty() {
        return Ok(unused);
    }
    for file in table.data_files().await?.iter() {
        if !removed.contains(file.file.file_path()) {
            paths(file).iter().for_each(|path| {
                unused.remove(path);
            });
        }
    }
    Ok(unused)
}

impl RewriteKind {
    fn operation(self) -> SnapshotKind {
        match self {
            Self::Overwrite => SnapshotKind::Overwrite,
            Self::Delete => SnapshotKind::Delete,
            Self::Replace => SnapshotKind::Replace,
        }
    }
}
