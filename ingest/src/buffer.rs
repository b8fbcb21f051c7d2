//! The hot buffer: decoded rows that queries see at once and the next flush commits.
//!
//! Every batch carries the log position it ends at. A snapshot's watermark is always such an end,
//! so that the rows after it are whole batches: no row is missed and none is seen twice.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use catalog::{Key, Result, Snapshot};
use lake::hot::{HotCut, HotRows};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Batches are merged up to this size, so that a query meets few of them.
const MERGE_ROWS: usize = 8_192;
/// Merging stops at this size too, for tables of large values.
const MERGE_BYTES: usize = 8 << 20;

/// Thresholds of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Rows at which a flush is due.
    pub(crate) flush_rows: usize,
    /// Bytes at which a flush is due.
    pub(crate) flush_bytes: usize,
    /// Bytes at which decoding waits.
    pub(crate) buffer_bytes: usize,
}

/// The uncommitted rows of this ingester, shared by decoding, flushing and queries.
pub(crate) struct Buffer {
    branch: String,
    ingester: String,
    /// The lake has everything up to here under another id.
    floor: u64,
    bounds: Bounds,
    state: Mutex<State>,
    /// Rings when rows arrive in an empty buffer or a flush is due.
    due: Notify,
    /// Rings when a flush made room.
    room: Notify,
    decoded: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<Key, VecDeque<Hot>>,
    /// Everything up to here is in the buffer or committed.
    decoded: u64,
    /// Everything up to here belongs to a flush under way and is merged no more.
    sealed: u64,
    /// Everything up to here is committed and dropped.
    dropped: u64,
    /// Queries have seen rows up to here before decoding started over: until it is there again
    /// they wait.
    shown: u64,
    /// Rows and bytes after `sealed`.
    open: Size,
    /// Bytes of all batches.
    bytes: usize,
    /// When the first row after `sealed` came.
    since: Option<Instant>,
    /// A snapshot was seen that ends within a batch: not this process has committed it.
    overtaken: bool,
}

#[derive(Default, Clone, Copy)]
struct Size {
    rows: usize,
    bytes: usize,
}

struct Hot {
    batch: RecordBatch,
    bytes: usize,
    /// The position before those it holds.
    start: u64,
    end: u64,
}

/// Rows to be committed together.
pub(crate) struct Sealed {
    /// The watermark their commit carries.
    pub(crate) end: u64,
    /// Batches per table.
    pub(crate) tables: Vec<(Key, Vec<RecordBatch>)>,
    /// Rows in them.
    pub(crate) rows: usize,
}

/// What the next flush waits for.
pub(crate) enum Due {
    Now,
    /// Nothing is there to flush.
    Idle,
    /// Rows wait since then.
    Since(Instant),
}

impl Buffer {
    /// An empty buffer; up to `floor` the lake has everything under another id.
    pub(crate) fn new(branch: &str, ingester: &str, floor: u64, bounds: Bounds) -> Self {
        Self {
            branch: branch.to_owned(),
            ingester: ingester.to_owned(),
            floor,
            bounds,
            state: Mutex::default(),
            due: Notify::new(),
            room: Notify::new(),
            decoded: watch::Sender::new(0),
        }
    }

    /// The state stays consistent at every step, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts, or starts over, above everything the lake already has.
    pub(crate) fn start_at(&self, watermark: u64) {
        let mut state = self.state();
        *state = State {
            decoded: watermark,
            sealed: watermark,
            dropped: watermark,
            shown: state.decoded.max(state.shown),
            ..State::default()
        };
        drop(state);
        self.decoded.send_replace(watermark);
        self.room.notify_waiters();
    }

    /// The position up to which rows are in the buffer or committed.
    pub(crate) fn decoded(&self) -> watch::Receiver<u64> {
        self.decoded.subscribe()
    }

    /// Shows the rows decoded from the log up to `end` to queries, and to the next flush.
    pub(crate) fn publish(&self, batches: Vec<(Key, RecordBatch)>, end: u64) -> Result<()> {
        let mut state = self.state();
        let was_empty = state.since.is_none();
        state.since.get_or_insert_with(Instant::now);
        let mut outcome = Ok(());
        let start = state.decoded;
        for (key, batch) in batches {
            let bytes = batch.get_array_memory_size();
            state.open.rows += batch.num_rows();
            state.open.bytes += bytes;
            state.bytes += bytes;
            let sealed = state.sealed;
            let hot = state.tables.entry(key).or_default();
            hot.push_back(Hot {
                batch,
                bytes,
                start,
                end,
            });
            match merge_tail(hot, sealed) {
                Ok(change) => {
                    state.bytes = state.bytes.saturating_add_signed(change);
                    state.open.bytes = state.open.bytes.saturating_add_signed(change);
                }
                Err(error) => outcome = Err(error),
            }
        }
        state.decoded = end;
        let due = self.is_due(&state);
        drop(state);
        self.decoded.send_replace(end);
        if was_empty || due {
            self.due.notify_one();
        }
        outcome
    }

