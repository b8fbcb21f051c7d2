//! Which files of a table are rewritten together: those of one partition and partition
//! spec, in groups that are each a commit of their own.

use std::collections::{BTreeMap, HashMap};

use catalog::Result;
use chrono::Utc;
use iceberg::spec::{Struct, TableMetadata};

use super::CompactOptions;
use super::rewrite::FAN_IN;
use super::tiers;
use crate::table::{ScanFile, Table};
use crate::write::Layout;

/// Files rewritten by one commit at most.
const MOST_FILES: usize = 512;
/// Delete files that may apply to a data file before it is rewritten without what they
/// delete.
const MOST_DELETES: usize = 8;
/// A data file is so rewritten, too, when its deletes name more than this part of its rows.
const DELETED_SHARE: u64 = 10;
/// What a row of a table with a key takes in memory while duplicates are looked for.
const KEY_BYTES: u64 = 48;

/// Files to rewrite together, of one partition, in the order they were committed.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) files: Vec<ScanFile>,
    /// Whether its rows count as committed now, as no older ones of the partition stay
    /// behind them.
    pub(super) moved: bool,
}

impl Group {
    pub(super) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.file.record_count()).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.files.iter();
        sizes.map(|file| file.file.file_size_in_bytes()).sum()
    }
}

/// How a plan sees one table.
pub(super) struct Planner<'a> {
    options: &'a CompactOptions,
    /// Whether rows are looked through for repeated keys.
    keyed: bool,
    /// The order files should have; none when the table has none.
    sort_order: Option<i32>,
    /// Files of this sequence number and later were committed lately.
    recent: i64,
}

impl<'a> Planner<'a> {
    pub(super) fn new(table: &Table, options: &'a CompactOptions, keyed: bool) -> Result<Self> {
        Ok(Self {
            options,
            keyed,
            // As files are written: an order may be one that only its own engine can make.
            sort_order: Layout::of(table)?.sort_order_id,
            recent: recent(table.metadata(), options),
        })
    }

    /// What is due of `table`, the partitions written to first coming first.
    pub(super) async fn groups(&self, table: &Table) -> Result<Vec<Group>> {
        let files = table.data_files().await?;
        let mut partitions: HashMap<(i32, &Struct), Vec<&ScanFile>> = HashMap::new();
        for file in files.iter() {
            let of = (file.partition_spec_id, file.file.partition());
            partitions.entry(of).or_default().push(file);
        }
        // By their first file, for an order that does not change from run to run.
        let mut ordered: BTreeMap<(i64, &str), Vec<&ScanFile>> = BTreeMap::new();
        for files in partitions.into_values() {
            if let Some(first) = files.first() {
                ordered.insert((first.sequence_number, first.file.file_path()), files);
            }
        }
        let groups = ordered.into_values();
        Ok(groups.flat_map(|files| self.partition(&files)).collect())
    }

    /// The groups of one partition, whose files are in the order of their commits.
    fn partition(&self, files: &[&ScanFile]) -> Vec<Group> {
        let settled =
            self.options.full || files.iter().all(|file| file.sequence_number < self.recent);
        let small: Vec<usize> = (0..files.len())
            .filter(|at| self.is_small(files[*at]))
            .collect();
        let rows: Vec<u64> = small
            .iter()
            .map(|at| files[*at].file.record_count())
            .collect();
        let merged = match (self.options.full, settled) {
            (true, _) => (0..small.len()).collect(),
            (false, true) => tiers::settled(&rows),
            (false, false) => tiers::active(&rows),
        };
        let mut due: Vec<usize> = merged.into_iter().map(|at| small[at]).collect();
        if let (true, Some(first), Some(last)) = (self.keyed, due.iter().min(), due.iter().max()) {
            // Only neighbours are merged, so that files stay in the order of their commits:
            // of rows with one key the first has to stay, whenever they meet.
            let range = *first..=*last;
            due = small
                .iter()
                .copied()
                .filter(|at| range.contains(at))
                .collect();
        }
        let alone = |at: &usize| self.is_worn(files[*at], settled);
        due.extend((0..files.len()).filter(alone));
        let deleted = |at: &usize| !files[*at].deletes.is_empty();
        // Rows without what was deleted are numbered anew, so what is younger has to be, too,
        // where the order of commits counts.
        let from = due.iter().copied().filter(deleted).min();
        let from = from.filter(|_| self.keyed);
        due.extend(from.into_iter().flat_map(|from| from..files.len()));
        due.sort_unstable();
        due.dedup();
        let groups = self.runs(&due).into_iter().flat_map(|run| {
            let run = run.iter().map(|at| files[*at].clone());
            self.cut(run, from.is_some())
        });
        let worth = |group: &Group| match group.files.as_slice() {
            [] => false,
            [only] => group.moved || self.is_worn(only, settled),
            _ => true,
        };
        groups.filter(worth).collect()
    }

