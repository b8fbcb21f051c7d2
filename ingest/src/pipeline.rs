//! From the log to the buffer: finds where the lake stands, then decodes everything after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use catalog::{Error, ErrorKind, Key, Result};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::births::BirthLog;
use crate::buffer::Buffer;
use crate::config::IngestConfig;
use crate::decode::Decoded;
use crate::decoding::{Decoding, GROUP};
use crate::flush::{Changed, Ended, Flusher, Request};
use crate::identity::Identity;
use crate::lineage::{self, Agreement};
use crate::stats::Counters;
use crate::streams::Following;
use crate::tables::Tables;
use crate::unique::{self, Unique};
use crate::wal::{History, LogReader, Record, Retention};

/// Everything between the log and the lake.
pub(crate) struct Pipeline {
    pub(crate) tables: Tables,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) config: IngestConfig,
    pub(crate) streams: Following,
    pub(crate) identity: Identity,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
}

/// The log as the pipeline sees it.
pub(crate) struct LogEnd {
    pub(crate) reader: LogReader,
    /// For what has to be decoded again.
    pub(crate) again: LogReader,
    pub(crate) retention: Retention,
    pub(crate) history: History,
    /// The last position before the first record when the log was opened, where it is known.
    pub(crate) before: Option<u64>,
}

/// Where a log stands in the lake.
pub(crate) enum Standing {
    /// The lake has its records up to here.
    At(u64),
    /// The lake has them up to here, and then those of a copy of this log under the same id.
    Parted(u64),
}

impl Pipeline {
    /// Decodes and flushes until an error ends it, which is returned. `watermark` is the head's, if
    /// it could be read already and [`Pipeline::begin_at`] was told.
    pub(crate) async fn run(self, mut log: LogEnd, watermark: Option<u64>) -> Error {
        let watermark = match watermark {
            Some(watermark) => watermark,
            None => match self.wait_for_watermark(&log.history).await {
                Ok(watermark) => watermark,
                Err(error) => return error,
            },
        };
        self.tell_gap(log.before, watermark);
        log.retention.committed(watermark);
        let changed = Changed::default();
        let mut flusher = Flusher {
            tables: self.tables.clone(),
            buffer: Arc::clone(&self.buffer),
            config: self.config.clone(),
            streams: self.streams.clone(),
            log: log.again,
            births: Arc::new(BirthLog::open(&self.config.data_dir, watermark)),
            changed: changed.clone(),
            unique: Arc::new(Unique::new(&self.config.streams)),
            ingester: self.identity.id.to_string(),
            floor: self.identity.floor,
            history: log.history,
            retention: log.retention,
            requests: self.requests,
            waiting: Vec::new(),
            watermark,
            undecided: 0,
        };
        // Where decoding begins, which is before the watermark once that has been overtaken.
        let mut start = watermark;
        loop {
            let mut streams = self.streams.clone();
            let config = streams.applied(&self.config);
            flusher.unique.follow(&config.streams);
            flusher.unique.forget();
            let which = flusher.unique.tables();
            load_keys(&self.tables, &flusher.unique, &which).await;
            let decoding = Decoding::new(self.tables.clone(), &config, BTreeMap::new());
            let mut decoding = match decoding {
                Ok(decoding) => decoding,
                Err(error) => return error,
            };
            let revoked = decoding.restore(&flusher.births.until(start));
            flusher.births.add(start, revoked);
            log.reader.seek(start);
            let mut decodes = Decodes {
                decoding,
                tables: self.tables.clone(),
                config,
                streams,
                in_lake: flusher.watermark,
                births: Arc::clone(&flusher.births),
                unique: Arc::clone(&flusher.unique),
                counters: Arc::clone(&self.tables.counters),
                buffer: Arc::clone(&self.buffer),
                changed: changed.clone(),
            };
            // Flushing runs on its own task, so that decoding goes on while files are written.
            let flushing = AbortOnDrop(tokio::spawn(flusher.run()));
            let ended = tokio::select! {
                error = decodes.run(&mut log.reader) => return error,
                ended = flushing.join() => ended,
            };
            let watermark = match ended {
                Ok((_, Ended::Failed(error))) | Err(error) => return error,
                Ok((back, Ended::Overtaken(watermark))) => {
                    flusher = back;
                    watermark
                }
            };
            tracing::warn!(
                from = flusher.watermark,
                to = watermark,
                "a commit of an earlier process of this log came late, going on from it"
            );
            // What this process has kept of births may end within what is committed now.
            start = std::mem::replace(&mut flusher.watermark, watermark);
            flusher.births = Arc::new(BirthLog::open(&self.config.data_dir, start));
            begin_at(&self.buffer, &self.tables, watermark);
        }
    }

