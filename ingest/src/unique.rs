//! Rows that a stream's `dedup` columns name twice: the first one is kept.
//!
//! A row is compared with those in the buffer, and with the latest of its table in the lake, whoever
//! committed them before this process began and this process itself since. What two ingesters
//! commit at the same time is left to compaction, which reads the same columns from the table's
//! property. A row without a value in one of the columns is always kept.

mod load;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::row::{RowConverter, SortField};
use catalog::{Error, Key, Result};
use lake::Place;

use crate::config::StreamConfig;

/// The table property with the columns, which compaction reads.
pub(crate) const PROPERTY: &str = "pumphouse.dedup";
/// Committed rows of a table that a new one is compared with.
const MOST_KNOWN: usize = 1_000_000;

/// The keys of the latest rows, by table.
pub(crate) struct Unique {
    tables: RwLock<BTreeMap<Key, Arc<Table>>>,
    hashers: [RandomState; 2],
}

pub(crate) struct Table {
    columns: Vec<String>,
    seen: Mutex<Seen>,
}

/// Keys as hashes of 128 bits, so that no two of a million are the same by chance.
#[derive(Default)]
struct Seen {
    all: HashSet<u128>,
    /// Those of committed rows, oldest first.
    committed: VecDeque<u128>,
    /// Those of rows in the buffer, by the log position they end at.
    hot: VecDeque<(u64, Vec<u128>)>,
    /// Where the table stood when `committed` was last known to be in it; none before it is read.
    at: Option<Place>,
}

/// The columns of each table whose streams name some.
pub(crate) fn columns_by_table(streams: &[StreamConfig]) -> BTreeMap<Key, Vec<String>> {
    let named = streams.iter().filter(|stream| !stream.dedup.is_empty());
    named
        .map(|stream| (stream.table.clone(), stream.dedup.clone()))
        .collect()
}

impl Unique {
    pub(crate) fn new(streams: &[StreamConfig]) -> Self {
        let unique = Self {
            tables: RwLock::default(),
            hashers: [RandomState::new(), RandomState::new()],
        };
        unique.follow(streams);
        unique
    }

