//! Changes of the configuration file while the process runs: its streams apply at once, of other
//! settings it is told that they need a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{Error, Result};
use ingest::StreamConfig;
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
    /// The file as it was when it was last judged; none when it was not there.
    judged: Option<Vec<u8>>,
    /// What it has become since, as seen at the last look.
    pending: Option<Option<Vec<u8>>>,
    /// Whether settings were ever taken from the file.
    was_there: bool,
    streams: StreamsPart,
    broken: Broken,
}

impl Reload {
    /// Follows the file that `running` was read from; none where it was read from none.
    pub(super) fn new(running: &Settings, streams: StreamsPart, broken: Broken) -> Option<Self> {
        let origin = running.origin.clone()?;
        Some(Self {
            running: running.clone(),
            judged: origin.text.clone(),
            pending: None,
            was_there: origin.text.is_some(),
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
                () = tokio::time::sleep(INTERVAL) => self.look(Asked::No).await,
                _ = hangup.recv() => self.look(Asked::Yes).await,
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// A change applies once two looks in a row agree on it, as an editor may be half way through
    /// writing the file; at once where somebody asked for it.
    async fn look(&mut self, asked: Asked) {
        let now = match tokio::fs::read(&self.path).await {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "cannot read the configuration");
                return;
            }
        };
        let before = self.pending.take();
        let changed = now != self.judged;
        // What did not apply may do so by now: it may have failed for what is around it.
        let again = self.broken.reason().is_some() || asked == Asked::Yes;
        if !changed && !again {
            return;
        }
        if changed && asked == Asked::No && before.as_ref() != Some(&now) {
            self.pending = Some(now);
            return;
        }
        match self.judge(now.as_deref(), asked).await {
            Ok(None) => return,
            Ok(Some(streams)) => {
                let file = self.path.display();
                self.broken.set(None);
                tracing::info!(%file, changed = streams, "the streams of the configuration apply");
            }
            Err(error) => self.refuse(&error),
        }
        self.was_there |= self.broken.reason().is_none() && now.is_some();
        self.judged = now;
    }

    fn refuse(&self, error: &Error) {
        let reason = error.to_string();
        if self.broken.reason().as_ref() != Some(&reason) {
            let file = self.path.display();
            tracing::error!(%file, %error, "the changed configuration does not apply, going on as before");
        }
        self.broken.set(Some(reason));
    }

    /// Whether the streams are others now; none when the file is `now` no more.
    async fn judge(&self, now: Option<&[u8]>, asked: Asked) -> Result<Option<bool>> {
        let file = self.path.display();
        if now.is_none() && self.was_there {
            return Err(
                Error::not_found(format!("{file} is gone, going on with its streams"))
                    .with_hint("put it back, or start again without it"),
            );
        }
        let settings = self.origin.read_again()?;
        let text = settings.origin.as_ref().and_then(|it| it.text.as_deref());
        if text != now {
            return Ok(None);
        }
        let named = !names_none(&self.streams.of_file().await);
        if named && names_none(&settings.streams) && asked == Asked::No {
            return Err(Error::conflict(format!(
                "{file} has no streams any more, going on with those it had"
            ))
            .with_hint("send SIGHUP or start again if that is meant"));
        }
        let others = self.running.differing(&settings);
        if !others.is_empty() {
            tracing::warn!(
                settings = others.join(", "),
                "these settings were changed too, which needs a restart"
            );
        }
        self.streams.set_file(&settings.streams).await.map(Some)
    }
}

/// Whether these are the streams of a file that names none: an empty file has the default ones.
fn names_none(streams: &[StreamConfig]) -> bool {
    streams.is_empty() || streams == Settings::default().streams
}

/// Whether somebody asked for the file to be looked at, by SIGHUP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::super::status::IngestPart;
    use super::super::streams::Given;
    use super::*;

    const STREAM: &str = "[[stream]]\nname = \"a\"\ntopic = \"a/{b}\"\ntable = \"t.a\"\n";

    async fn follow(path: &std::path::Path) -> Reload {
        let settings = Settings::load(Some(path), |_| None, &[]).unwrap();
        let streams = StreamsPart::new(&settings, Given::default(), IngestPart::new(None));
        streams.set_file(&settings.streams).await.unwrap();
        Reload::new(&settings, streams, Broken::default()).unwrap()
    }

    #[tokio::test]
    async fn a_file_without_streams_takes_none_away_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, STREAM).unwrap();
        let mut reload = follow(&path).await;
        for text in [None, Some(""), Some("[[stream]]\nname = \"b")] {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            reload.look(Asked::No).await;
            reload.look(Asked::No).await;
            assert!(reload.broken.reason().is_some(), "{text:?}");
            assert_eq!(reload.streams.of_file().await[0].name, "a", "{text:?}");
            std::fs::write(&path, STREAM).unwrap();
            reload.look(Asked::No).await;
            reload.look(Asked::No).await;
            assert_eq!(reload.broken.reason(), None, "{text:?}");
        }
        std::fs::write(&path, "").unwrap();
        reload.look(Asked::Yes).await;
        assert_eq!(reload.broken.reason(), None);
        assert_eq!(reload.streams.of_file().await, Settings::default().streams);
    }

    #[tokio::test]
    async fn an_edit_applies_once_two_looks_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, STREAM).unwrap();
        let mut reload = follow(&path).await;
        let more = STREAM.replace("\"a\"", "\"c\"").replace("a/", "c/");
        std::fs::write(&path, format!("{STREAM}{more}")).unwrap();
        reload.look(Asked::No).await;
        assert_eq!(reload.streams.of_file().await.len(), 1);
        reload.look(Asked::No).await;
        assert_eq!(reload.streams.of_file().await.len(), 2);
    }
}
