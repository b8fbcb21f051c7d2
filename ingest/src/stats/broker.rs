//! Counters of the embedded broker.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the embedded broker has done since it started; all 0 with an external one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Clients connected at present.
    pub connections: u64,
    /// Clients let in.
    pub connects: u64,
    /// Connections closed because there were too many.
    pub refused_connections: u64,
    /// CONNECTs refused for a wrong password or a missing name.
    pub refused_logins: u64,
    /// Times a client was read slower because it sent more than its limit.
    pub throttled: u64,
    /// Sessions at present, of connected clients and of absent ones.
    pub sessions: u64,
    /// Retained messages at present.
    pub retained: u64,
    /// Messages that a session did not get because too many waited for it already.
    pub dropped: u64,
}

/// One live counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// The live counters behind [`BrokerStats`].
#[derive(Debug, Default)]
pub(crate) struct BrokerCounters {
    pub(crate) connections: Counter,
    pub(crate) connects: Counter,
    pub(crate) refused_connections: Counter,
    pub(crate) refused_logins: Counter,
    pub(crate) throttled: Counter,
    pub(crate) sessions: Counter,
    pub(crate) retained: Counter,
    pub(crate) dropped: Counter,
}

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Takes back what was added before.
    pub(crate) fn sub(&self, n: usize) {
        self.0.fetch_sub(n as u64, Ordering::Relaxed);
    }

    /// Replaces the value.
    pub(crate) fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl BrokerCounters {
    pub(super) fn snapshot(&self) -> BrokerStats {
        BrokerStats {
            connections: self.connections.get(),
            connects: self.connects.get(),
            refused_connections: self.refused_connections.get(),
            refused_logins: self.refused_logins.get(),
            throttled: self.throttled.get(),
            sessions: self.sessions.get(),
            retained: self.retained.get(),
            dropped: self.dropped.get(),
        }
    }
}