    /// Keeps the first rows as other streams have it. What was seen of a table is remembered where
    /// its columns are the same; the others are returned, to be loaded.
    pub(crate) fn follow(&self, streams: &[StreamConfig]) -> Vec<(Key, Arc<Table>)> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *tables);
        let mut new = Vec::new();
        for (key, columns) in columns_by_table(streams) {
            let table = match before.remove(&key) {
                Some(table) if table.columns == columns => table,
                _ => {
                    let seen = Mutex::default();
                    let table = Arc::new(Table { columns, seen });
                    new.push((key.clone(), Arc::clone(&table)));
                    table
                }
            };
            tables.insert(key, table);
        }
        new
    }

    /// Forgets all rows, committed or not.
    pub(crate) fn forget(&self) {
        for (_, table) in self.tables() {
            *table.seen() = Seen::default();
        }
    }

    /// Notes the rows of a table that are in the buffer, each batch with the position it ends at.
    pub(crate) fn note(&self, table: &Table, batches: &[(u64, RecordBatch)]) -> Result<()> {
        for (end, batch) in batches {
            let hashes = self.hashes(&table.columns, batch)?;
            let mut seen = table.seen();
            let mut keys: Vec<u128> = hashes.into_iter().flatten().collect();
            keys.retain(|key| seen.all.insert(*key));
            seen.hot.push_back((*end, keys));
        }
        Ok(())
    }

    fn table(&self, key: &Key) -> Option<Arc<Table>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(key).cloned()
    }

    pub(crate) fn tables(&self) -> Vec<(Key, Arc<Table>)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let tables = tables.iter();
        tables
            .map(|(key, table)| (key.clone(), Arc::clone(table)))
            .collect()
    }

    /// Takes the rows out of `batches` that were seen before, and notes the others as hot up to the
    /// log position `end`; returns how many went.
    pub(crate) fn keep_first(
        &self,
        end: u64,
        batches: &mut Vec<(Key, RecordBatch)>,
    ) -> Result<usize> {
        let mut dropped = 0;
        for (key, batch) in batches.iter_mut() {
            if let Some(table) = self.table(key) {
                let hashes = self.hashes(&table.columns, batch)?;
                // In one step: whoever reads the keys anew knows which rows met the old ones.
                let mut seen = table.seen();
                let mut keys = Vec::new();
                dropped += seen.filter(batch, &hashes, &mut keys)?;
                seen.hot.push_back((end, keys));
            }
        }
        batches.retain(|(_, batch)| batch.num_rows() > 0);
        Ok(dropped)
    }

    /// The same for rows up to `end` that were decoded again, in place of what they were before.
    pub(crate) fn keep_first_again(
        &self,
        end: u64,
        tables: &mut BTreeMap<Key, Vec<RecordBatch>>,
    ) -> Result<usize> {
        for (_, table) in self.tables() {
            let mut seen = table.seen();
            while let Some((_, keys)) = seen.hot.pop_front_if(|(at, _)| *at <= end) {
                for key in &keys {
                    seen.all.remove(key);
                }
            }
        }
        let mut dropped = 0;
        for (key, batches) in tables.iter_mut() {
            let Some(table) = self.table(key) else {
                continue;
            };
            let mut keys = Vec::new();
            for batch in batches.iter_mut() {
                let hashes = self.hashes(&table.columns, batch)?;
                dropped += table.seen().filter(batch, &hashes, &mut keys)?;
            }
            batches.retain(|batch| batch.num_rows() > 0);
            table.seen().hot.push_front((end, keys));
        }
        tables.retain(|_, batches| !batches.is_empty());
        Ok(dropped)
    }

    /// Notes that the rows up to `end` are committed.
    pub(crate) fn committed(&self, end: u64) {
        for (_, table) in self.tables() {
            let mut seen = table.seen();
            while let Some((_, keys)) = seen.hot.pop_front_if(|(at, _)| *at <= end) {
                seen.commit(keys);
            }
        }
    }

    /// The key of each row; none where a column has no value.
    fn hashes(&self, columns: &[String], batch: &RecordBatch) -> Result<Vec<Option<u128>>> {
        let found: Option<Vec<&ArrayRef>> = columns
            .iter()
            .map(|name| batch.column_by_name(name))
            .collect();
        let Some(found) = found else {
            return Ok(vec![None; batch.num_rows()]);
        };
        let columns = found.into_iter().map(canonical);
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let fields = columns
            .iter()
            .map(|c| SortField::new(c.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(failed)?;
        let rows = converter.convert_columns(&columns).map_err(failed)?;
        let hash = |row: &[u8]| {
            let [low, high] = &self.hashers;
            u128::from(low.hash_one(row)) | u128::from(high.hash_one(row)) << 64
        };
        let whole = |row: usize| columns.iter().all(|column| column.is_valid(row));
        let rows = rows.iter().enumerate();
        Ok(rows
            .map(|(n, row)| whole(n).then(|| hash(row.data())))
            .collect())
    }
}

impl Table {
    /// The state stays consistent at every step, so a panic elsewhere does not spoil it.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Takes the rows out of `batch` whose hashes were seen, and adds those of the others to `keys`;
    /// returns how many went.
    fn filter(
        &mut self,
        batch: &mut RecordBatch,
        hashes: &[Option<u128>],
        keys: &mut Vec<u128>,
    ) -> Result<usize> {
        let mut keep = |hash: &Option<u128>| match hash {
            Some(hash) => {
                let new = self.all.insert(*hash);
                keys.extend(new.then_some(*hash));
                new
            }
            None => true,
        };
        let mask: BooleanArray = hashes.iter().map(|hash| Some(keep(hash))).collect();
        let before = batch.num_rows();
        if mask.true_count() < before {
            *batch = filter_record_batch(batch, &mask).map_err(failed)?;
        }
        Ok(before - batch.num_rows())
    }

    /// Puts the keys of the rows in a table, oldest first, in the place of what was known of it;
    /// returns the position up to which rows were compared with the former ones, if any were.
    fn replace(&mut self, mut committed: Vec<u128>, at: Option<Place>) -> Option<u64> {
        self.all.clear();
        self.committed.clear();
        committed.retain(|key| self.all.insert(*key));
        for (_, keys) in &mut self.hot {
            keys.retain(|key| self.all.insert(*key));
        }
        self.commit(committed);
        self.at = at;
        self.hot.back().map(|(end, _)| *end)
    }

    /// Notes keys, which are in `all`, as those of committed rows.
    fn commit(&mut self, keys: Vec<u128>) {
        self.committed.extend(keys);
        while self.committed.len() > MOST_KNOWN {
            if let Some(oldest) = self.committed.pop_front() {
                self.all.remove(&oldest);
            }
        }
    }
}

/// The column in one type of each kind: a column may be widened from one file to the next.
fn canonical(column: &ArrayRef) -> Result<ArrayRef> {
    let kind = match column.data_type() {
        kind if kind.is_integer() => DataType::Int64,
        kind if kind.is_floating() => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        kind => kind.clone(),
    };
    match kind == *column.data_type() {
        true => Ok(column.clone()),
        false => cast(column, &kind).map_err(failed),
    }
}

fn failed(error: arrow::error::ArrowError) -> Error {
    Error::internal("cannot compare rows by their dedup columns").with_source(error)
}