    fn is_due(&self, state: &State) -> bool {
        // With half the room taken, the other half takes what comes while the flush runs.
        let bytes = self.bounds.flush_bytes.min(self.bounds.buffer_bytes / 2);
        state.open.rows >= self.bounds.flush_rows || state.open.bytes >= bytes.max(1)
    }

    /// Bytes of all rows.
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// What the next flush waits for.
    pub(crate) fn due(&self) -> Due {
        let state = self.state();
        match state.since {
            _ if state.overtaken => Due::Now,
            None => Due::Idle,
            Some(_) if self.is_due(&state) => Due::Now,
            Some(since) => Due::Since(since),
        }
    }

    /// Waits until [`Buffer::due`] may have changed. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.due.notified().await;
    }

    /// Waits until another group of rows may come. Cancel safe.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let room = self.room.notified();
            if self.state().bytes < self.bounds.buffer_bytes {
                return;
            }
            room.await;
        }
    }

    /// Closes what is there for a flush; none when every decoded position is sealed or committed.
    pub(crate) fn seal(&self) -> Option<Sealed> {
        let mut state = self.state();
        let end = state.decoded;
        state.overtaken = false;
        if end <= state.sealed {
            return None;
        }
        state.sealed = end;
        state.open = Size::default();
        state.since = None;
        let tables: Vec<_> = state
            .tables
            .iter()
            .map(|(key, hot)| (key.clone(), hot.iter().map(|h| h.batch.clone()).collect()))
            .collect();
        let count = |(_, batches): &(Key, Vec<RecordBatch>)| {
            batches.iter().map(RecordBatch::num_rows).sum::<usize>()
        };
        Some(Sealed {
            end,
            rows: tables.iter().map(count).sum(),
            tables,
        })
    }

    /// Drops what a commit now holds.
    pub(crate) fn committed(&self, end: u64) {
        let mut state = self.state();
        let mut freed = 0;
        state.tables.retain(|_, hot| {
            while let Some(front) = hot.pop_front_if(|h| h.end <= end) {
                freed += front.bytes;
            }
            !hot.is_empty()
        });
        state.bytes = state.bytes.saturating_sub(freed);
        state.dropped = state.dropped.max(end);
        drop(state);
        self.room.notify_waiters();
    }
}

/// Merges the last batches while they are small and alike in size, never across `sealed`; returns
/// by how much the bytes changed.
fn merge_tail(hot: &mut VecDeque<Hot>, sealed: u64) -> Result<isize> {
    let mut change = 0;
    while let [.., a, b] = hot.make_contiguous() {
        let rows = a.batch.num_rows() + b.batch.num_rows();
        let alike = a.batch.num_rows() < 2 * b.batch.num_rows();
        let same = Arc::ptr_eq(a.batch.schema_ref(), b.batch.schema_ref())
            || a.batch.schema_ref() == b.batch.schema_ref();
        let small = rows <= MERGE_ROWS && a.bytes + b.bytes <= MERGE_BYTES;
        if a.end <= sealed || !(alike && same && small) {
            break;
        }
        let batch = concat_batches(a.batch.schema_ref(), [&a.batch, &b.batch])
            .map_err(|e| catalog::Error::internal("cannot merge hot batches").with_source(e))?;
        let merged = Hot {
            start: a.start,
            bytes: batch.get_array_memory_size(),
            batch,
            end: b.end,
        };
        change += merged.bytes as isize - (a.bytes + b.bytes) as isize;
        hot.truncate(hot.len() - 2);
        hot.push_back(merged);
    }
    Ok(change)
}

impl Buffer {
    /// The branch these rows will be committed to.
    pub(crate) fn branch(&self) -> &str {
        &self.branch
    }

    /// The uncommitted rows of `key`, each batch with the position it ends at.
    pub(crate) fn batches(&self, key: &Key) -> Vec<(u64, RecordBatch)> {
        let state = self.state();
        let hot = state.tables.get(key).into_iter().flatten();
        hot.map(|h| (h.end, h.batch.clone())).collect()
    }

    /// Rows of `key` after this ingester's watermark in `snapshot`.
    pub(crate) fn rows_after(&self, key: &Key, snapshot: &Snapshot) -> HotCut {
        let watermark = snapshot.watermark(&self.ingester).unwrap_or(self.floor);
        let mut state = self.state();
        if state.dropped > watermark || state.decoded < state.shown {
            return HotCut::Gone;
        }
        let hot = state.tables.get(key).into_iter().flatten();
        if hot
            .clone()
            .any(|h| h.start < watermark && watermark < h.end)
        {
            // A commit of an earlier process came late. The flush starts over from it.
            state.overtaken = true;
            drop(state);
            self.due.notify_one();
            return HotCut::Gone;
        }
        let batches: Vec<RecordBatch> = state
            .tables
            .get(key)
            .into_iter()
            .flatten()
            .filter(|h| h.end > watermark)
            .map(|h| h.batch.clone())
            .collect();
        drop(state);
        match batches.is_empty() {
            true => HotCut::Empty,
            false => HotCut::Rows(HotRows { batches }),
        }
    }
}
