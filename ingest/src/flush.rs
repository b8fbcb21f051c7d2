//! Flushing: the waiting rows become files, and one commit holds them with the log position.
//!
//! A flush that failed is tried again with the same rows and the same watermark until the lake has
//! it: its commit may have succeeded although its answer was lost. Each flush has a name of its own
//! in its commit, which tells that case from another process that commits as this ingester.
//!
//! A table that others have changed meanwhile holds up no flush: see [`again`].

mod again;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use catalog::{CommitMeta, Error, Key, Result, Snapshot};
use lake::Append;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use self::again::Changed;
use self::again::{Failure, Flush};
use crate::backoff::Backoff;
use crate::births::BirthLog;
use crate::buffer::{Buffer, Due};
use crate::config::IngestConfig;
use crate::lineage::{self, Agreement};
use crate::stats::Counters;
use crate::streams::Following;
use crate::tables::{AUTHOR, Tables};
use crate::unique::Unique;
use crate::wal::{History, LogReader, Retention};

/// The commit property that names the flush.
pub(crate) const FLUSH: &str = "ingest.flush";
/// Asks for the commit of everything up to a decoded position.
pub(crate) struct Request {
    pub(crate) position: u64,
    /// Told when it is committed, or why an attempt failed.
    pub(crate) answer: oneshot::Sender<Result<()>>,
}

/// What the lake knows of a flush whose commit failed here.
#[derive(Debug, PartialEq)]
enum Standing {
    /// Nothing: it has to be tried again.
    Open,
    /// It is committed, only the answer was lost.
    Committed,
    /// A process that had this log before has committed up to here: its answer was lost with it.
    Overtaken(u64),
    /// Another process has moved this ingester's watermark.
    Fenced,
}

/// Why flushing ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The lake has this log's records up to here, which is another place than was thought:
    /// everything starts over from it.
    Overtaken(u64),
    /// Ingesting ends.
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Commits the buffer's rows.
pub(crate) struct Flusher {
    pub(crate) tables: Tables,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) config: IngestConfig,
    pub(crate) streams: Following,
    /// For what has to be decoded again.
    pub(crate) log: LogReader,
    pub(crate) births: Arc<BirthLog>,
    pub(crate) changed: Changed,
    pub(crate) unique: Arc<Unique>,
    pub(crate) ingester: String,
    /// The lake has everything up to here under another id.
    pub(crate) floor: u64,
    pub(crate) history: History,
    pub(crate) retention: Retention,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    /// Those who wait for a commit.
    pub(crate) waiting: Vec<Request>,
    /// The watermark of the last commit, `floor` for none.
    pub(crate) watermark: u64,
    /// Rows up to here were compared with keys of rows that have gone from the lake since: which of
    /// them are kept is decided again when they are committed.
    pub(crate) undecided: u64,
}

impl Flusher {
    /// Flushes when rows, bytes or age ask for it, or somebody does.
    ///
    /// Returns only where it cannot go on from its watermark.
    pub(crate) async fn run(mut self) -> (Self, Ended) {
        loop {
            if self.waiting.is_empty() {
                let request = self.wait().await;
                self.waiting.extend(request);
            }
            while let Ok(request) = self.requests.try_recv() {
                self.waiting.push(request);
            }
            if let Err(ended) = self.flush().await {
                if let Ended::Failed(error) = &ended {
                    self.refuse(error);
                }
                return (self, ended);
            }
        }
    }

    /// Waits until a flush is due; the request, if one was made.
    async fn wait(&mut self) -> Option<Request> {
        loop {
            let age = match self.buffer.due() {
                Due::Now => return None,
                Due::Idle => Duration::MAX,
                Due::Since(since) => self.config.flush_interval.saturating_sub(since.elapsed()),
            };
            if age.is_zero() {
                return None;
            }
            tokio::select! {
                () = self.buffer.changed() => {}
                () = tokio::time::sleep(age.min(Duration::from_secs(3600))) => {}
                Some(request) = self.requests.recv() => return Some(request),
            }
        }
    }

    /// Commits everything decoded so far, however often it takes. Those who wait hear of the first
    /// failure that decoding again does not mend, and of those that happen while they wait.
    async fn flush(&mut self) -> Result<(), Ended> {
        let Some(sealed) = self.buffer.seal() else {
            self.confirm();
            return Ok(());
        };
        let mut backoff = Backoff::new();
        let mut flush = Flush::new(sealed, &self.config.dead_letter_table);
        loop {
            let started = Instant::now();
            let outcome = match self.unique.refresh(&self.tables, flush.sealed.end).await {
                Ok(until) => {
                    self.decide_again(&mut flush, until).await?;
                    self.commit(&mut flush).await
                }
                Err(error) => Err(error.into()),
            };
            let failure = match outcome {
                Ok(()) => break self.committed(&flush, started.elapsed()),
                Err(failure) => match self.standing(&flush.name).await {
                    Standing::Committed => break self.committed(&flush, started.elapsed()),
                    Standing::Overtaken(watermark) => return Err(Ended::Overtaken(watermark)),
                    Standing::Fenced => return Err(self.fenced(failure.error).into()),
                    Standing::Open => failure,
                },
            };
            if self.mend(&mut flush, &failure).await? {
                continue;
            }
            let (error, rows) = (failure.error, flush.sealed.rows);
            tracing::warn!(%error, rows, "cannot flush, trying again");
            self.tables.counters.flush_failed(&error);
            self.refuse(&error);
            self.pause(&mut backoff).await;
        }
        self.confirm();
        Ok(())
    }

