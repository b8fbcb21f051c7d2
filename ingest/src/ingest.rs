//! The handle of a running ingester: starts the parts, and stops them in order.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Error, ErrorKind, Result};
use lake::Lake;
use lake::hot::HotBuffer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::buffer::{Bounds, Buffer};
use crate::config::{IngestConfig, Source, StreamConfig};
use crate::flush::Request;
use crate::hot::Hot;
use crate::identity::DataDir;
use crate::pipeline::{self, LogEnd, Pipeline, Standing};
use crate::source::broker::{Broker, Ending};
use crate::source::external::{External, Filters};
use crate::stats::{Counters, IngestStats};
use crate::streams::Streams;
use crate::tables::Tables;
use crate::wal::{self, Log, LogOptions};

/// How long a start waits for an external broker before it goes on without.
const BROKER_PATIENCE: Duration = Duration::from_secs(5);
/// How long checking a stream waits for the lake.
const LAKE_PATIENCE: Duration = Duration::from_secs(5);
/// The embedded broker's sessions, in the data folder.
const BROKER_FOLDER: &str = "broker";
/// How long a shutdown waits for clients to take their last acknowledgements.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(5);
/// How long a shutdown waits for the log and for the lake; what is left is committed by the next start.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);

/// A running ingester.
///
/// Dropping it stops everything at once, as a crash would: what was acknowledged is in the log, and
/// the next start on the same folder commits it. [`Ingest::shutdown`] leaves nothing to replay.
pub struct Ingest {
    buffer: Arc<Buffer>,
    counters: Arc<Counters>,
    buffer_limit: u64,
    addresses: Vec<(&'static str, SocketAddr)>,
    stop: CancellationToken,
    sources: TaskTracker,
    /// The embedded broker, which has to end before the log does.
    broker: Option<Ending>,
    requests: mpsc::UnboundedSender<Request>,
    failed: watch::Receiver<Option<Error>>,
    tasks: Vec<JoinHandle<()>>,
    log: Log,
    config: IngestConfig,
    tables: Tables,
    streams: Streams,
    /// What an external source subscribes to.
    filters: Option<Filters>,
    /// Released last: the next start must find the log at rest.
    _folder: DataDir,
}

impl Ingest {
    /// Takes the data folder, replays its log on top of the branch, and starts the source.
    ///
    /// An object store that is away is waited for in the background: messages are logged and
    /// acknowledged meanwhile, while the log has room.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong configuration, `AlreadyExists` for a folder or port in use,
    /// `NotFound` for a missing branch, `Corrupt` when files of the log are gone.
    pub async fn start(config: IngestConfig, lake: Lake) -> Result<Self> {
        config.validate()?;
        let mut folder = DataDir::open(&config.data_dir)?;
        let counters = Arc::new(Counters::default());
        let log = open_log(&config, &folder, &counters).await?;
        let tables = Tables {
            lake,
            branch: config.branch.clone(),
            counters: Arc::clone(&counters),
        };
        let standing = pipeline::standing(&tables, folder.identity(), &log.history()).await;
        let watermark = match standing {
            Ok(Standing::At(watermark)) => Some(watermark),
            Ok(Standing::Parted(after)) => {
                let old = folder.identity().id;
                folder.part(after)?;
                if after >= log.last_record() {
                    let loss = format!(
                        "branch {} holds rows of ingester {old} after position {after}, where its log ends: \
                         unless a copy of the log has brought them, files are missing at the log's end, \
                         and what they held beyond those rows is lost",
                        config.branch
                    );
                    tracing::error!("{loss}");
                    counters.lost(loss);
                }
                tracing::warn!(
                    %old,
                    new = %folder.identity().id,
                    after,
                    "a copy of this log committed under its id: going on under a new one"
                );
                Some(after)
            }
            Err(error) if error.is_retryable() => None,
            Err(error) => return Err(error),
        };
        let identity = folder.identity();
        let ingester = identity.id.to_string();
        let bounds = Bounds {
            flush_rows: config.flush_rows,
            flush_bytes: config.flush_bytes,
            buffer_bytes: config.buffer_bytes,
        };
        let buffer = Arc::new(Buffer::new(
            &config.branch,
            &ingester,
            identity.floor,
            bounds,
        ));
        let (requests, queue) = mpsc::unbounded_channel();
        let streams = Streams::new(&config.streams);
        let pipeline = Pipeline {
            tables: tables.clone(),
            streams: streams.follow(),
            buffer: Arc::clone(&buffer),
            config: config.clone(),
            identity,
            requests: queue,
        };
        if let Some(watermark) = watermark {
            pipeline.begin_at(watermark);
        }
        let log_end = LogEnd {
            reader: log.reader(),
            again: log.reader(),
            retention: log.retention(),
            history: log.history(),
            before: log.before(),
        };
        let (report, failed) = watch::channel(None);
        let mut ingest = Self {
            buffer,
            counters,
            buffer_limit: config.buffer_bytes as u64,
            addresses: Vec::new(),
            stop: CancellationToken::new(),
            sources: TaskTracker::new(),
            broker: None,
            requests,
            failed,
            tasks: Vec::new(),
            log,
            config: config.clone(),
            tables,
            streams,
            filters: None,
            _folder: folder,
        };
        ingest.start_source(&config, &ingester).await?;
        let work = pipeline.run(log_end, watermark);
        ingest.supervise(work, report);
        tracing::info!(
            ingester,
            ?watermark,
            position = ingest.log.end(),
            "ingest started"
        );
        Ok(ingest)
    }

