//! Flushing: the waiting rows become files, and one commit holds them with the log position.
//!
//! A flush that failed is tried again with the same rows and the same watermark until the lake has
//! it: its commit may have succeeded although its answer was lost. Each flush has a name of its own
//! in its commit, which tells that case from another process that commits as this ingester.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catalog::{CommitMeta, Error, ErrorKind, Result, Snapshot};
use lake::Append;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::buffer::{Buffer, Due, Sealed};
use crate::stats::Counters;
use crate::tables::{AUTHOR, Tables};
use crate::wal::Retention;

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
    pub(crate) ingester: String,
    pub(crate) retention: Retention,
    pub(crate) interval: Duration,
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
                Due::Since(since) => self.interval.saturating_sub(since.elapsed()),
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
    /// failure, and of failures that happen while they wait.
    async fn flush(&mut self, waiting: &mut Vec<Request>) -> Result<()> {
        let Some(sealed) = self.buffer.seal() else {
            self.confirm(waiting);
            return Ok(());
        };
        let mut backoff = Backoff::new();
        let mut written = Vec::with_capacity(sealed.tables.len());
        let name = Uuid::new_v4().to_string();
        loop {
            let started = Instant::now();
            let error = match self.commit(&sealed, &name, &mut written).await {
                Ok(()) => break self.committed(&sealed, started.elapsed()),
                Err(error) => match self.standing(&name).await {
                    Standing::Committed => break self.committed(&sealed, started.elapsed()),
                    Standing::Fenced => return Err(self.fenced(error)),
                    Standing::Open => error,
                },
            };
            if !error.is_retryable() {
                // The files may not fit what a table has become: write them anew.
                written.clear();
            }
            tracing::warn!(%error, rows = sealed.rows, "cannot flush, trying again");
            let counters = &self.tables.counters;
            counters.set_error(Some(error.to_string()));
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

    /// One attempt: writes the files that are not in `written`, commits them with the watermark.
    async fn commit(&self, sealed: &Sealed, name: &str, written: &mut Vec<Append>) -> Result<()> {
        let lake = &self.tables.lake;
        let branch = &self.tables.branch;
        let head = lake.catalog().head(branch).await?;
        for (key, batches) in &sealed.tables[written.len()..] {
            written.push(self.write(&head, key, batches).await?);
        }
        let message = match sealed.tables.as_slice() {
            [(key, _)] => format!("{} rows into {key}", sealed.rows),
            tables => format!("{} rows into {} tables", sealed.rows, tables.len()),
        };
        let expected = (self.watermark > 0).then_some(self.watermark);
        let change =
            lake.append(written.clone())
                .with_watermark(&self.ingester, expected, sealed.end);
        let mut meta = CommitMeta::new(AUTHOR, message).automatic();
        meta.properties.insert(FLUSH.to_owned(), name.to_owned());
        lake.catalog()
            .commit(branch, meta, Arc::new(change))
            .await
            .map(drop)
    }

    /// Writes one table's files; a table that lost columns meanwhile gets them back.
    async fn write(
        &self,
        head: &Snapshot,
        key: &catalog::Key,
        batches: &[arrow::array::RecordBatch],
    ) -> Result<Append> {
        let lake = &self.tables.lake;
        let mut table = lake.table(head, key).await?;
        let mut files = lake.write(&table, batches.to_vec()).await;
        if matches!(&files, Err(e) if e.kind() == ErrorKind::InvalidInput)
            && let Some(last) = batches.last()
        {
            let meta = CommitMeta::new(AUTHOR, format!("restore columns of {key}")).automatic();
            let schema = last.schema();
            table = lake.evolve(&self.tables.branch, key, &schema, meta).await?;
            files = lake.write(&table, batches.to_vec()).await;
        }
        Ok(Append::to(&table, files?))
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

    fn committed(&mut self, sealed: &Sealed, took: Duration) {
        self.watermark = sealed.end;
        self.buffer.committed(sealed.end);
        self.retention.committed(sealed.end);
        let counters = &self.tables.counters;
        counters.watermark.store(sealed.end, Ordering::Relaxed);
        Counters::add(&counters.committed_rows, sealed.rows);
        Counters::add(&counters.commits, 1);
        counters.set_error(None);
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
