//! The broker inside this process: MQTT 3.1.1 and 5 on one port, and a PUBACK or PUBREC only after
//! the log's sync.
//!
//! A connection has a reading half ([`connection`]) and a writing half ([`outbound`]). It belongs to
//! a [`session`], which may outlive it. What all connections share is the [`Hub`]. A message that is
//! durable is routed ([`deliver`]) to the sessions that the [`router`] finds; what must survive a
//! crash besides the message itself is in the [`journal`].

mod auth;
mod connection;
mod debt;
mod deliver;
mod handshake;
mod inflight;
mod journal;
mod limits;
mod listen;
mod outbound;
mod publication;
mod publish;
mod queue;
mod recover;
mod retained;
mod router;
mod session;
mod sessions;
mod shared;
mod subscribe;
mod tally;
mod will;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use catalog::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::BrokerConfig;
use crate::stats::Counters;
use crate::wal::LogWriter;
use auth::{Access, Peer};
use journal::Journal;
use limits::{Limits, Place};
use listen::Listener;
use queue::QueueBounds;
use retained::Retained;
use router::Router;
use session::NEVER;
use sessions::Sessions;

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
    bounds: QueueBounds,
    /// What may wait for one subscriber while it is sent retained messages: as many as there can
    /// be, so that a filter brings all that it matches.
    retained_bounds: QueueBounds,
    max_sessions: usize,
    /// The longest expiry of a session, in seconds.
    max_expiry: u32,
    /// The longest keep alive, in seconds; 0 for any.
    max_keep_alive: u16,
    /// What goes into the log; empty: everything.
    logged: Vec<String>,
    stop: CancellationToken,
    tracker: TaskTracker,
    /// The reading halves, whose wills are in the log when they have ended.
    readers: TaskTracker,
    journal: Journal,
    sessions: Sessions,
    router: RwLock<Router>,
    /// Subscriptions of all sessions: messages are not even looked at while there are none.
    subscriptions: AtomicUsize,
    retained: Mutex<Retained>,
}

impl Broker {
    /// Listens. `folder` holds what outlives the process.
    ///
    /// # Errors
    /// `AlreadyExists` when a port is in use, `InvalidInput` for an address that cannot be had and
    /// for a file of users, rules or certificates that is of no use.
    pub(crate) async fn bind(
        config: &BrokerConfig,
        folder: &Path,
        log: LogWriter,
        counters: Arc<Counters>,
        stop: CancellationToken,
        tracker: TaskTracker,
    ) -> Result<Self> {
        let listener = Listener::bind(config).await?;
        let folder = folder.to_owned();
        let (journal, model) = tokio::task::spawn_blocking(move || Journal::open(&folder))
            .await
            .map_err(|e| Error::internal("opening the broker's journal failed").with_source(e))??;
        let hub = Arc::new(Hub {
            log,
            counters,
            access: Access::new(config)?,
            limits: Limits::new(config),
            max_packet_bytes: config.max_packet_bytes,
            bounds: QueueBounds {
                messages: config.queue_messages,
                bytes: config.queue_bytes,
                all_bytes: config.max_queued_bytes,
            },
            retained_bounds: QueueBounds {
                messages: config.queue_messages.max(config.max_retained),
                bytes: config.queue_bytes.max(config.max_retained_bytes),
                all_bytes: config.max_queued_bytes,
            },
            max_sessions: config.max_sessions,
            max_expiry: seconds(config.max_session_expiry),
            max_keep_alive: u16::try_from(config.max_keep_alive.as_secs()).unwrap_or(u16::MAX),
            logged: config.subscribe.clone(),
            stop,
            tracker,
            readers: TaskTracker::new(),
            journal,
            sessions: Sessions::default(),
            router: RwLock::default(),
            subscriptions: AtomicUsize::new(0),
            retained: Mutex::new(Retained::new(
                config.max_retained,
                config.max_retained_bytes,
            )),
        });
        hub.restore(model);
        Ok(Self { listener, hub })
    }

    /// What ends the broker in order.
    pub(crate) fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.hub))
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

/// Ends a broker that was told to stop. Dropping it closes the journal, so that the next one on
/// the same folder finds it at rest.
pub(crate) struct Ending(Arc<Hub>);

impl Ending {
    /// Waits for the reading half of the last connection: then every message and will is handed to
    /// the log.
    pub(crate) async fn readers(&self) {
        self.0.readers.close();
        self.0.readers.wait().await;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.journal.close();
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

    /// Whether messages of this topic go into the log.
    fn is_logged(&self, topic: &str) -> bool {
        if topic.starts_with('$') {
            return false;
        }
        self.logged.is_empty() || self.logged.iter().any(|f| retained::matches(f, topic))
    }

    /// The router and the retained messages stay consistent at every step, so a panic elsewhere
    /// does not spoil them.
    fn router_mut(&self) -> RwLockWriteGuard<'_, Router> {
        self.router.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An expiry in seconds; what is too long for MQTT is for ever.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(NEVER)
}
