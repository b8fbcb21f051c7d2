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
use crate::stats::Counters;
use crate::tables::{AUTHOR, Tables};
use crate::wal::{LogReader, Retention};

/// The commit property that names the flush.
const FLUSH: &str = "ingest.flush";
/// Commits looked through for the one that moved the watermark.
const RECENT_COMMITS: usize = 10_000;

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
    /// Another process has moved this ingester's watermark.
    Fenced,
}

/// Commits the buffer's rows.
pub(crate) struct Flusher {
    pub(crate) tables: Tables,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) config: IngestConfig,
    /// For what has to be decoded again.
    pub(crate) log: LogReader,
    pub(crate) births: Arc<BirthLog>,
    pub(crate) changed: Changed,
    pub(crate) ingester: String,
    pub(crate) retention: Retention,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    /// The watermark of the last commit, 0 for none.
    pub(crate) watermark: u64,
}

impl Flusher {
    /// Flushes when rows, bytes or age ask for it, or somebody does.
    ///
    /// Returns only with the error that ends ingesting: another process commits as this ingester.
    pub(crate) async fn run(mut self) -> Error {
        let mut waiting: Vec<Request> = Vec::new();
        loop {
            if waiting.is_empty() {
                waiting.extend(self.wait().await);
            }
            while let Ok(request) = self.requests.try_recv() {
                waiting.push(request);
            }
            if let Err(fatal) = self.flush(&mut waiting).await {
                refuse(&mut waiting, &fatal);
                return fatal;
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
    async fn flush(&mut self, waiting: &mut Vec<Request>) -> Result<()> {
        let Some(sealed) = self.buffer.seal() else {
            self.confirm(waiting);
            return Ok(());
        };
        let mut backoff = Backoff::new();
        let mut flush = Flush::new(sealed, &self.config.dead_letter_table);
        loop {
            let started = Instant::now();
            let failure = match self.commit(&mut flush).await {
                Ok(()) => break self.committed(&flush, started.elapsed()),
                Err(failure) => match self.standing(&flush.name).await {
                    Standing::Committed => break self.committed(&flush, started.elapsed()),
                    Standing::Fenced => return Err(self.fenced(failure.error)),
                    Standing::Open => failure,
                },
            };
            if self.mend(&mut flush, &failure).await? {
                continue;
            }
            let (error, rows) = (failure.error, flush.sealed.rows);
            tracing::warn!(%error, rows, "cannot flush, trying again");
            self.tables.counters.flush_failed(&error);
            refuse(waiting, &error);
            self.pause(&mut backoff, waiting).await;
        }
        self.confirm(waiting);
        Ok(())
    }

    /// Waits before the next attempt; those who ask meanwhile get its outcome.
    async fn pause(&mut self, backoff: &mut Backoff, waiting: &mut Vec<Request>) {
        let delay = backoff.next_delay();
        let request = tokio::time::timeout(delay, self.requests.recv()).await;
        if let Ok(Some(request)) = request {
            // Somebody waits for it: try at once.
            waiting.push(request);
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
        let expected = (self.watermark > 0).then_some(self.watermark);
        let change =
            lake.append(flush.written.clone())
                .with_watermark(&self.ingester, expected, sealed.end);
        let mut meta = CommitMeta::new(AUTHOR, message).automatic();
        meta.properties.insert(FLUSH.to_owned(), flush.name.clone());
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
        if head.watermark(&self.ingester).unwrap_or(0) == self.watermark {
            return Standing::Open;
        }
        let Ok(log) = catalog.log(branch, RECENT_COMMITS).await else {
            return Standing::Open;
        };
        let watermark = format!("watermark.{}", self.ingester);
        let mover = log.iter().find(|c| c.properties.contains_key(&watermark));
        match mover.and_then(|commit| commit.properties.get(FLUSH)) {
            Some(mover) if mover == name => Standing::Committed,
            _ => Standing::Fenced,
        }
    }

    /// Tells those whose rows are committed; the others wait for the next flush.
    fn confirm(&self, waiting: &mut Vec<Request>) {
        for request in waiting.extract_if(.., |r| r.position <= self.watermark) {
            // Whoever asked may have stopped waiting.
            let _ = request.answer.send(Ok(()));
        }
    }

    fn fenced(&self, cause: Error) -> Error {
        Error::conflict(format!(
            "another process committed as ingester {}",
            self.ingester
        ))
        .with_hint(
            "restart: the log is replayed after what the lake holds now; if this comes back, two processes use this data folder or a copy of it",
        )
        .with_source(cause)
    }

    fn committed(&mut self, flush: &Flush, took: Duration) {
        let sealed = &flush.sealed;
        self.watermark = sealed.end;
        self.buffer.committed(sealed.end);
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

fn refuse(waiting: &mut Vec<Request>, error: &Error) {
    for request in waiting.drain(..) {
        // Whoever asked may have stopped waiting.
        let _ = request.answer.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests;
