//! The broker inside this process: MQTT 3.1.1 and 5 on one port, QoS 0 and 1, and a PUBACK only
//! after the log's sync.
//!
//! A connection has a reading half ([`connection`]) and a writing half ([`outbound`]); what all
//! connections share is the [`Hub`]. Sessions end with their connection.

mod auth;
mod connection;
mod handshake;
mod limits;
mod listen;
mod outbound;
mod router;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use catalog::Result;
use rmqtt_codec::types::Publish;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::BrokerConfig;
use crate::stats::Counters;
use crate::wal::LogWriter;
use auth::{Access, Peer};
use limits::{Limits, Place};
use listen::Listener;
use router::{Router, Subscription};

/// A broker that listens.
pub(crate) struct Broker {
    listener: Listener,
    hub: Arc<Hub>,
}

/// What all connections share.
struct Hub {
    log: LogWriter,
    counters: Arc<Counters>,
    access: Access,
    limits: Limits,
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
    /// `AlreadyExists` when a port is in use, `InvalidInput` for an address that cannot be had and
    /// for a file of users, rules or certificates that is of no use.
    pub(crate) async fn bind(
        config: &BrokerConfig,
        log: LogWriter,
        counters: Arc<Counters>,
        stop: CancellationToken,
        tracker: TaskTracker,
    ) -> Result<Self> {
        let listener = Listener::bind(config).await?;
        let hub = Hub {
            log,
            counters,
            access: Access::new(config)?,
            limits: Limits::new(config),
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

    /// The addresses by name, with the ports the system chose when 0 was asked for.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        self.listener.addresses()
    }

    /// Accepts clients until told to stop.
    pub(crate) async fn run(self) {
        self.listener.run(self.hub).await;
    }
}

impl Hub {
    /// Serves a client on any stream of bytes, in a task of its own.
    fn serve<S>(self: &Arc<Self>, stream: S, peer: Peer, place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        self.serve_halves(read, write, peer, place);
    }

    /// Serves a client on a stream that comes apart without a lock.
    fn serve_halves<R, W>(self: &Arc<Self>, read: R, write: W, peer: Peer, place: Place)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let connection = connection::serve(Arc::clone(self), read, write, peer, place);
        self.tracker.spawn(connection);
    }

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
