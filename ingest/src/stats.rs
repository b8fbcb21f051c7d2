//! Counters of an ingester, readable at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What an ingester has done since it started; counts are messages unless named rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestStats {
    /// Messages taken from the source, duplicates included.
    pub received: u64,
    /// Messages made durable in the write-ahead log.
    pub logged: u64,
    /// Acknowledgements handed to the source.
    pub acked: u64,
    /// Rows decoded into stream tables; replayed ones count again after a restart. Rows whose table
    /// does not take them when they are committed move to the dead letters.
    pub rows: u64,
    /// Messages that became dead letters.
    pub dead_letters: u64,
    /// Redelivered messages acknowledged and dropped.
    pub duplicates_dropped: u64,
    /// Rows committed to the lake, dead letters included.
    pub committed_rows: u64,
    /// Commits made to the lake.
    pub commits: u64,
    /// The last durable log position, 0 for none.
    pub wal_position: u64,
    /// The log position up to which rows are committed, 0 for none.
    pub watermark: u64,
    /// The latest trouble, kept until the next flush succeeds; records lost to a damaged log are
    /// told for as long as the ingester runs.
    pub last_error: Option<String>,
}

/// The live counters behind [`IngestStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: AtomicU64,
    pub(crate) logged: AtomicU64,
    pub(crate) acked: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) duplicates_dropped: AtomicU64,
    pub(crate) committed_rows: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) wal_position: AtomicU64,
    pub(crate) watermark: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// What a damaged log has lost, which no later success mends.
    pub(crate) loss: OnceLock<String>,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_error(&self, error: Option<String>) {
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(crate) fn snapshot(&self) -> IngestStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IngestStats {
            received: get(&self.received),
            logged: get(&self.logged),
            acked: get(&self.acked),
            rows: get(&self.rows),
            dead_letters: get(&self.dead_letters),
            duplicates_dropped: get(&self.duplicates_dropped),
            committed_rows: get(&self.committed_rows),
            commits: get(&self.commits),
            wal_position: get(&self.wal_position),
            watermark: get(&self.watermark),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
                .or_else(|| self.loss.get().cloned()),
        }
    }
}