    fn tell_gap(&self, before: Option<u64>, watermark: u64) {
        let Some(before) = before.filter(|before| *before > watermark) else {
            return;
        };
        let loss = format!(
            "the log begins after position {before}, and branch {} holds rows up to {watermark} only: \
             positions {} to {before} are lost, unless an older copy of the log has them",
            self.tables.branch,
            watermark + 1
        );
        tracing::error!("{loss}");
        self.tables.counters.lost(loss);
    }

    /// Puts the buffer on top of everything the lake has.
    pub(crate) fn begin_at(&self, watermark: u64) {
        begin_at(&self.buffer, &self.tables, watermark);
    }

    async fn wait_for_watermark(&self, history: &History) -> Result<u64> {
        let mut backoff = Backoff::new();
        loop {
            match standing(&self.tables, self.identity, history).await {
                Ok(Standing::At(watermark)) => {
                    self.tables.counters.flushed();
                    self.begin_at(watermark);
                    return Ok(watermark);
                }
                Ok(Standing::Parted(_)) => {
                    return Err(Error::conflict(format!(
                        "a copy of this log committed as ingester {}",
                        self.identity.id
                    ))
                    .with_hint("restart: what this log has and the lake lacks is committed under a new ingester id"));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Conflict) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read the branch, trying again; messages are logged meanwhile");
                    self.tables.counters.flush_failed(&error);
                }
            }
            backoff.wait().await;
        }
    }
}

/// Reads the keys of rows in the lake, however often it takes.
async fn load_keys(tables: &Tables, unique: &Unique, which: &[(Key, Arc<unique::Table>)]) {
    let mut backoff = Backoff::new();
    let mut failed = false;
    while let Err(error) = unique.load(tables, which).await {
        tracing::warn!(%error, "cannot read the keys of committed rows, trying again");
        tables.counters.flush_failed(&error);
        failed = true;
        backoff.wait().await;
    }
    if failed {
        tables.counters.flushed();
    }
}

fn begin_at(buffer: &Buffer, tables: &Tables, watermark: u64) {
    buffer.start_at(watermark);
    let counter = &tables.counters.watermark;
    counter.store(watermark, Ordering::Relaxed);
}

