//! What a connection has taken from its client and not acknowledged yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::publication::Publication;

/// Messages on their way into the log, or to what rests on it, at which a client is read no further.
const MOST_MESSAGES: usize = u16::MAX as usize;
/// Bytes of messages that wait for the log before they are routed; beyond it no more are read.
const MOST_BYTES: usize = 32 << 20;
/// Answers that are not written yet; beyond it no more packets are read.
const MOST_ANSWERS: usize = 8_192;

/// Counted by the reading half, settled by the writing half, unless it says otherwise.
#[derive(Debug, Default)]
pub(super) struct Debt {
    taken: AtomicUsize,
    settled: AtomicUsize,
    /// Messages handed to the log and not acknowledged. Those at QoS 2 count until their PUBREC:
    /// what comes then is the client's to do, who must be read for it.
    logging: AtomicUsize,
    bytes: AtomicUsize,
    answers: AtomicUsize,
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

    /// Counts a group that goes to the log: its messages, and the bytes that wait to be routed.
    pub(super) fn take_group(&self, messages: usize, bytes: usize) {
        self.logging.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts an answer that is to be written.
    pub(super) fn take_answer(&self, weight: usize) {
        self.answers.fetch_add(weight, Ordering::Relaxed);
    }

    /// Takes off messages whose last acknowledgement is about to be written; those at QoS 2 the
    /// reading half takes off when they are released.
    pub(super) fn settle(&self, messages: usize) {
        self.settled.fetch_add(messages, Ordering::Relaxed);
    }

    /// Takes off messages of the log whose first acknowledgement is about to be written.
    pub(super) fn settle_group(&self, messages: usize) {
        self.logging.fetch_sub(messages, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Takes off bytes that are routed.
    pub(super) fn settle_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Takes off an answer that is about to be written.
    pub(super) fn settle_answer(&self, weight: usize) {
        self.answers.fetch_sub(weight, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Whether the client may be read further.
    pub(super) fn has_room(&self) -> bool {
        let below = |count: &AtomicUsize, most| count.load(Ordering::Relaxed) < most;
        below(&self.logging, MOST_MESSAGES)
            && below(&self.bytes, MOST_BYTES)
            && below(&self.answers, MOST_ANSWERS)
    }

    /// Waits while too much is owed.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_kind_of_debt_has_a_bound_and_an_end() {
        let debt = Debt::default();
        type Step = fn(&Debt);
        let kinds: [(Step, Step); 3] = [
            (|d| d.take_group(MOST_MESSAGES, 0), |d| d.settle_group(1)),
            (|d| d.take_group(0, MOST_BYTES), |d| d.settle_bytes(1)),
            (|d| d.take_answer(MOST_ANSWERS), |d| d.settle_answer(1)),
        ];
        for (take, settle) in kinds {
            take(&debt);
            assert!(!debt.has_room());
            tokio::join!(debt.room(), async { settle(&debt) });
        }
    }

    #[test]
    fn messages_that_wait_for_their_client_do_not_keep_it_from_being_read() {
        let debt = Debt::default();
        for _ in 0..MOST_MESSAGES {
            debt.take(1);
            debt.take_group(1, 0);
            debt.settle_group(1);
        }
        assert!(debt.has_room());
        assert_eq!(debt.take(0), MOST_MESSAGES);
    }
}
