//! Counters of an ingester, readable at any time.

mod broker;
mod sparkplug;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use catalog::Error;

use broker::BrokerCounters;
pub use broker::BrokerStats;
use sparkplug::SparkplugCounters;
pub use sparkplug::SparkplugStats;

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
    /// Rows dropped because an earlier one has the same values in the stream's `dedup` columns.
    pub rows_deduplicated: u64,
    /// Rows committed to the lake, dead letters included.
    pub committed_rows: u64,
    /// Commits made to the lake.
    pub commits: u64,
    /// The last durable log position, 0 for none.
    pub wal_position: u64,
    /// The log position up to which rows are committed, 0 for none.
    pub watermark: u64,
    /// Bytes of the write-ahead log on disk.
    pub log_bytes: u64,
    /// Bytes of the log that hold messages whose rows are not committed; at
    /// [`log_limit_bytes`](Self::log_limit_bytes) acknowledgements wait.
    pub log_uncommitted_bytes: u64,
    /// The most uncommitted bytes the log takes.
    pub log_limit_bytes: u64,
    /// Bytes of decoded rows in memory; at [`buffer_limit_bytes`](Self::buffer_limit_bytes)
    /// decoding waits for a flush.
    pub buffer_bytes: u64,
    /// The most bytes of decoded rows in memory.
    pub buffer_limit_bytes: u64,
    /// How long the oldest message that is not in the lake has been durable, in milliseconds.
    pub oldest_unflushed_ms: u64,
    /// Why messages are not acknowledged at present; none while they are.
    pub stalled: Option<String>,
    /// Why the lake takes no rows at present; none while it does.
    pub flush_error: Option<String>,
    /// What a damaged log has lost, each with file, offset and positions.
    pub losses: Vec<String>,
    /// The latest trouble, kept until the next flush succeeds; records lost to a damaged log are
    /// told for as long as the ingester runs.
    pub last_error: Option<String>,
    /// The embedded broker's own counters.
    pub broker: BrokerStats,
    /// What Sparkplug B streams have told.
    pub sparkplug: SparkplugStats,
}

impl IngestStats {
    /// What is wrong while the ingester lives, and passes by itself: messages are not acknowledged,
    /// or the lake takes no rows.
    pub fn degraded(&self) -> Option<&str> {
        self.stalled.as_deref().or(self.flush_error.as_deref())
    }
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
    pub(crate) rows_deduplicated: AtomicU64,
    pub(crate) committed_rows: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) wal_position: AtomicU64,
    pub(crate) watermark: AtomicU64,
    last_error: Text,
    stalled: Text,
    flush_error: Text,
    pub(crate) broker: BrokerCounters,
    pub(crate) sparkplug: SparkplugCounters,
    /// What a damaged log has lost, which no later success mends.
    losses: Mutex<Vec<String>>,
}

type Text = Mutex<Option<String>>;

/// Losses that are told one by one.
const MOST_LOSSES: usize = 100;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_error(&self, error: Option<String>) {
        *lock(&self.last_error) = error;
    }

    /// Why nothing is acknowledged; none when that is over.
    pub(crate) fn set_stalled(&self, reason: Option<String>) {
        *lock(&self.stalled) = reason;
    }

    /// The lake takes no rows; it is also the latest error.
    pub(crate) fn flush_failed(&self, error: &Error) {
        let error = error.to_string();
        *lock(&self.flush_error) = Some(error.clone());
        self.set_error(Some(error));
    }

    pub(crate) fn flushed(&self) {
        *lock(&self.flush_error) = None;
        self.set_error(None);
    }

    pub(crate) fn lost(&self, loss: String) {
        let mut losses = lock(&self.losses);
        // Whoever reads the log again meets the same damage.
        if losses.len() < MOST_LOSSES && !losses.contains(&loss) {
            losses.push(loss);
        }
    }

    /// The counters; what the log and the buffer know of their size is not among them.
    pub(crate) fn snapshot(&self) -> IngestStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IngestStats {
            received: get(&self.received),
            logged: get(&self.logged),
            acked: get(&self.acked),
            rows: get(&self.rows),
            dead_letters: get(&self.dead_letters),
            duplicates_dropped: get(&self.duplicates_dropped),
            rows_deduplicated: get(&self.rows_deduplicated),
            committed_rows: get(&self.committed_rows),
            commits: get(&self.commits),
            wal_position: get(&self.wal_position),
            watermark: get(&self.watermark),
            broker: self.broker.snapshot(),
            sparkplug: self.sparkplug.snapshot(),
            stalled: lock(&self.stalled).clone(),
            flush_error: lock(&self.flush_error).clone(),
            last_error: lock(&self.last_error)
                .clone()
                .or_else(|| lock(&self.losses).first().cloned()),
            losses: lock(&self.losses).clone(),
            ..IngestStats::default()
        }
    }
}
