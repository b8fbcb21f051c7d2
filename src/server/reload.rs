//! Changes of the configuration file while the process runs: its streams apply at once, of other
//! settings it is told that they need a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::streams::StreamsPart;
use crate::settings::{Origin, Settings};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Why the last edit of the configuration file does not apply; clones share it.
#[derive(Clone, Default)]
pub(super) struct Broken(Arc<Mutex<Option<String>>>);

impl Broken {
    pub(super) fn reason(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// Follows the configuration file.
pub(super) struct Reload {
    running: Settings,
    origin: Origin,
    path: PathBuf,
    /// The file as it was when it was last looked at; none when it was not there.
    seen: Option<Vec<u8>>,
    streams: StreamsPart,
    broken: Broken,
}

impl Reload {
    /// Follows the file that `running` was read from; none where it was read from none.
    pub(super) fn new(running: &Settings, streams: StreamsPart, broken: Broken) -> Option<Self> {
        let origin = running.origin.clone()?;
        Some(Self {
            running: running.clone(),
            seen: origin.text.clone(),
            path: origin.file(),
            origin,
            streams,
            broken,
        })
    }

    /// Looks at the file now and then, and on SIGHUP, until `stop`.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup())
            .map_err(|e| Error::internal("cannot listen for signals").with_source(e))?;
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = hangup.recv() => {}
                () = stop.cancelled() => return Ok(()),
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let now = match tokio::fs::read(&self.path).await {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "cannot read the configuration");
                return;
            }
        };
        if now == self.seen {
            return;
        }
        self.seen = now;
        let file = self.path.display();
        match self.apply().await {
            Ok(changed) => {
                self.broken.set(None);
                tracing::info!(%file, changed, "the streams of the changed configuration apply");
            }
            Err(error) => {
                tracing::error!(%file, %error, "the changed configuration does not apply, going on as before");
                self.broken.set(Some(error.to_string()));
            }
        }
    }

    /// Whether the streams are others now.
    async fn apply(&self) -> Result<bool> {
        let settings = self.origin.read_again()?;
        let others = self.running.differing(&settings);
        if !others.is_empty() {
            tracing::warn!(
                settings = others.join(", "),
                "these settings were changed too, which needs a restart"
            );
        }
        self.streams.set_file(&settings.streams).await
    }
}
