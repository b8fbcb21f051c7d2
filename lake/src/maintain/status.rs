//! What there is to maintain of a table.

use std::time::Duration;

use catalog::Result;
use chrono::{DateTime, Utc};
use iceberg::spec::ManifestContentType;

use super::expire::expired;
use super::plan::Planner;
use super::retain::{self, Limit, RetainOptions, limit, retention, time_column};
use super::{CompactOptions, ExpireOptions};
use crate::lake::Lake;
use crate::table::{ScanFile, Table};

/// Files that a job would touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compactable {
    /// Commits it would make.
    pub commits: u64,
    /// Files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their size.
    pub bytes: u64,
}

/// The state of one table, and what maintenance would do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceStatus {
    /// Live data files.
    pub files: u64,
    /// Those well below the target size.
    pub small_files: u64,
    /// Their rows, deleted ones not taken off.
    pub rows: u64,
    /// Their size.
    pub bytes: u64,
    /// Live delete files.
    pub delete_files: u64,
    /// Manifests of the current snapshot.
    pub manifests: u64,
    /// Snapshots in the table's metadata.
    pub snapshots: u64,
    /// The time of the oldest row, where the files' bounds tell.
    pub oldest_row: Option<DateTime<Utc>>,
    /// How long the table keeps its rows; all without one.
    pub retain: Option<Duration>,
    /// What a compaction would rewrite.
    pub compact: Compactable,
    /// What a retention would remove.
    pub over_age: Compactable,
    /// Files that an exact retention would read, and rewrite when they hold older rows.
    pub partly_over_age: u64,
    /// Snapshots that an expiry would drop.
    pub expired_snapshots: u64,
}

impl MaintenanceStatus {
    /// Counts what a retention would do with `file`.
    fn age(&mut self, table: &Table, file: &ScanFile, limit: &Limit, exact: bool) {
        if limit.is_over(table, file) {
            let over = &mut self.over_age;
            over.commits = 1;
            over.files += 1;
            over.rows += file.file.record_count();
            over.bytes += file.file.file_size_in_bytes();
        } else if exact && limit.may_reach(file) {
            self.partly_over_age += 1;
        }
    }
}

impl Lake {
    /// What there is of `table`, and what maintenance with these options would do.
    ///
    /// # Errors
    /// `Unsupported` for tables that can only be read; those of the object store.
    pub async fn maintenance_status(
        &self,
        table: &Table,
        compact: &CompactOptions,
        expire: ExpireOptions,
        retain: RetainOptions,
    ) -> Result<MaintenanceStatus> {
        let metadata = table.metadata();
        let files = table.data_files().await?;
        let list = self.files().manifest_list(metadata).await?;
        let deletes = list
            .iter()
            .filter(|m| m.content == ManifestContentType::Deletes);
        let deletes = deletes.map(|manifest| {
            let added = manifest.added_files_count.unwrap_or(0);
            u64::from(added + manifest.existing_files_count.unwrap_or(0))
        });
        let mut status = MaintenanceStatus {
            files: files.len() as u64,
            delete_files: deletes.sum(),
            manifests: list.len() as u64,
            snapshots: metadata.snapshots().len() as u64,
            retain: retention(table),
            expired_snapshots: expired(metadata, expire)?.len() as u64,
            ..MaintenanceStatus::default()
        };
        let planner = Planner::new(table, compact, false)?;
        let limit = limit(table, retain.older_than)?;
        for file in files.iter() {
            status.rows += file.file.record_count();
            status.bytes += file.file.file_size_in_bytes();
            status.small_files += u64::from(planner.is_small(file));
            if let Some(limit) = &limit {
                status.age(table, file, limit, retain.exact);
            }
        }
        if let Some(column) = time_column(metadata) {
            let oldest = files
                .iter()
                .filter_map(|file| retain::oldest(file, column.id));
            status.oldest_row = oldest.min().and_then(DateTime::from_timestamp_micros);
        }
        for group in self.due(table, compact).await? {
            status.compact.commits += 1;
            status.compact.files += group.files.len() as u64;
            status.compact.rows += group.rows();
            status.compact.bytes += group.bytes();
        }
        Ok(status)
    }
}