    async fn start_source(&mut self, config: &IngestConfig, ingester: &str) -> Result<()> {
        let writer = self.log.writer();
        let counters = Arc::clone(&self.counters);
        match &config.source {
            Source::Embedded(broker) => {
                let stop = self.stop.clone();
                let sources = self.sources.clone();
                let folder = config.data_dir.join(BROKER_FOLDER);
                let broker = Broker::bind(broker, &folder, writer, counters, stop, sources).await?;
                self.addresses = broker.addresses();
                self.broker = Some(broker.ending());
                self.sources.spawn(broker.run());
            }
            Source::External(mqtt) => {
                let filters = Filters::new(mqtt, &config.streams)?;
                let external = External::new(config, mqtt, &filters, ingester, writer, counters)?;
                self.filters = Some(filters);
                let mut subscribed = external.subscribed();
                self.sources.spawn(external.run(self.stop.clone()));
                // A message published before the first subscription is lost: start only after it.
                let answer = tokio::time::timeout(BROKER_PATIENCE, subscribed.wait_for(|s| *s));
                if answer.await.is_err() {
                    tracing::warn!(
                        url = mqtt.url,
                        "the MQTT broker has not answered yet, trying on"
                    );
                }
            }
        }
        Ok(())
    }

    /// Runs the pipeline; its error, or the log's, stops the source and is told to whoever asks.
    fn supervise(
        &mut self,
        work: impl Future<Output = Error> + Send + 'static,
        report: watch::Sender<Option<Error>>,
    ) {
        let stop = self.stop.clone();
        let counters = Arc::clone(&self.counters);
        let mut log_failed = self.log.failed();
        self.tasks.push(tokio::spawn(async move {
            let error = tokio::select! {
                error = work => error,
                error = first_error(&mut log_failed) => error,
            };
            tracing::error!(%error, "ingest has ended");
            stop.cancel();
            counters.set_error(Some(error.to_string()));
            report.send_replace(Some(error));
        }));
    }

    /// The uncommitted rows, for the query engine.
    pub fn hot(&self) -> Arc<dyn HotBuffer> {
        Arc::new(Hot {
            buffer: Arc::clone(&self.buffer),
            requests: self.requests.clone(),
            failed: self.failed.clone(),
        })
    }

    /// Checks `streams` as [`Ingest::set_streams`] does, and changes nothing.
    ///
    /// # Errors
    /// `InvalidInput` naming the stream and what is wrong with it, or two of them.
    pub fn check_streams(&self, streams: &[StreamConfig]) -> Result<()> {
        self.config.validate_streams(streams)?;
        match &self.filters {
            Some(filters) => filters.check(streams),
            None => Ok(()),
        }
    }

    /// Decodes by `streams` from now on, instead of those that were valid before.
    ///
    /// Every message is decoded by the streams that are valid when that happens, also one that was
    /// logged before the change; what matches none of them becomes a dead letter. A source at an
    /// external broker subscribes to what the streams need and gives back what they do not.
    ///
    /// # Errors
    /// Those of [`Ingest::check_streams`]; then nothing has changed.
    pub fn set_streams(&self, streams: &[StreamConfig]) -> Result<()> {
        self.check_streams(streams)?;
        // First the decoder: no message of a new topic may come before it knows its stream.
        self.streams.set(streams);
        match &self.filters {
            Some(filters) => filters.follow(streams),
            None => Ok(()),
        }
    }

    /// Refuses a stream whose declared columns the table it writes to cannot take. A lake that is
    /// away refuses nothing.
    ///
    /// # Errors
    /// `Conflict` naming the column and both types.
    pub fn check_table(
        &self,
        stream: &StreamConfig,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let columns = stream.template().and_then(|it| stream.known_columns(&it));
        let (tables, key) = (self.tables.clone(), stream.table.clone());
        async move {
            let columns = columns?;
            let table = async {
                let head = tables.lake.catalog().head(&tables.branch).await?;
                tables.lake.table(&head, &key).await
            };
            match timeout(LAKE_PATIENCE, table).await {
                Ok(Ok(table)) => table.check_evolve(&columns),
                Ok(Err(error)) if error.kind() == ErrorKind::InvalidInput => Err(error),
                _ => Ok(()),
            }
        }
    }

