//! The buffer as the query engine sees it: its rows, and the wish to have them committed.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Error, Key, Result, Snapshot};
use lake::hot::{HotBuffer, HotCut};
use tokio::sync::{mpsc, oneshot, watch};

use crate::buffer::Buffer;
use crate::flush::Request;
use crate::ingest::{ended, first_error};

/// The rows of a running ingester.
pub(crate) struct Hot {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    /// The error that ended the ingester.
    pub(crate) failed: watch::Receiver<Option<Error>>,
}

#[async_trait]
impl HotBuffer for Hot {
    fn branch(&self) -> &str {
        self.buffer.branch()
    }

    fn rows_after(&self, key: &Key, snapshot: &Snapshot) -> HotCut {
        self.buffer.rows_after(key, snapshot)
    }

    async fn flush(&self) -> Result<()> {
        // What queries show is what is decoded.
        let position = *self.buffer.decoded().borrow();
        let (answer, outcome) = oneshot::channel();
        self.requests
            .send(Request { position, answer })
            .map_err(|_| ended())?;
        let mut failed = self.failed.clone();
        tokio::select! {
            biased;
            error = first_error(&mut failed) => Err(error),
            outcome = outcome => outcome.map_err(|_| ended())?,
        }
    }
}
