//! Which files of a table are rewritten together: those of one partition and partition
//! spec, in groups that are each a commit of their own.

use std::collections::{BTreeMap, HashMap};

use catalog::Result;
use chrono::Utc;
use iceberg::spec::{Struct, TableMetadata};

use super::CompactOptions;
use super::tiers;
use crate::table::{ScanFile, Table};

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
    pub(super) fn new(table: &Table, options: &'a CompactOptions, keyed: bool) -> Self {
        let metadata = table.metadata();
        let order = metadata.default_sort_order();
        let order = (!order.fields.is_empty()).then_some(metadata.default_sort_order_id());
        Self {
            options,
            keyed,
            sort_order: order.and_then(|id| i32::try_from(id).ok()),
            recent: recent(metadata, options),
        }
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
        due.sort_unstable();
        due.dedup();
        let due = due.into_iter().map(|at| files[at].clone());
        let groups = self.cut(due).into_iter();
        let worth = |group: &Group| match group.files.as_slice() {
            [] => false,
            [only] => self.is_worn(only, settled),
            _ => true,
        };
        groups.filter(worth).collect()
    }

    /// Files in groups that each take a bounded time and memory.
    fn cut(&self, files: impl Iterator<Item = ScanFile>) -> Vec<Group> {
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
                || group.len() >= MOST_FILES;
            // Two files always go together, or none would ever be merged.
            if full && group.len() > 1 {
                groups.push(Group {
                    files: std::mem::take(&mut group),
                });
                (bytes, held, rows) = (0, 0, 0);
            }
            bytes = bytes.saturating_add(size);
            held = held.saturating_add(row_group(&file));
            rows = rows.saturating_add(own);
            group.push(file);
        }
        groups.push(Group { files: group });
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
        let named: u64 = deletes
            .iter()
            .map(|delete| delete.file.record_count())
            .sum();
        let heavy = deletes.len() >= MOST_DELETES
            || named.saturating_mul(DELETED_SHARE) > file.file.record_count();
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
