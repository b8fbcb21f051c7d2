//! The state of ingest, shared by the server that runs it and the HTTP pages on it.

use std::sync::{Arc, OnceLock};

use catalog::{Error, Result};
use ingest::{Ingest, IngestStats, StreamConfig};
use tokio::sync::RwLock;

/// Ingest as the other parts see it; clones share it.
#[derive(Clone)]
pub(super) struct IngestPart {
    running: Arc<RwLock<Option<Ingest>>>,
    failure: Arc<OnceLock<String>>,
}

impl IngestPart {
    /// Takes over `ingest`; `None` when this process does not ingest.
    pub(super) fn new(ingest: Option<Ingest>) -> Self {
        Self {
            running: Arc::new(RwLock::new(ingest)),
            failure: Arc::default(),
        }
    }

    /// Remembers the error that ended ingest, for the health page, and hands it back.
    pub(super) fn fail(&self, error: Error) -> Error {
        self.failure.get_or_init(|| error.to_string());
        error
    }

    /// The error that ended ingest.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Whether this process ingests.
    pub(super) async fn is_running(&self) -> bool {
        self.running.read().await.is_some()
    }

    /// Its counters while it runs.
    pub(super) async fn stats(&self) -> Option<IngestStats> {
        self.running.read().await.as_ref().map(Ingest::stats)
    }

    /// What [`Ingest::check_streams`] says; all is well where this process does not ingest.
    pub(super) async fn check_streams(&self, streams: &[StreamConfig]) -> Result<()> {
        match self.running.read().await.as_ref() {
            Some(ingest) => ingest.check_streams(streams),
            None => Ok(()),
        }
    }

    /// Decodes by other streams from now on.
    pub(super) async fn set_streams(&self, streams: &[StreamConfig]) -> Result<()> {
        match self.running.read().await.as_ref() {
            Some(ingest) => ingest.set_streams(streams),
            None => Ok(()),
        }
    }

    /// What [`Ingest::check_table`] says of the stream.
    pub(super) async fn check_table(&self, stream: &StreamConfig) -> Result<()> {
        let running = self.running.read().await;
        let check = running.as_ref().map(|ingest| ingest.check_table(stream));
        drop(running);
        match check {
            Some(check) => check.await,
            None => Ok(()),
        }
    }

    /// Commits every row received so far.
    pub(super) async fn flush(&self) -> Result<()> {
        let running = self.running.read().await;
        let flush = running.as_ref().map(Ingest::flush);
        drop(running);
        match flush {
            Some(flush) => flush.await,
            None => Ok(()),
        }
    }

    /// Stops it after a last flush.
    pub(super) async fn shutdown(&self) -> Result<()> {
        let ingest = self.running.write().await.take();
        match ingest {
            Some(ingest) => ingest.shutdown().await,
            None => Ok(()),
        }
    }
}
