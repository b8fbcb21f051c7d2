//! Which messages were logged lately, so that a redelivered one is not logged twice.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use super::record::Message;

/// The last messages with a packet id, as fingerprints of (session, packet id, topic, payload).
///
/// Only a message marked as redelivered is looked up, which is rare: a scan of the queue then costs
/// less than keeping an index of every message.
pub(super) struct DedupWindow {
    hasher: RandomState,
    recent: VecDeque<u64>,
    capacity: usize,
}

impl DedupWindow {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            recent: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Whether this message is a redelivery of one in the window.
    pub(super) fn is_duplicate(&self, message: &Message) -> bool {
        message.dup && message.packet_id != 0 && self.recent.contains(&self.fingerprint(message))
    }

    /// Notes a message that is being logged.
    pub(super) fn insert(&mut self, message: &Message) {
        if message.packet_id == 0 {
            return;
        }
        if self.recent.len() == self.capacity {
            self.recent.pop_front();
        }
        self.recent.push_back(self.fingerprint(message));
    }

    fn fingerprint(&self, message: &Message) -> u64 {
        let identity = (message.client, message.packet_id);
        self.hasher
            .hash_one((identity, &message.topic[..], &message.payload[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(packet_id: u16, dup: bool, payload: &'static str) -> Message {
        Message {
            client: 1,
            packet_id,
            dup,
            received: 0,
            topic: Bytes::from_static(b"t"),
            payload: Bytes::from_static(payload.as_bytes()),
        }
    }

    #[test]
    fn only_a_marked_redelivery_of_the_same_message_is_a_duplicate() {
        let mut window = DedupWindow::new(2);
        window.insert(&message(1, false, "a"));
        assert!(window.is_duplicate(&message(1, true, "a")));
        assert!(!window.is_duplicate(&message(1, false, "a")));
        assert!(!window.is_duplicate(&message(1, true, "b")));
        assert!(!window.is_duplicate(&message(2, true, "a")));
    }

    #[test]
    fn the_window_forgets_the_oldest() {
        let mut window = DedupWindow::new(2);
        for id in 1..=3 {
            window.insert(&message(id, false, "a"));
        }
        assert!(!window.is_duplicate(&message(1, true, "a")));
        assert!(window.is_duplicate(&message(2, true, "a")));
    }
}
