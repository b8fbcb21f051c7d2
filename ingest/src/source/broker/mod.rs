//! The broker inside this process: MQTT 3.1.1 and 5 on one port, QoS 0 and 1, and a PUBACK only
//! after the log's sync.
//!
//! A connection has a reading half ([`connection`]) and a writing half ([`outbound`]); what all
//! connections share is the [`Hub`]. Sessions end with their connection.

mod connection;
mod handshake;
mod outbound;
mod router;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use catalog::{Error, Result};
use rmqtt_codec::types::Publish;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::BrokerConfig;
use crate::stats::Counters;
use crate::wal::LogWriter;
use router::{Router, Subscription};

/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A broker that listens.
pub(crate) struct Broker {
    listener: TcpListener,
    hub: Arc<Hub>,
}

/// What all connections share.
struct Hub {
    log: LogWriter,
    counters: Arc<Counters>,
    max_packet_bytes: u32,
    stop: CancellationToken,
    tracker: TaskTracker,
    connections: AtomicU64,
    clients: Mutex<HashMap<String, Entry>>,
    router: RwLock<Router>,
    subscriptions: AtomicUsize,
}

/// A connected client.
struct Entry {
    connection: u64,
    kick: CancellationToken,
}

impl Broker {
    /// Listens.
    ///
    /// # Errors
    /// `AlreadyExists` when the port is in use, `InvalidInput` for an address that cannot be had.
    pub(crate) async fn bind(
        config: &BrokerConfig,
        log: LogWriter,
        counters: Arc<Counters>,
        stop: CancellationToken,
        tracker: TaskTracker,
    ) -> Result<Self> {
        let listener = TcpListener::bind(config.listen).await.map_err(|e| {
            let what = format!("cannot listen for MQTT on {}: {e}", config.listen);
            let error = match e.kind() {
                std::io::ErrorKind::AddrInUse => Error::already_exists(what)
                    .with_hint("stop the program that listens there, or choose another port"),
                _ => Error::invalid(what).with_hint("choose an address of this machine"),
            };
            error.with_source(e)
        })?;
        let hub = Hub {
            log,
            counters,
            max_packet_bytes: config.max_packet_bytes,
            stop,
            tracker,
            connections: AtomicU64::new(1),
            clients: Mutex::default(),
            router: RwLock::default(),
            subscriptions: AtomicUsize::new(0),
        };
        Ok(Self {
            listener,
            hub: Arc::new(hub),
        })
    }

    /// The address, with the port the system chose when 0 was asked for.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Accepts clients until told to stop.
    pub(crate) async fn run(self) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.hub.stop.cancelled() => return,
            };
            match accepted {
                Ok((socket, _)) => {
                    let connection = connection::serve(Arc::clone(&self.hub), socket);
                    self.hub.tracker.spawn(connection);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an MQTT connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Hub {
    /// Lets a client in under its id; whoever had the id has to go.
    fn enter(&self, client: &str) -> (u64, CancellationToken) {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let kick = CancellationToken::new();
        let entry = Entry {
            connection,
            kick: kick.clone(),
        };
        if let Some(old) = self.clients().insert(client.to_owned(), entry) {
            tracing::info!(client, "an MQTT client id was taken over");
            old.kick.cancel();
        }
        (connection, kick)
    }

    fn leave(&self, client: &str, connection: u64) {
        let mut clients = self.clients();
        if clients.get(client).map(|e| e.connection) == Some(connection) {
            clients.remove(client);
        }
    }

    fn subscribe(&self, filter: &str, subscription: Subscription) {
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        if router.subscribe(filter, subscription) {
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unsubscribe(&self, filter: &str, connection: u64) -> bool {
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        let there = router.unsubscribe(filter, connection);
        if there {
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        there
    }

    fn route(&self, publish: &Publish, publisher: u64) {
        if self.subscriptions.load(Ordering::Relaxed) > 0 {
            let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
            router.route(publish, publisher);
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
