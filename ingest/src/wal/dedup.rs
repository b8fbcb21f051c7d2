//! Which messages were logged lately, so that a redelivered one is not logged twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use super::record::Message;

/// The last messages with a packet id, as fingerprints of (session, packet id, topic, payload).
pub(super) struct DedupWindow {
    hasher: RandomState,
    /// In the order of logging.
    recent: VecDeque<u64>,
    /// How often each fingerprint is in `recent`.
    counts: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    capacity: usize,
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl DedupWindow {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            recent: VecDeque::new(),
            counts: HashMap::default(),
            capacity,
        }
    }

    /// Whether this message is a redelivery of one in the window.
    pub(super) fn is_duplicate(&self, message: &Message) -> bool {
        message.dup
            && message.packet_id != 0
            && self.counts.contains_key(&self.fingerprint(message))
    }

    /// Notes a message that is being logged.
    pub(super) fn insert(&mut self, message: &Message) {
        if message.packet_id == 0 {
            return;
        }
        if self.recent.len() == self.capacity {
            self.forget_oldest();
        }
        let fingerprint = self.fingerprint(message);
        self.recent.push_back(fingerprint);
        *self.counts.entry(fingerprint).or_default() += 1;
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.recent.pop_front() else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&oldest) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
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
        for id in [1, 1, 2, 3] {
            window.insert(&message(id, false, "a"));
        }
        assert!(!window.is_duplicate(&message(1, true, "a")));
        assert!(window.is_duplicate(&message(2, true, "a")));
        assert_eq!((window.recent.len(), window.counts.len()), (2, 2));
    }
}
