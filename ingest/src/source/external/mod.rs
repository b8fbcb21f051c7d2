//! A broker elsewhere: MQTT 5, or 3.1.1 where the broker knows no more, a persistent session, and
//! messages acknowledged once the log has them.
//!
//! Every connection has a reading half and a writing half of its own. So nothing of a broken
//! connection is left over: neither packets it had read, which the broker sends again, nor
//! acknowledgements, which would now confirm other messages under the same packet ids.

mod connection;
mod dial;
mod filters;
mod subscriptions;
mod versions;
mod wire;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Error, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::connection::{Greeted, Reader, Requests, Unwelcome, greet};
use self::dial::Dialer;
use self::subscriptions::Subscriptions;
use self::versions::Versions;
use self::wire::{KEEP_ALIVE, Login, MAX_PACKET, Version};
use self::writer::{Owed, Writer};
use super::client_hash;
use crate::backoff::Backoff;
use crate::config::{IngestConfig, MqttConfig};
use crate::stats::Counters;
use crate::wal::LogWriter;

pub(crate) use self::filters::Filters;

/// How long the way to the broker and its greeting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection that broke earlier than this is no reason to come back at once.
const STEADY: Duration = Duration::from_secs(5);

/// The connection to an external broker.
pub(crate) struct External {
    dialer: Dialer,
    login: Login,
    /// The only version to speak; none: 5, and 3.1.1 where that is refused.
    only: Option<Version>,
    shared: bool,
    subscriptions: Subscriptions,
    wanted: watch::Receiver<BTreeSet<String>>,
    log: LogWriter,
    counters: Arc<Counters>,
    subscribed: watch::Sender<bool>,
}

impl External {
    /// A source that subscribes to what `filters` says.
    ///
    /// # Errors
    /// `InvalidInput` for an address or certificate that cannot be used.
    pub(crate) fn new(
        config: &IngestConfig,
        mqtt: &MqttConfig,
        filters: &Filters,
        ingester: &str,
        log: LogWriter,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let client_id = match mqtt.client_id.as_str() {
            "" => format!("pumphouse-{ingester}"),
            id => id.to_owned(),
        };
        let mut wanted = filters.wanted();
        let first = wanted.borrow_and_update().clone();
        Ok(Self {
            dialer: Dialer::new(mqtt.endpoint()?, &mqtt.tls, MAX_PACKET)?,
            login: Login {
                client_id,
                username: mqtt.username.clone(),
                password: mqtt.password.clone(),
                receive_maximum: mqtt.receive_maximum,
            },
            only: (mqtt.version == 4).then_some(Version::Three),
            shared: !mqtt.share.is_empty(),
            subscriptions: Subscriptions::new(&config.data_dir, first)?,
            wanted,
            log,
            counters,
            subscribed: watch::Sender::new(false),
        })
    }

    /// True once the broker has confirmed a subscription: it keeps every message from then on.
    pub(crate) fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.subscribe()
    }

    /// Connects, and connects again, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        let mut versions = Versions::new(self.only);
        while !stop.is_cancelled() {
            let greeted = tokio::select! {
                greeted = self.connect(versions.now()) => greeted,
                () = stop.cancelled() => return,
            };
            let error = match greeted {
                Ok(greeted) => {
                    versions.welcome();
                    let since = Instant::now();
                    let subscribed = self.subscribed.subscribe();
                    let Err(error) = self.serve(greeted, &stop).await else {
                        return;
                    };
                    let confirmed = subscribed.has_changed().unwrap_or(false);
                    if confirmed && since.elapsed() >= STEADY {
                        backoff = Backoff::new();
                    }
                    error
                }
                Err(unwelcome) => {
                    if versions.unwelcome(unwelcome.doubt) {
                        let version = versions.now();
                        tracing::info!(?version, "the MQTT broker may know another version");
                    }
                    unwelcome.error
                }
            };
            tracing::warn!(%error, "no connection to the MQTT broker, connecting again");
            self.counters.set_error(Some(error.to_string()));
            tokio::select! {
                () = backoff.wait() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn connect(&self, version: Version) -> std::result::Result<Greeted, Unwelcome> {
        let connect = async {
            let stream = self.dialer.dial().await?;
            greet(stream, &self.login, version).await
        };
        let greeted = timeout(CONNECT_TIMEOUT, connect).await;
        let greeted = greeted.unwrap_or_else(|_| {
            Err(Error::unavailable("the MQTT broker does not answer")
                .with_hint("check the broker's address and that it runs")
                .into())
        })?;
        if self.shared && greeted.welcome.unshared {
            return Err(
                Error::unsupported("the MQTT broker has no shared subscriptions")
                    .with_hint("set mqtt.share to nothing, and run one ingester per topic")
                    .into(),
            );
        }
        Ok(greeted)
    }

    /// Serves one connection until it breaks; fine when told to stop.
    async fn serve(&mut self, greeted: Greeted, stop: &CancellationToken) -> Result<()> {
        let Greeted {
            stream,
            wire,
            buffer,
            welcome,
        } = greeted;
        let session_present = welcome.session_present;
        tracing::info!(session_present, "connected to the MQTT broker");
        if !session_present && self.subscriptions.seen {
            tracing::warn!(
                "the MQTT broker has forgotten this node's session: what was published meanwhile \
                 is lost, unless another node shares the topics"
            );
        }
        let (read, out) = tokio::io::split(stream);
        let (acks, acked) = mpsc::unbounded_channel();
        let (packets, sent) = mpsc::unbounded_channel();
        let owed = Arc::new(Owed::default());
        let keep_alive = welcome
            .keep_alive
            .unwrap_or(KEEP_ALIVE)
            .clamp(2, KEEP_ALIVE);
        let writer = Writer {
            out,
            acks: acked,
            packets: sent,
            owed: Arc::clone(&owed),
            ping_every: Duration::from_secs(u64::from(keep_alive)) / 2,
        };
        let mut writing = Writing(tokio::spawn(writer.run()));
        let reader = Reader {
            read,
            wire,
            buffer,
            client: client_hash(&self.login.client_id),
            log: &self.log,
            counters: &self.counters,
            acks,
            packets,
            owed,
            subscriptions: &mut self.subscriptions,
            wanted: &mut self.wanted,
            subscribed: &self.subscribed,
            requests: Requests::default(),
        };
        tokio::select! {
            error = reader.run() => return Err(error),
            ended = &mut writing.0 => return Err(ended_early(ended)),
            () = stop.cancelled() => {}
        }
        // With the reading half gone, what is in the log already is still acknowledged.
        if let Ok(Err(error)) = (&mut writing.0).await {
            tracing::debug!(%error, "the last acknowledgements are not out");
        }
        Ok(())
    }
}

/// The writing half, which ends with its connection.
struct Writing(JoinHandle<Result<()>>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn ended_early(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => Error::unavailable("the connection to the MQTT broker has ended"),
        Err(panic) => Error::internal("writing to the MQTT broker failed").with_source(panic),
    }
}

#[cfg(test)]
mod tests;