/// Up to which position the head of the branch holds this log's rows.
///
/// # Errors
/// `Corrupt` when the log ends before it: files of the log are gone. `Conflict` when a copy of the
/// log committed, so long ago that the place where they parted is not found.
pub(crate) async fn standing(
    tables: &Tables,
    identity: Identity,
    history: &History,
) -> Result<Standing> {
    let (catalog, branch) = (tables.lake.catalog(), &tables.branch);
    let ingester = identity.id.to_string();
    let head = catalog.head(branch).await?;
    let Some(watermark) = head.watermark(&ingester) else {
        return Ok(Standing::At(identity.floor));
    };
    let (log, end) = (history.stretches(), history.end());
    let landed = lineage::last_landed(catalog, branch, &ingester).await?;
    let landed = landed.filter(|landed| landed.watermark == watermark);
    let agreement = match landed {
        Some(landed) => lineage::agreement(&landed, &log, end),
        None if watermark > end => Agreement::Beyond,
        None => Agreement::Same,
    };
    match agreement {
        Agreement::Same => Ok(Standing::At(watermark)),
        Agreement::Beyond => Err(Error::corrupt(format!(
            "the log ends at position {end}, and branch {branch} holds rows of ingester {ingester} up to {watermark}: \
             files of the log are missing"
        ))
        .with_hint("restore the data folder, or start with an empty one")),
        Agreement::Other => lineage::parting(catalog, branch, &ingester, &log)
            .await?
            .map(Standing::Parted)
            .ok_or_else(|| {
                Error::conflict(format!("another process committed as ingester {ingester}, long ago"))
                    .with_hint("the log is a copy of another one's; start with an empty data folder, and keep this one")
            }),
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<(Flusher, Ended)>);

impl AbortOnDrop {
    async fn join(mut self) -> Result<(Flusher, Ended)> {
        let ended = (&mut self.0).await;
        ended.map_err(|panic| Error::internal("the flush task ended").with_source(panic))
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
    tables: Tables,
    config: IngestConfig,
    streams: Following,
    /// Rows up to here are in the lake: they are decoded for the births among them only.
    in_lake: u64,
    births: Arc<BirthLog>,
    unique: Arc<Unique>,
    counters: Arc<Counters>,
    buffer: Arc<Buffer>,
    changed: Changed,
}

impl Decodes {
    async fn run(&mut self, reader: &mut LogReader) -> Error {
        let mut group = Vec::new();
        loop {
            self.buffer.wait_for_room().await;
            if let Err(error) = self.follow(&group).await {
                return error;
            }
            // A replay reads the files of the log while it decodes what it has read.
            let decoded = self.decode(&group);
            match tokio::try_join!(biased; reader.next(GROUP), decoded) {
                Ok((next, ())) => group = next,
                Err(error) => return error,
            }
        }
    }

    /// Decodes by other streams from `group` on, where there are others.
    async fn follow(&mut self, group: &[Record]) -> Result<()> {
        let Some(first) = group.first().filter(|_| self.streams.changed()) else {
            return Ok(());
        };
        self.config = self.streams.applied(&self.config);
        let tables = self.tables.clone();
        self.decoding = Decoding::new(tables, &self.config, BTreeMap::new())?;
        let before = first.position.saturating_sub(1);
        let revoked = self.decoding.restore(&self.births.until(before));
        self.births.add(before, revoked);
        let new = self.unique.follow(&self.config.streams);
        for (key, table) in &new {
            // Before the lake is read: what is committed meanwhile is in one of the two.
            self.unique.note(table, &self.buffer.batches(key))?;
        }
        load_keys(&self.tables, &self.unique, &new).await;
        tracing::info!(
            streams = self.config.streams.len(),
            from = first.position,
            "decoding by other streams"
        );
        Ok(())
    }

    async fn decode(&mut self, mut group: &[Record]) -> Result<()> {
        while !group.is_empty() {
            if self.changed.take() {
                self.decoding.look_again()?;
            }
            let in_lake = group.partition_point(|record| record.position <= self.in_lake);
            let part = if in_lake > 0 {
                &group[..in_lake]
            } else {
                group
            };
            let (done, decoded) = self.decoding.decode(part).await?;
            let (now, later) = group.split_at(done);
            match now.last() {
                Some(last) if in_lake > 0 => self.births.add(last.position, decoded.births),
                Some(last) => self.publish(last, decoded)?,
                None => {}
            }
            group = later;
            if !group.is_empty() {
                self.buffer.wait_for_room().await;
            }
        }
        Ok(())
    }

    /// Shows what was decoded up to `last`.
    fn publish(&self, last: &Record, mut decoded: Decoded) -> Result<()> {
        let repeated = self
            .unique
            .keep_first(last.position, &mut decoded.batches)?;
        Counters::add(&self.counters.rows_deduplicated, repeated);
        Counters::add(&self.counters.rows, decoded.rows - repeated);
        Counters::add(&self.counters.dead_letters, decoded.dead_letters);
        self.counters.sparkplug.add(decoded.sparkplug);
        // Before the rows: a flush of them has to find the births before them.
        self.births.add(last.position, decoded.births);
        self.buffer.publish(decoded.batches, last.position)
    }
}
