//! `pumphouse serve`: run the parts until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use catalog::{Error, Result};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::output;
use crate::server::Server;
use crate::settings::{Flag, Settings};

/// Run the lakehouse: ingest, SQL server, maintenance and predictions, until told to stop.
///
/// Prints `listening PART=ADDRESS` for every port it opens, then `ready`. On SIGTERM
/// or Ctrl-C it stops taking messages, commits what it has, and ends; a second one ends it
/// at once, and the next start takes the rest from the log.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse serve
  pumphouse serve --lake s3://plant/lake --mqtt-url mqtt://broker:1883
  pumphouse serve --http 127.0.0.1:0 --flight 127.0.0.1:0 --mqtt 127.0.0.1:0   free ports")]
pub(crate) struct ServeArgs {
    /// Parts to run, separated by commas: ingest, query, maintain, ml [env: PUMPHOUSE_ROLES]
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// Folder of this node's log and identity [env: PUMPHOUSE_DATA_DIR]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Address for health, metrics and predictions [env: PUMPHOUSE_LISTEN_HTTP]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Address for SQL over Arrow Flight [env: PUMPHOUSE_LISTEN_FLIGHT]
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<SocketAddr>,
    /// Address of the embedded MQTT broker [env: PUMPHOUSE_MQTT_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    mqtt: Option<SocketAddr>,
    /// Broker to subscribe to instead of the embedded one [env: PUMPHOUSE_MQTT_URL]
    #[arg(long, value_name = "URL", conflicts_with = "mqtt")]
    mqtt_url: Option<String>,
}

impl ServeArgs {
    /// The settings given as flags.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let data_dir = self
            .data_dir
            .as_ref()
            .map(|path| path.display().to_string());
        // A listen address given by hand asks for the embedded broker, whatever the file says.
        let no_url = self.mqtt.map(|_| String::new());
        [
            Flag::given("--roles", "roles", self.roles.as_ref()),
            Flag::given("--data-dir", "data_dir", data_dir.as_ref()),
            Flag::given("--http", "listen.http", self.http.as_ref()),
            Flag::given("--flight", "listen.flight", self.flight.as_ref()),
            Flag::given("--mqtt", "mqtt.listen", self.mqtt.as_ref()),
            Flag::given("--mqtt", "mqtt.url", no_url.as_ref()),
            Flag::given("--mqtt-url", "mqtt.url", self.mqtt_url.as_ref()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Serves until a signal, or until a part fails, whose error it returns.
pub(crate) async fn run(_: ServeArgs, settings: Settings) -> Result<()> {
    let mut signals = Signals::listen()?;
    let mut server = tokio::select! {
        server = Server::start(&settings) => server?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before the start was done");
            return Ok(());
        }
    };
    announce(&server)?;
    let failure = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            None
        }
        error = server.failed() => Some(error),
    };
    let stopped = tokio::select! {
        stopped = server.shutdown() => stopped,
        name = signals.next() => Err(Error::unavailable(format!("{name} cut the shutdown short"))
            .with_hint("no acknowledged message is lost: the next start takes from the log what is not committed")),
    };
    // What follows from the first failure does not explain it.
    failure.map_or(stopped, Err)
}

/// Scripts and tests read these lines: they are an interface.
fn announce(server: &Server) -> Result<()> {
    let flight = server.flight.map(|address| ("flight", address));
    let mqtt = server.brokers.iter().copied();
    for (part, address) in [("http", server.http)]
        .into_iter()
        .chain(flight)
        .chain(mqtt)
    {
        output::print(&format!("listening {part}={address}"))?;
    }
    output::print("ready")
}

/// The signals that ask this process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|e| Error::internal("cannot listen for signals").with_source(e))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and gives its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
