//! What a connection has taken from its client and not acknowledged yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::publication::Publication;

/// Messages unacknowledged at which a client that was told no bound is read no further.
const MOST_MESSAGES: usize = u16::MAX as usize;
/// Bytes of messages that wait for the log before they are routed; beyond it no more are read.
const MOST_BYTES: usize = 32 << 20;

/// Counted by the reading half, settled by the writing half.
#[derive(Debug, Default)]
pub(super) struct Debt {
    taken: AtomicUsize,
    settled: AtomicUsize,
    bytes: AtomicUsize,
    changed: Notify,
}

/// What belongs to a group of messages that is on its way into the log: done when it is durable.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) routes: Vec<Route>,
    /// For each acknowledgement of the group whether it is of QoS 2; empty when none is.
    pub(super) twos: Vec<bool>,
    /// Messages that are to be acknowledged.
    pub(super) tracked: usize,
    pub(super) bytes: usize,
}

/// A message to route once it is durable.
#[derive(Debug)]
pub(super) struct Route {
    /// Its packet id, held from now on.
    pub(super) hold: Option<u16>,
    /// The message, when somebody may want it.
    pub(super) publication: Option<Arc<Publication>>,
}

impl Owed {
    /// Notes a message that gets an acknowledgement.
    pub(super) fn add(&mut self, two: bool, route: Option<Route>) {
        if two && self.twos.is_empty() {
            self.twos.resize(self.tracked, false);
        }
        if two || !self.twos.is_empty() {
            self.twos.push(two);
        }
        self.tracked += 1;
        if let Some(route) = route {
            self.bytes += route.publication.as_ref().map_or(0, |p| p.size());
            self.routes.push(route);
        }
    }
}

impl Debt {
    /// Counts messages at QoS 1 and 2; returns how many are unacknowledged now.
    pub(super) fn take(&self, messages: usize) -> usize {
        let taken = self.taken.fetch_add(messages, Ordering::Relaxed) + messages;
        taken.saturating_sub(self.settled.load(Ordering::Relaxed))
    }

    /// Counts bytes that wait for the log.
    pub(super) fn take_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes off messages whose last acknowledgement is about to be written.
    pub(super) fn settle(&self, messages: usize) {
        self.settled.fetch_add(messages, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Takes off bytes that are routed.
    pub(super) fn settle_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits while too much is owed.
    pub(super) async fn room(&self) {
        while self.take(0) >= MOST_MESSAGES || self.bytes.load(Ordering::Relaxed) >= MOST_BYTES {
            self.changed.notified().await;
        }
    }
}
