//! The streams that are valid now: changed while messages flow, and followed by whoever decodes.
//!
//! A message is decoded by the streams that are valid when that happens, be it as it comes, again
//! before its commit, or after a restart from the log. So one log position is rows of one set of
//! streams in each commit, and a change neither loses a message nor doubles it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{IngestConfig, StreamConfig};

/// Where valid streams are told.
pub(crate) struct Streams(watch::Sender<Arc<[StreamConfig]>>);

impl Streams {
    pub(crate) fn new(streams: &[StreamConfig]) -> Self {
        Self(watch::Sender::new(streams.into()))
    }

    /// Makes `streams` the valid ones, from the next group of messages on.
    pub(crate) fn set(&self, streams: &[StreamConfig]) {
        self.0.send_replace(streams.into());
    }

    pub(crate) fn follow(&self) -> Following {
        Following(self.0.subscribe())
    }
}

/// Sees the valid streams.
#[derive(Clone)]
pub(crate) struct Following(watch::Receiver<Arc<[StreamConfig]>>);

impl Following {
    /// Whether there are others since the last call of [`Following::applied`].
    pub(crate) fn changed(&self) -> bool {
        // Without a sender there is nobody left to change them.
        self.0.has_changed().unwrap_or(false)
    }

    /// `config` with the streams that are valid now.
    pub(crate) fn applied(&mut self, config: &IngestConfig) -> IngestConfig {
        let streams = self.0.borrow_and_update().to_vec();
        IngestConfig {
            streams,
            ..config.clone()
        }
    }
}