    /// What of `due` may be merged: all, or neighbours where the order of commits counts.
    fn runs<'b>(&self, due: &'b [usize]) -> Vec<&'b [usize]> {
        let together = |a: &usize, b: &usize| !self.keyed || a + 1 == *b;
        due.chunk_by(together).collect()
    }

    /// Files in groups that each take a bounded time and memory.
    fn cut(&self, files: impl Iterator<Item = ScanFile>, moved: bool) -> Vec<Group> {
        // Of a larger group only a part might be rewritten, and the rest stay behind.
        let most_files = if moved { FAN_IN } else { MOST_FILES };
        let memory = self.options.memory_bytes;
        let most_rows = match self.keyed {
            true => (memory / KEY_BYTES).max(1),
            false => u64::MAX,
        };
        let mut groups = Vec::new();
        let (mut group, mut bytes, mut held, mut rows) = (Vec::new(), 0_u64, 0_u64, 0_u64);
        for file in files {
            let (size, own) = (file.file.file_size_in_bytes(), file.file.record_count());
            let full = bytes >= self.options.target_file_bytes
                || held.saturating_add(row_group(&file)) > memory / 2
                || rows.saturating_add(own) > most_rows
                || group.len() >= most_files;
            // Two files always go together, or none would ever be merged.
            if full && group.len() > 1 {
                groups.push(Group {
                    files: std::mem::take(&mut group),
                    moved,
                });
                (bytes, held, rows) = (0, 0, 0);
            }
            bytes = bytes.saturating_add(size);
            held = held.saturating_add(row_group(&file));
            rows = rows.saturating_add(own);
            group.push(file);
        }
        groups.push(Group {
            files: group,
            moved,
        });
        groups
    }

    /// Whether the file is well below the size that files should have.
    pub(super) fn is_small(&self, file: &ScanFile) -> bool {
        let target = self.options.target_file_bytes;
        file.file.file_size_in_bytes() < target / 4 * 3
    }

    /// Whether the file is to be rewritten even by itself.
    fn is_worn(&self, file: &ScanFile, settled: bool) -> bool {
        let deletes = &file.deletes;
        let (named, keyed): (Vec<_>, Vec<_>) =
            deletes.iter().partition(|delete| delete.is_positional());
        let named: u64 = named.iter().map(|delete| delete.file.record_count()).sum();
        // A key may hit rows of any file, or none: what counts is what reading it costs.
        let read: u64 = keyed
            .iter()
            .map(|delete| delete.file.file_size_in_bytes())
            .sum();
        let heavy = deletes.len() >= MOST_DELETES
            || named.saturating_mul(DELETED_SHARE) > file.file.record_count()
            || read.saturating_mul(DELETED_SHARE) > file.file.file_size_in_bytes();
        let unsorted = self.sort_order.is_some() && file.file.sort_order_id() != self.sort_order;
        (!deletes.is_empty() && (heavy || settled)) || (unsorted && settled)
    }
}

/// What reading the file holds at once: one of its row groups.
fn row_group(file: &ScanFile) -> u64 {
    let groups = file.file.split_offsets().map_or(1, <[i64]>::len).max(1);
    file.file.file_size_in_bytes() / groups as u64
}

/// The least sequence number that was committed lately, as far as the metadata remembers.
fn recent(metadata: &TableMetadata, options: &CompactOptions) -> i64 {
    let settle = i64::try_from(options.settle_after.as_millis()).unwrap_or(i64::MAX);
    let lately = Utc::now().timestamp_millis().saturating_sub(settle);
    let snapshots = metadata.snapshots();
    let young = snapshots.filter(|snapshot| snapshot.timestamp_ms() > lately);
    young
        .map(|snapshot| snapshot.sequence_number())
        .min()
        .unwrap_or(i64::MAX)
}
