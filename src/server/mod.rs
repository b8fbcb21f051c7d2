//! One Pumphouse process: the parts composed, started in order and stopped in order.

mod auth;
mod http;
mod iceberg;
mod labels;
mod listen;
mod maintain;
mod metrics;
mod monitor;
mod origin;
mod predict;
mod reload;
mod status;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Error, Result};
use ingest::{Ingest, IngestConfig, IngestStats, StreamConfig};
use lake::Lake;
use query::Engine;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::commands::{new_engine, open_lake};
use crate::settings::{Role, Settings};
use reload::{Broken, Reload};
use status::IngestPart;
use streams::{Given, StreamsPart};

/// How long running queries and requests may take to end once told to.
const GRACE: Duration = Duration::from_secs(10);

/// A running Pumphouse; dropping it without [`Server::shutdown`] is a crash, after
/// which the next start replays the log.
pub(crate) struct Server {
    /// Where HTTP is served.
    pub(crate) http: SocketAddr,
    /// Where Flight SQL is served, when this process has the query role.
    pub(crate) flight: Option<SocketAddr>,
    /// Where the embedded broker listens for MQTT over TCP, when this process runs it.
    pub(crate) mqtt: Option<SocketAddr>,
    /// All addresses of the embedded broker by name.
    pub(crate) brokers: Vec<(&'static str, SocketAddr)>,
    engine: Engine,
    ingest: IngestPart,
    tasks: Tasks,
}

impl Server {
    /// Opens the lake and starts the parts that `settings.roles` names.
    ///
    /// Errors: `InvalidInput` for an address open to others without authentication or
    /// one in use, those of opening the store, and those of starting ingest. Nothing
    /// is left running after an error.
    pub(crate) async fn start(settings: &Settings) -> Result<Self> {
        listen::check_exposure(settings)?;
        let http = listen::bind("http", "listen.http", settings.listen.http).await?;
        let flight = match settings.has_role(Role::Query) {
            true => Some(listen::bind("flight", "listen.flight", settings.listen.flight).await?),
            false => None,
        };
        listen::check_mqtt(settings).await?;
        let lake = open_lake(settings).await?;
        let (ingest, given) = match settings.has_role(Role::Ingest) {
            true => {
                let given = Given::load(settings)?;
                let config = config_with(settings, given.valid());
                let ingest = Ingest::start(config, lake.clone()).await?;
                (Some(ingest), given)
            }
            false => (None, Given::default()),
        };
        Self::compose(settings, lake, (ingest, given), http, flight)
    }

    fn compose(
        settings: &Settings,
        lake: Lake,
        (ingest, given): (Option<Ingest>, Given),
        http: TcpListener,
        flight: Option<TcpListener>,
    ) -> Result<Self> {
        let hot = ingest.as_ref().map(Ingest::hot);
        let mqtt = ingest.as_ref().and_then(Ingest::listen_addr);
        let brokers = ingest.as_ref().map(|it| it.listen_addrs().to_vec());
        let failed = ingest.as_ref().map(Ingest::failed);
        let catalog = settings
            .has_role(Role::Query)
            .then(|| iceberg::router(settings, &lake));
        let engine = new_engine(settings, lake.clone(), hot);
        let ingest = IngestPart::new(ingest);
        let streams = StreamsPart::new(settings, given, ingest.clone());
        let configuration = Broken::default();
        let mut tasks = Tasks::new();
        let maintained = settings
            .has_role(Role::Maintain)
            .then(|| tasks.maintain(settings, lake, &ingest));
        let predict = ml::PredictService::new(engine.lake().clone(), settings.ml.serve.batch());
        let watched = settings
            .has_role(Role::Ml)
            .then(|| tasks.watch(settings, &engine, &predict));
        let reload = Reload::new(settings, streams.clone(), configuration.clone());
        if let Some(reload) = reload {
            tasks.spawn(reload.run(tasks.stop.clone()));
        }

        let scored = tasks.score(settings, &engine);

        let http_addr = local_addr(&http)?;
        let state = http::State {
            token: settings.auth.token.clone(),
            predict,
            scored,
            engine: engine.clone(),
            ingest: ingest.clone(),
            maintained,
            watched,
            streams,
            configuration,
            roles: settings.roles.clone(),
        };
        tasks.spawn(http::serve(
            Arc::new(state),
            catalog,
            http,
            tasks.stop.clone(),
        ));

        let flight_addr = flight.as_ref().map(local_addr).transpose()?;
        if let Some(listener) = flight {
            let token = settings
                .auth
                .token
                .as_ref()
                .map(|token| token.expose().to_owned());
            let stop = tasks.stop.clone();
            let serving =
                query::flight::serve(engine.clone(), listener, token, stop.cancelled_owned());
            tasks.spawn(serving);
        }
        if let Some(failed) = failed {
            let (ingest, stop) = (ingest.clone(), tasks.stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    error = failed => Err(ingest.fail(error)),
                    () = stop.cancelled() => Ok(()),
                }
            });
        }
        Ok(Self {
            http: http_addr,
            flight: flight_addr,
            mqtt,
            brokers: brokers.unwrap_or_default(),
            engine,
            ingest,
            tasks,
        })
    }

    /// The SQL engine, which sees the rows not yet committed too.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What ingest has done, when this process ingests.
    pub(crate) async fn ingest_stats(&self) -> Option<IngestStats> {
        self.ingest.stats().await
    }

    /// Commits every row received so far.
    pub(crate) async fn flush(&self) -> Result<()> {
        self.ingest.flush().await
    }

    /// Resolves with the error that ended a part, and so this process; never otherwise.
    pub(crate) async fn failed(&mut self) -> Error {
        self.tasks.failed().await
    }

    /// Stops taking messages, commits the rows received, lets running queries end
    /// for some seconds, and stops.
    pub(crate) async fn shutdown(self) -> Result<()> {
        let flushed = self.ingest.shutdown().await;
        self.tasks.stop().await;
        flushed
    }
}

