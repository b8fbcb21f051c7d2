//! Compaction: group after group of files is rewritten, each in a commit of its own.

use std::collections::HashMap;
use std::time::Duration;

use catalog::{Error, ErrorKind, Key, Result};
use futures::future::BoxFuture;
use iceberg::spec::{FormatVersion, Operation as SnapshotKind};

use super::plan::{Group, Planner};
use super::rewrite::rewrite;
use super::{commit_meta, dedup};
use crate::lake::Lake;
use crate::read::{Gone, Reader};
use crate::table::{ScanFile, Table};

/// Rounds of planning in one call: each merges what the one before has made.
const MOST_ROUNDS: usize = 32;

/// How files are compacted.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// The size files should get, in bytes; one below three quarters of it is small.
    pub target_file_bytes: u64,
    /// What rewriting one group takes in memory at most, in bytes. Two files are merged
    /// however large their row groups are.
    pub memory_bytes: u64,
    /// A partition that got no file for so long is settled: its small files are merged
    /// without waiting for more of them, and deleted rows are taken out.
    pub settle_after: Duration,
    /// Merges all small files now, as if every partition were settled.
    pub full: bool,
}

impl Default for CompactOptions {
    /// 128 MiB files, 256 MiB of memory, settled after ten minutes.
    fn default() -> Self {
        Self {
            target_file_bytes: 128 << 20,
            memory_bytes: 256 << 20,
            settle_after: Duration::from_secs(600),
            full: false,
        }
    }
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Commits made.
    pub commits: u64,
    /// Files that were replaced.
    pub files_removed: u64,
    /// Files that took their place.
    pub files_added: u64,
    /// The size of the replaced files.
    pub bytes_removed: u64,
    /// The size of those in their place.
    pub bytes_added: u64,
    /// Rows left out because an earlier one has their key.
    pub repeated_rows: u64,
    /// Groups given up because others changed their files meanwhile.
    pub conflicts: u64,
}

impl CompactReport {
    /// Adds what another compaction did.
    pub fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.files_removed += other.files_removed;
        self.files_added += other.files_added;
        self.bytes_removed += other.bytes_removed;
        self.bytes_added += other.bytes_added;
        self.repeated_rows += other.repeated_rows;
        self.conflicts += other.conflicts;
    }
}

/// Asked before each group: waits while others have precedence; false ends the compaction.
pub type GoOn<'a> = &'a (dyn Fn() -> BoxFuture<'a, bool> + Send + Sync);

impl Lake {
    /// Merges the small files of the table `key` on `branch` that are due, each group in a
    /// commit by `author`. What others change meanwhile is left to them: groups whose files
    /// they touched are given up, and counted.
    ///
    /// # Errors
    /// `NotFound` for unknown branches and tables, `Unsupported` for tables that can only
    /// be read; those of the object store.
    pub async fn compact(
        &self,
        branch: &str,
        key: &Key,
        options: &CompactOptions,
        author: &str,
        go_on: GoOn<'_>,
    ) -> Result<CompactReport> {
        let mut report = CompactReport::default();
        for _ in 0..MOST_ROUNDS {
            let head = self.catalog().head(branch).await?;
            let table = self.table(&head, key).await?;
            let groups = self.due(&table, options).await?;
            let mut round = CompactReport::default();
            for group in groups {
                if !go_on().await {
                    report.add(&round);
                    return Ok(report);
                }
                round.add(
                    &self
                        .compact_group(branch, key, &group, options, author)
                        .await?,
                );
            }
            report.add(&round);
            if round.files_removed <= round.files_added || round.conflicts > 0 {
                break;
            }
        }
        Ok(report)
    }

    /// The groups of files that a compaction would rewrite now.
    pub(super) async fn due(&self, table: &Table, options: &CompactOptions) -> Result<Vec<Group>> {
        let version = table.metadata().format_version();
        if version > FormatVersion::V2 {
            let key = table.key();
            let message = format!("table {key} has format version {version} and is only read");
            return Err(Error::unsupported(message).with_hint("compact it with its own engine"));
        }
        let keyed = !dedup::key_columns(table).is_empty();
        Planner::new(table, options, keyed)?.groups(table).await
    }

    async fn compact_group(
        &self,
        branch: &str,
        key: &Key,
        group: &Group,
        options: &CompactOptions,
        author: &str,
    ) -> Result<CompactReport> {
        let given_up = CompactReport {
            conflicts: 1,
            ..CompactReport::default()
        };
        let base = self.catalog().head(branch).await?;
        let table = self.table(&base, key).await?;
        let Some(files) = as_now(&table, &group.files).await? else {
            return Ok(given_up);
        };
        let reader = Reader::new(self.store(), &table);
        let gone = Gone::of(&reader, self.store(), &table, &files, options.memory_bytes);
        let gone = match gone.await {
            Err(e) if e.kind() == ErrorKind::ResourceExhausted => {
                tracing::warn!(table = %key, error = %e, "files are not compacted");
                return Ok(CompactReport::default());
            }
            gone => gone?,
        };
        let rewritten = rewrite(self, &table, &files, gone, group.moved, options).await?;
        let removed = rewritten.files.iter();
        let sizes = rewritten.added.iter().map(|file| file.file_size_in_bytes());
        let done = CompactReport {
            commits: 1,
            files_removed: rewritten.files.len() as u64,
            files_added: rewritten.added.len() as u64,
            bytes_removed: removed.map(|file| file.file.file_size_in_bytes()).sum(),
            bytes_added: sizes.sum(),
            repeated_rows: rewritten.repeated,
            conflicts: 0,
        };
        // Readers of changes may skip a replacement, but not where rows went.
        let kind = match rewritten.repeated {
            0 => SnapshotKind::Replace,
            _ => SnapshotKind::Overwrite,
        };
        let (from, to) = (done.files_removed, done.files_added);
        let meta = commit_meta(
            author,
            "compact",
            format!("compact {key}: {from} files into {to}"),
        );
        let staged = rewritten.stage(self, &table, kind).await?;
        match self.commit(branch, meta, &base, vec![staged]).await {
            Ok(_) => Ok(done),
            Err(e) if e.kind() == ErrorKind::Conflict => {
                tracing::info!(table = %key, error = %e, "a compaction was overtaken and is given up");
                Ok(given_up)
            }
            Err(e) => Err(e),
        }
    }
}

/// `files` as they are in `table` now, with the deletes that apply today; none when one of
/// them is gone.
async fn as_now(table: &Table, files: &[ScanFile]) -> Result<Option<Vec<ScanFile>>> {
    let live = table.data_files().await?;
    let live = live.iter().map(|file| (file.file.file_path(), file));
    let live: HashMap<&str, &ScanFile> = live.collect();
    let now = files.iter().map(|file| live.get(file.file.file_path()));
    Ok(now.map(|file| file.map(|file| (*file).clone())).collect())
}