    /// Waits before the next attempt; those who ask meanwhile get its outcome.
    async fn pause(&mut self, backoff: &mut Backoff) {
        let delay = backoff.next_delay();
        let request = tokio::time::timeout(delay, self.requests.recv()).await;
        if let Ok(Some(request)) = request {
            // Somebody waits for it: try at once.
            self.waiting.push(request);
        }
    }

    /// One attempt: writes the files that are not written yet, commits them with the watermark.
    async fn commit(&self, flush: &mut Flush) -> Result<(), Failure> {
        let lake = &self.tables.lake;
        let branch = &self.tables.branch;
        let sealed = &flush.sealed;
        let head = lake.catalog().head(branch).await?;
        for (key, batches) in &sealed.tables[flush.written.len()..] {
            let append = self.write(&head, key, batches).await;
            flush.written.push(append.map_err(|error| Failure {
                error,
                table: Some(key.clone()),
            })?);
        }
        let message = match sealed.tables.as_slice() {
            [(key, _)] => format!("{} rows into {key}", sealed.rows),
            tables => format!("{} rows into {} tables", sealed.rows, tables.len()),
        };
        self.save_births().await?;
        let expected = (self.watermark > self.floor).then_some(self.watermark);
        let change =
            lake.append(flush.written.clone())
                .with_watermark(&self.ingester, expected, sealed.end);
        let mut meta = CommitMeta::new(AUTHOR, message).automatic();
        meta.properties.insert(FLUSH.to_owned(), flush.name.clone());
        let runs = self.history.between(self.watermark, sealed.end);
        meta.properties
            .insert(lineage::RUNS.to_owned(), lineage::format_runs(&runs));
        let committed = lake.catalog().commit(branch, meta, Arc::new(change)).await;
        committed.map(drop).map_err(Failure::from)
    }

    /// Makes durable what rows after this commit are decoded by.
    async fn save_births(&self) -> Result<()> {
        let births = Arc::clone(&self.births);
        let watermark = self.watermark;
        let saving = tokio::task::spawn_blocking(move || births.save(watermark));
        saving
            .await
            .map_err(|e| Error::internal("writing births failed").with_source(e))?
    }

    /// Writes one table's files.
    async fn write(&self, head: &Snapshot, key: &Key, batches: &[RecordBatch]) -> Result<Append> {
        let lake = &self.tables.lake;
        let table = lake.table(head, key).await?;
        let files = lake.write(&table, batches.to_vec()).await?;
        Ok(Append::to(&table, files))
    }

    /// What has become of the flush `name` after a failure; open while the lake cannot be asked.
    async fn standing(&self, name: &str) -> Standing {
        let catalog = self.tables.lake.catalog();
        let branch = &self.tables.branch;
        let Ok(head) = catalog.head(branch).await else {
            return Standing::Open;
        };
        if head.watermark(&self.ingester).unwrap_or(self.floor) == self.watermark {
            return Standing::Open;
        }
        let landed = match lineage::last_landed(catalog, branch, &self.ingester).await {
            Ok(Some(landed)) => landed,
            Ok(None) => return Standing::Fenced,
            Err(error) if error.is_retryable() => return Standing::Open,
            Err(_) => return Standing::Fenced,
        };
        if landed.flush.as_deref() == Some(name) {
            return Standing::Committed;
        }
        let (log, end) = (self.history.stretches(), self.history.end());
        let ours = !landed.runs.is_empty() && landed.watermark > self.watermark;
        match lineage::agreement(&landed, &log, end) {
            Agreement::Same if ours => Standing::Overtaken(landed.watermark),
            _ => Standing::Fenced,
        }
    }

    /// Tells those whose rows are committed; the others wait for the next flush.
    fn confirm(&mut self) {
        let watermark = self.watermark;
        for request in self.waiting.extract_if(.., |r| r.position <= watermark) {
            // Whoever asked may have stopped waiting.
            let _ = request.answer.send(Ok(()));
        }
    }

    fn refuse(&mut self, error: &Error) {
        for request in self.waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = request.answer.send(Err(error.clone()));
        }
    }

    fn fenced(&self, cause: Error) -> Error {
        Error::conflict(format!(
            "another process committed as ingester {}",
            self.ingester
        ))
        .with_hint(
            "two processes use copies of this data folder; restart: what this log has and the lake lacks is committed under a new ingester id",
        )
        .with_source(cause)
    }

    fn committed(&mut self, flush: &Flush, took: Duration) {
        let sealed = &flush.sealed;
        self.watermark = sealed.end;
        self.buffer.committed(sealed.end);
        self.unique.committed(sealed.end);
        self.retention.committed(sealed.end);
        let counters = &self.tables.counters;
        counters.watermark.store(sealed.end, Ordering::Relaxed);
        Counters::add(&counters.committed_rows, sealed.rows);
        Counters::add(&counters.commits, 1);
        flush.recount(counters);
        counters.flushed();
        tracing::debug!(
            rows = sealed.rows,
            watermark = sealed.end,
            millis = took.as_millis() as u64,
            "flushed"
        );
    }
}

#[cfg(test)]
mod tests;
