//! The streams of this process: those of the configuration file, then those given by HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use catalog::{Error, Result};
use ingest::StreamConfig;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::file;
use crate::server::status::IngestPart;
use crate::settings::Settings;

/// Where a stream was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// In the configuration file, or in the environment.
    File,
    /// By `POST /v1/streams`.
    Http,
}

/// The streams of both origins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    file: Vec<StreamConfig>,
    http: Vec<StreamConfig>,
}

impl Given {
    /// What the settings and the data folder say.
    ///
    /// # Errors
    /// Those of reading the file in the data folder.
    pub(crate) fn load(settings: &Settings) -> Result<Self> {
        let http = file::read(&file::path(&settings.data_dir))?;
        let given = Self {
            file: settings.streams.clone(),
            http,
        };
        for stream in given.http.iter().filter(|s| given.in_file(&s.name)) {
            tracing::warn!(
                stream = stream.name,
                "the configuration file has a stream of this name, so the one given by HTTP rests"
            );
        }
        Ok(given)
    }

    /// All that are valid, in the order in which a topic is tried on them. A stream of the file
    /// stands before one of the same name given by HTTP.
    pub(crate) fn valid(&self) -> Vec<StreamConfig> {
        let all = self.all().map(|(_, stream)| stream.clone());
        all.collect()
    }

    fn all(&self) -> impl Iterator<Item = (Origin, &StreamConfig)> {
        let http = self.http.iter().filter(|s| !self.in_file(&s.name));
        let file = self.file.iter().map(|stream| (Origin::File, stream));
        file.chain(http.map(|stream| (Origin::Http, stream)))
    }

    fn in_file(&self, name: &str) -> bool {
        self.file.iter().any(|stream| stream.name == name)
    }

    fn refuse_of_file(&self, name: &str) -> Result<()> {
        match self.in_file(name) {
            true => Err(Error::conflict(format!(
                "stream '{name}' is one of the configuration file"
            ))
            .with_hint(
                "change it there: what is edited applies within seconds, without a restart",
            )),
            false => Ok(()),
        }
    }
}

/// The streams while the process runs; clones share them.
#[derive(Clone)]
pub(crate) struct StreamsPart {
    given: Arc<Mutex<Given>>,
    path: PathBuf,
    ingest: IngestPart,
}

impl StreamsPart {
    pub(crate) fn new(settings: &Settings, given: Given, ingest: IngestPart) -> Self {
        Self {
            given: Arc::new(Mutex::new(given)),
            path: file::path(&settings.data_dir),
            ingest,
        }
    }

    pub(super) async fn list(&self) -> Vec<(Origin, StreamConfig)> {
        let given = self.given.lock().await;
        let all = given.all().map(|(origin, stream)| (origin, stream.clone()));
        all.collect()
    }

    /// Adds a stream, or puts it in the place of one of its name; true when it is new.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong stream, `Conflict` for one of the file, for topics another stream
    /// takes, for a table that does not take it, and where this process does not ingest. Nothing
    /// has changed then.
    pub(super) async fn put(&self, stream: StreamConfig) -> Result<bool> {
        if !self.ingest.is_running().await {
            return Err(Error::conflict("this process does not ingest")
                .with_hint("send it to a process with the role `ingest`"));
        }
        let given = self.given.lock().await.clone();
        self.with(&given, &stream).await?;
        // The lake may take its time: others are not held up meanwhile.
        self.ingest.check_table(&stream).await?;
        let given = Arc::clone(&self.given).lock_owned().await;
        let next = self.with(&given, &stream).await?;
        let new = next.http.len() > given.http.len();
        self.apply(given, next).await?;
        Ok(new)
    }

    /// What there is once `stream` is added or replaced, checked but for its table.
    async fn with(&self, given: &Given, stream: &StreamConfig) -> Result<Given> {
        given.refuse_of_file(&stream.name)?;
        let mut next = given.clone();
        let place = next.http.iter().position(|known| known.name == stream.name);
        match place {
            Some(at) => next.http[at] = stream.clone(),
            None => next.http.push(stream.clone()),
        }
        self.ingest.check_streams(&next.valid()).await?;
        refuse_overlap(&next, stream)?;
        Ok(next)
    }

    /// Takes a stream away. Messages of its topics become dead letters from then on.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` for a stream of the file.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let given = Arc::clone(&self.given).lock_owned().await;
        given.refuse_of_file(name)?;
        let mut next = given.clone();
        next.http.retain(|stream| stream.name != name);
        if next.http.len() == given.http.len() {
            return Err(no_stream(name));
        }
        self.apply(given, next).await
    }

    /// The streams of the configuration file.
    pub(crate) async fn of_file(&self) -> Vec<StreamConfig> {
        self.given.lock().await.file.clone()
    }

    /// Makes `streams` those of the file; false when they are it already.
    ///
    /// # Errors
    /// `InvalidInput`, and then nothing has changed.
    pub(crate) async fn set_file(&self, streams: &[StreamConfig]) -> Result<bool> {
        let given = Arc::clone(&self.given).lock_owned().await;
        if given.file == streams {
            return Ok(false);
        }
        let next = Given {
            file: streams.to_vec(),
            http: given.http.clone(),
        };
        self.apply(given, next).await?;
        Ok(true)
    }

    /// Keeps `next` first, so that a crash right after the change does not take it back. Goes on to
    /// its end when whoever asked has gone, so that no other change meets it half way.
    async fn apply(&self, mut given: OwnedMutexGuard<Given>, next: Given) -> Result<()> {
        let (path, ingest) = (self.path.clone(), self.ingest.clone());
        let applied = tokio::spawn(async move {
            let valid = next.valid();
            ingest.check_streams(&valid).await?;
            if next.http != given.http {
                let http = next.http.clone();
                let written = tokio::task::spawn_blocking(move || file::write(&path, &http)).await;
                written.map_err(|e| Error::internal("writing streams ended").with_source(e))??;
            }
            ingest.set_streams(&valid).await?;
            *given = next;
            Ok(())
        });
        let applied = applied.await;
        applied.map_err(|e| Error::internal("changing streams ended").with_source(e))?
    }
}

pub(super) fn no_stream(name: &str) -> Error {
    Error::not_found(format!("there is no stream '{name}'"))
        .with_hint("GET /v1/streams lists those there are")
}

/// Of two streams that match one topic the first would take it: nobody who gives a stream by HTTP
/// sees that order, so that there is none to mistake.
fn refuse_overlap(given: &Given, stream: &StreamConfig) -> Result<()> {
    let others = given.all().map(|(_, other)| other);
    let mut others = others.filter(|other| other.name != stream.name);
    match others.find(|other| stream.overlaps(other)) {
        None => Ok(()),
        Some(other) => Err(Error::conflict(format!(
            "a topic may be one of stream '{}' ({}) and of stream '{}' ({})",
            stream.name, stream.topic, other.name, other.topic
        ))
        .with_hint("give the streams topics that no message can have in common")),
    }
}
