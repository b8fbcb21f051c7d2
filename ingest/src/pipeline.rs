//! From the log to the buffer: finds where the lake stands, then decodes everything after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use catalog::{Error, ErrorKind, Result};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::births::BirthLog;
use crate::buffer::Buffer;
use crate::config::IngestConfig;
use crate::decoding::{Decoding, GROUP};
use crate::flush::{Changed, Flusher, Request};
use crate::stats::Counters;
use crate::tables::Tables;
use crate::wal::{LogReader, Record, Retention};

/// Everything between the log and the lake.
pub(crate) struct Pipeline {
    pub(crate) tables: Tables,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) config: IngestConfig,
    pub(crate) ingester: String,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
}

/// The log as the pipeline sees it.
pub(crate) struct LogEnd {
    pub(crate) reader: LogReader,
    /// For what has to be decoded again.
    pub(crate) again: LogReader,
    pub(crate) retention: Retention,
    /// The last position in the log when it was opened.
    pub(crate) recovered: u64,
    /// The last position before the first record that was in the log then, where it is known.
    pub(crate) before: Option<u64>,
}

impl Pipeline {
    /// Decodes and flushes until an error ends it, which is returned. `watermark` is the head's, if
    /// it could be read already and [`Pipeline::begin_at`] was told.
    pub(crate) async fn run(self, mut log: LogEnd, watermark: Option<u64>) -> Error {
        let watermark = match watermark {
            Some(watermark) => watermark,
            None => match self.wait_for_watermark(log.recovered).await {
                Ok(watermark) => watermark,
                Err(error) => return error,
            },
        };
        if let Some(before) = log.before.filter(|before| *before > watermark) {
            let loss = format!(
                "the log begins after position {before}, and branch {} holds rows up to {watermark} only: \
                 positions {} to {before} are lost, unless an older copy of the log has them",
                self.tables.branch,
                watermark + 1
            );
            tracing::error!("{loss}");
            self.tables.counters.lost(loss);
        }
        log.retention.committed(watermark);
        let births = Arc::new(BirthLog::open(&self.config.data_dir, watermark));
        let decoding = Decoding::new(self.tables.clone(), &self.config, BTreeMap::new());
        let mut decoding = match decoding {
            Ok(decoding) => decoding,
            Err(error) => return error,
        };
        decoding.restore(&births.until(watermark));
        let mut decodes = Decodes {
            decoding,
            births: Arc::clone(&births),
            counters: Arc::clone(&self.tables.counters),
            buffer: Arc::clone(&self.buffer),
            changed: Changed::default(),
        };
        let flusher = Flusher {
            tables: self.tables,
            buffer: self.buffer,
            config: self.config,
            log: log.again,
            births,
            changed: decodes.changed.clone(),
            ingester: self.ingester,
            retention: log.retention,
            requests: self.requests,
            watermark,
        };
        log.reader.seek(watermark);
        // Flushing runs on its own task, so that decoding goes on while files are written.
        let flushing = AbortOnDrop(tokio::spawn(flusher.run()));
        tokio::select! {
            error = decodes.run(&mut log.reader) => error,
            outcome = flushing.join() => outcome,
        }
    }

    /// Puts the buffer on top of everything the lake has.
    pub(crate) fn begin_at(&self, watermark: u64) {
        self.buffer.start_at(watermark);
        let counter = &self.tables.counters.watermark;
        counter.store(watermark, Ordering::Relaxed);
    }

    async fn wait_for_watermark(&self, recovered: u64) -> Result<u64> {
        let mut backoff = Backoff::new();
        loop {
            match read_watermark(&self.tables, &self.ingester, recovered).await {
                Ok(watermark) => {
                    self.tables.counters.flushed();
                    self.begin_at(watermark);
                    return Ok(watermark);
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot read the branch, trying again; messages are logged meanwhile");
                    self.tables.counters.flush_failed(&error);
                }
            }
            backoff.wait().await;
        }
    }
}

/// The position up to which the head of the branch holds this ingester's rows, 0 for none.
///
/// # Errors
/// `Corrupt` when the log ends before it: files of the log are gone.
pub(crate) async fn read_watermark(tables: &Tables, ingester: &str, recovered: u64) -> Result<u64> {
    let head = tables.lake.catalog().head(&tables.branch).await?;
    let watermark = head.watermark(ingester).unwrap_or(0);
    if watermark > recovered {
        return Err(Error::corrupt(format!(
            "the log ends at position {recovered}, and branch {} holds rows of ingester {ingester} up to {watermark}: \
             files of the log are missing",
            tables.branch
        ))
        .with_hint("restore the data folder, or start with an empty one"));
    }
    Ok(watermark)
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<Error>);

impl AbortOnDrop {
    async fn join(mut self) -> Error {
        match (&mut self.0).await {
            Ok(error) => error,
            Err(panic) => Error::internal("the flush task ended").with_source(panic),
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The decode loop.
struct Decodes {
    decoding: Decoding,
    births: Arc<BirthLog>,
    counters: Arc<Counters>,
    buffer: Arc<Buffer>,
    changed: Changed,
}

impl Decodes {
    async fn run(&mut self, reader: &mut LogReader) -> Error {
        loop {
            self.buffer.wait_for_room().await;
            let group = match reader.next(GROUP).await {
                Ok(group) => group,
                Err(error) => return error,
            };
            if let Err(error) = self.decode(&group).await {
                return error;
            }
        }
    }

    async fn decode(&mut self, group: &[Record]) -> Result<()> {
        let Some(last) = group.last() else {
            return Ok(());
        };
        if self.changed.take() {
            self.decoding.look_again()?;
        }
        let decoded = self.decoding.decode(group).await?;
        Counters::add(&self.counters.rows, decoded.rows);
        Counters::add(&self.counters.dead_letters, decoded.dead_letters);
        self.counters.sparkplug.add(decoded.sparkplug);
        // Before the rows: a flush of them has to find the births before them.
        self.births.add(last.position, decoded.births);
        self.buffer.publish(decoded.batches, last.position)
    }
}