    /// What has been done so far.
    pub fn stats(&self) -> IngestStats {
        let fill = self.log.fill();
        IngestStats {
            log_bytes: fill.bytes,
            log_uncommitted_bytes: fill.uncommitted,
            log_limit_bytes: fill.limit,
            oldest_unflushed_ms: u64::try_from(fill.oldest.as_millis()).unwrap_or(u64::MAX),
            buffer_bytes: self.buffer.bytes() as u64,
            buffer_limit_bytes: self.buffer_limit,
            ..self.counters.snapshot()
        }
    }

    /// Where the embedded broker listens for MQTT over TCP; none with an external one.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        let mut addresses = self.addresses.iter();
        addresses.find(|(name, _)| *name == "mqtt").map(|it| it.1)
    }

    /// All addresses of the embedded broker by name: `mqtt`, `mqtts`, `mqtt-ws`, `mqtt-wss`.
    pub fn listen_addrs(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// Commits every message logged before the call.
    ///
    /// # Errors
    /// Why the attempt failed; the rows stay in the log and the buffer, and are tried again.
    pub fn flush(&self) -> impl Future<Output = Result<()>> + Send + 'static {
        let position = self.log.last_record();
        let mut decoded = self.buffer.decoded();
        let mut failed = self.failed.clone();
        let requests = self.requests.clone();
        let flushed = async move {
            decoded
                .wait_for(|end| *end >= position)
                .await
                .map_err(|_| ended())?;
            let (answer, outcome) = oneshot::channel();
            requests
                .send(Request { position, answer })
                .map_err(|_| ended())?;
            outcome.await.map_err(|_| ended())?
        };
        async move {
            tokio::select! {
                biased;
                error = first_error(&mut failed) => Err(error),
                flushed = flushed => flushed,
            }
        }
    }

    /// Stops the source, commits everything that was acknowledged, and leaves the log clean.
    ///
    /// # Errors
    /// Why the last flush failed; what was acknowledged is in the log for the next start.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stop.cancel();
        // The last wills of clients are messages too.
        if let Some(broker) = &self.broker
            && timeout(CLIENTS_PATIENCE, broker.readers()).await.is_err()
        {
            tracing::warn!("some MQTT clients were still being read");
        }
        // What the source handed in is logged and acknowledged before its clients are let go.
        if timeout(FLUSH_PATIENCE, self.log.close()).await.is_err() {
            tracing::warn!("the log is full: messages not acknowledged yet are left to the broker");
        }
        self.sources.close();
        if timeout(CLIENTS_PATIENCE, self.sources.wait())
            .await
            .is_err()
        {
            tracing::warn!("some MQTT clients did not take their last acknowledgements");
        }
        match timeout(FLUSH_PATIENCE, self.flush()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(
                Error::unavailable("the lake did not take the last rows in time")
                    .with_hint("they are in the log, and the next start commits them"),
            ),
        }
    }

    /// Resolves with the error that ended the ingester (fenced, log unwritable); never otherwise.
    pub fn failed(&self) -> impl Future<Output = Error> + Send + 'static {
        let mut failed = self.failed.clone();
        async move { first_error(&mut failed).await }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn open_log(
    config: &IngestConfig,
    folder: &DataDir,
    counters: &Arc<Counters>,
) -> Result<Log> {
    let (window, depth) = match config.source {
        Source::Embedded(_) => (wal::DEDUP_WINDOW, 1),
        Source::External(_) => (wal::EXTERNAL_WINDOW, wal::MOST_PER_ID),
    };
    let options = LogOptions {
        dir: folder.log(),
        segment_bytes: config.segment_bytes,
        log_bytes: config.log_bytes,
        window,
        depth,
    };
    let shared = Arc::clone(counters);
    let log = tokio::task::spawn_blocking(move || Log::open(options, shared))
        .await
        .map_err(|e| Error::internal("opening the log failed").with_source(e))??;
    for loss in log.losses() {
        counters.lost(loss.to_string());
    }
    Ok(log)
}

/// The first error the channel carries; waits forever when its sender goes without one.
pub(crate) async fn first_error(errors: &mut watch::Receiver<Option<Error>>) -> Error {
    let error = match errors.wait_for(Option::is_some).await {
        Ok(error) => error.clone(),
        Err(_) => None,
    };
    match error {
        Some(error) => error,
        None => std::future::pending().await,
    }
}

pub(crate) fn ended() -> Error {
    Error::unavailable("ingest has ended")
}