/// The background tasks of a server.
struct Tasks {
    stop: CancellationToken,
    running: Vec<JoinHandle<()>>,
    failures: mpsc::Receiver<Error>,
    report: mpsc::Sender<Error>,
}

impl Tasks {
    fn new() -> Self {
        let (report, failures) = mpsc::channel(4);
        Self {
            stop: CancellationToken::new(),
            running: Vec::new(),
            failures,
            report,
        }
    }

    fn spawn(&mut self, task: impl Future<Output = Result<()>> + Send + 'static) {
        let report = self.report.clone();
        self.running.push(tokio::spawn(async move {
            if let Err(error) = task.await {
                // The receiver is gone only once the server is.
                let _ = report.send(error).await;
            }
        }));
    }

    /// Starts the role `maintain`, and gives what it counts.
    fn maintain(
        &mut self,
        settings: &Settings,
        lake: Lake,
        ingest: &IngestPart,
    ) -> Arc<maintain::Counters> {
        let counters = Arc::<maintain::Counters>::default();
        let (ingest, stop) = (ingest.clone(), self.stop.clone());
        let counted = Arc::clone(&counters);
        self.spawn(maintain::run(lake, settings.clone(), ingest, counted, stop));
        counters
    }

    /// Starts what the role `ml` does in the background, and gives what it counts.
    fn watch(
        &mut self,
        settings: &Settings,
        engine: &Engine,
        predict: &ml::PredictService,
    ) -> Arc<monitor::Counters> {
        let counters = Arc::<monitor::Counters>::default();
        let work = monitor::Work::new(
            engine.clone(),
            settings.ml.clone(),
            predict.clone(),
            Arc::clone(&counters),
        );
        self.spawn(work.run(self.stop.clone()));
        counters
    }

    /// Starts scoring rows as they arrive, where the role `ml` runs here.
    fn score(&mut self, settings: &Settings, engine: &Engine) -> Vec<predict::Scoring> {
        let models = settings.ml.score.iter();
        let models = models.filter(|_| settings.has_role(Role::Ml));
        let mut scored = Vec::new();
        for model in models {
            let options = model.options();
            let branch = &settings.ingest.branch;
            let scorer = ml::Scorer::new(engine.clone(), branch, options);
            scored.push((model.model.to_string(), scorer.scored()));
            let stop = self.stop.clone();
            self.spawn(async move {
                stop.run_until_cancelled(scorer.run()).await;
                Ok(())
            });
        }
        scored
    }

    async fn failed(&mut self) -> Error {
        let failure = self.failures.recv().await;
        failure.unwrap_or_else(|| Error::internal("the server's tasks are gone"))
    }

    async fn stop(self) {
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + GRACE;
        for mut task in self.running {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                tracing::warn!(
                    seconds = GRACE.as_secs(),
                    "a connection did not end in time and is cut"
                );
                task.abort();
            }
        }
    }
}

fn local_addr(listener: &TcpListener) -> Result<SocketAddr> {
    let address = listener.local_addr();
    address.map_err(|e| Error::internal("a listener has no address").with_source(e))
}

/// The settings as ingest takes them, with the streams that were given by HTTP.
///
/// # Errors
/// Those of reading the streams in the data folder.
pub(crate) fn ingest_config(settings: &Settings) -> Result<IngestConfig> {
    Ok(config_with(settings, Given::load(settings)?.valid()))
}

fn config_with(settings: &Settings, streams: Vec<StreamConfig>) -> IngestConfig {
    let ingest = &settings.ingest;
    IngestConfig {
        branch: ingest.branch.clone(),
        data_dir: settings.data_dir.clone(),
        streams,
        source: settings.mqtt.source(),
        flush_rows: ingest.flush_rows,
        flush_bytes: in_memory(ingest.flush_bytes),
        flush_interval: ingest.flush_interval,
        buffer_bytes: in_memory(ingest.buffer_bytes),
        log_bytes: ingest.log_bytes,
        segment_bytes: ingest.segment_bytes,
        max_message_bytes: in_memory(ingest.max_message_bytes),
        dead_letter_table: ingest.dead_letter_table.clone(),
    }
}

/// A size as this machine can address it.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
